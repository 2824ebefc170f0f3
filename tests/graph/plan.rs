//! What a plan says of itself before it runs, and whether that comes true.

use crate::common::trained::{observations, settings, tiny_config, tiny_planner};
use attractor::device::Device;
use attractor::samplers::{Draws, PlanRequest, SamplerKind};

#[test]
fn explain_lists_every_node_and_the_totals() {
    let mut planner = tiny_planner(&Device::cpu());
    let settings = settings(SamplerKind::RemdmBernoulli, 10);
    let plan = planner.compile(&settings, 3).expect("plan");
    let text = plan.explain(10);
    let summary = plan.summary(10);
    assert_eq!(text.lines().count(), plan.graph().nodes().len() + 1);
    for (line, node) in text.lines().zip(plan.graph().nodes()) {
        assert!(line.contains(&node.label), "{line}");
        assert!(line.contains(node.kernel.id().name()), "{line}");
    }
    let [once, each, last] = summary.nodes;
    assert_eq!(summary.dispatches, (once + 10 * each + last) as u64);
    let totals = text.lines().last().expect("totals");
    for number in [
        summary.dispatches,
        summary.working_bytes,
        summary.constant_bytes,
    ] {
        assert!(totals.contains(&number.to_string()), "{totals}: {number}");
    }
    // Every weight once, and no constant beside them but parts of the last block's projection.
    let weights: usize = crate::common::trained::state_dict(&tiny_config())
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>() * 4)
        .sum();
    assert_eq!(summary.constant_bytes, weights as u64);
}

#[test]
fn the_dump_is_the_plan() {
    let mut planner = tiny_planner(&Device::cpu());
    let settings = settings(SamplerKind::MaskgitRemask, 4);
    let plan = planner.compile(&settings, 2).expect("plan");
    let text = plan.to_json(4).expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let nodes = json["graph"]["nodes"].as_array().expect("nodes");
    let tensors = json["graph"]["tensors"].as_array().expect("tensors");
    assert_eq!(nodes.len(), plan.graph().nodes().len());
    assert_eq!(tensors.len(), plan.graph().tensors().len());
    for (dumped, node) in nodes.iter().zip(plan.graph().nodes()) {
        assert_eq!(dumped["label"], node.label);
        assert_eq!(dumped["kernel"], format!("{:?}", node.kernel.id()));
        let operands = dumped["operands"].as_array().expect("operands");
        assert_eq!(operands.len(), node.operands.len());
    }
    let product = nodes.iter().find(|n| n["kernel"] == "MatMul");
    assert!(product.expect("a product")["k"].is_u64());
    for (dumped, tensor) in tensors.iter().zip(plan.graph().tensors()) {
        assert_eq!(dumped["name"], tensor.name);
        assert_eq!(dumped["shape"], serde_json::json!(tensor.shape));
    }
    let summary = plan.summary(4);
    assert_eq!(json["summary"]["dispatches"], summary.dispatches);
    assert_eq!(json["summary"]["working_bytes"], summary.working_bytes);
    let offsets = json["memory"]["offsets"].as_array().expect("offsets");
    assert_eq!(offsets.len(), tensors.len());
    assert_eq!(json["device"]["kind"], "cpu");
}

/// The peak that is printed before a run is what the run holds, run after run.
fn check_peak(device: &Device, counts: &[usize]) {
    let all = observations();
    let mut planner = crate::common::trained::planner(device);
    for sampler in [SamplerKind::Greedy, SamplerKind::RemdmBernoulli] {
        let settings = settings(sampler, 2);
        for &count in counts {
            let announced = planner.peak_bytes(&settings, count).expect("peak");
            let part = all.slice(0..count);
            let mut request = PlanRequest::new(&part, 3);
            for seed in [1, 2] {
                request.seed = seed;
                let report = planner.plan(&settings, &request).expect("plans").report;
                assert_eq!(report.working_bytes, announced, "{settings:?} {count}");
            }
        }
    }
}

#[test]
fn the_peak_counts_random_numbers_handed_in() {
    let all = observations();
    let device = Device::cpu();
    let mut planner = crate::common::trained::planner(&device);
    let settings = settings(SamplerKind::RemdmBernoulli, 3);
    let part = all.slice(0..4);
    let numbers = vec![0.5; 3 * 4 * planner.config().seq_len];
    let draws = Draws {
        steps: 3,
        categorical: numbers.clone(),
        unmask: numbers.clone(),
        remask: numbers,
    };
    let announced = planner.peak_bytes_replayed(&settings, 4).expect("peak");
    assert!(announced > planner.peak_bytes(&settings, 4).expect("peak"));
    let request = PlanRequest {
        draws: Some(&draws),
        ..PlanRequest::new(&part, 0)
    };
    let report = planner.plan(&settings, &request).expect("plans").report;
    assert_eq!(report.working_bytes, announced);
}

#[test]
fn the_peak_is_known_before_the_run_on_the_cpu() {
    check_peak(&Device::cpu(), &[1, 2, 5, 33, 1]);
    check_peak(&Device::cpu_f64(), &[1, 9]);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn the_peak_is_known_before_the_run_on_a_gpu() {
    check_peak(&crate::common::gpu(), &[1, 5]);
}
