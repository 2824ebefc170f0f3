//! Shaders against twins.

use crate::common;
use attractor::device::Device;
use attractor::models::Dynamics;
use attractor::models::control::ControlTask;
use attractor::worlds::control::state_sample;
use attractor_kernels::AnyKernel;
use attractor_kernels::control_step::{ControlStep, ControlSystem};
use attractor_kernels::control_step_tangent::ControlStepTangent;

/// Observations along random actions, and actions for them.
fn rows(system: ControlSystem, count: usize) -> [Vec<f32>; 2] {
    let place = ControlSystem::ALL
        .iter()
        .position(|own| *own == system)
        .unwrap();
    let task = ControlTask::ALL[place];
    let states = state_sample(task, count, 7, 1).unwrap().concat();
    let wide = count * task.action();
    let actions = common::values(wide, 4);
    [states.iter().map(|v| *v as f32).collect(), actions]
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn shaders_agree_with_their_twins() {
    let gpu = common::gpu();
    for &system in ControlSystem::ALL {
        for count in [1, 7, 65] {
            let [mut obs, action] = rows(system, count);
            let n = system.observation() as usize;
            // Beyond the limits, fast, and turned many times.
            for (row, obs) in obs.chunks_mut(n).enumerate() {
                match (system, row % 3) {
                    (ControlSystem::CARTPOLE, 0) => obs[0] = 1.8006,
                    (ControlSystem::REACHER, 0) => obs[1] = -2.7931,
                    (ControlSystem::REACHER, 1) => obs[0] += 60.0,
                    _ => obs[n - 1] *= 5.0,
                }
            }
            let step = ControlStep::contiguous(system, count as u32);
            let next = common::Array::Float(vec![9.0; obs.len()]);
            let inputs = [
                common::Array::Float(obs.clone()),
                common::Array::Float(action.clone()),
            ];
            let operands = [&inputs[..], &[next]].concat();
            compare(&gpu, step.into(), &operands, 2e-6);
            let tangents = 3;
            for used in [[true, true], [true, false], [false, true]] {
                let strides = [obs.len() as u32 + 3, action.len() as u32 + 1];
                let own = [0, 1].map(|i| if used[i] { strides[i] } else { 0 });
                let out = obs.len() as u32 + 2;
                let kernel = ControlStepTangent::new(step, tangents, own, out);
                let extents = attractor_kernels::Kernel::extents(&kernel);
                let moved = [2, 3].map(|i| match extents[i] {
                    0 => common::Array::Absent,
                    count => common::Array::Float(common::values(count, i as u64)),
                });
                let out = common::Array::Float(vec![9.0; extents[4]]);
                let operands = [&inputs[..], &moved[..], &[out]].concat();
                compare(&gpu, kernel.into(), &operands, 2e-5);
            }
        }
    }
}

fn compare(gpu: &Device, kernel: AnyKernel, operands: &[common::Array], tolerance: f64) {
    let found = common::run(gpu, kernel, operands);
    let expected = common::run(&Device::cpu_f64(), kernel, operands);
    let (found, expected) = (found.last().unwrap(), expected.last().unwrap());
    let size = expected.floats().iter().fold(1.0f32, |a, b| a.max(b.abs()));
    for (at, (a, b)) in found.floats().iter().zip(expected.floats()).enumerate() {
        let error = f64::from((a - b).abs());
        let name = kernel.id().name();
        assert!(
            error <= tolerance * f64::from(size),
            "{name} {at}: {a} against {b}, {kernel:?}"
        );
    }
}
