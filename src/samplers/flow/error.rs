//! What can go wrong in drawing action chunks.

use crate::device::DeviceError;
use crate::formats::FormatError;
use crate::graph::GraphError;
use crate::models::flow::DecoderConfigError;
use crate::models::weights::WeightsError;
use thiserror::Error;

/// What can go wrong in drawing action chunks.
#[derive(Debug, Error)]
pub enum FlowError {
    /// The configuration does not hold together.
    #[error(transparent)]
    Config(#[from] DecoderConfigError),
    /// The weights do not fit the configuration.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// An array is missing or misshapen.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A setting is out of range, or a part of the request does not fit the model or the other parts.
    #[error("{what}: expected {expected}, found {found}")]
    Request {
        /// Which setting or part.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The graph or the device failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The decoder gave no usable number.
    #[error("frame {frame}, draw {draw}: the end point is not finite")]
    NotFinite {
        /// Frame of the request.
        frame: usize,
        /// Draw of the frame.
        draw: usize,
    },
    /// The adaptive solver did not meet its tolerance.
    #[error(
        "frame {frame}, draw {draw}: the tolerance (relative {relative:e}, absolute {absolute:e}) was not met: \
         {reason} at t = {time}, step size {step_size}, after {accepted} accepted and {rejected} rejected \
         steps; {count} of {rows} rows did not finish"
    )]
    Tolerance {
        /// First such frame of the request.
        frame: usize,
        /// Its draw.
        draw: usize,
        /// Relative tolerance.
        relative: f32,
        /// Absolute tolerance.
        absolute: f32,
        /// Attempts used up, or a step too small for single precision.
        reason: &'static str,
        /// Flow time that it reached.
        time: f32,
        /// Step size there.
        step_size: f32,
        /// Accepted steps.
        accepted: u32,
        /// Rejected steps.
        rejected: u32,
        /// Rows that did not finish.
        count: usize,
        /// Rows of the run.
        rows: usize,
    },
    /// No solver that was tried is accurate enough.
    #[error("tolerance {tolerance:e}: none of {count} solvers meets it; the best: {best}")]
    NoSolver {
        /// Largest error accepted, model space.
        tolerance: f64,
        /// Solvers that were tried.
        count: usize,
        /// The most accurate one.
        best: String,
    },
    /// End points that did not stand within the tolerance.
    #[error(
        "frame {frame}, draw {draw}: the tolerance (relative {relative:e}, absolute {absolute:e}) was not met: the \
         end point still moved after {refinements} refinements of the steps; {count} of {rows} rows did not \
         settle"
    )]
    Unsettled {
        /// First such frame of the request.
        frame: usize,
        /// Its draw.
        draw: usize,
        /// Relative tolerance.
        relative: f32,
        /// Absolute tolerance.
        absolute: f32,
        /// Refinements made.
        refinements: usize,
        /// Rows that did not settle.
        count: usize,
        /// Rows of the request.
        rows: usize,
    },
}

impl From<DeviceError> for FlowError {
    fn from(error: DeviceError) -> Self {
        Self::Graph(error.into())
    }
}

/// A [`FlowError::Request`].
pub(super) fn refuse(
    what: &'static str,
    expected: impl ToString,
    found: impl ToString,
) -> FlowError {
    FlowError::Request {
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
