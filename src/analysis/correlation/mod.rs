//! Rank correlation of offline metrics with what they should predict, and how sure it is.
//!
//! [`correlate`] gives the published result object of a [`Bundle`] of cells, number for number. What goes
//! beyond it ([`beyond`]) answers questions that the published interval leaves open: is the percentile
//! interval biased, could chance do as well, do cells of one seed count as independent, is one metric
//! really better than another, is it only the training length that both follow, and what do cells without
//! a value change?

mod bca;
mod beyond;
mod bootstrap;
mod bundle;
mod clustered;
mod coefficient;
mod dependent;
mod imputation;
mod partial;
mod permutation;
mod ranks;
mod result;
mod rounding;
mod screening;
mod special;
mod tokens;
mod within;

pub use bca::{Bca, bca};
pub use beyond::{Beyond, BeyondOptions, BeyondRow, Skippable, beyond};
pub use bootstrap::{BootstrapOptions, Interval, bootstrap, percentiles};
pub use bundle::{
    Bundle, BundleError, CONTROL_METRIC, CORRELATION_METRIC, Cell, DESCRIPTORS, MAZE_METRIC,
    SCHEMA_VERSION, usable,
};
pub use clustered::{Clustered, clustered};
pub use coefficient::Method;
pub use dependent::{Dependent, Williams, dependent, williams};
pub use imputation::{Imputed, imputations};
pub use partial::{Partial, partial};
pub use permutation::{Permutation, permutation};
pub use ranks::average_ranks;
pub use result::{
    COMPARABILITY_NOTE, CommonSubset, Correlation, Outcome, Row, correlate, metric_columns,
};
pub use rounding::round_to;
pub use screening::{Screen, screen};
pub(crate) use tokens::without_bare_tokens;
pub use within::{Environment, within_environments};

use thiserror::Error;

/// A correlation, or an interval of one, that does not exist.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CorrelationError {
    /// The two columns differ in length.
    #[error("correlation: expected columns of equal length, found {x} and {y} values")]
    Lengths {
        /// Length of the first.
        x: usize,
        /// Length of the second.
        y: usize,
    },
    /// One pair has no order.
    #[error("correlation: expected at least 2 pairs, found {found}")]
    TooFew {
        /// Pairs there are.
        found: usize,
    },
    /// A value without a rank.
    #[error("correlation: expected finite values, found {found} at pair {at}")]
    NotFinite {
        /// The pair, from 0.
        at: usize,
        /// The value.
        found: f64,
    },
    /// Spearman's coefficient of a constant column. The words are those of published results.
    #[error("correlation undefined: zero variance in an input")]
    ZeroVariance,
    /// Kendall's coefficient of a constant column. The words are those of published results.
    #[error("Kendall tau-b undefined: a constant input")]
    Constant,
    /// Too few resamples had a coefficient.
    #[error("bootstrap undefined: expected at least 2 resamples with a correlation, found {found}")]
    Resamples {
        /// Resamples that had one.
        found: usize,
    },
    /// An option out of its range.
    #[error("{what}: expected {expected}, found {found}")]
    Option {
        /// The option.
        what: &'static str,
        /// Its range.
        expected: &'static str,
        /// Its value.
        found: String,
    },
    /// A quantity that these values do not determine.
    #[error("{what} undefined: {reason}")]
    Undefined {
        /// The quantity.
        what: &'static str,
        /// Why.
        reason: &'static str,
    },
}

/// Checks that two columns are pairs of finite values.
fn check_pairs(x: &[f64], y: &[f64]) -> Result<(), CorrelationError> {
    if x.len() != y.len() {
        let (x, y) = (x.len(), y.len());
        return Err(CorrelationError::Lengths { x, y });
    }
    if x.len() < 2 {
        return Err(CorrelationError::TooFew { found: x.len() });
    }
    for (at, (x, y)) in x.iter().zip(y).enumerate() {
        for found in [*x, *y] {
            if !found.is_finite() {
                return Err(CorrelationError::NotFinite { at, found });
            }
        }
    }
    Ok(())
}
