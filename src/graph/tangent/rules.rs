//! Which rule moves the tangents of a node.

use super::activity::{reads, writes};
use super::emitter::Emitter;
use crate::graph::region::written;
use crate::graph::{GraphError, Node, TensorId};
use attractor_kernels::AnyKernel;

impl Emitter<'_> {
    /// Emits the nodes that move the tangents of one node, to run before it. They read none of its
    /// outputs' values.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] naming the node and operand that no rule covers.
    pub fn differentiate(&mut self, node: &Node) -> Result<(), GraphError> {
        let wanted = |(_, id): &(usize, TensorId)| self.tangent(*id).is_some();
        let targets: Vec<_> = writes(node).filter(wanted).collect();
        if targets.is_empty() {
            return Ok(());
        }
        if !reads(node).any(|(_, id)| self.tangent(id).is_some()) {
            for (index, id) in targets {
                let Some(region) = written(&node.kernel, index) else {
                    let found = "a region that depends on values";
                    return Err(self.refuse(node, index, "an output with a known region", found));
                };
                self.clear(id, &region);
            }
            return Ok(());
        }
        match node.kernel {
            AnyKernel::AdaptiveAveragePool(kernel) => self.pool(node, kernel),
            AnyKernel::CompensatedSum(kernel) => self.compensated_sum(node, kernel),
            AnyKernel::Conv2d(kernel) => self.convolution(node, kernel),
            AnyKernel::CopyFloats(kernel) => self.copied(node, kernel),
            AnyKernel::Elementwise(kernel) => self.elementwise(node, kernel),
            AnyKernel::Embedding(kernel) => self.embedding(node, kernel),
            AnyKernel::MatMul(kernel) => self.matmul(node, kernel),
            AnyKernel::MeanSquaredError(kernel) => self.mean_squared_error(node, kernel),
            AnyKernel::OdeEnsemble(kernel) => self.ode_ensemble(node, kernel),
            AnyKernel::PhysicsOverride(kernel) => self.physics_override(node, kernel),
            AnyKernel::Reduce(kernel) => self.reduce(node, kernel),
            AnyKernel::RooflineCopy(kernel) => self.roofline_copy(node, kernel),
            AnyKernel::Rotary(kernel) => self.rotary(node, kernel),
            AnyKernel::RungeKutta(kernel) => self.runge_kutta(node, kernel),
            _ => self.nonlinear(node, &targets),
        }
    }

    /// Differentiates a node as a chain of simpler ones over tensors of their own, the last of which
    /// writes the node's output. Values that tangents need on the way are computed, the output is not:
    /// the node itself follows.
    ///
    /// # Errors
    /// As [`Emitter::differentiate`].
    pub fn differentiate_chain(&mut self, own: usize, chain: &[Node]) -> Result<(), GraphError> {
        let first = self.nodes.len();
        for (place, link) in chain.iter().enumerate() {
            let last = place + 1 == chain.len();
            let moved = reads(link).any(|(_, id)| self.tangent(id).is_some());
            if moved && !last {
                for (_, id) in writes(link) {
                    let length = self.graph.tensor(id).len();
                    let tangents = self.scratch_tangents(length)?;
                    self.set(id, tangents.tensor);
                }
            }
            self.differentiate(link)?;
            if !last {
                self.nodes.push(link.clone());
            }
        }
        let emitted = self.nodes.split_off(first);
        self.nodes.extend(needed(emitted, own));
        Ok(())
    }
}

/// The nodes without those that only write tensors from number `own` on that no later one reads.
fn needed(nodes: Vec<Node>, own: usize) -> Vec<Node> {
    let mut read: Vec<TensorId> = Vec::new();
    let mut kept: Vec<Node> = Vec::with_capacity(nodes.len());
    for node in nodes.into_iter().rev() {
        if writes(&node).any(|(_, id)| id.0 < own || read.contains(&id)) {
            read.extend(reads(&node).map(|(_, id)| id));
            kept.push(node);
        }
    }
    kept.reverse();
    kept
}

/// Nodes of which each reads what the one before has written: a node taken apart.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    node: &'a Node,
    pub links: Vec<Node>,
    latest: TensorId,
}

impl<'a> Chain<'a> {
    /// A chain whose first link writes `first`.
    pub fn new(node: &'a Node, first: TensorId) -> Self {
        Self {
            node,
            links: Vec::new(),
            latest: first,
        }
    }

    /// A node that writes the latest tensor.
    pub fn link(&mut self, part: &str, kernel: impl Into<AnyKernel>, inputs: &[Option<TensorId>]) {
        let mut operands = inputs.to_vec();
        operands.push(Some(self.latest));
        self.links.push(Node {
            label: format!("{}.{part}", self.node.label),
            kernel: kernel.into(),
            operands,
            phase: self.node.phase,
        });
    }

    /// A node that reads the latest tensor and more, and writes `out`.
    pub fn follow(
        &mut self,
        part: &str,
        kernel: impl Into<AnyKernel>,
        more: &[Option<TensorId>],
        out: TensorId,
    ) {
        let mut inputs = vec![Some(self.latest)];
        inputs.extend_from_slice(more);
        self.latest = out;
        self.link(part, kernel, &inputs);
    }

    /// The last link, which writes the output of the node that was taken apart: its last operand.
    pub fn finish(&mut self, part: &str, kernel: impl Into<AnyKernel>, more: &[Option<TensorId>]) {
        if let Some(out) = self.node.operands.last().copied().flatten() {
            self.follow(part, kernel, more, out);
        }
    }
}
