//! Orthonormalisation: exact sums, lost columns, numbers that are not finite.

use super::{Buffers, identity};
use crate::Scalar;
use crate::tangent_ensemble::{DynamicalSystem, TangentEnsemble};

/// Q of every trajectory is orthonormal within `tolerance`.
fn assert_orthonormal<T: Scalar>(kernel: &TangentEnsemble, buffers: &Buffers<T>, tolerance: f64) {
    let (d, n) = (
        kernel.system.dimension() as usize,
        kernel.trajectories as usize,
    );
    let k = kernel.tangents as usize;
    for i in 0..n {
        let column = |j: usize| -> Vec<f64> {
            (0..d)
                .map(|c| buffers.tangent[(j * d + c) * n + i].to_f64())
                .collect()
        };
        for (a, b) in (0..k).flat_map(|a| (0..=a).map(move |b| (a, b))) {
            let dot: f64 = column(a).iter().zip(column(b)).map(|(x, y)| x * y).sum();
            let expected = f64::from(u8::from(a == b));
            assert!((dot - expected).abs() <= tolerance, "{a} {b}: {dot}");
        }
    }
}

/// The logarithms of all columns add up to that of the determinant, which for these maps is a constant.
#[test]
fn volumes_grow_as_the_determinant_says() {
    let constant = [
        (DynamicalSystem::HENON, 0.3_f64.ln()),
        (DynamicalSystem::CAT, 0.0),
        (DynamicalSystem::STANDARD_MAP, 0.0),
        (DynamicalSystem::IKEDA, 2.0 * 0.9_f64.ln()),
    ];
    for (system, expected) in constant {
        for every in [1, 3] {
            let kernel = TangentEnsemble {
                reorthonormalise_every: every,
                ..TangentEnsemble::of_map(system, 5, 2, 300)
            };
            let mut double = Buffers::<f64>::of(&kernel, &[0.1; 10], &identity(&kernel));
            double.run(kernel);
            let mut single = Buffers::<f32>::of(&kernel, &[0.1; 10], &identity(&kernel));
            single.run(kernel);
            assert_orthonormal(&kernel, &double, 1e-14);
            assert_orthonormal(&kernel, &single, 1e-6);
            for i in 0..5 {
                let sum = (0..2).map(|j| double.total(&kernel, j, i)).sum::<f64>() / 300.0;
                assert!((sum - expected).abs() < 1e-13, "{} {sum}", system.name());
                let sum = (0..2).map(|j| single.total(&kernel, j, i)).sum::<f64>() / 300.0;
                assert!((sum - expected).abs() < 3e-6, "{} {sum}", system.name());
            }
        }
    }
}

/// Half of 60,000 steps later a plain sum in single precision has lost four digits.
#[test]
fn long_sums_are_compensated() {
    let kernel = TangentEnsemble::of_map(DynamicalSystem::CAT, 1, 2, 100_000);
    let mut found = Buffers::<f32>::of(&kernel, &[0.3, 0.7], &identity(&kernel));
    found.run(kernel);
    let exact = ((3.0 + 5.0_f64.sqrt()) / 2.0).ln();
    // The first steps turn the tangent.
    let mean = found.total(&kernel, 0, 0) / 1e5;
    assert!((mean - exact).abs() < 3e-6, "{mean}");
}

#[test]
fn lost_columns_are_replaced_and_counted() {
    // Two equal tangents of the second of three trajectories, and one of zero of the third.
    let kernel = TangentEnsemble::of_map(DynamicalSystem::HENON, 3, 2, 1);
    let tangent = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0];
    fn check<T: Scalar>(kernel: TangentEnsemble, tangent: &[f64]) {
        let mut found = Buffers::<T>::of(&kernel, &[0.1; 6], tangent);
        found.run(kernel);
        assert_orthonormal(&kernel, &found, 1e-6);
        assert_eq!(found.status, [0, 1, 1, 0, 0, 0, 0, 0, 0]);
        let least = 1e-30_f64.ln();
        assert!(
            found.total(&kernel, 1, 1) <= -14.0,
            "{}",
            found.total(&kernel, 1, 1)
        );
        assert!((found.total(&kernel, 0, 2) - least).abs() < 1e-5);
        // The first axis took the place of nothing; the other column is left with b.
        assert!((found.total(&kernel, 1, 2) - 0.3_f64.ln()).abs() < 1e-6);
        assert!(found.sums.iter().all(|sum| sum.is_finite()));
    }
    check::<f32>(kernel, &tangent);
    check::<f64>(kernel, &tangent);
    // A slope of exactly zero: the top of the parabola.
    let top = TangentEnsemble::of_map(DynamicalSystem::LOGISTIC, 1, 1, 1);
    let mut found = Buffers::<f32>::of(&top, &[0.5], &[1.0]);
    found.run(top);
    assert_eq!((found.status[0], found.tangent[0]), (1, 1.0));
    assert!((found.total(&top, 0, 0) - 1e-30_f64.ln()).abs() < 1e-4);
}

/// Columns as small and as large as single precision holds.
#[test]
fn squares_of_norms_neither_overflow_nor_underflow() {
    let kernel = TangentEnsemble::of_map(DynamicalSystem::CAT, 1, 2, 1);
    let mut found = Buffers::<f32>::of(&kernel, &[0.3, 0.7], &[3e28, 0.0, 0.0, 1e25]);
    found.run(kernel);
    assert_eq!(found.status, [0, 0, 0]);
    let (first, sum) = (found.total(&kernel, 0, 0), 3e53_f64.ln());
    assert!((first - (3e28 * 5.0_f64.sqrt()).ln()).abs() < 1e-4);
    assert!((first + found.total(&kernel, 1, 0) - sum).abs() < 1e-3);
}

#[test]
fn runaways_are_told_with_their_step_and_left_out_of_the_sums() {
    let kernel = TangentEnsemble {
        record_every: 4,
        ..TangentEnsemble::of_map(DynamicalSystem::HENON, 3, 2, 400)
    };
    // The second trajectory leaves: 1 - 1.4 x^2 squares the error.
    let state = [0.1, 5.0, 0.2, 0.1, 5.0, 0.1];
    fn check<T: Scalar>(kernel: TangentEnsemble, state: &[f64]) -> u32 {
        let mut found = Buffers::<T>::of(&kernel, state, &identity(&kernel));
        found.run(kernel);
        assert!(
            found
                .sums
                .iter()
                .chain(&found.logs)
                .all(|sum| sum.is_finite())
        );
        assert_eq!([found.status[3], found.status[5]], [0, 0]);
        // Its neighbours do not notice.
        let alone = TangentEnsemble {
            trajectories: 1,
            component_stride: 1,
            tangent_stride: 2,
            ..kernel
        };
        let mut own = Buffers::<T>::of(&alone, &[0.2, 0.1], &[1.0, 0.0, 0.0, 1.0]);
        own.run(alone);
        assert_eq!(own.total(&alone, 0, 0), found.total(&kernel, 0, 2));
        found.status[4]
    }
    let (single, double) = (check::<f32>(kernel, &state), check::<f64>(kernel, &state));
    // x -> -1.4 x^2: the logarithm doubles, so that 2^n ln(1.4 * 5) passes that of the largest number.
    assert_eq!((single, double), (6, 9));
}

/// In single precision the logistic map at 4 soon repeats itself; in double precision not within these steps.
#[test]
fn cycles_of_the_machine_are_told() {
    let mut kernel = TangentEnsemble::of_map(DynamicalSystem::LOGISTIC, 1, 1, 60_000);
    kernel.tangents = 1;
    let mut single = Buffers::<f32>::of(&kernel, &[0.314_159_2], &[1.0]);
    single.parameters = vec![4.0];
    single.run(kernel);
    assert!(single.status[2] > 0);
    let mut double = Buffers::<f64>::of(&kernel, &[0.314_159_2], &[1.0]);
    double.parameters = vec![4.0];
    double.run(kernel);
    assert_eq!(double.status, [0, 0, 0]);
    let mean = double.total(&kernel, 0, 0) / 6e4;
    assert!((mean - 2.0_f64.ln()).abs() < 3e-3, "{mean}");
}

/// Orbits on and off cycles side by side: the step is that of the orbit, wherever QR takes place.
#[test]
fn cycles_are_told_by_their_step() {
    fn check<T: Scalar>(every: u32) {
        let mut kernel = TangentEnsemble::of_map(DynamicalSystem::LOGISTIC, 5, 1, 40);
        kernel.tangents = 1;
        kernel.reorthonormalise_every = every;
        // At once; 1/2, 1, 0, 0; 3/4 for ever; chaos; off to infinity.
        let state = [0.0, 0.5, 0.75, 0.314_159_2, -3.0];
        let mut found = Buffers::<T>::of(&kernel, &state, &[1.0; 5]);
        found.parameters = vec![T::from_f64(4.0)];
        found.run(kernel);
        assert_eq!(found.status[10..], [1, 3, 1, 0, 0], "every {every}");
        assert_eq!(found.status[5..9], [0; 4]);
        assert!(found.status[9] > 0);
    }
    for every in [1, 2, 7, 40] {
        check::<f32>(every);
        check::<f64>(every);
    }
}
