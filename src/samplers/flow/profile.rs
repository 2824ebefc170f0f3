//! Where the time of a run of draws goes.

use super::FlowSampler;
use super::error::{FlowError, refuse};
use super::request::{FlowRequest, Solver};
use crate::graph::Moment;
use crate::samplers::RunProfile;

impl FlowSampler {
    /// Carries out the first run of a request and times each of its launches. The profile's `chunk` is the
    /// rows of that run.
    ///
    /// # Errors
    /// [`FlowError`] as [`FlowSampler::sample`], and for the adaptive solver, whose steps are not known
    /// before.
    pub fn profile(&mut self, request: &FlowRequest<'_>) -> Result<RunProfile, FlowError> {
        request.check(self.config())?;
        let Solver::Fixed { steps, .. } = request.solver else {
            return Err(refuse(
                "profile",
                "a solver with equal steps",
                "the adaptive one",
            ));
        };
        let steps = steps as u32;
        let compiled = self.fitting(request)?;
        let runs = self.runs(request, &compiled);
        let first = runs.first();
        let first = first.ok_or_else(|| refuse("frames", "at least 1", 0))?;
        let mut orbit = compiled.pool.borrow()?;
        orbit.execution.parallel = runs.len() == 1;
        let launches = orbit.launches(steps);
        first.write(&compiled.tensors, &mut orbit.execution)?;
        let seconds = orbit.profile(steps, &Moment::default());
        compiled.pool.give_back(orbit);
        Ok(RunProfile {
            plan: compiled.pool.plan().clone(),
            chunk: compiled.batch.rows(),
            runs: runs.len(),
            at_once: self.at_once(runs.len()),
            launches,
            seconds: seconds?,
        })
    }

    /// Working memory that a request will take, in bytes: that of the runs that go side by side.
    ///
    /// # Errors
    /// [`FlowError`] as [`FlowSampler::sample`].
    pub fn peak_bytes(&mut self, request: &FlowRequest<'_>) -> Result<u64, FlowError> {
        request.check(self.config())?;
        let compiled = self.fitting(request)?;
        let at_once = self.at_once(self.runs(request, &compiled).len());
        let held = at_once.max(compiled.pool.idle()) as u64;
        Ok(compiled.pool.plan().working_bytes().saturating_mul(held))
    }
}
