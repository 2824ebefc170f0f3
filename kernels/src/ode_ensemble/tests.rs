mod control;

use super::{OdeEnsemble, OdeField, OdeMethod};
use crate::test_support::{assert_refuses, numbers, run, widen};
use crate::{Kernel, Scalar, View};

/// Written from the formulas of the literature, without a thought for speed.
fn derivative(field: OdeField, x: &[f64], q: &[f64], clock: f64) -> Vec<f64> {
    use std::f64::consts::PI;
    match field {
        OdeField::LORENZ63 => vec![
            q[0] * (x[1] - x[0]),
            x[0] * (q[1] - x[2]) - x[1],
            x[0] * x[1] - q[2] * x[2],
        ],
        OdeField::ROSSLER => vec![
            -x[1] - x[2],
            x[0] + q[0] * x[1],
            q[1] + x[2] * (x[0] - q[2]),
        ],
        OdeField::VAN_DER_POL => vec![x[1], q[0] * (1.0 - x[0] * x[0]) * x[1] - x[0]],
        OdeField::HENON_HEILES => vec![
            x[2],
            x[3],
            -x[0] - 2.0 * x[0] * x[1],
            -x[1] - x[0] * x[0] + x[1] * x[1],
        ],
        OdeField::DOUBLE_GYRE => {
            let s = q[1] * (2.0 * PI * clock).sin();
            let f = s * x[0] * x[0] + (1.0 - 2.0 * s) * x[0];
            let slope = 2.0 * s * x[0] + 1.0 - 2.0 * s;
            vec![
                -PI * q[0] * (PI * f).sin() * (PI * x[1]).cos(),
                PI * q[0] * (PI * f).cos() * (PI * x[1]).sin() * slope,
            ]
        }
        OdeField::OSCILLATOR => vec![x[1], -q[0] * x[0] - q[1] * x[1]],
        _ => (0..8)
            .map(|i| (x[(i + 1) % 8] - x[(i + 6) % 8]) * x[(i + 7) % 8] - x[i] + q[0])
            .collect(),
    }
}

/// Butcher's table of a method: nodes, weights of the stages, weights of the result.
type Table = (Vec<f64>, Vec<Vec<f64>>, Vec<f64>);

fn table(method: OdeMethod) -> Table {
    match method {
        OdeMethod::EULER => (vec![0.0], vec![vec![]], vec![1.0]),
        OdeMethod::MIDPOINT => (vec![0.0, 0.5], vec![vec![], vec![0.5]], vec![0.0, 1.0]),
        OdeMethod::HEUN => (vec![0.0, 1.0], vec![vec![], vec![1.0]], vec![0.5, 0.5]),
        OdeMethod::RK4 => (
            vec![0.0, 0.5, 0.5, 1.0],
            vec![vec![], vec![0.5], vec![0.0, 0.5], vec![0.0, 0.0, 1.0]],
            vec![1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
        ),
        _ => (
            vec![0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0],
            vec![
                vec![],
                vec![0.2],
                vec![0.075, 0.225],
                vec![44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
                vec![
                    19372.0 / 6561.0,
                    -25360.0 / 2187.0,
                    64448.0 / 6561.0,
                    -212.0 / 729.0,
                ],
                vec![
                    9017.0 / 3168.0,
                    -355.0 / 33.0,
                    46732.0 / 5247.0,
                    49.0 / 176.0,
                    -5103.0 / 18656.0,
                ],
            ],
            vec![
                35.0 / 384.0,
                0.0,
                500.0 / 1113.0,
                125.0 / 192.0,
                -2187.0 / 6784.0,
                11.0 / 84.0,
            ],
        ),
    }
}

/// One trajectory, step by step; `rate` turns of the clock in a unit of time.
fn naive(kernel: &OdeEnsemble, rate: f64, start: f64, mut x: Vec<f64>, q: &[f64]) -> Vec<Vec<f64>> {
    let (nodes, stages, weights) = table(kernel.method);
    let h = kernel.step();
    let mut states = Vec::new();
    for step in 0..kernel.total_steps {
        let mut slopes: Vec<Vec<f64>> = Vec::new();
        for (node, row) in nodes.iter().zip(&stages) {
            let moved: Vec<f64> = (0..x.len())
                .map(|d| x[d] + h * row.iter().zip(&slopes).map(|(w, k)| w * k[d]).sum::<f64>())
                .collect();
            let time = start + (f64::from(step) + node) * h;
            slopes.push(derivative(kernel.field, &moved, q, time * rate));
        }
        x = (0..x.len())
            .map(|d| {
                x[d] + h * weights
                    .iter()
                    .zip(&slopes)
                    .map(|(w, k)| w * k[d])
                    .sum::<f64>()
            })
            .collect();
        states.push(x.clone());
    }
    states
}

/// Starts and parameters that keep every field on its attractor, or near it.
fn start(field: OdeField, count: usize) -> (Vec<f64>, Vec<f64>) {
    let dimension = field.dimension() as usize;
    let state = widen(&numbers(dimension * count, 5));
    let state = state.iter().map(|v| 0.5 * v + 0.25).collect();
    let parameters = match field {
        OdeField::LORENZ63 => vec![10.0, 28.0, 8.0 / 3.0],
        OdeField::ROSSLER => vec![0.2, 0.2, 5.7],
        OdeField::VAN_DER_POL => vec![1.5],
        OdeField::HENON_HEILES => vec![],
        OdeField::DOUBLE_GYRE => vec![0.1, 0.25],
        OdeField::OSCILLATOR => vec![4.0, 0.3],
        _ => vec![8.0],
    };
    (state, parameters)
}

/// State and history afterwards.
fn integrate<T: Scalar>(kernel: OdeEnsemble, state: &[f64], q: &[f64]) -> (Vec<T>, Vec<T>) {
    let convert = |x: &[f64]| x.iter().map(|v| T::from_f64(*v)).collect::<Vec<T>>();
    let (mut state, q) = (convert(state), convert(q));
    let mut history = vec![T::NAN; kernel.extents()[2]];
    let views = vec![
        View::FloatMut(&mut state),
        if q.is_empty() {
            View::Absent
        } else {
            View::Float(&q)
        },
        if history.is_empty() {
            View::Absent
        } else {
            View::FloatMut(&mut history)
        },
        View::Absent,
        View::Absent,
    ];
    run(kernel, views).unwrap();
    (state, history)
}

const FIXED: [OdeMethod; 5] = [
    OdeMethod::EULER,
    OdeMethod::MIDPOINT,
    OdeMethod::HEUN,
    OdeMethod::RK4,
    OdeMethod::DORMAND_PRINCE5,
];

#[test]
fn every_field_and_method_matches_its_textbook_form() {
    for &field in OdeField::ALL {
        for method in FIXED {
            for count in [1usize, 67, 301] {
                let (x, q) = start(field, count);
                let kernel = OdeEnsemble {
                    record_every: 3,
                    ..OdeEnsemble::fixed(field, method, count as u32, 0.01, 11).with_clock(0.1, 2.3)
                };
                let (found, history) = integrate::<f64>(kernel, &x, &q);
                let (single, _) = integrate::<f32>(kernel, &x, &q);
                for i in [0, count / 2, count - 1] {
                    let own: Vec<f64> = x.iter().skip(i).step_by(count).copied().collect();
                    let exact = naive(&kernel, 0.1, 2.3, own, &q);
                    for (d, e) in exact[10].iter().enumerate() {
                        let what = format!("{} {} {i}.{d}", field.name(), method.name());
                        let (wide, narrow) = (found[d * count + i], single[d * count + i]);
                        assert!(
                            (wide - e).abs() < 1e-13 * (1.0 + e.abs()),
                            "{what}: {wide} {e}"
                        );
                        let error = (f64::from(narrow) - e).abs();
                        assert!(error < 4e-6 * (1.0 + e.abs()), "{what}: {narrow} {e}");
                    }
                    for record in 0..3 {
                        let dimension = field.dimension() as usize;
                        for (d, e) in exact[3 * record + 2].iter().enumerate() {
                            let kept = history[(record * dimension + d) * count + i];
                            assert!(
                                (kept - e).abs() < 1e-13 * (1.0 + e.abs()),
                                "{record}: {kept}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_trajectory_has_the_same_bits_wherever_it_stands_and_however_the_run_is_cut() {
    let count = 333usize;
    for &field in OdeField::ALL {
        let (x, q) = start(field, count);
        for method in FIXED {
            let kernel =
                OdeEnsemble::fixed(field, method, count as u32, 0.01, 20).with_clock(0.7, 0.2);
            let (whole, _) = integrate::<f32>(kernel, &x, &q);
            let mut parts: Vec<f64> = x.iter().map(|v| f64::from(*v as f32)).collect();
            for launch in 0..3 {
                let part = OdeEnsemble { steps: 7, ..kernel }.at_step(launch);
                parts = integrate::<f32>(part, &parts, &q)
                    .0
                    .iter()
                    .map(|v| f64::from(*v))
                    .collect();
            }
            let parts: Vec<f32> = parts.iter().map(|v| *v as f32).collect();
            assert_eq!(parts, whole, "{} {}", field.name(), method.name());
            for (first, width) in [(0usize, 1usize), (17, 2), (100, 65), (332, 1)] {
                let rows = x
                    .chunks(count)
                    .flat_map(|row| row[first..first + width].to_vec());
                let alone = OdeEnsemble {
                    trajectories: width as u32,
                    ..kernel
                };
                let (found, _) = integrate::<f32>(alone, &rows.collect::<Vec<_>>(), &q);
                let expected = whole
                    .chunks(count)
                    .flat_map(|row| row[first..first + width].to_vec());
                assert_eq!(
                    found,
                    expected.collect::<Vec<_>>(),
                    "{} at {first}",
                    field.name()
                );
            }
        }
    }
}

#[test]
fn parameters_of_each_trajectory() {
    let count = 70usize;
    let (x, _) = start(OdeField::LORENZ63, count);
    let q: Vec<f64> = numbers(3 * count, 9)
        .iter()
        .map(|v| f64::from(*v) + 3.0)
        .collect();
    let shared = OdeEnsemble::fixed(OdeField::LORENZ63, OdeMethod::RK4, count as u32, 0.01, 9);
    let each = OdeEnsemble {
        flags: OdeEnsemble::EACH,
        ..shared
    };
    let (found, _) = integrate::<f64>(each, &x, &q);
    for i in [0, 33, 69] {
        let own: Vec<f64> = q.iter().skip(i).step_by(count).copied().collect();
        let (alone, _) = integrate::<f64>(shared, &x, &own);
        for d in 0..3 {
            assert_eq!(found[d * count + i], alone[d * count + i]);
        }
    }
}

#[test]
fn the_clock_is_exact_however_long_it_runs() {
    let kernel =
        OdeEnsemble::fixed(OdeField::DOUBLE_GYRE, OdeMethod::EULER, 1, 0.1, 1).with_clock(0.1, 0.5);
    // 0.05 + 4e9 steps of 0.01 turns; the turns are a double-precision number, as exact as that is.
    let exact = 0.05;
    let found: f64 = super::clock_at(kernel.clock(4_000_000_000));
    assert!((found - exact).abs() < 1e-7, "{found}");
    let single: f32 = super::clock_at(kernel.clock(30));
    assert!((f64::from(single) - 0.35).abs() < 1e-7);
    let backwards = OdeEnsemble::fixed(OdeField::DOUBLE_GYRE, OdeMethod::EULER, 1, -0.1, 1)
        .with_clock(0.1, 0.5);
    let found: f64 = super::clock_at(backwards.clock(10));
    assert!((found + 0.05).abs() < 1e-12, "{found}");
}

#[test]
fn bad_parameters() {
    let good = OdeEnsemble::fixed(OdeField::LORENZ63, OdeMethod::RK4, 3, 0.01, 10);
    good.check().unwrap();
    assert_refuses(
        OdeEnsemble {
            trajectories: 0,
            ..good
        },
        "trajectories",
    );
    assert_refuses(OdeEnsemble { steps: 0, ..good }, "steps");
    assert_refuses(
        OdeEnsemble {
            total_steps: 0,
            ..good
        },
        "total_steps",
    );
    assert_refuses(OdeEnsemble { flags: 2, ..good }, "flags");
    assert_refuses(
        OdeEnsemble {
            field: bytemuck::cast(99u32),
            ..good
        },
        "field",
    );
    assert_refuses(
        OdeEnsemble {
            method: bytemuck::cast(6u32),
            ..good
        },
        "method",
    );
    assert_refuses(
        OdeEnsemble {
            step_high: f32::NAN,
            ..good
        },
        "step_high",
    );
    assert_refuses(
        OdeEnsemble {
            step_high: 0.0,
            ..good
        },
        "step_high",
    );
    let huge = OdeEnsemble {
        trajectories: u32::MAX,
        ..good
    };
    assert_refuses(huge, "trajectories");
    let controlled = OdeEnsemble::adaptive(OdeField::ROSSLER, 3, 1.0, 0.1, 10);
    controlled.check().unwrap();
    assert_refuses(
        OdeEnsemble {
            step_high: -0.1,
            ..controlled
        },
        "step_high",
    );
    assert_refuses(
        OdeEnsemble {
            span_high: 0.0,
            ..controlled
        },
        "span_high",
    );
    assert_refuses(
        OdeEnsemble {
            record_every: 1,
            ..controlled
        },
        "record_every",
    );
    assert_refuses(
        OdeEnsemble {
            total_steps: 1 << 25,
            ..controlled
        },
        "total_steps",
    );
    let relative_tolerance = f32::NAN;
    assert_refuses(
        OdeEnsemble {
            relative_tolerance,
            ..controlled
        },
        "relative_tolerance",
    );
    let zero = OdeEnsemble {
        relative_tolerance: 0.0,
        absolute_tolerance: 0.0,
        ..controlled
    };
    assert_refuses(zero, "absolute_tolerance");
}

#[test]
fn cost_counts_the_steps_of_the_launch() {
    let kernel = OdeEnsemble::fixed(OdeField::LORENZ63, OdeMethod::RK4, 5, 0.01, 10);
    // Four evaluations of 8, and in each of three numbers three moves of 2 and a sum of 7.
    assert_eq!(kernel.cost().flops, 5 * 10 * (4 * 8 + 3 * 13));
    assert_eq!(kernel.cost().bytes, 4 * (2 * 15 + 3));
    let cut = OdeEnsemble {
        steps: 7,
        record_every: 4,
        ..kernel
    };
    assert_eq!(cut.at_step(1).cost().flops, 5 * 3 * 71);
    assert_eq!(cut.at_step(1).cost().bytes, 4 * (3 * 15 + 3));
    assert_eq!(cut.at_step(2).cost().flops, 0);
    assert_eq!(kernel.software_iterations(), 74);
}
