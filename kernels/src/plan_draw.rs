//! Action sequences of candidate plans.

use crate::addressing::require_positive;
use crate::philox::philox4x32;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_weighted_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// The weight that stands for one in integers.
const ONE: u32 = 1 << 16;

/// Draws the actions of candidate plans, uniformly in round 0 and afterwards by the counts that
/// [`PlanRefit`](crate::plan_refit::PlanRefit) made: the probability of action a is
/// `(1 - s) counts[a] / elites + s / actions` with the smoothing s.
///
/// Operands: `identity` words `[environments, 2]`, number and plan call of each environment; `counts`
/// words `[environments, horizon, actions]`, unless there are no elites; out `sequences` words
/// `[horizon, environments, candidates]`. What an environment draws depends on its identity, the seed and
/// the round, and on nothing else of its batch; weights are integers, so that all devices draw the same.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct PlanDraw {
    /// Environments.
    pub environments: u32,
    /// Candidates of each.
    pub candidates: u32,
    /// Actions of a candidate.
    pub horizon: u32,
    /// Actions there are to choose among.
    pub actions: u32,
    /// Elites that were counted; 0 draws uniformly in every round.
    pub elites: u32,
    /// Smoothing s in units of 2^-16.
    pub smoothing: u32,
    /// Round of candidates; set by [`Kernel::at_step`].
    pub round: u32,
    /// Which of several independent draws this is.
    pub stream: u32,
    /// Lower half of the seed.
    pub seed_low: u32,
    /// Upper half of the seed.
    pub seed_high: u32,
}

impl PlanDraw {
    /// Uniform draws.
    pub fn uniform(sizes: [u32; 3], actions: u32, stream: u32) -> Self {
        let [environments, candidates, horizon] = sizes;
        Self {
            environments,
            candidates,
            horizon,
            actions,
            elites: 0,
            smoothing: 0,
            round: 0,
            stream,
            seed_low: 0,
            seed_high: 0,
        }
    }

    /// The same by the counts of `elites` after round 0, with `smoothing` on `[0, 1]`, rounded to 2^-16.
    #[must_use]
    pub fn by_elites(self, elites: u32, smoothing: f64) -> Self {
        Self {
            elites,
            // The conversion saturates; what is beyond one is refused by the check.
            smoothing: (smoothing * f64::from(ONE)).round() as u32,
            ..self
        }
    }

    fn draw(&self, identity: (u32, u32), element: u32, counts: &[u32]) -> u32 {
        let counter = [element / 4, identity.1, identity.0, self.stream];
        let bits = philox4x32(counter, [self.seed_low, self.seed_high]);
        let word = bits.get((element % 4) as usize).copied().unwrap_or(0);
        let below = |n: u32| ((u64::from(word) * u64::from(n)) >> 32) as u32;
        if self.round == 0 || self.elites == 0 {
            return below(self.actions);
        }
        let mark = below(ONE * self.elites * self.actions);
        let slope = (ONE - self.smoothing) * self.actions;
        let mut sum = 0u32;
        let others = counts.iter().take(self.actions as usize - 1);
        let passed = others.filter(|count| {
            let weight = slope.wrapping_mul(**count);
            sum = sum
                .wrapping_add(weight)
                .wrapping_add(self.smoothing * self.elites);
            sum <= mark
        });
        passed.count() as u32
    }
}

impl Kernel for PlanDraw {
    const NAME: &'static str = "plan_draw";
    const SHADER: &'static str = include_str!("../../shaders/plan_draw.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("identity").words(),
        Operand::input("counts").words().optional(),
        Operand::output("sequences").words(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("environments", self.environments),
                ("candidates", self.candidates),
                ("horizon", self.horizon),
                ("actions", self.actions),
            ],
        )?;
        let refuse = |parameter, expected: &str, found: u32| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        if element_count(&[self.elites, self.actions]) >= ONE as usize {
            return refuse(
                "elites",
                "fewer than 2^16 elites times actions",
                self.elites,
            );
        }
        if self.smoothing > ONE {
            return refuse("smoothing", "at most 2^16", self.smoothing);
        }
        let elements = element_count(&[self.candidates, self.horizon]);
        let rounds = self.round as usize;
        if elements.saturating_mul(rounds.saturating_add(1)) > u32::MAX as usize {
            return refuse("round", "at most 2^32 - 1 draws an environment", self.round);
        }
        if self
            .extents()
            .iter()
            .any(|extent| *extent > u32::MAX as usize)
        {
            let expected = "at most 2^32 - 1 actions in all";
            return refuse("environments", expected, self.environments);
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let counts = match self.elites {
            0 => 0,
            _ => element_count(&[self.environments, self.horizon, self.actions]),
        };
        vec![
            element_count(&[self.environments, 2]),
            counts,
            element_count(&[self.horizon, self.environments, self.candidates]),
        ]
    }

    fn cost(&self) -> Cost {
        let [identity, counts, drawn] = match self.extents()[..] {
            [a, b, c] => [a as u64, b as u64, c as u64],
            _ => [0; 3],
        };
        Cost {
            // Ten rounds of two products and a few additions, all of integers.
            flops: drawn.saturating_mul(60),
            bytes: identity
                .saturating_add(counts)
                .saturating_add(drawn)
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let drawn = element_count(&[self.horizon, self.environments, self.candidates]);
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(drawn, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.actions) + 11
    }

    fn at_step(&self, step: u32) -> Self {
        Self {
            round: step,
            ..*self
        }
    }

    fn with_seed(&self, seed: u64, _first_example: u32) -> Self {
        Self {
            seed_low: seed as u32,
            seed_high: (seed >> 32) as u32,
            ..*self
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let identity = operands.words(0)?;
        let counts = operands.words_or_empty(1)?;
        let parallel = operands.parallel;
        let sequences = operands.words_mut(2)?;
        let (candidates, actions) = (self.candidates as usize, self.actions as usize);
        let environments = self.environments as usize;
        let drawn = self.extents().last().copied().unwrap_or(0);
        let sequences = sequences.get_mut(..drawn).unwrap_or_default();
        for_each_weighted_row(parallel, sequences, candidates, 32, |row, out| {
            let (step, environment) = (row / environments, row % environments);
            let own = match identity.get(2 * environment..2 * environment + 2) {
                Some(&[number, call]) => (number, call),
                _ => (0, 0),
            };
            let first = (environment * self.horizon as usize + step) * actions;
            let counts = counts.get(first..first + actions).unwrap_or(&[]);
            for (candidate, action) in out.iter_mut().enumerate() {
                let sequence = self.round * self.candidates + candidate as u32;
                let element = sequence * self.horizon + step as u32;
                *action = self.draw(own, element, counts);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::PlanDraw;
    use crate::test_support::{assert_refuses, run};
    use crate::{Kernel, View};

    fn drawn(kernel: PlanDraw, identity: &[u32], counts: &[u32]) -> Vec<u32> {
        let mut sequences = vec![99; kernel.extents()[2]];
        let counts = match counts {
            [] => View::Absent,
            counts => View::Word(counts),
        };
        let views: Vec<View<'_, f32>> =
            vec![View::Word(identity), counts, View::WordMut(&mut sequences)];
        run(kernel, views).unwrap();
        sequences
    }

    fn share(of: &[u32], action: u32) -> f64 {
        of.iter().filter(|a| **a == action).count() as f64 / of.len() as f64
    }

    #[test]
    fn draws_of_an_environment_are_its_own() {
        let kernel = PlanDraw::uniform([3, 7, 5], 4, 9).with_seed(77, 0);
        let all = drawn(kernel, &[4, 0, 8, 3, 4, 1], &[]);
        let alone = PlanDraw {
            environments: 1,
            ..kernel
        };
        for (place, identity) in [[4, 0], [8, 3], [4, 1]].iter().enumerate() {
            let own = drawn(alone, identity, &[]);
            for step in 0..5 {
                let found = &all[(step * 3 + place) * 7..][..7];
                assert_eq!(found, &own[step * 7..][..7]);
            }
        }
        assert_ne!(drawn(alone, &[4, 0], &[]), drawn(alone, &[4, 1], &[]));
    }

    #[test]
    fn shares_follow_the_weights() {
        let kernel = PlanDraw::uniform([1, 20_000, 1], 3, 0).with_seed(5, 0);
        let uniform = drawn(kernel, &[0, 0], &[]);
        // Five standard deviations of a share among 20,000.
        let within = 5.0 * (0.25f64 / 20_000.0).sqrt();
        for action in 0..3 {
            assert!((share(&uniform, action) - 1.0 / 3.0).abs() < within);
        }
        let weighted = drawn(kernel.by_elites(8, 0.1).at_step(1), &[0, 0], &[6, 0, 2]);
        for (action, count) in [6.0, 0.0, 2.0].into_iter().enumerate() {
            let expected = 0.9 * count / 8.0 + 0.1 / 3.0;
            assert!((share(&weighted, action as u32) - expected).abs() < within);
        }
        let sure = drawn(kernel.by_elites(8, 0.0).at_step(2), &[0, 0], &[0, 0, 8]);
        assert!(sure.iter().all(|action| *action == 2));
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = PlanDraw::uniform([2, 3, 5], 4, 0);
        good.check().unwrap();
        assert_eq!(good.cost().bytes, 4 * 34);
        assert_refuses(PlanDraw { actions: 0, ..good }, "actions");
        assert_refuses(good.by_elites(1 << 14, 0.1), "elites");
        assert_refuses(good.by_elites(2, 1.5), "smoothing");
        assert_refuses(good.at_step(u32::MAX), "round");
    }
}
