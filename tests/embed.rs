//! A host program that has a wgpu device of its own lets the planner run on it.

mod common;

use attractor::device::Device;
use attractor::graph::{Execution, Graph, Moment, Phase, Plan, TensorKind};
use attractor::samplers::{PlanRequest, SamplerKind};
use attractor_kernels::Activation;
use attractor_kernels::activation::Activate;
use common::host;
use common::trained::{made_up, settings, tiny_config, tiny_planner};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn the_planner_runs_on_a_device_of_the_host() {
    let (device, queue) = host::open(|_, _| {});
    let errors = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&errors);
    device.on_uncaptured_error(Arc::new(move |error| {
        eprintln!("{error}");
        seen.fetch_add(1, Ordering::SeqCst);
    }));
    let shared = Device::from_wgpu(device.clone(), queue.clone()).expect("a device");
    let mut planner = tiny_planner(&shared);
    let observations = made_up(&tiny_config(), 5);
    let settings = settings(SamplerKind::RemdmBernoulli, 3);
    let request = PlanRequest::new(&observations, 21);
    let plans = planner.plan(&settings, &request).expect("plans");
    assert_eq!((plans.count, plans.length), (5, 10));
    assert_eq!(plans.goal.as_ref().map(Vec::len), Some(5));

    // The engine's own device on the same adapter gives the same bits.
    let own = tiny_planner(&common::gpu())
        .plan(&settings, &request)
        .expect("plans");
    assert_eq!(plans.tokens, own.tokens);
    assert_eq!(plans.goal, own.goal);

    // The host goes on with its own work on the device, in between and afterwards.
    let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("the host's"),
        size: 64,
        usage,
        mapped_at_creation: false,
    });
    let bytes: Vec<u8> = (0..64).collect();
    queue.write_buffer(&buffer, 0, &bytes);
    let again = planner.plan(&settings, &request).expect("plans");
    assert_eq!(plans.tokens, again.tokens);
    let gpu = shared.gpu().expect("a GPU");
    assert_eq!(gpu.read(&buffer, 0, 64).expect("read"), bytes);
    assert_eq!(errors.load(Ordering::SeqCst), 0);
}

/// Errors of the engine's own making stay away from the host's handlers.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn errors_come_back_as_values_and_not_to_the_host() {
    let (device, queue) = host::open(|_, _| {});
    let errors = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&errors);
    device.on_uncaptured_error(Arc::new(move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
    }));
    let shared = Device::from_wgpu(device, queue).expect("a device");
    let gpu = shared.gpu().expect("a GPU");
    let small = gpu
        .buffer("small", 16, wgpu::BufferUsages::COPY_DST)
        .expect("buffer");
    let error = gpu.write("too much", &small, 0, &[0; 32]);
    assert!(error.is_err(), "32 bytes written into 16");
    let error = gpu.read(&small, 0, 16);
    assert!(error.is_err(), "read from a buffer that cannot be read");
    assert_eq!(errors.load(Ordering::SeqCst), 0);
    gpu.alive().expect("refusals do not take the device away");
}

/// A graph of one's own: the parts that the planner is made of.
#[test]
fn a_graph_of_ones_own_runs_on_the_cpu() {
    let mut graph = Graph::new();
    let x = graph.float("x", &[4], TensorKind::Input);
    let y = graph.float("y", &[4], TensorKind::Output);
    let relu = Activate::of(Activation::RELU, 4);
    graph.push(Phase::Once, "relu", relu, &[Some(x), Some(y)]);
    let plan = Plan::compile(graph, &Device::cpu()).expect("plan");
    let mut execution = Execution::new(&plan).expect("execution");
    execution.write(x, &[-1.0, 2.0, -3.0, 4.0]).expect("write");
    execution
        .submit(&[(0, 0)], &Moment::default())
        .expect("run");
    assert_eq!(execution.read(y).expect("read"), [0.0, 2.0, 0.0, 4.0]);
    // What does not fit is refused by name.
    let wrong = execution.write(y, &[0.0; 4]).expect_err("an output");
    assert!(
        wrong.to_string().contains("tensor y: expected an input"),
        "{wrong}"
    );
    let wrong = execution.read(x).expect_err("an input");
    assert!(
        wrong.to_string().contains("tensor x: expected an output"),
        "{wrong}"
    );
    let wrong = execution.write(x, &[0.0; 3]).expect_err("three numbers");
    assert!(
        wrong.to_string().contains("4 elements [4], found 3"),
        "{wrong}"
    );
    let wrong = execution.submit(&[(1, 0)], &Moment::default());
    let message = wrong.expect_err("one node only").to_string();
    assert!(message.contains("node 1"), "{message}");
}

/// Tensors go in and out by copies between buffers on the host's own device and queue.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn buffers_of_the_host_go_in_and_out() {
    let (device, queue) = host::open(|_, _| {});
    let shared = Device::from_wgpu(device.clone(), queue.clone()).expect("a device");
    let mut graph = Graph::new();
    let x = graph.float("x", &[3], TensorKind::Input);
    let hidden = graph.float("hidden", &[3], TensorKind::Intermediate);
    let y = graph.float("y", &[3], TensorKind::Output);
    let relu = Activate::of(Activation::RELU, 3);
    graph.push(Phase::Once, "first", relu, &[Some(x), Some(hidden)]);
    graph.push(Phase::Once, "second", relu, &[Some(hidden), Some(y)]);
    let plan = Plan::compile(graph, &shared).expect("plan");
    let mut execution = Execution::new(&plan).expect("execution");
    assert!(
        execution.device_slice(hidden).is_err(),
        "the engine's own tensor"
    );

    let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let buffer = |label| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: 12,
            usage,
            mapped_at_creation: false,
        })
    };
    let (from, to) = (buffer("from"), buffer("to"));
    queue.write_buffer(&from, 0, bytemuck::cast_slice(&[-1.0f32, 2.0, 3.0]));
    let copy = |record: &dyn Fn(&mut wgpu::CommandEncoder)| {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder);
        queue.submit([encoder.finish()]);
    };
    let place = execution.device_slice(x).expect("an input").expect("a GPU");
    copy(&|e| e.copy_buffer_to_buffer(&from, 0, place.buffer, place.offset, Some(place.bytes)));
    execution
        .submit(&[(0, 0), (1, 0)], &Moment::default())
        .expect("submit");
    let place = execution
        .device_slice(y)
        .expect("an output")
        .expect("a GPU");
    copy(&|e| e.copy_buffer_to_buffer(place.buffer, place.offset, &to, 0, Some(place.bytes)));
    let bytes = shared.gpu().expect("a GPU").read(&to, 0, 12).expect("read");
    assert_eq!(
        bytemuck::pod_collect_to_vec::<u8, f32>(&bytes),
        [0.0, 2.0, 3.0]
    );
}
