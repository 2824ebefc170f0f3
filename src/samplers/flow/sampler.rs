//! The flow sampler: a velocity decoder and a solver as one orbit, over batches of any size.

use super::adaptive::solve_adaptively;
use super::error::FlowError;
use super::request::{FlowDraws, FlowReport, FlowRequest, Solver};
use super::run::{Finished, Run, Tensors};
use super::solver::solve;
use crate::device::{Device, DeviceError};
use crate::formats::ArrayMap;
use crate::graph::{Graph, GraphError, Phase, Plan};
use crate::models::flow::{DecoderConfig, DecoderWeights, FlowBatch, VelocityDecoder};
use crate::orbit::OrbitPool;
use rayon::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// Rows of one run on the CPU device: enough for the matrix product, few enough for the cache.
const CPU_ROWS: usize = 32;
/// Rows of one run on a GPU, where its limits allow.
const GPU_ROWS: usize = 8192;
/// Compiled plans kept; each holds a copy of the constants.
const PLANS_KEPT: usize = 8;

/// A trained velocity decoder on a device.
#[derive(Debug)]
pub struct FlowSampler {
    config: DecoderConfig,
    weights: DecoderWeights,
    weights_hash: String,
    device: Device,
    compiled: Vec<(Key, Arc<Compiled>)>,
}

/// What a compiled plan depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    solver: Solver,
    batch: FlowBatch,
    record: bool,
}

/// A compiled plan.
#[derive(Debug)]
pub(super) struct Compiled {
    pub pool: OrbitPool,
    pub tensors: Tensors,
    pub batch: FlowBatch,
}

impl FlowSampler {
    /// A sampler of shape `config` with weights from a state dict.
    ///
    /// # Errors
    /// [`FlowError`] naming the key or tensor that does not fit.
    pub fn new(
        config: DecoderConfig,
        weights: &ArrayMap,
        device: &Device,
    ) -> Result<Self, FlowError> {
        config.check("configuration")?;
        Ok(Self {
            weights: DecoderWeights::velocity(&config, weights)?,
            weights_hash: weights.content_hash(),
            config,
            device: device.clone(),
            compiled: Vec::new(),
        })
    }

    /// Shape of the model.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Hash of the weights' contents.
    pub fn weights_hash(&self) -> &str {
        &self.weights_hash
    }

    /// Weights, for other graphs over the same model.
    pub fn weights(&self) -> &DecoderWeights {
        &self.weights
    }

    /// Draws `draws` action chunks for every frame of the request.
    ///
    /// The rows are cut into runs as the device likes and its limits allow; a draw does not depend on
    /// the cut, the batch or its order.
    ///
    /// # Errors
    /// [`FlowError`]: a setting or the request out of range, a device's limit or loss, a tolerance that
    /// was not met, or end points that are not finite.
    pub fn sample(&mut self, request: &FlowRequest<'_>) -> Result<FlowDraws, FlowError> {
        let draws = self.sample_all(request)?;
        let mut ends = draws.values.chunks_exact(self.config.chunk());
        match ends.position(|end| end.iter().any(|v| !v.is_finite())) {
            Some(row) => Err(FlowError::NotFinite {
                frame: row / request.draws,
                draw: row % request.draws,
            }),
            None => Ok(draws),
        }
    }

    /// [`FlowSampler::sample`] for those who leave out frames with end points that are not finite: they are
    /// returned as they are.
    ///
    /// # Errors
    /// As [`FlowSampler::sample`], but for such end points.
    pub fn sample_all(&mut self, request: &FlowRequest<'_>) -> Result<FlowDraws, FlowError> {
        request.check(&self.config)?;
        match request.solver {
            Solver::Adaptive(settings) if settings.refine => self.settle(request, &settings),
            _ => self.solve_once(request),
        }
    }

    /// One solution of a request that has been checked.
    pub(super) fn solve_once(&mut self, request: &FlowRequest<'_>) -> Result<FlowDraws, FlowError> {
        let start = Instant::now();
        let compiled = self.fitting(request)?;
        let runs = self.runs(request, &compiled);
        let at_once = self.at_once(runs.len());
        // Made before the first launch, so that the peak does not depend on how threads meet.
        compiled.pool.reserve(at_once)?;
        let side_by_side = self.device.gpu().is_none() && runs.len() > 1;
        let carry_out = |run: &Run<'_>| {
            let mut orbit = compiled.pool.borrow()?;
            orbit.execution.parallel = !side_by_side;
            let outcome = run.carry_out(&compiled.tensors, &mut orbit);
            compiled.pool.give_back(orbit);
            outcome
        };
        let finished: Vec<Result<Finished, FlowError>> = if side_by_side {
            runs.par_iter().map(carry_out).collect()
        } else {
            runs.iter().map(carry_out).collect()
        };
        // Of several failures the first in order is reported, however the threads met.
        let finished: Result<Vec<Finished>, FlowError> = finished.into_iter().collect();
        let nodes = compiled.pool.plan().graph().nodes();
        let report = FlowReport {
            runs: runs.len(),
            run_frames: compiled.batch.frames,
            run_draws: compiled.batch.draws,
            dispatches_a_step: nodes.iter().filter(|n| n.phase == Phase::Step).count(),
            working_bytes: compiled.pool.working_bytes(),
            ..FlowReport::default()
        };
        let mut draws = gather(&runs, finished?, request, &self.config, report)?;
        draws.report.seconds = start.elapsed().as_secs_f64();
        Ok(draws)
    }

    /// The plan that a request would run by, as one run.
    ///
    /// # Errors
    /// [`FlowError`] as [`FlowSampler::sample`].
    pub fn plan(&mut self, request: &FlowRequest<'_>) -> Result<Plan, FlowError> {
        request.check(&self.config)?;
        Ok(self.fitting(request)?.pool.plan().clone())
    }

    /// Runs that go side by side.
    pub(super) fn at_once(&self, runs: usize) -> usize {
        match self.device.gpu() {
            Some(_) => 1,
            None => runs.min(rayon::current_num_threads()),
        }
    }

    /// The parts of a request; rows beyond it repeat its last frame and draw.
    pub(super) fn runs<'a>(
        &self,
        request: &'a FlowRequest<'a>,
        compiled: &Compiled,
    ) -> Vec<Run<'a>> {
        let batch = compiled.batch;
        let mut runs = Vec::new();
        for frame in (0..request.frames).step_by(batch.frames) {
            for draw in (0..request.draws).step_by(batch.draws) {
                runs.push(Run {
                    config: self.config.clone(),
                    request,
                    batch,
                    frame,
                    draw,
                });
            }
        }
        runs
    }

    /// A compiled plan for runs of a request, as large as the device likes and allows.
    pub(super) fn fitting(
        &mut self,
        request: &FlowRequest<'_>,
    ) -> Result<Arc<Compiled>, FlowError> {
        let mut limit = match self.device.gpu() {
            Some(_) => GPU_ROWS,
            None => request
                .rows()
                .div_ceil(rayon::current_num_threads())
                .clamp(1, CPU_ROWS),
        };
        loop {
            let batch = cut(request.frames, request.draws, limit);
            let key = Key {
                solver: request.solver,
                batch,
                record: request.record,
            };
            match self.compiled(key) {
                Err(FlowError::Graph(GraphError::Device(
                    DeviceError::TooLarge { .. } | DeviceError::TooManyWorkgroups { .. },
                ))) if limit > 1 => limit /= 2,
                other => return other,
            }
        }
    }

    fn compiled(&mut self, key: Key) -> Result<Arc<Compiled>, FlowError> {
        if let Some(place) = self.compiled.iter().position(|(known, _)| *known == key) {
            // Most recently used last.
            let found = self.compiled.remove(place);
            let compiled = Arc::clone(&found.1);
            self.compiled.push(found);
            return Ok(compiled);
        }
        let mut graph = Graph::new();
        let decoder = VelocityDecoder::new(&self.config, &self.weights, key.batch, false);
        // `DecoderWeights::velocity` always reads the time layers.
        let mut decoder = decoder.ok_or_else(|| {
            super::error::refuse("weights", "a velocity decoder", "a regression head")
        })?;
        let solved = match key.solver {
            Solver::Fixed { method, steps } => {
                let solved = solve(&mut graph, &mut decoder, method, steps, key.record);
                (solved.state, solved.history, None)
            }
            Solver::Adaptive(settings) => {
                let solved = solve_adaptively(&mut graph, &mut decoder, &settings);
                (solved.state, None, Some(solved))
            }
        };
        let tensors = Tensors {
            conditions: decoder.conditions(),
            features: decoder.features(),
            state: solved.0,
            history: solved.1,
            adaptive: solved.2,
        };
        let compiled = Arc::new(Compiled {
            pool: OrbitPool::new(Plan::compile(graph, &self.device)?),
            tensors,
            batch: key.batch,
        });
        if self.compiled.len() >= PLANS_KEPT {
            self.compiled.remove(0);
        }
        self.compiled.push((key, Arc::clone(&compiled)));
        Ok(compiled)
    }
}

/// Frames and draws of one run of at most `limit` rows: all draws of some frames, or a part of the
/// draws of one; parts are of equal size.
fn cut(frames: usize, draws: usize, limit: usize) -> FlowBatch {
    let parts = draws.div_ceil(limit.max(1)).max(1);
    let draws = draws.div_ceil(parts).max(1);
    let most = (limit / draws).max(1);
    let groups = frames.div_ceil(most).max(1);
    FlowBatch {
        frames: frames.div_ceil(groups).max(1),
        draws,
    }
}

/// Joins the runs of a request.
fn gather(
    runs: &[Run<'_>],
    finished: Vec<Finished>,
    request: &FlowRequest<'_>,
    config: &DecoderConfig,
    mut report: FlowReport,
) -> Result<FlowDraws, FlowError> {
    let (rows, chunk) = (request.rows(), config.chunk());
    let mut values = vec![0.0f64; rows * chunk];
    let steps = match request.solver {
        Solver::Fixed { steps, .. } => steps,
        Solver::Adaptive(_) => 0,
    };
    let states = (steps + 1) * chunk;
    let mut trajectories = request.record.then(|| vec![0.0f64; rows * states]);
    for (run, outcome) in runs.iter().zip(&finished) {
        report.dispatches += outcome.report.dispatches;
        report.submissions += outcome.report.submissions;
        report.host_seconds += outcome.report.host.as_secs_f64();
        for (from, to) in run.rows() {
            let end = &outcome.values[from * chunk..(from + 1) * chunk];
            values[to * chunk..(to + 1) * chunk].copy_from_slice(end);
            let evaluated = outcome.evaluations_of(from, request.solver);
            report.evaluations += evaluated / rows as f64;
            if let Some(status) = outcome.status.get(4 * from..4 * from + 4) {
                report.accepted += u64::from(status[0]);
                report.rejected += u64::from(status[1]);
            }
            if let Some(all) = &mut trajectories {
                let to = &mut all[to * states..(to + 1) * states];
                let batch = run.batch.rows();
                for (step, state) in to.chunks_exact_mut(chunk).enumerate() {
                    let at = (step * batch + from) * chunk;
                    state.copy_from_slice(&outcome.history[at..at + chunk]);
                }
            }
        }
    }
    Ok(FlowDraws {
        values: values.iter().map(|&v| v as f32).collect(),
        values_f64: values,
        trajectories,
        report,
    })
}
