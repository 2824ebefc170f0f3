mod columns;
mod cuts;

use super::{DynamicalSystem, TangentEnsemble};
use crate::ode_ensemble::OdeMethod;
use crate::test_support::{assert_refuses, run};
use crate::{Kernel, Scalar, View};
use std::f64::consts::{PI, TAU};

/// Next state, or time derivative, from the formulas of the literature.
fn evaluate(system: DynamicalSystem, x: &[f64], q: &[f64], clock: f64) -> Vec<f64> {
    match system {
        DynamicalSystem::LORENZ63 => vec![
            q[0] * (x[1] - x[0]),
            x[0] * (q[1] - x[2]) - x[1],
            x[0] * x[1] - q[2] * x[2],
        ],
        DynamicalSystem::ROSSLER => vec![
            -x[1] - x[2],
            x[0] + q[0] * x[1],
            q[1] + x[2] * (x[0] - q[2]),
        ],
        DynamicalSystem::VAN_DER_POL => vec![x[1], q[0] * (1.0 - x[0] * x[0]) * x[1] - x[0]],
        DynamicalSystem::HENON_HEILES => vec![
            x[2],
            x[3],
            -x[0] - 2.0 * x[0] * x[1],
            -x[1] - x[0] * x[0] + x[1] * x[1],
        ],
        DynamicalSystem::DOUBLE_GYRE => {
            let s = q[1] * (TAU * clock).sin();
            let f = s * x[0] * x[0] + (1.0 - 2.0 * s) * x[0];
            let slope = 2.0 * s * x[0] + 1.0 - 2.0 * s;
            vec![
                -PI * q[0] * (PI * f).sin() * (PI * x[1]).cos(),
                PI * q[0] * (PI * f).cos() * (PI * x[1]).sin() * slope,
            ]
        }
        DynamicalSystem::OSCILLATOR => vec![x[1], -q[0] * x[0] - q[1] * x[1]],
        DynamicalSystem::HENON => vec![1.0 - q[0] * x[0] * x[0] + x[1], q[1] * x[0]],
        DynamicalSystem::CAT => vec![
            (2.0 * x[0] + x[1]).rem_euclid(1.0),
            (x[0] + x[1]).rem_euclid(1.0),
        ],
        DynamicalSystem::STANDARD_MAP => {
            let p = (x[1] + q[0] * x[0].sin()).rem_euclid(TAU);
            vec![(x[0] + p).rem_euclid(TAU), p]
        }
        DynamicalSystem::LOGISTIC => vec![q[0] * x[0] * (1.0 - x[0])],
        _ => {
            let t = 0.4 - 6.0 / (1.0 + x[0] * x[0] + x[1] * x[1]);
            vec![
                1.0 + q[0] * (x[0] * t.cos() - x[1] * t.sin()),
                q[0] * (x[0] * t.sin() + x[1] * t.cos()),
            ]
        }
    }
}

fn plus(x: &[f64], h: f64, k: &[f64]) -> Vec<f64> {
    x.iter().zip(k).map(|(x, k)| x + h * k).collect()
}

/// One step; time is `(clock at its start, turns in it)`.
fn stepped(
    system: DynamicalSystem,
    method: OdeMethod,
    h: f64,
    x: &[f64],
    q: &[f64],
    (start, turns): (f64, f64),
) -> Vec<f64> {
    let f = |x: &[f64], part: f64| evaluate(system, x, q, start + part * turns);
    if !system.is_flow() {
        return f(x, 0.0);
    }
    let k1 = f(x, 0.0);
    match method {
        OdeMethod::EULER => plus(x, h, &k1),
        OdeMethod::MIDPOINT => plus(x, h, &f(&plus(x, h / 2.0, &k1), 0.5)),
        OdeMethod::HEUN => {
            let k2 = f(&plus(x, h, &k1), 1.0);
            plus(&plus(x, h / 2.0, &k1), h / 2.0, &k2)
        }
        _ => {
            let k2 = f(&plus(x, h / 2.0, &k1), 0.5);
            let k3 = f(&plus(x, h / 2.0, &k2), 0.5);
            let k4 = f(&plus(x, h, &k3), 1.0);
            let sum = plus(&plus(&plus(&k1, 2.0, &k2), 2.0, &k3), 1.0, &k4);
            plus(x, h / 6.0, &sum)
        }
    }
}

/// Parameters with which nothing runs away in a few steps.
fn parameters(system: DynamicalSystem) -> Vec<f64> {
    match system {
        DynamicalSystem::LORENZ63 => vec![10.0, 28.0, 8.0 / 3.0],
        DynamicalSystem::ROSSLER => vec![0.2, 0.2, 5.7],
        DynamicalSystem::HENON => vec![1.4, 0.3],
        DynamicalSystem::LOGISTIC => vec![3.7],
        DynamicalSystem::STANDARD_MAP => vec![1.3],
        DynamicalSystem::DOUBLE_GYRE => vec![0.1, 0.25],
        other => vec![0.9; other.parameters().len()],
    }
}

/// Numbers in (0.05, 0.45), so that maps do not wrap within a step of finite differences of them.
fn inside(count: usize, seed: u64) -> Vec<f64> {
    let numbers = crate::test_support::numbers(count, seed).into_iter();
    numbers.map(|v| 0.25 + 0.2 * f64::from(v)).collect()
}

/// The operands of a kernel, those that it needs no less long than it asks.
#[derive(Clone)]
pub(super) struct Buffers<T> {
    pub state: Vec<T>,
    pub parameters: Vec<T>,
    pub tangent: Vec<T>,
    pub sums: Vec<T>,
    pub logs: Vec<T>,
    pub states: Vec<T>,
    pub status: Vec<u32>,
}

impl<T: Scalar> Buffers<T> {
    pub fn of(kernel: &TangentEnsemble, state: &[f64], tangent: &[f64]) -> Self {
        let extents = kernel.extents();
        let narrow = |values: &[f64]| values.iter().map(|v| T::from_f64(*v)).collect();
        Self {
            state: narrow(state),
            parameters: narrow(&parameters(kernel.system)),
            tangent: narrow(tangent),
            sums: vec![T::ZERO; extents[3]],
            logs: vec![T::NAN; extents[4]],
            states: vec![T::NAN; extents[5]],
            status: vec![0; extents[6]],
        }
    }

    pub fn run(&mut self, kernel: TangentEnsemble) {
        fn optional<T>(values: &mut [T]) -> View<'_, T> {
            match values.is_empty() {
                true => View::Absent,
                false => View::FloatMut(values),
            }
        }
        let parameters = match self.parameters.is_empty() {
            true => View::Absent,
            false => View::Float(&self.parameters),
        };
        let views = vec![
            View::FloatMut(&mut self.state),
            parameters,
            optional(&mut self.tangent),
            optional(&mut self.sums),
            optional(&mut self.logs),
            optional(&mut self.states),
            View::WordMut(&mut self.status),
        ];
        run(kernel, views).expect("the twin");
    }

    /// Sum of the logarithms of a column.
    pub fn total(&self, kernel: &TangentEnsemble, column: usize, trajectory: usize) -> f64 {
        let (k, n) = (kernel.tangents as usize, kernel.trajectories as usize);
        let at = |row: usize| self.sums[row * n + trajectory].to_f64();
        at(column) + at(k + column)
    }
}

/// The first k columns of the identity for every trajectory, laid out as `[k, dimension, trajectories]`.
pub(super) fn identity(kernel: &TangentEnsemble) -> Vec<f64> {
    let (dimension, n) = (kernel.system.dimension(), kernel.trajectories as usize);
    let rows = (0..kernel.tangents).flat_map(|j| (0..dimension).map(move |d| j == d));
    rows.flat_map(|one| vec![f64::from(u8::from(one)); n])
        .collect()
}

fn methods(system: DynamicalSystem) -> Vec<OdeMethod> {
    match system.is_flow() {
        false => vec![OdeMethod::EULER],
        true => vec![
            OdeMethod::EULER,
            OdeMethod::MIDPOINT,
            OdeMethod::HEUN,
            OdeMethod::RK4,
        ],
    }
}

/// States after one step against the formulas, tangents against central differences of them.
#[test]
fn one_step_is_the_formula_and_its_derivative() {
    let (rate, start, h, n) = (0.7, 2.3, 0.05, 7);
    for &system in DynamicalSystem::ALL {
        let (d, q) = (system.dimension() as usize, parameters(system));
        for method in methods(system) {
            let k = system.dimension();
            let kernel = TangentEnsemble {
                reorthonormalise_every: 0,
                ..TangentEnsemble::of_flow(system, method, (n, k), h, 1).with_clock(rate, start)
            };
            let n = n as usize;
            let (state, tangent) = (inside(d * n, 3), inside(d * d * n, 4));
            let mut found = Buffers::<f64>::of(&kernel, &state, &tangent);
            found.run(kernel);
            let clock = (rate * start, rate * h);
            for i in 0..n {
                let row = |values: &[f64], first: usize| -> Vec<f64> {
                    (0..d).map(|c| values[(first + c) * n + i]).collect()
                };
                let x = row(&state, 0);
                let next = stepped(system, method, h, &x, &q, clock);
                for (found, next) in row(&found.state, 0).iter().zip(&next) {
                    assert!(
                        (found - next).abs() < 1e-12,
                        "{} {found} {next}",
                        system.name()
                    );
                }
                for j in 0..d {
                    let w = row(&tangent, j * d);
                    let e = 1e-5;
                    let up = stepped(system, method, h, &plus(&x, e, &w), &q, clock);
                    let down = stepped(system, method, h, &plus(&x, -e, &w), &q, clock);
                    let found = row(&found.tangent, j * d);
                    for c in 0..d {
                        let slope = (up[c] - down[c]) / (2.0 * e);
                        assert!(
                            (found[c] - slope).abs() < 1e-7,
                            "{} {}: {} {slope}",
                            system.name(),
                            method.name(),
                            found[c]
                        );
                    }
                }
            }
            let mut single = Buffers::<f32>::of(&kernel, &state, &tangent);
            single.run(kernel);
            for (single, double) in single.tangent.iter().zip(&found.tangent) {
                assert!(
                    (f64::from(*single) - double).abs() < 2e-5,
                    "{}",
                    system.name()
                );
            }
        }
    }
}

/// Steps that turn the clock more than once, backwards too: the middle of a step is in its middle.
#[test]
fn the_middle_of_a_step_is_exact_whatever_the_turns() {
    let system = DynamicalSystem::DOUBLE_GYRE;
    let (state, tangent) = (vec![0.3, 0.4], vec![1.0, 0.0]);
    for (rate, h) in [
        (0.1, 0.5),
        (7.3, 0.5),
        (2.5, -0.5),
        (-3.1, 0.7),
        (40.0, -0.4),
    ] {
        let kernel = TangentEnsemble {
            reorthonormalise_every: 0,
            ..TangentEnsemble::of_flow(system, OdeMethod::RK4, (1, 1), h, 1).with_clock(rate, 0.2)
        };
        let mut found = Buffers::<f64>::of(&kernel, &state, &tangent);
        found.run(kernel);
        let clock = (rate * 0.2, rate * h);
        let expected = stepped(
            system,
            OdeMethod::RK4,
            h,
            &state,
            &parameters(system),
            clock,
        );
        for (found, expected) in found.state.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-11,
                "{rate} {h}: {found} {expected}"
            );
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let henon = TangentEnsemble::of_map(DynamicalSystem::HENON, 3, 2, 5);
    assert!(henon.check().is_ok());
    assert_refuses(
        TangentEnsemble {
            tangents: 3,
            ..henon
        },
        "tangents",
    );
    assert_refuses(
        TangentEnsemble {
            tangents: 0,
            ..henon
        },
        "tangents",
    );
    assert_refuses(TangentEnsemble { steps: 0, ..henon }, "steps");
    assert_refuses(
        TangentEnsemble {
            trajectories: 0,
            ..henon
        },
        "trajectories",
    );
    assert_refuses(TangentEnsemble { flags: 4, ..henon }, "flags");
    let unsummed = TangentEnsemble {
        reorthonormalise_every: 0,
        record_every: 2,
        ..henon
    };
    assert_refuses(unsummed, "record_every");
    assert_refuses(
        TangentEnsemble {
            tangent_stride: 5,
            ..henon
        },
        "tangent_stride",
    );
    let unknown: DynamicalSystem = bytemuck::cast(7_u32);
    assert_refuses(
        TangentEnsemble {
            system: unknown,
            ..henon
        },
        "system",
    );
    let flow =
        |method, step| TangentEnsemble::of_flow(DynamicalSystem::LORENZ63, method, (2, 3), step, 4);
    assert!(flow(OdeMethod::HEUN, -0.1).check().is_ok());
    assert_refuses(flow(OdeMethod::DORMAND_PRINCE54, 0.1), "method");
    assert_refuses(flow(OdeMethod::DORMAND_PRINCE5, 0.1), "method");
    assert_refuses(flow(OdeMethod::RK4, 0.0), "step");
    assert_refuses(flow(OdeMethod::RK4, f64::NAN), "step");
    let enormous = TangentEnsemble {
        trajectories: u32::MAX,
        ..TangentEnsemble::of_map(DynamicalSystem::LOGISTIC, 3, 0, 5)
    };
    assert_refuses(enormous, "trajectories");
}
