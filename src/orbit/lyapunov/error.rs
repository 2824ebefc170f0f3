use crate::graph::GraphError;
use thiserror::Error;

/// Why exponents could not be measured.
#[derive(Debug, Error)]
pub enum LyapunovError {
    /// A setting does not fit the map.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// First tangents of a wrong shape, or not finite.
    #[error("first tangents: expected {expected}, found {found}")]
    Tangents {
        /// What was expected.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A graph that does not hold together, a node without a tangent, or a device that failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
}
