//! Where episodes begin: the control suite's laws, drawn as it draws them.

use super::ControlEnvironment;
use crate::models::control::ControlTask;
use crate::orbit::NumpyRandom;
use attractor_kernels::control_step::constants::reacher::RANGE;
use std::f64::consts::{PI, TAU};

/// Episodes that one base seed has task seeds for.
pub const EPISODES_A_SEED: u32 = 100_000;

/// The task seed of episode `episode` of a base seed: both arms of a comparison begin at the same states.
/// None beyond [`EPISODES_A_SEED`] episodes or 32 bits.
pub fn task_seed(seed: u32, episode: u32) -> Option<u32> {
    let first = seed.checked_mul(EPISODES_A_SEED)?;
    (episode < EPISODES_A_SEED).then(|| first.checked_add(episode))?
}

/// The successive start states of an environment with a task seed, without end.
///
/// Cart-pole: position and velocities 0.01 n each, angle pi + 0.01 n, n standard normal. Reacher: shoulder
/// uniform on a turn, wrist within its range, at rest; the target uniform in angle and in its distance from
/// the shoulder, 0.05 to 0.2. Acrobot: both angles uniform on a turn, at rest.
#[derive(Debug, Clone)]
pub struct Resets {
    task: ControlTask,
    random: NumpyRandom,
}

impl Resets {
    /// The start states of a task seed.
    pub fn new(task: ControlTask, task_seed: u32) -> Self {
        Self {
            task,
            random: NumpyRandom::new(task_seed),
        }
    }

    /// The next episode.
    pub fn environment(&mut self) -> ControlEnvironment {
        let random = &mut self.random;
        match self.task {
            ControlTask::Cartpole => {
                let [x, turned, v, w] = std::array::from_fn(|_| 0.01 * random.normal());
                ControlEnvironment::at(self.task, [x, PI + turned], [v, w], [0.0; 2])
            }
            ControlTask::Reacher => {
                let coordinates = [random.uniform(-PI, PI), random.uniform(-RANGE, RANGE)];
                let (sine, cosine) = random.uniform(0.0, TAU).sin_cos();
                let radius = random.uniform(0.05, 0.2);
                let target = [radius * sine, radius * cosine];
                ControlEnvironment::at(self.task, coordinates, [0.0; 2], target)
            }
            ControlTask::Acrobot => {
                let coordinates = [random.uniform(-PI, PI), random.uniform(-PI, PI)];
                ControlEnvironment::at(self.task, coordinates, [0.0; 2], [0.0; 2])
            }
        }
    }
}
