//! Whole integrations and single decisions.

use super::*;
use crate::Scalar;
use crate::View;
use crate::runge_kutta::{Rational, RungeKutta, real_ratio};
use crate::test_support::{assert_refuses, numbers, run};

/// Operands in the order of binding.
#[derive(Debug, Clone, PartialEq)]
struct State<T> {
    x: Vec<T>,
    candidate: Vec<T>,
    k: Vec<T>,
    time: Vec<T>,
    step_size: Vec<T>,
    status: Vec<u32>,
}

impl<T: Scalar> State<T> {
    fn advance(&mut self, kernel: AdaptiveStep) {
        let views = vec![
            View::FloatMut(&mut self.x),
            View::Float(&self.candidate),
            View::FloatMut(&mut self.k),
            View::FloatMut(&mut self.time),
            View::FloatMut(&mut self.step_size),
            View::WordMut(&mut self.status),
        ];
        run(kernel, views).unwrap();
    }

    /// One line of the tableau from `x`.
    fn line(&self, rows: u32, width: u32, line: &[Rational]) -> Vec<T> {
        let kernel = RungeKutta::combination(rows, width, line, 1).per_row();
        let mut out = vec![T::ZERO; self.x.len()];
        let views = vec![
            View::Float(&self.x),
            View::Float(&self.k),
            View::Float(&self.step_size),
            View::FloatMut(&mut out),
        ];
        run(kernel, views).unwrap();
        out
    }
}

/// Growth rate of row `row` of five.
fn rate(row: usize) -> f64 {
    [-20.0, -1.0, 0.0, 0.5, 3.0][row % 5]
}

/// Integrates `dx/dt = rate x cos 5t` from 1 at time 0 to time 1, all by kernels but the velocity.
fn integrate(kernel: AdaptiveStep) -> State<f64> {
    let (rows, width) = (kernel.rows as usize, kernel.width as usize);
    let count = rows * width;
    let mut state = State {
        x: vec![1.0; count],
        candidate: vec![f64::NAN; count],
        k: vec![f64::NAN; 7 * count],
        time: vec![0.0; rows],
        step_size: vec![0.01; rows],
        status: vec![0; 4 * rows],
    };
    let velocity = |state: &State<f64>, at: usize, x: f64, node: f64| {
        let row = at / width;
        let t = state.time[row] + node * state.step_size[row];
        rate(row) * x * (5.0 * t).cos()
    };
    for at in 0..count {
        state.k[at] = velocity(&state, at, 1.0, 0.0);
    }
    for _ in 0..2000 {
        if state
            .status
            .chunks(4)
            .all(|s| s[2] != AdaptiveStep::RUNNING)
        {
            break;
        }
        for stage in 1..7 {
            let line = DORMAND_PRINCE.stages[stage];
            let x = state.line(kernel.rows, kernel.width, line);
            let node = real_ratio(DORMAND_PRINCE.nodes[stage]);
            for (at, x) in x.into_iter().enumerate() {
                state.k[stage * count + at] = velocity(&state, at, x, node);
            }
        }
        state.candidate = state.line(kernel.rows, kernel.width, DORMAND_PRINCE.weights);
        state.advance(kernel);
    }
    state
}

#[test]
fn a_linear_equation_is_solved_to_its_tolerance() {
    let mut worst = f64::INFINITY;
    for tolerance in [1e-3f32, 1e-6, 1e-9] {
        let kernel = AdaptiveStep::dormand_prince(5, 1, tolerance, tolerance);
        let state = integrate(kernel);
        let mut largest = 0f64;
        for row in 0..5 {
            let status = &state.status[4 * row..4 * row + 4];
            assert_eq!(status[2], AdaptiveStep::DONE);
            assert_eq!((state.time[row], state.step_size[row]), (1.0, 0.0));
            let exact = (rate(row) * 5f64.sin() / 5.0).exp();
            largest = largest.max((state.x[row] - exact).abs() / (1.0 + exact));
        }
        assert!(largest < 30.0 * f64::from(tolerance), "{largest:e}");
        assert!(largest < 0.1 * worst, "{largest:e}");
        worst = largest;
        // Nothing moves where the rate is zero: five times longer every time, cut to what is left.
        assert_eq!(state.status[8..10], [4, 0]);
        assert!(state.status[0] > state.status[4], "stiffer, more steps");
    }
}

#[test]
fn a_row_takes_the_same_steps_in_any_batch() {
    let make = |rows| AdaptiveStep::dormand_prince(rows, 3, 1e-5, 1e-5);
    let (many, one) = (integrate(make(300)), integrate(make(1)));
    for row in [0, 5, 295] {
        assert_eq!(many.x[3 * row..3 * row + 3], one.x[..]);
        assert_eq!(many.status[4 * row..4 * row + 4], one.status[..]);
    }
}

/// Made-up operands of running rows that have a quarter to a half of the interval behind them.
fn made_up(kernel: AdaptiveStep, scale: f32) -> State<f32> {
    let extents = kernel.extents();
    let rows = kernel.rows as usize;
    State {
        x: numbers(extents[0], 1),
        candidate: numbers(extents[1], 2),
        k: numbers(extents[2], 3).iter().map(|v| v * scale).collect(),
        time: numbers(rows, 4).iter().map(|v| 0.375 + 0.125 * v).collect(),
        step_size: vec![0.0625; rows],
        status: (0..rows).flat_map(|r| [7, 3, 0, r as u32 % 2]).collect(),
    }
}

#[test]
fn decisions_follow_the_formula() {
    let coefficients = DORMAND_PRINCE.error.unwrap();
    let mut seen = [0; 2];
    for (rows, width) in [(1, 1), (7, 3), (31, 65)] {
        for scale in [0.0, 1e-6, 0.01, 0.3, 1.0, 3.0, 1e3] {
            let kernel = AdaptiveStep {
                stage_stride: rows * width + 2,
                ..AdaptiveStep::dormand_prince(rows, width, 0.02, 0.01)
            };
            let before = made_up(kernel, scale);
            let mut after = before.clone();
            after.advance(kernel);
            for row in 0..rows as usize {
                let at = |c: usize| row * width as usize + c;
                let squares = (0..width as usize).map(|c| {
                    let value =
                        |i: usize| f64::from(before.k[i * kernel.stage_stride as usize + at(c)]);
                    let terms = coefficients.iter().enumerate();
                    let e: f64 = terms.map(|(i, b)| real_ratio(*b) * value(i)).sum();
                    let size = before.x[at(c)].abs().max(before.candidate[at(c)].abs());
                    (0.0625 * e / (0.01 + 0.02 * f64::from(size))).powi(2)
                });
                let err = (squares.sum::<f64>() / f64::from(width)).sqrt();
                let accepted = err <= 1.0;
                seen[usize::from(accepted)] += 1;
                let from = if accepted {
                    &before.candidate
                } else {
                    &before.x
                };
                let first = if accepted {
                    6 * kernel.stage_stride as usize
                } else {
                    0
                };
                for c in 0..width as usize {
                    assert_eq!(after.x[at(c)], from[at(c)]);
                    assert_eq!(after.k[at(c)], before.k[first + at(c)]);
                }
                let mut factor = (0.9 * err.powf(-0.2)).clamp(0.2, 5.0);
                if accepted && row % 2 == 1 {
                    factor = factor.min(1.0);
                }
                let status = [
                    7 + u32::from(accepted),
                    3 + u32::from(!accepted),
                    0,
                    u32::from(!accepted),
                ];
                assert_eq!(after.status[4 * row..4 * row + 4], status);
                let time = before.time[row] + if accepted { 0.0625 } else { 0.0 };
                assert_eq!(after.time[row], time);
                let step = 0.0625 * factor;
                assert!((f64::from(after.step_size[row]) - step).abs() < 1e-5 * step);
            }
        }
    }
    assert!(seen[0] > 20 && seen[1] > 20, "{seen:?}");
}

#[test]
fn rows_that_do_not_run_are_left_alone() {
    let kernel = AdaptiveStep::dormand_prince(3, 5, 1.0, 1.0);
    let mut state = made_up(kernel, 0.1);
    state.status[2] = AdaptiveStep::DONE;
    state.status[10] = AdaptiveStep::FAILED;
    let before = state.clone();
    state.advance(kernel);
    for row in [0, 2] {
        assert_eq!(
            state.x[5 * row..5 * row + 5],
            before.x[5 * row..5 * row + 5]
        );
        assert_eq!(
            state.k[5 * row..5 * row + 5],
            before.k[5 * row..5 * row + 5]
        );
        assert_eq!(state.time[row], before.time[row]);
        assert_eq!(state.step_size[row], before.step_size[row]);
        assert_eq!(
            state.status[4 * row..4 * row + 4],
            before.status[4 * row..4 * row + 4]
        );
    }
    assert_eq!(state.status[4], 8);
    assert_ne!(state.x[5..10], before.x[5..10]);
}

#[test]
fn what_is_not_finite_is_rejected_until_the_row_fails() {
    let kernel = AdaptiveStep {
        minimum_step: 0.002,
        ..AdaptiveStep::dormand_prince(4, 2, 1.0, 1.0)
    };
    let mut state = made_up(kernel, 0.1);
    state.k[6 * 8] = f32::NAN;
    state.candidate[3] = f32::INFINITY;
    state.step_size[2] = f32::NAN;
    let before = state.clone();
    state.advance(kernel);
    assert_eq!(state.x[..6], before.x[..6]);
    assert_eq!(state.status[..4], [7, 4, AdaptiveStep::RUNNING, 1]);
    assert_eq!(state.status[4..8], [7, 4, AdaptiveStep::RUNNING, 1]);
    assert_eq!(state.status[8..12], [7, 4, AdaptiveStep::FAILED, 1]);
    assert_eq!(state.status[12], 8);
    for size in &state.step_size[..2] {
        assert!((size - 0.0125).abs() < 1e-7);
    }
    // 0.0125, 0.0025, and then 0.0005 would be too small.
    state.advance(kernel);
    assert_eq!(state.status[2], AdaptiveStep::RUNNING);
    state.advance(kernel);
    assert_eq!(state.status[..4], [7, 6, AdaptiveStep::FAILED, 1]);
    assert_eq!((state.step_size[0], state.step_size[2]), (0.0, 0.0));
    assert_eq!(state.x[..2], before.x[..2]);
}

#[test]
fn the_last_step_ends_on_the_end_time() {
    let kernel = AdaptiveStep {
        end_time: 0.7,
        maximum_step: 0.25,
        ..AdaptiveStep::dormand_prince(3, 1, 1.0, 1.0)
    };
    let mut state = made_up(kernel, 0.0);
    state.time = vec![0.1, 0.55, 0.399];
    state.step_size = vec![0.1, 0.7 - 0.55, 0.05];
    state.status = vec![0; 12];
    state.advance(kernel);
    // The first is cut to the largest step, the second done, the third stretched by less than 1 %.
    assert_eq!(state.step_size[..2], [0.25, 0.0]);
    assert_eq!((state.time[1], state.status[6]), (0.7, AdaptiveStep::DONE));
    assert_eq!(state.step_size[2], 0.7 - state.time[2]);
    assert!(state.step_size[2] > 0.25);
    state.advance(kernel);
    assert_eq!((state.time[2], state.status[10]), (0.7, AdaptiveStep::DONE));
    // What is left may be less than the smallest step.
    let mut state = made_up(kernel, 0.0);
    state.time[0] = 0.7 - 0.062_500_5;
    state.advance(kernel);
    assert_eq!(state.status[2], AdaptiveStep::RUNNING);
    assert!(state.step_size[0] < 1e-6 && state.step_size[0] > 0.0);
}

#[test]
fn refuses_what_it_is_not_defined_for() {
    let good = AdaptiveStep::dormand_prince(2, 3, 1e-3, 1e-6);
    assert!(good.check().is_ok());
    assert_refuses(AdaptiveStep { rows: 0, ..good }, "rows");
    assert_refuses(AdaptiveStep { stages: 8, ..good }, "stages");
    assert_refuses(AdaptiveStep { flags: 2, ..good }, "flags");
    let denominator_6 = 0;
    assert_refuses(
        AdaptiveStep {
            denominator_6,
            ..good
        },
        "denominator_6",
    );
    for bad in [f32::NAN, f32::INFINITY, -1.0] {
        let with = |change: fn(&mut AdaptiveStep, f32)| {
            let mut kernel = good;
            change(&mut kernel, bad);
            kernel
        };
        assert_refuses(with(|k, v| k.relative_tolerance = v), "relative_tolerance");
        assert_refuses(with(|k, v| k.absolute_tolerance = v), "absolute_tolerance");
        assert_refuses(with(|k, v| k.minimum_step = v), "minimum_step");
        assert_refuses(with(|k, v| k.maximum_step = v), "maximum_step");
        assert_refuses(with(|k, v| k.safety = v), "safety");
        assert_refuses(with(|k, v| k.smallest_factor = v), "smallest_factor");
        assert_refuses(with(|k, v| k.largest_factor = v), "largest_factor");
    }
    let end_time = f32::NAN;
    assert_refuses(AdaptiveStep { end_time, ..good }, "end_time");
    let absolute_tolerance = 0.0;
    assert_refuses(
        AdaptiveStep {
            absolute_tolerance,
            ..good
        },
        "absolute_tolerance",
    );
    assert_refuses(
        AdaptiveStep {
            safety: 0.99,
            ..good
        },
        "safety",
    );
    let minimum_step = 1e-8;
    assert_refuses(
        AdaptiveStep {
            minimum_step,
            ..good
        },
        "minimum_step",
    );
}
