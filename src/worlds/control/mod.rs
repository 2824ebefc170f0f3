//! Control tasks as environments: what plans act in, in double precision.

mod resets;
mod sample;

pub use resets::{EPISODES_A_SEED, Resets, task_seed};
pub use sample::{SAMPLE_STATES, action_sequence, state_sample};

use crate::models::Dynamics;
use crate::models::control::{ControlError, ControlTask};
use attractor_kernels::control_step::formulas::{Direction, finger, motion};

/// Steps after which an episode ends.
pub const STEP_LIMIT: usize = 1000;

/// Largest distance of finger and target at which the reacher is there: the sum of both radii.
const REACH: f64 = 0.06;

/// What a step of an environment brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Reward, from 0 to 1.
    pub reward: f64,
    /// Whether the episode has reached [`STEP_LIMIT`].
    pub ended: bool,
}

/// One episode of a control task. It keeps coordinates and velocities, and rebuilds neither from what is
/// observed.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlEnvironment {
    task: ControlTask,
    coordinates: [f64; 2],
    velocity: [f64; 2],
    /// The reacher's target.
    target: [f64; 2],
    steps: usize,
    reward: Option<f64>,
}

impl ControlEnvironment {
    /// An episode that begins at an observation.
    ///
    /// # Errors
    /// [`ControlError::Observation`] for another width or a number that is not finite.
    pub fn new(task: ControlTask, observation: &[f64]) -> Result<Self, ControlError> {
        task.check(observation)?;
        let (coordinates, velocity, target) = match (task, observation) {
            (ControlTask::Cartpole, &[x, c, s, v, w]) => ([x, s.atan2(c)], [v, w], [0.0; 2]),
            (ControlTask::Reacher, &[shoulder, wrist, x, y, v, w]) => {
                let [a, b] = finger_of([shoulder, wrist]);
                ([shoulder, wrist], [v, w], [a + x, b + y])
            }
            (ControlTask::Acrobot, &[us, ls, uc, lc, v, w]) => {
                let upper = us.atan2(uc);
                ([upper, ls.atan2(lc) - upper], [v, w], [0.0; 2])
            }
            _ => return Err(width(task, observation)),
        };
        Ok(Self::at(task, coordinates, velocity, target))
    }

    /// An episode that begins at coordinates and velocities, with the reacher's target.
    fn at(task: ControlTask, coordinates: [f64; 2], velocity: [f64; 2], target: [f64; 2]) -> Self {
        Self {
            task,
            coordinates,
            velocity,
            target,
            steps: 0,
            reward: None,
        }
    }

    /// The task.
    pub fn task(&self) -> ControlTask {
        self.task
    }

    /// Coordinates and velocities.
    pub fn state(&self) -> ([f64; 2], [f64; 2]) {
        (self.coordinates, self.velocity)
    }

    /// Steps since the episode began.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// What is observed now.
    pub fn observe(&self) -> Vec<f64> {
        let ([p, q], [v, w]) = (self.coordinates, self.velocity);
        match self.task {
            ControlTask::Cartpole => vec![p, q.cos(), q.sin(), v, w],
            ControlTask::Reacher => {
                let [x, y] = finger_of([p, q]);
                vec![p, q, self.target[0] - x, self.target[1] - y, v, w]
            }
            ControlTask::Acrobot => {
                let lower = p + q;
                vec![p.sin(), lower.sin(), p.cos(), lower.cos(), v, w]
            }
        }
    }

    /// Takes one of the task's discrete actions.
    ///
    /// # Errors
    /// [`ControlError::Action`] if the set does not have it.
    pub fn step(&mut self, action: &[f64]) -> Result<Outcome, ControlError> {
        self.task.index_of(action)?;
        Ok(self.advance(action))
    }

    /// Takes any action in `[-1, 1]`.
    ///
    /// # Errors
    /// [`ControlError::Action`] for another width or a number outside, NaN included.
    pub fn step_continuous(&mut self, action: &[f64]) -> Result<Outcome, ControlError> {
        let inside = action.iter().all(|value| (-1.0..=1.0).contains(value));
        if action.len() != self.task.action() || !inside {
            return Err(ControlError::Action {
                task: self.task.name(),
                expected: format!("{} numbers in [-1, 1]", self.task.action()),
                found: action.to_vec(),
            });
        }
        Ok(self.advance(action))
    }

    fn advance(&mut self, action: &[f64]) -> Outcome {
        let number = |place: usize| action.get(place).copied().unwrap_or(0.0);
        let drive = [number(0), number(1)];
        let system = self.task.system();
        let step = motion(system, self.coordinates, self.velocity, drive);
        for (own, moved) in self.coordinates.iter_mut().zip(step.moved) {
            *own += moved;
        }
        self.velocity = step.velocity;
        self.steps += 1;
        let reward = reward(self.task, &self.observe(), action);
        self.reward = Some(reward);
        Outcome {
            reward,
            ended: self.steps >= STEP_LIMIT,
        }
    }

    /// Whether the last step's reward reached [`success_threshold`]; before the first step no.
    pub fn successful(&self) -> bool {
        let least = success_threshold(self.task);
        self.reward.is_some_and(|reward| reward >= least)
    }
}

fn width(task: ControlTask, observation: &[f64]) -> ControlError {
    ControlError::Observation {
        task: task.name(),
        expected: format!("{} numbers", task.state()),
        found: format!("{}", observation.len()),
    }
}

fn finger_of([shoulder, wrist]: [f64; 2]) -> [f64; 2] {
    finger(
        Direction::of_angle(shoulder),
        Direction::of_angle(shoulder + wrist),
    )
}

/// Reward of the step at which a task counts as solved.
pub fn success_threshold(task: ControlTask) -> f64 {
    match task {
        ControlTask::Reacher => 0.5,
        _ => 0.6,
    }
}

/// The control suite's soft tolerance: 1 at 0, 0.1 at a distance of 1, a Gaussian between and beyond.
fn tolerance(distance: f64) -> f64 {
    0.1_f64.powf(distance * distance)
}

/// The reward of a step that led to an observation by an action (Tassa et al. 2018); NaN where one of them
/// is too short.
pub fn reward(task: ControlTask, observation: &[f64], action: &[f64]) -> f64 {
    match (task, observation, action) {
        (ControlTask::Cartpole, &[x, cosine, _, _, spin], &[u]) => {
            let upright = (cosine + 1.0) / 2.0;
            let centred = (1.0 + tolerance(x / 2.0)) / 2.0;
            let small = (4.0 + (1.0 - u * u).max(0.0)) / 5.0;
            let slow = (1.0 + tolerance(spin / 5.0)) / 2.0;
            upright * centred * small * slow
        }
        (ControlTask::Reacher, &[_, _, x, y, _, _], _) => f64::from(u8::from(x.hypot(y) <= REACH)),
        (ControlTask::Acrobot, &[us, ls, uc, lc, _, _], _) => {
            let distance = (us + ls).hypot(2.0 - uc - lc);
            tolerance((distance - 0.2).max(0.0))
        }
        _ => f64::NAN,
    }
}
