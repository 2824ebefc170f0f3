//! What can go wrong in planning.

use super::SettingsError;
use crate::device::DeviceError;
use crate::formats::FormatError;
use crate::graph::GraphError;
use crate::models::remdm::ConfigError;
use crate::models::weights::WeightsError;
use thiserror::Error;

/// What can go wrong in planning.
#[derive(Debug, Error)]
pub enum PlannerError {
    /// The configuration does not hold together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights do not fit the configuration.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// An array is missing or misshapen.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A setting is out of range.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Observations do not fit the model.
    #[error("{source_name}: array {array}: expected {expected}, found {found}")]
    Observation {
        /// File, or what the observations are called.
        source_name: String,
        /// Array.
        array: &'static str,
        /// What the model takes.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Random numbers, locked actions or hazards do not fit the batch.
    #[error("{what}: expected {expected}, found {found}")]
    Request {
        /// Which part of the request.
        what: &'static str,
        /// What the batch needs.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The graph or the device failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The network gave no usable number.
    #[error("example {example}, position {position}: the network's logits are not finite")]
    NotFinite {
        /// Example of the request.
        example: usize,
        /// Position in the plan.
        position: usize,
    },
    /// The network's prediction of the staircase is no usable number.
    #[error("example {example}: the network's goal prediction is not finite")]
    GoalNotFinite {
        /// Example of the request.
        example: usize,
    },
}

impl From<DeviceError> for PlannerError {
    fn from(error: DeviceError) -> Self {
        Self::Graph(error.into())
    }
}
