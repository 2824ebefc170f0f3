//! Plans rolled through a finite map.

use crate::addressing::require_positive;
use crate::philox::philox4x32;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups, simd,
};
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;
use serde::Serialize;

#[cfg(test)]
mod tests;

/// No state, and the score of a plan that left the table.
pub const NOWHERE: u32 = u32::MAX;

/// Words of a row of the operand `rows` of [`MazeRollout`].
pub const ROW_WORDS: usize = 8;

/// Scores `candidates` plans for each of `batch` planning calls, rolled out through finite maps given as
/// tables (the maze, or what a network believes of it).
///
/// Operands, all words: `table` `[tables, states, actions]`, the next state, anything from `states` on
/// for none; `distance` `[states]`, the score of a state, lower is better; `rows` `[batch, 8]`, see
/// [`RolloutRow`]; `weights` `[batch, horizon, actions]` (with [`MazeRollout::WEIGHTED`], from step 1
/// on); `actions` `[batch, candidates, horizon]`, read, or written with [`MazeRollout::DRAW`]; output
/// `outcome` `[batch, candidates, 2]`: the lowest score of the states `s_1..s_L`, and how many actions
/// to keep, `L` if the last state has that score, else as far as the first that has.
///
/// A plan that leaves the table has the outcome ([`NOWHERE`], 0), so that nobody takes it for a result;
/// so has one of length 0, or one whose row or actions are out of bounds.
///
/// Drawn actions come from Philox under the row's seed with counter (block of the candidate, call + step,
/// episode, stream): they depend neither on the batch nor on the plan's length. Without weights the action
/// is `bits * actions / 2^32`, else the first whose running sum of weights exceeds `bits * sum / 2^32`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct MazeRollout {
    /// Planning calls.
    pub batch: u32,
    /// Maps.
    pub tables: u32,
    /// States of each.
    pub states: u32,
    /// Actions of each state.
    pub actions: u32,
    /// Plans of each call.
    pub candidates: u32,
    /// Longest plan.
    pub horizon: u32,
    /// Iteration of the call; set by [`Kernel::at_step`].
    pub step: u32,
    /// Bit set of [`MazeRollout::DRAW`], [`MazeRollout::WEIGHTED`].
    pub flags: u32,
}

/// What a planning call starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct RolloutRow {
    /// Map.
    pub table: u32,
    /// State.
    pub start: u32,
    /// Length L of its plans; 0 for a row that is not in use.
    pub length: u32,
    /// Counter of its draws: successive calls are apart by their iterations.
    pub call: u32,
    /// Episode.
    pub episode: u32,
    /// Stream of random numbers.
    pub stream: u32,
    /// Seed, lower half first.
    pub seed: [u32; 2],
}

impl MazeRollout {
    /// Flag: draw the actions and write them.
    pub const DRAW: u32 = 1;
    /// Flag: draw by weights from step 1 on; needs [`MazeRollout::DRAW`].
    pub const WEIGHTED: u32 = 2;

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn plans(&self) -> usize {
        element_count(&[self.batch, self.candidates])
    }

    /// Fills `plan` with the draws of a candidate; `weights` `[horizon, actions]` or none.
    fn draw(&self, row: &RolloutRow, candidate: u32, weights: &[u32], plan: &mut [u32]) {
        let blocks = self.horizon.div_ceil(4);
        let call = row.call.wrapping_add(self.step);
        for (block, quad) in plan.chunks_mut(4).enumerate() {
            let block = candidate.wrapping_mul(blocks).wrapping_add(block as u32);
            let bits = philox4x32([block, call, row.episode, row.stream], row.seed);
            for (action, bits) in quad.iter_mut().zip(bits) {
                *action = high_product(bits, self.actions);
            }
            if weights.is_empty() {
                continue;
            }
            let first = (block.wrapping_sub(candidate.wrapping_mul(blocks)) * 4) as usize;
            let width = self.actions as usize;
            let at_times = weights.chunks_exact(width).skip(first);
            for ((action, bits), weights) in quad.iter_mut().zip(bits).zip(at_times) {
                *action = weighted(bits, weights);
            }
        }
    }

    /// Score and cut of a plan through `table`, `[states, actions]`.
    #[inline(always)]
    fn follow(&self, table: &[u32], distance: &[u32], start: u32, plan: &[u32]) -> [u32; 2] {
        let (mut state, mut lowest, mut at, mut last) = (start, NOWHERE, 0, NOWHERE);
        for (t, &action) in plan.iter().enumerate() {
            if action >= self.actions || state >= self.states {
                return [NOWHERE, 0];
            }
            let entry = state as usize * self.actions as usize + action as usize;
            state = table.get(entry).copied().unwrap_or(NOWHERE);
            let Some(&score) = distance.get(state as usize) else {
                return [NOWHERE, 0];
            };
            last = score;
            if score < lowest {
                lowest = score;
                at = t + 1;
            }
        }
        if plan.is_empty() {
            return [NOWHERE, 0];
        }
        let cut = if last == lowest { plan.len() } else { at };
        [lowest, cut as u32]
    }
}

/// Upper word of a product: a uniform integer below `bound` from random bits.
fn high_product(bits: u32, bound: u32) -> u32 {
    ((u64::from(bits) * u64::from(bound)) >> 32) as u32
}

fn weighted(bits: u32, weights: &[u32]) -> u32 {
    let total = weights.iter().fold(0, |sum: u32, w| sum.wrapping_add(*w));
    let mark = high_product(bits, total);
    let mut passed = 0u32;
    let before_last = weights.iter().take(weights.len().saturating_sub(1));
    for (action, weight) in before_last.enumerate() {
        passed = passed.wrapping_add(*weight);
        if mark < passed {
            return action as u32;
        }
    }
    weights.len().saturating_sub(1) as u32
}

impl Kernel for MazeRollout {
    const NAME: &'static str = "maze_rollout";
    const SHADER: &'static str = include_str!("../../shaders/maze_rollout.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("table").words(),
        Operand::input("distance").words(),
        Operand::input("rows").words(),
        Operand::input("weights").words().optional(),
        Operand::output("actions").words().in_place(),
        Operand::output("outcome").words(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let counts = [
            ("batch", self.batch),
            ("tables", self.tables),
            ("states", self.states),
            ("actions", self.actions),
            ("candidates", self.candidates),
            ("horizon", self.horizon),
        ];
        require_positive(Self::NAME, &counts)?;
        let refuse = |parameter, expected: &str, found: u32| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        let most = u32::MAX as usize;
        if element_count(&[self.tables, self.states, self.actions]) > most {
            return refuse("states", "at most 2^32 - 1 transitions", self.states);
        }
        if element_count(&[self.batch, self.candidates, self.horizon, self.actions, 2]) > most {
            return refuse("batch", "at most 2^31 - 1 actions and weights", self.batch);
        }
        if self.flags > 3 || (self.has(Self::WEIGHTED) && !self.has(Self::DRAW)) {
            return refuse("flags", "0, DRAW or DRAW and WEIGHTED", self.flags);
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let weights = element_count(&[self.batch, self.horizon, self.actions]);
        vec![
            element_count(&[self.tables, self.states, self.actions]),
            self.states as usize,
            (self.batch as usize).saturating_mul(ROW_WORDS),
            if self.has(Self::WEIGHTED) { weights } else { 0 },
            self.plans().saturating_mul(self.horizon as usize),
            self.plans().saturating_mul(2),
        ]
    }

    fn cost(&self) -> Cost {
        let elements = self.extents().iter().sum::<usize>() as u64;
        let steps = self.plans().saturating_mul(self.horizon as usize) as u64;
        Cost {
            flops: steps.saturating_mul(if self.has(Self::DRAW) { 40 } else { 4 }),
            bytes: elements.saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.plans(), 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        let steps = u64::from(self.horizon);
        let weights = match self.has(Self::WEIGHTED) {
            true => 2 * u64::from(self.actions) + 2,
            false => 0,
        };
        let rounds = if self.has(Self::DRAW) { 4 } else { 0 };
        steps.saturating_mul(1 + rounds + weights)
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let table = operands.words(0)?;
        let distance = operands.words(1)?;
        let rows = operands.words(2)?;
        let weights = operands.words_or_empty(3)?;
        let actions = operands.words_mut(4)?;
        let outcome = operands.words_mut(5)?;
        let distance = distance.get(..self.states as usize).unwrap_or_default();
        let (horizon, candidates) = (self.horizon as usize, self.candidates as usize);
        let of_table = self.states as usize * self.actions as usize;
        let of_weights = horizon * self.actions as usize;
        let use_weights = self.has(Self::WEIGHTED) && self.step > 0;
        let one = |index: usize, plans: &mut [u32], outcome: &mut [u32]| {
            let words = rows.get(index * ROW_WORDS..(index + 1) * ROW_WORDS);
            let row = words.map_or_else(RolloutRow::zeroed, |words| {
                bytemuck::pod_read_unaligned(bytemuck::cast_slice(words))
            });
            outcome
                .chunks_exact_mut(2)
                .for_each(|o| o.copy_from_slice(&[NOWHERE, 0]));
            if row.table >= self.tables || row.length > self.horizon {
                return;
            }
            let first = row.table as usize * of_table;
            let table = table.get(first..first + of_table).unwrap_or_default();
            let weights = match use_weights {
                true => weights.get(index * of_weights..(index + 1) * of_weights),
                false => None,
            };
            let plans = plans
                .chunks_exact_mut(horizon)
                .zip(outcome.chunks_exact_mut(2));
            for (candidate, (plan, outcome)) in plans.enumerate() {
                let plan = plan.get_mut(..row.length as usize).unwrap_or_default();
                if self.has(Self::DRAW) {
                    self.draw(&row, candidate as u32, weights.unwrap_or_default(), plan);
                }
                outcome.copy_from_slice(&self.follow(table, distance, row.start, plan));
            }
        };
        let work = self.plans().saturating_mul(horizon);
        let (actions, outcome) = (
            actions.chunks_mut(candidates * horizon),
            outcome.chunks_mut(candidates * 2),
        );
        let calls = actions.zip(outcome).take(self.batch as usize).enumerate();
        if operands.parallel && work > 16 * 1024 && self.batch > 1 {
            let calls: Vec<_> = calls.collect();
            calls
                .into_par_iter()
                .for_each(|(index, (plans, outcome))| simd(|| one(index, plans, outcome)));
        } else {
            simd(|| calls.for_each(|(index, (plans, outcome))| one(index, plans, outcome)));
        }
        Ok(())
    }
}
