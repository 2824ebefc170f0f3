//! Sums of Runge-Kutta methods: stage states and step results from velocities.

mod tableau;

pub use tableau::{
    DORMAND_PRINCE, EULER, HEUN, MIDPOINT, RK4, Rational, TABLEAUS, Tableau, real_ratio,
};

use crate::combination::{Combination, padded};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_weighted_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `out[r, c] = base[r, c] + h_r sum_i (numerator_i / denominator_i) k[i, r, c]`: one line of a
/// [`Tableau`].
///
/// Operands: `x` `[rows, width]` under [`RungeKutta::X`], which is then the base, else it is `out`
/// itself; `k` `[stages, rows, width]`, `stage_stride` elements between stages; `step_size` `[rows]`
/// under [`RungeKutta::PER_ROW`], which is then `h`, else `h = 1 / steps`; `out` `[rows, width]`.
///
/// Coefficients are exact ratios, so that double precision has them in double precision. A stage whose
/// numerator is 0 is not read: it may hold anything.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct RungeKutta {
    /// Rows.
    pub rows: u32,
    /// Numbers of a row.
    pub width: u32,
    /// Stages, 1 to 7.
    pub stages: u32,
    /// Elements between successive stages of `k`.
    pub stage_stride: u32,
    /// Steps of unit time, at least 1; the step size is its inverse where rows have none of their own.
    pub steps: u32,
    /// Bit set of [`RungeKutta::X`] and [`RungeKutta::PER_ROW`].
    pub flags: u32,
    /// Numerator of stage 0's coefficient.
    pub numerator_0: i32,
    /// Numerator of stage 1's coefficient.
    pub numerator_1: i32,
    /// Numerator of stage 2's coefficient.
    pub numerator_2: i32,
    /// Numerator of stage 3's coefficient.
    pub numerator_3: i32,
    /// Numerator of stage 4's coefficient.
    pub numerator_4: i32,
    /// Numerator of stage 5's coefficient.
    pub numerator_5: i32,
    /// Numerator of stage 6's coefficient.
    pub numerator_6: i32,
    /// Denominator of stage 0's coefficient, at least 1, as are the others.
    pub denominator_0: i32,
    /// Denominator of stage 1's coefficient.
    pub denominator_1: i32,
    /// Denominator of stage 2's coefficient.
    pub denominator_2: i32,
    /// Denominator of stage 3's coefficient.
    pub denominator_3: i32,
    /// Denominator of stage 4's coefficient.
    pub denominator_4: i32,
    /// Denominator of stage 5's coefficient.
    pub denominator_5: i32,
    /// Denominator of stage 6's coefficient.
    pub denominator_6: i32,
}

impl RungeKutta {
    /// Flag: the base is the operand `x`, not `out`.
    pub const X: u32 = 1;
    /// Flag: every row has a step size of its own.
    pub const PER_ROW: u32 = 2;

    /// `out = x + (1 / steps) sum_i coefficients_i k_i` over contiguous stages `[stages, rows, width]`,
    /// as many as there are coefficients (at most 7, checked by [`Kernel::check`]).
    pub fn combination(rows: u32, width: u32, coefficients: &[Rational], steps: u32) -> Self {
        let (n, d) = padded(coefficients);
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
            stages: u32::try_from(coefficients.len()).unwrap_or(u32::MAX),
            stage_stride: rows.saturating_mul(width),
            steps,
            flags: Self::X,
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

    /// The same sum added to `out` instead of `x`.
    #[must_use]
    pub fn in_place(mut self) -> Self {
        self.flags &= !Self::X;
        self
    }

    /// The same sum with a step size for every row.
    #[must_use]
    pub fn per_row(mut self) -> Self {
        self.flags |= Self::PER_ROW;
        self
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
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

/// Elements that a loop of the twin holds the sums of.
const BLOCK: usize = 64;

impl Kernel for RungeKutta {
    const NAME: &'static str = "runge_kutta";
    const SHADER: &'static str = include_str!("../../shaders/runge_kutta.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("x").optional(),
        Operand::input("k"),
        Operand::input("step_size").optional(),
        Operand::output("out").in_place(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        self.sum().check()?;
        for (parameter, fits, expected, found) in [
            ("steps", self.steps > 0, "at least 1", self.steps),
            ("flags", self.flags <= 3, "0..=3", self.flags),
        ] {
            if !fits {
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    expected,
                    found,
                ));
            }
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let count = element_count(&[self.rows, self.width]);
        let optional = |flag, extent| if self.has(flag) { extent } else { 0 };
        vec![
            optional(Self::X, count),
            self.sum().reach(),
            optional(Self::PER_ROW, self.rows as usize),
            count,
        ]
    }

    fn cost(&self) -> Cost {
        let count = element_count(&[self.rows, self.width]) as u64;
        let terms = self.sum().terms();
        let sizes = if self.has(Self::PER_ROW) {
            u64::from(self.rows)
        } else {
            0
        };
        Cost {
            flops: count.saturating_mul(2 * terms + 2),
            bytes: count
                .saturating_mul(terms + 2)
                .saturating_add(sizes)
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(element_count(&[self.rows, self.width]), 64),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float_or_empty(0)?;
        let stages = self.sum().used(operands.float(1)?);
        let sizes = operands.float_or_empty(2)?;
        let parallel = operands.parallel;
        let out = operands.float_mut(3)?;
        let out = &mut out[..element_count(&[self.rows, self.width])];
        if self.has(Self::X) {
            out.copy_from_slice(&x[..out.len()]);
        }
        // Without sizes of their own, rows are one long array, which is quicker where they are short.
        let shared = T::ONE / T::from_f64(self.steps.into());
        let (length, sizes) = match self.has(Self::PER_ROW) {
            true => (self.width as usize, Some(sizes)),
            false => (16 * BLOCK, None),
        };
        for_each_weighted_row(
            parallel,
            out,
            length,
            stages.len().max(1),
            #[inline(always)]
            |row, out| {
                let h = sizes.map_or(shared, |sizes| sizes[row]);
                for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                    let mut sums = [T::ZERO; BLOCK];
                    for (coefficient, k) in &stages {
                        let k = &k[row * length + block * BLOCK..][..out.len()];
                        for (sum, k) in sums.iter_mut().zip(k) {
                            *sum = coefficient.mul_add(*k, *sum);
                        }
                    }
                    for (value, sum) in out.iter_mut().zip(sums) {
                        *value = h.mul_add(sum, *value);
                    }
                }
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
