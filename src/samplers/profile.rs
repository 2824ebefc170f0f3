//! Where the time of a run goes.

use super::chunks::{self, Chunk};
use super::step::StepOptions;
use super::{PlanRequest, Planner, PlannerError, SamplerSettings};
use crate::graph::Plan;

/// Launches of one run of a batch, and how long each took.
#[derive(Debug, Clone)]
pub struct RunProfile {
    /// What was run.
    pub plan: Plan,
    /// Examples of the run.
    pub chunk: usize,
    /// Runs that the batch would be cut into.
    pub runs: usize,
    /// How many of them go side by side; the profiled one had no other beside it.
    pub at_once: usize,
    /// (node, step) of every launch, in order.
    pub launches: Vec<(usize, u32)>,
    /// Seconds of every launch: device timestamps on a GPU (none if it has none), the clock on the CPU.
    pub seconds: Option<Vec<f64>>,
}

impl Planner {
    /// Carries out the first run of a batch and times each of its launches.
    ///
    /// # Errors
    /// [`PlannerError`] as [`Planner::plan`].
    pub fn profile(
        &mut self,
        settings: &SamplerSettings,
        request: &PlanRequest<'_>,
    ) -> Result<RunProfile, PlannerError> {
        let tables = self.tables(settings)?;
        chunks::check(request, settings, &tables, &self.config)?;
        let options = StepOptions {
            steps: tables.times.len(),
            replay: request.draws.is_some(),
            record: request.record,
        };
        let count = request.observations.count;
        let compiled = self.fitting(settings, options, count)?;
        let chunk = compiled.shape.batch;
        let runs = count.div_ceil(chunk.max(1));
        let at_once = self.at_once(&compiled, count);
        let part = Chunk {
            config: &self.config,
            settings,
            tables: &tables,
            request,
            first: 0,
            size: chunk,
            steps: tables.steps_needed(settings, self.config.seq_len),
        };
        let mut orbit = compiled.pool.borrow()?;
        orbit.execution.parallel = runs == 1;
        let launches = orbit.launches(part.steps);
        part.write(&compiled, &mut orbit)?;
        let seconds = orbit.profile(part.steps, &part.moment());
        compiled.pool.give_back(orbit);
        Ok(RunProfile {
            plan: compiled.pool.plan().clone(),
            chunk,
            runs,
            at_once,
            launches,
            seconds: seconds?,
        })
    }
}
