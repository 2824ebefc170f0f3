//! The best of many candidate plans.

use crate::addressing::require_positive;
use crate::plan_track::is_lower;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// The candidate of lowest value of every environment, the lowest number of equal ones, with its actions.
///
/// Operands: `value` `[environments, candidates]` and `cut` words `[environments, candidates, 2]`, as
/// [`PlanTrack`](crate::plan_track::PlanTrack) leaves them; `sequences` words
/// `[horizon, environments, candidates]`; in place `best_value` `[environments]` and `best` words
/// `[environments, 2 + horizon]`: number of the candidate over all rounds, cut, actions. Round 0 starts
/// afresh; later a candidate must be strictly lower than the best so far. NaN is above every number.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct PlanSelect {
    /// Environments.
    pub environments: u32,
    /// Candidates of each.
    pub candidates: u32,
    /// Actions of a candidate.
    pub horizon: u32,
    /// Round of candidates; set by [`Kernel::at_step`].
    pub round: u32,
}

impl PlanSelect {
    /// The choice of round 0.
    pub fn new(environments: u32, candidates: u32, horizon: u32) -> Self {
        Self {
            environments,
            candidates,
            horizon,
            round: 0,
        }
    }
}

impl Kernel for PlanSelect {
    const NAME: &'static str = "plan_select";
    const SHADER: &'static str = include_str!("../../shaders/plan_select.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("value"),
        Operand::input("cut").words(),
        Operand::input("sequences").words(),
        Operand::output("best_value").in_place(),
        Operand::output("best").words().in_place(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("environments", self.environments),
                ("candidates", self.candidates),
                ("horizon", self.horizon),
            ],
        )?;
        if self
            .extents()
            .iter()
            .any(|extent| *extent > u32::MAX as usize)
        {
            return Err(KernelError::parameter(
                Self::NAME,
                "environments",
                "at most 2^32 - 1 actions in all",
                self.environments,
            ));
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let rows = element_count(&[self.environments, self.candidates]);
        vec![
            rows,
            rows.saturating_mul(2),
            rows.saturating_mul(self.horizon as usize),
            self.environments as usize,
            element_count(&[self.environments, self.horizon.saturating_add(2)]),
        ]
    }

    fn cost(&self) -> Cost {
        let rows = element_count(&[self.environments, self.candidates]) as u64;
        let written = element_count(&[self.environments, self.horizon.saturating_add(3)]) as u64;
        Cost {
            flops: rows,
            bytes: rows
                .saturating_add(written.saturating_mul(2))
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.environments as usize, 1),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.candidates / 64 + self.horizon / 64) + 16
    }

    fn at_step(&self, step: u32) -> Self {
        Self {
            round: step,
            ..*self
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let value = operands.float(0)?;
        let cut = operands.words(1)?;
        let sequences = operands.words(2)?;
        let best_value = operands.float_mut(3)?;
        let best = operands.words_mut(4)?;
        let candidates = self.candidates as usize;
        let rows = element_count(&[self.environments, self.candidates]);
        let plans = best.chunks_exact_mut(2 + self.horizon as usize);
        let environments = value.chunks_exact(candidates).zip(best_value).zip(plans);
        let all = environments.enumerate().take(self.environments as usize);
        for (environment, ((values, best_value), plan)) in all {
            let mut winner = (0, values.first().copied().unwrap_or(T::NAN));
            for (index, value) in values.iter().enumerate() {
                if is_lower(*value, winner.1) {
                    winner = (index, *value);
                }
            }
            if self.round > 0 && !is_lower(winner.1, *best_value) {
                continue;
            }
            *best_value = winner.1;
            let row = environment * candidates + winner.0;
            let [number, end, actions @ ..] = plan else {
                continue;
            };
            *number = self
                .round
                .wrapping_mul(self.candidates)
                .wrapping_add(winner.0 as u32);
            *end = cut.get(2 * row).copied().unwrap_or(0);
            let taken = sequences.iter().skip(row).step_by(rows);
            for (action, taken) in actions.iter_mut().zip(taken) {
                *action = *taken;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::PlanSelect;
    use crate::test_support::{assert_refuses, run};
    use crate::{Kernel, View};

    const NAN: f32 = f32::NAN;

    /// Values of a round of two environments with three candidates of two actions each.
    fn rounds(values: &[[f32; 6]]) -> ([f32; 2], [u32; 8]) {
        let sequences: Vec<u32> = (100..112).collect();
        let cuts: Vec<u32> = (0..12).collect();
        let (mut best_value, mut best) = ([-9.0; 2], [0; 8]);
        for (round, value) in values.iter().enumerate() {
            let views = vec![
                View::Float(&value[..]),
                View::Word(&cuts),
                View::Word(&sequences),
                View::FloatMut(&mut best_value),
                View::WordMut(&mut best),
            ];
            run(PlanSelect::new(2, 3, 2).at_step(round as u32), views).unwrap();
        }
        (best_value, best)
    }

    #[test]
    fn the_first_of_the_lowest_wins() {
        let (value, best) = rounds(&[[2.0, 1.0, 1.0, NAN, 5.0, 4.0]]);
        assert_eq!(value, [1.0, 4.0]);
        assert_eq!(best, [1, 2, 101, 107, 2, 10, 105, 111]);
        let (value, best) = rounds(&[[NAN; 6]]);
        assert!(value.iter().all(|value| value.is_nan()));
        assert_eq!(best, [0, 0, 100, 106, 0, 6, 103, 109]);
    }

    #[test]
    fn later_rounds_must_be_strictly_lower() {
        let first = [2.0, 1.0, 3.0, 7.0, 7.0, 7.0];
        let second = [1.0, 1.0, 1.0, 8.0, NAN, 6.0];
        let (value, best) = rounds(&[first, second]);
        assert_eq!(value, [1.0, 6.0]);
        assert_eq!(best, [1, 2, 101, 107, 5, 10, 105, 111]);
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = PlanSelect::new(2, 5, 3);
        good.check().unwrap();
        assert_eq!((good.cost().flops, good.cost().bytes), (10, 4 * 34));
        assert_refuses(PlanSelect { horizon: 0, ..good }, "horizon");
        assert_refuses(
            PlanSelect {
                candidates: 0,
                ..good
            },
            "candidates",
        );
        let environments = u32::MAX;
        assert_refuses(
            PlanSelect {
                environments,
                ..good
            },
            "environments",
        );
    }
}
