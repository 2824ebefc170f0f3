//! Values of the candidates of MPPI.

use crate::addressing::{require_finite, require_positive};
use crate::mppi_sample::require_addressable;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// Values of candidates as TD-MPC2 estimates them (Hansen, Su, Wang 2024, section 3.2): the discounted
/// rewards along the horizon and, behind it, the mean of two members of the ensemble of value functions,
///
/// `value = sum_t discount^t alive_t reward_t + discount^H alive_H (q_a + q_b) / 2`,
///
/// where a candidate is alive until a termination logit is above zero, which is a probability above one
/// half. The same two members serve all candidates; which, a table tells at every step of the orbit.
///
/// Operands: `reward` `[horizon, rows]`; `termination` logits `[horizon, rows]`, number t after step t, only
/// with [`MppiReturn::TERMINATION`]; `q` `[members, rows]`, of which only those two are read; `pairs`
/// `[steps, 2]` words; output `value` `[rows]`. A member that there is not gives NaN.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct MppiReturn {
    /// Candidates of all environments.
    pub rows: u32,
    /// Steps of a candidate.
    pub horizon: u32,
    /// Members of the ensemble.
    pub members: u32,
    /// Iteration; set by [`Kernel::at_step`].
    pub step: u32,
    /// Factor on the value one step later.
    pub discount: f32,
    /// Bit set of [`MppiReturn::TERMINATION`].
    pub flags: u32,
}

impl MppiReturn {
    /// Flag: there are termination logits.
    pub const TERMINATION: u32 = 1;

    fn terminates(&self) -> bool {
        self.flags & Self::TERMINATION != 0
    }
}

/// Rows that are one piece of work.
const BLOCK: usize = 64;

impl Kernel for MppiReturn {
    const NAME: &'static str = "mppi_return";
    const SHADER: &'static str = include_str!("../../shaders/mppi_return.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("reward"),
        Operand::input("termination").optional(),
        Operand::input("q"),
        Operand::input("pairs").words(),
        Operand::output("value"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("rows", self.rows),
                ("horizon", self.horizon),
                ("members", self.members),
            ],
        )?;
        require_finite(Self::NAME, "discount", self.discount)?;
        if self.flags > Self::TERMINATION {
            return Err(KernelError::parameter(
                Self::NAME,
                "flags",
                "0..=1",
                self.flags,
            ));
        }
        require_addressable(Self::NAME, &[self.rows, self.horizon])?;
        require_addressable(Self::NAME, &[self.rows, self.members])
    }

    fn extents(&self) -> Vec<usize> {
        let steps = (self.step as usize).saturating_add(1);
        let along = element_count(&[self.horizon, self.rows]);
        vec![
            along,
            if self.terminates() { along } else { 0 },
            element_count(&[self.members, self.rows]),
            steps.saturating_mul(2),
            self.rows as usize,
        ]
    }

    fn cost(&self) -> Cost {
        let rows = u64::from(self.rows);
        let horizon = u64::from(self.horizon);
        let read = horizon.saturating_mul(1 + u64::from(self.terminates())) + 2;
        Cost {
            flops: rows.saturating_mul(3 * horizon + 5),
            bytes: rows.saturating_mul(read + 1).saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.rows as usize, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.horizon) + 1
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let reward = operands.float(0)?;
        let termination = operands.float_or_empty(1)?;
        let q = operands.float(2)?;
        let pairs = operands.words(3)?;
        let parallel = operands.parallel;
        let (rows, step) = (self.rows as usize, 2 * self.step as usize);
        let value = &mut operands.float_mut(4)?[..rows];
        let [a, b] = [pairs[step], pairs[step + 1]];
        if a >= self.members || b >= self.members {
            value.fill(T::NAN);
            return Ok(());
        }
        let [a, b] = [a, b].map(|member| &q[member as usize * rows..][..rows]);
        let discount = T::from_f32(self.discount);
        for_each_row(
            parallel,
            value,
            BLOCK,
            #[inline(always)]
            |block, out| {
                let first = block * BLOCK;
                for (i, out) in out.iter_mut().enumerate() {
                    let row = first + i;
                    let (mut sum, mut factor, mut alive) = (T::ZERO, T::ONE, T::ONE);
                    for t in 0..self.horizon as usize {
                        sum += factor * alive * reward[t * rows + row];
                        factor *= discount;
                        if self.terminates() && termination[t * rows + row] > T::ZERO {
                            alive = T::ZERO;
                        }
                    }
                    *out = sum + factor * alive * (T::from_f64(0.5) * (a[row] + b[row]));
                }
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::MppiReturn;
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Kernel, View};

    fn kernel(rows: u32, horizon: u32, members: u32, flags: u32) -> MppiReturn {
        MppiReturn {
            rows,
            horizon,
            members,
            step: 0,
            discount: 0.9,
            flags,
        }
    }

    fn values(kernel: MppiReturn, data: [&[f32]; 3], pairs: &[u32]) -> Vec<f32> {
        let mut out = vec![7.0f32; kernel.rows as usize];
        let termination = match data[1].is_empty() {
            true => View::Absent,
            false => View::Float(data[1]),
        };
        let views = vec![
            View::Float(data[0]),
            termination,
            View::Float(data[2]),
            View::Word(pairs),
            View::FloatMut(&mut out),
        ];
        run(kernel, views).unwrap();
        out
    }

    #[test]
    fn matches_the_formula_at_every_step() {
        for (rows, horizon, members, flags) in
            [(1, 1, 2, 0), (65, 3, 5, 1), (67, 5, 3, 0), (129, 2, 2, 1)]
        {
            let pairs = [1, 0, members - 1, 1];
            for step in 0..2u32 {
                let kernel = kernel(rows, horizon, members, flags).at_step(step);
                let extents = kernel.extents();
                let data: Vec<_> = extents[..3]
                    .iter()
                    .enumerate()
                    .map(|(salt, count)| numbers(*count, salt as u64))
                    .collect();
                let found = values(kernel, [&data[0], &data[1], &data[2]], &pairs);
                let expected: Vec<f64> = (0..rows as usize)
                    .map(|row| {
                        let at = |x: &[f32], i: usize| f64::from(x[i * rows as usize + row]);
                        let (mut sum, mut factor, mut alive) = (0.0, 1.0, 1.0);
                        for t in 0..horizon as usize {
                            sum += factor * alive * at(&data[0], t);
                            factor *= 0.9;
                            if flags == 1 && 1.0 / (1.0 + (-at(&data[1], t)).exp()) > 0.5 {
                                alive = 0.0;
                            }
                        }
                        let member = |i: usize| at(&data[2], pairs[2 * step as usize + i] as usize);
                        sum + factor * alive * 0.5 * (member(0) + member(1))
                    })
                    .collect();
                assert_close(&found, &expected, 1e-6, "mppi_return");
            }
        }
    }

    #[test]
    fn members_that_there_are_not_give_nan() {
        let kernel = kernel(2, 1, 3, 0);
        let found = values(kernel, [&[1.0, 2.0], &[], &[0.0; 6]], &[0, 3]);
        assert!(found.iter().all(|v| v.is_nan()));
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = kernel(10, 3, 2, 1);
        good.check().unwrap();
        assert_eq!((good.cost().flops, good.cost().bytes), (140, 360));
        assert_refuses(MppiReturn { rows: 0, ..good }, "rows");
        assert_refuses(MppiReturn { horizon: 0, ..good }, "horizon");
        assert_refuses(MppiReturn { members: 0, ..good }, "members");
        assert_refuses(MppiReturn { flags: 2, ..good }, "flags");
        assert_refuses(
            MppiReturn {
                discount: f32::NAN,
                ..good
            },
            "discount",
        );
        assert_eq!(good.at_step(4).extents()[3], 10);
    }
}
