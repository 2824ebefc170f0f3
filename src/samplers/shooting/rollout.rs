//! States along given actions, without a choice.

use super::ShootingError;
use super::error::refuse;
use crate::device::Device;
use crate::graph::layers::size;
use crate::graph::{Graph, Moment, Phase, Plan, TensorKind};
use crate::models::{Dynamics, StepTensors};
use crate::orbit::Orbit;
use attractor_kernels::copy::CopyFloats;

/// Rolls dynamics from `states` `[rows, state]` along `actions` `[steps, rows, action]`, and gives the
/// states after every step, `[steps, rows, state]`.
///
/// # Errors
/// [`ShootingError`]: no rows or steps, wrong lengths, numbers that are not finite, a device that fails.
pub fn rollout(
    dynamics: &dyn Dynamics,
    states: &[f64],
    actions: &[f64],
    device: &Device,
) -> Result<Vec<f64>, ShootingError> {
    let (width, action) = (dynamics.state(), dynamics.action());
    let rows = states.len() / width.max(1);
    let a_step = rows.saturating_mul(action);
    let steps = actions.len() / a_step.max(1);
    let whole = states.len() == rows * width && actions.len() == steps * a_step;
    if rows == 0 || steps == 0 || !whole {
        let expected = format!("states of {width} numbers and as many actions of {action} a step");
        let found = format!("{} and {} numbers", states.len(), actions.len());
        return Err(refuse("rollout", expected, found));
    }
    for (what, numbers) in [("states", states), ("actions", actions)] {
        if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
            return Err(refuse(what, "finite numbers", format!("another at {at}")));
        }
    }
    let mut graph = Graph::new();
    let state = graph.float("state", &[rows, width], TensorKind::State);
    let table = graph.float("actions", &[steps, rows, action], TensorKind::Input);
    let current = graph.float("action", &[rows, action], TensorKind::Intermediate);
    let history = graph.float("history", &[steps, rows, width], TensorKind::Output);
    let copy = CopyFloats {
        src_step_stride: size(a_step),
        ..CopyFloats::contiguous(size(a_step))
    };
    graph.push(Phase::Step, "action", copy, &[Some(table), Some(current)]);
    let step = StepTensors {
        state,
        action: current,
        next: state,
    };
    dynamics.push(&mut graph, (Phase::Step, "dynamics."), rows, step);
    let numbers = size(rows * width);
    let keep = CopyFloats {
        dst_step_stride: numbers,
        ..CopyFloats::contiguous(numbers)
    };
    graph.push(Phase::Step, "history", keep, &[Some(state), Some(history)]);
    let mut orbit = Orbit::new(&Plan::compile(graph, device)?)?;
    orbit.execution.write_f64(state, states)?;
    orbit.execution.write_f64(table, actions)?;
    orbit.run(size(steps), &Moment::default())?;
    Ok(orbit.execution.read_f64(history)?)
}
