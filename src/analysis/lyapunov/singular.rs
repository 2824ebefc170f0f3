//! Exponents by definition: singular values of the derivative of a whole orbit.

use super::error::{LyapunovError, shape};
use crate::analysis::matrices::{columns_of, singular_values_of};

/// `ln sigma_i / time` of the singular values of the derivative of a map over that time, `[dimension,
/// dimension]`, in falling order. Exponents by QR tend to these; over a finite time they depend on the
/// first tangents. A direction that is lost altogether gives minus infinity.
///
/// # Errors
/// [`LyapunovError`] if the matrix is not square of that dimension or not finite, or the time is not
/// positive.
pub fn singular_exponents(
    derivative: &[f64],
    dimension: usize,
    time: f64,
) -> Result<Vec<f64>, LyapunovError> {
    if dimension == 0 || dimension.checked_mul(dimension) != Some(derivative.len()) {
        let expected = format!("a square matrix of dimension {dimension}, at least 1");
        return Err(shape("derivative", expected, derivative.len()));
    }
    if !(time.is_finite() && time > 0.0) {
        return Err(shape("time", "positive and finite", time));
    }
    if let Some(at) = derivative.iter().position(|value| !value.is_finite()) {
        return Err(LyapunovError::NotFinite {
            what: "derivative",
            event: 0,
            column: at % dimension,
        });
    }
    let values = singular_values_of(columns_of(derivative, dimension));
    Ok(values.iter().map(|value| value.ln() / time).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_known_matrices() {
        // A rotation between two scalings far apart.
        let (s, c) = 0.7_f64.sin_cos();
        for (large, small) in [(3.0, 0.5), (1e9, 1e-9), (1.0, 1.0)] {
            let matrix = [c * large, -s * small, s * large, c * small];
            let found = singular_exponents(&matrix, 2, 2.0).unwrap();
            assert!((found[0] - f64::ln(large) / 2.0).abs() < 1e-14);
            assert!((found[1] - f64::ln(small) / 2.0).abs() < 1e-14);
        }
        let shear = singular_exponents(&[1.2, 5.0, 0.0, 0.9], 2, 1.0).unwrap();
        assert!((shear[0] - 1.651_739_515_128_170_6).abs() < 1e-14);
        assert!((shear[1] + 1.574_778_473_992_042_5).abs() < 1e-13);
        let lost = singular_exponents(&[1.0, 2.0, 2.0, 4.0], 2, 1.0).unwrap();
        assert!((lost[0] - 5.0_f64.ln()).abs() < 1e-14 && lost[1] < -30.0);
    }

    #[test]
    fn bad_matrices_are_refused() {
        assert!(singular_exponents(&[], 0, 1.0).is_err());
        assert!(singular_exponents(&[1.0; 3], 2, 1.0).is_err());
        assert!(singular_exponents(&[1.0], usize::MAX, 1.0).is_err());
        for time in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(singular_exponents(&[1.0], 1, time).is_err());
        }
        assert!(singular_exponents(&[f64::NAN], 1, 1.0).is_err());
    }
}
