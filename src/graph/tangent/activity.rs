//! Which tensors carry tangents: those that a seed reaches and that reach a target.

use crate::graph::{Graph, Node, TensorId};
use attractor_kernels::{Access, Element};

/// Real-valued operands of a node that it reads, by operand number.
pub(in crate::graph) fn reads(node: &Node) -> impl Iterator<Item = (usize, TensorId)> {
    floats(node, |access| access != Access::Write)
}

/// Real-valued operands of a node that it writes, by operand number.
pub(in crate::graph) fn writes(node: &Node) -> impl Iterator<Item = (usize, TensorId)> {
    floats(node, |access| access != Access::Read)
}

fn floats(node: &Node, keep: fn(Access) -> bool) -> impl Iterator<Item = (usize, TensorId)> {
    let table = node.kernel.id().operands().iter();
    let operands = table.zip(&node.operands).enumerate();
    operands.filter_map(move |(index, (operand, id))| {
        let wanted = operand.element == Element::Float && keep(operand.access);
        id.filter(|_| wanted).map(|id| (index, id))
    })
}

/// For every tensor whether it has tangents. What a step leaves behind is read by the next one, so that
/// both directions go round until nothing changes.
pub(in crate::graph) fn active(
    graph: &Graph,
    seeds: &[TensorId],
    targets: &[TensorId],
) -> Vec<bool> {
    let mut reached = marked(graph, seeds);
    spread(graph, &mut reached, |node, reached| {
        let moved = reads(node).any(|(_, id)| reached[id.0]);
        moved.then(|| writes(node).map(|(_, id)| id).collect())
    });
    let mut needed = marked(graph, targets);
    spread(graph, &mut needed, |node, needed| {
        let wanted = writes(node).any(|(_, id)| needed[id.0]);
        wanted.then(|| reads(node).map(|(_, id)| id).collect())
    });
    let mut active: Vec<bool> = reached.iter().zip(&needed).map(|(a, b)| *a && *b).collect();
    for seed in seeds {
        active[seed.0] = true;
    }
    active
}

fn marked(graph: &Graph, ids: &[TensorId]) -> Vec<bool> {
    let mut marks = vec![false; graph.tensors().len()];
    for id in ids {
        marks[id.0] = true;
    }
    marks
}

/// Marks what `next` gives for every node until no node gives anything new.
fn spread(
    graph: &Graph,
    marks: &mut [bool],
    next: impl Fn(&Node, &[bool]) -> Option<Vec<TensorId>>,
) {
    loop {
        let mut changed = false;
        for node in graph.nodes() {
            for id in next(node, marks).unwrap_or_default() {
                changed |= !std::mem::replace(&mut marks[id.0], true);
            }
        }
        if !changed {
            return;
        }
    }
}
