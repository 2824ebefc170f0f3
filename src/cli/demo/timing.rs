//! How fast plans are made.

use super::Contender;
use anyhow::Result;
use attractor::bench::{Effort, Roofline};
use attractor::device::Device;
use attractor::samplers::{PlanRequest, Planner, Plans, SamplerSettings};
use serde::Serialize;

/// What planning took, at its fastest.
#[derive(Debug, Clone, Serialize)]
pub struct Timing {
    /// Plans.
    pub plans: usize,
    /// Wall time of all of them in seconds, compilation aside.
    pub seconds: f64,
    /// Time to record and submit in seconds.
    pub host_seconds: f64,
    /// Denoising steps carried out.
    pub steps: u32,
    /// Launches in all.
    pub dispatches: u64,
    /// Examples in one run.
    pub chunk: usize,
    /// Floating-point operations in all.
    pub flops: u64,
    /// Bytes that must be moved at least.
    pub bytes: u64,
    /// Working memory in bytes.
    pub working_bytes: u64,
    /// Runs timed.
    pub runs: u32,
    /// Whether every run gave the same plans.
    pub repeatable: bool,
}

impl Timing {
    /// Plans a second.
    pub fn plans_per_second(&self) -> f64 {
        self.plans as f64 / self.seconds.max(1e-9)
    }

    /// Billions of floating-point operations a second.
    pub fn gflops_per_second(&self) -> f64 {
        self.flops as f64 * 1e-9 / self.seconds.max(1e-9)
    }

    /// Billions of bytes a second.
    pub fn gigabytes_per_second(&self) -> f64 {
        self.bytes as f64 * 1e-9 / self.seconds.max(1e-9)
    }
}

/// Runs longer than this are not repeated for timing alone: the demo must stay short.
const REPEAT_BELOW_SECONDS: f64 = 6.0;

/// Plans, once to compile and again to time, and holds the plans of both runs against each other.
pub fn timed(
    planner: &mut Planner,
    settings: &SamplerSettings,
    request: &PlanRequest<'_>,
) -> Result<(Plans, Timing)> {
    let plans = planner.plan(settings, request)?;
    let report = plans.report;
    let work = planner
        .compile(settings, report.chunk)?
        .summary(report.steps)
        .cost;
    let all = |of_chunk: u64| of_chunk.saturating_mul(report.chunks as u64);
    let mut timing = Timing {
        plans: plans.count,
        seconds: report.seconds,
        host_seconds: report.host_seconds,
        steps: report.steps,
        dispatches: report.dispatches,
        chunk: report.chunk,
        flops: all(work.flops),
        bytes: all(work.bytes),
        working_bytes: report.working_bytes,
        runs: 1,
        repeatable: true,
    };
    if report.seconds < REPEAT_BELOW_SECONDS {
        let again = planner.plan(settings, request)?;
        timing.repeatable = again.tokens == plans.tokens;
        timing.runs += 1;
        if again.report.seconds < timing.seconds {
            timing.seconds = again.report.seconds;
            timing.host_seconds = again.report.host_seconds;
        }
    }
    Ok((plans, timing))
}

/// What the device can do at most, by a copy and a chain of multiply-adds.
pub fn ceilings(device: &Device) -> Result<Roofline> {
    let effort = Effort {
        repetitions: 5,
        seconds: 2.0,
    };
    Ok(Roofline::measure(device, &effort)?)
}

/// The speed of a sampler beside the ceilings of its device, in words.
pub fn share_sentence(contender: &Contender, roofline: &Roofline) -> String {
    let t = &contender.timing;
    let percent = |value: f64, most: f64| 100.0 * value / most.max(1e-9);
    format!(
        "measured ceilings of the device: {:.1} GFLOP/s of multiply-adds, {:.1} GB/s of copying; planning reaches \
         {:.0} % of the first and, counting every operand once, {:.0} % of the second\n",
        roofline.gflops,
        roofline.gigabytes_per_second,
        percent(t.gflops_per_second(), roofline.gflops),
        percent(t.gigabytes_per_second(), roofline.gigabytes_per_second)
    )
}

/// The speed of a sampler in words.
pub fn sentence(contender: &Contender) -> String {
    let t = &contender.timing;
    format!(
        "{} plans of {} steps in {:.2} s: {:.1} plans/s, {:.1} GFLOP/s, {:.2} GB/s at least; {} launches in runs of {} \
         examples, {} bytes of working memory used\n",
        t.plans,
        t.steps,
        t.seconds,
        t.plans_per_second(),
        t.gflops_per_second(),
        t.gigabytes_per_second(),
        t.dispatches,
        t.chunk,
        t.working_bytes
    )
}
