//! Tangents of element-wise arithmetic.

use crate::addressing::{Grid, distinct_count, reach, require_finite, require_positive};
use crate::elementwise::{Elementwise, Operation};
use crate::rows::Rows;
use crate::tangents::{BLOCK, for_each_block, of_elements};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

#[cfg(test)]
mod tests;

/// The tangents of [`Elementwise`] with any operation, for each of `tangents` tangents: with
/// u = alpha a and v = beta b, `dout[j]` is `du + dv`, `du - dv`, `v du + u dv` or
/// `(du - (u / v) dv) / v`, where du = alpha da[j] and dv = beta db[j].
///
/// Operands: a and b as in the primal; da and db, laid out like them a tangent stride apart, each left
/// out, with a tangent stride of 0, where the operand is constant; dout, contiguous from `out_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct ElementwiseTangent {
    /// Outermost dimension.
    pub shape_0: u32,
    /// Second dimension.
    pub shape_1: u32,
    /// Third dimension.
    pub shape_2: u32,
    /// Innermost dimension.
    pub shape_3: u32,
    /// First element of a, and of each tangent of it.
    pub a_offset: u32,
    /// Elements of a between successive indices of dimension 0.
    pub a_stride_0: u32,
    /// The same for dimension 1.
    pub a_stride_1: u32,
    /// The same for dimension 2.
    pub a_stride_2: u32,
    /// The same for dimension 3.
    pub a_stride_3: u32,
    /// First element of b, and of each tangent of it.
    pub b_offset: u32,
    /// Elements of b between successive indices of dimension 0.
    pub b_stride_0: u32,
    /// The same for dimension 1.
    pub b_stride_1: u32,
    /// The same for dimension 2.
    pub b_stride_2: u32,
    /// The same for dimension 3.
    pub b_stride_3: u32,
    /// First element of each tangent of out.
    pub out_offset: u32,
    /// Which operation.
    pub operation: Operation,
    /// Factor on a.
    pub alpha: f32,
    /// Factor on b.
    pub beta: f32,
    /// Tangents.
    pub tangents: u32,
    /// Elements between tangents of a; 0 where a is constant.
    pub a_tangent_stride: u32,
    /// Elements between tangents of b; 0 where b is constant.
    pub b_tangent_stride: u32,
    /// Elements between tangents of out.
    pub out_tangent_stride: u32,
}

/// First element, (count, stride) dimensions, elements between tangents.
type Input = (usize, [(u32, u32); 4], u32);

impl ElementwiseTangent {
    /// The tangents of `primal`, those of a, b and out as far apart as told, in elements; 0 where a or b
    /// is constant.
    pub fn new(
        primal: Elementwise,
        tangents: u32,
        a_tangent_stride: u32,
        b_tangent_stride: u32,
        out_tangent_stride: u32,
    ) -> Self {
        Self {
            shape_0: primal.shape_0,
            shape_1: primal.shape_1,
            shape_2: primal.shape_2,
            shape_3: primal.shape_3,
            a_offset: primal.a_offset,
            a_stride_0: primal.a_stride_0,
            a_stride_1: primal.a_stride_1,
            a_stride_2: primal.a_stride_2,
            a_stride_3: primal.a_stride_3,
            b_offset: primal.b_offset,
            b_stride_0: primal.b_stride_0,
            b_stride_1: primal.b_stride_1,
            b_stride_2: primal.b_stride_2,
            b_stride_3: primal.b_stride_3,
            out_offset: primal.out_offset,
            operation: primal.operation,
            alpha: primal.alpha,
            beta: primal.beta,
            tangents,
            a_tangent_stride,
            b_tangent_stride,
            out_tangent_stride,
        }
    }

    fn shape(&self) -> [u32; 4] {
        [self.shape_0, self.shape_1, self.shape_2, self.shape_3]
    }

    fn strides(&self) -> [[u32; 4]; 2] {
        [
            [
                self.a_stride_0,
                self.a_stride_1,
                self.a_stride_2,
                self.a_stride_3,
            ],
            [
                self.b_stride_0,
                self.b_stride_1,
                self.b_stride_2,
                self.b_stride_3,
            ],
        ]
    }

    /// (count, stride) dimensions of a and of b.
    fn dimensions(&self) -> [[(u32, u32); 4]; 2] {
        let shape = self.shape();
        self.strides()
            .map(|strides| std::array::from_fn(|d| (shape[d], strides[d])))
    }

    /// (offset, dimensions, tangent stride) of a and of b.
    fn inputs(&self) -> [Input; 2] {
        let [a, b] = self.dimensions();
        [
            (self.a_offset as usize, a, self.a_tangent_stride),
            (self.b_offset as usize, b, self.b_tangent_stride),
        ]
    }

    /// The tangents of out, each element a row; [`ElementwiseTangent::check`] sees to it that they are
    /// fewer than 2^32.
    fn dout(&self) -> Rows {
        let count = u32::try_from(element_count(&self.shape())).unwrap_or(u32::MAX);
        let tangents = [self.tangents, self.out_tangent_stride];
        of_elements(count, self.out_offset, tangents)
    }
}

impl Kernel for ElementwiseTangent {
    const NAME: &'static str = "elementwise_tangent";
    const SHADER: &'static str = include_str!("../../shaders/elementwise_tangent.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("a"),
        Operand::input("b"),
        Operand::input("da").optional(),
        Operand::input("db").optional(),
        Operand::output("dout"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("shape_0", self.shape_0),
                ("shape_1", self.shape_1),
                ("shape_2", self.shape_2),
                ("shape_3", self.shape_3),
                ("tangents", self.tangents),
            ],
        )?;
        if element_count(&self.shape()) > u32::MAX as usize {
            let expected = "at most 2^32 - 1 elements in all";
            let found = self.shape_3;
            return Err(KernelError::parameter(
                Self::NAME,
                "shape_3",
                expected,
                found,
            ));
        }
        require_finite(Self::NAME, "alpha", self.alpha)?;
        require_finite(Self::NAME, "beta", self.beta)?;
        self.operation.check(Self::NAME)?;
        if self.a_tangent_stride == 0 && self.b_tangent_stride == 0 {
            return Err(KernelError::parameter(
                Self::NAME,
                "b_tangent_stride",
                "at least 1 where a is constant",
                0,
            ));
        }
        self.dout()
            .check(Self::NAME, ("out_offset", "out_tangent_stride"))
    }

    fn extents(&self) -> Vec<usize> {
        let inputs = self.inputs();
        let primal = inputs.map(|(offset, dimensions, _)| reach(offset, &dimensions));
        let tangent = inputs.map(|(offset, [d0, d1, d2, d3], stride)| match stride {
            0 => 0,
            _ => reach(offset, &[d0, d1, d2, d3, (self.tangents, stride)]),
        });
        let mut extents = [primal, tangent].concat();
        extents.push(self.dout().reach());
        extents
    }

    fn cost(&self) -> Cost {
        let count = element_count(&self.shape()) as u64;
        let tangents = u64::from(self.tangents);
        let read = self.inputs().map(|(_, dimensions, stride)| {
            let copies = if stride == 0 { 1 } else { 1 + tangents };
            distinct_count(&dimensions).saturating_mul(copies)
        });
        Cost {
            flops: count.saturating_mul(6 + 3 * tangents),
            bytes: count
                .saturating_mul(tangents)
                .saturating_add(read[0])
                .saturating_add(read[1])
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(element_count(&self.shape()), 256),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.tangents) + 1
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let primal = [operands.float(0)?, operands.float(1)?];
        let tangent = [operands.float_or_empty(2)?, operands.float_or_empty(3)?];
        let dout = operands.float_mut(4)?;
        let offsets = self.inputs().map(|(offset, ..)| offset);
        let tangent_strides = self.inputs().map(|(.., stride)| stride as usize);
        let grid = Grid::coalesced(self.shape(), self.strides());
        for_each_block(
            &self.dout(),
            (operands.parallel, 1),
            dout,
            #[inline(always)]
            |block, pieces| {
                let mut slopes = [[T::ZERO; BLOCK]; 2];
                let mut position = block.start;
                while position < block.end {
                    let (starts, left) = grid.run_at(position);
                    let length = left.min(BLOCK).min(block.end - position);
                    let sources = [0, 1].map(|n| Source {
                        primal: primal[n],
                        tangent: tangent[n],
                        start: offsets[n] + starts[n],
                        step: grid.strides[n][3],
                        tangent_stride: tangent_strides[n],
                    });
                    self.slopes(&sources, length, &mut slopes);
                    for (j, piece) in pieces.iter_mut().enumerate() {
                        let out = &mut piece[position - block.start..][..length];
                        out.fill(T::ZERO);
                        for (source, slopes) in sources.iter().zip(&slopes) {
                            source.add(j, slopes, out);
                        }
                    }
                    position += length;
                }
            },
        );
        Ok(())
    }
}

/// One operand along a run of outputs.
struct Source<'a, T> {
    primal: &'a [T],
    tangent: &'a [T],
    start: usize,
    step: usize,
    tangent_stride: usize,
}

impl<T: Real> Source<'_, T> {
    #[inline(always)]
    fn load(&self, out: &mut [T]) {
        let data = &self.primal[self.start..];
        match self.step {
            0 => out.fill(data[0]),
            1 => out.copy_from_slice(&data[..out.len()]),
            step => {
                let strided = data.iter().step_by(step);
                out.iter_mut().zip(strided).for_each(|(out, v)| *out = *v);
            }
        }
    }

    /// Adds slope times tangent `j`, unless the operand is constant.
    #[inline(always)]
    fn add(&self, j: usize, slopes: &[T], out: &mut [T]) {
        if self.tangent_stride == 0 {
            return;
        }
        let data = &self.tangent[j * self.tangent_stride + self.start..];
        let out = out.iter_mut().zip(slopes);
        match self.step {
            0 => out.for_each(|(out, slope)| *out = slope.mul_add(data[0], *out)),
            1 => out
                .zip(data)
                .for_each(|((out, slope), v)| *out = slope.mul_add(*v, *out)),
            step => out
                .zip(data.iter().step_by(step))
                .for_each(|((out, slope), v)| *out = slope.mul_add(*v, *out)),
        }
    }
}

impl ElementwiseTangent {
    /// Partial derivatives by a and by b.
    #[inline(always)]
    fn slopes<T: Real>(
        &self,
        [a, b]: &[Source<'_, T>; 2],
        length: usize,
        slopes: &mut [[T; BLOCK]; 2],
    ) {
        let (alpha, beta) = (T::from_f32(self.alpha), T::from_f32(self.beta));
        let [by_a, by_b] = slopes;
        let (by_a, by_b) = (&mut by_a[..length], &mut by_b[..length]);
        match self.operation {
            Operation::MULTIPLY => {
                a.load(by_b);
                b.load(by_a);
                let factor = alpha * beta;
                by_a.iter_mut().for_each(|b| *b *= factor);
                by_b.iter_mut().for_each(|a| *a *= factor);
            }
            Operation::DIVIDE => {
                a.load(by_b);
                b.load(by_a);
                for (by_a, by_b) in by_a.iter_mut().zip(by_b) {
                    let divisor = beta * *by_a;
                    let quotient = alpha * *by_b / divisor;
                    *by_b = -(quotient / divisor * beta);
                    *by_a = alpha / divisor;
                }
            }
            operation => {
                by_a.fill(alpha);
                by_b.fill(if operation == Operation::SUBTRACT {
                    -beta
                } else {
                    beta
                });
            }
        }
    }
}
