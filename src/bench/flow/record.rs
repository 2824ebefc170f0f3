//! What was measured of the flow sampler.

use super::{Checksum, FlowBench, Runner};
use crate::bench::work::Work;
use crate::bench::{Header, Roofline, SlowNode, Spread};
use crate::device::{Device, DeviceKind};
use crate::samplers::RunProfile;
use crate::samplers::flow::Method;
use serde::Serialize;

/// What was measured of the flow sampler with one solver and batch.
#[derive(Debug, Clone, Serialize)]
pub struct FlowRecord {
    /// "flow".
    pub name: &'static str,
    /// Solver.
    pub method: Method,
    /// Its steps.
    pub steps: usize,
    /// Velocity evaluations of a draw.
    pub evaluations: usize,
    /// Frames of a call.
    pub frames: usize,
    /// Draws K of a frame.
    pub draws: usize,
    /// Where and by what.
    #[serde(flatten)]
    pub header: Header,
    /// Seed of the noise where it was not handed in.
    pub seed: u64,
    /// Hash of the weights.
    pub weights_hash: String,
    /// Median of [`FlowRecord::spread`].
    pub median_seconds: f64,
    /// Lower and upper quartile of it.
    pub quartiles: [f64; 2],
    /// Wall time of a call, compilation aside.
    pub spread: Spread,
    /// Time of all launches by device timestamps, on a GPU that has them.
    pub device_seconds: Option<f64>,
    /// Draws a second at the median.
    pub draws_per_second: f64,
    /// Operations of a call, by its launches: with what the engine saves left out.
    pub flops: u64,
    /// Bytes that its launches move at least.
    pub bytes: u64,
    /// 1e9 operations a second at the median.
    pub gflops: f64,
    /// 1e9 bytes a second at the median.
    pub gigabytes_per_second: f64,
    /// `gflops` over the measured rate of multiply-adds.
    pub multiply_add_share: f64,
    /// Time of all launches at the roofline over the median.
    pub roofline_share: f64,
    /// Runs that the request was cut into.
    pub runs: usize,
    /// Rows (a draw of a frame) of a run.
    pub rows_a_run: usize,
    /// Launches.
    pub dispatches: u64,
    /// Launches of one solver step of one run.
    pub dispatches_a_step: usize,
    /// Submissions.
    pub submissions: u64,
    /// Host time to record and submit a launch, on a GPU, where each run was one submission: a second one
    /// may wait in the driver for the first, which is no work of the host.
    pub host_microseconds_per_dispatch: Option<f64>,
    /// Working memory foreseen.
    pub peak_bytes_planned: u64,
    /// Working memory held.
    pub peak_bytes_used: u64,
    /// What the draws were held against.
    pub checksum_reference: String,
    /// Numbers compared.
    pub checksum_numbers: usize,
    /// Largest error of them over the largest of the reference.
    pub checksum_error: f64,
    /// What that may be: [`FlowBench::TOLERANCE`].
    pub tolerance: f64,
    /// Whether a draw in this batch is the same, bit for bit, as in the checked one.
    pub same_in_any_batch: bool,
    /// Whether the draws are right: within the tolerance, and the same in any batch.
    pub correct: bool,
    /// Launches by kernel, slowest first.
    pub kernels: Vec<SlowNode>,
}

/// The record of a row that was run.
pub(super) fn record(
    device: &Device,
    runner: &Runner<'_>,
    checksum: &Checksum,
    profile: &RunProfile,
    roofline: &Roofline,
) -> FlowRecord {
    let (row, report) = (&runner.row, &runner.report);
    let work = Work::of(profile, roofline);
    let spread = Spread::of(&runner.samples);
    let median = spread.median.max(1e-12);
    let gflops = work.cost.flops as f64 * 1e-9 / median;
    let on_gpu = device.info().kind != DeviceKind::Cpu;
    FlowRecord {
        name: "flow",
        method: row.method,
        steps: row.steps,
        evaluations: row.method.evaluations() * row.steps,
        frames: row.frames,
        draws: row.draws,
        header: Header::of(device),
        seed: FlowBench::SEED,
        weights_hash: runner.sampler.weights_hash().to_string(),
        median_seconds: spread.median,
        quartiles: [spread.lower_quartile, spread.upper_quartile],
        spread,
        device_seconds: work.seconds.filter(|_| on_gpu),
        draws_per_second: (row.frames * row.draws) as f64 / median,
        flops: work.cost.flops,
        bytes: work.cost.bytes,
        gflops,
        gigabytes_per_second: work.cost.bytes as f64 * 1e-9 / median,
        multiply_add_share: gflops / roofline.gflops.max(1e-9),
        roofline_share: work.bound / median,
        runs: report.runs,
        rows_a_run: report.run_frames * report.run_draws,
        dispatches: report.dispatches,
        dispatches_a_step: report.dispatches_a_step,
        submissions: report.submissions,
        host_microseconds_per_dispatch: (on_gpu && report.submissions == report.runs as u64)
            .then(|| report.host_seconds * 1e6 / report.dispatches.max(1) as f64),
        peak_bytes_planned: runner.peak_bytes_planned,
        peak_bytes_used: report.working_bytes,
        checksum_reference: checksum.reference.into(),
        checksum_numbers: checksum.numbers,
        checksum_error: checksum.relative_error,
        tolerance: FlowBench::TOLERANCE,
        same_in_any_batch: checksum.same_in_any_batch,
        correct: checksum.relative_error <= FlowBench::TOLERANCE && checksum.same_in_any_batch,
        kernels: work.kernels,
    }
}
