//! Optimisers as nodes of a graph: what changes a parameter in place, on the device, once a step.

use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use attractor_kernels::adam::Adam;

pub use attractor_kernels::adam::AdamSettings;

/// Adam's moments of one parameter, of its shape: zero before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moments {
    /// Running mean of gradients.
    pub first: TensorId,
    /// Running mean of their squares.
    pub second: TensorId,
}

/// Adds a step of Adam that changes `parameter` by its `gradient`, and the moments it needs as
/// [`TensorKind::State`]. The step's number is that of the orbit.
pub fn push_adam(
    graph: &mut Graph,
    phase: Phase,
    (parameter, gradient): (TensorId, TensorId),
    settings: AdamSettings,
) -> Moments {
    let tensor = graph.tensor(parameter);
    let (name, shape, count) = (
        tensor.name.clone(),
        tensor.shape.clone(),
        size(tensor.len()),
    );
    let mut moment = |end: &str| graph.float(format!("{name}.{end}"), &shape, TensorKind::State);
    let moments = Moments {
        first: moment("first_moment"),
        second: moment("second_moment"),
    };
    let operands = [gradient, parameter, moments.first, moments.second].map(Some);
    graph.push(
        phase,
        format!("{name}.adam"),
        Adam::new(count, settings),
        &operands,
    );
    moments
}
