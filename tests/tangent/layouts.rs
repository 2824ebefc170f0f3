//! How tangents are laid out, merged, carried from step to step, and refused.

use crate::support::{Case, check, refuse};
use attractor::device::Device;
use attractor::graph::tangent::Tangent;
use attractor::graph::{Graph, Phase, Plan, TensorId, TensorKind};
use attractor_kernels::activation::Activate;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::matmul::MatMul;
use attractor_kernels::{Activation, AnyKernel, KernelId};

/// `x <- x + tanh(x W + b)` over `[rows, width]`.
fn residual_layer(rows: usize, width: usize) -> (Case, TensorId) {
    let mut case = Case::new(format!("residual layer {rows} x {width}"));
    let count = (rows * width) as u32;
    let x = case.seed(&[rows, width]);
    let (weight, bias) = (case.constant(&[width, width]), case.constant(&[width]));
    let [inner, outer, product, sum] = [(); 4].map(|()| case.middle(&[rows, width]));
    let linear = MatMul::linear(rows as u32, width as u32, width as u32);
    let layer =
        |from: TensorId, to: TensorId| [Some(from), Some(weight), Some(bias), None, None, Some(to)];
    case.push(linear, &layer(x, inner));
    case.node(Activate::of(Activation::TANH, count), &[inner, outer]);
    case.push(linear, &layer(outer, product));
    let (rows, width) = (rows as u32, width as u32);
    let strides = [0, rows * width, width, 1];
    let add = Elementwise::broadcast(Operation::ADD, [1, 1, rows, width], strides, strides);
    case.node(add, &[product, x, sum]);
    case.node(CopyFloats::contiguous(count), &[sum, x]);
    (case, x)
}

fn kernels(graph: &Graph) -> Vec<KernelId> {
    graph.nodes().iter().map(|node| node.kernel.id()).collect()
}

#[test]
fn a_layer_becomes_one_node_over_all_tangents() {
    let (case, x) = residual_layer(5, 7);
    check(&case, &[(&Device::cpu(), 1.0)]);
    let made = case.tangent(3).expect("tangents");
    let tangent = made.tangent_of(x).expect("the seed's");
    let summary = made.summary();
    let graph = made.finish();
    assert_eq!(graph.tensor(tangent).shape, [3, 5, 7]);
    assert_eq!(graph.tensor(tangent).kind, TensorKind::State);
    assert_eq!(graph.nodes().len(), 2 * case.graph.nodes().len());
    let AnyKernel::MatMul(product) = graph.nodes()[0].kernel else {
        panic!("expected a product first, found {:?}", kernels(&graph));
    };
    assert_eq!((product.batch, product.m, product.flags), (1, 15, 0));
    // Every tensor that is not constant: seed, two of the first layer, product, sum.
    assert_eq!((summary.tangents, summary.tensors), (3, 5));
    assert_eq!(summary.tensor_bytes, 5 * 3 * 35 * 4);
    assert!(summary.working_bytes > summary.source_bytes);
    assert!(summary.working_bytes <= summary.source_bytes * 5);
}

#[test]
fn fusion_still_finds_products_with_their_residuals() {
    let (case, _) = residual_layer(5, 7);
    let graph = case.tangent(3).expect("tangents").finish();
    let plan = Plan::compile(graph, &Device::cpu()).expect("plan");
    let fused = plan
        .graph()
        .nodes()
        .iter()
        .filter(|node| match node.kernel {
            AnyKernel::MatMul(product) => product.has(MatMul::RESIDUAL),
            _ => false,
        });
    assert_eq!(fused.count(), 2, "{:?}", kernels(plan.graph()));
}

#[test]
fn flops_are_those_of_one_evaluation_more_than_tangents() {
    let (case, _) = residual_layer(13, 32);
    let cost = |graph: &Graph| {
        graph
            .nodes()
            .iter()
            .map(|n| n.kernel.cost())
            .sum::<attractor_kernels::Cost>()
    };
    let alone = cost(&case.graph).flops;
    for count in [1, 3, 8] {
        let graph = case.tangent(count).expect("tangents").finish();
        let all = cost(&graph).flops;
        assert!(
            all <= alone * (count as u64 + 1),
            "{all} for {count} and {alone}"
        );
    }
}

#[test]
fn working_memory_is_shared_between_layers() {
    let memory = |layers: usize| {
        let mut case = Case::new(format!("{layers} layers"));
        let mut x = case.seed(&[16, 64]);
        for _ in 0..layers {
            let y = case.middle(&[16, 64]);
            case.node(Activate::of(Activation::TANH, 1024), &[x, y]);
            x = y;
        }
        let out = case.out(&[16, 64]);
        case.node(CopyFloats::contiguous(1024), &[x, out]);
        case.tangent(4).expect("tangents").summary().working_bytes
    };
    assert_eq!(memory(9), memory(4));
}

#[test]
fn nodes_of_the_caller_go_in_between() {
    let (case, x) = residual_layer(2, 3);
    let mut made = Tangent::new(&case.graph, 2, &[x]).expect("tangents");
    made.advance(3).expect("three nodes");
    let before = made.graph_mut().nodes().len();
    let tangent = made.tangent_of(x).expect("the seed's");
    let kept = made
        .graph_mut()
        .float("kept", &[2, 2, 3], TensorKind::Output);
    let operands = [Some(tangent), Some(kept)];
    made.graph_mut()
        .push(Phase::Step, "record", CopyFloats::contiguous(12), &operands);
    made.advance(5).expect("the rest");
    assert!(made.advance(6).is_err());
    let graph = made.finish();
    assert_eq!(graph.nodes()[before].label, "record");
    let primal = case.graph.nodes()[2].label.as_str();
    let place = graph.nodes().iter().position(|node| node.label == primal);
    assert_eq!(
        place,
        Some(before - 1),
        "the third node is there before the caller's"
    );
    graph.check().expect("a graph");
}

#[test]
fn what_no_target_needs_has_no_tangents() {
    let (mut case, x) = residual_layer(2, 3);
    let (wide, logits) = (case.constant(&[50, 3]), case.out(&[2, 50]));
    let head = MatMul {
        flags: 0,
        ..MatMul::linear(2, 3, 50)
    };
    case.push(head, &[Some(x), Some(wide), None, None, None, Some(logits)]);
    let nodes = case.graph.nodes().len();
    let mut all = Tangent::new(&case.graph, 2, &[x]).expect("tangents");
    let mut some = Tangent::between(&case.graph, 2, &[x], &[x]).expect("tangents");
    all.advance(nodes).expect("nodes");
    some.advance(nodes).expect("nodes");
    assert!(all.tangent_of(logits).is_some() && some.tangent_of(logits).is_none());
    assert_eq!(all.finish().nodes().len(), some.finish().nodes().len() + 1);
}

/// A part of a tensor is made once, before the steps, from what moves; the rest at every step.
#[test]
fn phases_are_kept() {
    let mut case = Case::new("phases");
    case.steps = 3;
    let (start, state) = (case.seed(&[7]), case.seed(&[7]));
    let (once, sum) = (case.middle(&[7]), case.middle(&[7]));
    let out = case.out(&[7]);
    case.phase(Phase::Once);
    case.node(Activate::of(Activation::SILU, 7), &[start, once]);
    case.phase(Phase::Step);
    case.node(
        Elementwise::contiguous(Operation::MULTIPLY, 7),
        &[once, state, sum],
    );
    case.node(CopyFloats::contiguous(7), &[sum, state]);
    case.phase(Phase::Final);
    case.node(
        Elementwise::contiguous(Operation::ADD, 7),
        &[state, once, out],
    );
    check(&case, &[(&Device::cpu(), 1.0)]);
}

/// A tensor from the host that is not a seed but written over in part starts with tangents of zero.
#[test]
fn a_state_beside_the_seeds_starts_without_tangents() {
    let mut case = Case::new("a state beside");
    case.steps = 2;
    let x = case.seed(&[5]);
    let beside = case.given(&[11]);
    let out = case.out(&[11]);
    let placed = CopyFloats {
        dst_offset: 3,
        ..CopyFloats::contiguous(5)
    };
    case.node(CopyFloats::contiguous(11), &[beside, out]);
    case.node(placed, &[x, beside]);
    check(&case, &[(&Device::cpu(), 1.0)]);
}

#[test]
fn graphs_that_cannot_have_tangents_are_refused() {
    let (case, x) = residual_layer(2, 3);
    let none = Tangent::new(&case.graph, 0, &[x]).expect_err("none");
    assert!(
        none.to_string().contains("at least 1 tangent vector"),
        "{none}"
    );
    let many = Tangent::new(&case.graph, 1 << 30, &[x]).expect_err("too many");
    let text = many.to_string();
    assert!(
        text.contains("t0.tangent") && text.contains("2^32"),
        "{text}"
    );
    let weight = case.graph.find("t1").expect("the weight");
    let fixed = Tangent::new(&case.graph, 1, &[weight]).expect_err("a constant");
    assert!(fixed.to_string().contains("tensor t1"), "{fixed}");
    let mut words = Case::new("words");
    let tokens = words.words(vec![1, 2], TensorKind::State);
    words.seeds.push(tokens);
    refuse(&words, &["tensor t0", "Word"]);
}
