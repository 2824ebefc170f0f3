use crate::device::DeviceError;
use crate::graph::GraphError;
use thiserror::Error;

/// What can go wrong in integrating an ensemble.
#[derive(Debug, Error)]
pub enum EnsembleError {
    /// A setting is out of range.
    #[error("{name}: expected {expected}, found {found}")]
    Setting {
        /// Setting.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Initial states or parameters are not as many as the field has.
    #[error("{what} of {field}: expected {expected}, found {found}")]
    Count {
        /// Initial states, or parameters.
        what: &'static str,
        /// Field.
        field: &'static str,
        /// How many there must be.
        expected: String,
        /// How many were given.
        found: usize,
    },
    /// An initial state or a parameter is infinite or NaN.
    #[error(
        "{what} {component} of trajectory {trajectory}: expected a finite number, found {found}"
    )]
    NotFinite {
        /// Initial number, or parameter.
        what: &'static str,
        /// Trajectory; 0 for a parameter that all share.
        trajectory: usize,
        /// Which number of it.
        component: usize,
        /// The number.
        found: f64,
    },
    /// A trajectory did not arrive within its attempts, or its step size shrank to nothing.
    #[error(
        "trajectory {trajectory}: relative tolerance {relative:e} and absolute tolerance {absolute:e} were not met: \
         stopped at time {time} of {span} with step size {step:e} after {accepted} accepted and {rejected} rejected \
         attempts of {attempts} ({unfinished} trajectories in all did not arrive)"
    )]
    Tolerance {
        /// First trajectory that did not arrive.
        trajectory: usize,
        /// Time since the start that it reached.
        time: f64,
        /// Time that was asked for.
        span: f64,
        /// Size of the step that would have been next.
        step: f64,
        /// Accepted attempts.
        accepted: u32,
        /// Rejected attempts.
        rejected: u32,
        /// Attempts allowed.
        attempts: u32,
        /// Relative tolerance.
        relative: f32,
        /// Absolute tolerance.
        absolute: f32,
        /// Trajectories that did not arrive.
        unfinished: usize,
    },
    /// A trajectory ran off to infinity.
    #[error(
        "trajectory {trajectory}: a number was infinite or NaN after step {step} ({count} trajectories in all have \
         no exponents)"
    )]
    Diverged {
        /// The first of them.
        trajectory: usize,
        /// Step, counted from 1, transient included.
        step: u32,
        /// Invalid trajectories.
        count: usize,
    },
    /// A chaotic orbit fell into a cycle of the machine's numbers.
    #[error(
        "trajectory {trajectory}: a chaotic orbit fell into a cycle of the machine's numbers by step {step}; \
         its exponents would mean nothing, double precision (--device cpu-f64) carries it further \
         ({count} trajectories in all have no exponents)"
    )]
    Collapsed {
        /// The first of them.
        trajectory: usize,
        /// Step by which it had.
        step: u32,
        /// Invalid trajectories.
        count: usize,
    },
    /// The graph or the device failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl From<DeviceError> for EnsembleError {
    fn from(error: DeviceError) -> Self {
        Self::Graph(error.into())
    }
}
