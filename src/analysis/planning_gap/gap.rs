//! The gap, its interval and its verdict.

use super::{GapError, Z};
use serde::{Deserialize, Serialize};

/// A gap with the interval of Agresti and Caffo (2000).
///
/// The interval is centred on the difference of shares with one success and one failure added to each arm,
/// so that it is not centred on `gap` and may end beyond 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gap {
    /// Share of successful episodes with the true dynamics.
    pub oracle_success_rate: f64,
    /// Share of successful episodes with the learned dynamics.
    pub learned_success_rate: f64,
    /// The first less the second.
    pub gap: f64,
    /// Episodes of the first.
    pub n_episodes_oracle: usize,
    /// Episodes of the second.
    pub n_episodes_learned: usize,
    /// Lower end of the 95 % interval.
    pub gap_ci_low: f64,
    /// Upper end.
    pub gap_ci_high: f64,
}

/// What a gap says about where a planner fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The interval lies above zero: the model costs success.
    #[serde(rename = "MODEL BOTTLENECK")]
    ModelBottleneck,
    /// The interval lies below zero: the model plans better than the truth.
    #[serde(rename = "LEARNED OUTPERFORMS ORACLE")]
    LearnedOutperformsOracle,
    /// Both succeed in at most 5 %: the planner fails even with the truth.
    #[serde(rename = "PLANNER BOTTLENECK")]
    PlannerBottleneck,
    /// Both succeed in at least 95 %.
    #[serde(rename = "MODEL AS GOOD AS ORACLE")]
    ModelAsGoodAsOracle,
    /// None of these.
    #[serde(rename = "INCONCLUSIVE")]
    Inconclusive,
}

impl Verdict {
    /// Its published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ModelBottleneck => "MODEL BOTTLENECK",
            Self::LearnedOutperformsOracle => "LEARNED OUTPERFORMS ORACLE",
            Self::PlannerBottleneck => "PLANNER BOTTLENECK",
            Self::ModelAsGoodAsOracle => "MODEL AS GOOD AS ORACLE",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Rates up to this are failure, from 1 less this on success.
const NEAR: f64 = 0.05;

/// Centre and half width of the interval of Agresti and Caffo, for successes that need not be whole.
pub(super) fn agresti_caffo(
    [oracle, learned]: [f64; 2],
    [n_oracle, n_learned]: [f64; 2],
) -> [f64; 2] {
    let share = |successes: f64, episodes: f64| (successes + 1.0) / (episodes + 2.0);
    let (p, q) = (share(oracle, n_oracle), share(learned, n_learned));
    let variance = p * (1.0 - p) / (n_oracle + 2.0) + q * (1.0 - q) / (n_learned + 2.0);
    [p - q, Z * variance.sqrt()]
}

impl Gap {
    /// The gap of two lists of episodes, true for a success.
    ///
    /// # Errors
    /// [`GapError::Empty`].
    pub fn of(oracle: &[bool], learned: &[bool]) -> Result<Self, GapError> {
        let successes = |arm: &[bool]| arm.iter().filter(|success| **success).count();
        let counts = [successes(oracle), successes(learned)];
        Self::of_counts(counts, [oracle.len(), learned.len()])
    }

    /// The gap of numbers of successes among numbers of episodes, the oracle first.
    ///
    /// # Errors
    /// [`GapError::Empty`], [`GapError::Successes`].
    pub fn of_counts(successes: [usize; 2], episodes: [usize; 2]) -> Result<Self, GapError> {
        let arms = ["oracle", "learned"].into_iter();
        for ((arm, successes), episodes) in arms.zip(successes).zip(episodes) {
            if episodes == 0 {
                return Err(GapError::Empty { arm });
            }
            if successes > episodes {
                return Err(GapError::Successes {
                    arm,
                    episodes,
                    successes,
                });
            }
        }
        let [s, n] = [successes, episodes].map(|counts| counts.map(|count| count as f64));
        let [oracle, learned] = [s[0] / n[0], s[1] / n[1]];
        let [centre, half] = agresti_caffo(s, n);
        Ok(Self {
            oracle_success_rate: oracle,
            learned_success_rate: learned,
            gap: oracle - learned,
            n_episodes_oracle: episodes[0],
            n_episodes_learned: episodes[1],
            gap_ci_low: centre - half,
            gap_ci_high: centre + half,
        })
    }

    /// The first that applies, in the order of [`Verdict`].
    pub fn verdict(&self) -> Verdict {
        let rates = [self.oracle_success_rate, self.learned_success_rate];
        if self.gap_ci_low > 0.0 {
            Verdict::ModelBottleneck
        } else if self.gap_ci_high < 0.0 {
            Verdict::LearnedOutperformsOracle
        } else if rates.iter().all(|rate| *rate <= NEAR) {
            Verdict::PlannerBottleneck
        } else if rates.iter().all(|rate| *rate >= 1.0 - NEAR) {
            Verdict::ModelAsGoodAsOracle
        } else {
            Verdict::Inconclusive
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(successes: [usize; 2], episodes: usize) -> Verdict {
        Gap::of_counts(successes, [episodes; 2]).unwrap().verdict()
    }

    #[test]
    fn verdicts_in_their_order() {
        assert_eq!(verdict([9, 1], 10), Verdict::ModelBottleneck);
        assert_eq!(verdict([1, 9], 10), Verdict::LearnedOutperformsOracle);
        assert_eq!(verdict([1, 0], 20), Verdict::PlannerBottleneck);
        assert_eq!(verdict([19, 20], 20), Verdict::ModelAsGoodAsOracle);
        assert_eq!(verdict([2, 0], 20), Verdict::Inconclusive);
        // 5 % against nothing, but surely so.
        assert_eq!(verdict([500, 0], 10_000), Verdict::ModelBottleneck);
    }

    #[test]
    fn names_are_those_of_files() {
        for verdict in [
            Verdict::ModelBottleneck,
            Verdict::LearnedOutperformsOracle,
            Verdict::PlannerBottleneck,
            Verdict::ModelAsGoodAsOracle,
            Verdict::Inconclusive,
        ] {
            assert_eq!(serde_json::json!(verdict), verdict.to_string());
        }
    }

    #[test]
    fn the_first_committed_cell() {
        let gap = Gap::of_counts([10, 8], [10, 10]).unwrap();
        assert_eq!(gap.gap, 0.199_999_999_999_999_96);
        assert!((gap.gap_ci_low + 0.123_987_130_194_185_72).abs() < 1e-15);
        assert!((gap.gap_ci_high - 0.457_320_463_527_519).abs() < 1e-15);
    }

    #[test]
    fn impossible_arms_are_refused() {
        assert_eq!(
            Gap::of(&[], &[true]),
            Err(GapError::Empty { arm: "oracle" })
        );
        let error = Gap::of_counts([1, 3], [2, 2]).unwrap_err().to_string();
        assert_eq!(error, "learned arm: expected at most 2 successes, found 3");
    }
}
