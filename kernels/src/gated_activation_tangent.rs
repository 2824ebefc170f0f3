//! Tangents of gated linear units.

use crate::addressing::{distinct_count, require_positive};
use crate::gated_activation::GatedActivation;
use crate::rows::Rows;
use crate::tangents::{BLOCK, for_each_block, of_rows};
use crate::{
    Activation, Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real,
    element_count, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// The tangents of [`GatedActivation`]: with a = x[r, c] and g = x[r, gate_offset + c],
/// `dout[j] = activation'(a) g da[j] + activation(a) dg[j]` for each of `tangents` tangents, both
/// partial derivatives computed once for all of them. NaN where a is not finite.
///
/// Operands: x; dx, laid out like x `x_tangent_stride` apart; dout, laid out like out.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct GatedActivationTangent {
    /// Rows.
    pub rows: u32,
    /// Elements of a row of out.
    pub width: u32,
    /// First element of x, and of each tangent of it.
    pub x_offset: u32,
    /// Elements between rows of x.
    pub x_row_stride: u32,
    /// Elements from the first activated element of a row to its first gate.
    pub gate_offset: u32,
    /// First element of each tangent of out.
    pub out_offset: u32,
    /// Elements between rows of out.
    pub out_row_stride: u32,
    /// Which function.
    pub activation: Activation,
    /// Tangents.
    pub tangents: u32,
    /// Elements between tangents of x.
    pub x_tangent_stride: u32,
    /// Elements between tangents of out.
    pub out_tangent_stride: u32,
}

impl GatedActivationTangent {
    /// The tangents of `primal`, those of x and out as far apart as told, in elements.
    pub fn new(
        primal: GatedActivation,
        tangents: u32,
        x_tangent_stride: u32,
        out_tangent_stride: u32,
    ) -> Self {
        Self {
            rows: primal.rows,
            width: primal.width,
            x_offset: primal.x_offset,
            x_row_stride: primal.x_row_stride,
            gate_offset: primal.gate_offset,
            out_offset: primal.out_offset,
            out_row_stride: primal.out_row_stride,
            activation: primal.activation,
            tangents,
            x_tangent_stride,
            out_tangent_stride,
        }
    }

    fn x(&self) -> Rows {
        let place = [self.x_offset, self.x_row_stride];
        of_rows([self.rows, self.width], place, [1, 0])
    }

    fn dx(&self) -> Rows {
        let place = [self.x_offset, self.x_row_stride];
        let tangents = [self.tangents, self.x_tangent_stride];
        of_rows([self.rows, self.width], place, tangents)
    }

    fn dout(&self) -> Rows {
        let place = [self.out_offset, self.out_row_stride];
        let tangents = [self.tangents, self.out_tangent_stride];
        of_rows([self.rows, self.width], place, tangents)
    }
}

impl Kernel for GatedActivationTangent {
    const NAME: &'static str = "gated_activation_tangent";
    const SHADER: &'static str = include_str!("../../shaders/gated_activation_tangent.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("x"),
        Operand::input("dx"),
        Operand::output("dout"),
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
        self.dout()
            .check(Self::NAME, ("out_row_stride", "out_tangent_stride"))?;
        self.activation.check(Self::NAME)
    }

    fn extents(&self) -> Vec<usize> {
        let gate = self.gate_offset as usize;
        vec![
            self.x().reach().saturating_add(gate),
            self.dx().reach().saturating_add(gate),
            self.dout().reach(),
        ]
    }

    fn cost(&self) -> Cost {
        let outputs = u64::from(self.rows).saturating_mul(u64::from(self.width));
        let tangents = u64::from(self.tangents);
        // The two parts of a row share what of them overlaps.
        let columns = u64::from(self.width) + u64::from(self.gate_offset.min(self.width));
        let read = distinct_count(&[(self.rows, self.x_row_stride)]).saturating_mul(columns);
        let partials = self.activation.flops() + 2;
        Cost {
            flops: outputs.saturating_mul(partials.saturating_add(3 * tangents)),
            bytes: read
                .saturating_mul(1 + tangents)
                .saturating_add(outputs.saturating_mul(tangents))
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(element_count(&[self.rows, self.width]), 256),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.tangents) + 1
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let dx = operands.float(1)?;
        let dout = operands.float_mut(2)?;
        let gate = self.gate_offset as usize;
        let (gates, gate_tangents) = (&x[gate..], &dx[gate..]);
        let (primal, tangent) = (self.x(), self.dx());
        for_each_block(
            &self.dout(),
            (operands.parallel, 1),
            dout,
            #[inline(always)]
            |block, pieces| {
                let (mut slopes, mut values) = ([T::ZERO; BLOCK], [T::ZERO; BLOCK]);
                for row in block.clone() {
                    let (a, g) = (primal.row(x, 0, row), primal.row(gates, 0, row));
                    let start = (row - block.start) * self.out_row_stride as usize;
                    for (part, (a, g)) in a.chunks(BLOCK).zip(g.chunks(BLOCK)).enumerate() {
                        let (column, length) = (part * BLOCK, a.len());
                        let (slopes, values) = (&mut slopes[..length], &mut values[..length]);
                        self.activation.gated_slopes((a, g), slopes, values);
                        for (j, piece) in pieces.iter_mut().enumerate() {
                            let da = &tangent.row(dx, j, row)[column..][..length];
                            let dg = &tangent.row(gate_tangents, j, row)[column..][..length];
                            let out = &mut piece[start + column..][..length];
                            combine(out, (slopes, da), (values, dg));
                        }
                    }
                }
            },
        );
        Ok(())
    }
}

/// `out = slopes * da + values * dg`.
#[inline(always)]
fn combine<T: Real>(out: &mut [T], (slopes, da): (&[T], &[T]), (values, dg): (&[T], &[T])) {
    let activated = slopes.iter().zip(da);
    let gated = values.iter().zip(dg);
    for ((out, (slope, da)), (value, dg)) in out.iter_mut().zip(activated).zip(gated) {
        *out = slope.mul_add(*da, *value * *dg);
    }
}

#[cfg(test)]
mod tests {
    use super::GatedActivationTangent;
    use crate::gated_activation::GatedActivation;
    use crate::test_support::{
        assert_refuses, assert_rows_apart, assert_tangents, numbers, tangent_of_row, widen,
    };
    use crate::{Activation, Kernel};

    fn value_and_slope(activation: Activation, x: f64) -> (f64, f64) {
        let sigmoid = 1.0 / (1.0 + (-x).exp());
        match activation.name() {
            "identity" => (x, 1.0),
            "relu" => (x.max(0.0), f64::from(x > 0.0)),
            "gelu" => {
                let normal = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
                let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                (x * normal, normal + x * density)
            }
            "silu" => (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid))),
            "sigmoid" => (sigmoid, sigmoid * (1.0 - sigmoid)),
            "tanh" => (x.tanh(), 1.0 - x.tanh().powi(2)),
            other => panic!("no reference for {other}"),
        }
    }

    #[test]
    fn both_branches_follow_the_product_rule_in_any_layout() {
        let kinds = Activation::ALL.iter().map(|(_, kind)| *kind);
        let kinds = kinds.filter(|k| ![Activation::MISH, Activation::GELU_TANH].contains(k));
        for activation in kinds {
            for (rows, width) in [(1u32, 1u32), (3, 31), (5, 1031), (97, 101)] {
                let primal = GatedActivation {
                    x_offset: 2,
                    x_row_stride: 2 * width + 7,
                    gate_offset: width + 3,
                    out_offset: 1,
                    out_row_stride: width + 2,
                    ..GatedActivation::halves(rows, width, activation)
                };
                let extents = primal.extents();
                let strides = [extents[0] as u32 + 1, extents[1] as u32 + 2];
                let x: Vec<f64> = widen(&numbers(extents[0], 3))
                    .iter()
                    .map(|v| 4.0 * v + 1e-4f64.copysign(*v))
                    .collect();
                let w = width as usize;
                assert_tangents(
                    activation.name(),
                    (primal, |k| {
                        GatedActivationTangent::new(primal, k, strides[0], strides[1])
                    }),
                    strides.map(|stride| stride as usize),
                    &x,
                    |x, dx, dout| {
                        for r in 0..rows as usize {
                            for c in 0..w {
                                let a = 2 + r * (2 * w + 7) + c;
                                let g = a + w + 3;
                                let (value, slope) = value_and_slope(activation, x[a]);
                                dout[1 + r * (w + 2) + c] = slope * dx[a] * x[g] + value * dx[g];
                            }
                        }
                    },
                );
            }
        }
    }

    #[test]
    fn rows_do_not_depend_on_their_batch() {
        assert_rows_apart(300, [154, 77], |rows| {
            let primal = GatedActivation::halves(rows, 77, Activation::SILU);
            GatedActivationTangent::new(primal, 2, 154 * rows, 77 * rows)
        });
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for (name, activation) in Activation::ALL {
            let primal = GatedActivation::halves(1, 4, *activation);
            let kernel = GatedActivationTangent::new(primal, 1, 8, 4);
            let x = [f32::NAN, f32::INFINITY, 0.5, 0.5, 1.0, 1.0, f32::NAN, 1.0];
            let out = tangent_of_row(kernel, &x, &[1.0; 8]);
            assert!(out[..3].iter().all(|v| !v.is_finite()), "{name}: {out:?}");
            assert!(out[3].is_finite(), "{name}");
            let dx = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, f32::NAN];
            assert!(tangent_of_row(kernel, &[0.5; 8], &dx)[3].is_nan(), "{name}");
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let primal = GatedActivation::halves(3, 4, Activation::RELU);
        let good = GatedActivationTangent::new(primal, 5, 24, 12);
        good.check().unwrap();
        assert_refuses(GatedActivationTangent { rows: 0, ..good }, "rows");
        assert_refuses(GatedActivationTangent { width: 0, ..good }, "width");
        let none = GatedActivationTangent {
            tangents: 0,
            ..good
        };
        assert_refuses(none, "tangents");
        let rows_overlap = GatedActivationTangent {
            out_row_stride: 3,
            ..good
        };
        assert_refuses(rows_overlap, "out_row_stride");
        let tangents_overlap = GatedActivationTangent {
            out_tangent_stride: 11,
            ..good
        };
        assert_refuses(tangents_overlap, "out_tangent_stride");
        let activation: Activation = bytemuck::cast(99u32);
        assert_refuses(GatedActivationTangent { activation, ..good }, "activation");
        let far = GatedActivationTangent {
            gate_offset: u32::MAX,
            x_row_stride: u32::MAX,
            x_tangent_stride: u32::MAX,
            ..good
        };
        assert_eq!(far.extents()[1], 7 * u32::MAX as usize + 4);
        let cost = good.cost();
        assert_eq!((cost.flops, cost.bytes), (12 * 18, (24 * 6 + 12 * 5) * 4));
    }
}
