//! M1, M2, M3 and the regret of a model's best action.

use crate::analysis::correlation::Method;
use crate::orbit::PythonRandom;
use crate::worlds::maze::{Action, Atlas, MazeError, Position};
use serde::Serialize;

/// Offline metrics of one model against the maze, state by state; states are [`Layout::free`], in order.
///
/// [`Layout::free`]: crate::worlds::maze::Layout::free
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfflineMetrics {
    /// Transitions that the model gets wrong.
    pub mismatches: usize,
    /// Transitions there are.
    pub transitions: usize,
    /// Manhattan distance of model and maze after the sequence, `[states]`.
    pub divergences: Vec<u32>,
    /// The sequence.
    pub sequence: Vec<Action>,
    /// Kendall's tau-b of the actions' scores in maze and model, `[states]`; none where a score is the same
    /// for all actions.
    pub agreements: Vec<Option<f64>>,
    /// How much farther from the goal the model's best action ends than the truly best, both by the
    /// maze, `[states]`; the mean over the actions that the model holds for equally good.
    pub regrets: Vec<f64>,
}

impl OfflineMetrics {
    /// M1, one-step mismatch: the part of all transitions `(s, a)` with `f(s, a) != T(s, a)`.
    pub fn one_step_mismatch(&self) -> f64 {
        self.mismatches as f64 / self.transitions.max(1) as f64
    }

    /// M2, k-step divergence: the mean over all states of the distance of the two end states of one
    /// open-loop sequence.
    pub fn k_step_divergence(&self) -> f64 {
        let sum: u64 = self.divergences.iter().map(|d| u64::from(*d)).sum();
        sum as f64 / self.divergences.len().max(1) as f64
    }

    /// M3, action-ranking agreement: the mean tau-b over the states that have one; none where no state has.
    pub fn action_agreement(&self) -> Option<f64> {
        let defined: Vec<f64> = self.agreements.iter().copied().flatten().collect();
        let count = defined.len();
        (count > 0).then(|| defined.iter().sum::<f64>() / count as f64)
    }

    /// Mean regret of the model's best action, in moves of distance to the goal.
    pub fn mean_regret(&self) -> f64 {
        self.regrets.iter().sum::<f64>() / self.regrets.len().max(1) as f64
    }
}

/// `steps` uniform actions of the sequential stream of `seed`.
pub fn action_sequence(seed: u64, steps: usize) -> Vec<Action> {
    let mut random = PythonRandom::new(seed);
    let draw = |_| random.below(Action::COUNT as u32) as usize;
    let indices = (0..steps).map(draw);
    indices
        .filter_map(|index| Action::of_index(index).ok())
        .collect()
}

/// The metrics of model `model` of an atlas against its maze; M2 along `sequence`.
///
/// # Errors
/// [`MazeError`] for a model that runs off, or is not there.
pub fn offline_metrics(
    atlas: &mut Atlas<'_>,
    model: usize,
    sequence: &[Action],
) -> Result<OfflineMetrics, MazeError> {
    let layout = atlas.layout();
    let states = layout.free();
    let goal = layout.goal();
    let mut metrics = OfflineMetrics {
        mismatches: 0,
        transitions: states.len() * Action::COUNT,
        divergences: Vec::with_capacity(states.len()),
        sequence: sequence.to_vec(),
        agreements: Vec::with_capacity(states.len()),
        regrets: Vec::with_capacity(states.len()),
    };
    for &state in &states {
        let truth = Action::ALL.map(|action| layout.step(state, action));
        let mut imagined = truth;
        for (next, action) in imagined.iter_mut().zip(Action::ALL) {
            *next = atlas.roll(model, state, &[action])?;
        }
        let wrong = imagined.iter().zip(&truth).filter(|(f, t)| f != t);
        metrics.mismatches += wrong.count();
        let true_end = sequence.iter().fold(state, |at, a| layout.step(at, *a));
        let end = atlas.roll(model, state, sequence)?;
        metrics.divergences.push(end.manhattan(true_end));
        let scores = |ends: &[Position]| -> Vec<f64> {
            ends.iter()
                .map(|at| -f64::from(at.manhattan(goal)))
                .collect()
        };
        let (truth, imagined) = (scores(&truth), scores(&imagined));
        metrics
            .agreements
            .push(Method::Kendall.of(&truth, &imagined).ok());
        metrics.regrets.push(regret(&truth, &imagined));
    }
    Ok(metrics)
}

/// True score of the best action less that of the model's best ones; higher scores are better.
fn regret(truth: &[f64], imagined: &[f64]) -> f64 {
    let highest = |scores: &[f64]| scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (best, wanted) = (highest(truth), highest(imagined));
    let chosen = truth.iter().zip(imagined).filter(|(_, i)| **i == wanted);
    let (sum, count) = chosen.fold((0.0, 0.0), |(sum, n), (t, _)| (sum + best - t, n + 1.0));
    sum / f64::max(count, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::worlds::maze::{Layout, MazeModel};

    #[test]
    fn the_truth_is_without_fault() {
        let layout = Layout::published().unwrap();
        let mut atlas = Atlas::new(&layout, &Device::cpu(), vec![MazeModel::True]).unwrap();
        let metrics = offline_metrics(&mut atlas, 0, &action_sequence(0, 8)).unwrap();
        assert_eq!(metrics.one_step_mismatch(), 0.0);
        assert_eq!(metrics.k_step_divergence(), 0.0);
        assert_eq!(metrics.action_agreement(), Some(1.0));
        assert_eq!(metrics.mean_regret(), 0.0);
        assert!(offline_metrics(&mut atlas, 1, &[]).is_err());
    }

    #[test]
    fn the_published_sequence() {
        let names: Vec<usize> = action_sequence(0, 8).iter().map(|a| a.index()).collect();
        assert_eq!(names, [3, 3, 0, 2, 3, 3, 2, 3]);
    }

    #[test]
    fn regret_is_the_mean_over_equal_choices() {
        assert_eq!(regret(&[-1.0, -3.0, -2.0], &[-5.0, -4.0, -9.0]), 2.0);
        assert_eq!(regret(&[-1.0, -3.0, -2.0], &[-4.0, -4.0, -9.0]), 1.0);
        assert_eq!(regret(&[-1.0, -1.0], &[-7.0, -8.0]), 0.0);
    }
}
