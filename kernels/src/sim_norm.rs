//! Simplicial normalisation: softmax over groups of a row.

use crate::addressing::require_positive;
use crate::rows::Rows;
use crate::softmax::{divisor_of, require_distinct_rows, shift_of};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `y = softmax(x)` over every `group` successive elements of every row of `x`, `[rows, width]`: SimNorm
/// of TD-MPC2 (Hansen, Su, Wang 2024, section 3.1). Infinities and NaN as in
/// [`Softmax`](crate::softmax::Softmax), group by group.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct SimNorm {
    /// Rows.
    pub rows: u32,
    /// Elements of a row; a multiple of `group`.
    pub width: u32,
    /// Elements of a group.
    pub group: u32,
    /// First element of x.
    pub x_offset: u32,
    /// Elements between rows of x.
    pub x_row_stride: u32,
    /// First element of y.
    pub y_offset: u32,
    /// Elements between rows of y.
    pub y_row_stride: u32,
}

impl SimNorm {
    /// Contiguous x and y.
    pub fn contiguous(rows: u32, width: u32, group: u32) -> Self {
        Self {
            rows,
            width,
            group,
            x_offset: 0,
            x_row_stride: width,
            y_offset: 0,
            y_row_stride: width,
        }
    }

    fn view(&self, offset: u32, row_stride: u32) -> Rows {
        Rows {
            batch: 1,
            rows: self.rows,
            width: self.width,
            offset,
            batch_stride: 0,
            row_stride,
        }
    }

    fn x(&self) -> Rows {
        self.view(self.x_offset, self.x_row_stride)
    }

    fn y(&self) -> Rows {
        self.view(self.y_offset, self.y_row_stride)
    }
}

impl Kernel for SimNorm {
    const NAME: &'static str = "sim_norm";
    const SHADER: &'static str = include_str!("../../shaders/sim_norm.wgsl");
    const OPERANDS: &'static [Operand] = &[Operand::input("x"), Operand::output("y")];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("rows", self.rows),
                ("width", self.width),
                ("group", self.group),
            ],
        )?;
        if !self.width.is_multiple_of(self.group) {
            return Err(KernelError::parameter(
                Self::NAME,
                "group",
                format!("a divisor of width = {}", self.width),
                self.group,
            ));
        }
        require_distinct_rows(Self::NAME, &self.y())
    }

    fn extents(&self) -> Vec<usize> {
        vec![self.x().reach(), self.y().reach()]
    }

    fn cost(&self) -> Cost {
        let elements = u64::from(self.rows) * u64::from(self.width);
        Cost {
            // Maximum, subtraction, exponential (counted once), sum, division.
            flops: elements.saturating_mul(5),
            bytes: elements.saturating_mul(8),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let groups = crate::element_count(&[self.rows, self.width / self.group.max(1)]);
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(groups, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        3 * u64::from(self.group) + 3
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let y = operands.float_mut(1)?;
        let view = self.x();
        let group = self.group as usize;
        self.y().for_each(
            operands.parallel,
            y,
            #[inline(always)]
            |_, row, out| {
                groups_of_row(view.row(x, 0, row), group, out);
            },
        );
        Ok(())
    }
}

/// The softmax of every `group` successive elements of one row.
#[inline(always)]
pub(crate) fn groups_of_row<T: Real>(input: &[T], group: usize, out: &mut [T]) {
    for (out, input) in out.chunks_mut(group).zip(input.chunks(group)) {
        let larger = |kept, new: &T| if *new > kept { *new } else { kept };
        let shift = shift_of(input.iter().fold(T::NEG_INFINITY, larger));
        for (y, x) in out.iter_mut().zip(input) {
            *y = *x - shift;
        }
    }
    // Over the whole row at once, so that short groups vectorise too.
    out.iter_mut().for_each(|y| *y = y.exp());
    for out in out.chunks_mut(group) {
        let divisor = divisor_of(out.iter().fold(T::ZERO, |sum, v| sum + *v));
        out.iter_mut().for_each(|y| *y /= divisor);
    }
}

#[cfg(test)]
mod tests {
    use super::SimNorm;
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Kernel, View};

    fn sim_norm(kernel: SimNorm, x: &[f32]) -> Vec<f32> {
        let mut y = vec![7.0f32; kernel.extents()[1]];
        run(kernel, vec![View::Float(x), View::FloatMut(&mut y)]).unwrap();
        y
    }

    #[test]
    fn matches_the_formula() {
        for (rows, groups, group) in [(1u32, 1u32, 1u32), (3, 5, 8), (2, 7, 3), (5, 1, 37)] {
            let width = groups * group;
            let kernel = SimNorm {
                x_offset: 2,
                x_row_stride: width + 1,
                y_offset: 1,
                ..SimNorm::contiguous(rows, width, group)
            };
            let x: Vec<f32> = numbers(kernel.extents()[0], 4)
                .iter()
                .map(|v| 9.0 * v)
                .collect();
            let y = sim_norm(kernel, &x);
            assert_eq!(y[0], 7.0);
            let mut expected = vec![7.0];
            for row in 0..rows as usize {
                for g in 0..groups as usize {
                    let start = 2 + row * (width as usize + 1) + g * group as usize;
                    let powers: Vec<f64> = x[start..start + group as usize]
                        .iter()
                        .map(|v| f64::from(*v).exp())
                        .collect();
                    let total: f64 = powers.iter().sum();
                    expected.extend(powers.iter().map(|v| v / total));
                }
            }
            assert_close(&y, &expected, 1e-6, "sim_norm");
        }
    }

    #[test]
    fn groups_are_independent() {
        let low = f32::NEG_INFINITY;
        let x = [low, low, f32::NAN, 1.0, 2.0, 2.0];
        let y = sim_norm(SimNorm::contiguous(1, 6, 2), &x);
        assert_eq!(&y[..2], &[0.0, 0.0]);
        assert!(y[2].is_nan() && y[3].is_nan());
        assert_eq!(&y[4..], &[0.5, 0.5]);
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = SimNorm::contiguous(2, 6, 3);
        good.check().unwrap();
        assert_refuses(SimNorm { rows: 0, ..good }, "rows");
        assert_refuses(SimNorm { width: 0, ..good }, "width");
        assert_refuses(SimNorm { group: 0, ..good }, "group");
        assert_refuses(SimNorm { group: 4, ..good }, "group");
        assert_refuses(
            SimNorm {
                y_row_stride: 5,
                ..good
            },
            "y_row_stride",
        );
        assert_eq!((good.cost().flops, good.cost().bytes), (60, 96));
    }
}
