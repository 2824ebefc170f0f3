use crate::device::DeviceError;
use crate::formats::FormatError;
use crate::graph::GraphError;
use crate::samplers::PlannerError;
use crate::samplers::ensemble::EnsembleError;
use crate::samplers::flow::FlowError;
use crate::samplers::mppi::MppiError;
use crate::samplers::recursive::ReasonerError;
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
    /// An ensemble failed.
    #[error("{0}")]
    Ensemble(#[from] EnsembleError),
    /// The flow sampler failed.
    #[error("{0}")]
    Flow(#[from] FlowError),
    /// A recursive reasoner failed.
    #[error("{0}")]
    Reasoner(#[from] ReasonerError),
    /// The planner over a world model failed.
    #[error("{0}")]
    Mppi(Box<MppiError>),
    /// An array of the inputs is missing or misshapen.
    #[error("{0}")]
    Format(#[from] FormatError),
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

impl From<MppiError> for BenchError {
    fn from(error: MppiError) -> Self {
        Self::Mppi(Box::new(error))
    }
}

impl From<DeviceError> for BenchError {
    fn from(error: DeviceError) -> Self {
        Self::Graph(error.into())
    }
}
