//! Closed loops: plans carried out in the control tasks, in double precision.

use super::{Inputs, MpcArguments, Results};
use crate::cli::exit::Usage;
use anyhow::Result;
use attractor::models::Dynamics;
use attractor::models::control::ControlTask;
use attractor::models::tdmpc2::Tdmpc2Config;
use attractor::samplers::mppi::{Mppi, MppiPlans};
use attractor::worlds::control::{ControlEnvironment, Resets, STEP_LIMIT, task_seed};
use serde::Serialize;

/// How an episode went.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Episode {
    /// Sum of rewards.
    #[serde(rename = "return")]
    pub sum: f64,
    /// Reward of the last step.
    pub last_reward: f64,
    /// Whether that reached the task's threshold.
    pub solved: bool,
}

/// The environments of a task at their first states: number i begins where task seed number i of the seed does.
pub fn begin(
    arguments: &MpcArguments,
    name: &str,
    config: &Tdmpc2Config,
) -> Result<Vec<ControlEnvironment>> {
    let task = ControlTask::parse(name)?;
    let shapes = [
        ("obs_dim", config.obs_dim, task.state()),
        ("action_dim", config.action_dim, task.action()),
    ];
    for (key, found, expected) in shapes {
        if found != expected {
            return Err(Usage(format!(
                "--env {name}: expected a model of {key} {expected}, found {found}"
            ))
            .into());
        }
    }
    if arguments.steps > STEP_LIMIT {
        return Err(Usage(format!(
            "--steps: expected at most {STEP_LIMIT}, an episode's length, found {}",
            arguments.steps
        ))
        .into());
    }
    let count = arguments.environments.unwrap_or(1);
    let start = |episode: usize| {
        let seed = u32::try_from(arguments.seed).ok();
        let own = seed.zip(u32::try_from(episode).ok());
        let own = own.and_then(|(seed, episode)| task_seed(seed, episode));
        own.map(|seed| Resets::new(task, seed).environment())
    };
    let environments: Option<Vec<_>> = (0..count).map(start).collect();
    environments.ok_or_else(|| {
        Usage(format!(
            "--seed {} with {count} environments: expected seeds that task seeds of 32 bits can hold",
            arguments.seed
        ))
        .into()
    })
}

/// What environments show now.
pub fn observe(environments: &[ControlEnvironment]) -> Vec<f32> {
    let numbers = environments.iter().flat_map(ControlEnvironment::observe);
    numbers.map(|value| value as f32).collect()
}

/// Plans and acts, step by step.
pub fn run(
    arguments: &MpcArguments,
    planner: &mut Mppi,
    mut environments: Vec<ControlEnvironment>,
) -> Result<Results> {
    let width = planner.model().config().action_dim;
    let mut episodes = vec![Episode::default(); environments.len()];
    let mut seconds = Vec::with_capacity(arguments.steps);
    let (mut plans, mut previous) = (MppiPlans::default(), Vec::new());
    for call in 0..arguments.steps {
        let inputs = Inputs {
            count: environments.len(),
            observations: observe(&environments),
            previous: Vec::new(),
        };
        plans = planner.plan(&inputs.request(arguments, call, &previous))?;
        seconds.push(plans.report.seconds);
        let actions = plans.actions.chunks(width.max(1));
        for ((environment, episode), action) in
            environments.iter_mut().zip(&mut episodes).zip(actions)
        {
            let outcome = environment.step_continuous(action)?;
            episode.sum += outcome.reward;
            episode.last_reward = outcome.reward;
            episode.solved = environment.successful();
        }
        previous = plans.means.iter().map(|value| *value as f32).collect();
    }
    Ok(Results {
        plans,
        seconds,
        shape: [planner.settings().horizon, width],
        episodes: Some(episodes),
    })
}
