//! The trained planner on recorded observations: the same seed gives the same bits, alone or in any
//! batch, and the GPU agrees with the CPU.

use attractor::device::Device;
use attractor::formats::{ArrayMap, load_arrays};
use attractor::models::remdm::DenoiserConfig;
use attractor::samplers::{
    Observations, PlanRequest, Planner, RemaskStrategy, SamplerKind, SamplerSettings,
};
use std::path::{Path, PathBuf};

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets")
        .join(name)
}

fn config() -> DenoiserConfig {
    let file = asset("remdm_minihack.json");
    let text = std::fs::read_to_string(&file).expect("configuration");
    DenoiserConfig::from_json("remdm_minihack.json", &text).expect("configuration")
}

fn weights() -> ArrayMap {
    load_arrays(asset("remdm_minihack.safetensors")).expect("weights")
}

fn observations() -> Observations {
    let arrays = load_arrays(asset("minihack_eval_observations.npz")).expect("observations");
    Observations::from_arrays(&config(), &arrays).expect("observations")
}

fn planner(device: &Device) -> Planner {
    Planner::new(config(), &weights(), device).expect("planner")
}

fn every_sampler() -> Vec<SamplerSettings> {
    let mut all = Vec::new();
    for sampler in [
        SamplerKind::Greedy,
        SamplerKind::MaskgitRemask,
        SamplerKind::RemdmBernoulli,
    ] {
        for strategy in [
            RemaskStrategy::Rescale,
            RemaskStrategy::Cap,
            RemaskStrategy::Conf,
            RemaskStrategy::Loop,
        ] {
            let mut settings = SamplerSettings::new(sampler);
            settings.strategy = strategy;
            let greedy_again =
                sampler == SamplerKind::Greedy && strategy != RemaskStrategy::Rescale;
            if settings.check().is_ok() && !greedy_again {
                all.push(settings);
            }
        }
    }
    all
}

/// Plans of examples 0..n, taken `size` at a time.
fn plans_in_batches(
    planner: &mut Planner,
    settings: &SamplerSettings,
    observations: &Observations,
    size: usize,
) -> Vec<i32> {
    let mut tokens = Vec::new();
    for first in (0..observations.count).step_by(size) {
        let part = observations.slice(first..first + size);
        let request = PlanRequest {
            first_example: first as u32,
            ..PlanRequest::new(&part, 11)
        };
        tokens.extend(planner.plan(settings, &request).expect("plans").tokens);
    }
    tokens
}

fn check_invariance(device: &Device, count: usize, sizes: &[usize]) {
    let observations = observations().slice(100..100 + count);
    let mut planner = planner(device);
    for settings in every_sampler() {
        let whole = plans_in_batches(&mut planner, &settings, &observations, count);
        let again = plans_in_batches(&mut planner, &settings, &observations, count);
        assert_eq!(whole, again, "{settings:?}: run to run");
        assert!(
            whole.iter().all(|&token| (0..12).contains(&token)),
            "{settings:?}: a token that is no action"
        );
        for &size in sizes {
            let parts = plans_in_batches(&mut planner, &settings, &observations, size);
            assert_eq!(whole, parts, "{settings:?}: in batches of {size}");
        }
    }
}

#[test]
fn plans_do_not_depend_on_the_batch_on_the_cpu() {
    check_invariance(&Device::cpu(), 64, &[1, 2, 7]);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn plans_do_not_depend_on_the_batch_on_a_gpu() {
    check_invariance(&Device::wgpu("").expect("an adapter"), 14, &[1, 2, 7]);
}
