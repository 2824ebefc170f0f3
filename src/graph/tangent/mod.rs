//! Forward-mode differentiation: the graph that carries `k` tangent vectors beside the values.
//!
//! For every tensor `T` that a seed reaches there is a tensor of `k` copies of its layout, tangent after
//! tangent: tangent `j` of element `i` lies at `j * len(T) + i`. Every node that moves such tensors is
//! preceded by nodes that move their tangents, `dy = J(x) dx` with `J` the node's Jacobian at its inputs.
//! A linear node becomes the same node over `k` times the batch where its strides allow, otherwise `k`
//! nodes with offsets; the others have tangent kernels of their own.

pub(super) mod activity;
mod dense;
mod elementwise;
mod emitter;
mod integration;
mod loss;
mod nonlinear;
mod product;
mod rules;
mod strides;

use super::region::Region;
use super::{Graph, GraphError, MemoryPlan, Node, Phase, TensorId, TensorKind};
use activity::{reads, writes};
use attractor_kernels::{AnyKernel, Element};
use emitter::Emitter;
use serde::Serialize;

/// A graph with tangents in the making: nodes of the source are carried over one after the other, each
/// after the nodes that move its tangents, so that the caller can put nodes of its own in between.
#[derive(Debug, Clone)]
pub struct Tangent {
    source: Graph,
    graph: Graph,
    tangents: Vec<Option<TensorId>>,
    count: u32,
    next: usize,
    zero: Option<TensorId>,
}

/// What tangents cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TangentSummary {
    /// Tangent vectors.
    pub tangents: u32,
    /// Tensors that have tangents, those made on the way included.
    pub tensors: usize,
    /// Bytes of all tangents, four an element, as if none shared memory with another.
    pub tensor_bytes: u64,
    /// Bytes of working memory that the graph needs with its tangents, by its memory plan.
    pub working_bytes: u64,
    /// Bytes of working memory of the source alone.
    pub source_bytes: u64,
}

impl Tangent {
    /// Begins a graph that carries `tangents` tangent vectors of everything that `seeds` reach and that
    /// the host may read or a seed depends on in turn.
    ///
    /// All tensors of `source` are in the new graph under the same ids. Tangents of seeds are
    /// [`TensorKind::State`], for the host to write; of other tensors that the host writes they are zero at
    /// the start; of outputs they are outputs.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for no tangents, for a seed that is constant or holds words, and where the
    /// tangents of a tensor have 2^32 elements or more.
    pub fn new(source: &Graph, tangents: usize, seeds: &[TensorId]) -> Result<Self, GraphError> {
        let readable = |id: &TensorId| source.tensor(*id).kind.is_readable();
        let all = (0..source.tensors().len()).map(TensorId);
        let targets: Vec<TensorId> = all.filter(readable).collect();
        Self::between(source, tangents, seeds, &targets)
    }

    /// [`Tangent::new`] for the tangents of `targets` alone: what does not lead to one of them has none.
    ///
    /// # Errors
    /// As [`Tangent::new`].
    pub fn between(
        source: &Graph,
        tangents: usize,
        seeds: &[TensorId],
        targets: &[TensorId],
    ) -> Result<Self, GraphError> {
        source.check()?;
        let count = u32::try_from(tangents).unwrap_or(u32::MAX);
        if count == 0 {
            return Err(refused("a graph", "at least 1 tangent vector", "0"));
        }
        for &seed in seeds {
            let tensor = source.tensor(seed);
            if tensor.kind == TensorKind::Constant || tensor.element != Element::Float {
                let found = format!("{:?} of {:?}", tensor.kind, tensor.element);
                let what = format!("tensor {}", tensor.name);
                return Err(refused(&what, "real numbers that are not constant", &found));
            }
        }
        let active = activity::active(source, seeds, targets);
        let mut made = Self {
            source: source.clone(),
            graph: Graph {
                tensors: source.tensors.clone(),
                nodes: Vec::new(),
            },
            tangents: vec![None; source.tensors().len()],
            count,
            next: 0,
            zero: None,
        };
        for index in (0..active.len()).filter(|&index| active[index]) {
            let id = TensorId(index);
            let kind = source.tensor(id).kind;
            let kept = kind.is_readable() && targets.contains(&id);
            made.allocate(
                id,
                match kind {
                    _ if seeds.contains(&id) => TensorKind::State,
                    _ if kept => TensorKind::Output,
                    _ => TensorKind::Intermediate,
                },
            )?;
            if kind.is_written_by_host() && !seeds.contains(&id) {
                made.clear(id)?;
            }
        }
        Ok(made)
    }

    fn allocate(&mut self, id: TensorId, kind: TensorKind) -> Result<(), GraphError> {
        let mut emitter = self.emitter(Phase::Once, String::new());
        let length = emitter.graph.tensor(id).len();
        let name = format!("{}.tangent", emitter.graph.tensor(id).name);
        let shape = emitter.graph.tensor(id).shape.clone();
        emitter.require_room(&name, length)?;
        let shape: Vec<usize> = [emitter.count as usize].into_iter().chain(shape).collect();
        let tangent = emitter.graph.float(name, &shape, kind);
        emitter.set(id, tangent);
        Ok(())
    }

    /// Zeros in the tangent of a tensor before everything else.
    fn clear(&mut self, id: TensorId) -> Result<(), GraphError> {
        let label = format!("{}.tangent = 0", self.graph.tensor(id).name);
        let length = super::layers::size(self.graph.tensor(id).len());
        let mut emitter = self.emitter(Phase::Once, label);
        let all = Region {
            offset: 0,
            step_stride: 0,
            dimensions: vec![(length, 1)],
        };
        emitter.clear(id, &all);
        let nodes = emitter.nodes;
        self.graph.nodes.extend(nodes);
        Ok(())
    }

    fn emitter(&mut self, phase: Phase, label: String) -> Emitter<'_> {
        Emitter {
            graph: &mut self.graph,
            tangents: &mut self.tangents,
            count: self.count,
            zero: &mut self.zero,
            nodes: Vec::new(),
            phase,
            label,
        }
    }

    /// Carries over the nodes of the source up to number `until` (exclusive), each after the nodes of its
    /// tangents.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] naming the node that cannot be differentiated, and why;
    /// [`GraphError::Launch`] for more nodes than there are.
    pub fn advance(&mut self, until: usize) -> Result<(), GraphError> {
        let nodes = self.source.nodes().len();
        if until > nodes {
            return Err(GraphError::Launch { node: until, nodes });
        }
        let mut held: Option<Node> = None;
        while self.next < until {
            let node = self.source.nodes[self.next].clone();
            self.next += 1;
            let mut emitter = self.emitter(node.phase, format!("{}.tangent", node.label));
            emitter.differentiate(&node)?;
            let before = emitter.nodes;
            // A product stays next to what follows it, so that the two can still be fused.
            let stays = held.as_ref().is_some_and(|held| {
                held.phase == node.phase && !before.iter().any(|new| depends(new, held))
            });
            if !stays {
                self.graph.nodes.extend(held.take());
            }
            self.graph.nodes.extend(before);
            self.graph.nodes.extend(held.take());
            if matches!(node.kernel, AnyKernel::MatMul(_)) {
                held = Some(node);
            } else {
                self.graph.nodes.push(node);
            }
        }
        self.graph.nodes.extend(held);
        Ok(())
    }

    /// The graph so far, for nodes that are to follow what has been carried over.
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// The tangents of a tensor, `[tangents, shape of the tensor]`; none where they are zero throughout.
    pub fn tangent_of(&self, id: TensorId) -> Option<TensorId> {
        self.tangents.get(id.0).copied().flatten()
    }

    /// Memory of what has been carried over.
    pub fn summary(&self) -> TangentSummary {
        let carried = self.tangents.iter().flatten();
        let elements = carried
            .clone()
            .map(|id| self.graph.tensor(*id).len() as u64);
        TangentSummary {
            tangents: self.count,
            tensors: carried.count(),
            tensor_bytes: elements.fold(0, |sum: u64, n| sum.saturating_add(n.saturating_mul(4))),
            working_bytes: MemoryPlan::new(&self.graph).bytes(),
            source_bytes: MemoryPlan::new(&self.source).bytes(),
        }
    }

    /// The graph. Nodes of the source that [`Tangent::advance`] has not reached are not part of it.
    pub fn finish(self) -> Graph {
        self.graph
    }
}

/// Whether `later` touches what `earlier` writes, or writes what it reads.
fn depends(later: &Node, earlier: &Node) -> bool {
    let written: Vec<TensorId> = writes(earlier).map(|(_, id)| id).collect();
    let read: Vec<TensorId> = reads(earlier).map(|(_, id)| id).collect();
    let touched = |id: &TensorId| written.contains(id);
    let changed = writes(later).any(|(_, id)| read.contains(&id));
    changed || later.operands.iter().flatten().any(touched)
}

fn refused(what: &str, expected: &str, found: &str) -> GraphError {
    GraphError::Tangent {
        what: what.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
