use crate::device::DeviceError;
use crate::graph::GraphError;
use crate::samplers::PlannerError;
use attractor_kernels::KernelError;
use thiserror::Error;

/// What can go wrong while measuring.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A kernel's case does not hold together.
    #[error("{0}")]
    Kernel(#[from] KernelError),
    /// The graph or the device failed.
    #[error("{0}")]
    Graph(#[from] GraphError),
    /// The planner failed.
    #[error("{0}")]
    Planner(#[from] PlannerError),
    /// There is nothing to measure.
    #[error("{what}: expected {expected}, found {found}")]
    Nothing {
        /// What is empty.
        what: &'static str,
        /// What was needed.
        expected: String,
        /// What was given.
        found: String,
    },
}

impl From<DeviceError> for BenchError {
    fn from(error: DeviceError) -> Self {
        Self::Graph(error.into())
    }
}
