//! Steps of control tasks: candidates of a planner that shoots at random, 64 for an example of the
//! planner's cases, and the tangents of as many states.

use super::{Case, Fill, unit};
use attractor_kernels::KernelId;
use attractor_kernels::control_step::{ControlStep, ControlSystem};
use attractor_kernels::control_step_tangent::ControlStepTangent;

/// Candidates of an example.
const CANDIDATES: u32 = 64;

/// Observations within the range of every joint.
fn observations(system: ControlSystem, rows: u32) -> Vec<f32> {
    let width = system.observation() as usize;
    (0..rows as usize * width)
        .map(|at| 2.0 * unit(at, 9) - 1.0)
        .collect()
}

/// The cases of either kernel: every task.
pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let rows = CANDIDATES * batch;
    let names = ["cart-pole", "reacher", "acrobot"];
    let tasks = ControlSystem::ALL.iter().zip(names);
    tasks
        .map(|(&system, name)| {
            let primal = ControlStep::contiguous(system, rows);
            let [n, m] = [system.observation(), system.action()].map(|width| width * rows);
            let case = match id {
                KernelId::ControlStep => Case::new(format!("{rows} rows, {name}"), 9, primal),
                _ => {
                    let kernel = ControlStepTangent::new(primal, system.observation(), [n, m], n);
                    let name = format!("{rows} rows, {name}, {} tangents", kernel.tangents);
                    Case::new(name, 99, kernel)
                }
            };
            case.fill(0, Fill::Exactly(observations(system, rows)))
        })
        .collect()
}
