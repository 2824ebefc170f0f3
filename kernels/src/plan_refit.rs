//! The distribution of the next candidates of the discrete cross-entropy method.

use crate::addressing::require_positive;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;
use std::cmp::Ordering;

/// Most elites: their numbers are held in workgroup memory.
const MOST_ELITES: u32 = 256;

/// How often the elites of every environment take each action at each step.
///
/// Operands: `value` `[environments, candidates]`; `sequences` words `[horizon, environments, candidates]`;
/// out `counts` words `[environments, horizon, actions]`. Elites are the candidates of lowest value, in a
/// stable order; NaN is above every number.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct PlanRefit {
    /// Environments.
    pub environments: u32,
    /// Candidates of each.
    pub candidates: u32,
    /// Actions of a candidate.
    pub horizon: u32,
    /// Actions there are to choose among.
    pub actions: u32,
    /// Elites, at most 256 and as many as there are candidates.
    pub elites: u32,
}

impl Kernel for PlanRefit {
    const NAME: &'static str = "plan_refit";
    const SHADER: &'static str = include_str!("../../shaders/plan_refit.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("value"),
        Operand::input("sequences").words(),
        Operand::output("counts").words(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("environments", self.environments),
                ("candidates", self.candidates),
                ("horizon", self.horizon),
                ("actions", self.actions),
                ("elites", self.elites),
            ],
        )?;
        let most = MOST_ELITES.min(self.candidates);
        if self.elites > most {
            let expected = format!("at most {most}");
            return Err(KernelError::parameter(
                Self::NAME,
                "elites",
                expected,
                self.elites,
            ));
        }
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
            rows.saturating_mul(self.horizon as usize),
            element_count(&[self.environments, self.horizon, self.actions]),
        ]
    }

    fn cost(&self) -> Cost {
        let pairs = element_count(&[self.environments, self.candidates, self.candidates]) as u64;
        let counts = element_count(&[self.environments, self.horizon, self.actions]) as u64;
        let read = element_count(&[self.environments, self.horizon, self.elites]) as u64;
        let values = element_count(&[self.environments, self.candidates]) as u64;
        Cost {
            flops: pairs.saturating_add(counts.saturating_mul(u64::from(self.elites))),
            bytes: counts
                .saturating_add(read)
                .saturating_add(values)
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
        let ranks = u64::from(self.candidates) + 2;
        let cells = element_count(&[self.horizon, self.actions]) as u64;
        let counts = u64::from(self.elites) + 2;
        let ranked = u64::from(self.candidates)
            .div_ceil(64)
            .saturating_mul(ranks);
        ranked.saturating_add(cells.div_ceil(64).saturating_mul(counts))
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let value = operands.float(0)?;
        let sequences = operands.words(1)?;
        let counts = operands.words_mut(2)?;
        let (candidates, actions) = (self.candidates as usize, self.actions as usize);
        let rows = element_count(&[self.environments, self.candidates]);
        let tables = counts.chunks_exact_mut(self.horizon as usize * actions);
        let environments = value.chunks_exact(candidates).zip(tables);
        for (environment, (values, table)) in environments.enumerate() {
            let mut order: Vec<usize> = (0..candidates).collect();
            order.sort_by(|a, b| by_value(values.get(*a), values.get(*b)));
            table.fill(0);
            for (step, counts) in table.chunks_exact_mut(actions).enumerate() {
                for elite in order.iter().take(self.elites as usize) {
                    let place = step * rows + environment * candidates + elite;
                    let action = sequences.get(place).copied().unwrap_or(u32::MAX);
                    if let Some(count) = counts.get_mut(action as usize) {
                        *count += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Numbers in order, NaN behind them.
fn by_value<T: Real>(a: Option<&T>, b: Option<&T>) -> Ordering {
    let nan = |value: Option<&T>| value.is_none_or(|value| value.is_nan());
    a.partial_cmp(&b)
        .filter(|_| !nan(a) && !nan(b))
        .unwrap_or_else(|| nan(a).cmp(&nan(b)))
}

#[cfg(test)]
mod tests {
    use super::PlanRefit;
    use crate::test_support::{assert_refuses, run};
    use crate::{Kernel, View};

    #[test]
    fn counts_the_actions_of_the_lowest() {
        let kernel = PlanRefit {
            environments: 2,
            candidates: 4,
            horizon: 2,
            actions: 3,
            elites: 2,
        };
        // Elites: 1 and 0 (before 3, which is equal); 2 and 3.
        let value = [5.0f32, 1.0, f32::NAN, 5.0, f32::NAN, f32::NAN, 0.0, 9.0];
        let sequences = [
            0, 2, 1, 1, 1, 1, 2, 2, /* step 1 */ 1, 1, 0, 0, 2, 2, 0, 1,
        ];
        let mut counts = [7; 12];
        let views = vec![
            View::Float(&value[..]),
            View::Word(&sequences),
            View::WordMut(&mut counts),
        ];
        run(kernel, views).unwrap();
        assert_eq!(counts, [1, 0, 1, 0, 2, 0, 0, 0, 2, 1, 1, 0]);
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = PlanRefit {
            environments: 2,
            candidates: 24,
            horizon: 5,
            actions: 4,
            elites: 6,
        };
        good.check().unwrap();
        assert_eq!(good.cost().flops, 2 * 24 * 24 + 40 * 6);
        assert_refuses(PlanRefit { elites: 25, ..good }, "elites");
        assert_refuses(PlanRefit { elites: 0, ..good }, "elites");
        let many = PlanRefit {
            candidates: 1000,
            elites: 257,
            ..good
        };
        assert_refuses(many, "elites");
    }
}
