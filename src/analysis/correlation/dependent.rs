//! Is one metric really better than another? Two correlations that share a column.

use super::bootstrap::{ascending, checked_pairs, percentiles, resampled};
use super::special::student_two_sided;
use super::{BootstrapOptions, CorrelationError, Method};
use serde::Serialize;

/// Williams' test of two dependent correlations (Williams 1959, recommended by Steiger 1980), on ranks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Williams {
    /// Student's t; positive where the first correlation is the higher one.
    pub t: f64,
    /// Degrees of freedom, `n - 3`.
    pub freedom: f64,
    /// Probability of a t at least as far from zero.
    pub p_value: f64,
}

/// How much better one column follows a third than another does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dependent {
    /// Coefficient of the first column with the third.
    pub first: f64,
    /// Coefficient of the second column with the third.
    pub second: f64,
    /// Coefficient of the two columns.
    pub between: f64,
    /// `|first| - |second|`: columns that fall where others rise predict as well.
    pub difference: f64,
    /// Lower end of the percentile interval of the difference, the signs being those of all pairs.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Whether the interval lies on one side of zero.
    pub clears_zero: bool,
    /// Resamples in which all columns vary.
    pub valid: usize,
    /// The test of the same difference; none for Kendall's coefficient, and where it is undefined.
    pub williams: Option<Williams>,
}

/// `t = (r12 - r13) sqrt((n-1)(1+r23) / (2 (n-1)/(n-3) |R| + m^2 (1-r23)^3))` with
/// `|R| = 1 - r12^2 - r13^2 - r23^2 + 2 r12 r13 r23` and `m = (r12 + r13) / 2` (Steiger 1980),
/// for `count` triples.
///
/// # Errors
/// [`CorrelationError::Undefined`] for three triples or fewer, and where the two compared columns agree or
/// all three are dependent, so that nothing is left to test.
pub fn williams(r12: f64, r13: f64, r23: f64, count: usize) -> Result<Williams, CorrelationError> {
    let undefined = |reason: &'static str| {
        let what = "Williams' test";
        CorrelationError::Undefined { what, reason }
    };
    if count < 4 {
        return Err(undefined("fewer than 4 triples"));
    }
    let n = count as f64;
    let determinant = 1.0 - r12 * r12 - r13 * r13 - r23 * r23 + 2.0 * r12 * r13 * r23;
    let mean = (r12 + r13) / 2.0;
    let spread = 2.0 * (n - 1.0) / (n - 3.0) * determinant.max(0.0)
        + mean * mean * (1.0 - r23).max(0.0).powi(3);
    // Rounding leaves a little of a spread that is zero.
    if spread.is_nan() || spread <= 1e-12 {
        return Err(undefined("the columns follow from each other"));
    }
    let t = (r12 - r13) * ((n - 1.0) * (1.0 + r23).max(0.0) / spread).sqrt();
    let freedom = n - 3.0;
    Ok(Williams {
        t,
        freedom,
        p_value: student_two_sided(t, freedom),
    })
}

/// Compares how `first` and `second` correlate with `target`, `[n]` each: both are turned so that they rise
/// with it, then the coefficients are subtracted, with the resamples of [`bootstrap`](super::bootstrap).
///
/// # Errors
/// [`CorrelationError`] where one of the three coefficients does not exist, or too few resamples have all.
pub fn dependent(
    method: Method,
    [first, second]: [&[f64]; 2],
    target: &[f64],
    options: &BootstrapOptions,
) -> Result<Dependent, CorrelationError> {
    options.check()?;
    let with_target = [method.of(first, target)?, method.of(second, target)?];
    let between = method.of(first, second)?;
    let [a, b] = [
        checked_pairs(method, first, target)?,
        checked_pairs(method, second, target)?,
    ];
    let [a_sign, b_sign] = with_target.map(|rho| if rho < 0.0 { -1.0 } else { 1.0 });
    let values = ascending(resampled(target.len(), options, |drawn, scratch| {
        let (a, b) = (a.of(drawn, scratch)?, b.of(drawn, scratch)?);
        Some(a_sign * a - b_sign * b)
    }));
    let found = values.len();
    let ends = percentiles(&values, options.alpha);
    let [low, high] = ends.ok_or(CorrelationError::Resamples { found })?;
    let [a, b] = with_target.map(f64::abs);
    let test = || williams(a, b, a_sign * b_sign * between, target.len()).ok();
    Ok(Dependent {
        first: with_target[0],
        second: with_target[1],
        between,
        difference: a - b,
        low,
        high,
        clears_zero: low > 0.0 || high < 0.0,
        valid: found,
        williams: (method == Method::Spearman).then(test).flatten(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worked_example_of_williams() {
        // Steiger's example: n = 103, r12 = .4, r13 = .5, r23 = .1.
        let found = williams(0.4, 0.5, 0.1, 103).unwrap();
        let determinant: f64 = 1.0 - 0.16 - 0.25 - 0.01 + 2.0 * 0.4 * 0.5 * 0.1;
        let spread: f64 = 2.0 * 102.0 / 100.0 * determinant + 0.45 * 0.45 * 0.729;
        let t = -0.1 * (102.0 * 1.1 / spread).sqrt();
        assert!(
            (found.t - t).abs() < 1e-12 && (t + 0.8913).abs() < 1e-4,
            "{t}"
        );
        assert_eq!(found.freedom, 100.0);
        assert!((found.p_value - 0.375).abs() < 1e-3, "{}", found.p_value);
    }

    #[test]
    fn columns_that_agree_leave_nothing_to_test() {
        assert!(williams(0.5, 0.5, 1.0, 20).is_err());
        assert!(williams(0.5, 0.4, 0.3, 3).is_err());
        let x: Vec<f64> = (0..12).map(|at| (f64::from(at) * 0.9).sin()).collect();
        let y: Vec<f64> = (0..12).map(|at| (f64::from(at) * 0.4).sin()).collect();
        let falling: Vec<f64> = x.iter().map(|x| -x).collect();
        let options = BootstrapOptions::default();
        let found = dependent(Method::Spearman, [&x, &falling], &y, &options).unwrap();
        assert_eq!((found.difference, found.low, found.high), (0.0, 0.0, 0.0));
        assert!(found.williams.is_none() && !found.clears_zero);
    }

    #[test]
    fn a_better_column_is_told_from_noise() {
        let mut random = crate::orbit::PythonRandom::new(8);
        let target: Vec<f64> = (0..60).map(f64::from).collect();
        let good: Vec<f64> = target.iter().map(|t| 4.0 * random.uniform() - t).collect();
        let noise: Vec<f64> = target.iter().map(|_| random.uniform()).collect();
        for method in [Method::Spearman, Method::Kendall] {
            let options = BootstrapOptions::default();
            let found = dependent(method, [&good, &noise], &target, &options).unwrap();
            assert!(found.first < -0.9 && found.clears_zero && found.low > 0.0);
            let turned = dependent(method, [&noise, &good], &target, &options).unwrap();
            assert_eq!(turned.difference, -found.difference);
            let t = found.williams.map(|test| test.p_value);
            assert_eq!(t.is_some(), method == Method::Spearman);
            assert!(t.is_none_or(|p| p < 1e-6), "{t:?}");
        }
    }
}
