//! The planner on one device: time of whole batches, share of the roofline, agreement with a reference.

use super::measure::{Contestant, take_turns};
use super::work::{SlowNode, Work, fastest_profile};
use super::{BenchError, Effort, Header, Roofline, Spread};
use crate::device::{Device, DeviceKind, Precision};
use crate::formats::ArrayMap;
use crate::models::remdm::DenoiserConfig;
use crate::samplers::{
    Observations, PlanRequest, Planner, PlannerReport, SamplerKind, SamplerSettings,
};
use serde::Serialize;
use std::time::Instant;

/// What to measure of a planner.
#[derive(Debug)]
pub struct PlannerBench<'a> {
    /// Where.
    pub device: &'a Device,
    /// Shape of the network.
    pub config: &'a DenoiserConfig,
    /// Its weights.
    pub weights: &'a ArrayMap,
    /// What is planned for, repeated where a batch is larger.
    pub observations: &'a Observations,
    /// Samplers.
    pub settings: &'a [SamplerSettings],
    /// Batch sizes.
    pub batches: &'a [usize],
    /// Runs of each.
    pub effort: Effort,
    /// Examples whose plans are held against the reference.
    pub checked: usize,
}

/// What was measured of the planner with one sampler and batch.
#[derive(Debug, Clone, Serialize)]
pub struct PlannerRecord {
    /// "planner".
    pub name: &'static str,
    /// Sampler.
    pub sampler: SamplerKind,
    /// Examples planned for at once.
    pub batch: usize,
    /// Denoising steps asked for.
    pub steps: u32,
    /// Steps carried out: greedy stops when all is committed.
    pub steps_run: u32,
    /// All settings.
    pub settings: SamplerSettings,
    /// Where and by what.
    #[serde(flatten)]
    pub header: Header,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Hash of the weights.
    pub weights_hash: String,
    /// Median of [`PlannerRecord::spread`].
    pub median_seconds: f64,
    /// Lower and upper quartile of it.
    pub quartiles: [f64; 2],
    /// Wall time of a call, compilation aside.
    pub spread: Spread,
    /// Time of all launches by device timestamps, on a GPU that has them.
    pub device_seconds: Option<f64>,
    /// Plans a second at the median.
    pub plans_per_second: f64,
    /// Operations of a call.
    pub flops: u64,
    /// Bytes that its launches move at least.
    pub bytes: u64,
    /// 1e9 operations a second at the median.
    pub gflops: f64,
    /// 1e9 bytes a second at the median.
    pub gigabytes_per_second: f64,
    /// Time of all launches at the roofline over the median.
    pub roofline_share: f64,
    /// Runs that the batch was cut into.
    pub runs: usize,
    /// Launches.
    pub dispatches: u64,
    /// Submissions.
    pub submissions: u64,
    /// Host time to record and submit a launch, on a GPU, where each run was one submission: a second one
    /// may wait in the driver for the first, which is no work of the host.
    pub host_microseconds_per_dispatch: Option<f64>,
    /// Working memory foreseen.
    pub peak_bytes_planned: u64,
    /// Working memory held.
    pub peak_bytes_used: u64,
    /// What the plans were held against.
    pub checksum_reference: String,
    /// Tokens compared.
    pub checksum_tokens: usize,
    /// Share of them that agree.
    pub checksum_equal_share: f64,
    /// Plans with a token that does not.
    pub checksum_plans_differing: usize,
    /// Whether an example's plan in this batch is the same, bit for bit, as in the checked one.
    pub same_in_any_batch: bool,
    /// Whether the plans are right: at least [`PlannerBench::LEAST_EQUAL`] agree, and in any batch.
    pub correct: bool,
    /// Launches by kernel, slowest first.
    pub kernels: Vec<SlowNode>,
}

/// One sampler and batch under measurement.
struct Runner {
    settings: SamplerSettings,
    observations: Observations,
    planner: Planner,
    /// Foreseen before the first run.
    peak_bytes_planned: u64,
    tokens: Vec<i32>,
    report: PlannerReport,
    samples: Vec<f64>,
    spent: f64,
}

/// A first call that takes longer counts as a sample: what it compiles is little beside it.
const LONG_CALL: f64 = 5.0;

impl Contestant for Runner {
    fn taken(&self) -> (usize, f64) {
        (self.samples.len(), self.spent)
    }

    fn sample(&mut self) -> Result<(), BenchError> {
        let request = PlanRequest::new(&self.observations, PlannerBench::SEED);
        let start = Instant::now();
        let plans = self.planner.plan(&self.settings, &request)?;
        let seconds = start.elapsed().as_secs_f64();
        let first = self.tokens.is_empty();
        if !first || seconds > LONG_CALL {
            self.samples.push(seconds);
            self.spent += seconds;
        }
        let host = self.report.host_seconds;
        self.report = plans.report;
        if !first {
            // The least held up of all calls, as for the device's ceilings.
            self.report.host_seconds = self.report.host_seconds.min(host);
        }
        self.tokens = plans.tokens;
        Ok(())
    }
}

impl PlannerBench<'_> {
    /// Seed of all runs.
    pub const SEED: u64 = 2024;
    /// Share of tokens that must agree with the reference. A choice that two devices round to different
    /// sides changes the rest of its plan, so that a few plans may differ; a wrong engine changes all.
    pub const LEAST_EQUAL: f64 = 0.95;

    /// Measures every sampler with every batch, taking turns, and checks the plans.
    ///
    /// # Errors
    /// [`BenchError`] if a plan fails or there is nothing to measure.
    pub fn measure(&self, roofline: &Roofline) -> Result<Vec<PlannerRecord>, BenchError> {
        let mut contestants = Vec::new();
        for settings in self.settings {
            for &batch in self.batches {
                contestants.push(self.contestant(settings, batch)?);
            }
        }
        take_turns(&mut contestants, &self.effort)?;
        let mut references = Vec::new();
        for settings in self.settings {
            references.push((settings, self.reference(settings)?));
        }
        let mut records = Vec::new();
        for contestant in contestants {
            let reference = references.iter().find(|(s, _)| **s == contestant.settings);
            let tokens = reference.map_or(&[][..], |(_, tokens)| tokens);
            records.push(self.record(contestant, tokens, roofline)?);
        }
        Ok(records)
    }

    fn contestant(&self, settings: &SamplerSettings, batch: usize) -> Result<Runner, BenchError> {
        let mut planner = Planner::new(self.config.clone(), self.weights, self.device)?;
        Ok(Runner {
            peak_bytes_planned: planner.peak_bytes(settings, batch)?,
            settings: settings.clone(),
            observations: repeated(self.config, self.observations, batch)?,
            planner,
            tokens: Vec::new(),
            report: PlannerReport::default(),
            samples: Vec::new(),
            spent: 0.0,
        })
    }

    fn reference_device(&self) -> (Device, &'static str) {
        match (self.device.gpu(), self.device.precision()) {
            (None, Precision::F32) => (Device::cpu_f64(), "CPU device, double precision"),
            _ => (Device::cpu(), "CPU device, single precision"),
        }
    }

    /// Plans of the checked examples on the reference device.
    fn reference(&self, settings: &SamplerSettings) -> Result<Vec<i32>, BenchError> {
        let (device, _) = self.reference_device();
        let mut planner = Planner::new(self.config.clone(), self.weights, &device)?;
        let observations = repeated(self.config, self.observations, self.checked)?;
        let request = PlanRequest::new(&observations, Self::SEED);
        Ok(planner.plan(settings, &request)?.tokens)
    }

    fn record(
        &self,
        mut contestant: Runner,
        reference: &[i32],
        roofline: &Roofline,
    ) -> Result<PlannerRecord, BenchError> {
        let batch = contestant.observations.count;
        let settings = contestant.settings.clone();
        let report = contestant.report;
        let planner = &mut contestant.planner;
        let checksum = self.check(planner, &settings, reference, &contestant.tokens)?;
        let request = PlanRequest::new(&contestant.observations, Self::SEED);
        let profile = fastest_profile(|| planner.profile(&settings, &request))?;
        let work = Work::of(&profile, roofline);
        let spread = Spread::of(&contestant.samples);
        let median = spread.median.max(1e-12);
        let on_gpu = self.device.info().kind != DeviceKind::Cpu;
        Ok(PlannerRecord {
            name: "planner",
            sampler: settings.sampler,
            batch,
            steps: settings.steps,
            steps_run: report.steps,
            header: Header::of(self.device),
            seed: Self::SEED,
            weights_hash: planner.weights_hash().to_string(),
            median_seconds: spread.median,
            quartiles: [spread.lower_quartile, spread.upper_quartile],
            spread,
            device_seconds: work.seconds.filter(|_| on_gpu),
            plans_per_second: batch as f64 / median,
            flops: work.cost.flops,
            bytes: work.cost.bytes,
            gflops: work.cost.flops as f64 * 1e-9 / median,
            gigabytes_per_second: work.cost.bytes as f64 * 1e-9 / median,
            roofline_share: work.bound / median,
            runs: report.chunks,
            dispatches: report.dispatches,
            submissions: report.submissions,
            host_microseconds_per_dispatch: (on_gpu && report.submissions == report.chunks as u64)
                .then(|| report.host_seconds * 1e6 / report.dispatches.max(1) as f64),
            peak_bytes_planned: contestant.peak_bytes_planned,
            peak_bytes_used: report.working_bytes,
            checksum_reference: self.reference_device().1.into(),
            checksum_tokens: checksum.tokens,
            checksum_equal_share: checksum.equal_share,
            checksum_plans_differing: checksum.plans_differing,
            same_in_any_batch: checksum.same_in_any_batch,
            correct: checksum.equal_share >= Self::LEAST_EQUAL && checksum.same_in_any_batch,
            kernels: work.kernels,
            settings,
        })
    }

    /// Holds plans of the checked examples against the reference, and the batch's against those.
    fn check(
        &self,
        planner: &mut Planner,
        settings: &SamplerSettings,
        reference: &[i32],
        of_batch: &[i32],
    ) -> Result<Checksum, BenchError> {
        let observations = repeated(self.config, self.observations, self.checked)?;
        let request = PlanRequest::new(&observations, Self::SEED);
        let plans = planner.plan(settings, &request)?;
        let equal = plans.tokens.iter().zip(reference).filter(|(a, b)| a == b);
        let rows = |tokens| <[i32]>::chunks(tokens, plans.length.max(1));
        let differing = rows(&plans.tokens)
            .zip(rows(reference))
            .filter(|(a, b)| a != b);
        let mut in_both = plans.tokens.iter().zip(of_batch);
        Ok(Checksum {
            tokens: reference.len(),
            equal_share: equal.count() as f64 / reference.len().max(1) as f64,
            plans_differing: differing.count(),
            same_in_any_batch: !of_batch.is_empty() && in_both.all(|(a, b)| a == b),
        })
    }
}

struct Checksum {
    tokens: usize,
    equal_share: f64,
    plans_differing: usize,
    same_in_any_batch: bool,
}

/// `count` observations, from the first on and over again.
fn repeated(
    config: &DenoiserConfig,
    observations: &Observations,
    count: usize,
) -> Result<Observations, BenchError> {
    let cycled = |values: &[i32], width: usize| -> Vec<i32> {
        values.iter().copied().cycle().take(count * width).collect()
    };
    let local = cycled(&observations.local, observations.cells());
    let global = cycled(&observations.global, observations.level());
    Ok(Observations::new(config, local, global)?)
}
