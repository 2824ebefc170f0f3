//! The states and actions that offline metrics are taken on.

use super::{ControlEnvironment, Resets};
use crate::models::control::{ControlError, ControlTask};
use crate::orbit::PythonRandom;

/// States of the published sample.
pub const SAMPLE_STATES: usize = 150;
/// States from one reset to the next.
const STRETCH: usize = 25;

/// A random action of the task's set.
fn draw(task: ControlTask, random: &mut PythonRandom) -> usize {
    random.below(task.actions().len() as u32) as usize
}

/// `count` observations along uniformly random actions drawn with `seed`, of the environment with the task
/// seed `task_seed`, which begins anew after every 25; the published sample has both seeds 0.
///
/// # Errors
/// [`ControlError`] if a step fails, which none of the set's actions does.
pub fn state_sample(
    task: ControlTask,
    count: usize,
    task_seed: u32,
    seed: u64,
) -> Result<Vec<Vec<f64>>, ControlError> {
    let mut resets = Resets::new(task, task_seed);
    let mut random = PythonRandom::new(seed);
    let mut states = Vec::with_capacity(count);
    let mut environment: ControlEnvironment = resets.environment();
    for taken in 1..=count {
        states.push(environment.observe());
        if taken == count {
            break;
        }
        if taken.is_multiple_of(STRETCH) {
            environment = resets.environment();
        } else if let Some(action) = task.actions().get(draw(task, &mut random)) {
            environment.step(action)?;
        }
    }
    Ok(states)
}

/// The action numbers, `length` of them, of the open-loop rollouts beside the sample with this seed: drawn
/// with the next one.
pub fn action_sequence(task: ControlTask, length: usize, seed: u64) -> Vec<usize> {
    let mut random = PythonRandom::new(seed.wrapping_add(1));
    (0..length).map(|_| draw(task, &mut random)).collect()
}
