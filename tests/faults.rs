//! A device that goes away, and networks that give no usable number: errors, never a panic.

mod common;

use attractor::device::{Device, DeviceError};
use attractor::graph::GraphError;
use attractor::samplers::{PlanRequest, Planner, PlannerError, SamplerKind};
use common::host;
use common::trained::{made_up, random_weights, settings, tiny_config, tiny_planner};
use std::time::Duration;

/// Whether the error says that the device failed.
fn is_device_failure(error: &PlannerError) -> bool {
    matches!(
        error,
        PlannerError::Graph(GraphError::Device(
            DeviceError::Lost { .. } | DeviceError::Refused { .. }
        ))
    )
}

/// Plans, destroys the device, and plans again, with every sampler and with ones not compiled before.
fn check_loss(device: &Device) {
    let mut planner = tiny_planner(device);
    let observations = made_up(&tiny_config(), 3);
    let first = settings(SamplerKind::RemdmBernoulli, 3);
    let request = PlanRequest::new(&observations, 4);
    let before = planner.plan(&first, &request).expect("plans");
    let kept = before.tokens.clone();
    device.gpu().expect("a GPU").device().destroy();
    let recorded = PlanRequest {
        record: true,
        ..request
    };
    for sampler in [
        SamplerKind::RemdmBernoulli,
        SamplerKind::MaskgitRemask,
        SamplerKind::Greedy,
    ] {
        let settings = settings(sampler, 3);
        for request in [request, recorded] {
            let error = planner.plan(&settings, &request).expect_err("no device");
            assert!(is_device_failure(&error), "{error:?}");
            assert!(error.to_string().contains("lost"), "{error}");
        }
    }
    let lost = attractor::device::self_test(device).expect_err("no device");
    assert!(matches!(lost, DeviceError::Lost { .. }), "{lost:?}");
    assert_eq!(before.tokens, kept);
    // Another planner on the same device fails the same way instead of crashing.
    let mut second = tiny_planner(device);
    let error = second.plan(&first, &request).expect_err("no device");
    assert!(is_device_failure(&error), "{error:?}");
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_lost_device_is_an_error() {
    check_loss(&common::gpu());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_lost_device_of_the_host_is_an_error() {
    let (device, queue) = host::open(|_, _| {});
    check_loss(&Device::from_wgpu(device, queue).expect("a device"));
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_device_lost_in_the_middle_of_a_run_is_an_error() {
    for milliseconds in [0, 5, 20, 60] {
        let device = common::gpu();
        let mut planner = tiny_planner(&device);
        let observations = made_up(&tiny_config(), 40);
        let settings = settings(SamplerKind::RemdmBernoulli, 20);
        let request = PlanRequest::new(&observations, 4);
        let whole = planner.plan(&settings, &request).expect("plans").tokens;
        let raw = device.gpu().expect("a GPU").device().clone();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(milliseconds));
            raw.destroy();
        });
        // The run may still finish, and is then right; it must not hang, crash or be wrong.
        match planner.plan(&settings, &request) {
            Ok(plans) => assert_eq!(plans.tokens, whole),
            Err(error) => assert!(is_device_failure(&error), "{error:?}"),
        }
        killer.join().expect("the other thread");
        let error = planner.plan(&settings, &request).expect_err("no device");
        assert!(is_device_failure(&error), "{error:?}");
    }
}

/// A planner whose tensor `name` holds finite numbers that overflow inside the network.
fn overflowing(device: &Device, name: &str) -> Planner {
    let config = tiny_config();
    let weights = random_weights(&config, |tensor, values| {
        if tensor == name {
            for (index, value) in values.iter_mut().enumerate() {
                *value = if index % 3 == 0 { -3e38 } else { 3e38 };
            }
        }
    });
    Planner::new(config, &weights, device).expect("finite weights")
}

fn check_overflow(device: &Device) {
    let observations = made_up(&tiny_config(), 3);
    for sampler in [
        SamplerKind::Greedy,
        SamplerKind::MaskgitRemask,
        SamplerKind::RemdmBernoulli,
    ] {
        let settings = settings(sampler, 4);
        let request = PlanRequest::new(&observations, 4);
        for tensor in ["transformer.layers.0.norm1.weight", "head.weight"] {
            let error = overflowing(device, tensor)
                .plan(&settings, &request)
                .expect_err(tensor);
            let found = matches!(
                error,
                PlannerError::NotFinite {
                    example: 0,
                    position: 0
                }
            );
            assert!(found, "{sampler:?} {tensor}: {error:?}");
        }
        let error = overflowing(device, "goal_head.2.weight")
            .plan(&settings, &request)
            .expect_err("goal");
        let found = matches!(error, PlannerError::GoalNotFinite { example: 0 });
        assert!(found, "{sampler:?}: {error:?}");
    }
}

#[test]
fn numbers_that_overflow_are_an_error_on_the_cpu() {
    check_overflow(&Device::cpu());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn numbers_that_overflow_are_an_error_on_a_gpu() {
    check_overflow(&common::gpu());
}

/// One bad example is named, wherever the batch was cut.
#[test]
fn the_example_that_failed_is_named() {
    let config = tiny_config();
    let strange = 4321;
    let weights = random_weights(&config, |tensor, values| {
        if tensor == "embedding.weight" {
            // Only a crop that shows this glyph overflows.
            values[strange * 64..(strange + 1) * 64].fill(3e38);
        }
    });
    let mut observations = made_up(&config, 11);
    for glyph in &mut observations.local {
        *glyph = (*glyph).min(4000);
    }
    let cells = observations.cells();
    observations.local[7 * cells..8 * cells].fill(strange as i32);
    let mut planner = Planner::new(config, &weights, &Device::cpu()).expect("planner");
    let settings = settings(SamplerKind::RemdmBernoulli, 3);
    let error = planner
        .plan(&settings, &PlanRequest::new(&observations, 4))
        .expect_err("one example overflows");
    let named = matches!(error, PlannerError::NotFinite { example: 7, .. });
    assert!(named, "{error:?}");
}
