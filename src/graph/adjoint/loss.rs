//! Adjoints of losses.

use super::emitter::Emitter;
use crate::graph::layers::size;
use crate::graph::region::Region;
use crate::graph::{GraphError, Node};
use attractor_kernels::element_count;
use attractor_kernels::mean_squared_error::MeanSquaredError;

// Positions of the operands.
const PREDICTION: usize = 0;
const TARGET: usize = 1;
const GRADIENT: usize = 3;
const LOSS: usize = 4;

impl Emitter {
    /// The kernel's own gradient under the loss's cotangent; for the target the opposite of it.
    pub fn mean_squared_error(
        &mut self,
        node: &Node,
        k: MeanSquaredError,
    ) -> Result<(), GraphError> {
        if self.wanted(node, GRADIENT).is_some() && k.has(MeanSquaredError::GRADIENT) {
            let found = "a gradient of the gradient";
            return Err(self.refuse(node, GRADIENT, "the loss alone", found));
        }
        let operand = |index: usize| node.operands.get(index).copied().flatten();
        let Some(cotangent) = self.adjoint(node, LOSS) else {
            return Ok(());
        };
        let out = self.scratch(&[k.examples, k.count]);
        let kernel = MeanSquaredError {
            flags: MeanSquaredError::GRADIENT | MeanSquaredError::COTANGENT,
            ..k
        };
        let inputs = [operand(PREDICTION), operand(TARGET), Some(cotangent)];
        self.push(kernel, &[inputs[0], inputs[1], inputs[2], Some(out), None]);
        let region = |stride| Region::new(0, &[(k.examples, stride), (k.count, 1)]);
        self.contribute((node, PREDICTION), region(k.count), out)?;
        if self.wanted(node, TARGET).is_some() {
            let all = size(element_count(&[k.examples, k.count]));
            let opposite = self.scaled(out, all, -1.0);
            self.contribute((node, TARGET), region(k.target_stride), opposite)?;
        }
        Ok(())
    }
}
