//! Element-wise arithmetic of two operands with broadcasting.

use crate::addressing::{Grid, distinct_count, reach, require_finite, require_positive};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// An arithmetic operation on two numbers, as a word that the shader branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct Operation(u32);

impl Operation {
    /// a + b.
    pub const ADD: Self = Self(0);
    /// a - b.
    pub const SUBTRACT: Self = Self(1);
    /// a b.
    pub const MULTIPLY: Self = Self(2);
    /// a / b.
    pub const DIVIDE: Self = Self(3);

    /// Refuses a word that names no operation.
    pub(crate) fn check(self, kernel: &'static str) -> Result<(), KernelError> {
        if self.0 <= Self::DIVIDE.0 {
            return Ok(());
        }
        Err(KernelError::parameter(kernel, "operation", "0..=3", self.0))
    }
}

/// `out = operation(alpha * a, beta * b)` over up to four dimensions.
///
/// `out` is contiguous; each operand has its own strides, 0 along a dimension that it is broadcast over.
/// With [`Operation::ADD`] and `beta = 1` it is the `axpy` of linear algebra.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Elementwise {
    /// Outermost dimension.
    pub shape_0: u32,
    /// Second dimension.
    pub shape_1: u32,
    /// Third dimension.
    pub shape_2: u32,
    /// Innermost dimension.
    pub shape_3: u32,
    /// First element of a.
    pub a_offset: u32,
    /// Elements of a between successive indices of dimension 0.
    pub a_stride_0: u32,
    /// The same for dimension 1.
    pub a_stride_1: u32,
    /// The same for dimension 2.
    pub a_stride_2: u32,
    /// The same for dimension 3.
    pub a_stride_3: u32,
    /// First element of b.
    pub b_offset: u32,
    /// Elements of b between successive indices of dimension 0.
    pub b_stride_0: u32,
    /// The same for dimension 1.
    pub b_stride_1: u32,
    /// The same for dimension 2.
    pub b_stride_2: u32,
    /// The same for dimension 3.
    pub b_stride_3: u32,
    /// First element of out.
    pub out_offset: u32,
    /// Which operation.
    pub operation: Operation,
    /// Factor on a.
    pub alpha: f32,
    /// Factor on b.
    pub beta: f32,
}

impl Elementwise {
    /// Contiguous operands of one shape, factors 1.
    pub fn contiguous(operation: Operation, count: u32) -> Self {
        Self::broadcast(
            operation,
            [1, 1, 1, count],
            [count, count, count, 1],
            [count, count, count, 1],
        )
    }

    /// Operands with given strides, factors 1.
    pub fn broadcast(
        operation: Operation,
        shape: [u32; 4],
        a_strides: [u32; 4],
        b_strides: [u32; 4],
    ) -> Self {
        let ([s0, s1, s2, s3], [a0, a1, a2, a3], [b0, b1, b2, b3]) = (shape, a_strides, b_strides);
        Self {
            shape_0: s0,
            shape_1: s1,
            shape_2: s2,
            shape_3: s3,
            a_offset: 0,
            a_stride_0: a0,
            a_stride_1: a1,
            a_stride_2: a2,
            a_stride_3: a3,
            b_offset: 0,
            b_stride_0: b0,
            b_stride_1: b1,
            b_stride_2: b2,
            b_stride_3: b3,
            out_offset: 0,
            operation,
            alpha: 1.0,
            beta: 1.0,
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
}

impl Kernel for Elementwise {
    const NAME: &'static str = "elementwise";
    const SHADER: &'static str = include_str!("../../shaders/elementwise.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("a"),
        Operand::input("b"),
        Operand::output("out"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("shape_0", self.shape_0),
                ("shape_1", self.shape_1),
                ("shape_2", self.shape_2),
                ("shape_3", self.shape_3),
            ],
        )?;
        require_finite(Self::NAME, "alpha", self.alpha)?;
        require_finite(Self::NAME, "beta", self.beta)?;
        self.operation.check(Self::NAME)
    }

    fn extents(&self) -> Vec<usize> {
        let [a, b] = self.dimensions();
        vec![
            reach(self.a_offset as usize, &a),
            reach(self.b_offset as usize, &b),
            element_count(&self.shape()).saturating_add(self.out_offset as usize),
        ]
    }

    fn cost(&self) -> Cost {
        let count = element_count(&self.shape()) as u64;
        let factors = [self.alpha, self.beta].into_iter().filter(|f| *f != 1.0);
        let [a, b] = self.dimensions();
        Cost {
            flops: count.saturating_mul(1 + factors.count() as u64),
            bytes: count
                .saturating_add(distinct_count(&a))
                .saturating_add(distinct_count(&b))
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(element_count(&self.shape()), 256),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let pair = Pair {
            a: &operands.float(0)?[self.a_offset as usize..],
            b: &operands.float(1)?[self.b_offset as usize..],
            alpha: T::from_f32(self.alpha),
            beta: T::from_f32(self.beta),
            grid: Grid::coalesced(self.shape(), self.strides()),
        };
        let start = self.out_offset as usize;
        let out = &mut operands.float_mut(2)?[start..start + element_count(&self.shape())];
        let parallel = operands.parallel;
        match self.operation {
            Operation::SUBTRACT => pair.fill(out, parallel, |a, b| a - b),
            Operation::MULTIPLY => pair.fill(out, parallel, |a, b| a * b),
            Operation::DIVIDE => pair.fill(out, parallel, |a, b| a / b),
            _ => pair.fill(out, parallel, |a, b| a + b),
        }
        Ok(())
    }
}

/// Output elements that are one piece of work.
const BLOCK: usize = 4096;

struct Pair<'a, T> {
    a: &'a [T],
    b: &'a [T],
    alpha: T,
    beta: T,
    grid: Grid<2>,
}

impl<T: Real> Pair<'_, T> {
    #[inline(always)]
    fn fill(&self, out: &mut [T], parallel: bool, operation: impl Fn(T, T) -> T + Send + Sync) {
        for_each_row(
            parallel,
            out,
            BLOCK,
            #[inline(always)]
            |block, slice| self.block(block * BLOCK, slice, &operation),
        );
    }

    /// Outputs from element `first` on, one run of the innermost dimension after the other.
    #[inline(always)]
    fn block(&self, first: usize, out: &mut [T], operation: &impl Fn(T, T) -> T) {
        let mut position = first;
        let mut rest = out;
        while !rest.is_empty() {
            let ([a, b], left) = self.grid.run_at(position);
            let (run, tail) = rest.split_at_mut(left.min(rest.len()));
            self.run(run, &self.a[a..], &self.b[b..], operation);
            position += run.len();
            rest = tail;
        }
    }

    /// One run; the common strides have loops of their own, which vectorise.
    #[inline(always)]
    fn run(&self, out: &mut [T], a: &[T], b: &[T], operation: &impl Fn(T, T) -> T) {
        let (alpha, beta) = (self.alpha, self.beta);
        match (self.grid.strides[0][3], self.grid.strides[1][3]) {
            (1, 1) => {
                for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                    *out = operation(alpha * *a, beta * *b);
                }
            }
            (1, 0) => {
                let b = beta * b[0];
                for (out, a) in out.iter_mut().zip(a) {
                    *out = operation(alpha * *a, b);
                }
            }
            (0, 1) => {
                let a = alpha * a[0];
                for (out, b) in out.iter_mut().zip(b) {
                    *out = operation(a, beta * *b);
                }
            }
            (a_step, b_step) => {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = operation(alpha * a[i * a_step], beta * b[i * b_step]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Elementwise, Operation};
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Kernel, View};

    fn apply(operation: Operation, a: f64, b: f64) -> f64 {
        match operation.0 {
            0 => a + b,
            1 => a - b,
            2 => a * b,
            _ => a / b,
        }
    }

    fn reference(k: &Elementwise, a: &[f32], b: &[f32]) -> Vec<f64> {
        let [sa, sb] = k.strides().map(|s| s.map(|v| v as usize));
        let mut out = Vec::new();
        for i in 0..k.shape_0 as usize {
            for j in 0..k.shape_1 as usize {
                for l in 0..k.shape_2 as usize {
                    for m in 0..k.shape_3 as usize {
                        let at = |s: [usize; 4]| i * s[0] + j * s[1] + l * s[2] + m * s[3];
                        let a = f64::from(a[k.a_offset as usize + at(sa)]);
                        let b = f64::from(b[k.b_offset as usize + at(sb)]);
                        let (alpha, beta) = (f64::from(k.alpha), f64::from(k.beta));
                        out.push(apply(k.operation, alpha * a, beta * b));
                    }
                }
            }
        }
        out
    }

    #[test]
    fn matches_the_formula_under_any_strides() {
        let cases = [
            ([1, 1, 1, 1], [0; 4], [0; 4]),
            ([1, 1, 1, 9001], [0, 0, 0, 1], [0, 0, 0, 1]),
            ([2, 3, 5, 7], [105, 35, 7, 1], [0, 0, 0, 1]),
            ([2, 3, 5, 7], [0, 7, 0, 1], [15, 5, 1, 0]),
            ([3, 1, 11, 4], [1, 0, 12, 3], [44, 44, 4, 1]),
            ([1, 3, 1, 2000], [0, 1, 0, 0], [0, 2000, 0, 1]),
        ];
        for (shape, a_strides, b_strides) in cases {
            for operation in (0..4).map(Operation) {
                let kernel = Elementwise {
                    a_offset: 2,
                    b_offset: 1,
                    out_offset: 3,
                    alpha: 1.5,
                    beta: -0.5,
                    ..Elementwise::broadcast(operation, shape, a_strides, b_strides)
                };
                let extents = kernel.extents();
                let a = numbers(extents[0], 1);
                let b: Vec<f32> = numbers(extents[1], 2).iter().map(|v| v + 3.0).collect();
                let mut out = vec![4.0f32; extents[2]];
                let views = vec![View::Float(&a), View::Float(&b), View::FloatMut(&mut out)];
                run(kernel, views).unwrap();
                assert_eq!(out[..3], [4.0; 3]);
                assert_close(&out[3..], &reference(&kernel, &a, &b), 3e-7, "elementwise");
            }
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good =
            Elementwise::broadcast(Operation::ADD, [1, 2, 3, 4], [0, 12, 4, 1], [0, 0, 0, 1]);
        good.check().unwrap();
        assert_eq!(
            (good.cost().flops, good.cost().bytes),
            (24, (24 + 24 + 4) * 4)
        );
        assert_refuses(Elementwise { shape_0: 0, ..good }, "shape_0");
        assert_refuses(Elementwise { shape_3: 0, ..good }, "shape_3");
        let bad = f32::NAN;
        assert_refuses(Elementwise { alpha: bad, ..good }, "alpha");
        assert_refuses(Elementwise { beta: bad, ..good }, "beta");
        assert_refuses(Elementwise::contiguous(Operation(4), 3), "operation");
        let huge = Elementwise::broadcast(Operation::ADD, [u32::MAX; 4], [u32::MAX; 4], [0; 4]);
        assert_eq!(huge.extents()[0], usize::MAX);
        assert_eq!(huge.extents()[2], usize::MAX);
    }
}
