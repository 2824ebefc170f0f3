//! Adjoints of the matrix product and its epilogue.

use super::emitter::Emitter;
use crate::graph::layers::size;
use crate::graph::region::Region;
use crate::graph::{GraphError, Node, TensorId};
use attractor_kernels::activation::Activate;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::matmul::MatMul;
use attractor_kernels::{Activation, element_count};

// Positions of the operands.
const A: usize = 0;
const B: usize = 1;
const BIAS: usize = 2;
const RESIDUAL: usize = 3;
const GATE: usize = 4;
const OUTPUT: usize = 5;

impl Emitter {
    /// With `D` the adjoint of the bare product, `scale` times: `A' = D B^T`, `B' = A^T D`; of the bias the
    /// sum over rows; of the residual the adjoint of the output itself.
    ///
    /// # Errors
    /// [`GraphError::Adjoint`] for a gate that has an adjoint.
    pub fn matmul(&mut self, node: &Node, k: MatMul) -> Result<(), GraphError> {
        let Some(adjoint) = self.adjoint(node, OUTPUT) else {
            return Ok(());
        };
        let out = view(k.c_offset, &k, [k.c_batch_stride, k.c_row_stride, 1]);
        let mut adjoint = self.gathered(adjoint, &out);
        if k.has(MatMul::RESIDUAL) {
            let strides = [k.residual_batch_stride, k.residual_row_stride, 1];
            let region = view(k.residual_offset, &k, strides);
            self.contribute((node, RESIDUAL), region, adjoint)?;
        }
        if k.has(MatMul::GATE) {
            if self.wanted(node, GATE).is_some() {
                let expected = "a gate without an adjoint, or an element-wise product after it";
                return Err(self.refuse(node, GATE, expected, "a gate with one"));
            }
            adjoint = self.gated(node, &k, adjoint);
        }
        if k.activation != Activation::IDENTITY {
            adjoint = self.before_activation(node, &k, adjoint);
        }
        if k.has(MatMul::BIAS) {
            self.contribute((node, BIAS), view(0, &k, [0, 0, 1]), adjoint)?;
        }
        self.left(node, &k, adjoint)?;
        self.right(node, &k, adjoint)
    }

    fn gated(&mut self, node: &Node, k: &MatMul, adjoint: TensorId) -> TensorId {
        let (shape, matrix) = ([1, k.batch, k.m, k.n], k.m.saturating_mul(k.n));
        let gate = [0, k.gate_batch_stride, 0, k.gate_column_stride];
        let own = [0, matrix, k.n, 1];
        let out = self.scratch(&shape);
        let kernel = Elementwise::broadcast(Operation::MULTIPLY, shape, own, gate);
        let gate = node.operands.get(GATE).copied().flatten();
        self.push(kernel, &[Some(adjoint), gate, Some(out)]);
        out
    }

    /// Takes the activation off: the product with its bias is made once more.
    fn before_activation(&mut self, node: &Node, k: &MatMul, adjoint: TensorId) -> TensorId {
        let plain = MatMul {
            c_offset: 0,
            c_batch_stride: k.m.saturating_mul(k.n),
            c_row_stride: k.n,
            activation: Activation::IDENTITY,
            flags: k.flags & MatMul::BIAS,
            ..*k
        };
        let operand = |index: usize| node.operands.get(index).copied().flatten();
        let value = self.scratch(&[k.batch, k.m, k.n]);
        let bias = operand(BIAS).filter(|_| k.has(MatMul::BIAS));
        let operands = [operand(A), operand(B), bias, None, None, Some(value)];
        self.push(plain, &operands);
        let count = size(element_count(&[k.batch, k.m, k.n]));
        self.slopes(Activate::of(k.activation, count), value, adjoint)
    }

    /// `A' = scale D B^T`.
    fn left(&mut self, node: &Node, k: &MatMul, adjoint: TensorId) -> Result<(), GraphError> {
        if self.wanted(node, A).is_none() {
            return Ok(());
        }
        let kernel = MatMul {
            scale: k.scale,
            b_offset: k.b_offset,
            b_batch_stride: k.b_batch_stride,
            b_row_stride: k.b_column_stride,
            b_column_stride: k.b_row_stride,
            ..MatMul::batched(k.batch, k.m, k.n, k.k, (false, false))
        };
        let b = node.operands.get(B).copied().flatten();
        let out = self.scratch(&[k.batch, k.m, k.k]);
        self.push(kernel, &[Some(adjoint), b, None, None, None, Some(out)]);
        let dimensions = [
            (k.batch, k.a_batch_stride),
            (k.m, k.a_row_stride),
            (k.k, k.a_column_stride),
        ];
        self.contribute((node, A), Region::new(k.a_offset, &dimensions), out)
    }

    /// `B' = scale A^T D`, or its transpose where B is stored so, as the weights of a linear layer are. Where
    /// the batch shares B and its rows are evenly spaced, one product sums over all of them.
    fn right(&mut self, node: &Node, k: &MatMul, adjoint: TensorId) -> Result<(), GraphError> {
        if self.wanted(node, B).is_none() {
            return Ok(());
        }
        let a = node.operands.get(A).copied().flatten();
        let tall = k.batch.checked_mul(k.m).filter(|_| {
            k.b_batch_stride == 0 && k.a_row_stride.checked_mul(k.m) == Some(k.a_batch_stride)
        });
        let (batch, rows) = tall.map_or((k.batch, k.m), |rows| (1, rows));
        let transposed = k.b_row_stride < k.b_column_stride;
        let (kernel, shape, strides) = if transposed {
            let kernel = MatMul {
                b_offset: k.a_offset,
                b_batch_stride: k.a_batch_stride,
                b_row_stride: k.a_row_stride,
                b_column_stride: k.a_column_stride,
                ..MatMul::batched(batch, k.n, rows, k.k, (true, false))
            };
            (
                kernel,
                [batch, k.n, k.k],
                [k.b_column_stride, k.b_row_stride],
            )
        } else {
            let kernel = MatMul {
                a_offset: k.a_offset,
                a_batch_stride: k.a_batch_stride,
                a_row_stride: k.a_column_stride,
                a_column_stride: k.a_row_stride,
                ..MatMul::batched(batch, k.k, rows, k.n, (false, false))
            };
            (
                kernel,
                [batch, k.k, k.n],
                [k.b_row_stride, k.b_column_stride],
            )
        };
        let out = self.scratch(&shape);
        let kernel = MatMul {
            scale: k.scale,
            ..kernel
        };
        let (left, right) = if transposed {
            (Some(adjoint), a)
        } else {
            (a, Some(adjoint))
        };
        self.push(kernel, &[left, right, None, None, None, Some(out)]);
        let [batch, rows, columns] = shape;
        let dimensions = [
            (batch, k.b_batch_stride),
            (rows, strides[0]),
            (columns, strides[1]),
        ];
        self.contribute((node, B), Region::new(k.b_offset, &dimensions), out)
    }
}

/// What the product has of an operand of its output's shape.
fn view(offset: u32, k: &MatMul, [batch, row, column]: [u32; 3]) -> Region {
    Region::new(offset, &[(k.batch, batch), (k.m, row), (k.n, column)])
}
