//! The mean squared error and its gradient.

use crate::addressing::require_positive;
use crate::lanes::LANES;
use crate::reduce::{Lanes, Sums};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_weighted_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `loss = mean (prediction - target)^2` of every example, and the gradient of `cotangent loss` by the
/// prediction, `2 / count (prediction - target) cotangent`; either or both, as PyTorch's `mse_loss`.
///
/// Operands: `prediction` `[examples, count]`; `goal`, the target, `[examples, count]`, or `[count]` for all
/// examples (`target_stride = 0`); `cotangent` `[examples]`, 1 where it is left out; `gradient` `[examples,
/// count]`; `loss` `[examples]`. All are contiguous. Sums are compensated, in an order that depends on `count`
/// alone.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct MeanSquaredError {
    /// Examples, each with a loss of its own.
    pub examples: u32,
    /// Numbers of an example.
    pub count: u32,
    /// Elements between the targets of successive examples: `count`, or 0 where all share one.
    pub target_stride: u32,
    /// Bit set of [`MeanSquaredError::LOSS`], [`MeanSquaredError::GRADIENT`],
    /// [`MeanSquaredError::COTANGENT`].
    pub flags: u32,
}

impl MeanSquaredError {
    /// Flag: the loss is wanted.
    pub const LOSS: u32 = 1;
    /// Flag: the gradient is wanted.
    pub const GRADIENT: u32 = 2;
    /// Flag: there is a cotangent.
    pub const COTANGENT: u32 = 4;

    /// Losses alone, every example with a target of its own.
    pub fn losses(examples: u32, count: u32) -> Self {
        Self {
            examples,
            count,
            target_stride: count,
            flags: Self::LOSS,
        }
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

impl Kernel for MeanSquaredError {
    const NAME: &'static str = "mean_squared_error";
    const SHADER: &'static str = include_str!("../../shaders/mean_squared_error.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("prediction"),
        Operand::input("goal"),
        Operand::input("cotangent").optional(),
        Operand::output("gradient").optional(),
        Operand::output("loss").optional(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let counts = [("examples", self.examples), ("count", self.count)];
        require_positive(Self::NAME, &counts)?;
        let refuse = |parameter, expected, found| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        if self.flags > 7 || self.flags & (Self::LOSS | Self::GRADIENT) == 0 {
            return refuse(
                "flags",
                "0..=7, a loss or a gradient among them",
                self.flags,
            );
        }
        if self.target_stride != 0 && self.target_stride < self.count {
            return refuse("target_stride", "0, or at least count", self.target_stride);
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let all = element_count(&[self.examples, self.count]);
        let examples = self.examples as usize;
        let optional = |flag, extent| if self.has(flag) { extent } else { 0 };
        let targets = (examples.saturating_sub(1))
            .saturating_mul(self.target_stride as usize)
            .saturating_add(self.count as usize);
        vec![
            all,
            targets,
            optional(Self::COTANGENT, examples),
            optional(Self::GRADIENT, all),
            optional(Self::LOSS, examples),
        ]
    }

    fn cost(&self) -> Cost {
        let elements = element_count(&[self.examples, self.count]) as u64;
        let targets = if self.target_stride == 0 {
            u64::from(self.count)
        } else {
            elements
        };
        // A difference, its square and a compensated addition; a gradient is two more.
        let (mut flops, mut moved) = (elements, elements.saturating_add(targets));
        if self.has(Self::LOSS) {
            flops = flops.saturating_add(elements.saturating_mul(8));
            moved = moved.saturating_add(u64::from(self.examples));
        }
        if self.has(Self::GRADIENT) {
            let each = 1 + u64::from(self.has(Self::COTANGENT));
            flops = flops.saturating_add(elements.saturating_mul(each));
            moved = moved.saturating_add(elements);
        }
        if self.has(Self::COTANGENT) {
            moved = moved.saturating_add(u64::from(self.examples));
        }
        Cost {
            flops,
            bytes: moved.saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.examples as usize, 1),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.count) / 256 + 16
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let (examples, count) = (self.examples as usize, self.count as usize);
        let prediction = operands.float(0)?;
        let goal = operands.float(1)?;
        let cotangent = operands.float_or_empty(2)?;
        let stride = self.target_stride as usize;
        let pair = |example: usize| {
            let goal = &goal[example * stride..][..count];
            (&prediction[example * count..][..count], goal)
        };
        if self.has(Self::GRADIENT) {
            let factor = T::from_f64(2.0 / count as f64);
            let gradient = &mut operands.float_mut(3)?[..examples * count];
            for_each_weighted_row(
                operands.parallel,
                gradient,
                count,
                1,
                #[inline(always)]
                |example, out| {
                    let (prediction, goal) = pair(example);
                    let weight = cotangent.get(example).copied().unwrap_or(T::ONE);
                    for ((out, p), t) in out.iter_mut().zip(prediction).zip(goal) {
                        *out = factor * (*p - *t) * weight;
                    }
                },
            );
        }
        if self.has(Self::LOSS) {
            let loss = &mut operands.float_mut(4)?[..examples];
            for_each_weighted_row(
                operands.parallel,
                loss,
                1,
                count,
                #[inline(always)]
                |example, out| {
                    let (prediction, goal) = pair(example);
                    out.fill(mean_square(prediction, goal));
                },
            );
        }
        Ok(())
    }
}

/// Mean of the squares of differences.
#[inline(always)]
fn mean_square<T: Real>(prediction: &[T], goal: &[T]) -> T {
    let mut sums = Sums::new(T::from_f64(prediction.len() as f64));
    let mut squares = [T::ZERO; LANES];
    for (prediction, goal) in prediction.chunks(LANES).zip(goal.chunks(LANES)) {
        for ((square, p), t) in squares.iter_mut().zip(prediction).zip(goal) {
            let difference = *p - *t;
            *square = difference * difference;
        }
        sums.add(&squares[..prediction.len()]);
    }
    sums.total()
}

#[cfg(test)]
mod tests {
    use super::MeanSquaredError;
    use crate::test_support::{assert_close, assert_refuses, numbers, run, widen};
    use crate::{Kernel, View};

    const ALL: u32 = 7;

    fn outputs(kernel: MeanSquaredError, x: &[f32], t: &[f32], c: &[f32]) -> [Vec<f32>; 2] {
        let extents = kernel.extents();
        let (mut gradient, mut loss) = (vec![5.0; extents[3]], vec![5.0; extents[4]]);
        let some = |flag, view| if kernel.has(flag) { view } else { View::Absent };
        let views = vec![
            View::Float(x),
            View::Float(t),
            some(MeanSquaredError::COTANGENT, View::Float(c)),
            some(MeanSquaredError::GRADIENT, View::FloatMut(&mut gradient)),
            some(MeanSquaredError::LOSS, View::FloatMut(&mut loss)),
        ];
        run(kernel, views).unwrap();
        [gradient, loss]
    }

    #[test]
    fn is_the_mean_of_squares_and_its_slope() {
        for (examples, count, shared) in [
            (1, 1, false),
            (3, 7, true),
            (2, 129, false),
            (5, 2053, true),
        ] {
            let kernel = MeanSquaredError {
                target_stride: if shared { 0 } else { count },
                flags: ALL,
                ..MeanSquaredError::losses(examples, count)
            };
            let extents = kernel.extents();
            let (x, t) = (numbers(extents[0], 1), numbers(extents[1], 2));
            let c = numbers(examples as usize, 3);
            let [gradient, loss] = outputs(kernel, &x, &t, &c);
            let (wide, goal) = (widen(&x), widen(&t));
            let n = count as usize;
            let goal = |i: usize| goal[if shared { i % n } else { i }];
            let slopes: Vec<f64> = (0..wide.len())
                .map(|i| 2.0 * (wide[i] - goal(i)) / n as f64 * f64::from(c[i / n]))
                .collect();
            let losses: Vec<f64> = (0..examples as usize)
                .map(|e| {
                    (e * n..(e + 1) * n)
                        .map(|i| (wide[i] - goal(i)).powi(2))
                        .sum::<f64>()
                        / n as f64
                })
                .collect();
            assert_close(&gradient, &slopes, 4e-7, "gradient");
            assert_close(&loss, &losses, 4e-7, "loss");
            // The gradient alone, the loss alone and an example alone have the same bits.
            let only = |flags| outputs(MeanSquaredError { flags, ..kernel }, &x, &t, &c);
            assert_eq!(only(6)[0], gradient);
            assert_eq!(only(1)[1], loss);
            let last = examples as usize - 1;
            let own = if shared { 0 } else { last * n };
            let one = MeanSquaredError {
                examples: 1,
                ..kernel
            };
            let alone = outputs(one, &x[last * n..], &t[own..], &c[last..]);
            assert_eq!(alone, [gradient[last * n..].to_vec(), vec![loss[last]]]);
        }
    }

    #[test]
    fn what_is_not_finite_shows() {
        let kernel = MeanSquaredError {
            flags: 3,
            ..MeanSquaredError::losses(2, 2)
        };
        let x = [f32::NAN, 0.0, f32::INFINITY, 1.0];
        let [gradient, loss] = outputs(kernel, &x, &[0.0; 4], &[]);
        assert!(loss[0].is_nan() && gradient[0].is_nan());
        assert_eq!((loss[1], gradient[3]), (f32::INFINITY, 1.0));
    }

    #[test]
    fn refuses_what_it_is_not_defined_for() {
        let good = MeanSquaredError::losses(2, 5);
        assert!(good.check().is_ok());
        assert_eq!((good.cost().flops, good.cost().bytes), (90, 22 * 4));
        assert_refuses(
            MeanSquaredError {
                examples: 0,
                ..good
            },
            "examples",
        );
        assert_refuses(MeanSquaredError { count: 0, ..good }, "count");
        assert_refuses(MeanSquaredError { flags: 4, ..good }, "flags");
        assert_refuses(MeanSquaredError { flags: 8, ..good }, "flags");
        assert_refuses(
            MeanSquaredError {
                target_stride: 4,
                ..good
            },
            "target_stride",
        );
    }
}
