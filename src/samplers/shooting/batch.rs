//! Plans for many environments at once, with draws keyed by environment and call.

use super::compiled::{Compiled, Inputs, Source};
use super::error::refuse;
use super::{Planned, Problem, ShootingError, ShootingSettings};
use crate::device::Device;
use crate::orbit::OrbitReport;
use attractor_kernels::plan_track::PlanScore;

/// One environment's part of a call.
#[derive(Debug, Clone, Copy)]
pub struct PlanCall<'a> {
    /// State `[state]`.
    pub state: &'a [f64],
    /// Goal `[state]`; empty for scores that have none.
    pub goal: &'a [f64],
    /// Actions that remain, at least 1.
    pub remaining: usize,
    /// Number of the environment: with `call` the key of its draws.
    pub environment: u32,
    /// Which plan call of this environment it is.
    pub call: u32,
}

/// A planner for any number of environments. What an environment is given depends on its own part of the
/// call and the seed, not on the others: results are the same whatever the batch.
#[derive(Debug)]
pub struct BatchPlanner<'a> {
    problem: Problem<'a>,
    settings: ShootingSettings,
    seed: u64,
    device: Device,
    /// Calls that have been compiled, smallest first.
    compiled: Vec<Compiled>,
    /// Launches, submissions and times of all calls.
    pub report: OrbitReport,
}

impl<'a> BatchPlanner<'a> {
    /// A planner on a device under a seed.
    ///
    /// # Errors
    /// [`ShootingError::Request`] for settings or actions out of range.
    pub fn new(
        problem: &Problem<'a>,
        settings: &ShootingSettings,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ShootingError> {
        problem.check()?;
        settings.check()?;
        Ok(Self {
            problem: *problem,
            settings: *settings,
            seed,
            device: device.clone(),
            compiled: Vec::new(),
            report: OrbitReport::default(),
        })
    }

    /// A plan for every environment of the call, in one submission where the device's patience allows.
    ///
    /// # Errors
    /// [`ShootingError`]: inputs of wrong lengths or not finite, nothing that remains, no candidate with a
    /// finite score, a device that fails.
    pub fn plan(&mut self, calls: &[PlanCall<'_>]) -> Result<Vec<Planned>, ShootingError> {
        let Some(last) = calls.last() else {
            return Ok(Vec::new());
        };
        for call in calls {
            self.check(call)?;
        }
        let place = self.fitting(calls.len())?;
        let Some(compiled) = self.compiled.get_mut(place) else {
            return Ok(Vec::new());
        };
        // What is left over repeats the last environment.
        let over = compiled.environments().saturating_sub(calls.len());
        let all = || calls.iter().chain(std::iter::repeat_n(last, over));
        let start: Vec<f64> = all().flat_map(|call| call.state).copied().collect();
        let goal: Vec<f64> = all().flat_map(|call| call.goal).copied().collect();
        let horizon = self.settings.horizon;
        let length = |call: &PlanCall<'_>| call.remaining.min(horizon) as u32;
        let lengths: Vec<u32> = all().map(length).collect();
        let identity = |call: &PlanCall<'_>| [call.environment, call.call];
        let identity: Vec<u32> = all().flat_map(identity).collect();
        let inputs = Inputs {
            start: &start,
            goal: &goal,
            lengths: &lengths,
            identity: &identity,
        };
        self.report += compiled.run(&inputs, self.seed)?;
        let mut winners = compiled.winners()?;
        winners.truncate(calls.len());
        Ok(winners)
    }

    fn check(&self, call: &PlanCall<'_>) -> Result<(), ShootingError> {
        let width = self.problem.dynamics.state();
        let goal = match self.problem.score {
            PlanScore::MANHATTAN => width,
            _ => 0,
        };
        for (what, expected, found) in [("state", width, call.state), ("goal", goal, call.goal)] {
            if found.len() != expected || found.iter().any(|number| !number.is_finite()) {
                let expected = format!("{expected} finite numbers");
                return Err(refuse(what, expected, format!("{found:?}")));
            }
        }
        if call.remaining == 0 {
            return Err(refuse("remaining actions", "at least 1", 0));
        }
        Ok(())
    }

    /// Place of a compiled call for so many environments; sizes are powers of two, so that few are
    /// compiled while environments finish one after the other.
    fn fitting(&mut self, environments: usize) -> Result<usize, ShootingError> {
        let wanted = environments
            .checked_next_power_of_two()
            .unwrap_or(environments);
        let known = self.compiled.iter();
        let place = known
            .clone()
            .position(|compiled| compiled.environments() >= wanted);
        let fits = |place: &usize| {
            self.compiled
                .get(*place)
                .is_some_and(|compiled| compiled.environments() == wanted)
        };
        if let Some(place) = place.filter(fits) {
            return Ok(place);
        }
        let compiled = Compiled::new(
            &self.problem,
            &self.settings,
            (wanted, Source::Device),
            &self.device,
        )?;
        let place = place.unwrap_or(self.compiled.len());
        self.compiled.insert(place, compiled);
        Ok(place)
    }
}
