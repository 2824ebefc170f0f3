//! Episodes of planning and acting, and two arms of them from the same starts.

use super::{BatchPlanner, PlanCall, Planned, PythonPlanner, ShootingError};
use serde::Serialize;

/// What plans are carried out in.
pub trait Environment {
    /// What the planner sees, `[state]`.
    fn observation(&self) -> &[f64];

    /// Numbers of the goal, for scores that have one.
    fn goal(&self) -> &[f64] {
        &[]
    }

    /// Carries out the action of an index.
    ///
    /// # Errors
    /// [`ShootingError`] for an action that there is not, or a state that left the numbers.
    fn act(&mut self, action: usize) -> Result<(), ShootingError>;

    /// Whether the task is accomplished.
    fn is_successful(&self) -> bool;
}

/// What came of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Episode {
    /// Whether the task was accomplished.
    pub success: bool,
    /// Actions carried out.
    pub steps: usize,
    /// Plans that were made.
    pub plans: usize,
}

/// Runs one episode: plans are carried out open loop up to success or the end of the budget of `horizon`
/// actions, then made anew. `see` is told every plan, with the observation and the actions that remained.
///
/// # Errors
/// [`ShootingError`] of the planner or the environment.
pub fn run_episode(
    planner: &mut PythonPlanner,
    environment: &mut dyn Environment,
    horizon: usize,
    mut see: impl FnMut(&PythonPlanner, &[f64], usize, &Planned) -> Result<(), ShootingError>,
) -> Result<Episode, ShootingError> {
    let mut episode = Episode {
        success: environment.is_successful(),
        steps: 0,
        plans: 0,
    };
    while !episode.success && episode.steps < horizon {
        let remaining = horizon - episode.steps;
        let observation = environment.observation().to_vec();
        let goal = environment.goal().to_vec();
        let Some(plan) = planner.plan(&observation, &goal, remaining)? else {
            break;
        };
        see(planner, &observation, remaining, &plan)?;
        episode.plans += 1;
        carry_out(&mut episode, environment, &plan, horizon)?;
    }
    Ok(episode)
}

/// Acts by a plan until it ends, the budget ends or the task is accomplished.
fn carry_out(
    episode: &mut Episode,
    environment: &mut dyn Environment,
    plan: &Planned,
    horizon: usize,
) -> Result<(), ShootingError> {
    for action in &plan.actions {
        if episode.steps >= horizon {
            break;
        }
        environment.act(*action)?;
        episode.steps += 1;
        episode.success = environment.is_successful();
        if episode.success {
            break;
        }
    }
    Ok(())
}

/// Runs many episodes side by side, in rounds: every environment that has not finished gets its next plan
/// in one call, and acts by it. The first environment is number `first` of the job; what an episode does
/// depends on its number and the seed alone.
///
/// # Errors
/// [`ShootingError`] of the planner or an environment.
pub fn run_batch<E: Environment>(
    planner: &mut BatchPlanner<'_>,
    environments: &mut [E],
    first: u32,
    horizon: usize,
) -> Result<Vec<Episode>, ShootingError> {
    let begin = |environment: &E| Episode {
        success: environment.is_successful(),
        steps: 0,
        plans: 0,
    };
    let mut episodes: Vec<Episode> = environments.iter().map(begin).collect();
    loop {
        let open = |episode: &Episode| !episode.success && episode.steps < horizon;
        let active: Vec<usize> = (0..episodes.len())
            .filter(|at| episodes.get(*at).is_some_and(open))
            .collect();
        if active.is_empty() {
            return Ok(episodes);
        }
        let call = |at: &usize| {
            let (environment, episode) = (environments.get(*at)?, episodes.get(*at)?);
            Some(PlanCall {
                state: environment.observation(),
                goal: environment.goal(),
                remaining: horizon - episode.steps,
                environment: first.wrapping_add(*at as u32),
                call: episode.plans as u32,
            })
        };
        let calls: Vec<PlanCall<'_>> = active.iter().filter_map(call).collect();
        let plans = planner.plan(&calls)?;
        for (at, plan) in active.iter().zip(plans) {
            let (Some(episode), Some(environment)) =
                (episodes.get_mut(*at), environments.get_mut(*at))
            else {
                continue;
            };
            episode.plans += 1;
            carry_out(episode, environment, &plan, horizon)?;
        }
    }
}

/// Share of successful episodes; zero of none.
pub fn success_rate(episodes: &[Episode]) -> f64 {
    let successes = episodes.iter().filter(|episode| episode.success).count();
    successes as f64 / episodes.len().max(1) as f64
}
