//! Tangents of losses.

use super::emitter::Emitter;
use super::rules::Chain;
use crate::graph::layers::size;
use crate::graph::{GraphError, Node};
use attractor_kernels::element_count;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::mean_squared_error::MeanSquaredError;
use attractor_kernels::reduce::{Reduce, Reduction};

/// Position of the gradient.
const GRADIENT: usize = 3;

impl Emitter<'_> {
    /// The loss as the mean of the squares of differences.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for a gradient that has tangents.
    pub fn mean_squared_error(
        &mut self,
        node: &Node,
        k: MeanSquaredError,
    ) -> Result<(), GraphError> {
        if k.has(MeanSquaredError::GRADIENT) {
            self.require_constant(node, &[GRADIENT])?;
        }
        let own = self.graph.tensors().len();
        let all = [k.examples as usize, k.count as usize];
        let (difference, square) = (self.scratch(&all), self.scratch(&all));
        let shape = [1, 1, k.examples, k.count];
        let strides = |rows| [0, 0, rows, 1];
        let subtract = Elementwise::broadcast(
            Operation::SUBTRACT,
            shape,
            strides(k.count),
            strides(k.target_stride),
        );
        let multiply = Elementwise::contiguous(Operation::MULTIPLY, size(element_count(&shape)));
        let mean = Reduce::middle(Reduction::MEAN, k.examples, k.count, 1);
        let mut chain = Chain::new(node, difference);
        let inputs = node.operands.get(..2).unwrap_or(&[]);
        chain.link("difference", subtract, inputs);
        chain.follow("square", multiply, &[Some(difference)], square);
        chain.finish("mean", mean, &[]);
        self.differentiate_chain(own, &chain.links)
    }
}
