//! The best of scored plans, and the next weights of the cross-entropy method.

use crate::addressing::require_positive;
use crate::maze_rollout::{NOWHERE, ROW_WORDS};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

#[cfg(test)]
mod tests;

/// Words of a row of the operand `best` of [`MazeSelect`] before the plan.
pub const BEST_WORDS: usize = 3;

/// Keeps the best plan of each planning call among those that [`MazeRollout`](crate::maze_rollout) scored.
///
/// Operands, all words: `outcome` `[batch, candidates, 2]`; `actions` `[batch, candidates, horizon]`;
/// `rows` `[batch, 8]`; `best` `[batch, 3 + horizon]` in place: score, actions to keep, candidates that
/// had no score in any round, plan; output `weights` `[batch, horizon, actions]` where there are elites.
///
/// The lowest score wins, of equals the first. At step 0 it becomes the best; later it must be strictly
/// lower. The cross-entropy method refits its weights to the `elites` first plans in the order of
/// (score, index): an action's weight is `per_elite` for each elite that takes it at that time, and
/// `least`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct MazeSelect {
    /// Planning calls.
    pub batch: u32,
    /// Plans of each call; at most 1024 with elites.
    pub candidates: u32,
    /// Longest plan.
    pub horizon: u32,
    /// Actions.
    pub actions: u32,
    /// Plans that the weights are refitted to, at most 256; 0 for no refit.
    pub elites: u32,
    /// Weight of an elite.
    pub per_elite: u32,
    /// Weight of an action that no elite takes.
    pub least: u32,
    /// Iteration of the call; set by [`Kernel::at_step`].
    pub step: u32,
}

/// Plans that the shader can rank: an invocation compares every 64th with all.
const MOST_RANKED: u32 = 1024;
/// Elites that the shader has places for.
const MOST_ELITES: u32 = 256;
/// Sum of all weights of one choice for a smoothing of any size.
const SCALE: f64 = 1_073_741_824.0;

impl MazeSelect {
    /// Selection alone.
    pub fn best(batch: u32, candidates: u32, horizon: u32, actions: u32) -> Self {
        Self {
            batch,
            candidates,
            horizon,
            actions,
            elites: 0,
            per_elite: 0,
            least: 0,
            step: 0,
        }
    }

    /// Selection and a refit: probabilities `(1 - smoothing) frequency + smoothing / actions`, in parts
    /// of about 2^30.
    #[must_use]
    pub fn with_refit(self, elites: u32, smoothing: f64) -> Self {
        let share = |part: f64, among: u32| (part * SCALE / f64::from(among.max(1))).round() as u32;
        Self {
            elites,
            per_elite: share(1.0 - smoothing, elites),
            least: share(smoothing, self.actions),
            ..self
        }
    }

    fn row(&self, length: usize, outcome: &[u32], actions: &[u32], best: &mut [u32]) {
        let horizon = self.horizon as usize;
        let scores = || outcome.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        let winner = scores().enumerate().min_by_key(|(_, (score, _))| *score);
        let without = scores().filter(|(score, _)| *score == NOWHERE).count() as u32;
        let Some((winner, (score, cut))) = winner else {
            return;
        };
        let (head, plan) = best.split_at_mut(BEST_WORDS);
        if self.step == 0 || score < head[0] {
            head[..2].copy_from_slice(&[score, cut]);
            let from = actions.iter().skip(winner * horizon).take(length);
            plan.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        let before = if self.step == 0 { 0 } else { head[2] };
        head[2] = before.wrapping_add(without);
    }

    fn refit(&self, length: usize, outcome: &[u32], actions: &[u32], weights: &mut [u32]) {
        let (horizon, width) = (self.horizon as usize, self.actions as usize);
        let mut order: Vec<(u32, usize)> = outcome
            .chunks_exact(2)
            .map(|pair| pair[0])
            .zip(0..)
            .collect();
        order.sort_unstable();
        let used = weights.len().min(length * width);
        weights.iter_mut().take(used).for_each(|w| *w = self.least);
        for (_, plan) in order.iter().take(self.elites as usize) {
            let plan = actions.iter().skip(plan * horizon).take(length);
            for (weights, action) in weights.chunks_exact_mut(width).zip(plan) {
                if let Some(weight) = weights.get_mut(*action as usize) {
                    *weight = weight.wrapping_add(self.per_elite);
                }
            }
        }
    }
}

impl Kernel for MazeSelect {
    const NAME: &'static str = "maze_select";
    const SHADER: &'static str = include_str!("../../shaders/maze_select.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("outcome").words(),
        Operand::input("actions").words(),
        Operand::input("rows").words(),
        Operand::output("best").words().in_place(),
        Operand::output("weights").words().optional(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let counts = [
            ("batch", self.batch),
            ("candidates", self.candidates),
            ("horizon", self.horizon),
            ("actions", self.actions),
        ];
        require_positive(Self::NAME, &counts)?;
        let refuse = |parameter, expected: String, found: u32| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        let cells = [self.batch, self.candidates, self.horizon, self.actions, 2];
        if element_count(&cells) > u32::MAX as usize {
            let expected = "at most 2^31 - 1 actions and weights".into();
            return refuse("batch", expected, self.batch);
        }
        if self.elites == 0 {
            return Ok(());
        }
        if self.candidates > MOST_RANKED {
            let expected = format!("at most {MOST_RANKED} with elites");
            return refuse("candidates", expected, self.candidates);
        }
        let most = self.candidates.min(MOST_ELITES);
        if self.elites > most {
            return refuse("elites", format!("at most {most}"), self.elites);
        }
        let sum = u64::from(self.per_elite) * u64::from(self.elites)
            + u64::from(self.least) * u64::from(self.actions);
        if sum == 0 || sum > u64::from(u32::MAX) {
            let expected = "weights whose sum is from 1 to 2^32 - 1".into();
            return refuse("per_elite", expected, self.per_elite);
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let plans = element_count(&[self.batch, self.candidates]);
        let batch = self.batch as usize;
        vec![
            plans.saturating_mul(2),
            plans.saturating_mul(self.horizon as usize),
            batch.saturating_mul(ROW_WORDS),
            batch.saturating_mul(self.horizon as usize + BEST_WORDS),
            match self.elites {
                0 => 0,
                _ => element_count(&[self.batch, self.horizon, self.actions]),
            },
        ]
    }

    fn cost(&self) -> Cost {
        let plans = element_count(&[self.batch, self.candidates]) as u64;
        let times = element_count(&[self.batch, self.horizon]) as u64;
        // Of the plans only the winner and the elites are read.
        let read = u64::from(self.elites).saturating_add(3);
        Cost {
            flops: plans.saturating_mul(match self.elites {
                0 => 2,
                _ => u64::from(self.candidates),
            }),
            bytes: plans
                .saturating_mul(8)
                .saturating_add(times.saturating_mul(4).saturating_mul(read)),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.batch as usize, 1),
        }
    }

    fn software_iterations(&self) -> u64 {
        let own = u64::from(self.candidates).div_ceil(64);
        let times = u64::from(self.horizon).div_ceil(64);
        let (ranked, refitted) = match self.elites {
            0 => (1, 1),
            elites => (
                u64::from(self.candidates) + 2,
                u64::from(self.actions) + u64::from(elites) + 3,
            ),
        };
        own.saturating_mul(ranked)
            .saturating_add(times.saturating_mul(refitted))
            .saturating_add(8)
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let (horizon, candidates) = (self.horizon as usize, self.candidates as usize);
        let outcome = operands.words(0)?;
        let actions = operands.words(1)?;
        let rows = operands.words(2)?;
        let best = operands.words_mut(3)?;
        let weights = match self.elites {
            0 => &mut [],
            _ => operands.words_mut(4)?,
        };
        let mut weights = weights.chunks_mut(horizon * self.actions as usize);
        let calls = outcome
            .chunks_exact(candidates * 2)
            .zip(actions.chunks_exact(candidates * horizon))
            .zip(rows.chunks_exact(ROW_WORDS))
            .zip(best.chunks_exact_mut(horizon + BEST_WORDS));
        for (((outcome, actions), row), best) in calls.take(self.batch as usize) {
            let length = (row[2] as usize).min(horizon);
            self.row(length, outcome, actions, best);
            if let Some(weights) = weights.next() {
                self.refit(length, outcome, actions, weights);
            }
        }
        Ok(())
    }
}
