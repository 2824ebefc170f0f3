//! M4: does the learned map spread neighbouring states as the true map does, where the truth leads?
//!
//! Along the true trajectory `x_0, ..., x_K` from a sampled state under the sample's actions, tangents are
//! multiplied by the Jacobians of the true map F, and, from the same first tangents, by those of the
//! learned map f at the same states. Each has a largest finite-time exponent
//! `lambda = (1 / K) sum_t ln r_t`, with `r_t` the first diagonal element of R after step t, in units of one
//! step. M4 is the mean over the states of `lambda(f) - lambda(F)`.
//!
//! The learned map is held on the true trajectory by constants: with `y_t = f(x_t, a_t)` predicted
//! beforehand, it is iterated as `x <- f(x, a_t) + (x_(t+1) - y_t)`, whose Jacobian is that of f. Where
//! angles are observed as cosine and sine, F is constant across the circle, so that the part of a first
//! tangent that leads off it is gone after one step; what is left measures F on its states.

use super::metrics::{repeated_sequence, trajectories};
use super::{Sample, Stage2Error};
use crate::device::Device;
use crate::graph::layers::size;
use crate::graph::{Graph, Moment, Phase, TensorKind};
use crate::models::{Dynamics, StepTensors};
use crate::orbit::IteratedMap;
use crate::orbit::lyapunov::{LyapunovPlan, Settings};
use crate::samplers::shooting::rollout::rollout;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use serde::Serialize;

/// M4 of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Divergence {
    /// Mean over the states of the learned exponent less the true one, a step.
    pub mean: f64,
    /// Mean of its magnitude.
    pub mean_absolute: f64,
    /// States that had both exponents.
    pub states: usize,
}

/// M4 of a learned map; none where no state has both exponents.
///
/// # Errors
/// [`Stage2Error`]: trajectories that are not finite, a node without tangents, a device that fails.
pub fn divergence(
    learned: &dyn Dynamics,
    sample: &Sample,
    columns: usize,
    device: &Device,
) -> Result<Option<Divergence>, Stage2Error> {
    let exact = Device::cpu_f64();
    let after = trajectories(&sample.task, sample, &exact)?;
    let before: Vec<f64> = sample.states.iter().chain(&after).copied().collect();
    let before = before.get(..after.len()).unwrap_or(&[]);
    let actions = repeated_sequence(sample);
    let predicted = rollout(learned, before, &actions, device)?;
    let forcing: Vec<f64> = after.iter().zip(&predicted).map(|(x, y)| x - y).collect();
    let still = vec![0.0; forcing.len()];
    let truth = largest(&sample.task, sample, (&still, columns), &exact)?;
    let model = largest(learned, sample, (&forcing, columns), device)?;
    let pairs = truth.iter().zip(&model);
    let differences: Vec<f64> = pairs
        .filter_map(|(truth, model)| Some((*model)? - (*truth)?))
        .collect();
    let count = differences.len();
    Ok((count > 0).then(|| Divergence {
        mean: differences.iter().sum::<f64>() / count as f64,
        mean_absolute: differences.iter().map(|d| d.abs()).sum::<f64>() / count as f64,
        states: count,
    }))
}

/// Largest exponents of `x <- f(x, a_t) + c_t`, one a state; none where a number left the finite ones.
/// `forcing` is `[K, states, state]`.
fn largest(
    dynamics: &dyn Dynamics,
    sample: &Sample,
    (forcing, columns): (&[f64], usize),
    device: &Device,
) -> Result<Vec<Option<f64>>, Stage2Error> {
    let steps = sample.sequence.len();
    let map = forced(dynamics, sample, forcing);
    let settings = Settings::by_step(&map, columns);
    let plan = LyapunovPlan::compile(&map, &settings, device)?;
    let mut orbit = plan.orbit()?;
    let state = map.state;
    let written = orbit.orbit.execution.write_f64(state, &sample.states);
    written.map_err(crate::orbit::lyapunov::LyapunovError::from)?;
    let spectrum = orbit.run(size(steps), &Moment::default())?;
    let of = |example: usize| {
        let firsts = spectrum.logs(example).iter().step_by(columns);
        let sum: f64 = firsts.sum();
        let is_whole = spectrum.invalid.iter().all(|bad| bad.example != example);
        (sum.is_finite() && is_whole).then(|| sum / steps as f64)
    };
    Ok((0..sample.count()).map(of).collect())
}

/// The map with its actions and constants.
fn forced(dynamics: &dyn Dynamics, sample: &Sample, forcing: &[f64]) -> IteratedMap {
    let (width, action) = (dynamics.state(), dynamics.action());
    let (rows, steps) = (sample.count(), sample.sequence.len());
    let mut graph = Graph::new();
    let middle = TensorKind::Intermediate;
    let state = graph.float("state", &[rows, width], TensorKind::State);
    let current = graph.float("action", &[rows, action], middle);
    let moved = graph.float("moved", &[rows, width], middle);
    let constant = graph.float("constant", &[rows, width], middle);
    let actions = repeated_sequence(sample);
    let tables = [
        ("action", actions, action, current),
        ("constant", forcing.to_vec(), width, constant),
    ];
    for (name, values, width, to) in tables {
        let shape = [steps, rows, width];
        let table = graph.constant_f64(format!("{name}s"), &shape, values);
        let numbers = size(rows * width);
        let copy = CopyFloats {
            src_step_stride: numbers,
            ..CopyFloats::contiguous(numbers)
        };
        graph.push(Phase::Step, name, copy, &[Some(table), Some(to)]);
    }
    let step = StepTensors {
        state,
        action: current,
        next: moved,
    };
    dynamics.push(&mut graph, (Phase::Step, "dynamics."), rows, step);
    let add = Elementwise::contiguous(Operation::ADD, size(rows * width));
    let operands = [Some(moved), Some(constant), Some(state)];
    graph.push(Phase::Step, "force", add, &operands);
    IteratedMap {
        updates: vec![graph.nodes().len()],
        graph,
        state,
        batch: rows,
        dimension: width,
    }
}
