//! The bench's cases on a GPU, and memory over many plans on every device.

use attractor::bench::{Effort, Roofline, cases, measure_kernel, measure_memory};
use attractor::device::Device;
use attractor::formats::load_arrays;
use attractor::models::remdm::DenoiserConfig;
use attractor::samplers::{Observations, Planner, SamplerKind, SamplerSettings};
use attractor_kernels::KernelId;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Resident memory belongs to the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets")
        .join(name)
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn every_case_is_right_on_a_gpu() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::wgpu("").expect("an adapter");
    let effort = Effort {
        repetitions: 1,
        seconds: 0.1,
    };
    let roofline = Roofline::measure(&device, &effort).expect("ceilings");
    assert!(roofline.gflops > 0.0 && roofline.gigabytes_per_second > 0.0);
    for case in KernelId::ALL.iter().flat_map(|&id| cases(id, false)) {
        let record = measure_kernel(&device, &case, &roofline, &effort).expect("a measurement");
        assert!(record.correct, "{record:?}");
        assert!(record.workgroups.is_some());
    }
}

fn memory_stays_flat(device: &Device, counts: (usize, usize)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = std::fs::read_to_string(asset("remdm_minihack.json")).expect("configuration");
    let config = DenoiserConfig::from_json("remdm_minihack.json", &text).expect("configuration");
    let weights = load_arrays(asset("remdm_minihack.safetensors")).expect("weights");
    let arrays = load_arrays(asset("minihack_eval_observations.npz")).expect("observations");
    let observations = Observations::from_arrays(&config, &arrays).expect("observations");
    let mut planner = Planner::new(config, &weights, device).expect("planner");
    drop((weights, arrays));
    let settings = SamplerSettings::new(SamplerKind::RemdmBernoulli);
    let record = measure_memory(&mut planner, &settings, &observations, counts).expect("plans");
    assert!(record.working_bytes_before > 0, "{record:?}");
    assert!(record.flat, "{record:?}");
}

#[test]
fn memory_stays_flat_on_the_cpu() {
    memory_stays_flat(&Device::cpu(), (30, 200));
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn memory_stays_flat_on_a_gpu() {
    memory_stays_flat(&Device::wgpu("").expect("an adapter"), (10, 30));
}
