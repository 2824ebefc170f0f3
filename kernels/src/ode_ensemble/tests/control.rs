//! Trajectories under step control.

use super::super::adaptive::inverse_fifth_root;
use super::super::{OdeEnsemble, OdeField, OdeMethod, OdeState};
use super::{integrate, start};
use crate::packet::Packet;
use crate::test_support::run;
use crate::{Kernel, Scalar, View};
use pulp::{Simd, WithSimd};

/// State, control and status afterwards.
fn control<T: Scalar>(kernel: OdeEnsemble, held: &mut (Vec<T>, Vec<T>, Vec<u32>), q: &[f64]) {
    let q: Vec<T> = q.iter().map(|v| T::from_f64(*v)).collect();
    let views = vec![
        View::FloatMut(&mut held.0),
        if q.is_empty() {
            View::Absent
        } else {
            View::Float(&q)
        },
        View::Absent,
        View::FloatMut(&mut held.1),
        View::WordMut(&mut held.2),
    ];
    run(kernel, views).unwrap();
}

fn begun<T: Scalar>(state: &[f64], count: usize) -> (Vec<T>, Vec<T>, Vec<u32>) {
    let state = state.iter().map(|v| T::from_f64(*v)).collect();
    (state, vec![T::ZERO; 3 * count], vec![0; 3 * count])
}

#[test]
fn step_control_keeps_its_tolerance_and_ends_on_the_end() {
    for (field, span) in [
        (OdeField::LORENZ63, 2.0),
        (OdeField::VAN_DER_POL, 9.0),
        (OdeField::DOUBLE_GYRE, 7.0),
    ] {
        let count = 133usize;
        let (x, q) = start(field, count);
        let fine = OdeEnsemble::fixed(
            field,
            OdeMethod::DORMAND_PRINCE5,
            count as u32,
            span / 8192.0,
            8192,
        );
        let (exact, _) = integrate::<f64>(fine.with_clock(0.1, 0.4), &x, &q);
        let mut last = f64::INFINITY;
        for tolerance in [1e-4f32, 1e-6, 1e-8] {
            let kernel = OdeEnsemble {
                relative_tolerance: tolerance,
                absolute_tolerance: tolerance,
                ..OdeEnsemble::adaptive(field, count as u32, span, 0.1, 10_000).with_clock(0.1, 0.4)
            };
            let mut held = begun::<f64>(&x, count);
            control(kernel, &mut held, &q);
            let (found, times, status) = held;
            assert!(status[2 * count..].iter().all(|s| *s == OdeState::DONE));
            assert!(times[..count].iter().all(|t| (*t - span).abs() < 1e-12));
            let largest = found
                .iter()
                .zip(&exact)
                .map(|(f, e)| (f - e).abs() / (1.0 + e.abs()));
            let largest = largest.fold(0.0, f64::max);
            // Errors grow along the way, by a hundredfold at most over these times.
            assert!(
                largest < 100.0 * f64::from(tolerance),
                "{}: {largest:e}",
                field.name()
            );
            assert!(
                largest < last,
                "{}: no better with {tolerance:e}",
                field.name()
            );
            last = largest;
        }
    }
}

#[test]
fn controlled_runs_do_not_hang_on_neighbours_or_cuts() {
    let count = 150usize;
    let (x, q) = start(OdeField::LORENZ63, count);
    let kernel = OdeEnsemble::adaptive(OdeField::LORENZ63, count as u32, 3.0, 0.5, 400);
    let mut whole = begun::<f32>(&x, count);
    control(kernel, &mut whole, &q);
    let rejected = &whole.2[count..2 * count];
    assert!(
        rejected.iter().any(|r| *r > 0),
        "the first step is far too long"
    );
    let mut parts = begun::<f32>(&x, count);
    for launch in 0..40 {
        control(
            OdeEnsemble {
                steps: 10,
                ..kernel
            }
            .at_step(launch),
            &mut parts,
            &q,
        );
    }
    assert_eq!(parts, whole);
    for i in [0usize, 64, 149] {
        let own: Vec<f64> = x.iter().skip(i).step_by(count).copied().collect();
        let mut alone = begun::<f32>(&own, 1);
        control(
            OdeEnsemble {
                trajectories: 1,
                ..kernel
            },
            &mut alone,
            &q,
        );
        for d in 0..3 {
            assert_eq!(alone.0[d], whole.0[d * count + i]);
            assert_eq!(alone.2[d], whole.2[d * count + i]);
        }
    }
}

#[test]
fn trajectories_that_do_not_arrive_say_so() {
    let mut few = begun::<f32>(&[1.0, 1.0, 1.0], 1);
    let kernel = OdeEnsemble::adaptive(OdeField::LORENZ63, 1, 50.0, 0.01, 9);
    control(kernel, &mut few, &[10.0, 28.0, 2.0]);
    assert_eq!(few.2[0] + few.2[1], 9);
    assert_eq!(few.2[2], OdeState::EXHAUSTED);
    assert!(few.1[0] > 0.0 && few.1[0] < 50.0);
    // x' = y, y' = -(-1e30) x: out of range within no time.
    let mut wild = begun::<f32>(&[1e30, 1e30], 1);
    let kernel = OdeEnsemble::adaptive(OdeField::OSCILLATOR, 1, 1.0, 0.01, 1000);
    control(kernel, &mut wild, &[-3e38, 0.0]);
    assert_eq!(wild.2[2], OdeState::STALLED);
    assert_eq!(wild.0, [1e30, 1e30]);
}

struct Roots<'a, T>(&'a mut [T]);

impl<T: Scalar> WithSimd for Roots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for start in (0..self.0.len()).step_by(Packet::<S, T, 2>::width()) {
            let x: Packet<S, T, 2> = Packet::load(simd, self.0, start);
            inverse_fifth_root(x).store(self.0, start);
        }
    }
}

#[test]
fn inverse_fifth_roots() {
    let x: Vec<f64> = (-1328..=1200)
        .map(|i| 2f64.powf(f64::from(i) / 100.0))
        .collect();
    let mut roots: Vec<f32> = x.iter().map(|v| *v as f32).collect();
    pulp::Arch::new().dispatch(Roots(&mut roots));
    for (root, x) in roots.iter().zip(&x) {
        let exact = x.powf(-0.2);
        assert!(
            (f64::from(*root) - exact).abs() < 2e-5 * exact,
            "{x}: {root} {exact}"
        );
    }
}
