//! The counterfactual planning gap: how much success is lost because the planner thinks with a learned model
//! instead of the true one, everything else being equal, and how sure that is.
//!
//! Both arms may start every episode alike; [`Pairs`] then has tools that use it.

mod audit;
mod gap;
mod mcnemar;
mod paired;
mod power;

pub use audit::{ArmError, Arms, AuditRow, PairedAudit, arms_of_bundle, audit};
pub use gap::{Gap, Verdict};
pub use mcnemar::{holm, mcnemar};
pub use paired::{PairTable, Pairs, wilson};
pub use power::{detectable, half_width, required_episodes};

use thiserror::Error;

/// The normal quantile of 95 % intervals, rounded as published.
pub const Z: f64 = 1.96;

/// A gap that does not exist.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum GapError {
    /// An arm without episodes.
    #[error("{arm} arm: expected 1 episode or more, found none")]
    Empty {
        /// The arm.
        arm: &'static str,
    },
    /// More successes than episodes.
    #[error("{arm} arm: expected at most {episodes} successes, found {successes}")]
    Successes {
        /// The arm.
        arm: &'static str,
        /// Its episodes.
        episodes: usize,
        /// Its successes.
        successes: usize,
    },
    /// Arms that cannot be paired.
    #[error(
        "paired episodes: expected as many of either arm, found {oracle} of the oracle and {learned} of the learned model"
    )]
    Unpaired {
        /// Episodes of the oracle.
        oracle: usize,
        /// Episodes of the learned model.
        learned: usize,
    },
    /// A share outside 0 to 1, or another number out of its range.
    #[error("{what}: expected {expected}, found {found}")]
    Option {
        /// What it is.
        what: &'static str,
        /// Its range.
        expected: &'static str,
        /// Its value.
        found: String,
    },
}
