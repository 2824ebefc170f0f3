//! Tangents of activation functions.

use crate::activation::Activate;
use crate::addressing::{reach, require_finite, require_positive};
use crate::rows::Rows;
use crate::tangents::{BLOCK, for_each_block, of_elements};
use crate::{
    Activation, Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// The tangents of [`Activate`]: `dy[j] = scale * activation'(scale * x) * dx[j]` for each of `tangents`
/// tangents, the slope computed once for all of them. Where x is not finite the result is NaN.
///
/// Operands: x `[count]`, dx and dy `[tangents, count]`, each from the offset of its primal.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct ActivateTangent {
    /// Elements.
    pub count: u32,
    /// First element of x, and of each tangent of it.
    pub x_offset: u32,
    /// First element of each tangent of y.
    pub y_offset: u32,
    /// Which function.
    pub activation: Activation,
    /// Factor on x.
    pub scale: f32,
    /// Tangents.
    pub tangents: u32,
    /// Elements between tangents of x.
    pub x_tangent_stride: u32,
    /// Elements between tangents of y.
    pub y_tangent_stride: u32,
}

impl ActivateTangent {
    /// The tangents of `primal`, those of x and y as far apart as told, in elements.
    pub fn new(
        primal: Activate,
        tangents: u32,
        x_tangent_stride: u32,
        y_tangent_stride: u32,
    ) -> Self {
        Self {
            count: primal.count,
            x_offset: primal.x_offset,
            y_offset: primal.y_offset,
            activation: primal.activation,
            scale: primal.scale,
            tangents,
            x_tangent_stride,
            y_tangent_stride,
        }
    }

    fn dy(&self) -> Rows {
        let tangents = [self.tangents, self.y_tangent_stride];
        of_elements(self.count, self.y_offset, tangents)
    }
}

impl Kernel for ActivateTangent {
    const NAME: &'static str = "activation_tangent";
    const SHADER: &'static str = include_str!("../../shaders/activation_tangent.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("x"),
        Operand::input("dx"),
        Operand::output("dy"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[("count", self.count), ("tangents", self.tangents)],
        )?;
        require_finite(Self::NAME, "scale", self.scale)?;
        self.activation.check(Self::NAME)?;
        self.dy()
            .check(Self::NAME, ("y_offset", "y_tangent_stride"))
    }

    fn extents(&self) -> Vec<usize> {
        let (x, own) = (self.x_offset as usize, (self.count, 1));
        let tangents = (self.tangents, self.x_tangent_stride);
        vec![
            reach(x, &[own]),
            reach(x, &[own, tangents]),
            self.dy().reach(),
        ]
    }

    fn cost(&self) -> Cost {
        let (count, tangents) = (u64::from(self.count), u64::from(self.tangents));
        let slope = self.activation.flops() + u64::from(self.scale != 1.0) * 2;
        Cost {
            flops: count.saturating_mul(slope + tangents),
            bytes: count.saturating_mul(1 + 2 * tangents).saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.count as usize, 256),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.tangents) + 1
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let from = self.x_offset as usize;
        let x = &operands.float(0)?[from..];
        let dx = &operands.float(1)?[from..];
        let dy = operands.float_mut(2)?;
        let stride = self.x_tangent_stride as usize;
        let scale = T::from_f32(self.scale);
        for_each_block(
            &self.dy(),
            (operands.parallel, 1),
            dy,
            #[inline(always)]
            |block, pieces| {
                let mut slopes = [T::ZERO; BLOCK];
                for first in block.clone().step_by(BLOCK) {
                    let slopes = &mut slopes[..BLOCK.min(block.end - first)];
                    self.activation.slope_slice(scale, &x[first..], slopes);
                    for (j, piece) in pieces.iter_mut().enumerate() {
                        let dx = &dx[j * stride + first..][..slopes.len()];
                        let dy = &mut piece[first - block.start..][..slopes.len()];
                        for ((dy, slope), dx) in dy.iter_mut().zip(&*slopes).zip(dx) {
                            *dy = *slope * *dx;
                        }
                    }
                }
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::ActivateTangent;
    use crate::activation::Activate;
    use crate::test_support::{
        assert_refuses, assert_rows_apart, assert_tangents, numbers, tangent_of_row, widen,
    };
    use crate::{Activation, Kernel};

    /// Derivatives as in the textbooks, without regard for cancellation.
    fn slope(activation: Activation, x: f64) -> f64 {
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let sigmoid = 1.0 / (1.0 + (-x).exp());
        match activation.name() {
            "identity" => 1.0,
            "relu" => f64::from(x > 0.0),
            "gelu" => 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2) + x * density(x),
            "gelu_tanh" => {
                let root = (2.0 / std::f64::consts::PI).sqrt();
                let t = (root * (x + 0.044715 * x.powi(3))).tanh();
                let inner = root * (1.0 + 3.0 * 0.044715 * x * x);
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
            }
            "silu" => sigmoid * (1.0 + x * (1.0 - sigmoid)),
            "mish" => {
                let t = x.exp().ln_1p().tanh();
                t + x * (1.0 - t * t) * sigmoid
            }
            "sigmoid" => sigmoid * (1.0 - sigmoid),
            "tanh" => 1.0 - x.tanh().powi(2),
            other => panic!("no reference for {other}"),
        }
    }

    #[test]
    fn every_function_follows_its_derivative_and_its_differences() {
        for (name, activation) in Activation::ALL {
            for count in [1u32, 7, 2053] {
                let primal = Activate {
                    x_offset: 2,
                    y_offset: 1,
                    scale: -3.5,
                    ..Activate::of(*activation, count)
                };
                let strides = [count + 5, count + 3];
                let x: Vec<f64> = widen(&numbers(count as usize + 2, 11))
                    .iter()
                    .map(|v| v + 1e-4f64.copysign(*v))
                    .collect();
                assert_tangents(
                    name,
                    (primal, |k| {
                        ActivateTangent::new(primal, k, strides[0], strides[1])
                    }),
                    strides.map(|stride| stride as usize),
                    &x,
                    |x, dx, dy| {
                        for i in 0..count as usize {
                            dy[1 + i] = -3.5 * slope(*activation, -3.5 * x[2 + i]) * dx[2 + i];
                        }
                    },
                );
            }
        }
    }

    #[test]
    fn elements_do_not_depend_on_their_batch() {
        assert_rows_apart(75, [501, 501], |rows| {
            let primal = Activate::of(Activation::GELU, 501 * rows);
            ActivateTangent::new(primal, 2, 501 * rows, 501 * rows)
        });
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for (name, activation) in Activation::ALL {
            let primal = Activate::of(*activation, 4);
            let kernel = ActivateTangent::new(primal, 2, 4, 4);
            let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.5];
            let dx = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, f32::INFINITY];
            let dy = tangent_of_row(kernel, &x, &dx);
            for (at, dy) in dy.iter().enumerate() {
                assert_eq!(dy.is_finite(), at == 3, "{name}, {at}: {dy}");
            }
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = ActivateTangent::new(Activate::of(Activation::RELU, 10), 8, 10, 10);
        good.check().unwrap();
        assert_refuses(ActivateTangent { count: 0, ..good }, "count");
        assert_refuses(
            ActivateTangent {
                tangents: 0,
                ..good
            },
            "tangents",
        );
        let scale = f32::NAN;
        assert_refuses(ActivateTangent { scale, ..good }, "scale");
        let overlapping = ActivateTangent {
            y_tangent_stride: 9,
            ..good
        };
        assert_refuses(overlapping, "y_tangent_stride");
        let activation: Activation = bytemuck::cast(99u32);
        assert_refuses(ActivateTangent { activation, ..good }, "activation");
        let far = ActivateTangent {
            x_offset: u32::MAX,
            x_tangent_stride: u32::MAX,
            ..good
        };
        assert_eq!(far.extents()[1], 8 * u32::MAX as usize + 10);
        assert_eq!((good.cost().flops, good.cost().bytes), (90, 170 * 4));
    }
}
