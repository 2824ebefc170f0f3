//! Adam, a step of an optimiser.

use crate::addressing::require_positive;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, for_each_row,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// One step of Adam (Kingma & Ba, ICLR 2015), with decoupled weight decay on request (AdamW, Loshchilov &
/// Hutter, ICLR 2019), in the order of PyTorch's operations: with gradient g and the step's number t from 1
///
/// ```text
/// w = w (1 - learning_rate weight_decay)
/// m = m + (1 - beta1) (g - m)
/// v = beta2 v + (1 - beta2) g g
/// w = w - step_size m / (sqrt(v) / root_correction + epsilon)
/// step_size = learning_rate / (1 - beta1^t),  root_correction = sqrt(1 - beta2^t)
/// ```
///
/// Operands: `gradient`, and in place `weight`, `m` and `v`, each `[count]`; m and v are zero before the first
/// step. Coefficients are worked out in double precision on the host. Each is held as the nearest f32 and, under
/// the name with `_rest`, what is missing, so that the twin in f64 has them to 48 bits.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Adam {
    /// Parameters.
    pub count: u32,
    /// Iteration of the orbit, from 0; set by [`Kernel::at_step`].
    pub step: u32,
    /// Step size before the correction of bias.
    pub learning_rate: f32,
    /// What that lacks of its value.
    pub learning_rate_rest: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// What that lacks of its value.
    pub beta1_rest: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// What that lacks of its value.
    pub beta2_rest: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// What that lacks of its value.
    pub epsilon_rest: f32,
    /// Factor of weights before the step, `1 - learning_rate weight_decay`.
    pub keep: f32,
    /// What that lacks of its value.
    pub keep_rest: f32,
    /// `1 - beta1`.
    pub share1: f32,
    /// What that lacks of its value.
    pub share1_rest: f32,
    /// `1 - beta2`.
    pub share2: f32,
    /// What that lacks of its value.
    pub share2_rest: f32,
    /// `learning_rate / (1 - beta1^t)`; set by [`Kernel::at_step`].
    pub step_size: f32,
    /// What that lacks of its value.
    pub step_size_rest: f32,
    /// `sqrt(1 - beta2^t)`; set by [`Kernel::at_step`].
    pub root_correction: f32,
    /// What that lacks of its value.
    pub root_correction_rest: f32,
}

/// What an [`Adam`] is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AdamSettings {
    /// Step size before the correction of bias.
    pub learning_rate: f64,
    /// Decay of the first and second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay of weights; 0 for plain Adam.
    pub weight_decay: f64,
}

impl AdamSettings {
    /// PyTorch's defaults with this step size.
    pub fn new(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// The nearest f32, and what it lacks.
fn split(value: f64) -> (f32, f32) {
    let near = value as f32;
    let rest = (value - f64::from(near)) as f32;
    (near, if near.is_finite() { rest } else { 0.0 })
}

fn joined((near, rest): (f32, f32)) -> f64 {
    f64::from(near) + f64::from(rest)
}

/// A coefficient in the twin's precision.
fn coefficient<T: Real>(pair: (f32, f32)) -> T {
    T::from_f64(joined(pair))
}

impl Adam {
    /// The first step for `count` parameters.
    pub fn new(count: u32, settings: AdamSettings) -> Self {
        let AdamSettings {
            learning_rate: rate,
            betas,
            epsilon,
            weight_decay,
        } = settings;
        let (learning_rate, learning_rate_rest) = split(rate);
        let ((beta1, beta1_rest), (beta2, beta2_rest)) = (split(betas.0), split(betas.1));
        let (epsilon, epsilon_rest) = split(epsilon);
        let (keep, keep_rest) = split(1.0 - rate * weight_decay);
        let (share1, share1_rest) = split(1.0 - betas.0);
        let (share2, share2_rest) = split(1.0 - betas.1);
        let first = Self {
            count,
            step: 0,
            learning_rate,
            learning_rate_rest,
            beta1,
            beta1_rest,
            beta2,
            beta2_rest,
            epsilon,
            epsilon_rest,
            keep,
            keep_rest,
            share1,
            share1_rest,
            share2,
            share2_rest,
            step_size: 0.0,
            step_size_rest: 0.0,
            root_correction: 1.0,
            root_correction_rest: 0.0,
        };
        first.at_step(0)
    }
}

impl Kernel for Adam {
    const NAME: &'static str = "adam";
    const SHADER: &'static str = include_str!("../../shaders/adam.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("gradient"),
        Operand::output("weight").in_place(),
        Operand::output("m").in_place(),
        Operand::output("v").in_place(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(Self::NAME, &[("count", self.count)])?;
        let refuse = |parameter, expected, found: f32| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return refuse(name, "at least 0, less than 1", beta);
            }
        }
        for (name, value) in [
            ("learning_rate", self.learning_rate),
            ("epsilon", self.epsilon),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return refuse(name, "a finite number, not negative", value);
            }
        }
        if !self.keep.is_finite() {
            return refuse("keep", "a finite number", self.keep);
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        vec![self.count as usize; 4]
    }

    fn cost(&self) -> Cost {
        let count = u64::from(self.count);
        Cost {
            flops: 14 * count,
            bytes: 28 * count,
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.count as usize, 256),
        }
    }

    fn at_step(&self, step: u32) -> Self {
        let number = f64::from(step) + 1.0;
        let power = |pair| joined(pair).powf(number);
        let rate = joined((self.learning_rate, self.learning_rate_rest));
        let first = 1.0 - power((self.beta1, self.beta1_rest));
        let second = 1.0 - power((self.beta2, self.beta2_rest));
        let (step_size, step_size_rest) = split(rate / first);
        let (root_correction, root_correction_rest) = split(second.sqrt());
        Self {
            step,
            step_size,
            step_size_rest,
            root_correction,
            root_correction_rest,
            ..*self
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let count = self.count as usize;
        let gradient = &operands.float(0)?[..count];
        let weight = &mut operands.float_mut(1)?[..count];
        let m = &mut operands.float_mut(2)?[..count];
        let v = &mut operands.float_mut(3)?[..count];
        let keep: T = coefficient((self.keep, self.keep_rest));
        let share1: T = coefficient((self.share1, self.share1_rest));
        let share2: T = coefficient((self.share2, self.share2_rest));
        let beta2: T = coefficient((self.beta2, self.beta2_rest));
        let epsilon: T = coefficient((self.epsilon, self.epsilon_rest));
        let step_size: T = coefficient((self.step_size, self.step_size_rest));
        let correction: T = coefficient((self.root_correction, self.root_correction_rest));
        for_each_row(
            operands.parallel,
            m,
            BLOCK,
            #[inline(always)]
            |block, m| {
                let gradient = &gradient[block * BLOCK..][..m.len()];
                for (m, g) in m.iter_mut().zip(gradient) {
                    *m += share1 * (*g - *m);
                }
            },
        );
        for_each_row(
            operands.parallel,
            v,
            BLOCK,
            #[inline(always)]
            |block, v| {
                let gradient = &gradient[block * BLOCK..][..v.len()];
                for (v, g) in v.iter_mut().zip(gradient) {
                    *v = beta2 * *v + share2 * *g * *g;
                }
            },
        );
        let (m, v) = (&*m, &*v);
        for_each_row(
            operands.parallel,
            weight,
            BLOCK,
            #[inline(always)]
            |block, weight| {
                let m = &m[block * BLOCK..][..weight.len()];
                let v = &v[block * BLOCK..][..weight.len()];
                for ((weight, m), v) in weight.iter_mut().zip(m).zip(v) {
                    let divisor = v.sqrt() / correction + epsilon;
                    *weight = keep * *weight - step_size * *m / divisor;
                }
            },
        );
        Ok(())
    }
}

/// Parameters that are worked on together.
const BLOCK: usize = 1024;

#[cfg(test)]
mod tests {
    use super::{Adam, AdamSettings, split};
    use crate::test_support::{assert_refuses, numbers, run, widen};
    use crate::{Kernel, Scalar, View};

    const SETTINGS: AdamSettings = AdamSettings {
        learning_rate: 0.013,
        betas: (0.87, 0.995),
        epsilon: 1e-4,
        weight_decay: 0.3,
    };

    /// Weights after some steps with gradients that depend on the step.
    fn after<T: Scalar>(kernel: Adam, steps: u32) -> Vec<T> {
        let count = kernel.count as usize;
        let cast = |x: Vec<f32>| x.iter().map(|v| T::from_f32(*v)).collect::<Vec<T>>();
        let mut weight = cast(numbers(count, 1));
        let (mut m, mut v) = (vec![T::ZERO; count], vec![T::ZERO; count]);
        for step in 0..steps {
            let gradient = cast(numbers(count, 2 + u64::from(step)));
            let views = vec![
                View::Float(&gradient),
                View::FloatMut(&mut weight),
                View::FloatMut(&mut m),
                View::FloatMut(&mut v),
            ];
            run(kernel.at_step(step), views).unwrap();
        }
        weight
    }

    /// The formulas of the paper, without the incremental form.
    fn by_the_paper(count: usize, steps: u32, s: AdamSettings) -> Vec<f64> {
        let mut weight = widen(&numbers(count, 1));
        for (i, weight) in weight.iter_mut().enumerate() {
            let gradient = |step: u32| f64::from(numbers(count, 2 + u64::from(step))[i]);
            for t in 1..=steps {
                let weighted = |beta: f64, power: i32| -> f64 {
                    let terms = (1..=t).map(|k| {
                        (1.0 - beta) * beta.powi((t - k) as i32) * gradient(k - 1).powi(power)
                    });
                    terms.sum::<f64>() / (1.0 - beta.powi(t as i32))
                };
                let (m, v) = (weighted(s.betas.0, 1), weighted(s.betas.1, 2));
                *weight -= s.learning_rate * s.weight_decay * *weight;
                *weight -= s.learning_rate * m / (v.sqrt() + s.epsilon);
            }
        }
        weight
    }

    #[test]
    fn follows_the_paper() {
        for count in [1u32, 7, 1031] {
            let kernel = Adam::new(count, SETTINGS);
            let steps = if count > 1000 { 3 } else { 12 };
            let expected = by_the_paper(count as usize, steps, SETTINGS);
            let wide: Vec<f64> = after(kernel, steps);
            let single: Vec<f32> = after(kernel, steps);
            for ((wide, single), expected) in wide.iter().zip(single).zip(expected) {
                assert!((wide - expected).abs() < 1e-12, "{wide} {expected}");
                assert!((f64::from(single) - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_step_size_is_that_of_its_step() {
        let kernel = Adam::new(1, AdamSettings::new(0.01));
        assert_eq!(split(0.01).0, kernel.step_size / 10.0);
        let late = kernel.at_step(9999);
        assert!((late.step_size - 0.01).abs() < 1e-9);
        assert_eq!(late.at_step(0), kernel);
        let root = (1.0 - 0.999f64.powi(10_000)).sqrt();
        let held = f64::from(late.root_correction) + f64::from(late.root_correction_rest);
        assert!((held - root).abs() < 1e-14);
    }

    #[test]
    fn refuses_what_it_is_not_defined_for() {
        let good = Adam::new(3, SETTINGS);
        assert!(good.check().is_ok());
        assert_eq!((good.cost().flops, good.cost().bytes), (42, 84));
        assert_refuses(Adam { count: 0, ..good }, "count");
        assert_refuses(Adam { beta1: 1.0, ..good }, "beta1");
        assert_refuses(
            Adam {
                beta2: -0.1,
                ..good
            },
            "beta2",
        );
        let endless = f32::INFINITY;
        assert_refuses(
            Adam {
                learning_rate: endless,
                ..good
            },
            "learning_rate",
        );
        assert_refuses(
            Adam {
                epsilon: f32::NAN,
                ..good
            },
            "epsilon",
        );
        assert_refuses(
            Adam {
                keep: endless,
                ..good
            },
            "keep",
        );
    }
}
