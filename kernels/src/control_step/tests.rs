//! The step against the equations of motion as a textbook has them, in double precision.

use super::*;
use crate::View;
use crate::test_support::{assert_refuses, numbers, run, widen};

/// Solves a symmetric pair of linear equations.
fn solve([a, b, c]: [f64; 3], f: [f64; 2]) -> [f64; 2] {
    let determinant = a * c - b * b;
    [
        (c * f[0] - b * f[1]) / determinant,
        (a * f[1] - b * f[0]) / determinant,
    ]
}

/// Generalised force of a soft limit: joint, range, time constant and inverse weight.
struct SoftLimit(usize, f64, f64, f64);

impl SoftLimit {
    fn force(&self, h: f64, q: [f64; 2], v: [f64; 2], mass: [f64; 3], f: [f64; 2]) -> f64 {
        let Self(joint, range, constant, weight) = *self;
        for (s, r) in [(1.0, q[joint] + range), (-1.0, range - q[joint])] {
            if r >= 0.0 {
                continue;
            }
            let x = r.abs() / 0.001;
            let y = if x >= 1.0 {
                1.0
            } else if x <= 0.5 {
                2.0 * x.powi(2)
            } else {
                1.0 - 2.0 * (1.0 - x).powi(2)
            };
            let imp = 0.9 + 0.05 * y;
            let time = f64::max(constant, 2.0 * h);
            let stiffness = 1.0 / (0.95 * time).powi(2);
            let damping = 2.0 / (0.95 * time);
            let aref = -damping * s * v[joint] - stiffness * imp * r;
            let resistance = (1.0 - imp) / imp * weight;
            let mut unit = [0.0; 2];
            unit[joint] = 1.0;
            let compliance = solve(mass, unit)[joint];
            let free = solve(mass, f)[joint];
            return s * f64::max(0.0, (aref - s * free) / (compliance + resistance));
        }
        0.0
    }
}

fn cartpole_acceleration(q: [f64; 2], v: [f64; 2], u: f64) -> [f64; 2] {
    let (mc, mp, l, inertia) = (1.0, 0.1, 0.5, 0.009424592767295598);
    let mass = [mc + mp, mp * l * q[1].cos(), inertia + mp * l * l];
    let mut f = [
        10.0 * u + mp * l * q[1].sin() * v[1] * v[1] - 5e-4 * v[0],
        mp * 9.81 * l * q[1].sin() - 2e-6 * v[1],
    ];
    f[0] += SoftLimit(0, 1.8, 0.08, 0.9733520544614127).force(0.01, q, v, mass, f);
    solve(mass, f)
}

fn acrobot_acceleration(q: [f64; 2], v: [f64; 2], u: f64) -> [f64; 2] {
    let (i1, i2, hh) = (0.0955703125, 0.09530365719649561, 0.5);
    let (c, s) = (q[1].cos(), q[1].sin());
    let mass = [
        i1 + i2 + 0.25 + 1.25 + 2.0 * hh * c,
        i2 + 0.25 + hh * c,
        i2 + 0.25,
    ];
    let low = 0.5 * (q[0] + q[1]).sin();
    let bias = [
        -hh * s * (2.0 * v[0] * v[1] + v[1] * v[1]) - 9.81 * (1.5 * q[0].sin() + low),
        hh * s * v[0] * v[0] - 9.81 * low,
    ];
    let f = [-bias[0] - 0.05 * v[0], -bias[1] - 0.05 * v[1] + 2.0 * u];
    solve(mass, f)
}

type State = ([f64; 2], [f64; 2]);

fn fourth_order((q, v): State, acceleration: impl Fn([f64; 2], [f64; 2]) -> [f64; 2]) -> State {
    let h = 0.01;
    let add = |x: [f64; 2], t: f64, d: [f64; 2]| [x[0] + t * d[0], x[1] + t * d[1]];
    let a1 = acceleration(q, v);
    let v2 = add(v, h / 2.0, a1);
    let a2 = acceleration(add(q, h / 2.0, v), v2);
    let v3 = add(v, h / 2.0, a2);
    let a3 = acceleration(add(q, h / 2.0, v2), v3);
    let v4 = add(v, h, a3);
    let a4 = acceleration(add(q, h, v3), v4);
    let mean = |a: [f64; 2], b: [f64; 2], c: [f64; 2], d: [f64; 2]| {
        std::array::from_fn(|i| (a[i] + 2.0 * b[i] + 2.0 * c[i] + d[i]) / 6.0)
    };
    (
        add(q, h, mean(v, v2, v3, v4)),
        add(v, h, mean(a1, a2, a3, a4)),
    )
}

fn reacher_textbook((q, v): State, u: &[f64]) -> State {
    let (m1, i1, c1) = (0.04188790204786391, 6.33135639453463e-05, 0.06);
    let (mh, ih, ch) = (0.03560471674068432, 3.9175660390264734e-05, 0.05);
    let (mf, inf, l, h) = (0.004188790204786391, 1.6755160819145565e-07, 0.12, 0.02);
    let b = mh * ch + mf * 0.12;
    let j2 = ih + mh * ch * ch + inf + mf * 0.12 * 0.12;
    let (c, s) = (q[1].cos(), q[1].sin());
    let mass = [
        i1 + m1 * c1 * c1 + (mh + mf) * l * l + j2 + 2.0 * l * b * c,
        j2 + l * b * c,
        j2,
    ];
    let coriolis = [
        -l * b * s * (2.0 * v[0] * v[1] + v[1] * v[1]),
        l * b * s * v[0] * v[0],
    ];
    let mut f: [f64; 2] = std::array::from_fn(|i| 0.05 * u[i] - 0.01 * v[i] - coriolis[i]);
    let limit = SoftLimit(1, 2.792526803190927, 0.02, 20740.54873181604);
    f[1] += limit.force(h, q, v, mass, f);
    let a = solve([mass[0] + 0.01 * h, mass[1], mass[2] + 0.01 * h], f);
    let v = [v[0] + h * a[0], v[1] + h * a[1]];
    ([q[0] + h * v[0], q[1] + h * v[1]], v)
}

fn finger(q: [f64; 2]) -> [f64; 2] {
    let both = q[0] + q[1];
    [
        0.12 * q[0].cos() + 0.12 * both.cos(),
        0.12 * q[0].sin() + 0.12 * both.sin(),
    ]
}

/// One step from observation to observation over rebuilt angles.
pub(crate) fn textbook(system: ControlSystem, o: &[f64], u: &[f64]) -> Vec<f64> {
    match system {
        ControlSystem::CARTPOLE => {
            let start = ([o[0], o[2].atan2(o[1])], [o[3], o[4]]);
            let (q, v) = fourth_order(start, |q, v| cartpole_acceleration(q, v, u[0]));
            vec![q[0], q[1].cos(), q[1].sin(), v[0], v[1]]
        }
        ControlSystem::REACHER => {
            let before = finger([o[0], o[1]]);
            let (q, v) = reacher_textbook(([o[0], o[1]], [o[4], o[5]]), u);
            let after = finger(q);
            let to = |i: usize| before[i] + o[2 + i] - after[i];
            vec![q[0], q[1], to(0), to(1), v[0], v[1]]
        }
        _ => {
            let (upper, lower) = (o[0].atan2(o[2]), o[1].atan2(o[3]));
            let start = ([upper, lower - upper], [o[4], o[5]]);
            let (q, v) = fourth_order(start, |q, v| acrobot_acceleration(q, v, u[0]));
            let lower = q[0] + q[1];
            vec![q[0].sin(), lower.sin(), q[0].cos(), lower.cos(), v[0], v[1]]
        }
    }
}

/// Observations of all kinds of motion: slow, fast, and around and beyond a joint's limit.
pub(crate) fn observations(system: ControlSystem, rows: usize) -> Vec<f32> {
    let unit = numbers(rows * 6, 17);
    let mut all = Vec::new();
    for (row, r) in unit.chunks(6).enumerate() {
        let pace = [0.1, 2.0, 12.0][row % 3];
        let beyond = [0.0, 1.0, -1.0, 1.0][row % 4];
        let (s, c) = (3.2 * r[1]).sin_cos();
        match system {
            ControlSystem::CARTPOLE => {
                let x = match row % 4 {
                    0 => 1.7 * r[0],
                    _ => beyond * (1.8005 + 0.0011 * r[0]),
                };
                all.extend([x, c, s, pace * r[2], pace * r[3]]);
            }
            ControlSystem::REACHER => {
                let wrist = match row % 4 {
                    0 => 2.7 * r[0],
                    _ => beyond * (2.793 + 0.0011 * r[0]),
                };
                all.extend([
                    9.0 * r[1],
                    wrist,
                    0.3 * r[2],
                    0.3 * r[3],
                    pace * r[4],
                    pace * r[5],
                ]);
            }
            _ => {
                let (s2, c2) = (3.2 * r[0]).sin_cos();
                all.extend([s, s2, c, c2, pace * r[2], pace * r[3]]);
            }
        }
    }
    all
}

fn step<T: crate::Scalar>(kernel: ControlStep, obs: &[T], action: &[T]) -> Vec<T> {
    let mut next = vec![T::from_f64(7.0); kernel.extents()[2]];
    let views = vec![
        View::Float(obs),
        View::Float(action),
        View::FloatMut(&mut next),
    ];
    run(kernel, views).unwrap();
    next
}

#[test]
fn both_precisions_follow_the_equations_of_motion() {
    for &system in ControlSystem::ALL {
        let (n, m) = (system.observation() as usize, system.action() as usize);
        let mut limited = 0;
        for rows in [1u32, 67, 1999] {
            let obs = observations(system, rows as usize);
            let action = numbers(rows as usize * m, 5);
            let kernel = ControlStep::contiguous(system, rows);
            let single = step(kernel, &obs, &action);
            let (obs, action) = (widen(&obs), widen(&action));
            let double = step(kernel, &obs, &action);
            for row in 0..rows as usize {
                let (o, u) = (&obs[row * n..][..n], &action[row * m..][..m]);
                let expected = textbook(system, o, u);
                let size = expected
                    .iter()
                    .chain(o)
                    .fold(1.0, |a: f64, b| a.max(b.abs()));
                for (i, expected) in expected.iter().enumerate() {
                    let at = row * n + i;
                    let error = (double[at] - expected).abs();
                    assert!(error <= 1e-13 * size, "{system:?} {row} {i}: {error:e}");
                    let error = (f64::from(single[at]) - expected).abs();
                    assert!(
                        error <= 2e-6 * size,
                        "{system:?} {row} {i}: {error:e} of {size}"
                    );
                }
                limited += usize::from(o[0].abs() > 1.8 && n == 5 || o[1].abs() > 2.7926 && n == 6);
            }
        }
        assert!(
            limited > 500 || system == ControlSystem::ACROBOT,
            "{limited}"
        );
    }
}

#[test]
fn any_layout_and_an_action_for_all() {
    for &system in ControlSystem::ALL {
        let (n, m) = (system.observation(), system.action());
        let plain = ControlStep::contiguous(system, 5);
        let kernel = ControlStep {
            obs_offset: 2,
            obs_row_stride: n + 3,
            action_offset: 1,
            action_row_stride: 0,
            next_offset: 3,
            next_row_stride: n + 2,
            ..plain
        };
        let rows = observations(system, 5);
        let mut obs = vec![f32::NAN; kernel.extents()[0]];
        for (row, values) in rows.chunks(n as usize).enumerate() {
            obs[2 + row * (n as usize + 3)..][..n as usize].copy_from_slice(values);
        }
        let own = numbers(m as usize, 3);
        let mut action = vec![f32::NAN];
        action.extend(&own);
        let found = step(kernel, &obs, &action);
        let expected = step(plain, &rows, &own.repeat(5));
        let mut all = vec![7.0; found.len()];
        for (row, values) in expected.chunks(n as usize).enumerate() {
            all[3 + row * (n as usize + 2)..][..n as usize].copy_from_slice(values);
        }
        assert_eq!(found, all);
        // Alone, a row has the same bits.
        for (row, values) in rows.chunks(n as usize).enumerate() {
            let alone = step(ControlStep::contiguous(system, 1), values, &own);
            assert_eq!(alone, expected[row * n as usize..][..n as usize]);
        }
    }
}

#[test]
fn directions_count_by_their_angle_alone() {
    let obs = [0.3f64, 0.6, -0.8, 1.0, -2.0];
    let kernel = ControlStep::contiguous(ControlSystem::CARTPOLE, 1);
    let unit = step(kernel, &obs, &[0.5]);
    for length in [1e-200, 0.25, 1e200] {
        let scaled = [obs[0], obs[1] * length, obs[2] * length, obs[3], obs[4]];
        for (found, expected) in step(kernel, &scaled, &[0.5]).iter().zip(&unit) {
            assert!((found - expected).abs() < 1e-14);
        }
    }
    let nowhere = step(kernel, &[0.3, 0.0, 0.0, 1.0, -2.0], &[0.5]);
    assert_eq!(nowhere, step(kernel, &[0.3, 1.0, 0.0, 1.0, -2.0], &[0.5]));
}

#[test]
fn what_is_not_a_number_is_not_hidden() {
    for &system in ControlSystem::ALL {
        let kernel = ControlStep::contiguous(system, 1);
        let (n, m) = (system.observation() as usize, system.action() as usize);
        for at in 0..n {
            let mut obs = observations(system, 1);
            obs[at] = f32::NAN;
            let next = step(kernel, &obs, &vec![0.5; m]);
            assert!(next.iter().any(|v| v.is_nan()), "{system:?} {at}");
        }
    }
}

#[test]
fn bad_parameters_and_cost() {
    let good = ControlStep::contiguous(ControlSystem::REACHER, 7);
    good.check().unwrap();
    assert_eq!(good.extents(), [42, 14, 42]);
    assert_refuses(ControlStep { rows: 0, ..good }, "rows");
    let next_row_stride = 5;
    assert_refuses(
        ControlStep {
            next_row_stride,
            ..good
        },
        "next_row_stride",
    );
    let system = bytemuck::cast(3u32);
    assert_refuses(ControlStep { system, ..good }, "system");
    assert_eq!(good.cost().bytes, 7 * 4 * 14);
}
