//! Do both columns merely follow a third? The partial coefficient.

use super::bootstrap::{ascending, checked_pairs, percentiles, resampled};
use super::special::student_two_sided;
use super::{BootstrapOptions, CorrelationError, Method};
use serde::Serialize;

/// A partial rank correlation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Partial {
    /// The coefficient given the third column.
    pub rho: f64,
    /// Lower end of its percentile interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Whether the interval lies on one side of zero.
    pub clears_zero: bool,
    /// Resamples that have a coefficient.
    pub valid: usize,
    /// Two-sided probability from Student's t with `n - 3` degrees of freedom; none for Kendall's
    /// coefficient, whose partial has no such distribution.
    pub p_value: Option<f64>,
}

/// What is left of a correlation when a third column is given:
/// `(rxy - rxz ryz) / sqrt((1 - rxz^2) (1 - ryz^2))`.
///
/// # Errors
/// [`CorrelationError`] where one of the three coefficients does not exist, and
/// [`CorrelationError::Undefined`] where the third column gives one of the others away.
pub fn partial(
    method: Method,
    [x, y]: [&[f64]; 2],
    given: &[f64],
    options: &BootstrapOptions,
) -> Result<Partial, CorrelationError> {
    options.check()?;
    let three = [method.of(x, y)?, method.of(x, given)?, method.of(y, given)?];
    let rho = of_three(three).ok_or(CorrelationError::Undefined {
        what: "partial correlation",
        reason: "a column follows from the one that is given",
    })?;
    let [xy, xz, yz] = [
        checked_pairs(method, x, y)?,
        checked_pairs(method, x, given)?,
        checked_pairs(method, y, given)?,
    ];
    let values = ascending(resampled(x.len(), options, |drawn, scratch| {
        let three = [&xy, &xz, &yz].map(|pairs| pairs.of(drawn, scratch));
        let [Some(xy), Some(xz), Some(yz)] = three else {
            return None;
        };
        of_three([xy, xz, yz])
    }));
    let found = values.len();
    let ends = percentiles(&values, options.alpha);
    let [low, high] = ends.ok_or(CorrelationError::Resamples { found })?;
    let freedom = x.len() as f64 - 3.0;
    let test = || {
        let t = rho * (freedom / (1.0 - rho * rho).max(0.0)).sqrt();
        student_two_sided(t, freedom)
    };
    Ok(Partial {
        rho,
        low,
        high,
        clears_zero: low > 0.0 || high < 0.0,
        valid: found,
        p_value: (method == Method::Spearman && freedom >= 1.0).then(test),
    })
}

/// Rounding leaves a little of a variance that is used up.
const USED_UP: f64 = 1e-12;

fn of_three([xy, xz, yz]: [f64; 3]) -> Option<f64> {
    let left = (1.0 - xz * xz, 1.0 - yz * yz);
    let some = left.0 > USED_UP && left.1 > USED_UP;
    some.then(|| ((xy - xz * yz) / (left.0 * left.1).sqrt()).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, count: u32) -> Vec<f64> {
        let mut random = crate::orbit::PythonRandom::new(seed);
        (0..count).map(|_| random.uniform()).collect()
    }

    fn plus(a: &[f64], weight: f64, b: &[f64]) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a + weight * b).collect()
    }

    #[test]
    fn what_a_common_cause_makes_goes_away() {
        let cause = noise(1, 400);
        let x = plus(&noise(2, 400), 3.0, &cause);
        let y = plus(&noise(3, 400), 3.0, &cause);
        let options = BootstrapOptions {
            resamples: 1_000,
            ..BootstrapOptions::default()
        };
        assert!(Method::Spearman.of(&x, &y).unwrap() > 0.8);
        let found = partial(Method::Spearman, [&x, &y], &cause, &options).unwrap();
        assert!(found.rho.abs() < 0.15 && !found.clears_zero, "{found:?}");
        assert!(found.p_value.is_some_and(|p| p > 0.01));
        // Given something else, it stays.
        let other = noise(4, 400);
        let found = partial(Method::Spearman, [&x, &y], &other, &options).unwrap();
        assert!(found.rho > 0.8 && found.clears_zero);
        assert!(found.p_value.is_some_and(|p| p < 1e-9));
    }

    #[test]
    fn a_column_that_follows_from_the_given_one_leaves_nothing() {
        let (x, y) = (noise(1, 20), noise(2, 20));
        let options = BootstrapOptions::default();
        let error = partial(Method::Kendall, [&x, &y], &x, &options).unwrap_err();
        assert!(error.to_string().contains("follows from"), "{error}");
        let flat = vec![1.0; 20];
        let error = partial(Method::Spearman, [&x, &y], &flat, &options).unwrap_err();
        assert_eq!(error, CorrelationError::ZeroVariance);
    }
}
