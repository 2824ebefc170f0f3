//! Tangents of extremes along one dimension.

use crate::addressing::{reach, require_positive};
use crate::reduce::{ENTRY_POINTS, Reduce, Reduction, iterations, launch};
use crate::rows::Rows;
use crate::tangents::{for_each_block, of_elements};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// The tangents of [`Reduce`] with [`Reduction::MAX`] or [`Reduction::MIN`]: each of `tangents` tangents
/// gets the tangent of the element that is the extreme, the one of lowest index among equal ones. NaN
/// where the extreme is not finite. Sums and means are linear: their tangents are sums and means.
///
/// Operands: x `[outer, length, inner]`, dx `[tangents, outer, length, inner]` and dy
/// `[tangents, outer, inner]`, tangents a stride apart and each contiguous from its primal's offset.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct ReduceTangent {
    /// Outer dimension.
    pub outer: u32,
    /// Reduced dimension.
    pub length: u32,
    /// Inner dimension.
    pub inner: u32,
    /// First element of x, and of each tangent of it.
    pub x_offset: u32,
    /// First element of each tangent of y.
    pub y_offset: u32,
    /// Which extreme.
    pub operation: Reduction,
    /// Tangents.
    pub tangents: u32,
    /// Elements between tangents of x.
    pub x_tangent_stride: u32,
    /// Elements between tangents of y.
    pub y_tangent_stride: u32,
}

impl ReduceTangent {
    /// The tangents of `primal`, those of x and y as far apart as told, in elements.
    pub fn new(
        primal: Reduce,
        tangents: u32,
        x_tangent_stride: u32,
        y_tangent_stride: u32,
    ) -> Self {
        Self {
            outer: primal.outer,
            length: primal.length,
            inner: primal.inner,
            x_offset: primal.x_offset,
            y_offset: primal.y_offset,
            operation: primal.operation,
            tangents,
            x_tangent_stride,
            y_tangent_stride,
        }
    }

    fn shape(&self) -> [u32; 3] {
        [self.outer, self.length, self.inner]
    }

    fn outputs(&self) -> usize {
        element_count(&[self.outer, self.inner])
    }

    /// The tangents of y, each element a row; [`ReduceTangent::check`] sees to it that they are fewer
    /// than 2^32.
    fn dy(&self) -> Rows {
        let count = u32::try_from(self.outputs()).unwrap_or(u32::MAX);
        let tangents = [self.tangents, self.y_tangent_stride];
        of_elements(count, self.y_offset, tangents)
    }
}

impl Kernel for ReduceTangent {
    const NAME: &'static str = "reduce_tangent";
    const SHADER: &'static str = include_str!("../../shaders/reduce_tangent.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = ENTRY_POINTS;
    const OPERANDS: &'static [Operand] = &[
        Operand::input("x"),
        Operand::input("dx"),
        Operand::output("dy"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("outer", self.outer),
                ("length", self.length),
                ("inner", self.inner),
                ("tangents", self.tangents),
            ],
        )?;
        if self.outputs() > u32::MAX as usize {
            return Err(KernelError::parameter(
                Self::NAME,
                "inner",
                "at most 2^32 - 1 outputs in all",
                self.inner,
            ));
        }
        if ![Reduction::MAX, Reduction::MIN].contains(&self.operation) {
            return Err(KernelError::parameter(
                Self::NAME,
                "operation",
                "a largest or smallest element: 2 or 3",
                self.operation.word(),
            ));
        }
        self.dy()
            .check(Self::NAME, ("y_offset", "y_tangent_stride"))
    }

    fn extents(&self) -> Vec<usize> {
        let elements = element_count(&self.shape());
        let tangents = (self.tangents, self.x_tangent_stride);
        let first = |dimensions| reach(self.x_offset as usize, dimensions) - 1;
        vec![
            first(&[]).saturating_add(elements),
            first(&[tangents]).saturating_add(elements),
            self.dy().reach(),
        ]
    }

    fn cost(&self) -> Cost {
        let elements = element_count(&self.shape()) as u64;
        let outputs = self.outputs() as u64;
        let gathered = outputs.saturating_mul(2 * u64::from(self.tangents));
        Cost {
            flops: elements,
            bytes: elements.saturating_add(gathered).saturating_mul(4),
        }
    }

    fn launch(&self, capabilities: &Capabilities) -> Launch {
        launch(self.shape(), capabilities)
    }

    fn software_iterations(&self) -> u64 {
        iterations(self.shape()).saturating_add(u64::from(self.tangents) + 2)
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let from = self.x_offset as usize;
        let x = &operands.float(0)?[from..];
        let dx = &operands.float(1)?[from..];
        let dy = operands.float_mut(2)?;
        let (length, inner) = (self.length as usize, self.inner as usize);
        let stride = self.x_tangent_stride as usize;
        let largest = self.operation == Reduction::MAX;
        for_each_block(
            &self.dy(),
            (operands.parallel, length),
            dy,
            #[inline(always)]
            |block, pieces| {
                for output in block.clone() {
                    let first = output / inner * length * inner + output % inner;
                    let row = x[first..].iter().step_by(inner).take(length);
                    let (position, extreme) = first_extreme(row, largest);
                    let at = first + position * inner;
                    for (j, piece) in pieces.iter_mut().enumerate() {
                        piece[output - block.start] = match extreme.is_finite() {
                            true => dx[j * stride + at],
                            false => T::NAN,
                        };
                    }
                }
            },
        );
        Ok(())
    }
}

/// Position and value of the first largest or smallest element; NaN is beyond every number.
#[inline(always)]
fn first_extreme<'a, T: Real>(row: impl Iterator<Item = &'a T>, largest: bool) -> (usize, T) {
    let mut kept = (0, T::NAN);
    for (position, value) in row.enumerate() {
        let beyond = if largest {
            *value > kept.1
        } else {
            *value < kept.1
        };
        if position == 0 || beyond || (value.is_nan() && !kept.1.is_nan()) {
            kept = (position, *value);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::ReduceTangent;
    use crate::Kernel;
    use crate::reduce::{Reduce, Reduction};
    use crate::test_support::{
        assert_refuses, assert_rows_apart, assert_tangents, numbers, tangent_of_row, widen,
    };

    #[test]
    fn extremes_carry_the_tangent_of_their_element() {
        for (outer, length, inner) in [(1u32, 1u32, 1u32), (5, 33, 1), (3, 129, 1), (2, 7, 31)] {
            for operation in [Reduction::MAX, Reduction::MIN] {
                let primal = Reduce {
                    x_offset: 1,
                    y_offset: 2,
                    ..Reduce::middle(operation, outer, length, inner)
                };
                let extents = primal.extents();
                let strides = [extents[0] as u32 + 2, extents[1] as u32 + 1];
                let x = widen(&numbers(extents[0], 9));
                let (l, n) = (length as usize, inner as usize);
                let sign = if operation == Reduction::MAX {
                    1.0
                } else {
                    -1.0
                };
                assert_tangents(
                    "extreme",
                    (primal, |k| {
                        ReduceTangent::new(primal, k, strides[0], strides[1])
                    }),
                    strides.map(|stride| stride as usize),
                    &x,
                    |x, dx, dy| {
                        for output in 0..outer as usize * n {
                            let at = |i: usize| 1 + (output / n * l + i) * n + output % n;
                            let best = (0..l)
                                .map(at)
                                .max_by(|a, b| (sign * x[*a]).total_cmp(&(sign * x[*b])));
                            dy[2 + output] = dx[best.unwrap()];
                        }
                    },
                );
            }
        }
    }

    #[test]
    fn rows_do_not_depend_on_their_batch() {
        assert_rows_apart(300, [77, 1], |rows| {
            let primal = Reduce::middle(Reduction::MIN, rows, 77, 1);
            ReduceTangent::new(primal, 2, 77 * rows, rows)
        });
    }

    #[test]
    fn the_first_of_equals_counts_and_nothing_infinite() {
        let run = |operation, x: &[f32; 4]| {
            let primal = Reduce::middle(operation, 1, 4, 1);
            let kernel = ReduceTangent::new(primal, 1, 4, 1);
            tangent_of_row(kernel, x, &[1.0, 2.0, 3.0, 4.0])[0]
        };
        assert_eq!(run(Reduction::MAX, &[0.0, 5.0, 5.0, 5.0]), 2.0);
        assert_eq!(run(Reduction::MIN, &[0.0, -0.0, 5.0, 0.0]), 1.0);
        assert_eq!(
            run(Reduction::MAX, &[f32::NEG_INFINITY, 1.0, 1.0, 2.0]),
            4.0
        );
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(run(Reduction::MAX, &[0.0, bad, 5.0, 1.0]).is_nan());
        }
        for bad in [f32::NAN, f32::NEG_INFINITY] {
            assert!(run(Reduction::MIN, &[bad, 0.0, 5.0, 1.0]).is_nan());
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = ReduceTangent::new(Reduce::middle(Reduction::MAX, 2, 3, 4), 5, 24, 8);
        good.check().unwrap();
        assert_refuses(ReduceTangent { outer: 0, ..good }, "outer");
        assert_refuses(ReduceTangent { length: 0, ..good }, "length");
        assert_refuses(ReduceTangent { inner: 0, ..good }, "inner");
        let none = ReduceTangent {
            tangents: 0,
            ..good
        };
        assert_refuses(none, "tangents");
        for operation in [Reduction::SUM, Reduction::MEAN, bytemuck::cast(9u32)] {
            assert_refuses(ReduceTangent { operation, ..good }, "operation");
        }
        let huge = ReduceTangent {
            outer: u32::MAX,
            inner: 2,
            ..good
        };
        assert_refuses(huge, "inner");
        let overlapping = ReduceTangent {
            y_tangent_stride: 7,
            ..good
        };
        assert_refuses(overlapping, "y_tangent_stride");
        let far = ReduceTangent {
            length: u32::MAX,
            inner: u32::MAX,
            ..good
        };
        assert_eq!(far.extents()[0], usize::MAX);
        assert_eq!((good.cost().flops, good.cost().bytes), (24, (24 + 80) * 4));
    }
}
