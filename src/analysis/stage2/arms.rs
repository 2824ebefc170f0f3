//! The two arms of a planning gap: the same planner, once with the true dynamics and once with learned
//! ones, in episodes that begin alike.

use super::Stage2Error;
use super::error::refuse;
use crate::analysis::planning_gap::Gap;
use crate::device::Device;
use crate::models::Dynamics;
use crate::models::control::{ControlTask, Score};
use crate::samplers::shooting::episodes::{Environment, Episode, run_batch, run_episode};
use crate::samplers::shooting::{
    BatchPlanner, Planned, Problem, PythonPlanner, ShootingError, ShootingSettings,
};
use crate::worlds::control::{ControlEnvironment, Resets, task_seed};
use attractor_kernels::plan_track::PlanScore;
use serde::Serialize;

/// How episodes are run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Protocol {
    /// The planner.
    #[serde(flatten)]
    pub planner: ShootingSettings,
    /// Actions of an episode.
    pub horizon: usize,
    /// Episodes of an arm.
    pub episodes: usize,
    /// Seed of the planner, and base seed of the starts.
    pub seed: u32,
}

impl Protocol {
    /// The protocol of the published gaps: random shooting with 50 candidates over 15 actions, ten episodes
    /// of 500.
    pub fn published(seed: u32) -> Self {
        Self {
            planner: ShootingSettings::random(50, 15),
            horizon: 500,
            episodes: 10,
            seed,
        }
    }
}

/// A control environment for planners.
#[derive(Debug)]
pub struct ControlStage {
    environment: ControlEnvironment,
    observation: Vec<f64>,
}

impl ControlStage {
    /// The environment as it is now.
    pub fn new(environment: ControlEnvironment) -> Self {
        Self {
            observation: environment.observe(),
            environment,
        }
    }
}

impl Environment for ControlStage {
    fn observation(&self) -> &[f64] {
        &self.observation
    }

    fn act(&mut self, action: usize) -> Result<(), ShootingError> {
        let refuse = |found: String| ShootingError::Request {
            what: "action",
            expected: "an action of the task".into(),
            found,
        };
        let actions = self.environment.task().actions();
        let action = actions
            .get(action)
            .ok_or_else(|| refuse(action.to_string()))?;
        let step = self.environment.step(action);
        step.map_err(|error| refuse(error.to_string()))?;
        self.observation = self.environment.observe();
        Ok(())
    }

    fn is_successful(&self) -> bool {
        self.environment.successful()
    }
}

/// The actions of a task, `[count, action]`.
pub fn action_table(task: ControlTask) -> Vec<f64> {
    task.actions().concat()
}

/// What is planned for in a task with some dynamics; `actions` as of [`action_table`].
pub fn problem<'a>(
    task: ControlTask,
    dynamics: &'a dyn Dynamics,
    actions: &'a [f64],
) -> Problem<'a> {
    let score = match task.score() {
        Score::MinusSum(_) => PlanScore::NEGATIVE_SUM,
        Score::Length(_) => PlanScore::NORM,
    };
    let columns = task.score().columns().iter();
    Problem {
        dynamics,
        actions,
        score,
        columns: columns.fold(0, |bits, column| bits | 1 << column),
    }
}

/// The starts of a protocol's episodes.
///
/// # Errors
/// [`Stage2Error::Request`] for no episodes or more than a base seed has.
pub fn starts(
    task: ControlTask,
    protocol: &Protocol,
) -> Result<Vec<ControlEnvironment>, Stage2Error> {
    let of = |episode: usize| {
        let seed = u32::try_from(episode).ok();
        let seed = seed.and_then(|episode| task_seed(protocol.seed, episode));
        Some(Resets::new(task, seed?).environment())
    };
    let all: Option<Vec<_>> = (0..protocol.episodes).map(of).collect();
    all.filter(|all| !all.is_empty()).ok_or_else(|| {
        let expected = "as many as the base seed has task seeds for, at least one";
        refuse("episodes", expected, protocol.episodes)
    })
}

/// Runs one arm episode after episode with the draws of Python's generator, as the published arms were run.
/// `see` is told every plan, with the episode, the observation and the actions that remained.
///
/// # Errors
/// [`Stage2Error`] of the planner.
pub fn sequential(
    task: ControlTask,
    dynamics: &dyn Dynamics,
    (protocol, starts): (&Protocol, Vec<ControlEnvironment>),
    device: &Device,
    mut see: impl FnMut(&PythonPlanner, usize, (&[f64], usize), &Planned) -> Result<(), ShootingError>,
) -> Result<Vec<Episode>, Stage2Error> {
    let actions = action_table(task);
    let problem = problem(task, dynamics, &actions);
    let seed = u64::from(protocol.seed);
    let mut planner = PythonPlanner::new(&problem, &protocol.planner, seed, device)?;
    let mut episodes = Vec::with_capacity(starts.len());
    for (number, environment) in starts.into_iter().enumerate() {
        let mut stage = ControlStage::new(environment);
        let see = |planner: &PythonPlanner, at: &[f64], left: usize, plan: &Planned| {
            see(planner, number, (at, left), plan)
        };
        episodes.push(run_episode(
            &mut planner,
            &mut stage,
            protocol.horizon,
            see,
        )?);
    }
    Ok(episodes)
}

/// Runs one arm with all episodes side by side and draws keyed by episode and plan call.
///
/// # Errors
/// [`Stage2Error`] of the planner.
pub fn batched(
    task: ControlTask,
    dynamics: &dyn Dynamics,
    protocol: &Protocol,
    device: &Device,
) -> Result<Vec<Episode>, Stage2Error> {
    let actions = action_table(task);
    let problem = problem(task, dynamics, &actions);
    let seed = u64::from(protocol.seed);
    let mut planner = BatchPlanner::new(&problem, &protocol.planner, seed, device)?;
    let starts = starts(task, protocol)?.into_iter();
    let mut stages: Vec<ControlStage> = starts.map(ControlStage::new).collect();
    Ok(run_batch(&mut planner, &mut stages, 0, protocol.horizon)?)
}

/// Arms with the true dynamics, batched and in double precision on the CPU, each run once: models of one
/// task and seed are compared with the same.
#[derive(Debug, Clone, Default)]
pub struct OracleArms {
    known: Vec<(ControlTask, Protocol, Vec<bool>)>,
}

impl OracleArms {
    /// Which episodes succeed.
    ///
    /// # Errors
    /// [`Stage2Error`] of the protocol or the planner.
    pub fn successes(
        &mut self,
        task: ControlTask,
        protocol: &Protocol,
    ) -> Result<Vec<bool>, Stage2Error> {
        let mut known = self.known.iter();
        if let Some((_, _, flags)) = known.find(|one| (one.0, one.1) == (task, *protocol)) {
            return Ok(flags.clone());
        }
        let flags = flags(&batched(task, &task, protocol, &Device::cpu_f64())?);
        self.known.push((task, *protocol, flags.clone()));
        Ok(flags)
    }
}

fn flags(arm: &[Episode]) -> Vec<bool> {
    arm.iter().map(|one| one.success).collect()
}

/// The gap of a learned model under a protocol, its arm batched, beside the successes of [`OracleArms`]
/// under the same protocol.
///
/// # Errors
/// [`Stage2Error`] of the planner.
pub fn measure_gap(
    (task, oracle): (ControlTask, &[bool]),
    learned: &dyn Dynamics,
    protocol: &Protocol,
    device: &Device,
) -> Result<Gap, Stage2Error> {
    let learned = batched(task, learned, protocol, device)?;
    Ok(Gap::of(oracle, &flags(&learned))?)
}
