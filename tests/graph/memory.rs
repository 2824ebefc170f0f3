//! Tensors that share room must not notice it.

use crate::naive::{self, index, launches};
use crate::random::{Built, build, recipes};
use attractor::device::Device;
use attractor::graph::{Execution, Graph, MemoryPlan, Moment, Plan};
use attractor_kernels::Access;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// Readable tensors after a run on a device, run twice over the same memory.
fn planned(built: &Built, plan: &Plan) -> Vec<(usize, Vec<f32>)> {
    let mut execution = Execution::new(plan).expect("execution");
    let all = launches(plan.graph(), built.steps);
    for _ in 0..2 {
        for (id, values) in &built.inputs {
            execution.write(*id, values).expect("write");
        }
        execution.submit(&all, &Moment::default()).expect("submit");
        execution.wait().expect("wait");
    }
    assert_eq!(execution.working_bytes(), plan.working_bytes());
    let graph = plan.graph();
    let readable = graph.tensors().iter().filter(|t| t.kind.is_readable());
    readable
        .map(|tensor| {
            let id = graph.find(&tensor.name).expect("its own tensor");
            (index(graph, id), execution.read(id).expect("read"))
        })
        .collect()
}

fn check(built: &Built, device: &Device, tolerance: f32) {
    let original = built.graph.clone();
    let plan = Plan::compile(original.clone(), device).expect("plan");
    check_apart(plan.graph(), plan.memory(), built.steps);
    let same = naive::run(plan.graph(), built.steps, &built.inputs);
    let unfused = naive::run(&original, built.steps, &built.inputs);
    for (tensor, found) in planned(built, &plan) {
        let name = &plan.graph().tensors()[tensor].name;
        for (place, &known) in built.defined[tensor].iter().enumerate() {
            if !known {
                continue;
            }
            let (f, s, u) = (found[place], same[tensor][place], unfused[tensor][place]);
            assert!(
                f == s || (f - s).abs() <= tolerance,
                "{name}[{place}]: {f} in the arena, {s} alone"
            );
            assert!(
                (s - u).abs() <= 1e-4,
                "{name}[{place}]: {s} fused, {u} unfused"
            );
        }
    }
}

/// Asserts that no two tensors hold values in one place at one time, by following every launch.
fn check_apart(graph: &Graph, memory: &MemoryPlan, steps: u32) {
    let tensors = graph.tensors();
    let all = launches(graph, steps);
    let writers = |tensor: usize| {
        let writes = |node: &&attractor::graph::Node| {
            let table = node.kernel.id().operands();
            table.iter().zip(&node.operands).any(|(operand, id)| {
                operand.access != Access::Read && id.is_some_and(|id| index(graph, id) == tensor)
            })
        };
        graph.nodes().iter().filter(writes).count()
    };
    // Times at which each tensor must hold a value somebody will read; 0 is before the first launch.
    let mut spans: Vec<Vec<(usize, usize)>> = vec![Vec::new(); tensors.len()];
    let mut defined: Vec<Option<usize>> = tensors
        .iter()
        .map(|t| t.kind.is_written_by_host().then_some(0))
        .collect();
    for (time, (node, _)) in (1..).zip(&all) {
        let node = &graph.nodes()[*node];
        let table = node.kernel.id().operands();
        for (operand, id) in table.iter().zip(&node.operands) {
            let Some(tensor) = id.map(|id| index(graph, id)) else {
                continue;
            };
            if operand.access != Access::Write {
                if let Some(since) = defined[tensor] {
                    spans[tensor].push((since, time));
                }
                continue;
            }
            // A lone writer of the same part at every step defines all that can be read.
            let alone = writers(tensor) == 1 && !node.label.ends_with('~');
            if node.label.ends_with('!') || alone || defined[tensor].is_none() {
                let carried = tensors[tensor].kind.is_written_by_host();
                if node.label.ends_with('!') || !carried {
                    defined[tensor] = Some(time);
                }
            }
            spans[tensor].push((time, time));
        }
    }
    for (tensor, span) in spans.iter_mut().enumerate() {
        if tensors[tensor].kind.is_readable()
            && let Some(since) = defined[tensor]
        {
            span.push((since, all.len() + 1));
        }
    }
    let place = |tensor: usize| {
        let offset = memory.offsets[tensor]?;
        assert!(offset.is_multiple_of(64), "alignment of a binding");
        assert!(offset + tensors[tensor].len() <= memory.float_elements);
        Some(offset..offset + tensors[tensor].len())
    };
    for a in 0..tensors.len() {
        for b in a + 1..tensors.len() {
            let (Some(first), Some(second)) = (place(a), place(b)) else {
                continue;
            };
            if first.end <= second.start || second.end <= first.start {
                continue;
            }
            for x in &spans[a] {
                for y in &spans[b] {
                    assert!(
                        x.1 < y.0 || y.1 < x.0,
                        "{} and {} share {first:?}, {second:?} while both live: {x:?} {y:?}",
                        tensors[a].name,
                        tensors[b].name
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shared_memory_changes_nothing_on_the_cpu(recipe in recipes()) {
        check(&build(&recipe), &Device::cpu(), 0.0);
    }
}

#[test]
fn shared_memory_changes_nothing_in_double_precision() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..40 {
        let recipe = recipes().new_tree(&mut runner).expect("a graph").current();
        check(&build(&recipe), &Device::cpu_f64(), 1e-4);
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn shared_memory_changes_nothing_on_a_gpu() {
    let device = crate::common::gpu();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..25 {
        let recipe = recipes().new_tree(&mut runner).expect("a graph").current();
        check(&build(&recipe), &device, 1e-4);
    }
}

/// A history is written one slot a step; the slots of earlier steps must outlive everything that runs
/// before the next is written.
#[test]
fn a_history_keeps_its_slots() {
    use attractor::graph::{Phase, TensorKind};
    use attractor_kernels::copy::CopyFloats;
    let (steps, width) = (3u32, 64u32);
    let mut graph = Graph::new();
    let table = graph.float("table", &[3, 64], TensorKind::Input);
    let scratch = graph.float("scratch", &[64], TensorKind::Intermediate);
    let row = graph.float("row", &[64], TensorKind::Intermediate);
    let history = graph.float("history", &[3, 64], TensorKind::Output);
    let look_up = CopyFloats {
        src_step_stride: width,
        ..CopyFloats::contiguous(width)
    };
    let record = CopyFloats {
        dst_step_stride: width,
        ..CopyFloats::contiguous(width)
    };
    let plain = CopyFloats::contiguous(width);
    graph.push(
        Phase::Step,
        "look up",
        look_up,
        &[Some(table), Some(scratch)],
    );
    graph.push(Phase::Step, "move", plain, &[Some(scratch), Some(row)]);
    graph.push(Phase::Step, "record", record, &[Some(row), Some(history)]);
    let plan = Plan::compile(graph, &Device::cpu()).expect("plan");
    let mut execution = Execution::new(&plan).expect("execution");
    let values = crate::common::values(3 * 64, 5);
    execution.write(table, &values).expect("write");
    let all = launches(plan.graph(), steps);
    execution.submit(&all, &Moment::default()).expect("submit");
    assert_eq!(execution.read(history).expect("read"), values);
}
