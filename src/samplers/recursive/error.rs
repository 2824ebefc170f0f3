use crate::graph::GraphError;
use crate::models::recursive::RecursiveConfigError;
use crate::models::weights::WeightsError;
use crate::orbit::lyapunov::LyapunovError;
use thiserror::Error;

/// What can go wrong in solving puzzles.
#[derive(Debug, Error)]
pub enum ReasonerError {
    /// The configuration does not hold together.
    #[error(transparent)]
    Config(#[from] RecursiveConfigError),
    /// The weights do not fit the configuration.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A part of the request does not fit the model or the other parts.
    #[error("{what}: expected {expected}, found {found}")]
    Request {
        /// Which part.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The graph or the device failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Tangents cannot be carried along.
    #[error(transparent)]
    Lyapunov(#[from] LyapunovError),
    /// A latent or a readout left the numbers.
    #[error("example {example}, step {step}: {what} is not finite")]
    NotFinite {
        /// Example of the request.
        example: usize,
        /// Step, from 1.
        step: usize,
        /// What is read off there.
        what: &'static str,
    },
}

impl ReasonerError {
    /// The same error, where the first example of the request is number `first` of a whole job.
    #[must_use]
    pub fn numbered_from(self, first: usize) -> Self {
        match self {
            Self::NotFinite {
                example,
                step,
                what,
            } => Self::NotFinite {
                example: first + example,
                step,
                what,
            },
            other => other,
        }
    }
}

/// A [`ReasonerError::Request`].
pub(super) fn refuse(
    what: &'static str,
    expected: impl ToString,
    found: impl ToString,
) -> ReasonerError {
    ReasonerError::Request {
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
