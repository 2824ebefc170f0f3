//! The tangents against central differences of the step in double precision.

use super::*;
use crate::View;
use crate::control_step::tests::observations;
use crate::test_support::{assert_refuses, numbers, run, widen};

fn step(system: ControlSystem, obs: &[f64], action: &[f64]) -> Vec<f64> {
    let rows = obs.len() as u32 / system.observation();
    let kernel = ControlStep::contiguous(system, rows);
    let mut next = vec![0.0; kernel.extents()[2]];
    let views = vec![
        View::Float(obs),
        View::Float(action),
        View::FloatMut(&mut next),
    ];
    run(kernel, views).unwrap();
    next
}

fn view<T>(x: &[T], used: usize) -> View<'_, T> {
    match used {
        0 => View::Absent,
        _ => View::Float(x),
    }
}

fn tangents<T: crate::Scalar>(kernel: ControlStepTangent, inputs: [&[T]; 4]) -> Vec<T> {
    let extents = kernel.extents();
    let mut out = vec![T::from_f64(7.0); extents[4]];
    let views = vec![
        View::Float(inputs[0]),
        View::Float(inputs[1]),
        view(inputs[2], extents[2]),
        view(inputs[3], extents[3]),
        View::FloatMut(&mut out),
    ];
    run(kernel, views).unwrap();
    out
}

/// Rows that no joint limit's corner lies next to.
fn smooth(system: ControlSystem, rows: usize) -> Vec<f64> {
    let n = system.observation() as usize;
    let all = widen(&observations(system, rows));
    let away = |o: &&[f64]| match system {
        ControlSystem::CARTPOLE => (o[0].abs() - 1.8).abs() > 1e-5,
        ControlSystem::REACHER => (o[1].abs() - 2.792_526_803).abs() > 1e-5,
        _ => true,
    };
    all.chunks(n).filter(away).flatten().copied().collect()
}

#[test]
fn follow_differences_through_limits_and_stages() {
    for &system in ControlSystem::ALL {
        let (n, m) = (system.observation() as usize, system.action() as usize);
        let obs = smooth(system, 240);
        let rows = obs.len() / n;
        assert!(rows > 180);
        let action = widen(&numbers(rows * m, 5));
        let count = 11;
        let dobs = widen(&numbers(count * (obs.len() + 4), 6));
        let daction = widen(&numbers(count * action.len(), 7));
        let primal = ControlStep::contiguous(system, rows as u32);
        let strides = [(obs.len() + 4) as u32, action.len() as u32];
        let mut corners = 0;
        for inputs in [strides, [strides[0], 0], [0, strides[1]]] {
            let next = obs.len() as u32 + 3;
            let kernel = ControlStepTangent::new(primal, count as u32, inputs, next);
            kernel.check().unwrap();
            let found = tangents(kernel, [&obs, &action, &dobs, &daction]);
            for j in 0..count {
                let along = |h: f64| {
                    let by = inputs.map(|stride| if stride == 0 { 0.0 } else { h });
                    let own = &dobs[j * strides[0] as usize..];
                    let moved = obs.iter().zip(own).map(|(x, d)| x + by[0] * d);
                    let driven = action.iter().zip(&daction[j * action.len()..]);
                    let driven: Vec<f64> = driven.map(|(x, d)| x + by[1] * d).collect();
                    step(system, &moved.collect::<Vec<_>>(), &driven)
                };
                // Two distances: where they differ, a stage crosses a corner of a limit.
                let slopes = [1e-7, 2e-7].map(|h| -> Vec<f64> {
                    let pairs = along(h).into_iter().zip(along(-h));
                    pairs.map(|(a, b)| (a - b) / (2.0 * h)).collect()
                });
                for i in 0..obs.len() {
                    let [near, far] = [slopes[0][i], slopes[1][i]];
                    let size = 1.0 + near.abs();
                    if (near - far).abs() > 1e-6 * size {
                        corners += 1;
                        continue;
                    }
                    let found = found[j * next as usize + i];
                    let error = (found - near).abs() / size;
                    assert!(error < 3e-6, "{system:?} {j} {i}: {found} against {near}");
                }
            }
        }
        assert!(corners < 60, "{system:?}: {corners}");
    }
}

#[test]
fn single_precision_and_tangents_on_their_own() {
    for &system in ControlSystem::ALL {
        let (n, m) = (system.observation() as usize, system.action() as usize);
        let rows = 67;
        let obs = observations(system, rows);
        let action = numbers(rows * m, 5);
        let (dobs, daction) = (numbers(9 * rows * n, 6), numbers(9 * rows * m, 7));
        let strides = [(rows * n) as u32, (rows * m) as u32];
        let primal = ControlStep::contiguous(system, rows as u32);
        let many = ControlStepTangent::new(primal, 9, strides, strides[0]);
        let single = tangents(many, [&obs, &action, &dobs, &daction]);
        let wide = [&obs, &action, &dobs, &daction].map(|x| widen(x));
        let double = tangents(many, [&wide[0], &wide[1], &wide[2], &wide[3]]);
        for (row, (single, double)) in single.chunks(n).zip(double.chunks(n)).enumerate() {
            let size = double.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
            for (found, expected) in single.iter().zip(double) {
                let error = (f64::from(*found) - expected).abs();
                // At the foot of a limit the force's slope hangs on how far beyond it is.
                assert!(
                    error < 2e-4 * size,
                    "{system:?} {row}: {found} against {expected}"
                );
            }
        }
        let one = ControlStepTangent::new(
            ControlStep::contiguous(system, 1),
            1,
            [n as u32, m as u32],
            n as u32,
        );
        for j in 0..9 {
            for row in (0..rows).step_by(13) {
                let at = [row * n, row * m, (j * rows + row) * n, (j * rows + row) * m];
                let alone = tangents(
                    one,
                    [
                        &obs[at[0]..],
                        &action[at[1]..],
                        &dobs[at[2]..],
                        &daction[at[3]..],
                    ],
                );
                assert_eq!(alone, single[at[2]..][..n], "{system:?} {j} {row}");
            }
        }
    }
}

#[test]
fn bad_parameters_and_cost() {
    let primal = ControlStep::contiguous(ControlSystem::REACHER, 7);
    let good = ControlStepTangent::new(primal, 3, [42, 14], 42);
    good.check().unwrap();
    assert_eq!(good.extents(), [42, 14, 126, 42, 126]);
    assert_refuses(ControlStepTangent { rows: 0, ..good }, "rows");
    assert_refuses(
        ControlStepTangent {
            tangents: 0,
            ..good
        },
        "tangents",
    );
    let still = ControlStepTangent::new(primal, 3, [0, 0], 42);
    assert_refuses(still, "obs_tangent_stride");
    let next_tangent_stride = 41;
    assert_refuses(
        ControlStepTangent {
            next_tangent_stride,
            ..good
        },
        "next_tangent_stride",
    );
    let constant = ControlStepTangent::new(primal, 3, [42, 0], 42);
    assert_eq!(constant.extents(), [42, 14, 126, 0, 126]);
    assert_eq!(constant.cost().bytes, 7 * 4 * (8 + 3 * 12));
}
