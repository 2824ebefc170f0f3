//! Which task to practise next, and which of the oracle's episodes to learn from.

use std::collections::VecDeque;

const LOW_RATE: f64 = 0.15;
const HIGH_RATE: f64 = 0.85;
const LOW_WEIGHT: f64 = 0.2;
const HIGH_WEIGHT: f64 = 0.1;
const EMPTY_RATE: f64 = 0.5;

/// Steps charged to an oracle that gave no episode.
pub const MISSING_ORACLE_STEPS: u32 = 999;

/// Where the bucket of mastered tasks begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CurriculumRule {
    /// First recipe: above a win rate of 0.85.
    Above,
    /// Second recipe: from 0.85 on.
    From,
}

impl CurriculumRule {
    /// Sampling weight of a task with this win rate: 0.2 below 0.15, 0.1 when mastered, else 1.
    pub fn weight(self, win_rate: f64) -> f64 {
        let mastered = match self {
            Self::Above => win_rate > HIGH_RATE,
            Self::From => win_rate >= HIGH_RATE,
        };
        match win_rate {
            rate if rate < LOW_RATE => LOW_WEIGHT,
            _ if mastered => HIGH_WEIGHT,
            _ => 1.0,
        }
    }
}

/// Recent outcomes per task.
#[derive(Debug, Clone)]
pub struct Curriculum {
    rule: CurriculumRule,
    memory: usize,
    outcomes: Vec<VecDeque<bool>>,
}

impl Curriculum {
    /// `tasks` tasks, each remembering `memory` outcomes (100 in the original) and starting with
    /// `preseed` wins followed by as many losses (50 there).
    pub fn new(rule: CurriculumRule, tasks: usize, memory: usize, preseed: usize) -> Self {
        let mut curriculum = Self {
            rule,
            memory,
            outcomes: vec![VecDeque::new(); tasks],
        };
        for task in 0..tasks {
            for index in 0..2 * preseed {
                curriculum.record(task, index < preseed);
            }
        }
        curriculum
    }

    /// Remembers an outcome and forgets the oldest beyond the memory. Unknown tasks are ignored.
    pub fn record(&mut self, task: usize, won: bool) {
        if let Some(outcomes) = self.outcomes.get_mut(task) {
            outcomes.push_back(won);
            while outcomes.len() > self.memory {
                outcomes.pop_front();
            }
        }
    }

    /// Share of wins among the remembered outcomes, 0.5 when there is none.
    pub fn win_rate(&self, task: usize) -> f64 {
        match self.outcomes.get(task) {
            Some(outcomes) if !outcomes.is_empty() => {
                let wins = outcomes.iter().filter(|&&won| won).count();
                wins as f64 / outcomes.len() as f64
            }
            _ => EMPTY_RATE,
        }
    }

    /// Sampling weight of a task.
    pub fn weight(&self, task: usize) -> f64 {
        self.rule.weight(self.win_rate(task))
    }

    /// The task chosen by a uniform number in 0..1, in proportion to the weights; `None` without
    /// tasks.
    pub fn choose(&self, uniform: f64) -> Option<usize> {
        let weights: Vec<f64> = (0..self.outcomes.len())
            .map(|task| self.weight(task))
            .collect();
        let mark = uniform * weights.iter().sum::<f64>();
        let mut below = 0.0;
        let chosen = weights.iter().position(|weight| {
            below += weight;
            mark < below
        });
        chosen.or(weights.len().checked_sub(1))
    }
}

/// Whether the oracle's episode enters the buffer: the model lost, or took more than `multiplier`
/// times as many steps. A missing oracle counts as [`MISSING_ORACLE_STEPS`].
pub fn keep_oracle_trajectory(
    model_won: bool,
    model_steps: u32,
    oracle_steps: Option<u32>,
    multiplier: f64,
) -> bool {
    let oracle_steps = oracle_steps.unwrap_or(MISSING_ORACLE_STEPS);
    !model_won || f64::from(model_steps) > multiplier * f64::from(oracle_steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preseed_is_forgotten_wins_first() {
        let mut curriculum = Curriculum::new(CurriculumRule::From, 1, 4, 2);
        assert_eq!(curriculum.win_rate(0), 0.5);
        curriculum.record(0, true);
        assert_eq!(curriculum.win_rate(0), 0.5);
        curriculum.record(0, true);
        curriculum.record(0, true);
        assert_eq!(curriculum.win_rate(0), 0.75);
        curriculum.record(9, true);
        assert_eq!(curriculum.win_rate(9), 0.5);
    }

    #[test]
    fn choice_follows_the_weights() {
        let mut curriculum = Curriculum::new(CurriculumRule::From, 3, 10, 0);
        curriculum.record(0, false);
        curriculum.record(2, true);
        // Weights 0.2, 1, 0.1 of 1.3.
        let chosen = [0.0, 0.15, 0.16, 0.92, 0.93, 1.0].map(|u| curriculum.choose(u));
        assert_eq!(chosen, [0, 0, 1, 1, 2, 2].map(Some));
        assert_eq!(
            Curriculum::new(CurriculumRule::From, 0, 1, 0).choose(0.5),
            None
        );
    }
}
