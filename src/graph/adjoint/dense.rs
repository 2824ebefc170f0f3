//! Adjoints of copies and of sums.

use super::emitter::Emitter;
use crate::graph::region::Region;
use crate::graph::{GraphError, Node};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::reduce::{Reduce, Reduction};

impl Emitter {
    /// A copy goes back the way it came.
    pub fn copied(&mut self, node: &Node, k: CopyFloats) -> Result<(), GraphError> {
        let Some(adjoint) = self.adjoint(node, 1) else {
            return Ok(());
        };
        let shape = [k.shape_0, k.shape_1, k.shape_2, k.shape_3];
        let from = [
            k.src_stride_0,
            k.src_stride_1,
            k.src_stride_2,
            k.src_stride_3,
        ];
        let to = [
            k.dst_stride_0,
            k.dst_stride_1,
            k.dst_stride_2,
            k.dst_stride_3,
        ];
        let region = |offset, strides: [u32; 4]| {
            let dimensions: Vec<_> = shape.into_iter().zip(strides).collect();
            Region::new(offset, &dimensions)
        };
        let values = self.gathered(adjoint, &region(k.dst_offset, to));
        self.contribute((node, 0), region(k.src_offset, from), values)
    }

    /// A sum gives its adjoint to all its terms, a mean a share of it.
    pub fn reduce(&mut self, node: &Node, k: Reduce) -> Result<(), GraphError> {
        let Some(adjoint) = self.adjoint(node, 1) else {
            return Ok(());
        };
        let divisor = match k.operation {
            Reduction::SUM => 1.0,
            Reduction::MEAN => k.length as f32,
            _ => return Err(self.refuse(node, 0, "a sum or a mean", "an extreme")),
        };
        let (one, out) = (self.one(), self.scratch(&[k.outer, k.length, k.inner]));
        let shape = [1, k.outer, k.length, k.inner];
        let kernel = Elementwise {
            a_offset: k.y_offset,
            beta: divisor,
            ..Elementwise::broadcast(Operation::DIVIDE, shape, [0, k.inner, 0, 1], [0; 4])
        };
        self.push(kernel, &[Some(adjoint), Some(one), Some(out)]);
        let matrix = k.length.saturating_mul(k.inner);
        let dimensions = [(k.outer, matrix), (k.length, k.inner), (k.inner, 1)];
        self.contribute((node, 0), Region::new(k.x_offset, &dimensions), out)
    }
}
