//! Tangents of the matrix product and its epilogue.

use super::emitter::{Emitter, Stepped};
use super::rules::Chain;
use crate::graph::layers::size;
use crate::graph::{GraphError, Node, TensorId};
use attractor_kernels::activation::Activate;
use attractor_kernels::copy::CopyFloats;
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

/// One product per tangent: what it reads and writes.
#[derive(Debug, Clone, Copy)]
struct Term {
    kernel: MatMul,
    a: Stepped,
    b: Stepped,
    residual: Option<Stepped>,
    gate: Option<TensorId>,
    out: Stepped,
}

/// Offset, and elements between matrices and between rows.
type Layout = [u32; 3];

fn residual_layout(k: &MatMul) -> Layout {
    [
        k.residual_offset,
        k.residual_batch_stride,
        k.residual_row_stride,
    ]
}

fn output_layout(k: &MatMul) -> Layout {
    [k.c_offset, k.c_batch_stride, k.c_row_stride]
}

impl Term {
    /// The same with a residual, if there is one.
    fn with_residual(self, layout: Layout, residual: Option<Stepped>) -> Self {
        if residual.is_none() {
            return self;
        }
        let [residual_offset, residual_batch_stride, residual_row_stride] = layout;
        let kernel = MatMul {
            residual_offset,
            residual_batch_stride,
            residual_row_stride,
            flags: self.kernel.flags | MatMul::RESIDUAL,
            ..self.kernel
        };
        Self {
            kernel,
            residual,
            ..self
        }
    }

    /// Elements between tangents of the residual.
    fn residual_step(&self) -> u32 {
        self.residual.map_or(0, |residual| residual.step)
    }

    /// Whether (count, stride) of each operand, a, b, residual, out, fill its tangents without gaps.
    fn fills(&self, count: u32, [a, b, residual, out]: [u32; 4]) -> bool {
        let even = |stride: u32, step: u32| stride.checked_mul(count) == Some(step);
        even(a, self.a.step)
            && even(b, self.b.step)
            && even(out, self.out.step)
            && (self.residual.is_none() || even(residual, self.residual_step()))
    }

    /// The product over `tangents` times the batch, if strides allow; as one tall matrix if they can.
    fn merged(&self, tangents: u32) -> Option<MatMul> {
        let k = one_matrix(self.kernel);
        let rows = [k.a_row_stride, 0, k.residual_row_stride, k.c_row_stride];
        if k.batch == 1 && self.fills(k.m, rows) {
            return Some(MatMul {
                m: k.m.checked_mul(tangents)?,
                ..k
            });
        }
        if k.batch == 1 {
            return Some(MatMul {
                batch: tangents,
                a_batch_stride: self.a.step,
                b_batch_stride: self.b.step,
                c_batch_stride: self.out.step,
                residual_batch_stride: self.residual_step(),
                gate_batch_stride: 0,
                ..k
            });
        }
        let batches = [
            k.a_batch_stride,
            k.b_batch_stride,
            k.residual_batch_stride,
            k.c_batch_stride,
        ];
        let shared_gate = !k.has(MatMul::GATE) || k.gate_batch_stride == 0;
        if shared_gate && self.fills(k.batch, batches) {
            return Some(MatMul {
                batch: k.batch.checked_mul(tangents)?,
                ..k
            });
        }
        None
    }
}

/// Matrices that share B and the gate, and whose rows are evenly spaced, as one.
fn one_matrix(k: MatMul) -> MatMul {
    let even =
        |batch_stride: u32, row_stride: u32| row_stride.checked_mul(k.m) == Some(batch_stride);
    let joins = k.b_batch_stride == 0
        && even(k.a_batch_stride, k.a_row_stride)
        && even(k.c_batch_stride, k.c_row_stride)
        && (!k.has(MatMul::RESIDUAL) || even(k.residual_batch_stride, k.residual_row_stride))
        && (!k.has(MatMul::GATE) || k.gate_batch_stride == 0);
    match k.batch.checked_mul(k.m) {
        Some(m) if joins => MatMul { batch: 1, m, ..k },
        _ => k,
    }
}

impl Emitter<'_> {
    /// `dC = dresidual + gate * scale * (dA B + A dB)`; an activation, or a gate or bias with tangents, is
    /// taken apart first.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] where a result on the way has too many elements.
    pub fn matmul(&mut self, node: &Node, kernel: MatMul) -> Result<(), GraphError> {
        let out = self.target(node, OUTPUT)?;
        let (da, db) = (self.stepped(node, A), self.stepped(node, B));
        let flagged = |flag, operand| self.stepped(node, operand).filter(|_| kernel.has(flag));
        let bias = flagged(MatMul::BIAS, BIAS);
        let gate = flagged(MatMul::GATE, GATE);
        let residual = flagged(MatMul::RESIDUAL, RESIDUAL);
        let inner = da.is_some() || db.is_some() || bias.is_some();
        if gate.is_some() || bias.is_some() || (inner && kernel.activation != Activation::IDENTITY)
        {
            return self.taken_apart(node, kernel, bias.is_some());
        }
        let term = Term {
            kernel: MatMul {
                flags: kernel.flags & MatMul::GATE,
                ..kernel
            },
            a: self.values(node, A)?,
            b: self.values(node, B)?,
            residual: None,
            gate: node.operands.get(GATE).copied().flatten(),
            out,
        };
        match (da, db) {
            (Some(a), Some(b)) => {
                // The first product has the layout of the output, so that it can be the second's residual.
                let first = self.scratch_tangents(out.step as usize)?;
                let left = Term {
                    a,
                    out: first,
                    ..term
                };
                self.product(left.with_residual(residual_layout(&kernel), residual));
                let right = Term { b, ..term };
                self.product(right.with_residual(output_layout(&kernel), Some(first)));
            }
            (Some(a), None) => {
                self.product(Term { a, ..term }.with_residual(residual_layout(&kernel), residual));
            }
            (None, Some(b)) => {
                self.product(Term { b, ..term }.with_residual(residual_layout(&kernel), residual));
            }
            (None, None) => match residual {
                Some(residual) => self.carry_residual(&kernel, residual, out),
                None => self.clear_output(node, OUTPUT),
            },
        }
        Ok(())
    }

    fn carry_residual(&mut self, k: &MatMul, residual: Stepped, out: Stepped) {
        let placed = CopyFloats {
            src_offset: k.residual_offset,
            dst_offset: k.c_offset,
            ..CopyFloats::contiguous(1)
        };
        let dimensions = [
            (k.batch, [k.residual_batch_stride, k.c_batch_stride]),
            (k.m, [k.residual_row_stride, k.c_row_stride]),
            (k.n, [1, 1]),
        ];
        self.copy(placed, &dimensions, residual, out);
    }

    fn product(&mut self, term: Term) {
        let operands = [
            Some(term.a.tensor),
            Some(term.b.tensor),
            None,
            term.residual.map(|residual| residual.tensor),
            term.gate.filter(|_| term.kernel.has(MatMul::GATE)),
            Some(term.out.tensor),
        ];
        if let Some(kernel) = term.merged(self.count) {
            self.push(kernel, &operands);
            return;
        }
        let k = term.kernel;
        for j in 0..self.count {
            let [a, b, out] = Self::nth(j, [term.a, term.b, term.out]);
            let residual = term.residual_step().saturating_mul(j);
            let one = MatMul {
                a_offset: k.a_offset.saturating_add(a),
                b_offset: k.b_offset.saturating_add(b),
                c_offset: k.c_offset.saturating_add(out),
                residual_offset: k.residual_offset.saturating_add(residual),
                ..k
            };
            self.push(one, &operands);
        }
    }

    /// Product, bias, activation, gate and residual one after the other.
    fn taken_apart(&mut self, node: &Node, k: MatMul, apart_bias: bool) -> Result<(), GraphError> {
        let own = self.graph.tensors().len();
        let shape = [k.batch as usize, k.m as usize, k.n as usize];
        let count = size(element_count(&[k.batch, k.m, k.n]));
        let matrix = k.m.saturating_mul(k.n);
        let operand = |index: usize| node.operands.get(index).copied().flatten();
        let mut chain = Chain::new(node, self.scratch(&shape));
        let kept_bias = if apart_bias { 0 } else { MatMul::BIAS };
        let plain = MatMul {
            c_offset: 0,
            c_batch_stride: matrix,
            c_row_stride: k.n,
            activation: Activation::IDENTITY,
            flags: k.flags & kept_bias,
            ..k
        };
        let bias = operand(BIAS);
        let (a, b) = (operand(A), operand(B));
        chain.link(
            "product",
            plain,
            &[a, b, bias.filter(|_| !apart_bias), None, None],
        );
        let over = |operation, strides| {
            let rows = [0, matrix, k.n, 1];
            Elementwise::broadcast(operation, [1, k.batch, k.m, k.n], rows, strides)
        };
        if apart_bias {
            let added = over(Operation::ADD, [0, 0, 0, 1]);
            chain.follow("bias", added, &[bias], self.scratch(&shape));
        }
        if k.activation != Activation::IDENTITY {
            let activate = Activate::of(k.activation, count);
            chain.follow("activation", activate, &[], self.scratch(&shape));
        }
        if k.has(MatMul::GATE) {
            let strides = [0, k.gate_batch_stride, 0, k.gate_column_stride];
            let gated = over(Operation::MULTIPLY, strides);
            chain.follow("gate", gated, &[operand(GATE)], self.scratch(&shape));
        }
        if k.has(MatMul::RESIDUAL) {
            let strides = [0, k.residual_batch_stride, k.residual_row_stride, 1];
            let added = Elementwise {
                b_offset: k.residual_offset,
                ..over(Operation::ADD, strides)
            };
            chain.follow(
                "residual",
                added,
                &[operand(RESIDUAL)],
                self.scratch(&shape),
            );
        }
        let to = [0, k.c_batch_stride, k.c_row_stride, 1];
        let placed = CopyFloats {
            dst_offset: k.c_offset,
            ..CopyFloats::strided([1, k.batch, k.m, k.n], [0, matrix, k.n, 1], to)
        };
        chain.finish("output", placed, &[]);
        self.differentiate_chain(own, &chain.links)
    }
}
