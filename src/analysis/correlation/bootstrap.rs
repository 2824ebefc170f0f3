//! The percentile bootstrap of a coefficient, with the draws of the published program.

use super::coefficient::{Method, Pairs, Scratch};
use super::{CorrelationError, check_pairs};
use crate::orbit::PythonRandom;
use rayon::prelude::*;
use serde::Serialize;

/// How resampling is done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BootstrapOptions {
    /// Resamples drawn.
    pub resamples: u32,
    /// Probability that an interval leaves out, half of it on either side; between 0 and 1.
    pub alpha: f64,
    /// Seed of [`PythonRandom`].
    pub seed: u64,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self {
            resamples: 10_000,
            alpha: 0.05,
            seed: 0,
        }
    }
}

impl BootstrapOptions {
    /// Checks the range of every option.
    pub(super) fn check(&self) -> Result<(), CorrelationError> {
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(CorrelationError::Option {
                what: "alpha",
                expected: "between 0 and 1",
                found: self.alpha.to_string(),
            });
        }
        if self.resamples == 0 {
            return Err(CorrelationError::Option {
                what: "resamples",
                expected: "1 or more",
                found: "0".into(),
            });
        }
        Ok(())
    }
}

/// A coefficient and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The coefficient of the pairs as they are.
    pub rho: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pairs.
    pub pairs: usize,
    /// Resamples in which both columns vary.
    pub valid: usize,
}

impl Interval {
    /// Whether the interval lies on one side of zero.
    pub fn clears_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The ends of the percentile interval of ascending values: those at `floor(alpha/2 m)` and
/// `floor((1 - alpha/2) m) - 1` of `m`, kept within the list. None for fewer than two values.
pub fn percentiles(ascending: &[f64], alpha: f64) -> Option<[f64; 2]> {
    let last = ascending.len().checked_sub(1).filter(|last| *last > 0)?;
    let count = ascending.len() as f64;
    let low = (alpha / 2.0 * count) as usize;
    let high = ((1.0 - alpha / 2.0) * count) as usize;
    let at = |index: usize| ascending.get(index.min(last)).copied();
    Some([at(low)?, at(high.saturating_sub(1))?])
}

/// A coefficient with its percentile interval: every resample draws as many pairs as there are, by
/// [`PythonRandom::below`], one after the other; resamples without a coefficient are left out.
///
/// # Errors
/// [`CorrelationError`] where the coefficient of all pairs does not exist, fewer than two resamples have
/// one, or an option is out of range.
pub fn bootstrap(
    method: Method,
    x: &[f64],
    y: &[f64],
    options: &BootstrapOptions,
) -> Result<Interval, CorrelationError> {
    options.check()?;
    let rho = method.of(x, y)?;
    let pairs = Pairs::new(method, x, y);
    let values = ascending(resampled(x.len(), options, |drawn, scratch| {
        pairs.of(drawn, scratch)
    }));
    let ends = percentiles(&values, options.alpha);
    let [low, high] = ends.ok_or(CorrelationError::Resamples {
        found: values.len(),
    })?;
    Ok(Interval {
        rho,
        low,
        high,
        pairs: x.len(),
        valid: values.len(),
    })
}

/// Sorted, for [`percentiles`].
pub(super) fn ascending(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Indices held at a time; more are drawn when these are used up.
const HELD: usize = 1 << 20;
/// Resamples that one thread takes on at a time.
const TAKEN: usize = 64;

/// A statistic of every resample that has one, in the order of the draws: indices are drawn in sequence, as
/// one generator must, and the statistic is then computed on all threads.
pub(super) fn resampled(
    pairs: usize,
    options: &BootstrapOptions,
    statistic: impl Fn(&[u32], &mut Scratch) -> Option<f64> + Sync,
) -> Vec<f64> {
    let (Ok(below), 1..) = (u32::try_from(pairs), pairs) else {
        return Vec::new();
    };
    let mut random = PythonRandom::new(options.seed);
    let mut left = options.resamples as usize;
    let mut values = Vec::new();
    let mut drawn = Vec::new();
    while left > 0 {
        let now = left.min((HELD / pairs).max(1));
        drawn.clear();
        drawn.extend((0..now * pairs).map(|_| random.below(below)));
        let parts = drawn.par_chunks(TAKEN * pairs).map(|part| {
            let mut scratch = Scratch::default();
            let resamples = part.chunks(pairs);
            let found = resamples.filter_map(|one| statistic(one, &mut scratch));
            found.collect::<Vec<f64>>()
        });
        for part in parts.collect::<Vec<_>>() {
            values.extend(part);
        }
        left -= now;
    }
    values
}

/// The pairs of a clean pair of columns, checked.
pub(super) fn checked_pairs(
    method: Method,
    x: &[f64],
    y: &[f64],
) -> Result<Pairs, CorrelationError> {
    check_pairs(x, y)?;
    Ok(Pairs::new(method, x, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(count: usize, step: f64) -> Vec<f64> {
        (0..count).map(|at| (at as f64 * step).sin()).collect()
    }

    #[test]
    fn ends_are_those_of_the_published_rule() {
        let values: Vec<f64> = (0..40).map(f64::from).collect();
        assert_eq!(percentiles(&values, 0.05), Some([1.0, 38.0]));
        assert_eq!(percentiles(&values[..2], 0.05), Some([0.0, 0.0]));
        // All but nothing: both ends are kept within the list.
        assert_eq!(percentiles(&values[..3], 1.999), Some([2.0, 0.0]));
        assert_eq!(percentiles(&values[..1], 0.05), None);
        assert_eq!(percentiles(&[], 0.05), None);
    }

    #[test]
    fn resamples_do_not_depend_on_how_many_are_held() {
        let (x, y) = (wave(37, 0.7), wave(37, 1.1));
        let options = BootstrapOptions {
            resamples: 1_000,
            ..BootstrapOptions::default()
        };
        for method in [Method::Spearman, Method::Kendall] {
            let pairs = Pairs::new(method, &x, &y);
            let found = resampled(x.len(), &options, |drawn, scratch| pairs.of(drawn, scratch));
            // One after the other, each from its own columns.
            let mut random = PythonRandom::new(options.seed);
            let expected: Vec<f64> = (0..options.resamples)
                .filter_map(|_| {
                    let at: Vec<usize> = (0..37).map(|_| random.below(37) as usize).collect();
                    let pick = |column: &[f64]| at.iter().map(|at| column[*at]).collect::<Vec<_>>();
                    method.of(&pick(&x), &pick(&y)).ok()
                })
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let (x, y) = (wave(9, 0.7), wave(9, 1.1));
        for (resamples, alpha, words) in [
            (0, 0.05, "resamples"),
            (10, 0.0, "alpha"),
            (10, 1.0, "alpha"),
            (10, f64::NAN, "alpha"),
            (1, 0.05, "at least 2 resamples"),
        ] {
            let options = BootstrapOptions {
                resamples,
                alpha,
                seed: 0,
            };
            let error = bootstrap(Method::Spearman, &x, &y, &options).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    /// The resampling of the published study: six rows of 24 and 17 pairs.
    #[test]
    fn ten_thousand_resamples_take_little_time() {
        let start = std::time::Instant::now();
        for pairs in [24, 24, 17, 17, 17, 17] {
            let (x, y) = (wave(pairs, 0.7), wave(pairs, 1.1));
            let options = BootstrapOptions::default();
            let found = bootstrap(Method::Spearman, &x, &y, &options).unwrap();
            assert_eq!((found.pairs, found.valid), (pairs, 10_000));
        }
        println!("10,000 resamples of six rows: {:.1?}", start.elapsed());
    }
}
