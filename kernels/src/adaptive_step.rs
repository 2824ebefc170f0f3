//! Step-size control of an embedded Runge-Kutta pair.

mod decision;

use crate::combination::{Combination, padded};
use crate::runge_kutta::DORMAND_PRINCE;
use crate::{
    Access, Capabilities, Cost, Element, Kernel, KernelError, Launch, Operand, Operands, Real,
    element_count, for_each_weighted_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use decision::Row;
use serde::Serialize;

/// Each running row accepts or rejects the step it tried and chooses the next one (Hairer, Norsett,
/// Wanner, "Solving Ordinary Differential Equations I", II.4).
///
/// Operands: `x` `[rows, width]`, the states; `candidate` `[rows, width]`, where the step leads; `k`
/// `[stages, rows, width]`, `stage_stride` elements between stages; `time` and `step_size` `[rows]`;
/// `status` words `[rows, 4]`: accepted steps, rejected steps, state ([`AdaptiveStep::RUNNING`],
/// [`AdaptiveStep::DONE`], [`AdaptiveStep::FAILED`]), and 1 if the last attempt was rejected.
///
/// The error of a step is `e_c = step_size sum_i (numerator_i / denominator_i) k[i, r, c]`, and its norm
/// `err` the root of the mean over `c` of
/// `(e_c / (absolute_tolerance + relative_tolerance max(|x_c|, |candidate_c|)))^2`.
/// - `err <= 1` accepts: `x` becomes `candidate`, time moves on by the step, to exactly `end_time` if
///   the step closes the interval, which also makes the row done, and under [`AdaptiveStep::FSAL`] the
///   last stage becomes the first.
/// - The step size is multiplied by `clamp(safety err^(-1/5), smallest_factor, largest_factor)`, at most
///   1 right after a rejection. A step with anything not finite is rejected and multiplied by
///   `smallest_factor`.
/// - Then it is cut to `maximum_step` and to what is left of the interval, or stretched to that from 99 %
///   of it on. A smaller one than `minimum_step` that does not close the interval fails the row.
///
/// Rows that do not run change nothing and have step size 0. Before the first call, times lie below
/// `end_time`, step sizes are positive and at most what is left, and `status` is zeros.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct AdaptiveStep {
    /// Rows.
    pub rows: u32,
    /// Numbers of a row.
    pub width: u32,
    /// Stages, 1 to 7.
    pub stages: u32,
    /// Elements between successive stages of `k`.
    pub stage_stride: u32,
    /// 0 or [`AdaptiveStep::FSAL`].
    pub flags: u32,
    /// Error allowed as a part of the state, at least 0.
    pub relative_tolerance: f32,
    /// Error allowed whatever the state, above 0.
    pub absolute_tolerance: f32,
    /// Where the interval ends.
    pub end_time: f32,
    /// Smallest step, at least 2^-24 of the end time: smaller ones need not move time at all.
    pub minimum_step: f32,
    /// Largest step.
    pub maximum_step: f32,
    /// Part of the step that would just do which is taken; above 0, at most 0.98.
    pub safety: f32,
    /// Smallest factor between successive steps; above 0, at most `safety`.
    pub smallest_factor: f32,
    /// Largest factor between successive steps, 1 to 1e5.
    pub largest_factor: f32,
    /// Numerator of stage 0's error coefficient.
    pub numerator_0: i32,
    /// Numerator of stage 1's error coefficient.
    pub numerator_1: i32,
    /// Numerator of stage 2's error coefficient.
    pub numerator_2: i32,
    /// Numerator of stage 3's error coefficient.
    pub numerator_3: i32,
    /// Numerator of stage 4's error coefficient.
    pub numerator_4: i32,
    /// Numerator of stage 5's error coefficient.
    pub numerator_5: i32,
    /// Numerator of stage 6's error coefficient.
    pub numerator_6: i32,
    /// Denominator of stage 0's error coefficient, at least 1, as are the others.
    pub denominator_0: i32,
    /// Denominator of stage 1's error coefficient.
    pub denominator_1: i32,
    /// Denominator of stage 2's error coefficient.
    pub denominator_2: i32,
    /// Denominator of stage 3's error coefficient.
    pub denominator_3: i32,
    /// Denominator of stage 4's error coefficient.
    pub denominator_4: i32,
    /// Denominator of stage 5's error coefficient.
    pub denominator_5: i32,
    /// Denominator of stage 6's error coefficient.
    pub denominator_6: i32,
}

impl AdaptiveStep {
    /// Flag: the last stage of an accepted step is the first of the next.
    pub const FSAL: u32 = 1;
    /// State of a row that still has a way to go.
    pub const RUNNING: u32 = 0;
    /// State of a row whose time is the end time.
    pub const DONE: u32 = 1;
    /// State of a row that would need smaller steps than the smallest.
    pub const FAILED: u32 = 2;
    /// Words of a row's status.
    pub const STATUS: usize = 4;

    /// Control of [`DORMAND_PRINCE`] over contiguous stages up to time 1: steps of 1e-6 to 1, safety
    /// 0.9, factors 0.2 to 5.
    pub fn dormand_prince(rows: u32, width: u32, relative: f32, absolute: f32) -> Self {
        let (n, d) = padded(DORMAND_PRINCE.error.unwrap_or_default());
        let [numerator_0, numerator_1, numerator_2, numerator_3, ..] = n;
        let [.., numerator_4, numerator_5, numerator_6] = n;
        let [
            denominator_0,
            denominator_1,
            denominator_2,
            denominator_3,
            ..,
        ] = d;
        let [.., denominator_4, denominator_5, denominator_6] = d;
        Self {
            rows,
            width,
            stages: DORMAND_PRINCE.nodes.len() as u32,
            stage_stride: rows.saturating_mul(width),
            flags: Self::FSAL,
            relative_tolerance: relative,
            absolute_tolerance: absolute,
            end_time: 1.0,
            minimum_step: 1e-6,
            maximum_step: 1.0,
            safety: 0.9,
            smallest_factor: 0.2,
            largest_factor: 5.0,
            numerator_0,
            numerator_1,
            numerator_2,
            numerator_3,
            numerator_4,
            numerator_5,
            numerator_6,
            denominator_0,
            denominator_1,
            denominator_2,
            denominator_3,
            denominator_4,
            denominator_5,
            denominator_6,
        }
    }

    fn sum(&self) -> Combination {
        Combination {
            kernel: Self::NAME,
            rows: self.rows,
            width: self.width,
            stages: self.stages,
            stage_stride: self.stage_stride,
            numerators: [
                self.numerator_0,
                self.numerator_1,
                self.numerator_2,
                self.numerator_3,
                self.numerator_4,
                self.numerator_5,
                self.numerator_6,
            ],
            denominators: [
                self.denominator_0,
                self.denominator_1,
                self.denominator_2,
                self.denominator_3,
                self.denominator_4,
                self.denominator_5,
                self.denominator_6,
            ],
        }
    }
}

impl Kernel for AdaptiveStep {
    const NAME: &'static str = "adaptive_step";
    const SHADER: &'static str = include_str!("../../shaders/adaptive_step.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::output("x").in_place(),
        Operand::input("candidate"),
        Operand::output("k").in_place(),
        Operand::output("time").in_place(),
        Operand::output("step_size").in_place(),
        Operand::new("status", Element::Word, Access::ReadWrite),
    ];

    fn check(&self) -> Result<(), KernelError> {
        self.sum().check()?;
        if self.flags > 1 {
            return Err(KernelError::parameter(
                Self::NAME,
                "flags",
                "0..=1",
                self.flags,
            ));
        }
        let least = self.end_time.abs() / 16_777_216.0;
        let tiny = f32::MIN_POSITIVE;
        for (parameter, value, low, high) in [
            ("relative_tolerance", self.relative_tolerance, 0.0, f32::MAX),
            (
                "absolute_tolerance",
                self.absolute_tolerance,
                tiny,
                f32::MAX,
            ),
            ("end_time", self.end_time, f32::MIN, f32::MAX),
            ("minimum_step", self.minimum_step, least.max(tiny), f32::MAX),
            (
                "maximum_step",
                self.maximum_step,
                self.minimum_step,
                f32::MAX,
            ),
            ("safety", self.safety, tiny, 0.98),
            ("smallest_factor", self.smallest_factor, tiny, self.safety),
            ("largest_factor", self.largest_factor, 1.0, 1e5),
        ] {
            // Also refuses NaN, which no range contains.
            if !(low..=high).contains(&value) {
                let expected = format!("{low:e}..={high:e}");
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    expected,
                    value,
                ));
            }
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let count = element_count(&[self.rows, self.width]);
        let rows = self.rows as usize;
        let words = rows.saturating_mul(Self::STATUS);
        vec![count, count, self.sum().reach(), rows, rows, words]
    }

    fn cost(&self) -> Cost {
        let count = element_count(&[self.rows, self.width]) as u64;
        let terms = self.sum().terms();
        // The stages read; both states; the state written, and the first stage if the last becomes it.
        let moved = terms + 3 + u64::from(self.flags & Self::FSAL);
        let rows = u64::from(self.rows);
        Cost {
            flops: count.saturating_mul(2 * terms + 7),
            bytes: count.saturating_mul(moved).saturating_add(rows * 12) * 4,
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.rows as usize, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        2 * (u64::from(self.width) + 1)
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float_mut(0)?;
        let candidate = operands.float(1)?;
        let k = operands.float_mut(2)?;
        let time = operands.float_mut(3)?;
        let step_size = operands.float_mut(4)?;
        let status = operands.words_mut(5)?;
        let (rows, width) = (self.rows as usize, self.width as usize);
        let running = |status: &[u32], row: usize| status[Self::STATUS * row + 2] == Self::RUNNING;
        let mut errors = vec![None; rows];
        {
            let stages = self.sum().used(k);
            let (x, status, sizes) = (&*x, &*status, &*step_size);
            let weight = width.saturating_mul(stages.len() + 3);
            for_each_weighted_row(operands.parallel, &mut errors, 1, weight, |row, error| {
                if running(status, row) {
                    let at = row * width..(row + 1) * width;
                    let states = (&x[at.clone()], &candidate[at]);
                    error[0] = self.error_norm(row, sizes[row], states, &stages);
                }
            });
        }
        let last = (self.stages as usize - 1) * self.stage_stride as usize;
        for (row, error) in errors.into_iter().enumerate() {
            if !running(status, row) {
                continue;
            }
            let mut state = Row {
                time: time[row],
                step_size: step_size[row],
            };
            let words = &mut status[Self::STATUS * row..Self::STATUS * (row + 1)];
            if self.decide(error, &mut state, words) {
                let at = row * width..(row + 1) * width;
                x[at.clone()].copy_from_slice(&candidate[at.clone()]);
                if self.flags & Self::FSAL != 0 {
                    k.copy_within(last + at.start..last + at.end, at.start);
                }
            }
            (time[row], step_size[row]) = (state.time, state.step_size);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
