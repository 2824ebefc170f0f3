//! One run of a request: inputs in, the orbit, end points out.

use super::adaptive::{AdaptiveSettings, AdaptiveTensors, LOOK_EVERY};
use super::error::FlowError;
use super::request::{FlowRequest, Solver};
use crate::graph::{Execution, GraphError, Moment, TensorId};
use crate::models::flow::{DecoderConfig, FlowBatch, time_features};
use crate::orbit::{Orbit, OrbitReport};
use attractor_kernels::adaptive_step::AdaptiveStep;

/// Tensors of a compiled sampler.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensors {
    pub conditions: Option<TensorId>,
    pub features: Option<TensorId>,
    pub state: TensorId,
    pub history: Option<TensorId>,
    pub adaptive: Option<AdaptiveTensors>,
}

/// A part of a request.
pub(super) struct Run<'a> {
    pub config: DecoderConfig,
    pub request: &'a FlowRequest<'a>,
    pub batch: FlowBatch,
    /// First frame and first draw.
    pub frame: usize,
    pub draw: usize,
}

/// What a run gave.
pub(super) struct Finished {
    pub values: Vec<f64>,
    pub history: Vec<f64>,
    pub status: Vec<u32>,
    pub report: OrbitReport,
}

impl Finished {
    /// Velocity evaluations that a row took.
    pub fn evaluations_of(&self, row: usize, solver: Solver) -> f64 {
        match solver {
            Solver::Fixed { method, steps } => (method.evaluations() * steps) as f64,
            // One before the first step and six an attempt.
            Solver::Adaptive(_) => match self.status.get(4 * row..4 * row + 2) {
                Some(counts) => 1.0 + 6.0 * f64::from(counts[0] + counts[1]),
                None => 0.0,
            },
        }
    }
}

impl Run<'_> {
    /// Frames of the request that this run's stand for; beyond the last it is repeated.
    fn frames(&self) -> impl Iterator<Item = usize> + '_ {
        let last = self.request.frames - 1;
        (self.frame..self.frame + self.batch.frames).map(move |frame| frame.min(last))
    }

    /// (frame, draw) of every row.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let last = self.request.draws - 1;
        self.frames().flat_map(move |frame| {
            let draws = self.draw..self.draw + self.batch.draws;
            draws.map(move |draw| (frame, draw.min(last)))
        })
    }

    /// Rows of the run that belong to the request: (row of the run, row of the request).
    pub fn rows(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let FlowBatch { frames, draws } = self.batch;
        let (all_frames, all_draws) = (self.request.frames, self.request.draws);
        (0..frames * draws).filter_map(move |row| {
            let (frame, draw) = (self.frame + row / draws, self.draw + row % draws);
            (frame < all_frames && draw < all_draws).then_some((row, frame * all_draws + draw))
        })
    }

    /// Carries out the run.
    pub fn carry_out(&self, tensors: &Tensors, orbit: &mut Orbit) -> Result<Finished, FlowError> {
        self.write(tensors, &mut orbit.execution)?;
        let moment = Moment::default();
        let (report, status) = match (self.request.solver, tensors.adaptive) {
            (Solver::Adaptive(settings), Some(adaptive)) => {
                self.adapt(&settings, &adaptive, orbit, &moment)?
            }
            (Solver::Fixed { steps, .. }, _) => (orbit.run(steps as u32, &moment)?, Vec::new()),
            (Solver::Adaptive(_), None) => (OrbitReport::default(), Vec::new()),
        };
        let execution = &orbit.execution;
        Ok(Finished {
            values: execution.read_f64(tensors.state)?,
            history: match tensors.history {
                Some(history) => execution.read_f64(history)?,
                None => Vec::new(),
            },
            status,
            report,
        })
    }

    /// Attempts steps until all rows are done.
    fn adapt(
        &self,
        settings: &AdaptiveSettings,
        tensors: &AdaptiveTensors,
        orbit: &mut Orbit,
        moment: &Moment,
    ) -> Result<(OrbitReport, Vec<u32>), FlowError> {
        let idle = |execution: &Execution| -> Result<bool, GraphError> {
            let status = execution.read_words(tensors.status)?;
            Ok(states(&status).all(|state| state != AdaptiveStep::RUNNING))
        };
        let limits = (settings.maximum_steps, LOOK_EVERY);
        let (_, report) = orbit.run_until(limits, moment, idle)?;
        let status = orbit.execution.read_words(tensors.status)?;
        let unfinished: Vec<usize> = states(&status)
            .enumerate()
            .filter_map(|(row, state)| (state != AdaptiveStep::DONE).then_some(row))
            .collect();
        let Some(&row) = unfinished.first() else {
            return Ok((report, status));
        };
        let (time, step_size) = (
            orbit.execution.read(tensors.time)?,
            orbit.execution.read(tensors.step_size)?,
        );
        let (frame, draw) = self.places().nth(row).unwrap_or((0, 0));
        let failed = status[4 * row + 2] == AdaptiveStep::FAILED;
        Err(FlowError::Tolerance {
            frame,
            draw,
            relative: settings.relative_tolerance,
            absolute: settings.absolute_tolerance,
            reason: if failed {
                "the step became too small"
            } else {
                "the attempts were used up"
            },
            time: time[row],
            step_size: step_size[row],
            accepted: status[4 * row],
            rejected: status[4 * row + 1],
            count: unfinished.len(),
            rows: self.batch.rows(),
        })
    }

    /// Hands the inputs over.
    pub fn write(&self, tensors: &Tensors, execution: &mut Execution) -> Result<(), GraphError> {
        let config = &self.config;
        let width = config.tokens * config.cond_dim;
        if let Some(conditions) = tensors.conditions {
            let values: Vec<f32> = self
                .frames()
                .flat_map(|frame| &self.request.conditions[frame * width..(frame + 1) * width])
                .copied()
                .collect();
            execution.write(conditions, &values)?;
        }
        execution.write(tensors.state, &self.noise())?;
        if let (Some(features), Solver::Fixed { method, steps }) =
            (tensors.features, self.request.solver)
        {
            execution.write(features, &time_features(config, &method.times(steps)))?;
        }
        if let (Some(adaptive), Solver::Adaptive(settings)) =
            (tensors.adaptive, self.request.solver)
        {
            let rows = self.batch.rows();
            execution.write(adaptive.time, &vec![0.0; rows])?;
            execution.write(adaptive.step_size, &vec![settings.initial_step; rows])?;
            execution.write_words(adaptive.status, &vec![0; 4 * rows])?;
            let stages = 7 * rows * config.chunk();
            execution.write(adaptive.velocities, &vec![0.0; stages])?;
        }
        Ok(())
    }

    /// Starting points of every row.
    fn noise(&self) -> Vec<f32> {
        let chunk = self.config.chunk();
        let mut values = vec![0.0; self.batch.rows() * chunk];
        for ((frame, draw), row) in self.places().zip(values.chunks_exact_mut(chunk)) {
            self.request.fill_start((frame, draw), row);
        }
        values
    }
}

/// The state word of every row.
fn states(status: &[u32]) -> impl Iterator<Item = u32> + '_ {
    status.chunks_exact(4).map(|row| row[2])
}
