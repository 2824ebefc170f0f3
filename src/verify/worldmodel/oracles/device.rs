//! One step of a task on a device.

use crate::device::Device;
use crate::graph::{Execution, Graph, GraphError, Moment, Phase, Plan, TensorKind};
use crate::models::control::ControlTask;
use crate::models::{Dynamics, StepTensors};
use crate::verify::checks::CaseError;

/// The next observations, `[rows, state]`, after observations and actions.
pub(super) fn stepped(
    device: &Device,
    task: ControlTask,
    observations: &[f64],
    actions: &[f64],
) -> Result<Vec<f64>, CaseError> {
    on_device(device, task, observations, actions)
        .map_err(|error| CaseError::Engine(error.to_string()))
}

fn on_device(
    device: &Device,
    task: ControlTask,
    observations: &[f64],
    actions: &[f64],
) -> Result<Vec<f64>, GraphError> {
    let rows = observations.len() / task.state();
    let mut graph = Graph::new();
    let state = graph.float("state", &[rows, task.state()], TensorKind::State);
    let action = graph.float("action", &[rows, task.action()], TensorKind::Input);
    let next = graph.float("next", &[rows, task.state()], TensorKind::Output);
    let tensors = StepTensors {
        state,
        action,
        next,
    };
    task.push(&mut graph, (Phase::Step, "oracle"), rows, tensors);
    let plan = Plan::compile(graph, device)?;
    let mut execution = Execution::new(&plan)?;
    execution.write_f64(state, observations)?;
    execution.write_f64(action, actions)?;
    let launches: Vec<(usize, u32)> = (0..plan.graph().nodes().len()).map(|n| (n, 0)).collect();
    execution.submit(&launches, &Moment::default())?;
    execution.wait()?;
    execution.read_f64(next)
}
