use crate::graph::GraphError;
use thiserror::Error;

/// Why plans could not be made.
#[derive(Debug, Error)]
pub enum ShootingError {
    /// A setting or an input does not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Request {
        /// Which.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// No candidate of an environment had a value.
    #[error("environment {environment}: no candidate plan has a finite score")]
    NotFinite {
        /// The environment, by its place in the call.
        environment: usize,
    },
    /// A graph that does not hold together, or a device that failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// A [`ShootingError::Request`].
pub(super) fn refuse(
    what: &'static str,
    expected: impl ToString,
    found: impl ToString,
) -> ShootingError {
    ShootingError::Request {
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
