//! Control tasks with known dynamics: what planners and offline metrics take for the truth.

use super::{Dynamics, StepTensors};
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorKind};
use attractor_kernels::control_step::{ControlStep, ControlSystem};
use attractor_kernels::copy::CopyFloats;
use serde::Serialize;
use thiserror::Error;

/// A task or an action that is not there, or an observation that does not fit.
#[derive(Debug, Error, PartialEq)]
pub enum ControlError {
    /// No task of that name.
    #[error("control task: expected dmc_cartpole, dmc_reacher or dmc_acrobot, found {found:?}")]
    Task {
        /// The name.
        found: String,
    },
    /// An action that the task's set does not have.
    #[error("action of {task}: expected one of {expected}, found {found:?}")]
    Action {
        /// Task.
        task: &'static str,
        /// The set.
        expected: String,
        /// The action.
        found: Vec<f64>,
    },
    /// An observation of another width, or with a number that is not finite.
    #[error("observation of {task}: expected {expected}, found {found}")]
    Observation {
        /// Task.
        task: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// Cart-pole swing-up, reacher (easy) and acrobot swing-up of the DeepMind control suite (Tassa et al.
/// 2018), in closed form: see [`attractor_kernels::control_step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum ControlTask {
    /// Cart-pole, swing-up.
    #[serde(rename = "dmc_cartpole")]
    Cartpole,
    /// Reacher, the larger target.
    #[serde(rename = "dmc_reacher")]
    Reacher,
    /// Acrobot, swing-up.
    #[serde(rename = "dmc_acrobot")]
    Acrobot,
}

/// How a planner scores an observation; lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// Minus the sum of these columns.
    MinusSum(&'static [usize]),
    /// The Euclidean length of these columns.
    Length(&'static [usize]),
}

impl Score {
    /// Columns that it reads.
    pub fn columns(self) -> &'static [usize] {
        match self {
            Self::MinusSum(columns) | Self::Length(columns) => columns,
        }
    }

    /// The score of an observation; NaN for one too short for it.
    pub fn of(self, observation: &[f64]) -> f64 {
        let columns = self.columns().iter();
        let values = columns.map(|column| observation.get(*column).copied().unwrap_or(f64::NAN));
        match self {
            Self::MinusSum(_) => -values.sum::<f64>(),
            Self::Length(_) => values.fold(0.0, f64::hypot),
        }
    }
}

/// Torques of a task with one.
const LEVELS: [&[f64]; 5] = [&[-1.0], &[-0.5], &[0.0], &[0.5], &[1.0]];
/// Torques of a task with two, the first slowest.
const PAIRS: [&[f64]; 9] = [
    &[-1.0, -1.0],
    &[-1.0, 0.0],
    &[-1.0, 1.0],
    &[0.0, -1.0],
    &[0.0, 0.0],
    &[0.0, 1.0],
    &[1.0, -1.0],
    &[1.0, 0.0],
    &[1.0, 1.0],
];

impl ControlTask {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cartpole, Self::Reacher, Self::Acrobot];

    /// The task of a name, with or without its `dmc_`.
    ///
    /// # Errors
    /// [`ControlError::Task`] for another name.
    pub fn parse(name: &str) -> Result<Self, ControlError> {
        let plain = name.strip_prefix("dmc_").unwrap_or(name);
        let mut all = Self::ALL.into_iter();
        let found = all.find(|task| task.short_name() == plain);
        found.ok_or_else(|| ControlError::Task {
            found: name.to_string(),
        })
    }

    /// `dmc_cartpole`, `dmc_reacher` or `dmc_acrobot`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cartpole => "dmc_cartpole",
            Self::Reacher => "dmc_reacher",
            Self::Acrobot => "dmc_acrobot",
        }
    }

    /// `cartpole`, `reacher` or `acrobot`.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Cartpole => "cartpole",
            Self::Reacher => "reacher",
            Self::Acrobot => "acrobot",
        }
    }

    /// Its equations of motion.
    pub fn system(self) -> ControlSystem {
        match self {
            Self::Cartpole => ControlSystem::CARTPOLE,
            Self::Reacher => ControlSystem::REACHER,
            Self::Acrobot => ControlSystem::ACROBOT,
        }
    }

    /// The discrete actions that planners choose among, in the published order.
    pub fn actions(self) -> &'static [&'static [f64]] {
        match self {
            Self::Reacher => &PAIRS,
            _ => &LEVELS,
        }
    }

    /// The number of an action in [`ControlTask::actions`].
    ///
    /// # Errors
    /// [`ControlError::Action`] if the set does not have it.
    pub fn index_of(self, action: &[f64]) -> Result<usize, ControlError> {
        let place = self.actions().iter().position(|known| *known == action);
        place.ok_or_else(|| ControlError::Action {
            task: self.name(),
            expected: format!("{:?}", self.actions()),
            found: action.to_vec(),
        })
    }

    /// What planners score observations by: minus the pole's cosine, the distance of finger and target,
    /// minus the sum of both arms' cosines.
    pub fn score(self) -> Score {
        match self {
            Self::Cartpole => Score::MinusSum(&[1]),
            Self::Reacher => Score::Length(&[2, 3]),
            Self::Acrobot => Score::MinusSum(&[2, 3]),
        }
    }

    /// Directions in which neighbouring observations can lie: angles are observed as cosine and sine.
    pub fn degrees_of_freedom(self) -> usize {
        match self {
            Self::Reacher => 6,
            _ => 4,
        }
    }

    /// Checks an observation.
    ///
    /// # Errors
    /// [`ControlError::Observation`] for another width or a number that is not finite.
    pub fn check(self, observation: &[f64]) -> Result<(), ControlError> {
        let refuse = |expected: String, found: String| {
            let task = self.name();
            Err(ControlError::Observation {
                task,
                expected,
                found,
            })
        };
        if observation.len() != self.state() {
            let found = format!("{}", observation.len());
            return refuse(format!("{} numbers", self.state()), found);
        }
        match observation.iter().position(|value| !value.is_finite()) {
            Some(at) => {
                let found = observation.get(at).copied().unwrap_or(f64::NAN);
                refuse("finite numbers".into(), format!("{found} at {at}"))
            }
            None => Ok(()),
        }
    }
}

impl Dynamics for ControlTask {
    fn state(&self) -> usize {
        self.system().observation() as usize
    }

    fn action(&self) -> usize {
        self.system().action() as usize
    }

    fn push(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        rows: usize,
        tensors: StepTensors,
    ) {
        let mut state = tensors.state;
        if state == tensors.next {
            // A kernel does not read what it writes.
            let name = format!("{label}.before");
            let shape = [rows, self.state()];
            state = graph.float(&name, &shape, TensorKind::Intermediate);
            let copy = CopyFloats::contiguous(size(rows.saturating_mul(self.state())));
            graph.push(phase, name, copy, &[Some(tensors.state), Some(state)]);
        }
        let step = ControlStep::contiguous(self.system(), size(rows));
        let operands = [Some(state), Some(tensors.action), Some(tensors.next)];
        graph.push(phase, format!("{label}.step"), step, &operands);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_actions_and_scores() {
        for task in ControlTask::ALL {
            assert_eq!(ControlTask::parse(task.name()), Ok(task));
            assert_eq!(ControlTask::parse(task.short_name()), Ok(task));
            for (place, action) in task.actions().iter().enumerate() {
                assert_eq!(action.len(), task.action());
                assert_eq!(task.index_of(action), Ok(place));
            }
            let json = serde_json::to_value(task).ok();
            assert_eq!(json, Some(task.name().into()));
        }
        let unknown = ControlTask::parse("dmc_walker").map_err(|error| error.to_string());
        assert!(unknown.is_err_and(|text| text.contains("dmc_walker")));
        let odd = ControlTask::Reacher.index_of(&[0.5, 0.0]);
        assert!(matches!(odd, Err(ControlError::Action { .. })));
        let observation = [0.1, 0.2, 3.0, -4.0, 0.5, 0.6];
        assert_eq!(ControlTask::Cartpole.score().of(&observation[..5]), -0.2);
        assert_eq!(ControlTask::Reacher.score().of(&observation), 5.0);
        assert_eq!(ControlTask::Acrobot.score().of(&observation), 1.0);
        assert!(ControlTask::Acrobot.score().of(&[]).is_nan());
    }

    #[test]
    fn observations_are_checked() {
        let task = ControlTask::Cartpole;
        assert_eq!(task.check(&[0.0; 5]), Ok(()));
        let message = |values: &[f64]| task.check(values).map_err(|e| e.to_string()).err();
        let wide = message(&[0.0; 6]).unwrap_or_default();
        assert!(
            wide.contains("5 numbers") && wide.contains("found 6"),
            "{wide}"
        );
        let nan = message(&[0.0, 1.0, f64::NAN, 0.0, 0.0]).unwrap_or_default();
        assert!(nan.contains("NaN at 2"), "{nan}");
    }
}
