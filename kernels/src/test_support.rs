//! What the kernels' unit tests share.

use crate::{AnyKernel, Kernel, KernelError, Operands, Scalar, View};

/// Checks and runs a kernel's twin.
pub(crate) fn run<T: Scalar, K: Kernel + Into<AnyKernel>>(
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

/// What [`assert_tangents`] fills outputs with, to see what was left alone.
const UNTOUCHED: f64 = 5.0;

/// Runs a kernel with operands x and y, or x, dx and y.
fn outputs<T: Scalar, K: Kernel + Into<AnyKernel>>(kernel: K, inputs: &[&[f64]]) -> Vec<T> {
    let length = kernel.extents().last().copied().unwrap_or(0);
    let mut out = vec![T::from_f64(UNTOUCHED); length];
    let inputs: Vec<Vec<T>> = inputs
        .iter()
        .map(|data| data.iter().map(|v| T::from_f64(*v)).collect())
        .collect();
    let mut views: Vec<_> = inputs.iter().map(|data| View::Float(data)).collect();
    views.push(View::FloatMut(&mut out));
    run(kernel, views).unwrap();
    out
}

/// Slope of a function at x along dx, by central differences; NaN where the function leaves its output
/// untouched.
pub(crate) fn central_difference(
    function: impl Fn(&[f64]) -> Vec<f64>,
    x: &[f64],
    dx: &[f64],
) -> Vec<f64> {
    let h = 1e-6;
    let moved = |h: f64| -> Vec<f64> { x.iter().zip(dx).map(|(x, dx)| x + h * dx).collect() };
    let (up, down) = (function(&moved(h)), function(&moved(-h)));
    let pairs = up.iter().zip(&down);
    pairs
        .map(|(up, down)| match *up == UNTOUCHED && *down == UNTOUCHED {
            true => f64::NAN,
            false => (up - down) / (2.0 * h),
        })
        .collect()
}

fn assert_within(found: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (found - expected).abs();
    let scale = 1.0 + expected.abs();
    assert!(
        error <= tolerance * scale,
        "{what}: {found} against {expected}"
    );
}

/// Holds every tangent of a kernel with operands x, dx and dy, made for a number of tangents, against
/// `naive` (which fills dy from x and dx, each in the primal's layout) and against central differences of
/// the primal, in double precision; single precision against double; and each tangent against itself
/// alone, bit for bit. Strides are those between tangents of x and of y.
pub(crate) fn assert_tangents<P, K>(
    what: &str,
    (primal, tangent): (P, impl Fn(u32) -> K),
    [x_stride, y_stride]: [usize; 2],
    x: &[f64],
    naive: impl Fn(&[f64], &[f64], &mut [f64]),
) where
    P: Kernel + Into<AnyKernel>,
    K: Kernel + Into<AnyKernel>,
{
    let count = 3;
    let x: Vec<f64> = x.iter().map(|v| f64::from(*v as f32)).collect();
    let extents = tangent(count).extents();
    let dx = widen(&numbers(extents[1], 77));
    let wide: Vec<f64> = outputs(tangent(count), &[&x, &dx]);
    let single: Vec<f32> = outputs(tangent(count), &[&x, &dx]);
    let length = primal.extents()[1];
    assert_eq!(extents[2], 2 * y_stride + length, "{what}");
    for j in 0..count as usize {
        let dx = &dx[j * x_stride..][..x.len()];
        let mut expected = vec![UNTOUCHED; length];
        naive(&x, dx, &mut expected);
        let differences = central_difference(|x| outputs(primal, &[x]), &x, dx);
        let alone: Vec<f32> = outputs(tangent(1), &[&x, dx]);
        for (i, (expected, difference)) in expected.iter().zip(differences).enumerate() {
            let at = j * y_stride + i;
            let what = format!("{what}, tangent {j}, element {i}");
            assert_within(wide[at], *expected, 1e-12, &what);
            if difference.is_nan() {
                assert_eq!(wide[at], UNTOUCHED, "{what}");
            } else {
                assert_within(wide[at], difference, 1e-7, &what);
            }
            assert_within(f64::from(single[at]), wide[at], 4e-6, &what);
            assert_eq!(single[at].to_bits(), alone[i].to_bits(), "{what}");
        }
        let gap = wide
            .iter()
            .take((j + 1) * y_stride)
            .skip(j * y_stride + length);
        assert!(gap.into_iter().all(|v| *v == UNTOUCHED), "{what}");
    }
}

/// Asserts that rows of a kernel with contiguous operands x `[rows, widths[0]]`, dx `[2, rows, widths[0]]`
/// and dy `[2, rows, widths[1]]` give the same bits alone as among others.
pub(crate) fn assert_rows_apart<K: Kernel + Into<AnyKernel>>(
    rows: u32,
    widths: [usize; 2],
    kernel: impl Fn(u32) -> K,
) {
    let [from, to] = widths;
    let count = rows as usize;
    let x = widen(&numbers(count * from, 5));
    let dx = widen(&numbers(2 * count * from, 6));
    let all: Vec<f32> = outputs(kernel(rows), &[&x, &dx]);
    for row in (0..count).step_by(37) {
        let second = &dx[(count + row) * from..][..from];
        let own = [&dx[row * from..][..from], second].concat();
        let alone: Vec<f32> = outputs(kernel(1), &[&x[row * from..][..from], &own]);
        assert_eq!(alone[..to], all[row * to..][..to], "row {row}");
        assert_eq!(alone[to..], all[(count + row) * to..][..to], "row {row}");
    }
}

/// Runs a kernel with operands x, dx and dy on one row in single precision.
pub(crate) fn tangent_of_row<K: Kernel + Into<AnyKernel>>(
    kernel: K,
    x: &[f32],
    dx: &[f32],
) -> Vec<f32> {
    outputs(kernel, &[&widen(x), &widen(dx)])
}
