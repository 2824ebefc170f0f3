//! Finite-time Lyapunov exponents of a reasoner: tangents carried beside the latents of every example.

use super::error::{ReasonerError, refuse};
use super::run::Run;
use super::solutions::Solutions;
use super::{Reasoner, SolveReport, SolveRequest, shrink};
use crate::graph::{Moment, PlanSummary};
use crate::models::recursive::{Granularity, Observation, Observed, RecursiveMap, Start};
use crate::orbit::lyapunov::{self, LyapunovOrbit, LyapunovPlan, Settings, Spectrum};
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Rows of the tangents of all examples of a run on the CPU device: few enough for the cache.
const CPU_ROWS: usize = 640;
/// Examples of a run on a GPU, where its limits allow.
const GPU_RUN: usize = 256;

/// How exponents are measured.
#[derive(Debug, Clone, Copy)]
pub struct ExponentSettings<'a> {
    /// Tangent vectors k.
    pub columns: usize,
    /// After which updates they are re-orthonormalised.
    pub granularity: Granularity,
    /// Seed of the first tangents.
    pub seed: u64,
    /// Number of the first example in the whole job: what its tangents are keyed by.
    pub first_example: u32,
    /// First tangents `[N, n, k]`, columns orthonormal, n the joint dimension; random where none.
    pub start: Option<&'a [f64]>,
    /// Whether the tangents after the last step are kept.
    pub keep_tangents: bool,
    /// Whether Q and R of every QR are kept.
    pub factors: bool,
}

impl ExponentSettings<'_> {
    /// From random tangents, nothing kept but the logarithms.
    pub fn new(columns: usize, granularity: Granularity, seed: u64) -> Self {
        Self {
            columns,
            granularity,
            seed,
            first_example: 0,
            start: None,
            keep_tangents: false,
            factors: false,
        }
    }
}

/// An example whose latents or tangents left the finite numbers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InvalidExample {
    /// Example of the request.
    pub example: usize,
    /// ACT step, from 1.
    pub step: usize,
    /// Node before the QR that met it.
    pub node: String,
}

/// Answers and exponents of N examples.
#[derive(Debug, Clone, Default)]
pub struct Exponents {
    /// What the forward pass gave; not finite where an example is invalid.
    pub solutions: Solutions,
    /// Tangent vectors k.
    pub columns: usize,
    /// QRs of an example.
    pub events: usize,
    /// Logarithms of the diagonals of R `[N, events, k]`.
    pub log_r: Vec<f64>,
    /// Tangents that had to be replaced `[N]`.
    pub restarts: Vec<u32>,
    /// Examples that are to be left out.
    pub invalid: Vec<InvalidExample>,
    /// Last tangents `[N, n, k]`, if kept.
    pub tangents: Vec<f64>,
    /// Q and R of every QR of every example, if kept.
    pub factors: Option<lyapunov::Factors>,
}

impl Exponents {
    /// Exponents of one example per QR, `[k]`: means of its logarithms.
    pub fn of(&self, example: usize) -> Vec<f64> {
        let size = self.events * self.columns;
        let logs = self.log_r.get(example * size..(example + 1) * size);
        let logs = logs.unwrap_or_default();
        let mean = |column: usize| {
            let column = logs.iter().skip(column).step_by(self.columns.max(1));
            column.sum::<f64>() / self.events.max(1) as f64
        };
        (0..self.columns).map(mean).collect()
    }
}

/// What a compiled plan depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    batch: usize,
    steps: usize,
    record: bool,
    columns: usize,
    granularity: Granularity,
    start: lyapunov::Start,
    factors: bool,
}

/// A compiled plan and the working memories that were made for it.
#[derive(Debug)]
pub(super) struct CompiledExponents {
    plan: LyapunovPlan,
    map: RecursiveMap,
    observed: Observed,
    /// First latents of a batch.
    state: Vec<f32>,
    key: Key,
    idle: Mutex<Vec<LyapunovOrbit>>,
}

impl CompiledExponents {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<LyapunovOrbit>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn borrow(&self) -> Result<LyapunovOrbit, ReasonerError> {
        let idle = self.idle().pop();
        Ok(idle.map_or_else(|| self.plan.orbit(), Ok)?)
    }
}

/// What one run gave.
struct Finished {
    forward: super::run::Finished,
    spectrum: Spectrum,
    tangents: Vec<f64>,
}

impl Reasoner {
    /// Runs ACT steps for every puzzle with `settings.columns` tangents beside the latents.
    ///
    /// An example's numbers do not depend on the others. Examples that leave the finite numbers are
    /// listed and are no error.
    ///
    /// # Errors
    /// [`ReasonerError`]: a part of the request or of the settings that does not fit, a device's limit
    /// or loss.
    pub fn exponents(
        &mut self,
        request: &SolveRequest<'_>,
        settings: &ExponentSettings<'_>,
    ) -> Result<Exponents, ReasonerError> {
        let start = Instant::now();
        let count = self.check_exponents(request, settings)?;
        let compiled = self.fitting_exponents(request, settings, count)?;
        let batch = compiled.key.batch;
        let firsts: Vec<usize> = (0..count).step_by(batch).collect();
        let at_once = self.at_once(firsts.len());
        while compiled.idle().len() < at_once {
            let orbit = compiled.plan.orbit()?;
            compiled.idle().push(orbit);
        }
        let side_by_side = at_once > 1;
        let carry_out = |&first: &usize| {
            let mut orbit = compiled.borrow()?;
            orbit.orbit.execution.parallel = !side_by_side;
            let run = Run {
                config: self.config(),
                request,
                count,
                first,
            };
            let outcome = run.carry_out_tangents(&compiled, settings, &mut orbit);
            compiled.idle().push(orbit);
            outcome
        };
        let finished: Vec<Result<Finished, ReasonerError>> = if side_by_side {
            firsts.par_iter().map(carry_out).collect()
        } else {
            firsts.iter().map(carry_out).collect()
        };
        let idle = compiled.idle();
        let working_bytes = idle.iter().map(|o| o.orbit.execution.working_bytes()).sum();
        drop(idle);
        let mut all = Exponents {
            solutions: Solutions::begin(
                count,
                request,
                SolveReport {
                    runs: firsts.len(),
                    run_examples: batch,
                    working_bytes,
                    ..SolveReport::default()
                },
            ),
            columns: settings.columns,
            events: compiled.plan.events(request.steps as u32),
            factors: settings.factors.then(lyapunov::Factors::default),
            ..Exponents::default()
        };
        for (run, &first) in finished.into_iter().zip(&firsts) {
            run?.append(self.config(), first, &mut all)?;
        }
        all.solutions.report.seconds = start.elapsed().as_secs_f64();
        Ok(all)
    }

    /// What a run of one batch of [`Reasoner::exponents`] will do and hold, and how many go side by side.
    ///
    /// # Errors
    /// As [`Reasoner::exponents`].
    pub fn exponents_summary(
        &mut self,
        request: &SolveRequest<'_>,
        settings: &ExponentSettings<'_>,
    ) -> Result<(PlanSummary, usize), ReasonerError> {
        let count = self.check_exponents(request, settings)?;
        let compiled = self.fitting_exponents(request, settings, count)?;
        let runs = self.at_once(count.div_ceil(compiled.key.batch));
        Ok((compiled.plan.plan().summary(request.steps as u32), runs))
    }

    fn check_exponents(
        &self,
        request: &SolveRequest<'_>,
        settings: &ExponentSettings<'_>,
    ) -> Result<usize, ReasonerError> {
        let count = self.check(request)?;
        let dimension = self.config().dimension();
        if !(1..=dimension).contains(&settings.columns) {
            let expected = format!("1 to {dimension}, the dimension of the joint latents");
            return Err(refuse("tangent vectors k", expected, settings.columns));
        }
        let basis = dimension.saturating_mul(settings.columns);
        let expected = count.saturating_mul(basis);
        if let Some(start) = settings.start.filter(|start| start.len() != expected) {
            let expected = format!(
                "{expected} numbers [{count}, {dimension}, {}]",
                settings.columns
            );
            return Err(refuse("first tangents", expected, start.len()));
        }
        if settings.first_example as usize > u32::MAX as usize - count {
            let expected = format!("at most {}", u32::MAX as usize - count);
            return Err(refuse("first example", expected, settings.first_example));
        }
        Ok(count)
    }

    fn fitting_exponents(
        &mut self,
        request: &SolveRequest<'_>,
        settings: &ExponentSettings<'_>,
        count: usize,
    ) -> Result<Arc<CompiledExponents>, ReasonerError> {
        let rows = self.config().length() * settings.columns;
        let preferred = match self.device().gpu() {
            Some(_) => GPU_RUN,
            None => count
                .div_ceil(rayon::current_num_threads())
                .clamp(1, (CPU_ROWS / rows.max(1)).max(1)),
        };
        let mut limit = request.batch.unwrap_or(preferred).min(count).max(1);
        loop {
            let key = Key {
                batch: count.div_ceil(count.div_ceil(limit)),
                steps: request.steps,
                record: request.record,
                columns: settings.columns,
                granularity: settings.granularity,
                start: match settings.start {
                    Some(_) => lyapunov::Start::Given,
                    None => lyapunov::Start::Random,
                },
                factors: settings.factors,
            };
            let compiled = self.compiled_exponents(key);
            let bytes = |compiled: &Arc<CompiledExponents>| compiled.plan.plan().working_bytes();
            if !shrink(&compiled, bytes, request.batch.is_none()) || limit == 1 {
                return compiled;
            }
            limit /= 2;
        }
    }

    fn compiled_exponents(&mut self, key: Key) -> Result<Arc<CompiledExponents>, ReasonerError> {
        if let Some(known) = self.tangents.as_ref().filter(|known| known.key == key) {
            return Ok(Arc::clone(known));
        }
        let model = self.model();
        // Written by the host: nodes that write the state would write zero tangents with it.
        let mut map = model.map(key.batch, Start::Given);
        let state = model.start(key.batch);
        let points = map.points(key.granularity);
        let what = Observation {
            steps: key.steps,
            logits: key.record,
            states: key.record,
        };
        let mut graph = std::mem::take(&mut map.map.graph);
        let observed = model.observe(&mut graph, &map, what);
        map.map.graph = graph;
        let settings = Settings {
            columns: key.columns,
            points,
            every: 1,
            start: key.start,
            factors: key.factors,
        };
        let plan = LyapunovPlan::compile(&map.map, &settings, self.device())?;
        let compiled = Arc::new(CompiledExponents {
            plan,
            map,
            observed,
            state,
            key,
            idle: Mutex::default(),
        });
        self.tangents = Some(Arc::clone(&compiled));
        Ok(compiled)
    }
}

impl Run<'_> {
    fn carry_out_tangents(
        &self,
        compiled: &CompiledExponents,
        settings: &ExponentSettings<'_>,
        orbit: &mut LyapunovOrbit,
    ) -> Result<Finished, ReasonerError> {
        let batch = compiled.key.batch;
        let execution = &mut orbit.orbit.execution;
        self.write(&compiled.map, batch, execution)?;
        execution.write(compiled.map.map.state, &compiled.state)?;
        if let Some(start) = settings.start {
            let size = self.config.dimension() * settings.columns;
            let examples = self.examples(batch);
            let basis: Vec<f64> = examples
                .flat_map(|example| &start[example * size..(example + 1) * size])
                .copied()
                .collect();
            orbit.set_tangents(&basis)?;
        }
        let moment = Moment {
            seed: settings.seed,
            first_example: settings.first_example + self.first as u32,
        };
        let spectrum = orbit.run(self.request.steps as u32, &moment)?;
        let tangents = match settings.keep_tangents {
            true => orbit.tangents()?,
            false => Vec::new(),
        };
        let execution = &orbit.orbit.execution;
        Ok(Finished {
            forward: self.read(&compiled.observed, batch, execution, spectrum.report)?,
            spectrum,
            tangents,
        })
    }
}

impl Finished {
    /// Adds the examples of this run, the first of which is number `first`, behind those that are there.
    fn append(
        self,
        config: &crate::models::recursive::RecursiveConfig,
        first: usize,
        all: &mut Exponents,
    ) -> Result<(), ReasonerError> {
        let (spectrum, batch) = (self.spectrum, self.forward.batch());
        let valid = self.forward.valid();
        self.forward.append(config, &mut all.solutions, false)?;
        let part = |values: Vec<f64>| {
            let each = values.len() / batch;
            values.into_iter().take(each * valid)
        };
        all.log_r.extend(part(spectrum.log_r));
        all.tangents.extend(part(self.tangents));
        if let (Some(to), Some(from)) = (&mut all.factors, spectrum.factors) {
            to.r.extend(part(from.r));
            to.q.extend(part(from.q));
        }
        all.restarts.extend(spectrum.restarts.iter().take(valid));
        let invalid = spectrum.invalid.into_iter();
        all.invalid.extend(
            invalid
                .filter(|i| i.example < valid)
                .map(|invalid| InvalidExample {
                    example: first + invalid.example,
                    step: invalid.step as usize + 1,
                    node: invalid.update,
                }),
        );
        Ok(())
    }
}
