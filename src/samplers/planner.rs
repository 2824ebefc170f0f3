//! The masked-diffusion planner: a denoiser and a sampler as one orbit, over batches of any size.

use super::PlannerError;
use super::chunks::{self, Chunk};
use super::compiled::{Compiled, Key};
use super::observations::{PlanRequest, PlannerReport, Plans};
use super::step::{SequenceShape, StepBuilder, StepOptions};
use super::{SamplerSettings, SettingsError, StepTables};
use crate::device::{Device, DeviceError};
use crate::formats::ArrayMap;
use crate::graph::{Graph, GraphError, Plan, TensorId};
use crate::models::remdm::{DenoiserConfig, DenoiserWeights, Rows, TimeAddressing, build};
use crate::orbit::OrbitPool;
use rayon::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// A trained planner on a device.
#[derive(Debug)]
pub struct Planner {
    pub(super) config: DenoiserConfig,
    pub(super) weights: DenoiserWeights,
    weights_hash: String,
    pub(super) device: Device,
    compiled: Vec<(Key, Arc<Compiled>)>,
}

/// Compiled plans kept; each holds a copy of the constants.
const PLANS_KEPT: usize = 4;

impl Planner {
    /// A planner of shape `config` with weights from a state dict.
    ///
    /// # Errors
    /// [`PlannerError`] naming the key or tensor that does not fit.
    pub fn new(
        config: DenoiserConfig,
        weights: &ArrayMap,
        device: &Device,
    ) -> Result<Self, PlannerError> {
        config.check("configuration")?;
        Ok(Self {
            weights: DenoiserWeights::from_arrays(&config, weights)?,
            weights_hash: weights.content_hash(),
            config,
            device: device.clone(),
            compiled: Vec::new(),
        })
    }

    /// Shape of the model.
    pub fn config(&self) -> &DenoiserConfig {
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

    /// Plans for every observation of the request.
    ///
    /// The batch is cut into runs of equal size, as the device likes and its limits allow; an example's
    /// plan does not depend on the cut.
    ///
    /// # Errors
    /// [`PlannerError`]: a setting or the request out of range, a device's limit or loss, or logits
    /// that are not finite.
    pub fn plan(
        &mut self,
        settings: &SamplerSettings,
        request: &PlanRequest<'_>,
    ) -> Result<Plans, PlannerError> {
        let start = Instant::now();
        let length = self.config.seq_len;
        let tables = self.tables(settings)?;
        chunks::check(request, settings, &tables, &self.config)?;
        let count = request.observations.count;
        let options = StepOptions {
            steps: tables.times.len(),
            replay: request.draws.is_some(),
            record: request.record,
        };
        let compiled = self.fitting(settings, options, count)?;
        let chunk = compiled.shape.batch;
        let steps = if request.record {
            tables.steps()
        } else {
            let shortest = request
                .locked
                .and_then(|locked| locked.iter().map(Vec::len).min());
            tables.steps_needed(settings, length - shortest.unwrap_or(0).min(length))
        };
        let parts: Vec<Chunk<'_>> = (0..count)
            .step_by(chunk)
            .map(|first| Chunk {
                config: &self.config,
                settings,
                tables: &tables,
                request,
                first,
                size: chunk,
                steps,
            })
            .collect();
        // Made before the first launch, so that the peak does not depend on how threads meet.
        compiled.pool.reserve(self.at_once(&compiled, count))?;
        let side_by_side = self.device.gpu().is_none() && parts.len() > 1;
        let run = |part: &Chunk<'_>| {
            let mut orbit = compiled.pool.borrow()?;
            orbit.execution.parallel = !side_by_side;
            let outcome = part.run(&compiled, &mut orbit);
            compiled.pool.give_back(orbit);
            outcome
        };
        let finished: Result<Vec<_>, PlannerError> = if side_by_side {
            parts.par_iter().map(run).collect()
        } else {
            parts.iter().map(run).collect()
        };
        let mut report = PlannerReport {
            chunks: parts.len(),
            chunk,
            steps,
            working_bytes: compiled.pool.working_bytes(),
            ..PlannerReport::default()
        };
        let mut plans = chunks::gather(finished?, request, &self.config, &mut report)?;
        report.seconds = start.elapsed().as_secs_f64();
        plans.report = report;
        Ok(plans)
    }

    /// The plan that a batch of `batch` examples would run by, as one run.
    ///
    /// # Errors
    /// [`PlannerError`] as [`Planner::plan`].
    pub fn compile(
        &mut self,
        settings: &SamplerSettings,
        batch: usize,
    ) -> Result<Plan, PlannerError> {
        let tables = self.tables(settings)?;
        let options = StepOptions {
            steps: tables.times.len(),
            replay: false,
            record: false,
        };
        Ok(self.compiled(settings, options, batch)?.pool.plan().clone())
    }

    /// Bytes of working memory that planning for `count` observations will hold at its peak.
    ///
    /// # Errors
    /// [`PlannerError`] as [`Planner::plan`].
    pub fn peak_bytes(
        &mut self,
        settings: &SamplerSettings,
        count: usize,
    ) -> Result<u64, PlannerError> {
        self.peak(settings, count, false)
    }

    /// As [`Planner::peak_bytes`] where [`PlanRequest::draws`] are handed in, which are held too.
    ///
    /// # Errors
    /// [`PlannerError`] as [`Planner::plan`].
    pub fn peak_bytes_replayed(
        &mut self,
        settings: &SamplerSettings,
        count: usize,
    ) -> Result<u64, PlannerError> {
        self.peak(settings, count, true)
    }

    fn peak(
        &mut self,
        settings: &SamplerSettings,
        count: usize,
        replay: bool,
    ) -> Result<u64, PlannerError> {
        let tables = self.tables(settings)?;
        let options = StepOptions {
            steps: tables.times.len(),
            replay,
            record: false,
        };
        let compiled = self.fitting(settings, options, count)?;
        let held = self.at_once(&compiled, count).max(compiled.pool.idle());
        Ok(compiled
            .pool
            .plan()
            .working_bytes()
            .saturating_mul(held as u64))
    }

    /// Runs of a batch of `count` that are carried out side by side.
    pub(super) fn at_once(&self, compiled: &Compiled, count: usize) -> usize {
        match self.device.gpu() {
            Some(_) => 1,
            None => count
                .div_ceil(compiled.shape.batch)
                .min(rayon::current_num_threads()),
        }
    }

    /// Per-step values of a sampler over this model.
    pub(super) fn tables(&self, settings: &SamplerSettings) -> Result<StepTables, SettingsError> {
        StepTables::new(
            settings,
            self.config.seq_len,
            self.config.num_diffusion_steps,
        )
    }

    /// A compiled plan for runs of a batch of `count`, as large as the device likes and allows.
    pub(super) fn fitting(
        &mut self,
        settings: &SamplerSettings,
        options: StepOptions,
        count: usize,
    ) -> Result<Arc<Compiled>, PlannerError> {
        let mut limit = chunks::preferred(&self.device, count);
        loop {
            let runs = count.div_ceil(limit.max(1)).max(1);
            match self.compiled(settings, options, count.div_ceil(runs).max(1)) {
                Err(PlannerError::Graph(GraphError::Device(
                    DeviceError::TooLarge { .. } | DeviceError::TooManyWorkgroups { .. },
                ))) if limit > 1 => {
                    limit /= 2;
                }
                other => return other,
            }
        }
    }

    fn compiled(
        &mut self,
        settings: &SamplerSettings,
        options: StepOptions,
        batch: usize,
    ) -> Result<Arc<Compiled>, PlannerError> {
        let key = Key::new(settings, batch, options);
        if let Some(place) = self.compiled.iter().position(|(known, _)| *known == key) {
            // Most recently used last.
            let found = self.compiled.remove(place);
            let compiled = Arc::clone(&found.1);
            self.compiled.push(found);
            return Ok(compiled);
        }
        let tables = self.tables(settings)?;
        let shape = SequenceShape {
            batch,
            length: self.config.seq_len,
            actions: self.config.action_dim,
        };
        let mut graph = Graph::new();
        let builder = StepBuilder::begin(&mut graph, settings, shape, options, &tables);
        let times = TimeAddressing {
            length: options.steps,
            step_stride: 1,
            batch_stride: 0,
        };
        let tokens = builder.tensors.tokens;
        let network = build(
            builder.graph,
            &self.config,
            &self.weights,
            batch,
            times,
            tokens,
            Rows::Needed,
        );
        let step = builder.finish(network.logits);
        keep(&mut graph, network.goal);
        let compiled = Arc::new(Compiled {
            pool: OrbitPool::new(Plan::compile(graph, &self.device)?),
            network,
            step,
            shape,
        });
        if self.compiled.len() >= PLANS_KEPT {
            self.compiled.remove(0);
        }
        self.compiled.push((key, Arc::clone(&compiled)));
        Ok(compiled)
    }
}

fn keep(graph: &mut Graph, tensor: Option<TensorId>) {
    if let Some(tensor) = tensor {
        graph.keep(tensor);
    }
}
