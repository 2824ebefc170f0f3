//! Sums over the steps of an orbit.

use crate::addressing::require_positive;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// Adds `count` numbers of one step to running sums, and the rounding errors of that to another row, so that
/// `sum + compensation` is the sum as if in twice the precision (Neumaier, ZAMM 54, 1974; Knuth's TwoSum).
///
/// Operands: `x`, whose `count` numbers of a step start at `x_offset + n x_step_stride`; `sum` and
/// `compensation` `[count]` in place, zero at first. Of an orbit, the last of every `every` steps counts,
/// the n-th of them with n from 0, unless it is before step `from_step`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct CompensatedSum {
    /// Sums.
    pub count: u32,
    /// Iteration; set by [`Kernel::at_step`].
    pub step: u32,
    /// First step that counts.
    pub from_step: u32,
    /// Steps from one summand to the next.
    pub every: u32,
    /// First summand.
    pub x_offset: u32,
    /// Elements between the summands of two steps that count; 0 reads the same place again.
    pub x_step_stride: u32,
}

impl CompensatedSum {
    /// Sums over all steps of numbers that every step leaves in the same place.
    pub fn new(count: u32) -> Self {
        Self {
            count,
            step: 0,
            from_step: 0,
            every: 1,
            x_offset: 0,
            x_step_stride: 0,
        }
    }

    fn is_due(&self) -> bool {
        let every = self.every.max(1);
        self.step % every == every - 1 && self.step >= self.from_step
    }

    fn start(&self) -> usize {
        let record = (self.step / self.every.max(1)) as usize;
        record
            .saturating_mul(self.x_step_stride as usize)
            .saturating_add(self.x_offset as usize)
    }
}

impl Kernel for CompensatedSum {
    const NAME: &'static str = "compensated_sum";
    const SHADER: &'static str = include_str!("../../shaders/compensated_sum.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("x"),
        Operand::output("sum").in_place(),
        Operand::output("compensation").in_place(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let counts = [("count", self.count), ("every", self.every)];
        require_positive(Self::NAME, &counts)?;
        if self.every > i32::MAX as u32 {
            let (every, most) = (self.every, "at most 2^31 - 1");
            return Err(KernelError::parameter(Self::NAME, "every", most, every));
        }
        let extent = self.extents().first().copied().unwrap_or(0);
        if extent > u32::MAX as usize {
            return Err(KernelError::parameter(
                Self::NAME,
                "x_step_stride",
                "at most 2^32 - 1 summands in all",
                self.x_step_stride,
            ));
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let count = element_count(&[self.count]);
        vec![self.start().saturating_add(count), count, count]
    }

    fn cost(&self) -> Cost {
        let count = u64::from(self.count);
        Cost {
            flops: 7 * count,
            bytes: 20 * count,
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.count as usize, 64),
        }
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        if !self.is_due() {
            return Ok(());
        }
        let x = operands.float(0)?.get(self.start()..).unwrap_or_default();
        let sums = operands.float_mut(1)?.iter_mut();
        let errors = operands.float_mut(2)?.iter_mut();
        for ((sum, error), x) in sums.zip(errors).zip(x).take(self.count as usize) {
            let total = *sum + *x;
            let added = total - *sum;
            let lost = (*sum - (total - added)) + (*x - added);
            // An infinite sum has no error.
            if total.is_finite() {
                *error += lost;
            }
            *sum = total;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::View;
    use crate::test_support::{assert_refuses, numbers, run};

    /// Sum and compensation after some steps over a history.
    fn after(kernel: CompensatedSum, x: &[f32], steps: u32) -> (Vec<f32>, Vec<f32>) {
        let count = kernel.count as usize;
        let (mut sum, mut rest) = (vec![0.0f32; count], vec![0.0f32; count]);
        for step in 0..steps {
            let views = vec![
                View::Float(x),
                View::FloatMut(&mut sum),
                View::FloatMut(&mut rest),
            ];
            run(kernel.at_step(step), views).unwrap();
        }
        (sum, rest)
    }

    #[test]
    fn sums_as_in_double_precision() {
        let (count, steps) = (5usize, 20_000u32);
        let mut x = numbers(count * steps as usize, 3);
        x.iter_mut().for_each(|v| *v += 1e3);
        let kernel = CompensatedSum {
            x_step_stride: count as u32,
            ..CompensatedSum::new(count as u32)
        };
        let (sum, rest) = after(kernel, &x, steps);
        for i in 0..count {
            let exact: f64 = x.iter().skip(i).step_by(count).map(|v| f64::from(*v)).sum();
            let found = f64::from(sum[i]) + f64::from(rest[i]);
            assert!((found - exact).abs() < 1e-9 * exact, "{found} {exact}");
            assert!((f64::from(sum[i]) - exact).abs() > 1e-7 * exact);
        }
    }

    #[test]
    fn leaves_out_what_is_before_the_start_and_between() {
        let x: Vec<f32> = (0..10).map(|i| (1 << i) as f32).collect();
        let kernel = CompensatedSum {
            every: 2,
            from_step: 4,
            x_offset: 1,
            x_step_stride: 2,
            ..CompensatedSum::new(1)
        };
        // Steps 5 and 7 count: the third and the fourth of those that are due.
        assert_eq!(after(kernel, &x, 9).0, [x[5] + x[7]]);
    }

    #[test]
    fn what_is_not_finite_shows() {
        let (sum, rest) = after(CompensatedSum::new(2), &[f32::INFINITY, f32::NAN], 3);
        assert_eq!(sum[0], f32::INFINITY);
        assert_eq!(rest, [0.0, 0.0]);
        assert!(sum[1].is_nan());
    }

    #[test]
    fn refuses_what_it_is_not_defined_for() {
        let good = CompensatedSum::new(3);
        assert!(good.check().is_ok());
        assert_refuses(CompensatedSum { count: 0, ..good }, "count");
        assert_refuses(CompensatedSum { every: 0, ..good }, "every");
        let rare = CompensatedSum {
            every: 1 << 31,
            ..good
        };
        assert_refuses(rare, "every");
        let far = CompensatedSum {
            step: u32::MAX,
            x_step_stride: u32::MAX,
            ..good
        };
        assert_refuses(far, "x_step_stride");
    }
}
