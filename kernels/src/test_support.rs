//! What the kernels' unit tests share.

use crate::{AnyKernel, Kernel, KernelError, Operands, Real, View};

/// Checks and runs a kernel's twin.
pub(crate) fn run<T: Real, K: Kernel + Into<AnyKernel>>(
    kernel: K,
    views: Vec<View<'_, T>>,
) -> Result<(), KernelError> {
    let mut operands = Operands::new(K::NAME, K::OPERANDS, views, true);
    let kernel: AnyKernel = kernel.into();
    kernel.twin(&mut operands)
}

/// Reproducible numbers in [-1, 1), spread by a multiplicative hash.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    (0..count as u64)
        .map(|i| {
            let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.wrapping_mul(0xD1B5);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z >> 40) as f32) / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// The same numbers in double precision.
pub(crate) fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(*v)).collect()
}

/// Asserts that `found` is within `tolerance` (absolute and relative) of `expected`, element by element;
/// NaN only matches NaN.
pub(crate) fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let close = (f64::from(*f) - e).abs() <= tolerance * (1.0 + e.abs());
        let same = f64::from(*f) == *e || (f.is_nan() && e.is_nan());
        assert!(close || same, "{what}: element {i}: {f} against {e}");
    }
}

/// Asserts that a kernel's check refuses `parameter`.
pub(crate) fn assert_refuses<K: Kernel>(kernel: K, parameter: &str) {
    match kernel.check() {
        Err(KernelError::Parameter { parameter: p, .. }) => assert_eq!(p, parameter),
        other => panic!("expected {parameter} to be refused, got {other:?}"),
    }
}
