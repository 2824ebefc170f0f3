//! Reverse-mode differentiation: the graph that carries gradients back from outputs to inputs.
//!
//! For every tensor `T` between what is differentiated by and the outputs there is an adjoint, a tensor of
//! the same layout: the gradient of `sum over outputs <cotangent, output>` by `T`. The nodes of the source come
//! first, as they are; after them, in reverse, each node is followed by the nodes that move adjoints from what
//! it writes to what it reads, `x' += J(x)^T y'` with `J` its Jacobian. Where several nodes read a tensor their
//! parts are added in the reverse of their order; sums over broadcast operands are compensated. Every adjoint of
//! an example is therefore the same, bit for bit, whatever batch it is in.

mod dense;
mod emitter;
mod loss;
mod pointwise;
mod product;
mod requirements;

use super::tangent::activity::active;
use super::{Graph, GraphError, Phase, TensorId};
use attractor_kernels::{AnyKernel, Element};
use emitter::Emitter;

/// An output, and the tensor of as many elements that holds its cotangent: written by the host, a constant,
/// or made by a node of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// The output.
    pub output: TensorId,
    /// Its cotangent.
    pub cotangent: TensorId,
}

/// A graph with the gradients of its outputs.
#[derive(Debug, Clone)]
pub struct Adjoint {
    graph: Graph,
    adjoints: Vec<Option<TensorId>>,
}

impl Adjoint {
    /// The graph that carries the cotangents of `seeds` back to the tensors `wrt`. All tensors of `source` are
    /// in it under the same ids, and all its nodes in their order, followed by those of the adjoints.
    ///
    /// What the gradients need of the values must still be there after the source's nodes, so that the nodes
    /// between `wrt` and the outputs must run in one phase, do the same at every step of an orbit, and read
    /// nothing that they or later nodes write.
    ///
    /// # Errors
    /// [`GraphError::Adjoint`] naming the node, tensor or operand that cannot be differentiated, and why.
    pub fn new(source: &Graph, seeds: &[Seed], wrt: &[TensorId]) -> Result<Self, GraphError> {
        source.check()?;
        for &id in wrt {
            let tensor = source.tensor(id);
            if tensor.element != Element::Float {
                let what = format!("tensor {}", tensor.name);
                return Err(refused(&what, "real numbers", "words"));
            }
        }
        for seed in seeds {
            requirements::check_seed(source, seed)?;
        }
        let outputs: Vec<TensorId> = seeds.iter().map(|seed| seed.output).collect();
        let active = active(source, wrt, &outputs);
        let nodes = requirements::moving(source, &active)?;
        let phase = nodes
            .first()
            .and_then(|index| source.nodes().get(*index))
            .map_or(Phase::Step, |node| node.phase);
        let mut emitter = Emitter::new(source.clone(), active, phase);
        for seed in seeds {
            emitter.label = format!("{}.cotangent", source.tensor(seed.output).name);
            emitter.add(seed.output, seed.cotangent);
        }
        for index in nodes.into_iter().rev() {
            if let Some(node) = source.nodes().get(index) {
                emitter.label = format!("{}.adjoint", node.label);
                emitter.reverse(node)?;
            }
        }
        Ok(emitter.finish())
    }

    /// The adjoint of a tensor, in its layout; none where it is zero throughout. Of outputs that nothing else
    /// reads it is the cotangent itself.
    pub fn adjoint_of(&self, id: TensorId) -> Option<TensorId> {
        self.adjoints.get(id.0).copied().flatten()
    }

    /// The graph so far, for nodes that are to follow: an optimiser's.
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// The graph.
    pub fn finish(self) -> Graph {
        self.graph
    }
}

impl Emitter {
    /// Emits the nodes that move the adjoints of what a node writes to what it reads.
    fn reverse(&mut self, node: &super::Node) -> Result<(), GraphError> {
        match node.kernel {
            AnyKernel::Activate(kernel) => self.activation(node, kernel),
            AnyKernel::CopyFloats(kernel) => self.copied(node, kernel),
            AnyKernel::Elementwise(kernel) => self.elementwise(node, kernel),
            AnyKernel::MatMul(kernel) => self.matmul(node, kernel),
            AnyKernel::MeanSquaredError(kernel) => self.mean_squared_error(node, kernel),
            AnyKernel::Reduce(kernel) => self.reduce(node, kernel),
            _ => Err(self.refuse(node, 0, "a kernel with a rule for adjoints", "none")),
        }
    }
}

fn refused(what: &str, expected: &str, found: &str) -> GraphError {
    GraphError::Adjoint {
        what: what.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
