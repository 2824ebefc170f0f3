//! Dense matrices of modest size in double precision: QR by Householder reflections, singular values by
//! one-sided Jacobi rotations. For numbers about numbers; the maps' own matrices stay on the device.

use thiserror::Error;

/// A matrix that is not what a factorisation takes.
#[derive(Debug, Error)]
#[error("matrix: expected {expected}, found {found}")]
pub struct MatrixError {
    /// What was expected.
    pub expected: String,
    /// What was given.
    pub found: String,
}

fn check(a: &[f64], rows: usize, columns: usize) -> Result<(), MatrixError> {
    let expected = rows.checked_mul(columns);
    let fits = rows >= columns && columns > 0 && expected == Some(a.len());
    if fits && a.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    let finite = a.iter().filter(|value| value.is_finite()).count();
    Err(MatrixError {
        expected: format!(
            "finite numbers [{rows}, {columns}], no fewer rows than columns, at least 1"
        ),
        found: format!("{} numbers, {finite} of them finite", a.len()),
    })
}

/// Columns of a row-major matrix.
/// Columns of a row-major matrix.
pub(crate) fn columns_of(a: &[f64], columns: usize) -> Vec<Vec<f64>> {
    let column = |j: usize| a.iter().skip(j).step_by(columns).copied().collect();
    (0..columns).map(column).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `y -= factor * x`
fn subtract(y: &mut [f64], factor: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y -= factor * x;
    }
}

/// Reduced QR of a row-major `[rows, columns]` matrix: orthonormal columns Q `[rows, columns]` and upper
/// triangular R `[columns, columns]` with a diagonal that is not negative (Golub and Van Loan, "Matrix
/// Computations", section 5.2).
///
/// # Errors
/// [`MatrixError`] for fewer rows than columns, a wrong count, or numbers that are not finite.
pub fn qr(a: &[f64], rows: usize, columns: usize) -> Result<(Vec<f64>, Vec<f64>), MatrixError> {
    check(a, rows, columns)?;
    let mut work = columns_of(a, columns);
    let mut reflectors: Vec<Vec<f64>> = Vec::with_capacity(columns);
    for j in 0..columns {
        let reflector = reflector(&work[j][j..]);
        for column in work.iter_mut().skip(j) {
            reflect(&mut column[j..], &reflector);
        }
        reflectors.push(reflector);
    }
    let signs: Vec<f64> = (0..columns)
        .map(|j| if work[j][j] < 0.0 { -1.0 } else { 1.0 })
        .collect();
    let mut r = vec![0.0; columns * columns];
    let mut q = vec![0.0; rows * columns];
    for j in 0..columns {
        for i in 0..=j {
            r[i * columns + j] = signs[i] * work[j][i];
        }
        let mut column = vec![0.0; rows];
        column[j] = signs[j];
        for (i, reflector) in reflectors.iter().enumerate().rev() {
            reflect(&mut column[i..], reflector);
        }
        for (i, value) in column.into_iter().enumerate() {
            q[i * columns + j] = value;
        }
    }
    Ok((q, r))
}

/// The unit vector whose reflection takes `x` onto its first axis; zeros where there is nothing to do.
fn reflector(x: &[f64]) -> Vec<f64> {
    let largest = x.iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
    if largest == 0.0 {
        return vec![0.0; x.len()];
    }
    let mut v: Vec<f64> = x.iter().map(|value| value / largest).collect();
    let norm = dot(&v, &v).sqrt();
    v[0] += if v[0] < 0.0 { -norm } else { norm };
    let norm = dot(&v, &v).sqrt();
    v.iter_mut().for_each(|value| *value /= norm);
    v
}

fn reflect(x: &mut [f64], reflector: &[f64]) {
    let along = dot(x, reflector);
    subtract(x, 2.0 * along, reflector);
}

/// Singular values of a row-major `[rows, columns]` matrix, descending (one-sided Jacobi: Demmel and
/// Veselic, "Jacobi's method is more accurate than QR", SIAM J. Matrix Anal. Appl. 13, 1992).
///
/// # Errors
/// As [`qr`].
pub fn singular_values(a: &[f64], rows: usize, columns: usize) -> Result<Vec<f64>, MatrixError> {
    check(a, rows, columns)?;
    Ok(singular_values_of(columns_of(a, columns)))
}

/// [`singular_values`] of a matrix whose columns are finite and equally long.
pub(crate) fn singular_values_of(mut columns: Vec<Vec<f64>>) -> Vec<f64> {
    const SWEEPS: usize = 60;
    for _ in 0..SWEEPS {
        let mut turned = false;
        for j in 1..columns.len() {
            let (before, after) = columns.split_at_mut(j);
            let Some(y) = after.first_mut() else { continue };
            for x in before {
                turned |= rotate(x, y);
            }
        }
        if !turned {
            break;
        }
    }
    let lengths = columns.iter().map(|column| dot(column, column).sqrt());
    let mut values: Vec<f64> = lengths.collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// Turns two columns in their plane until they are orthogonal; whether they were not.
fn rotate(x: &mut [f64], y: &mut [f64]) -> bool {
    let (xx, yy, xy) = (dot(x, x), dot(y, y), dot(x, y));
    if xy.abs() <= f64::EPSILON * (xx * yy).sqrt() {
        return false;
    }
    let ratio = (yy - xx) / (2.0 * xy);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    for (x, y) in x.iter_mut().zip(y) {
        (*x, *y) = (cosine * (*x - tangent * *y), cosine * (tangent * *x + *y));
    }
    true
}

/// Row-major product `[m, k] x [k, n]`.
pub fn product(a: &[f64], b: &[f64], (m, k, n): (usize, usize, usize)) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for (row, out) in a.chunks_exact(k.max(1)).zip(c.chunks_exact_mut(n.max(1))) {
        for (&factor, line) in row.iter().zip(b.chunks_exact(n.max(1))) {
            subtract(out, -factor, line);
        }
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize, salt: u64) -> Vec<f64> {
        let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..count)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
            })
            .collect()
    }

    fn transposed(a: &[f64], columns: usize) -> Vec<f64> {
        columns_of(a, columns).concat()
    }

    #[test]
    fn a_matrix_is_the_product_of_its_factors() {
        for (rows, columns) in [(1, 1), (2, 2), (5, 3), (17, 16), (40, 7)] {
            let a = entries(rows * columns, 3);
            let (q, r) = qr(&a, rows, columns).unwrap();
            let again = product(&q, &r, (rows, columns, columns));
            let identity = product(&transposed(&q, columns), &q, (columns, rows, columns));
            for (x, y) in again.iter().zip(&a) {
                assert!((x - y).abs() < 1e-14, "{x} {y}");
            }
            for (at, x) in identity.iter().enumerate() {
                let expected = f64::from(u8::from(at % (columns + 1) == 0));
                assert!((x - expected).abs() < 1e-14);
            }
            for i in 0..columns {
                assert!(r[i * columns + i] >= 0.0);
                assert!((0..i).all(|j| r[i * columns + j] == 0.0));
            }
        }
    }

    #[test]
    fn singular_values_of_known_matrices() {
        // [[3, 0], [4, 5]] has the values sqrt(45) and sqrt(5).
        let values = singular_values(&[3.0, 0.0, 4.0, 5.0], 2, 2).unwrap();
        assert!((values[0] - 45.0_f64.sqrt()).abs() < 1e-14);
        assert!((values[1] - 5.0_f64.sqrt()).abs() < 1e-14);
        // Rotated from both sides, values over twenty orders of magnitude stay.
        let n = 6;
        let scales = [1e10, 3.0, 1.0, 1e-3, 1e-6, 1e-10];
        let (left, _) = qr(&entries(n * n, 1), n, n).unwrap();
        let mut scaled = left;
        for row in scaled.chunks_exact_mut(n) {
            row.iter_mut().zip(scales).for_each(|(x, s)| *x *= s);
        }
        let values = singular_values(&scaled, n, n).unwrap();
        for (value, expected) in values.iter().zip(scales) {
            assert!((value / expected - 1.0).abs() < 1e-9, "{value} {expected}");
        }
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        assert!(qr(&[1.0, 2.0], 1, 2).is_err());
        assert!(qr(&[1.0], 2, 1).is_err());
        assert!(qr(&[], 0, 0).is_err());
        assert!(qr(&[f64::NAN], 1, 1).is_err());
        assert!(singular_values(&[f64::INFINITY, 0.0], 2, 1).is_err());
    }
}
