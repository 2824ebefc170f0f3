use crate::graph::GraphError;
use crate::models::tdmpc2::Tdmpc2Error;
use thiserror::Error;

/// What can go wrong in planning with a world model.
#[derive(Debug, Error)]
pub enum MppiError {
    /// The model or its weights.
    #[error(transparent)]
    Model(#[from] Tdmpc2Error),
    /// A setting of the planner is out of range, or does not fit another or the model.
    #[error("planner settings: {setting}: expected {expected}, found {found}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A part of the request does not fit the model, the settings or the other parts.
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
    /// A planned action is not finite, so some weight or observation led out of the numbers.
    #[error("environment {environment}: the planned action is not finite")]
    NotFinite {
        /// Environment of the request.
        environment: usize,
    },
    /// No candidate of an iteration has a finite value, so there is nothing to choose by.
    #[error(
        "environment {environment}: iteration {iteration}: expected candidates with finite values, found none"
    )]
    ValuesNotFinite {
        /// Environment of the request.
        environment: usize,
        /// Iteration, from 0.
        iteration: usize,
    },
}

/// A [`MppiError::Request`].
pub(super) fn refuse(
    what: &'static str,
    expected: impl ToString,
    found: impl ToString,
) -> MppiError {
    MppiError::Request {
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
