//! Tangents of simplicial normalisation.

use crate::addressing::require_positive;
use crate::rows::Rows;
use crate::sim_norm::{SimNorm, groups_of_row};
use crate::tangents::{for_each_block, of_rows};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// The tangents of [`SimNorm`]: with p = softmax(x), `dy[j] = p (dx[j] - sum(p dx[j]))` over every `group`
/// successive elements of every row, for each of `tangents` tangents; p is computed once for all of them.
/// Infinities and NaN as in [`SoftmaxTangent`](crate::softmax_tangent::SoftmaxTangent), group by group.
///
/// Operands: x `[rows, width]`; dx and dy, laid out like x and y, a tangent stride apart.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct SimNormTangent {
    /// Rows.
    pub rows: u32,
    /// Elements of a row; a multiple of `group`.
    pub width: u32,
    /// Elements of a group.
    pub group: u32,
    /// First element of x, and of each tangent of it.
    pub x_offset: u32,
    /// Elements between rows of x.
    pub x_row_stride: u32,
    /// First element of each tangent of y.
    pub y_offset: u32,
    /// Elements between rows of y.
    pub y_row_stride: u32,
    /// Tangents.
    pub tangents: u32,
    /// Elements between tangents of x.
    pub x_tangent_stride: u32,
    /// Elements between tangents of y.
    pub y_tangent_stride: u32,
}

impl SimNormTangent {
    /// The tangents of `primal`, those of x and y as far apart as told, in elements.
    pub fn new(
        primal: SimNorm,
        tangents: u32,
        x_tangent_stride: u32,
        y_tangent_stride: u32,
    ) -> Self {
        Self {
            rows: primal.rows,
            width: primal.width,
            group: primal.group,
            x_offset: primal.x_offset,
            x_row_stride: primal.x_row_stride,
            y_offset: primal.y_offset,
            y_row_stride: primal.y_row_stride,
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
}

impl Kernel for SimNormTangent {
    const NAME: &'static str = "sim_norm_tangent";
    const SHADER: &'static str = include_str!("../../shaders/sim_norm_tangent.wgsl");
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
                ("group", self.group),
                ("tangents", self.tangents),
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
        self.dy()
            .check(Self::NAME, ("y_row_stride", "y_tangent_stride"))
    }

    fn extents(&self) -> Vec<usize> {
        vec![self.x().reach(), self.dx().reach(), self.dy().reach()]
    }

    fn cost(&self) -> Cost {
        let elements = u64::from(self.rows) * u64::from(self.width);
        let tangents = u64::from(self.tangents);
        Cost {
            // The softmax, and for a tangent a multiply-add, a difference and a product.
            flops: elements.saturating_mul(5 + 4 * tangents),
            bytes: elements.saturating_mul(4 + 8 * tangents),
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
        let (group, tangents) = (u64::from(self.group), u64::from(self.tangents));
        let passes = 3 + 2 * tangents;
        passes
            .saturating_mul(group + 1)
            .saturating_add(tangents + 1)
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let dx = operands.float(1)?;
        let dy = operands.float_mut(2)?;
        let group = self.group as usize;
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
                    let own = start..start + self.width as usize;
                    let weights = &mut last[own.clone()];
                    groups_of_row(primal.row(x, 0, row), group, weights);
                    for (j, piece) in others.iter_mut().enumerate() {
                        let dx = tangent.row(dx, j, row);
                        let out = piece[own.clone()].chunks_mut(group);
                        for ((out, p), dx) in out.zip(weights.chunks(group)).zip(dx.chunks(group)) {
                            let mean = mean(p, dx);
                            for ((dy, p), dx) in out.iter_mut().zip(p).zip(dx) {
                                *dy = *p * (*dx - mean);
                            }
                        }
                    }
                    let dx = tangent.row(dx, others.len(), row);
                    for (p, dx) in weights.chunks_mut(group).zip(dx.chunks(group)) {
                        let mean = mean(p, dx);
                        p.iter_mut().zip(dx).for_each(|(p, dx)| *p *= *dx - mean);
                    }
                }
            },
        );
        Ok(())
    }
}

/// Mean of a tangent under a group's weights, in ascending order.
#[inline(always)]
fn mean<T: Real>(weights: &[T], dx: &[T]) -> T {
    let terms = weights.iter().zip(dx);
    terms.fold(T::ZERO, |sum, (p, dx)| sum + *p * *dx)
}

#[cfg(test)]
mod tests {
    use super::SimNormTangent;
    use crate::Kernel;
    use crate::sim_norm::SimNorm;
    use crate::test_support::{
        assert_refuses, assert_rows_apart, assert_tangents, numbers, tangent_of_row, widen,
    };

    #[test]
    fn follows_the_jacobian_and_differences_in_any_layout() {
        for (rows, groups, group) in [(1u32, 1u32, 1u32), (3, 5, 8), (2, 7, 3), (5, 1, 37)] {
            let width = groups * group;
            let primal = SimNorm {
                x_offset: 2,
                x_row_stride: width + 1,
                y_offset: 1,
                ..SimNorm::contiguous(rows, width, group)
            };
            let extents = primal.extents();
            let strides = [extents[0] as u32 + 2, extents[1] as u32 + 1];
            let x: Vec<f64> = widen(&numbers(extents[0], 4))
                .iter()
                .map(|v| 4.0 * v)
                .collect();
            let (w, n) = (width as usize, group as usize);
            assert_tangents(
                "sim_norm",
                (primal, |k| {
                    SimNormTangent::new(primal, k, strides[0], strides[1])
                }),
                strides.map(|stride| stride as usize),
                &x,
                // The whole Jacobian of a group, p_i (delta_im - p_m).
                |x, dx, dy| {
                    for index in 0..(rows * groups) as usize {
                        let (row, column) = (index / (w / n), index % (w / n) * n);
                        let at = 2 + row * (w + 1) + column;
                        let total: f64 = x[at..at + n].iter().map(|v| v.exp()).sum();
                        let p = |i: usize| x[at + i].exp() / total;
                        for i in 0..n {
                            let entry = |m: usize| p(i) * (f64::from(i == m) - p(m));
                            let terms = (0..n).map(|m| entry(m) * dx[at + m]);
                            dy[1 + row * w + column + i] = terms.sum();
                        }
                    }
                },
            );
        }
    }

    #[test]
    fn rows_do_not_depend_on_their_batch() {
        assert_rows_apart(300, [72, 72], |rows| {
            SimNormTangent::new(SimNorm::contiguous(rows, 72, 8), 2, 72 * rows, 72 * rows)
        });
    }

    #[test]
    fn groups_are_independent() {
        let low = f32::NEG_INFINITY;
        let x = [low, low, f32::NAN, 1.0, 2.0, 2.0, 1.0, 1.0];
        let dx = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0, f32::INFINITY, 1.0];
        let kernel = SimNormTangent::new(SimNorm::contiguous(1, 8, 2), 1, 8, 8);
        let dy = tangent_of_row(kernel, &x, &dx);
        assert_eq!(dy[..2], [0.0, 0.0]);
        assert!(dy[2].is_nan() && dy[3].is_nan());
        assert_eq!(dy[4..6], [-0.5, 0.5]);
        assert!(!dy[6].is_finite() && !dy[7].is_finite());
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = SimNormTangent::new(SimNorm::contiguous(2, 6, 3), 4, 12, 12);
        good.check().unwrap();
        assert_refuses(SimNormTangent { rows: 0, ..good }, "rows");
        assert_refuses(SimNormTangent { width: 0, ..good }, "width");
        assert_refuses(SimNormTangent { group: 0, ..good }, "group");
        assert_refuses(SimNormTangent { group: 4, ..good }, "group");
        let none = SimNormTangent {
            tangents: 0,
            ..good
        };
        assert_refuses(none, "tangents");
        let rows_overlap = SimNormTangent {
            y_row_stride: 5,
            ..good
        };
        assert_refuses(rows_overlap, "y_row_stride");
        let tangents_overlap = SimNormTangent {
            y_tangent_stride: 11,
            ..good
        };
        assert_refuses(tangents_overlap, "y_tangent_stride");
        assert_eq!((good.cost().flops, good.cost().bytes), (252, 432));
    }
}
