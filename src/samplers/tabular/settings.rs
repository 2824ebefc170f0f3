//! What a planner is asked for.

use super::TabularError;
use serde::Serialize;

/// How candidates come about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "planner")]
pub enum Method {
    /// Every action uniform.
    Shooting {
        /// Plans of a call.
        candidates: usize,
    },
    /// A distribution for each step, refitted to the best plans. A plan replaces the best so far where it
    /// is strictly better.
    CrossEntropy {
        /// Rounds.
        iterations: usize,
        /// Plans of a round.
        samples: usize,
        /// Plans that it is refitted to.
        elites: usize,
        /// Part of the distribution that stays uniform, from 0 to 1.
        smoothing: f64,
    },
}

impl Method {
    /// Plans of a round.
    pub fn candidates(self) -> usize {
        match self {
            Self::Shooting { candidates } => candidates,
            Self::CrossEntropy { samples, .. } => samples,
        }
    }

    /// Rounds of a call.
    pub fn iterations(self) -> usize {
        match self {
            Self::Shooting { .. } => 1,
            Self::CrossEntropy { iterations, .. } => iterations,
        }
    }
}

/// Where random numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DrawSource {
    /// One sequential stream as Python draws it, on the host: candidate by candidate, each in the order of
    /// time. Equal to published results bit for bit.
    Python,
    /// Counters, on the device: a call's draws hang on its seed, stream, episode and number alone.
    Philox,
}

/// A planner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TabularSettings {
    /// How candidates come about.
    #[serde(flatten)]
    pub method: Method,
    /// Actions of a plan at most.
    pub horizon: usize,
}

/// Plans, rounds and actions of a plan at most.
const MOST: usize = 1 << 20;
/// Plans of a round of the cross-entropy method, and elites, that the device can rank.
const MOST_RANKED: usize = 1024;
const MOST_ELITES: usize = 256;

impl TabularSettings {
    /// The planner of the published study: 100 candidates of at most 20 actions.
    pub fn published() -> Self {
        Self {
            method: Method::Shooting { candidates: 100 },
            horizon: 20,
        }
    }

    /// Checks that a planner with draws of `source` can be made so.
    ///
    /// # Errors
    /// [`TabularError::Setting`] naming the first that is out of range.
    pub fn check(&self, source: DrawSource) -> Result<(), TabularError> {
        let within = |what, found: usize, most: usize| {
            if (1..=most).contains(&found) {
                return Ok(());
            }
            Err(TabularError::setting(what, format!("1 to {most}"), found))
        };
        within("plan horizon", self.horizon, MOST)?;
        match self.method {
            Method::Shooting { candidates } => within("candidates", candidates, MOST),
            Method::CrossEntropy {
                iterations,
                samples,
                elites,
                smoothing,
            } => {
                let (ranked, most) = match source {
                    DrawSource::Python => (MOST, MOST),
                    DrawSource::Philox => (MOST_RANKED, MOST_ELITES),
                };
                within("iterations", iterations, 1000)?;
                within("samples", samples, ranked)?;
                within("elites", elites, samples.min(most))?;
                if !(0.0..=1.0).contains(&smoothing) {
                    return Err(TabularError::setting("smoothing", "0 to 1", smoothing));
                }
                Ok(())
            }
        }
    }
}
