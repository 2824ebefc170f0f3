//! Memory by liveness: tensors whose lifetimes do not meet share room in one arena.

use super::region::{overwrites, written};
use super::{Graph, Node, Phase, TensorId, TensorKind};
use attractor_kernels::Element;
use serde::Serialize;

/// Elements that every tensor's place is a multiple of: 256 bytes, the largest alignment that WebGPU
/// allows a binding to need.
const ALIGNMENT: usize = 64;

/// Where every tensor lives. Floats and words have an arena each; offsets and sizes are in elements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryPlan {
    /// Offset of each tensor in the arena of its kind; none for constants and unused tensors.
    pub offsets: Vec<Option<usize>>,
    /// Elements of the arena of floats.
    pub float_elements: usize,
    /// Elements of the arena of words.
    pub word_elements: usize,
}

/// First and last node position, in execution order, at which a tensor must hold its value.
#[derive(Debug, Clone, Copy)]
struct Lifetime {
    first: usize,
    last: usize,
}

impl MemoryPlan {
    /// Plans the memory of a graph. Tensors are placed in order of size, largest first, each at the
    /// lowest offset free over its whole lifetime.
    pub fn new(graph: &Graph) -> Self {
        let lifetimes = lifetimes(graph);
        let mut offsets = vec![None; graph.tensors().len()];
        let mut sizes = [0usize; 2];
        for (element, size) in [Element::Float, Element::Word].into_iter().zip(&mut sizes) {
            let mut order: Vec<usize> = (0..graph.tensors().len())
                .filter(|&i| graph.tensors()[i].element == element && lifetimes[i].is_some())
                .collect();
            order.sort_by_key(|&i| std::cmp::Reverse(graph.tensors()[i].len()));
            let mut placed: Vec<(usize, usize, Lifetime)> = Vec::new();
            for index in order {
                let Some(lifetime) = lifetimes[index] else {
                    continue;
                };
                let length = graph.tensors()[index]
                    .len()
                    .max(1)
                    .checked_next_multiple_of(ALIGNMENT)
                    .unwrap_or(usize::MAX);
                let offset = lowest_gap(&placed, lifetime, length);
                offsets[index] = Some(offset);
                *size = (*size).max(offset.saturating_add(length));
                placed.push((offset, length, lifetime));
                placed.sort_by_key(|(offset, ..)| *offset);
            }
        }
        Self {
            offsets,
            float_elements: sizes[0],
            word_elements: sizes[1],
        }
    }

    /// Bytes of both arenas at four bytes an element.
    pub fn bytes(&self) -> u64 {
        (self.float_elements as u64)
            .saturating_add(self.word_elements as u64)
            .saturating_mul(4)
    }
}

/// Lowest offset at which `length` elements are free throughout `lifetime`.
fn lowest_gap(placed: &[(usize, usize, Lifetime)], lifetime: Lifetime, length: usize) -> usize {
    let mut offset = 0usize;
    for (start, size, other) in placed {
        let meet = lifetime.first <= other.last && other.first <= lifetime.last;
        if meet && *start < offset.saturating_add(length) {
            offset = offset.max(start.saturating_add(*size));
        }
    }
    offset
}

/// Lifetime of every tensor that needs room.
fn lifetimes(graph: &Graph) -> Vec<Option<Lifetime>> {
    let mut order: Vec<usize> = (0..graph.nodes().len()).collect();
    order.sort_by_key(|&i| graph.nodes()[i].phase);
    let position_of = |phase: Phase| order.partition_point(|&i| graph.nodes()[i].phase < phase);
    let (loop_start, loop_end) = (position_of(Phase::Step), position_of(Phase::Final));
    let end = order.len();
    let mut touches: Vec<Vec<(usize, bool)>> = vec![Vec::new(); graph.tensors().len()];
    for (position, &node) in order.iter().enumerate() {
        let node = &graph.nodes()[node];
        for (operand, id) in node.operands.iter().enumerate() {
            if let Some(id) = id {
                touches[id.0].push((position, overwrites(&node.kernel, operand)));
            }
        }
    }
    graph
        .tensors()
        .iter()
        .zip(touches)
        .enumerate()
        .map(|(index, (tensor, touches))| {
            if tensor.kind == TensorKind::Constant {
                return None;
            }
            let host_reads = tensor.kind.is_readable();
            let host_writes = tensor.kind.is_written_by_host();
            let (mut first, mut last) = match (touches.first(), touches.last()) {
                (Some(first), Some(last)) => (first.0, last.0),
                _ if host_reads || host_writes => (0, 0),
                _ => return None,
            };
            if host_writes {
                first = 0;
            }
            let in_loop = |position: usize| (loop_start..loop_end).contains(&position);
            let looped: Vec<_> = touches.iter().filter(|(p, _)| in_loop(*p)).collect();
            if let Some((start, overwrites)) = looped.first() {
                // A value that enters the loop from outside, or is carried from one step to the next,
                // or leaves the loop, must survive every step in full.
                // What the host reads may be a history, of which every step writes its own part.
                let carried = first < loop_start || host_writes || host_reads || !overwrites;
                let defined = fills(graph, &graph.nodes()[order[*start]], TensorId(index));
                if carried || (!defined && partial(graph, index)) {
                    first = first.min(loop_start);
                    last = last.max(loop_end.saturating_sub(1));
                } else if last >= loop_end {
                    last = last.max(loop_end.saturating_sub(1));
                }
            }
            if host_reads {
                last = end;
            }
            Some(Lifetime { first, last })
        })
        .collect()
}

/// Whether a node surely writes every element of a tensor.
fn fills(graph: &Graph, node: &Node, tensor: TensorId) -> bool {
    let written = |operand| {
        let region = written(&node.kernel, operand)?;
        let whole = region.len() == graph.tensor(tensor).len() && region.step_stride == 0;
        (whole && overwrites(&node.kernel, operand)).then_some(())
    };
    let mut operands = node.operands.iter().enumerate();
    operands.any(|(operand, id)| *id == Some(tensor) && written(operand).is_some())
}

/// Whether a first write does not define all of the tensor: several nodes write parts of it, or one
/// writes another part at every step, as a history is written.
fn partial(graph: &Graph, index: usize) -> bool {
    let mut writers = 0;
    for node in graph.nodes() {
        let table = node.kernel.id().operands();
        for (place, (operand, id)) in table.iter().zip(&node.operands).enumerate() {
            let written = operand.access != attractor_kernels::Access::Read;
            if !written || id.is_none_or(|id| id.0 != index) {
                continue;
            }
            writers += 1;
            let reach = |step| node.kernel.at_step(step).extents().get(place).copied();
            if writers > 1 || reach(0) != reach(1) {
                return true;
            }
        }
    }
    false
}
