//! World models: maps of a state and an action to the next state.

use crate::graph::{Graph, Phase, TensorId};

/// Learned or true dynamics `x' = f(x, a)`, row by row.
///
/// Planners roll any of them forward; the tangent machinery differentiates them.
pub trait Dynamics: std::fmt::Debug + Send + Sync {
    /// Numbers of a state.
    fn state(&self) -> usize;

    /// Numbers of an action.
    fn action(&self) -> usize;

    /// Adds one step over `rows` rows: reads `state`, `[rows, state]`, and `action`, `[rows, action]`, and
    /// writes `next`, `[rows, state]`, which may be the tensor `state` itself. Names of tensors and labels of
    /// nodes begin with `label`.
    fn push(&self, graph: &mut Graph, at: (Phase, &str), rows: usize, tensors: StepTensors);
}

/// Tensors of one step of [`Dynamics`].
#[derive(Debug, Clone, Copy)]
pub struct StepTensors {
    /// `[rows, state]`.
    pub state: TensorId,
    /// `[rows, action]`.
    pub action: TensorId,
    /// `[rows, state]`; may be `state`.
    pub next: TensorId,
}
