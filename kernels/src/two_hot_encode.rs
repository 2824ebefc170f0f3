//! Distributions over bins from scalars: the targets of TD-MPC2's reward and value.

use crate::addressing::require_positive;
use crate::two_hot::{check_bins, symlog};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `y`, `[rows, max(bins, 1)]`, from numbers `x`, `[rows]`: their symmetric logarithm
/// `sign(x) ln(1 + |x|)`, kept between `low` and `high`, splits a weight of 1 linearly between the two of
/// `bins` evenly spaced values it lies between; the bin after the last is the first, with weight 0.
///
/// 0 bins stand for the number itself, 1 for its symmetric logarithm. NaN makes its row NaN.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct TwoHotEncode {
    /// Rows.
    pub rows: u32,
    /// Bins.
    pub bins: u32,
    /// First element of x.
    pub x_offset: u32,
    /// First element of y.
    pub y_offset: u32,
    /// Value of the first bin, on the symmetric logarithmic scale.
    pub low: f32,
    /// Value of the last bin.
    pub high: f32,
}

impl TwoHotEncode {
    /// Contiguous rows from their first elements on.
    pub fn new(rows: u32, bins: u32, low: f32, high: f32) -> Self {
        Self {
            rows,
            bins,
            x_offset: 0,
            y_offset: 0,
            low,
            high,
        }
    }

    fn width(&self) -> u32 {
        self.bins.max(1)
    }
}

impl Kernel for TwoHotEncode {
    const NAME: &'static str = "two_hot_encode";
    const SHADER: &'static str = include_str!("../../shaders/two_hot_encode.wgsl");
    const OPERANDS: &'static [Operand] = &[Operand::input("x"), Operand::output("y")];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(Self::NAME, &[("rows", self.rows)])?;
        check_bins(Self::NAME, self.bins, self.low, self.high)
    }

    fn extents(&self) -> Vec<usize> {
        let written = element_count(&[self.rows, self.width()]);
        vec![
            (self.x_offset as usize).saturating_add(self.rows as usize),
            (self.y_offset as usize).saturating_add(written),
        ]
    }

    fn cost(&self) -> Cost {
        let rows = u64::from(self.rows);
        let written = rows.saturating_mul(u64::from(self.width()));
        Cost {
            // Logarithm with its sum, two bounds, place (two), floor, two weights.
            flops: rows.saturating_mul(9),
            bytes: rows.saturating_add(written).saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(element_count(&[self.rows, self.width()]), 64),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let (width, start) = (self.width() as usize, self.y_offset as usize);
        let x = &operands.float(0)?[self.x_offset as usize..];
        let y = &mut operands.float_mut(1)?[start..start + self.rows as usize * width];
        let (low, high) = (T::from_f32(self.low), T::from_f32(self.high));
        let bin = (high - low) / T::from_f64(f64::from(self.bins.max(2) - 1));
        for_each_row(
            operands.parallel,
            y,
            width,
            #[inline(always)]
            |row, out| {
                let value = x[row];
                match self.bins {
                    0 => out.fill(value),
                    1 => out.fill(symlog(value)),
                    _ if value.is_nan() => out.fill(value),
                    _ => {
                        let place = (symlog(value).maximum(low).minimum(high) - low) / bin;
                        // Within the bins by the bounds, but for rounding.
                        let first = (place.to_f64().floor() as usize).min(width - 1);
                        let share = place - T::from_f64(first as f64);
                        out.fill(T::ZERO);
                        out[(first + 1) % width] = share;
                        out[first] = T::ONE - share;
                    }
                }
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::TwoHotEncode;
    use crate::test_support::{assert_close, assert_refuses, numbers, run, widen};
    use crate::two_hot::TwoHot;
    use crate::{Kernel, Scalar, View};

    fn encode<T: Scalar>(kernel: TwoHotEncode, x: &[T]) -> Vec<T> {
        let mut y = vec![T::from_f64(7.0); kernel.extents()[1]];
        run(kernel, vec![View::Float(x), View::FloatMut(&mut y)]).unwrap();
        y
    }

    #[test]
    fn decoding_gives_the_number_back() {
        let x: Vec<f64> = widen(&numbers(67, 8)).iter().map(|v| 400.0 * v).collect();
        let y = encode(TwoHotEncode::new(67, 101, -10.0, 10.0), &x);
        for row in y.chunks(101) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(row.iter().filter(|v| **v != 0.0).count() <= 2);
        }
        let logits: Vec<f64> = y.iter().map(|v| v.ln()).collect();
        let mut back = vec![0.0f64; 67];
        let views = vec![
            View::Float(&logits),
            View::Absent,
            View::Absent,
            View::FloatMut(&mut back),
        ];
        run(TwoHot::decode(67, 101, -10.0, 10.0), views).unwrap();
        for (back, x) in back.iter().zip(&x) {
            assert!(
                (back - x).abs() < 1e-9 * (1.0 + x.abs()),
                "{back} against {x}"
            );
        }
    }

    #[test]
    fn ends_bounds_and_few_bins() {
        let kernel = TwoHotEncode::new(3, 3, -1.0, 1.0);
        let y = encode(kernel, &[1e9f32, -1e9, 0.0]);
        assert_eq!(y, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let y = encode(
            TwoHotEncode {
                y_offset: 2,
                rows: 1,
                ..kernel
            },
            &[f32::NAN],
        );
        assert!(y[0] == 7.0 && y[2..].iter().all(|v| v.is_nan()));
        assert_eq!(
            encode(TwoHotEncode::new(1, 0, 0.0, 0.0), &[-2.5f32]),
            [-2.5]
        );
        let y = encode(TwoHotEncode::new(1, 1, 0.0, 0.0), &[-2.5f32]);
        assert_close(&y, &[-(3.5f64.ln())], 1e-6, "one bin");
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = TwoHotEncode::new(2, 3, -1.0, 1.0);
        good.check().unwrap();
        assert_refuses(TwoHotEncode { rows: 0, ..good }, "rows");
        assert_refuses(TwoHotEncode { high: -2.0, ..good }, "high");
        assert_eq!((good.cost().flops, good.cost().bytes), (18, 32));
    }
}
