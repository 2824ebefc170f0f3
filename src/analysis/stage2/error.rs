use crate::analysis::correlation::CorrelationError;
use crate::analysis::planning_gap::GapError;
use crate::device::DeviceError;
use crate::graph::GraphError;
use crate::models::adapter::AdapterError;
use crate::models::control::ControlError;
use crate::orbit::lyapunov::LyapunovError;
use crate::samplers::shooting::ShootingError;
use thiserror::Error;

/// Why the metrics of a cell could not be measured.
#[derive(Debug, Error)]
pub enum Stage2Error {
    /// A part of the request does not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Request {
        /// Which part.
        what: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A prediction left the numbers.
    #[error("{what}: state {state}: a prediction is not finite")]
    NotFinite {
        /// Which.
        what: &'static str,
        /// The sampled state.
        state: usize,
    },
    /// A checkpoint.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// A task, an action or an observation.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A plan or a roll-out.
    #[error(transparent)]
    Shooting(#[from] ShootingError),
    /// Exponents.
    #[error(transparent)]
    Lyapunov(#[from] LyapunovError),
    /// A correlation.
    #[error(transparent)]
    Correlation(#[from] CorrelationError),
    /// A planning gap.
    #[error(transparent)]
    Gap(#[from] GapError),
}

impl Stage2Error {
    /// Whether the device failed, so that what follows would fail too. A request over the limits of a device
    /// is none of these: another model may fit.
    pub fn is_of_device(&self) -> bool {
        let graph = match self {
            Self::Shooting(ShootingError::Graph(graph)) => graph,
            Self::Lyapunov(LyapunovError::Graph(graph)) => graph,
            _ => return false,
        };
        match graph {
            GraphError::Device(device) => !matches!(
                device,
                DeviceError::TooLarge { .. }
                    | DeviceError::TooManyWorkgroups { .. }
                    | DeviceError::TooManyIterations { .. }
            ),
            _ => false,
        }
    }
}

/// A [`Stage2Error::Request`].
pub(super) fn refuse(
    what: impl ToString,
    expected: impl ToString,
    found: impl ToString,
) -> Stage2Error {
    Stage2Error::Request {
        what: what.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
