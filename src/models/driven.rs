//! Dynamics under given actions, as a map that can be iterated.

use super::{Dynamics, StepTensors};
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorKind};
use crate::orbit::IteratedMap;
use attractor_kernels::copy::CopyFloats;
use thiserror::Error;

/// Actions that do not fit.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("actions: expected {expected}, found {found}")]
pub struct DriveError {
    /// What they must be.
    pub expected: String,
    /// What they are.
    pub found: String,
}

/// Dynamics over `batch` examples, each under its own `steps` actions, `[batch, steps, action]`; an orbit
/// may have that many steps and no more. With one action each, it is held, and orbits may be of any length.
///
/// # Errors
/// [`DriveError`] if the actions are not as many, not finite, or too many for a kernel.
pub fn driven(
    dynamics: &dyn Dynamics,
    batch: usize,
    steps: usize,
    actions: &[f64],
) -> Result<IteratedMap, DriveError> {
    let (width, action) = (dynamics.state(), dynamics.action());
    check(batch, steps, action, actions)?;
    let mut graph = Graph::new();
    let state = graph.float("state", &[batch, width], TensorKind::State);
    let table = graph.constant_f64("actions", &[batch, steps, action], actions.to_vec());
    let own = match steps {
        1 => table,
        _ => {
            let own = graph.float("action", &[batch, action], TensorKind::Intermediate);
            let (from, to) = (size(steps * action), size(action));
            let copy = CopyFloats {
                src_step_stride: to,
                ..CopyFloats::strided([1, 1, size(batch), to], [0, 0, from, 1], [0, 0, to, 1])
            };
            graph.push(Phase::Step, "action", copy, &[Some(table), Some(own)]);
            own
        }
    };
    let tensors = StepTensors {
        state,
        action: own,
        next: state,
    };
    dynamics.push(&mut graph, (Phase::Step, "dynamics"), batch, tensors);
    Ok(IteratedMap {
        updates: vec![graph.nodes().len()],
        graph,
        state,
        batch,
        dimension: width,
    })
}

fn check(batch: usize, steps: usize, action: usize, actions: &[f64]) -> Result<(), DriveError> {
    let count = batch
        .checked_mul(steps)
        .and_then(|count| count.checked_mul(action));
    let fits = count.is_some_and(|count| count > 0 && count <= u32::MAX as usize);
    if !fits || count != Some(actions.len()) {
        return Err(DriveError {
            expected: format!("{batch} x {steps} x {action} numbers, at least one"),
            found: format!("{} numbers", actions.len()),
        });
    }
    match actions.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(DriveError {
            expected: "finite numbers".into(),
            found: format!(
                "another for example {} at step {}",
                at / (steps * action),
                at / action % steps
            ),
        }),
    }
}
