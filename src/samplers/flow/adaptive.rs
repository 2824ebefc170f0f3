//! Dormand-Prince 5(4) with a step size for every row, decided on the device.

use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::models::field::{Evaluation, Time, Times, VelocityField};
use attractor_kernels::adaptive_step::AdaptiveStep;
use attractor_kernels::runge_kutta::{DORMAND_PRINCE, RungeKutta};
use serde::{Deserialize, Serialize};

/// Tolerances and limits of the adaptive solver.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdaptiveSettings {
    /// Error allowed per unit of the state: of the end point under `refine`, else the estimated one of a
    /// step.
    pub relative_tolerance: f32,
    /// Error allowed beside that.
    pub absolute_tolerance: f32,
    /// First step that is tried; flow time runs from 0 to 1. Small by default: the logit of time turns
    /// steeply at its ends, and the error estimate hardly weighs the very first stage.
    pub initial_step: f32,
    /// Largest step. Features of time turn at up to 1000 radians a unit: longer steps can jump from
    /// one turn to another and look smooth.
    pub maximum_step: f32,
    /// Attempts, accepted or not, after which a row has failed.
    pub maximum_steps: u32,
    /// Whether rows are solved again, each time finer, until their end points stand within the
    /// tolerance.
    pub refine: bool,
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self {
            relative_tolerance: 1e-2,
            absolute_tolerance: 1e-2,
            initial_step: 1e-4,
            maximum_step: 1.0 / 16.0,
            maximum_steps: 20_000,
            refine: true,
        }
    }
}

/// Attempts between looks at whether all rows are done.
pub(super) const LOOK_EVERY: u32 = 8;

/// Tensors of the adaptive solver in a graph.
#[derive(Debug, Clone, Copy)]
pub struct AdaptiveTensors {
    /// State `[rows, width]`: noise before the run, end points after it.
    pub state: TensorId,
    /// Times `[rows]`, 0 before the run.
    pub time: TensorId,
    /// Step sizes `[rows]`, the initial step before the run.
    pub step_size: TensorId,
    /// Accepted steps, rejected steps, state of the row (see [`AdaptiveStep`]), `[rows, 4]`.
    pub status: TensorId,
    /// Velocities `[7, rows, width]`, kept between attempts.
    pub velocities: TensorId,
}

/// Builds one attempt of a step over `field` into `graph`; an orbit repeats it until all rows are done.
pub fn solve_adaptively(
    graph: &mut Graph,
    field: &mut impl VelocityField,
    settings: &AdaptiveSettings,
) -> AdaptiveTensors {
    let (rows, width) = (field.rows(), field.width());
    let tableau = &DORMAND_PRINCE;
    field.prepare(graph, Times::PerRow);
    let state = graph.float("state", &[rows, width], TensorKind::State);
    let time = graph.float("time", &[rows], TensorKind::State);
    let step_size = graph.float("step_size", &[rows], TensorKind::State);
    let status = graph.word("status", &[rows, 4], TensorKind::State);
    let stages = tableau.nodes.len();
    // The first stage of a step is the last of the one before it, so it must outlive the attempt.
    let shape = [stages, rows, width];
    let velocities = graph.float("velocities", &shape, TensorKind::State);
    let first = Evaluation {
        phase: Phase::Once,
        label: "v0.",
        x: state,
        time: Time::PerRow {
            time,
            step_size: None,
            node: (0, 1),
        },
        out: velocities,
        out_offset: 0,
    };
    field.velocity(graph, &first);
    let mut candidate = state;
    for (stage, coefficients) in tableau.stages.iter().enumerate().skip(1) {
        let label = format!("stage{stage}");
        candidate = graph.float(&label, &[rows, width], TensorKind::Intermediate);
        let kernel = RungeKutta {
            stage_stride: size(rows * width),
            ..RungeKutta::combination(size(rows), size(width), coefficients, 1).per_row()
        };
        let operands = [
            Some(state),
            Some(velocities),
            Some(step_size),
            Some(candidate),
        ];
        graph.push(Phase::Step, label, kernel, &operands);
        let evaluation = Evaluation {
            phase: Phase::Step,
            label: &format!("v{stage}."),
            x: candidate,
            time: Time::PerRow {
                time,
                step_size: Some(step_size),
                node: tableau.nodes.get(stage).copied().unwrap_or((1, 1)),
            },
            out: velocities,
            out_offset: stage * rows * width,
        };
        field.velocity(graph, &evaluation);
    }
    // A state of zeros must not divide by zero.
    let absolute = settings.absolute_tolerance.max(f32::MIN_POSITIVE);
    let relative = settings.relative_tolerance;
    let kernel = AdaptiveStep {
        maximum_step: settings.maximum_step,
        ..AdaptiveStep::dormand_prince(size(rows), size(width), relative, absolute)
    };
    // The last stage's state is the result of the step.
    let operands = [
        Some(state),
        Some(candidate),
        Some(velocities),
        Some(time),
        Some(step_size),
        Some(status),
    ];
    graph.push(Phase::Step, "control", kernel, &operands);
    AdaptiveTensors {
        state,
        time,
        step_size,
        status,
        velocities,
    }
}
