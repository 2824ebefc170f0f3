//! One run of a call: inputs in, the orbit, actions out.

use super::graph::Replayed;
use super::request::{MppiDraws, MppiPlans, MppiReport, MppiRequest, MppiTrace};
use super::{Compiled, MppiError, MppiSettings};
use crate::graph::{Execution, GraphError, Moment};
use crate::models::tdmpc2::Tdmpc2Config;
use crate::orbit::{Orbit, OrbitReport};

/// Environments `first..first + valid` of a request; beyond them the last one is repeated.
pub(super) struct Run<'a> {
    pub request: &'a MppiRequest<'a>,
    pub settings: &'a MppiSettings,
    pub config: &'a Tdmpc2Config,
    pub first: usize,
    pub valid: usize,
    /// Environments of the request.
    pub count: usize,
}

/// What a run gave; of `batch` environments the first `valid` count.
pub(super) struct Finished {
    valid: usize,
    batch: usize,
    rounds: usize,
    actions: Vec<f64>,
    means: Vec<f64>,
    deviations: Vec<f64>,
    values: Vec<f64>,
    elites: Vec<u32>,
    chosen: Vec<u32>,
    trace: Option<MppiTrace>,
    report: OrbitReport,
}

impl Run<'_> {
    /// Environments of the request that this run's stand for.
    fn environments(&self, batch: usize) -> impl Iterator<Item = usize> + Clone + '_ {
        let last = self.count.saturating_sub(1);
        (self.first..self.first + batch).map(move |environment| environment.min(last))
    }

    /// Carries out the run.
    pub fn carry_out(
        &self,
        compiled: &Compiled,
        orbit: &mut Orbit,
        pairs: &[u32],
    ) -> Result<Finished, MppiError> {
        self.write(compiled, &mut orbit.execution, pairs)?;
        let moment = Moment {
            seed: self.request.key(),
            first_example: self.request.first_environment + self.first as u32,
        };
        let asked = |node: usize, step: u32| {
            let Some(member) = compiled.members.get(node).copied().flatten() else {
                return true;
            };
            let own = pairs.iter().skip(2 * step as usize).take(2);
            own.copied().any(|asked| asked as usize == member)
        };
        let rounds = self.settings.iterations;
        let report = orbit.run_where(rounds as u32, &moment, asked)?;
        self.read(compiled, &orbit.execution, report)
    }

    fn write(
        &self,
        compiled: &Compiled,
        execution: &mut Execution,
        pairs: &[u32],
    ) -> Result<(), GraphError> {
        let (tensors, batch) = (&compiled.tensors, compiled.form.environments);
        let observations = rows(
            self.request.observations,
            self.environments(batch),
            self.config.obs_dim,
        );
        execution.write(tensors.observation, &observations)?;
        let (length, action) = (self.settings.length(self.config), self.config.action_dim);
        let mean = |environment| self.request.mean(environment, length, action);
        let means: Vec<f32> = self.environments(batch).flat_map(mean).collect();
        execution.write(tensors.mean, &means)?;
        let first = vec![self.settings.largest_deviation; means.len()];
        execution.write_f64(tensors.deviation, &first)?;
        execution.write_words(tensors.pairs, pairs)?;
        if let (Some(tensors), Some(draws)) = (&tensors.replayed, self.request.draws) {
            self.write_draws(tensors, draws, batch, execution)?;
        }
        Ok(())
    }

    fn write_draws(
        &self,
        tensors: &Replayed,
        draws: &MppiDraws,
        batch: usize,
        execution: &mut Execution,
    ) -> Result<(), GraphError> {
        let (settings, action) = (self.settings, self.config.action_dim);
        let length = settings.length(self.config);
        let of = |values: &[f32], width: usize| rows(values, self.environments(batch), width);
        // Tables of all iterations.
        let each = |values: &[f32], width: usize| -> Vec<f32> {
            let all = (self.count * width).max(1);
            values.chunks(all).flat_map(|one| of(one, width)).collect()
        };
        if let Some(tensor) = tensors.policy {
            execution.write(tensor, &of(&draws.policy, settings.policies * length))?;
        }
        if let Some(tensor) = tensors.samples {
            let width = (settings.samples - settings.policies) * length;
            execution.write(tensor, &each(&draws.samples, width))?;
        }
        let value = each(&draws.value, settings.samples * action);
        execution.write(tensors.value, &value)?;
        let exponential = of(&draws.exponential, settings.elites);
        execution.write(tensors.exponential, &exponential)?;
        if let Some(tensor) = tensors.action {
            execution.write(tensor, &of(&draws.action, action))?;
        }
        Ok(())
    }

    /// Refuses environments that no candidate of some iteration has a finite value for: `raw` are the
    /// values `[I, batch, N]` as the model gave them. That one value is none is no failure.
    fn check_values(&self, raw: &[f64], compiled: &Compiled) -> Result<(), MppiError> {
        let batch = compiled.form.environments.max(1);
        for (place, values) in raw.chunks(self.settings.samples.max(1)).enumerate() {
            let (iteration, environment) = (place / batch, place % batch);
            if environment < self.valid && !values.iter().any(|value| value.is_finite()) {
                return Err(MppiError::ValuesNotFinite {
                    environment: self.first + environment,
                    iteration,
                });
            }
        }
        Ok(())
    }

    fn read(
        &self,
        compiled: &Compiled,
        execution: &Execution,
        report: OrbitReport,
    ) -> Result<Finished, MppiError> {
        let tensors = &compiled.tensors;
        self.check_values(&execution.read_f64(tensors.raw)?, compiled)?;
        let trace = match &tensors.histories {
            Some(histories) => Some(MppiTrace {
                value: execution.read_f64(histories.value)?,
                elite: execution.read_words(histories.elite)?,
                score: execution.read_f64(histories.score)?,
                mean: execution.read_f64(histories.mean)?,
                deviation: execution.read_f64(histories.deviation)?,
                actions: execution.read_f64(histories.actions)?,
            }),
            None => None,
        };
        Ok(Finished {
            valid: self.valid,
            batch: compiled.form.environments,
            rounds: self.settings.iterations,
            actions: execution.read_f64(tensors.action)?,
            means: execution.read_f64(tensors.mean)?,
            deviations: execution.read_f64(tensors.deviation)?,
            values: execution.read_f64(tensors.value)?,
            elites: execution.read_words(tensors.elite)?,
            chosen: execution.read_words(tensors.chosen)?,
            trace,
            report,
        })
    }
}

/// The rows of `width` numbers that environments have.
fn rows(values: &[f32], environments: impl Iterator<Item = usize>, width: usize) -> Vec<f32> {
    environments
        .flat_map(|environment| {
            let own = values.get(environment * width..(environment + 1) * width);
            own.unwrap_or_default().iter().copied()
        })
        .collect()
}

/// Joins the runs of a call.
pub(super) fn gather(finished: Vec<Finished>, count: usize, record: bool) -> MppiPlans {
    let mut plans = MppiPlans {
        count,
        trace: record.then(MppiTrace::default),
        report: MppiReport {
            runs: finished.len(),
            ..MppiReport::default()
        },
        ..MppiPlans::default()
    };
    for run in finished {
        run.append(&mut plans);
    }
    plans
}

impl Finished {
    /// Adds the environments of this run behind those that are there.
    fn append(self, plans: &mut MppiPlans) {
        plans.report.dispatches += self.report.dispatches;
        plans.report.submissions += self.report.submissions;
        let samples = self.values.len() / self.batch.max(1);
        let elites = self.elites.len() / self.batch.max(1);
        for environment in 0..self.valid {
            let value = |candidate: Option<&u32>| {
                let place = candidate.map(|c| environment * samples + *c as usize);
                let found = place.and_then(|place| self.values.get(place));
                found.copied().unwrap_or(f64::NAN)
            };
            let chosen = self.chosen.get(environment);
            plans.values.push(value(chosen));
            plans
                .best
                .push(value(self.elites.get(environment * elites)));
            plans.chosen.extend(chosen);
        }
        for (all, own) in [
            (&mut plans.actions, &self.actions),
            (&mut plans.means, &self.means),
            (&mut plans.deviations, &self.deviations),
        ] {
            all.extend_from_slice(self.counted(own));
        }
        let Some((kept, own)) = plans.trace.as_mut().zip(self.trace.as_ref()) else {
            return;
        };
        for (all, own) in [
            (&mut kept.value, &own.value),
            (&mut kept.score, &own.score),
            (&mut kept.mean, &own.mean),
            (&mut kept.deviation, &own.deviation),
            (&mut kept.actions, &own.actions),
        ] {
            self.by_environment(own, all);
        }
        self.by_environment(&own.elite, &mut kept.elite);
    }

    /// The part of `[batch, ...]` that belongs to environments of the request.
    fn counted<'a>(&self, values: &'a [f64]) -> &'a [f64] {
        let each = values.len() / self.batch.max(1);
        values.get(..self.valid * each).unwrap_or_default()
    }

    /// Takes `[I, batch, ...]` apart into `[valid, I, ...]`.
    fn by_environment<T: Copy>(&self, values: &[T], all: &mut Vec<T>) {
        let each = values.len() / (self.batch * self.rounds).max(1);
        for environment in 0..self.valid {
            for round in 0..self.rounds {
                let first = (round * self.batch + environment) * each;
                all.extend_from_slice(values.get(first..first + each).unwrap_or_default());
            }
        }
    }
}
