//! Episodes that start alike in both arms.

use super::{GapError, Z};
use crate::analysis::correlation::{BootstrapOptions, percentiles};
use crate::orbit::PythonRandom;
use serde::Serialize;

/// How the two arms did in the same episodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PairTable {
    /// Both succeed.
    pub both: usize,
    /// The oracle alone succeeds.
    pub oracle_only: usize,
    /// The learned model alone succeeds.
    pub learned_only: usize,
    /// Both fail.
    pub neither: usize,
}

/// Episodes in order: did the oracle succeed, did the learned model?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs(Vec<[bool; 2]>);

/// Wilson's 95 % interval of a share (1927).
pub fn wilson(successes: f64, episodes: f64) -> [f64; 2] {
    let share = successes / episodes;
    let z2 = Z * Z;
    let denominator = 1.0 + z2 / episodes;
    let centre = (share + z2 / (2.0 * episodes)) / denominator;
    let spread = share * (1.0 - share) / episodes + z2 / (4.0 * episodes * episodes);
    let half = Z * spread.sqrt() / denominator;
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

impl PairTable {
    /// Episodes in all.
    pub fn episodes(&self) -> usize {
        self.both + self.oracle_only + self.learned_only + self.neither
    }

    /// Successes of the oracle and of the learned model.
    pub fn successes(&self) -> [usize; 2] {
        [self.both + self.oracle_only, self.both + self.learned_only]
    }

    /// Episodes in which one succeeds alone.
    pub fn discordant(&self) -> usize {
        self.oracle_only + self.learned_only
    }

    /// The gap: share of the oracle less share of the learned model.
    pub fn gap(&self) -> f64 {
        let [p, q] = self.shares();
        p - q
    }

    fn shares(&self) -> [f64; 2] {
        let episodes = self.episodes() as f64;
        self.successes().map(|count| count as f64 / episodes)
    }

    /// Correlation of the two successes within an episode; 0 where an arm always or never succeeds.
    pub fn phi(&self) -> f64 {
        let table = [self.both, self.oracle_only, self.learned_only, self.neither];
        let [a, b, c, d] = table.map(|count| count as f64);
        let product = (a + b) * (c + d) * (a + c) * (b + d);
        if product > 0.0 {
            (a * d - b * c) / product.sqrt()
        } else {
            0.0
        }
    }

    /// Newcombe's interval of a paired difference (1998, method 10): Wilson's intervals of both shares,
    /// joined with the correlation of the arms.
    pub fn newcombe(&self) -> [f64; 2] {
        let episodes = self.episodes() as f64;
        let [p1, p2] = self.shares();
        let [s1, s2] = self.successes().map(|count| count as f64);
        let ([l1, u1], [l2, u2]) = (wilson(s1, episodes), wilson(s2, episodes));
        let phi = self.phi();
        let joined = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
        let difference = p1 - p2;
        [
            difference - joined(p1 - l1, u2 - p2),
            difference + joined(u1 - p1, p2 - l2),
        ]
    }
}

impl Pairs {
    /// Pairs two arms, episode by episode.
    ///
    /// # Errors
    /// [`GapError`] for arms of unequal length or without episodes.
    pub fn new(oracle: &[bool], learned: &[bool]) -> Result<Self, GapError> {
        if oracle.len() != learned.len() {
            return Err(GapError::Unpaired {
                oracle: oracle.len(),
                learned: learned.len(),
            });
        }
        if oracle.is_empty() {
            return Err(GapError::Empty { arm: "oracle" });
        }
        let pairs = oracle.iter().zip(learned).map(|(o, l)| [*o, *l]);
        Ok(Self(pairs.collect()))
    }

    /// How often each outcome occurs.
    pub fn table(&self) -> PairTable {
        let mut table = PairTable::default();
        for pair in &self.0 {
            match pair {
                [true, true] => table.both += 1,
                [true, false] => table.oracle_only += 1,
                [false, true] => table.learned_only += 1,
                [false, false] => table.neither += 1,
            }
        }
        table
    }

    /// The percentile interval of the gap over resamples of episodes, drawn and cut as those of
    /// [`bootstrap`](crate::analysis::correlation::bootstrap).
    ///
    /// # Errors
    /// [`GapError::Option`] for fewer than two resamples or an alpha outside 0 to 1.
    pub fn bootstrap(&self, options: &BootstrapOptions) -> Result<[f64; 2], GapError> {
        let BootstrapOptions {
            resamples,
            alpha,
            seed,
        } = *options;
        if !(alpha > 0.0 && alpha < 1.0) {
            return Err(option("alpha", "between 0 and 1", alpha));
        }
        let count = u32::try_from(self.0.len())
            .map_err(|_| option("episodes", "fewer than 2^32", self.0.len()))?;
        let differences: Vec<i64> = self
            .0
            .iter()
            .map(|[oracle, learned]| i64::from(*oracle) - i64::from(*learned))
            .collect();
        let mut random = PythonRandom::new(seed);
        let mut draw = || {
            let drawn = differences.get(random.below(count) as usize);
            drawn.copied().unwrap_or(0)
        };
        let mut sums: Vec<i64> = (0..resamples)
            .map(|_| (0..count).map(|_| draw()).sum())
            .collect();
        sums.sort_unstable();
        let gaps: Vec<f64> = sums
            .iter()
            .map(|sum| *sum as f64 / f64::from(count))
            .collect();
        let ends = percentiles(&gaps, alpha);
        ends.ok_or_else(|| option("resamples", "2 or more", resamples))
    }
}

fn option(what: &'static str, expected: &'static str, found: impl ToString) -> GapError {
    GapError::Option {
        what,
        expected,
        found: found.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(table: [usize; 4]) -> Pairs {
        let kinds = [[true, true], [true, false], [false, true], [false, false]];
        let all = kinds.into_iter().zip(table);
        Pairs(all.flat_map(|(kind, count)| vec![kind; count]).collect())
    }

    #[test]
    fn tables_count_and_correlate() {
        let table = pairs([21, 7, 2, 0]).table();
        assert_eq!((table.both, table.oracle_only), (21, 7));
        assert_eq!(
            (table.episodes(), table.discordant(), table.successes()),
            (30, 9, [28, 23])
        );
        assert!((table.phi() + 0.1474).abs() < 5e-5);
        assert_eq!(pairs([5, 5, 0, 0]).table().phi(), 0.0);
        assert_eq!(pairs([5, 0, 0, 5]).table().phi(), 1.0);
    }

    #[test]
    fn wilson_is_that_of_newcombe() {
        // Newcombe 1998 (two-sided intervals for the single proportion), table I: 81 of 263, 0 of 20.
        let [low, high] = wilson(81.0, 263.0);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5);
        let [low, high] = wilson(0.0, 20.0);
        assert!(low == 0.0 && (high - 0.1611).abs() < 5e-5);
    }

    #[test]
    fn perfectly_correlated_arms_without_difference_have_a_narrow_interval() {
        let [low, high] = pairs([5, 0, 0, 5]).table().newcombe();
        assert!(low.abs() < 1e-8 && high.abs() < 1e-8);
        let [low, high] = pairs([3, 2, 2, 3]).table().newcombe();
        assert!(low < -0.3 && high > 0.3);
    }

    #[test]
    fn resampled_gaps_lie_on_the_grid_of_the_episodes() {
        let pairs = pairs([12, 6, 2, 10]);
        let [low, high] = pairs.bootstrap(&BootstrapOptions::default()).unwrap();
        assert!(low < pairs.table().gap() && pairs.table().gap() < high);
        assert!((low * 30.0 - (low * 30.0).round()).abs() < 1e-12);
        let one = BootstrapOptions {
            resamples: 1,
            ..BootstrapOptions::default()
        };
        assert!(
            pairs
                .bootstrap(&one)
                .unwrap_err()
                .to_string()
                .contains("2 or more")
        );
    }

    #[test]
    fn arms_of_unequal_length_are_refused() {
        let error = Pairs::new(&[true, false], &[true]).unwrap_err();
        assert_eq!(
            error,
            GapError::Unpaired {
                oracle: 2,
                learned: 1
            }
        );
        assert_eq!(Pairs::new(&[], &[]), Err(GapError::Empty { arm: "oracle" }));
    }
}
