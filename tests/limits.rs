//! What does not fit an adapter is split, or refused with the limit named.

mod common;

use attractor::device::{Device, DeviceError};
use attractor::graph::{Graph, GraphError, Phase, Plan, TensorKind};
use attractor::models::remdm::DenoiserConfig;
use attractor::samplers::{PlanRequest, Planner, PlannerError, SamplerKind};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::matmul::MatMul;
use common::host;
use common::trained::{made_up, random_weights, settings, tiny_config};

const BINDING: &str = "max_storage_buffer_binding_size";
const BUFFER: &str = "max_buffer_size";
const WORKGROUPS: &str = "max_compute_workgroups_per_dimension";

fn limited(change: impl FnOnce(&mut wgpu::Limits)) -> Device {
    let (device, queue) = host::open(|limits, _| change(limits));
    Device::from_wgpu(device, queue).expect("a device")
}

/// A chain of copies over tensors of `count` floats, all but the first of them alive at the end.
fn copies(count: usize, tensors: usize) -> Graph {
    let mut graph = Graph::new();
    let mut last = graph.float("given", &[count], TensorKind::Input);
    for index in 0..tensors {
        let next = graph.float(format!("copy{index}"), &[count], TensorKind::Output);
        let kernel = CopyFloats::contiguous(count as u32);
        let label = format!("copy to {index}");
        graph.push(Phase::Once, label, kernel, &[Some(last), Some(next)]);
        last = next;
    }
    graph
}

fn refusal(graph: Graph, device: &Device) -> DeviceError {
    match Plan::compile(graph, device) {
        Err(GraphError::Device(error)) => error,
        other => panic!("expected a refusal by the device, found {other:?}"),
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_tensor_over_the_binding_limit_is_refused() {
    let device = limited(|limits| limits.max_storage_buffer_binding_size = 65_536);
    Plan::compile(copies(16_384, 1), &device).expect("just as large as allowed");
    let error = refusal(copies(16_385, 1), &device);
    let message = error.to_string();
    for part in ["tensor given [16385]", "65540 bytes", BINDING, "65536"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn working_memory_over_the_buffer_limit_is_refused() {
    let device = limited(|limits| {
        limits.max_storage_buffer_binding_size = 65_536;
        limits.max_buffer_size = 262_144;
    });
    Plan::compile(copies(16_384, 4), &device).expect("just as large as allowed");
    let error = refusal(copies(16_384, 5), &device);
    let message = error.to_string();
    for part in ["working memory", "327680 bytes", BUFFER, "262144"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn too_many_workgroups_are_refused() {
    let device = limited(|limits| limits.max_compute_workgroups_per_dimension = 16);
    let product = |rows: u32| {
        let mut graph = Graph::new();
        let x = graph.float("x", &[rows as usize, 1], TensorKind::Input);
        let w = graph.float("w", &[1, 1], TensorKind::Input);
        let y = graph.float("y", &[rows as usize, 1], TensorKind::Output);
        let kernel = MatMul {
            flags: 0,
            ..MatMul::linear(rows, 1, 1)
        };
        let operands = [Some(x), Some(w), None, None, None, Some(y)];
        graph.push(Phase::Once, "tall", kernel, &operands);
        graph
    };
    Plan::compile(product(16 * 64), &device).expect("just as many as allowed");
    let message = refusal(product(17 * 64), &device).to_string();
    for part in ["node tall (matmul)", "17 workgroups", WORKGROUPS, "16"] {
        assert!(message.contains(part), "{message}");
    }
}

/// Plans of `count` made-up observations on a device: tokens and the number of runs.
fn plan(
    device: &Device,
    config: &DenoiserConfig,
    count: usize,
) -> Result<(Vec<i32>, usize), PlannerError> {
    let weights = random_weights(config, |_, _| {});
    let mut planner = Planner::new(config.clone(), &weights, device)?;
    let observations = made_up(config, count);
    let settings = settings(SamplerKind::RemdmBernoulli, 2);
    let plans = planner.plan(&settings, &PlanRequest::new(&observations, 9))?;
    Ok((plans.tokens, plans.report.chunks))
}

/// The largest weight of the tiny model is its table of glyphs, 6000 x 64 floats.
const TABLE_BYTES: u64 = 6000 * 64 * 4;

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_batch_that_does_not_fit_is_split_and_gives_the_same_plans() {
    let config = tiny_config();
    let (whole, runs) = plan(&limited(|_| {}), &config, 90).expect("plans");
    assert_eq!(runs, 1);
    // A crop's embedding takes 81 x 64 floats, and so 74 examples fit.
    let narrow = limited(|limits| limits.max_storage_buffer_binding_size = TABLE_BYTES);
    let (split, runs) = plan(&narrow, &config, 90).expect("plans");
    assert_eq!(runs, 2, "binding");
    assert!(whole == split, "plans depend on the binding limit");
    // 70 fit as far as bindings go, but not all that lives with their embeddings.
    let (fewer, runs) = plan(&narrow, &config, 70).expect("plans");
    assert_eq!(runs, 1, "binding");
    let small = limited(|limits| {
        limits.max_storage_buffer_binding_size = TABLE_BYTES;
        limits.max_buffer_size = TABLE_BYTES;
    });
    let (split, runs) = plan(&small, &config, 70).expect("plans");
    assert!(runs > 1, "buffer: {runs}");
    assert!(fewer == split, "plans depend on the buffer limit");
    let few = limited(|limits| limits.max_compute_workgroups_per_dimension = 2048);
    let (split, runs) = plan(&few, &config, 90).expect("plans");
    assert!(runs > 1, "workgroups: {runs}");
    assert!(whole == split, "plans depend on the workgroup limit");
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn where_one_example_does_not_fit_the_limit_is_named() {
    let large = DenoiserConfig {
        map_h: 128,
        map_w: 128,
        ..tiny_config()
    };
    let narrow = limited(|limits| limits.max_storage_buffer_binding_size = TABLE_BYTES);
    let message = plan(&narrow, &large, 3).expect_err("a refusal").to_string();
    let bytes = (128 * 128 * 32 * 4).to_string();
    for part in ["tensor global.embedding.out", &bytes, BINDING] {
        assert!(message.contains(part), "{message}");
    }
    let tiny = limited(|limits| limits.max_storage_buffer_binding_size = 65_536);
    let message = plan(&tiny, &tiny_config(), 1)
        .expect_err("a refusal")
        .to_string();
    for part in ["embedding.weight", BINDING, "65536"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_device_without_immediates_is_refused() {
    let refused = |change: fn(&mut wgpu::Limits, &mut wgpu::Features)| {
        let (device, queue) = host::open(change);
        match Device::from_wgpu(device, queue) {
            Err(error @ DeviceError::Unsupported { .. }) => error.to_string(),
            other => panic!("expected a refusal, found {other:?}"),
        }
    };
    let without = refused(|limits, features| {
        features.remove(wgpu::Features::IMMEDIATES);
        limits.max_immediate_size = 0;
    });
    assert!(without.contains("immediates"), "{without}");
    let short = refused(|limits, _| limits.max_immediate_size = 64);
    assert!(short.contains("128 bytes of immediates"), "{short}");
}

/// Mesa's software driver stops an invocation after so many loop iterations and reports nothing.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_loop_that_a_software_adapter_would_cut_short_is_refused() {
    let device = common::gpu();
    let product = |k: usize| {
        let mut graph = Graph::new();
        let x = graph.float("x", &[1, k], TensorKind::Input);
        let weight = graph.float("weight", &[1, k], TensorKind::Input);
        let y = graph.float("y", &[1, 1], TensorKind::Output);
        let mut kernel = MatMul::linear(1, k as u32, 1);
        kernel.flags = 0;
        let ids = [Some(x), Some(weight), None, None, None, Some(y)];
        graph.push(Phase::Once, "long product", kernel, &ids);
        graph
    };
    Plan::compile(product(65_000), &device).expect("as long as it may be");
    let long = Plan::compile(product(66_000), &device);
    if device.gpu().expect("a GPU").capabilities().software {
        let message = long.expect_err("too long").to_string();
        for part in ["long product (matmul)", "66096", "65535"] {
            assert!(message.contains(part), "{message}");
        }
    } else {
        long.expect("no such limit on hardware");
    }
}
