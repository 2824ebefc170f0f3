//! Adjoints of element-wise kernels.

use super::emitter::Emitter;
use crate::graph::layers::size;
use crate::graph::region::Region;
use crate::graph::{GraphError, Node, TensorId};
use attractor_kernels::activation::Activate;
use attractor_kernels::activation_tangent::ActivateTangent;
use attractor_kernels::element_count;
use attractor_kernels::elementwise::{Elementwise, Operation};

impl Emitter {
    /// `x' = scale activation'(scale x) y'`: the Jacobian is diagonal, so that the tangent kernel serves.
    pub fn activation(&mut self, node: &Node, kernel: Activate) -> Result<(), GraphError> {
        let (Some(x), Some(adjoint)) = (
            node.operands.first().copied().flatten(),
            self.adjoint(node, 1),
        ) else {
            return Ok(());
        };
        let run = |offset| Region::new(offset, &[(kernel.count, 1)]);
        let x = self.gathered(x, &run(kernel.x_offset));
        let adjoint = self.gathered(adjoint, &run(kernel.y_offset));
        let out = self.slopes(kernel, x, adjoint);
        self.contribute((node, 0), run(kernel.x_offset), out)
    }

    /// Slopes at contiguous x times contiguous numbers.
    pub fn slopes(&mut self, kernel: Activate, x: TensorId, values: TensorId) -> TensorId {
        let count = kernel.count;
        let plain = Activate {
            x_offset: 0,
            y_offset: 0,
            ..kernel
        };
        let out = self.scratch(&[count]);
        let kernel = ActivateTangent::new(plain, 1, count, count);
        self.push(kernel, &[Some(x), Some(values), Some(out)]);
        out
    }

    /// Sums pass on their adjoint, products and quotients a multiple of it.
    pub fn elementwise(&mut self, node: &Node, k: Elementwise) -> Result<(), GraphError> {
        let Some(adjoint) = self.adjoint(node, 2) else {
            return Ok(());
        };
        let shape = [k.shape_0, k.shape_1, k.shape_2, k.shape_3];
        let count = size(element_count(&shape));
        let adjoint = self.gathered(adjoint, &Region::new(k.out_offset, &[(count, 1)]));
        for index in [0, 1] {
            if self.wanted(node, index).is_none() {
                continue;
            }
            let factor = [k.alpha, k.beta][index];
            let values = match k.operation {
                Operation::ADD => self.scaled(adjoint, count, factor),
                Operation::SUBTRACT if index == 0 => self.scaled(adjoint, count, factor),
                Operation::SUBTRACT => self.scaled(adjoint, count, -factor),
                Operation::MULTIPLY => self.times_other(node, k, index, adjoint),
                _ => self.quotient(node, k, index, adjoint),
            };
            self.contribute((node, index), operand(&k, index), values)?;
        }
        Ok(())
    }

    /// `(factor y') (other factor other)`.
    fn times_other(
        &mut self,
        node: &Node,
        k: Elementwise,
        index: usize,
        adjoint: TensorId,
    ) -> TensorId {
        let factors = [k.alpha, k.beta];
        let kernel = Elementwise {
            alpha: factors[index],
            beta: factors[1 - index],
            ..over(&k, 1 - index, Operation::MULTIPLY)
        };
        let other = node.operands.get(1 - index).copied().flatten();
        let out = self.scratch(&shape(&k));
        self.push(kernel, &[Some(adjoint), other, Some(out)]);
        out
    }

    /// Of `q = alpha a / (beta b)`: `alpha y' / (beta b)` for a, `-(q y') / b` for b.
    fn quotient(
        &mut self,
        node: &Node,
        k: Elementwise,
        index: usize,
        adjoint: TensorId,
    ) -> TensorId {
        let operands = [0, 1].map(|index| node.operands.get(index).copied().flatten());
        let out = self.scratch(&shape(&k));
        if index == 0 {
            let kernel = Elementwise {
                alpha: k.alpha,
                beta: k.beta,
                ..over(&k, 1, Operation::DIVIDE)
            };
            self.push(kernel, &[Some(adjoint), operands[1], Some(out)]);
            return out;
        }
        let (value, product) = (self.scratch(&shape(&k)), self.scratch(&shape(&k)));
        let again = Elementwise { out_offset: 0, ..k };
        self.push(again, &[operands[0], operands[1], Some(value)]);
        let count = size(element_count(&shape(&k)));
        let all = Elementwise::contiguous(Operation::MULTIPLY, count);
        self.push(all, &[Some(value), Some(adjoint), Some(product)]);
        let kernel = Elementwise {
            alpha: -1.0,
            ..over(&k, 1, Operation::DIVIDE)
        };
        self.push(kernel, &[Some(product), operands[1], Some(out)]);
        out
    }
}

fn shape(k: &Elementwise) -> [u32; 4] {
    [k.shape_0, k.shape_1, k.shape_2, k.shape_3]
}

fn strides(k: &Elementwise, index: usize) -> (u32, [u32; 4]) {
    match index {
        0 => (
            k.a_offset,
            [k.a_stride_0, k.a_stride_1, k.a_stride_2, k.a_stride_3],
        ),
        _ => (
            k.b_offset,
            [k.b_stride_0, k.b_stride_1, k.b_stride_2, k.b_stride_3],
        ),
    }
}

/// What the node reads of an operand.
fn operand(k: &Elementwise, index: usize) -> Region {
    let (offset, strides) = strides(k, index);
    let dimensions: Vec<_> = shape(k).into_iter().zip(strides).collect();
    Region::new(offset, &dimensions)
}

/// An operation of contiguous numbers with an operand as the node reads it.
fn over(k: &Elementwise, index: usize, operation: Operation) -> Elementwise {
    let [_, s1, s2, s3] = shape(k);
    let rows = s3.saturating_mul(s2);
    let own = [rows.saturating_mul(s1), rows, s3, 1];
    let (offset, strides) = strides(k, index);
    Elementwise {
        b_offset: offset,
        ..Elementwise::broadcast(operation, shape(k), own, strides)
    }
}
