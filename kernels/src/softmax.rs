//! Softmax over rows.

use crate::addressing::require_positive;
use crate::lanes::{ROW_ENTRY_POINTS, lane_max, lane_sum, row_launch};
use crate::rows::Rows;
use crate::{Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `y = softmax(x / temperature)` for every row of `x`, `[rows, width]`, with the row's largest element
/// subtracted first.
///
/// A row that is all negative infinity gives zeros; a row that holds NaN or positive infinity gives NaN
/// throughout.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Softmax {
    /// Rows.
    pub rows: u32,
    /// Elements of a row.
    pub width: u32,
    /// First element of x.
    pub x_offset: u32,
    /// Elements between rows of x.
    pub x_row_stride: u32,
    /// First element of y.
    pub y_offset: u32,
    /// Elements between rows of y.
    pub y_row_stride: u32,
    /// Divisor of x, above 0.
    pub temperature: f32,
}

impl Softmax {
    /// Contiguous x and y at temperature 1.
    pub fn contiguous(rows: u32, width: u32) -> Self {
        Self {
            rows,
            width,
            x_offset: 0,
            x_row_stride: width,
            y_offset: 0,
            y_row_stride: width,
            temperature: 1.0,
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

/// What to subtract from a row whose largest element is `largest`: with nothing but negative infinities
/// a difference would be NaN, while their exponentials are zero as they are.
#[inline(always)]
pub(crate) fn shift_of<T: Real>(largest: T) -> T {
    if largest == T::NEG_INFINITY {
        T::ZERO
    } else {
        largest
    }
}

/// The sum to divide by: only a row of nothing but negative infinities sums to zero.
#[inline(always)]
pub(crate) fn divisor_of<T: Real>(sum: T) -> T {
    if sum == T::ZERO { T::ONE } else { sum }
}

/// The softmax of one row.
#[inline(always)]
pub(crate) fn softmax_row<T: Real>(input: &[T], temperature: T, out: &mut [T]) {
    let shift = shift_of(lane_max(input));
    for (y, x) in out.iter_mut().zip(input) {
        *y = ((*x - shift) / temperature).exp();
    }
    let divisor = divisor_of(lane_sum(out, |v| v));
    out.iter_mut().for_each(|y| *y /= divisor);
}

/// Checks that rows of an output do not overlap.
pub(crate) fn require_distinct_rows(kernel: &'static str, y: &Rows) -> Result<(), KernelError> {
    if y.distinct() {
        return Ok(());
    }
    Err(KernelError::parameter(
        kernel,
        "y_row_stride",
        format!("at least width = {}", y.width),
        y.row_stride,
    ))
}

impl Kernel for Softmax {
    const NAME: &'static str = "softmax";
    const SHADER: &'static str = include_str!("../../shaders/softmax.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = ROW_ENTRY_POINTS;
    const OPERANDS: &'static [Operand] = &[Operand::input("x"), Operand::output("y")];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(Self::NAME, &[("rows", self.rows), ("width", self.width)])?;
        require_distinct_rows(Self::NAME, &self.y())?;
        if self.temperature.is_finite() && self.temperature > 0.0 {
            return Ok(());
        }
        Err(KernelError::parameter(
            Self::NAME,
            "temperature",
            "a finite number above 0",
            self.temperature,
        ))
    }

    fn extents(&self) -> Vec<usize> {
        vec![self.x().reach(), self.y().reach()]
    }

    fn cost(&self) -> Cost {
        let elements = u64::from(self.rows) * u64::from(self.width);
        Cost {
            // Maximum, subtraction, temperature, exponential (counted once), sum, division.
            flops: elements.saturating_mul(6),
            bytes: elements.saturating_mul(8),
        }
    }

    fn launch(&self, capabilities: &Capabilities) -> Launch {
        row_launch(self.rows as usize, capabilities)
    }

    fn software_iterations(&self) -> u64 {
        3 * u64::from(self.width) + 3
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let y = operands.float_mut(1)?;
        let view = self.x();
        let temperature = T::from_f32(self.temperature);
        self.y().for_each(
            operands.parallel,
            y,
            #[inline(always)]
            |_, row, out| {
                softmax_row(view.row(x, 0, row), temperature, out);
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Softmax;
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Kernel, View};

    fn softmax(kernel: Softmax, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0f32; kernel.extents()[1]];
        run(kernel, vec![View::Float(x), View::FloatMut(&mut y)]).unwrap();
        y
    }

    #[test]
    fn matches_the_formula() {
        for (rows, width, temperature) in
            [(1, 1, 1.0f32), (3, 31, 0.5), (5, 33, 2.0), (2, 513, 0.1)]
        {
            let (r, w) = (rows as usize, width as usize);
            let kernel = Softmax {
                x_offset: 1,
                x_row_stride: width + 3,
                y_row_stride: width + 1,
                temperature,
                ..Softmax::contiguous(rows, width)
            };
            let x: Vec<f32> = numbers(kernel.extents()[0], 2)
                .iter()
                .map(|v| 20.0 * v)
                .collect();
            let y = softmax(kernel, &x);
            for row in 0..r {
                let x = &x[1 + row * (w + 3)..][..w];
                let scaled: Vec<f64> = x
                    .iter()
                    .map(|v| f64::from(*v) / f64::from(temperature))
                    .collect();
                let top = scaled.iter().fold(f64::MIN, |a, b| a.max(*b));
                let total: f64 = scaled.iter().map(|v| (v - top).exp()).sum();
                let expected: Vec<f64> = scaled.iter().map(|v| (v - top).exp() / total).collect();
                assert_close(&y[row * (w + 1)..][..w], &expected, 2e-6, "softmax");
            }
        }
    }

    #[test]
    fn infinities_and_nan() {
        let low = f32::NEG_INFINITY;
        let kernel = Softmax::contiguous(1, 3);
        assert_eq!(softmax(kernel, &[low; 3]), [0.0; 3]);
        assert_eq!(softmax(kernel, &[low, 4.0, low]), [0.0, 1.0, 0.0]);
        for bad in [[low, f32::NAN, low], [f32::INFINITY, 0.0, 1.0]] {
            assert!(softmax(kernel, &bad).iter().all(|v| v.is_nan()), "{bad:?}");
        }
        assert_eq!(softmax(kernel, &[3e38, 3e38, -3e38]), [0.5, 0.5, 0.0]);
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = Softmax::contiguous(2, 5);
        good.check().unwrap();
        assert_refuses(Softmax { rows: 0, ..good }, "rows");
        assert_refuses(Softmax { width: 0, ..good }, "width");
        assert_refuses(
            Softmax {
                y_row_stride: 4,
                ..good
            },
            "y_row_stride",
        );
        for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_refuses(
                Softmax {
                    temperature,
                    ..good
                },
                "temperature",
            );
        }
        assert_eq!((good.cost().flops, good.cost().bytes), (60, 80));
    }
}
