//! Tangents of element-wise arithmetic and of copies.

use super::emitter::{Emitter, Stepped};
use super::strides::{Dimension, four, split};
use crate::graph::{GraphError, Node};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::element_count;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::elementwise_tangent::ElementwiseTangent;

fn shape(k: &Elementwise) -> [u32; 4] {
    [k.shape_0, k.shape_1, k.shape_2, k.shape_3]
}

fn a_strides(k: &Elementwise) -> [u32; 4] {
    [k.a_stride_0, k.a_stride_1, k.a_stride_2, k.a_stride_3]
}

fn b_strides(k: &Elementwise) -> [u32; 4] {
    [k.b_stride_0, k.b_stride_1, k.b_stride_2, k.b_stride_3]
}

impl Emitter<'_> {
    /// The rules of sum, difference, product and quotient. What is linear in what moves is the same
    /// operation with the tangents as outermost dimension, if strides allow; the rest has a kernel.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for a node without operands.
    pub fn elementwise(&mut self, node: &Node, kernel: Elementwise) -> Result<(), GraphError> {
        let (a, b) = (self.values(node, 0)?, self.values(node, 1)?);
        let (da, db) = (self.stepped(node, 0), self.stepped(node, 1));
        let out = self.target(node, 2)?;
        let done = match (kernel.operation, da, db) {
            (Operation::ADD | Operation::SUBTRACT, Some(da), Some(db)) => {
                self.pair(kernel, da, db, out)
            }
            (Operation::ADD | Operation::SUBTRACT, Some(da), None) => {
                let side = (kernel.a_offset, a_strides(&kernel));
                self.scaled(&kernel, side, kernel.alpha, da, out)
            }
            (Operation::ADD, None, Some(db)) => {
                let side = (kernel.b_offset, b_strides(&kernel));
                self.scaled(&kernel, side, kernel.beta, db, out)
            }
            (Operation::SUBTRACT, None, Some(db)) => {
                let side = (kernel.b_offset, b_strides(&kernel));
                self.scaled(&kernel, side, -kernel.beta, db, out)
            }
            (Operation::MULTIPLY | Operation::DIVIDE, Some(da), None) => {
                self.pair(kernel, da, b, out)
            }
            (Operation::MULTIPLY, None, Some(db)) => self.pair(kernel, a, db, out),
            _ => false,
        };
        if !done {
            let step = |side: Option<Stepped>| side.map_or(0, |side| side.step);
            let all = ElementwiseTangent::new(kernel, self.count, step(da), step(db), out.step);
            let [a, b, out] = [a, b, out].map(|operand| Some(operand.tensor));
            let moved = [da, db].map(|side| side.map(|side| side.tensor));
            self.push(all, &[a, b, moved[0], moved[1], out]);
        }
        Ok(())
    }

    /// `operation(alpha a, beta b)` for all tangents in one node; whether that could be, which needs
    /// outputs without gaps and not too many dimensions.
    fn pair(&mut self, kernel: Elementwise, a: Stepped, b: Stepped, out: Stepped) -> bool {
        let shape = shape(&kernel);
        let whole = element_count(&shape) == out.step as usize && kernel.out_offset == 0;
        let (a_strides, b_strides) = (a_strides(&kernel), b_strides(&kernel));
        let own: [Dimension<2>; 4] =
            std::array::from_fn(|d| (shape[d], [a_strides[d], b_strides[d]]));
        let Some(all) = four((self.count, [a.step, b.step]), &own).filter(|_| whole) else {
            return false;
        };
        let (shape, [a_strides, b_strides]) = split(all);
        let all = Elementwise {
            a_offset: kernel.a_offset,
            b_offset: kernel.b_offset,
            alpha: kernel.alpha,
            beta: kernel.beta,
            ..Elementwise::broadcast(kernel.operation, shape, a_strides, b_strides)
        };
        self.push(all, &[Some(a.tensor), Some(b.tensor), Some(out.tensor)]);
        true
    }

    /// `out = factor * x`, laid out as one operand of `kernel`: its offset and strides. Whether that
    /// could be as in [`Emitter::pair`].
    fn scaled(
        &mut self,
        kernel: &Elementwise,
        (offset, strides): (u32, [u32; 4]),
        factor: f32,
        x: Stepped,
        out: Stepped,
    ) -> bool {
        let shape = shape(kernel);
        if factor == 1.0 {
            let within = |d: usize| {
                shape
                    .iter()
                    .skip(d + 1)
                    .fold(1u32, |n, s| n.saturating_mul(*s))
            };
            let own: [Dimension<2>; 4] =
                std::array::from_fn(|d| (shape[d], [strides[d], within(d)]));
            let placed = CopyFloats {
                src_offset: offset,
                dst_offset: kernel.out_offset,
                ..CopyFloats::contiguous(1)
            };
            self.copy(placed, &own, x, out);
            return true;
        }
        // Halves of the factor are exact, and infinities stay what they are.
        let half = factor * 0.5;
        let doubled = Elementwise {
            a_offset: offset,
            b_offset: offset,
            out_offset: kernel.out_offset,
            alpha: half,
            beta: half,
            ..Elementwise::broadcast(Operation::ADD, shape, strides, strides)
        };
        self.pair(doubled, x, x, out)
    }

    /// The rule of a strided copy: the same copy.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for a copy without an output.
    pub fn copied(&mut self, node: &Node, kernel: CopyFloats) -> Result<(), GraphError> {
        let dst = self.target(node, 1)?;
        let Some(src) = self.stepped(node, 0) else {
            return Ok(());
        };
        let dimensions = [
            (kernel.shape_0, [kernel.src_stride_0, kernel.dst_stride_0]),
            (kernel.shape_1, [kernel.src_stride_1, kernel.dst_stride_1]),
            (kernel.shape_2, [kernel.src_stride_2, kernel.dst_stride_2]),
            (kernel.shape_3, [kernel.src_stride_3, kernel.dst_stride_3]),
        ];
        self.copy(kernel, &dimensions, src, dst);
        Ok(())
    }
}
