//! The states and the sequence of actions that metrics are measured on.

use super::Stage2Error;
use super::error::refuse;
use crate::models::Dynamics;
use crate::models::control::ControlTask;
use crate::worlds::control::{action_sequence, state_sample};
use serde::Serialize;

/// How much is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SampleSettings {
    /// States.
    pub n_states: usize,
    /// Actions of the sequence, K.
    pub k_steps: usize,
    /// Seed of the walk's actions; that of the sequence is the next.
    pub state_sample_seed: u64,
}

impl Default for SampleSettings {
    fn default() -> Self {
        Self {
            n_states: 150,
            k_steps: 10,
            state_sample_seed: 0,
        }
    }
}

impl SampleSettings {
    /// A small sample, to see that everything works.
    pub fn smoke() -> Self {
        Self {
            n_states: 8,
            k_steps: 4,
            ..Self::default()
        }
    }
}

/// What the metrics of a task are measured on.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The task.
    pub task: ControlTask,
    /// Observations `[n, state]`.
    pub states: Vec<f64>,
    /// Indices of actions `[K]`.
    pub sequence: Vec<usize>,
}

impl Sample {
    /// Samples a task: its states along uniformly drawn actions from the starts of task seed 0, anew after
    /// every 25 states, and the sequence of the next seed.
    ///
    /// # Errors
    /// [`Stage2Error::Request`] for no states or no actions.
    pub fn draw(task: ControlTask, settings: &SampleSettings) -> Result<Self, Stage2Error> {
        const MOST: usize = 1 << 20;
        for (what, found) in [("states", settings.n_states), ("K", settings.k_steps)] {
            if !(1..=MOST).contains(&found) {
                return Err(refuse(what, format!("1..={MOST}"), found));
            }
        }
        let seed = settings.state_sample_seed;
        Ok(Self {
            task,
            states: state_sample(task, settings.n_states, 0, seed)?.concat(),
            sequence: action_sequence(task, settings.k_steps, seed),
        })
    }

    /// States.
    pub fn count(&self) -> usize {
        self.states.len() / self.task.state().max(1)
    }
}

/// The actions of these indices, one after the other; none for an index that there is not.
pub(super) fn actions_of(task: ControlTask, indices: &[usize]) -> Vec<f64> {
    let all = indices
        .iter()
        .filter_map(|index| task.actions().get(*index));
    all.flat_map(|action| action.iter()).copied().collect()
}
