//! Planning calls over a TD-MPC2 world model against the multiply-add ceiling.

use super::{BenchError, Effort, Roofline, Spread};
use crate::device::{Device, DeviceKind};
use crate::models::tdmpc2::{InitialWeights, Tdmpc2, Tdmpc2Config, random_weights};
use crate::samplers::mppi::{Mppi, MppiError, MppiPlans, MppiRequest, MppiSettings};
use attractor_kernels::Cost;
use serde::Serialize;
use std::time::Instant;

/// Numbers of the workloads' observations and actions: those of the control task cartpole.
const SHAPE: [usize; 2] = [5, 1];
/// Seed of weights and draws.
const SEED: u64 = 1;

/// What was measured of a planner.
#[derive(Debug, Clone, Serialize)]
pub struct MppiRecord {
    /// "mppi".
    pub name: &'static str,
    /// Size of the model, in millions of parameters.
    pub workload: &'static str,
    /// Environments planned for in a call.
    pub environments: usize,
    /// Candidates, horizon and iterations of a call.
    pub planner: MppiSettings,
    /// Seconds of a call.
    pub seconds: Spread,
    /// 1e9 operations that a call needs, all environments together.
    pub gigaflops_a_call: f64,
    /// 1e9 operations that the original spends on it: all value functions, every first layer anew.
    pub gigaflops_of_the_original: f64,
    /// 1e9 operations a second at the median.
    pub gflops: f64,
    /// Share of the multiply-add ceiling at the median.
    pub roofline_share: f64,
    /// Bytes of working memory.
    pub working_bytes: u64,
    /// Launches of a call.
    pub dispatches: u64,
    /// Whether calls agree bit for bit and all numbers are finite.
    pub correct: bool,
}

const SIZES: [(&str, u32); 2] = [("size 1", 1), ("size 5", 5)];

/// Names of what [`measure_mppi`] measures.
pub fn mppi_workloads() -> impl Iterator<Item = &'static str> {
    SIZES.iter().map(|(name, _)| *name)
}

/// Multiply-adds of networks with two hidden layers, by widths of input and output.
fn network(config: &Tdmpc2Config, input: usize, output: usize) -> u64 {
    let width = config.mlp_dim as u64;
    width * (input as u64 + width + output as u64)
}

/// Operations of the products of one call and environment as the original makes it.
fn original(config: &Tdmpc2Config, settings: &MppiSettings) -> u64 {
    let joint = config.latent_dim + config.action_dim;
    let step = network(config, joint, config.logits()) + network(config, joint, config.latent_dim);
    let policy = network(config, config.latent_dim, 2 * config.action_dim);
    let values = config.num_q as u64 * network(config, joint, config.logits());
    let candidate = settings.horizon as u64 * step + policy + values;
    2 * candidate * (settings.samples * settings.iterations) as u64
}

/// Operations of the nodes of one environment's call: of the value functions two an iteration.
fn needed(planner: &Mppi) -> Result<u64, MppiError> {
    let plan = planner.plan_of(1, true)?;
    let rounds = planner.settings().iterations as u64;
    let members = planner.model().config().num_q as u64;
    let flops = |asked: bool| -> u64 {
        let nodes = plan.graph().nodes().iter();
        let nodes = nodes.filter(|node| node.label.starts_with("member") == asked);
        nodes
            .map(|node| {
                let cost: Cost = node.kernel.cost();
                match node.phase {
                    crate::graph::Phase::Step => cost.flops * rounds,
                    _ => cost.flops,
                }
            })
            .sum()
    };
    Ok(flops(false) + flops(true) * 2 / members.max(1))
}

fn is_finite(plans: &MppiPlans) -> bool {
    let numbers = plans
        .actions
        .iter()
        .chain(&plans.means)
        .chain(&plans.values);
    numbers.copied().all(f64::is_finite)
}

/// Measures planning calls of models by size, with random weights: speed does not depend on what was learned.
///
/// # Errors
/// [`BenchError`] if a call fails.
pub fn measure_mppi(
    device: &Device,
    roofline: &Roofline,
    effort: &Effort,
    batches: &[usize],
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<MppiRecord>, BenchError> {
    let mut records = Vec::new();
    for (name, size) in SIZES.iter().filter(|(name, _)| wanted(name)) {
        let config = Tdmpc2Config::preset(*size, SHAPE[0], SHAPE[1]);
        let config = config.map_err(|error| MppiError::Model(error.into()))?;
        let weights = random_weights(&config, InitialWeights::Spread, SEED);
        let model = weights.and_then(|weights| Tdmpc2::read(&weights, &config, None));
        let model = model.map_err(MppiError::from)?;
        let settings = MppiSettings::of(&config);
        let settings = match device.info().kind {
            // A software driver takes minutes for what a GPU does in a second.
            DeviceKind::SoftwareGpu => MppiSettings {
                iterations: 1,
                ..settings
            },
            _ => settings,
        };
        let mut planner = Mppi::new(model, settings, device)?;
        for &environments in batches {
            records.push(measure(
                &mut planner,
                roofline,
                effort,
                (*name, environments),
            )?);
        }
    }
    Ok(records)
}

fn measure(
    planner: &mut Mppi,
    roofline: &Roofline,
    effort: &Effort,
    (workload, environments): (&'static str, usize),
) -> Result<MppiRecord, BenchError> {
    let observations: Vec<f32> = (0..environments * SHAPE[0])
        .map(|at| (at as f32 * 0.37).sin())
        .collect();
    let request = MppiRequest::new(&observations, SEED);
    let first = planner.plan(&request)?;
    let mut correct = is_finite(&first);
    let (begin, mut samples) = (Instant::now(), Vec::new());
    while !effort.is_enough(samples.len(), begin.elapsed().as_secs_f64()) {
        let next = planner.plan(&request)?;
        samples.push(next.report.seconds);
        correct &= next.actions == first.actions && next.means == first.means;
    }
    let seconds = Spread::of(&samples);
    let all = environments as f64;
    let flops = all * needed(planner)? as f64 * 1e-9;
    let rate = flops / seconds.median.max(1e-12);
    Ok(MppiRecord {
        name: "mppi",
        workload,
        environments,
        planner: *planner.settings(),
        seconds,
        gigaflops_a_call: flops,
        gigaflops_of_the_original: all
            * 1e-9
            * original(planner.model().config(), planner.settings()) as f64,
        gflops: rate,
        roofline_share: rate / roofline.gflops.max(1e-9),
        working_bytes: first.report.working_bytes,
        dispatches: first.report.dispatches,
        correct,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 18 of the specification counts 2.1 million multiply-adds a candidate and iteration at size 1.
    #[test]
    fn operations_are_those_counted_by_hand() {
        let config = Tdmpc2Config::preset(1, 5, 1).unwrap();
        let settings = MppiSettings::of(&config);
        let candidate = original(&config, &settings) / 2 / (512 * 6);
        assert_eq!(
            candidate,
            3 * (384 * (129 + 384 + 101) + 384 * (129 + 384 + 128))
                + 384 * (128 + 384 + 2)
                + 2 * 384 * (129 + 384 + 101)
        );
        assert!((2_100_000..2_130_000).contains(&candidate), "{candidate}");
    }
}
