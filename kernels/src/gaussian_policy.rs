//! Actions of a squashed Gaussian policy, and how likely they are.

use crate::addressing::{require_finite, require_positive};
use crate::rows::Rows;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real,
    for_each_weighted_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `action = tanh(mean + eps exp(log_std))` with
/// `log_std = log_std_min + log_std_dif / 2 (tanh(raw) + 1)`, from `x`, `[rows, 2 actions]`, which holds
/// means, then raw logarithms of deviations (TD-MPC2; Hansen, Su, Wang 2024; the squash is that of Haarnoja
/// et al. 2018).
///
/// Under [`GaussianPolicy::SAMPLE`] eps, `[rows, actions]`, is given; otherwise it is zero. Under
/// [`GaussianPolicy::MASK`] means, log_std and eps are multiplied by `mask`, `[actions]`, 1 for actions that
/// the task has. Further outputs are there if their flag is set: `mean = tanh(mean)`, `log_std`, and
/// `entropy`, `[rows, 2]`, which holds `-p` and `-p g / (p + 1e-8)` with
/// `p = sum(-eps^2 / 2 - log_std - ln(2 pi) / 2) - sum(ln(max(1 - action^2, 0) + 1e-6))` and g the first of
/// these sums times the number of actions that the task has.
///
/// Eps of step s begins at `eps_offset + s eps_step_stride`; mean, log_std and entropy are contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct GaussianPolicy {
    /// Rows.
    pub rows: u32,
    /// Actions.
    pub actions: u32,
    /// First element of x.
    pub x_offset: u32,
    /// Elements between rows of x.
    pub x_row_stride: u32,
    /// First element of eps at step 0.
    pub eps_offset: u32,
    /// Elements between rows of eps.
    pub eps_row_stride: u32,
    /// Elements between the eps of successive steps of an orbit.
    pub eps_step_stride: u32,
    /// First element of the actions.
    pub action_offset: u32,
    /// Elements between rows of the actions.
    pub action_row_stride: u32,
    /// Step of the orbit; set by [`Kernel::at_step`].
    pub step: u32,
    /// Least log_std.
    pub log_std_min: f32,
    /// Range of log_std.
    pub log_std_dif: f32,
    /// Bit set of [`GaussianPolicy::SAMPLE`], [`GaussianPolicy::MASK`], [`GaussianPolicy::MEAN`],
    /// [`GaussianPolicy::LOG_STD`] and [`GaussianPolicy::ENTROPY`].
    pub flags: u32,
}

/// ln(2 pi) / 2.
const LOG_SQRT_TWO_PI: f64 = 0.918_938_533_204_672_7;

impl GaussianPolicy {
    /// Flag: eps is given.
    pub const SAMPLE: u32 = 1;
    /// Flag: there is a mask of actions.
    pub const MASK: u32 = 2;
    /// Flag: squashed means are wanted.
    pub const MEAN: u32 = 4;
    /// Flag: logarithms of deviations are wanted.
    pub const LOG_STD: u32 = 8;
    /// Flag: entropies are wanted.
    pub const ENTROPY: u32 = 16;

    /// Contiguous operands, eps given and nothing but actions wanted, with TD-MPC2's bounds of log_std,
    /// -10 and 2.
    pub fn sample(rows: u32, actions: u32) -> Self {
        Self {
            rows,
            actions,
            x_offset: 0,
            x_row_stride: actions.saturating_mul(2),
            eps_offset: 0,
            eps_row_stride: actions,
            eps_step_stride: 0,
            action_offset: 0,
            action_row_stride: actions,
            step: 0,
            log_std_min: -10.0,
            log_std_dif: 12.0,
            flags: Self::SAMPLE,
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn view(&self, offset: u32, row_stride: u32, width: u32) -> Rows {
        Rows {
            batch: 1,
            rows: self.rows,
            width,
            offset,
            batch_stride: 0,
            row_stride,
        }
    }

    fn x(&self) -> Rows {
        self.view(
            self.x_offset,
            self.x_row_stride,
            self.actions.saturating_mul(2),
        )
    }

    fn action(&self) -> Rows {
        self.view(self.action_offset, self.action_row_stride, self.actions)
    }

    /// Eps from its first element at this step on, and where that is.
    fn eps(&self) -> (usize, Rows) {
        let moved = (self.step as usize).saturating_mul(self.eps_step_stride as usize);
        let start = moved.saturating_add(self.eps_offset as usize);
        (start, self.view(0, self.eps_row_stride, self.actions))
    }

    /// One row: what is squashed and how it lies, action by action: (mean, log_std, eps).
    #[inline(always)]
    fn drawn<T: Real>(&self, x: &[T], eps: &[T], mask: &[T], action: usize) -> (T, T, T) {
        let raw = x[self.actions as usize + action];
        let half = T::from_f32(0.5) * T::from_f32(self.log_std_dif);
        let log_std = T::from_f32(self.log_std_min) + half * (raw.tanh() + T::ONE);
        let eps = eps.get(action).copied().unwrap_or(T::ZERO);
        match mask.get(action) {
            Some(mask) => (x[action] * *mask, log_std * *mask, eps * *mask),
            None => (x[action], log_std, eps),
        }
    }

    /// `-p` and its scaled form for one row.
    fn entropies<T: Real>(&self, x: &[T], eps: &[T], mask: &[T]) -> [T; 2] {
        let (mut gaussian, mut squash) = (T::ZERO, T::ZERO);
        for action in 0..self.actions as usize {
            let (mean, log_std, eps) = self.drawn(x, eps, mask, action);
            let constant = T::from_f64(LOG_SQRT_TWO_PI);
            gaussian += T::from_f32(-0.5) * eps * eps - log_std - constant;
            let squashed = (mean + eps * log_std.exp()).tanh();
            let left = (T::ONE - squashed * squashed).maximum(T::ZERO);
            squash += (left + T::from_f64(1e-6)).ln();
        }
        let probability = gaussian - squash;
        let actions = match self.has(Self::MASK) {
            true => mask.iter().fold(T::ZERO, |sum, v| sum + *v),
            false => T::from_f64(f64::from(self.actions)),
        };
        let scale = gaussian * actions / (probability + T::from_f64(1e-8));
        [-probability, -probability * scale]
    }
}

impl Kernel for GaussianPolicy {
    const NAME: &'static str = "gaussian_policy";
    const SHADER: &'static str = include_str!("../../shaders/gaussian_policy.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("x"),
        Operand::input("eps").optional(),
        Operand::input("mask").optional(),
        Operand::output("action"),
        Operand::output("mean").optional(),
        Operand::output("log_std").optional(),
        Operand::output("entropy").optional(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[("rows", self.rows), ("actions", self.actions)],
        )?;
        if !self.action().distinct() {
            return Err(KernelError::parameter(
                Self::NAME,
                "action_row_stride",
                format!("at least actions = {}", self.actions),
                self.action_row_stride,
            ));
        }
        require_finite(Self::NAME, "log_std_min", self.log_std_min)?;
        require_finite(Self::NAME, "log_std_dif", self.log_std_dif)?;
        if self.flags > 31 {
            return Err(KernelError::parameter(
                Self::NAME,
                "flags",
                "0..=31",
                self.flags,
            ));
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let optional = |flag, extent| if self.has(flag) { extent } else { 0 };
        let rows = self.rows as usize;
        let all = rows.saturating_mul(self.actions as usize);
        let (start, eps) = self.eps();
        vec![
            self.x().reach(),
            optional(Self::SAMPLE, start.saturating_add(eps.reach())),
            optional(Self::MASK, self.actions as usize),
            self.action().reach(),
            optional(Self::MEAN, all),
            optional(Self::LOG_STD, all),
            optional(Self::ENTROPY, rows.saturating_mul(2)),
        ]
    }

    fn cost(&self) -> Cost {
        let numbers = u64::from(self.rows).saturating_mul(u64::from(self.actions));
        let has = |flag| u64::from(self.has(flag));
        // Two hyperbolic tangents, an exponential, bounds (four), product and sum; a mean is one more;
        // entropy: density (four), squash (four).
        let flops = 9 + has(Self::MEAN) + 8 * has(Self::ENTROPY);
        let moved = 3 + has(Self::SAMPLE) + has(Self::MEAN) + has(Self::LOG_STD);
        let rows = 2 * u64::from(self.rows) * has(Self::ENTROPY);
        let mask = u64::from(self.actions) * has(Self::MASK);
        Cost {
            flops: numbers.saturating_mul(flops).saturating_add(3 * rows),
            bytes: (numbers.saturating_mul(moved))
                .saturating_add(rows + mask)
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.rows as usize, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.actions) + 1
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let eps = operands.float_or_empty(1)?;
        let mask = operands.float_or_empty(2)?;
        let action = operands.float_mut(3)?;
        let mean = match self.has(Self::MEAN) {
            true => Some(operands.float_mut(4)?),
            false => None,
        };
        let log_std = match self.has(Self::LOG_STD) {
            true => Some(operands.float_mut(5)?),
            false => None,
        };
        let entropy = match self.has(Self::ENTROPY) {
            true => Some(operands.float_mut(6)?),
            false => None,
        };
        let (parallel, actions) = (operands.parallel, self.actions as usize);
        let (start, eps_view) = self.eps();
        let (x_view, rows) = (self.x(), self.rows as usize);
        let mask = if self.has(Self::MASK) {
            &mask[..actions]
        } else {
            &[]
        };
        let row_of = |row: usize| {
            let eps: &[T] = match self.has(Self::SAMPLE) {
                true => eps_view.row(&eps[start..], 0, row),
                false => &[],
            };
            (x_view.row(x, 0, row), eps)
        };
        self.action().for_each(parallel, action, |_, row, out| {
            let (x, eps) = row_of(row);
            for (action, out) in out.iter_mut().enumerate() {
                let (mean, log_std, eps) = self.drawn(x, eps, mask, action);
                *out = (mean + eps * log_std.exp()).tanh();
            }
        });
        if let Some(mean) = mean {
            let mean = &mut mean[..rows * actions];
            for_each_weighted_row(parallel, mean, actions, 8, |row, out| {
                let (x, eps) = row_of(row);
                for (action, out) in out.iter_mut().enumerate() {
                    *out = self.drawn(x, eps, mask, action).0.tanh();
                }
            });
        }
        if let Some(log_std) = log_std {
            let log_std = &mut log_std[..rows * actions];
            for_each_weighted_row(parallel, log_std, actions, 8, |row, out| {
                let (x, eps) = row_of(row);
                for (action, out) in out.iter_mut().enumerate() {
                    *out = self.drawn(x, eps, mask, action).1;
                }
            });
        }
        if let Some(entropy) = entropy {
            for_each_weighted_row(
                parallel,
                &mut entropy[..rows * 2],
                2,
                16 * actions,
                |row, out| {
                    let (x, eps) = row_of(row);
                    out.copy_from_slice(&self.entropies(x, eps, mask));
                },
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::GaussianPolicy;
    use crate::test_support::{assert_close, assert_refuses, numbers, run, widen};
    use crate::{Kernel, Scalar, View};

    /// Inputs x, eps and mask, and the outputs.
    fn policy<T: Scalar>(kernel: GaussianPolicy, inputs: [&[T]; 3]) -> [Vec<T>; 4] {
        let extents = kernel.extents();
        let mut out = [3, 4, 5, 6].map(|i: usize| vec![T::from_f64(7.0); extents[i]]);
        let mut views: Vec<View<'_, T>> = inputs
            .iter()
            .enumerate()
            .map(|(i, data)| match extents[i] {
                0 => View::Absent,
                _ => View::Float(data),
            })
            .collect();
        views.extend(out.iter_mut().map(|out| match out.is_empty() {
            true => View::Absent,
            false => View::FloatMut(out),
        }));
        run(kernel, views).unwrap();
        out
    }

    #[test]
    fn matches_the_formula() {
        for (rows, actions) in [(1u32, 1u32), (7, 3), (67, 2), (5, 21)] {
            for flags in [0, 1, 3, 28, 29, 31] {
                let kernel = GaussianPolicy {
                    x_offset: 1,
                    x_row_stride: 2 * actions + 3,
                    eps_offset: 2,
                    eps_row_stride: actions + 1,
                    eps_step_stride: 5,
                    action_offset: 4,
                    action_row_stride: actions + 2,
                    flags,
                    ..GaussianPolicy::sample(rows, actions)
                }
                .at_step(3);
                let extents = kernel.extents();
                let (r, a) = (rows as usize, actions as usize);
                let x: Vec<f32> = numbers(extents[0], 1);
                let eps: Vec<f32> = numbers(extents[1], 2).iter().map(|v| 2.0 * v).collect();
                let mask: Vec<f32> = (0..extents[2]).map(|i| f32::from(i % 2 == 0)).collect();
                let found = policy(kernel, [&x, &eps, &mask]);
                let wide = policy(kernel, [&widen(&x), &widen(&eps), &widen(&mask)]);
                let [mut action, mut mean, mut log_std, mut entropy] =
                    [extents[3], extents[4], extents[5], extents[6]].map(|n| vec![7.0f64; n]);
                for row in 0..r {
                    let (mut g, mut p) = (0.0, 0.0);
                    for i in 0..a {
                        let at = 1 + row * (2 * a + 3) + i;
                        let m = mask.get(i).map_or(1.0, |v| f64::from(*v));
                        let e = match flags & 1 {
                            0 => 0.0,
                            _ => f64::from(eps[17 + row * (a + 1) + i]) * m,
                        };
                        let mu = f64::from(x[at]) * m;
                        let ls = (-10.0 + 6.0 * (f64::from(x[at + a]).tanh() + 1.0)) * m;
                        let y = (mu + e * ls.exp()).tanh();
                        action[4 + row * (a + 2) + i] = y;
                        if flags & 4 != 0 {
                            mean[row * a + i] = mu.tanh();
                            log_std[row * a + i] = ls;
                        }
                        let density = -0.5 * e * e - ls - 0.5 * (2.0 * std::f64::consts::PI).ln();
                        g += density;
                        p += density - ((1.0 - y * y).max(0.0) + 1e-6).ln();
                    }
                    if flags & 16 != 0 {
                        let count = match flags & 2 {
                            0 => a as f64,
                            _ => mask.iter().map(|v| f64::from(*v)).sum(),
                        };
                        entropy[2 * row] = -p;
                        entropy[2 * row + 1] = -p * (g * count / (p + 1e-8));
                    }
                }
                let pairs = [&action, &mean, &log_std, &entropy].into_iter().zip(&wide);
                for (expected, wide) in pairs {
                    for (wide, expected) in wide.iter().zip(expected) {
                        let error = (wide - expected).abs();
                        assert!(error <= 1e-9 * (1.0 + expected.abs()), "{wide} {expected}");
                    }
                }
                assert_close(&found[0], &action, 4e-6, "action");
                assert_close(&found[1], &mean, 4e-6, "mean");
                assert_close(&found[2], &log_std, 4e-6, "log_std");
            }
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = GaussianPolicy::sample(3, 2);
        good.check().unwrap();
        assert_refuses(GaussianPolicy { rows: 0, ..good }, "rows");
        assert_refuses(GaussianPolicy { actions: 0, ..good }, "actions");
        assert_refuses(GaussianPolicy { flags: 32, ..good }, "flags");
        let bad = GaussianPolicy {
            action_row_stride: 1,
            ..good
        };
        assert_refuses(bad, "action_row_stride");
        let bad = GaussianPolicy {
            log_std_dif: f32::NAN,
            ..good
        };
        assert_refuses(bad, "log_std_dif");
        assert_eq!((good.cost().flops, good.cost().bytes), (54, 96));
    }
}
