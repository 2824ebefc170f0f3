//! Activation functions over an array.

use crate::addressing::{reach, require_finite, require_positive};
use crate::{
    Activation, Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real,
    for_each_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `y = activation(scale * x)` over `count` contiguous elements. NaN stays NaN.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Activate {
    /// Elements.
    pub count: u32,
    /// First element of x.
    pub x_offset: u32,
    /// First element of y.
    pub y_offset: u32,
    /// Which function.
    pub activation: Activation,
    /// Factor on x.
    pub scale: f32,
}

/// Elements that one call of a row's loop takes.
const BLOCK: usize = 1024;

impl Activate {
    /// `activation(x)` over the first `count` elements.
    pub fn of(activation: Activation, count: u32) -> Self {
        Self {
            count,
            x_offset: 0,
            y_offset: 0,
            activation,
            scale: 1.0,
        }
    }
}

impl Kernel for Activate {
    const NAME: &'static str = "activation";
    const SHADER: &'static str = include_str!("../../shaders/activation.wgsl");
    const OPERANDS: &'static [Operand] = &[Operand::input("x"), Operand::output("y")];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(Self::NAME, &[("count", self.count)])?;
        require_finite(Self::NAME, "scale", self.scale)?;
        self.activation.check(Self::NAME)
    }

    fn extents(&self) -> Vec<usize> {
        let end = |offset: u32| reach(offset as usize, &[(self.count, 1)]);
        vec![end(self.x_offset), end(self.y_offset)]
    }

    fn cost(&self) -> Cost {
        let count = u64::from(self.count);
        let scaling = u64::from(self.scale != 1.0);
        Cost {
            flops: count * (self.activation.flops() + scaling),
            bytes: count * 8,
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.count as usize, 256),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let (count, from, to) = (
            self.count as usize,
            self.x_offset as usize,
            self.y_offset as usize,
        );
        let x = &operands.float(0)?[from..from + count];
        let y = &mut operands.float_mut(1)?[to..to + count];
        let scale = T::from_f32(self.scale);
        for_each_row(
            operands.parallel,
            y,
            BLOCK,
            #[inline(always)]
            |block, out| {
                for (y, x) in out.iter_mut().zip(&x[block * BLOCK..]) {
                    *y = scale * *x;
                }
                self.activation.apply_slice(out);
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Activate;
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Activation, Kernel, View};

    fn reference(activation: Activation, x: f64) -> f64 {
        let normal = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
        match activation.name() {
            "identity" => x,
            "relu" => x.max(0.0),
            "gelu" => x * normal(x),
            "gelu_tanh" => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
            "silu" => x / (1.0 + (-x).exp()),
            "mish" => x * x.exp().ln_1p().tanh(),
            "sigmoid" => 1.0 / (1.0 + (-x).exp()),
            "tanh" => x.tanh(),
            other => panic!("no reference for {other}"),
        }
    }

    #[test]
    fn every_function_matches_double_precision() {
        for (_, activation) in Activation::ALL {
            for count in [1u32, 7, 2053] {
                let kernel = Activate {
                    x_offset: 2,
                    y_offset: 1,
                    scale: -8.5,
                    ..Activate::of(*activation, count)
                };
                let x = numbers(count as usize + 2, 11);
                let mut y = vec![5.0f32; count as usize + 1];
                run(kernel, vec![View::Float(&x), View::FloatMut(&mut y)]).unwrap();
                let mut expected = vec![5.0];
                expected.extend(
                    x[2..]
                        .iter()
                        .map(|v| reference(*activation, f64::from(-8.5f32 * *v))),
                );
                // The exact GELU carries erf's absolute error, times half of |x|.
                assert_close(&y, &expected, 3e-6, activation.name());
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        for (name, activation) in Activation::ALL {
            let x = [f32::NAN];
            let mut y = [0.0f32];
            let views = vec![View::Float(&x[..]), View::FloatMut(&mut y[..])];
            run(Activate::of(*activation, 1), views).unwrap();
            assert!(y[0].is_nan(), "{name}");
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = Activate::of(Activation::RELU, 10);
        good.check().unwrap();
        assert_refuses(Activate { count: 0, ..good }, "count");
        assert_refuses(
            Activate {
                scale: f32::INFINITY,
                ..good
            },
            "scale",
        );
        let unknown: Activation = bytemuck::cast(99u32);
        assert_refuses(Activate::of(unknown, 1), "activation");
        assert_eq!((good.cost().flops, good.cost().bytes), (10, 80));
    }
}
