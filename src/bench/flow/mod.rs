//! The flow sampler on one device: time of whole draw batches, share of the ceilings, agreement with a
//! reference.

mod inputs;
mod record;
mod weights;

pub use inputs::FlowInputs;
pub use record::FlowRecord;
pub use weights::stand_in_decoder;

use super::measure::{Contestant, take_turns};
use super::work::fastest_profile;
use super::{BenchError, Effort, Roofline};
use crate::device::{Device, Precision};
use crate::formats::ArrayMap;
use crate::models::flow::DecoderConfig;
use crate::samplers::flow::{FlowReport, FlowRequest, FlowSampler, Method, Noise, Solver};
use std::time::Instant;

/// One row of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowRow {
    /// Solver.
    pub method: Method,
    /// Its steps.
    pub steps: usize,
    /// Frames of a call.
    pub frames: usize,
    /// Draws K of a frame.
    pub draws: usize,
}

/// What to measure of a flow sampler.
#[derive(Debug)]
pub struct FlowBench<'a> {
    /// Where.
    pub device: &'a Device,
    /// Shape of the decoder.
    pub config: &'a DecoderConfig,
    /// Its weights.
    pub weights: &'a ArrayMap,
    /// Conditions and noise.
    pub inputs: &'a FlowInputs,
    /// What is asked for.
    pub rows: &'a [FlowRow],
    /// Runs of each.
    pub effort: Effort,
    /// Frames, and draws of each, that are held against the reference at most.
    pub checked: (usize, usize),
}

/// One row under measurement.
struct Runner<'a> {
    row: FlowRow,
    inputs: &'a FlowInputs,
    conditions: Vec<f32>,
    noise: Option<Vec<f32>>,
    sampler: FlowSampler,
    /// Foreseen before the first run.
    peak_bytes_planned: u64,
    values: Vec<f32>,
    report: FlowReport,
    samples: Vec<f64>,
    spent: f64,
}

/// A first call that takes longer counts as a sample: what it compiles is little beside it.
const LONG_CALL: f64 = 2.0;

impl Contestant for Runner<'_> {
    fn taken(&self) -> (usize, f64) {
        (self.samples.len(), self.spent)
    }

    fn sample(&mut self) -> Result<(), BenchError> {
        let request = request(&self.row, &self.conditions, self.noise.as_deref());
        let start = Instant::now();
        let draws = self.sampler.sample(&request)?;
        let seconds = start.elapsed().as_secs_f64();
        let first = self.values.is_empty();
        if !first || seconds > LONG_CALL {
            self.samples.push(seconds);
            self.spent += seconds;
        }
        let host = self.report.host_seconds;
        self.report = draws.report;
        if !first {
            // The least held up of all calls, as for the device's ceilings.
            self.report.host_seconds = self.report.host_seconds.min(host);
        }
        self.values = draws.values;
        Ok(())
    }
}

/// The request of a row.
fn request<'a>(row: &FlowRow, conditions: &'a [f32], noise: Option<&'a [f32]>) -> FlowRequest<'a> {
    let seeded = Noise::Seeded {
        seed: FlowBench::SEED,
        stream: 0,
        temperature: 1.0,
    };
    FlowRequest {
        conditions,
        frames: row.frames,
        first_frame: 0,
        draws: row.draws,
        noise: noise.map_or(seeded, Noise::Recorded),
        solver: Solver::Fixed {
            method: row.method,
            steps: row.steps,
        },
        record: false,
    }
}

impl FlowBench<'_> {
    /// Seed of all noise that is not handed in.
    pub const SEED: u64 = 2024;
    /// Largest error of an end point over the largest end point that is allowed: ten times what single
    /// precision gives on a trained decoder, while another solver or a wrong weight is far above it.
    pub const TOLERANCE: f64 = 2e-5;

    /// Measures every row, taking turns, and checks the draws. Gives the records and each row's draws
    /// `[frames, draws, H, A]`.
    ///
    /// # Errors
    /// [`BenchError`] if drawing fails or the inputs hold less noise than a row needs.
    pub fn measure(&self, roofline: &Roofline) -> Result<Vec<(FlowRecord, Vec<f32>)>, BenchError> {
        let mut runners = Vec::new();
        for row in self.rows {
            runners.push(self.runner(row)?);
        }
        take_turns(&mut runners, &self.effort)?;
        let mut records = Vec::new();
        for runner in runners {
            records.push(self.finish(runner, roofline)?);
        }
        Ok(records)
    }

    fn runner(&self, row: &FlowRow) -> Result<Runner<'_>, BenchError> {
        let sampler = FlowSampler::new(self.config.clone(), self.weights, self.device)?;
        let mut runner = Runner {
            row: *row,
            inputs: self.inputs,
            conditions: self.inputs.conditions(self.config, row.frames),
            noise: self.inputs.noise(self.config, row)?,
            sampler,
            peak_bytes_planned: 0,
            values: Vec::new(),
            report: FlowReport::default(),
            samples: Vec::new(),
            spent: 0.0,
        };
        let request = request(row, &runner.conditions, runner.noise.as_deref());
        runner.peak_bytes_planned = runner.sampler.peak_bytes(&request)?;
        Ok(runner)
    }

    fn reference_device(&self) -> (Device, &'static str) {
        match (self.device.gpu(), self.device.precision()) {
            (None, Precision::F64) => (Device::cpu(), "CPU device, single precision"),
            _ => (Device::cpu_f64(), "CPU device, double precision"),
        }
    }

    fn finish(
        &self,
        mut runner: Runner<'_>,
        roofline: &Roofline,
    ) -> Result<(FlowRecord, Vec<f32>), BenchError> {
        let checksum = self.check(&mut runner)?;
        let request = request(&runner.row, &runner.conditions, runner.noise.as_deref());
        let sampler = &mut runner.sampler;
        let profile = fastest_profile(|| sampler.profile(&request))?;
        let record = record::record(self.device, &runner, &checksum, &profile, roofline);
        Ok((record, runner.values))
    }

    /// Holds some draws against the reference, and the batch's against those.
    fn check(&self, runner: &mut Runner<'_>) -> Result<Checksum, BenchError> {
        let row = FlowRow {
            frames: runner.row.frames.min(self.checked.0).max(1),
            draws: runner.row.draws.min(self.checked.1).max(1),
            ..runner.row
        };
        let conditions = runner.inputs.conditions(self.config, row.frames);
        let noise = runner.inputs.noise(self.config, &row)?;
        let request = request(&row, &conditions, noise.as_deref());
        let found = runner.sampler.sample(&request)?;
        let (device, reference) = self.reference_device();
        let mut sampler = FlowSampler::new(self.config.clone(), self.weights, &device)?;
        let expected = sampler.sample(&request)?.values_f64;
        let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let pairs = found.values_f64.iter().zip(&expected);
        let error = pairs.fold(0.0f64, |worst, (a, b)| worst.max((a - b).abs()));
        let (chunk, all) = (self.config.chunk(), runner.row.draws * self.config.chunk());
        let own = row.draws * chunk;
        let in_batch = runner.values.chunks(all.max(1)).take(row.frames);
        let same = found
            .values
            .chunks(own.max(1))
            .zip(in_batch)
            .all(|(alone, frame)| frame.get(..own) == Some(alone));
        Ok(Checksum {
            reference,
            numbers: expected.len(),
            relative_error: error / largest.max(f64::MIN_POSITIVE),
            same_in_any_batch: same && !runner.values.is_empty(),
        })
    }
}

/// What the draws were held against, and how they fared.
struct Checksum {
    reference: &'static str,
    numbers: usize,
    relative_error: f64,
    same_in_any_batch: bool,
}
