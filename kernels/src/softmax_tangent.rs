//! Tangents of softmax over rows.

use crate::addressing::require_positive;
use crate::lanes::{ROW_ENTRY_POINTS, lane_dot, row_launch};
use crate::rows::Rows;
use crate::softmax::{Softmax, softmax_row};
use crate::tangents::{for_each_block, of_rows};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, SOFTWARE_ITERATIONS,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// The tangents of [`Softmax`]: with p = softmax(x / temperature),
/// `dy[j] = p (dx[j] - sum(p dx[j])) / temperature` over every row, for each of `tangents` tangents; p is
/// computed once for all of them.
///
/// A row of x that is all negative infinity gives zeros for finite dx; a row that holds NaN or positive
/// infinity gives NaN throughout.
///
/// Operands: x `[rows, width]`; dx and dy, laid out like x and y, a tangent stride apart.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct SoftmaxTangent {
    /// Rows.
    pub rows: u32,
    /// Elements of a row.
    pub width: u32,
    /// First element of x, and of each tangent of it.
    pub x_offset: u32,
    /// Elements between rows of x.
    pub x_row_stride: u32,
    /// First element of each tangent of y.
    pub y_offset: u32,
    /// Elements between rows of y.
    pub y_row_stride: u32,
    /// Divisor of x, above 0.
    pub temperature: f32,
    /// Tangents.
    pub tangents: u32,
    /// Elements between tangents of x.
    pub x_tangent_stride: u32,
    /// Elements between tangents of y.
    pub y_tangent_stride: u32,
}

impl SoftmaxTangent {
    /// The tangents of `primal`, those of x and y as far apart as told, in elements.
    pub fn new(
        primal: Softmax,
        tangents: u32,
        x_tangent_stride: u32,
        y_tangent_stride: u32,
    ) -> Self {
        Self {
            rows: primal.rows,
            width: primal.width,
            x_offset: primal.x_offset,
            x_row_stride: primal.x_row_stride,
            y_offset: primal.y_offset,
            y_row_stride: primal.y_row_stride,
            temperature: primal.temperature,
            tangents,
            x_tangent_stride,
            y_tangent_stride,
        }
    }

    fn dx(&self) -> Rows {
        let place = [self.x_offset, self.x_row_stride];
        let tangents = [self.tangents, self.x_tangent_stride];
        of_rows([self.rows, self.width], place, tangents)
    }

    fn x(&self) -> Rows {
        Rows {
            batch: 1,
            ..self.dx()
        }
    }

    fn dy(&self) -> Rows {
        let place = [self.y_offset, self.y_row_stride];
        let tangents = [self.tangents, self.y_tangent_stride];
        of_rows([self.rows, self.width], place, tangents)
    }

    /// Loop iterations of an invocation that has a row to itself.
    fn iterations_alone(&self) -> u64 {
        let (width, tangents) = (u64::from(self.width), u64::from(self.tangents));
        let passes = 3 + 2 * tangents;
        passes
            .saturating_mul(width + 1)
            .saturating_add(tangents + 1)
    }
}

impl Kernel for SoftmaxTangent {
    const NAME: &'static str = "softmax_tangent";
    const SHADER: &'static str = include_str!("../../shaders/softmax_tangent.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = ROW_ENTRY_POINTS;
    const OPERANDS: &'static [Operand] = &[
        Operand::input("x"),
        Operand::input("dx"),
        Operand::output("dy"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("rows", self.rows),
                ("width", self.width),
                ("tangents", self.tangents),
            ],
        )?;
        self.dy()
            .check(Self::NAME, ("y_row_stride", "y_tangent_stride"))?;
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
        vec![self.x().reach(), self.dx().reach(), self.dy().reach()]
    }

    fn cost(&self) -> Cost {
        let elements = u64::from(self.rows) * u64::from(self.width);
        let tangents = u64::from(self.tangents);
        Cost {
            // The softmax, and for a tangent a multiply-add, a difference, a product and a division.
            flops: elements.saturating_mul(6 + 5 * tangents),
            bytes: elements.saturating_mul(4 + 8 * tangents),
        }
    }

    fn launch(&self, capabilities: &Capabilities) -> Launch {
        // Shared between lanes, even a long row's loops end before a software driver abandons them.
        let alone = self.iterations_alone() <= SOFTWARE_ITERATIONS;
        let capabilities = Capabilities {
            software: capabilities.software && alone,
            ..*capabilities
        };
        row_launch(self.rows as usize, &capabilities)
    }

    fn software_iterations(&self) -> u64 {
        let alone = self.iterations_alone();
        if alone <= SOFTWARE_ITERATIONS {
            return alone;
        }
        let (part, tangents) = (u64::from(self.width) / 32 + 2, u64::from(self.tangents));
        let sums = (2 + tangents) * 6;
        (3 + 2 * tangents).saturating_mul(part) + sums + tangents + 1
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let dx = operands.float(1)?;
        let dy = operands.float_mut(2)?;
        let temperature = T::from_f32(self.temperature);
        let (primal, tangent) = (self.x(), self.dx());
        for_each_block(
            &self.dy(),
            (operands.parallel, 4),
            dy,
            #[inline(always)]
            |block, pieces| {
                // The last tangent's row holds the weights until its own turn.
                let Some((last, others)) = pieces.split_last_mut() else {
                    return;
                };
                for row in block.clone() {
                    let start = (row - block.start) * self.y_row_stride as usize;
                    let weights = &mut last[start..start + self.width as usize];
                    softmax_row(primal.row(x, 0, row), temperature, weights);
                    for (j, piece) in others.iter_mut().enumerate() {
                        let dx = tangent.row(dx, j, row);
                        let mean = lane_dot(weights, dx);
                        let out = piece[start..].iter_mut().zip(&*weights).zip(dx);
                        for ((dy, weight), dx) in out {
                            *dy = *weight * (*dx - mean) / temperature;
                        }
                    }
                    let dx = tangent.row(dx, others.len(), row);
                    let mean = lane_dot(weights, dx);
                    for (weight, dx) in weights.iter_mut().zip(dx) {
                        *weight = *weight * (*dx - mean) / temperature;
                    }
                }
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::SoftmaxTangent;
    use crate::softmax::Softmax;
    use crate::test_support::{
        assert_refuses, assert_rows_apart, assert_tangents, numbers, tangent_of_row, widen,
    };
    use crate::{Capabilities, Kernel, SOFTWARE_ITERATIONS};

    #[test]
    fn follows_the_jacobian_and_differences_in_any_layout() {
        for (rows, width, temperature) in [
            (1u32, 1u32, 1.0f32),
            (3, 31, 0.5),
            (5, 33, 2.0),
            (2, 513, 0.25),
        ] {
            let primal = Softmax {
                x_offset: 1,
                x_row_stride: width + 3,
                y_row_stride: width + 1,
                temperature,
                ..Softmax::contiguous(rows, width)
            };
            let extents = primal.extents();
            let strides = [extents[0] as u32 + 2, extents[1] as u32 + 1];
            let x: Vec<f64> = widen(&numbers(extents[0], 2))
                .iter()
                .map(|v| 2.0 * v)
                .collect();
            let (w, t) = (width as usize, f64::from(temperature));
            assert_tangents(
                "softmax",
                (primal, |k| {
                    SoftmaxTangent::new(primal, k, strides[0], strides[1])
                }),
                strides.map(|stride| stride as usize),
                &x,
                // The whole Jacobian, p_i (delta_im - p_m) / t.
                |x, dx, dy| {
                    for row in 0..rows as usize {
                        let x = &x[1 + row * (w + 3)..][..w];
                        let dx = &dx[1 + row * (w + 3)..][..w];
                        let total: f64 = x.iter().map(|v| (v / t).exp()).sum();
                        let p: Vec<f64> = x.iter().map(|v| (v / t).exp() / total).collect();
                        for i in 0..w {
                            let entry = |m: usize| p[i] * (f64::from(i == m) - p[m]) / t;
                            dy[row * (w + 1) + i] = (0..w).map(|m| entry(m) * dx[m]).sum();
                        }
                    }
                },
            );
        }
    }

    #[test]
    fn rows_do_not_depend_on_their_batch() {
        assert_rows_apart(300, [77, 77], |rows| {
            SoftmaxTangent::new(Softmax::contiguous(rows, 77), 2, 77 * rows, 77 * rows)
        });
    }

    #[test]
    fn infinities_and_nan() {
        let low = f32::NEG_INFINITY;
        let kernel = SoftmaxTangent::new(Softmax::contiguous(1, 3), 2, 3, 3);
        let dx = [1.0, 2.0, 3.0, -4.0, 5.0, 6.0];
        assert_eq!(tangent_of_row(kernel, &[low; 3], &dx), [0.0; 6]);
        assert_eq!(tangent_of_row(kernel, &[low, 4.0, low], &dx), [0.0; 6]);
        for bad in [[low, f32::NAN, low], [f32::INFINITY, 0.0, 1.0]] {
            let dy = tangent_of_row(kernel, &bad, &dx);
            assert!(dy.iter().all(|v| v.is_nan()), "{bad:?}");
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let dy = tangent_of_row(kernel, &[1.0; 3], &[1.0, bad, 3.0, 1.0, 2.0, 3.0]);
            assert!(dy[..3].iter().all(|v| !v.is_finite()), "{dy:?}");
            assert!(dy[3..].iter().all(|v| v.is_finite()), "{dy:?}");
        }
    }

    #[test]
    fn long_rows_are_shared_where_an_invocation_is_abandoned() {
        let software = Capabilities {
            software: true,
            ..Capabilities::default()
        };
        let mut met = Vec::new();
        for width in [10u32, 3000, 5000, 100_000] {
            let kernel = SoftmaxTangent::new(Softmax::contiguous(1, width), 8, width, width);
            assert!(kernel.software_iterations() <= SOFTWARE_ITERATIONS);
            met.push(kernel.launch(&software).entry_point);
        }
        assert_eq!(met, ["direct", "direct", "lanes", "lanes"]);
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = SoftmaxTangent::new(Softmax::contiguous(2, 5), 3, 10, 10);
        good.check().unwrap();
        assert_refuses(SoftmaxTangent { rows: 0, ..good }, "rows");
        assert_refuses(SoftmaxTangent { width: 0, ..good }, "width");
        let none = SoftmaxTangent {
            tangents: 0,
            ..good
        };
        assert_refuses(none, "tangents");
        let rows_overlap = SoftmaxTangent {
            y_row_stride: 4,
            ..good
        };
        assert_refuses(rows_overlap, "y_row_stride");
        let tangents_overlap = SoftmaxTangent {
            y_tangent_stride: 9,
            ..good
        };
        assert_refuses(tangents_overlap, "y_tangent_stride");
        for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let bad = SoftmaxTangent {
                temperature,
                ..good
            };
            assert_refuses(bad, "temperature");
        }
        assert_eq!((good.cost().flops, good.cost().bytes), (210, 280));
    }
}
