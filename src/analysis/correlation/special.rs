//! Distribution functions: normal, Student's t.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Probability of a standard normal number below `z`.
pub(super) fn normal(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// The number below which a standard normal one falls with probability `p`, between 0 and 1; infinite at
/// the ends. Halley's method on [`normal`], from a rational approximation.
pub(super) fn normal_quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    if p > 0.5 {
        // The lower tail has all digits, the upper does not.
        return -normal_quantile(1.0 - p);
    }
    // Hastings' approximation (Abramowitz and Stegun 26.2.23), within 4.5e-4.
    let t = (-2.0 * p.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let mut z = above / below - t;
    // Two steps double the digits and a half more each; the third has nothing left to do.
    for _ in 0..3 {
        let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
        let newton = (normal(z) - p) / density;
        // Halley's correction for the curvature, -z times the slope.
        z -= newton / (1.0 + 0.5 * z * newton);
    }
    z
}

/// Probability that Student's t with `freedom` degrees of freedom is at least `|t|` from zero, either side.
pub(super) fn student_two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The regularised incomplete beta function (DLMF 8.17).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let log_front =
        libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * x.ln() + b * (-x).ln_1p();
    let front = log_front.exp();
    // The fraction converges quickly below the mean, and by symmetry above it.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of DLMF 8.17.22, by Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut denominator = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut numerator = 1.0;
    let mut fraction = denominator;
    // Steps go with the square root of the larger parameter.
    for step in 1..20_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            denominator = 1.0 / away(1.0 + term * denominator);
            numerator = away(1.0 + term / numerator);
            change = denominator * numerator;
            fraction *= change;
        }
        if (change - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers() {
        // Abramowitz and Stegun, table 26.1 and 26.5.
        assert!((normal(1.96) - 0.975_002_104_851_780).abs() < 1e-14);
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-13);
        assert!((normal_quantile(0.5)).abs() < 1e-15);
        for z in [-8.0, -3.0, -0.1, 0.4, 2.0, 5.0] {
            assert!((normal_quantile(normal(z)) - z).abs() < 1e-9, "{z}");
        }
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
    }

    #[test]
    fn tails_of_student() {
        // One degree of freedom is Cauchy's, two have a closed form.
        for t in [0.1, 1.0, 3.0, 30.0] {
            let cauchy = 1.0 - 2.0 * f64::atan(t) / PI;
            assert!((student_two_sided(t, 1.0) - cauchy).abs() < 1e-13);
            let two = 1.0 - t / (2.0 + t * t).sqrt();
            assert!((student_two_sided(-t, 2.0) - two).abs() < 1e-13);
        }
        // By quadrature with thirty digits.
        let ten = 0.050_000_000_001_808_67;
        assert!((student_two_sided(2.228_138_851_964_938_5, 10.0) - ten).abs() < 1e-14);
        assert!((student_two_sided(1.96, 1e7) - 2.0 * normal(-1.96)).abs() < 1e-6);
        assert_eq!(student_two_sided(0.0, 4.0), 1.0);
        assert_eq!(student_two_sided(f64::INFINITY, 4.0), 0.0);
    }
}
