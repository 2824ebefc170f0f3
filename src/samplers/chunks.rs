//! One run of a batch: inputs in, the orbit, results out.

use super::PlannerError;
use super::compiled::Compiled;
use super::observations::{Draws, PlanRequest, PlannerReport, Plans, Recorded, Trace};
use super::step::split_trace;
use super::{SamplerKind, SamplerSettings, StepTables};
use crate::device::Device;
use crate::graph::{GraphError, Moment};
use crate::models::remdm::DenoiserConfig;
use crate::orbit::{Orbit, OrbitReport};
use attractor_kernels::Element;

/// Examples of one run on the CPU device: enough rows for the matrix product, few enough for the cache.
const CPU_RUN: usize = 8;
/// Examples of one run on a GPU, where its limits allow.
const GPU_RUN: usize = 1024;

/// How many examples of a batch of `count` the device would take in one run.
pub(super) fn preferred(device: &Device, count: usize) -> usize {
    match device.gpu() {
        Some(_) => GPU_RUN,
        None => count
            .div_ceil(rayon::current_num_threads())
            .clamp(1, CPU_RUN),
    }
}

/// Checks the parts of a request against each other.
pub(super) fn check(
    request: &PlanRequest<'_>,
    settings: &SamplerSettings,
    tables: &StepTables,
    config: &DenoiserConfig,
) -> Result<(), PlannerError> {
    let (count, length) = (request.observations.count, config.seq_len);
    let demand = |holds: bool, what: &'static str, expected: String, found: String| {
        if holds {
            Ok(())
        } else {
            Err(PlannerError::Request {
                what,
                expected,
                found,
            })
        }
    };
    request.observations.check(config)?;
    let last = u64::from(request.first_example) + count as u64;
    demand(
        last <= u64::from(u32::MAX),
        "example numbers",
        format!("at most {}", u32::MAX),
        last.to_string(),
    )?;
    if let Some(locked) = request.locked {
        demand(
            locked.len() == count,
            "locked actions",
            format!("{count} examples"),
            locked.len().to_string(),
        )?;
        for actions in locked {
            demand(
                actions.len() <= length,
                "locked actions",
                format!("at most {length} actions"),
                actions.len().to_string(),
            )?;
            let stray = actions
                .iter()
                .find(|&&action| action < 0 || action as usize >= config.action_dim);
            demand(
                stray.is_none(),
                "locked actions",
                format!("actions in 0..{}", config.action_dim),
                stray.copied().unwrap_or(0).to_string(),
            )?;
        }
    }
    if settings.physics_aware {
        let found = request.hazards.map_or(0, <[[bool; 4]]>::len);
        demand(
            found == count,
            "hazards",
            format!("{count} examples"),
            found.to_string(),
        )?;
    }
    let Some(draws) = request.draws else {
        return Ok(());
    };
    let steps = tables.times.len();
    demand(
        draws.steps == steps,
        "draws",
        format!("{steps} steps"),
        draws.steps.to_string(),
    )?;
    let expected = steps * count * length;
    let (sampled, bernoulli) = match settings.sampler {
        SamplerKind::Greedy => (false, false),
        SamplerKind::MaskgitRemask => (true, false),
        SamplerKind::RemdmBernoulli => (true, true),
    };
    // A choice among all that a draw of 1 leaves is the last; a probability of 1 must exceed any draw.
    let below_one = 1.0f32.next_down();
    for (what, needed, values, largest) in [
        ("draws u_cat", sampled, &draws.categorical, 1.0),
        ("draws u_unmask", bernoulli, &draws.unmask, below_one),
        ("draws u_remask", sampled, &draws.remask, below_one),
    ] {
        if !needed {
            continue;
        }
        demand(
            values.len() == expected,
            what,
            format!("{expected} numbers"),
            values.len().to_string(),
        )?;
        let outside = values.iter().find(|u| !(0.0..=largest).contains(*u));
        let end = if largest < 1.0 { ')' } else { ']' };
        demand(
            outside.is_none(),
            what,
            format!("numbers in [0, 1{end}"),
            outside.copied().unwrap_or(0.0).to_string(),
        )?;
    }
    Ok(())
}

/// A run of `size` examples, of which those beyond the batch repeat its last one.
pub(super) struct Chunk<'a> {
    pub config: &'a DenoiserConfig,
    pub settings: &'a SamplerSettings,
    pub tables: &'a StepTables,
    pub request: &'a PlanRequest<'a>,
    pub first: usize,
    pub size: usize,
    pub steps: u32,
}

/// What a run gave.
pub(super) struct Finished {
    tokens: Vec<u32>,
    goal: Option<Vec<f32>>,
    trace: Option<Trace>,
    report: OrbitReport,
}

impl Chunk<'_> {
    /// Examples of the batch that the rows of this run stand for.
    fn examples(&self) -> impl Iterator<Item = usize> + '_ {
        let last = self.request.observations.count - 1;
        (self.first..self.first + self.size).map(move |example| example.min(last))
    }

    /// Gathers rows of `width` elements of a batch-major array.
    fn rows<T: Copy, U>(
        &self,
        values: &[T],
        width: usize,
        convert: impl Fn(T) -> U + Copy,
    ) -> Vec<U> {
        self.examples()
            .flat_map(|example| {
                values[example * width..(example + 1) * width]
                    .iter()
                    .map(move |&v| convert(v))
            })
            .collect()
    }

    /// Carries out the run.
    pub fn run(&self, compiled: &Compiled, orbit: &mut Orbit) -> Result<Finished, PlannerError> {
        self.write(compiled, orbit)?;
        let report = orbit.run(self.steps, &self.moment())?;
        let execution = &orbit.execution;
        let goal = compiled
            .network
            .goal
            .map(|goal| execution.read(goal))
            .transpose()?;
        let trace = self
            .request
            .record
            .then(|| read_trace(compiled, orbit))
            .transpose()?;
        Ok(Finished {
            tokens: execution.read_words(compiled.step.tokens)?,
            goal,
            trace,
            report,
        })
    }

    /// Seed and example numbers of the run.
    pub fn moment(&self) -> Moment {
        Moment {
            seed: self.request.seed,
            first_example: self.request.first_example + self.first as u32,
        }
    }

    /// Writes the inputs of the run.
    pub fn write(&self, compiled: &Compiled, orbit: &mut Orbit) -> Result<(), GraphError> {
        let (network, step) = (&compiled.network, &compiled.step);
        let execution = &mut orbit.execution;
        let observations = self.request.observations;
        let glyph = |g: i32| g as u32;
        execution.write_words(
            network.local,
            &self.rows(&observations.local, observations.cells(), glyph),
        )?;
        if let Some(global) = network.global {
            let seen = if self.settings.blind_global {
                vec![0; self.size * observations.level()]
            } else {
                self.rows(&observations.global, observations.level(), glyph)
            };
            execution.write_words(global, &seen)?;
        }
        execution.write_words(network.times, &self.tables.times)?;
        execution.write(step.schedule, &self.tables.schedule)?;
        let (tokens, locked) = self.state();
        execution.write_words(step.tokens, &tokens)?;
        execution.write_words(step.locked, &locked)?;
        if let Some(psi) = step.psi {
            execution.write(psi, &vec![f32::INFINITY; tokens.len()])?;
        }
        if let (Some(hazards), Some(known)) = (step.hazards, self.request.hazards) {
            let flags: Vec<u32> = self
                .examples()
                .flat_map(|example| known[example].map(u32::from))
                .collect();
            execution.write_words(hazards, &flags)?;
        }
        if let Some(draws) = self.request.draws {
            if let Some(tensor) = step.categorical_draws {
                execution.write(tensor, &self.pairs(draws))?;
            }
            if let Some(tensor) = step.step_draws {
                execution.write(tensor, &self.step_draws(draws))?;
            }
        }
        Ok(())
    }

    /// Sequences at the start, and the lengths of their locked prefixes.
    fn state(&self) -> (Vec<u32>, Vec<u32>) {
        let length = self.config.seq_len;
        let mut tokens = vec![self.config.mask_token as u32; self.size * length];
        let mut prefixes = vec![0; self.size];
        if let Some(locked) = self.request.locked {
            for (row, example) in self.examples().enumerate() {
                let actions = &locked[example];
                prefixes[row] = actions.len() as u32;
                for (place, &action) in tokens[row * length..].iter_mut().zip(actions) {
                    *place = action as u32;
                }
            }
        }
        (tokens, prefixes)
    }

    /// Uniforms of the categorical choices as (high, low) pairs, `[K, size, L, 2]`.
    fn pairs(&self, draws: &Draws) -> Vec<f32> {
        let length = self.config.seq_len;
        let step = self.request.observations.count * length;
        (0..draws.steps)
            .flat_map(|k| {
                self.rows(&draws.categorical[k * step..(k + 1) * step], length, |u| {
                    [u, 0.0]
                })
            })
            .flatten()
            .collect()
    }

    /// Uniforms of unmasking and remasking, `[K, size, 2, L]`, or of remasking alone, `[K, size, 1, L]`.
    fn step_draws(&self, draws: &Draws) -> Vec<f32> {
        let length = self.config.seq_len;
        let count = self.request.observations.count;
        let both = self.settings.sampler == SamplerKind::RemdmBernoulli;
        let mut values = Vec::new();
        for k in 0..draws.steps {
            for example in self.examples() {
                let range = (k * count + example) * length..(k * count + example + 1) * length;
                if both {
                    values.extend_from_slice(&draws.unmask[range.clone()]);
                }
                values.extend_from_slice(&draws.remask[range]);
            }
        }
        values
    }
}

/// Reads every history of a run.
fn read_trace(compiled: &Compiled, orbit: &Orbit) -> Result<Trace, GraphError> {
    let mut trace = Trace::new();
    for (name, id) in &compiled.step.histories {
        let tensor = compiled.pool.plan().graph().tensor(*id);
        let values = match tensor.element {
            Element::Float => orbit.execution.read_f64(*id)?,
            Element::Word => orbit
                .execution
                .read_words(*id)?
                .into_iter()
                .map(f64::from)
                .collect(),
        };
        let shape = tensor.shape.clone();
        trace.insert(name.clone(), Recorded { shape, values });
    }
    split_trace(&mut trace);
    Ok(trace)
}

/// Joins the runs of a batch.
pub(super) fn gather(
    finished: Vec<Finished>,
    request: &PlanRequest<'_>,
    config: &DenoiserConfig,
    report: &mut PlannerReport,
) -> Result<Plans, PlannerError> {
    let (count, length) = (request.observations.count, config.seq_len);
    let mut tokens = Vec::with_capacity(count * length);
    let mut goal: Option<Vec<[f32; 2]>> = None;
    let mut traces = Vec::new();
    for run in finished {
        report.dispatches += run.report.dispatches;
        report.submissions += run.report.submissions;
        report.host_seconds += run.report.host.as_secs_f64();
        tokens.extend(run.tokens);
        if let Some(values) = run.goal {
            let pairs = values.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
            goal.get_or_insert_default().extend(pairs);
        }
        traces.extend(run.trace);
    }
    tokens.truncate(count * length);
    if let Some(goal) = &mut goal {
        goal.truncate(count);
    }
    if let Some(place) = tokens
        .iter()
        .position(|&token| token as usize == config.mask_token)
    {
        // Samplers commit everything in the end; only a position without a usable logit stays masked.
        return Err(PlannerError::NotFinite {
            example: place / length,
            position: place % length,
        });
    }
    let strange = |pair: &[f32; 2]| pair.iter().any(|v| !v.is_finite());
    if let Some(example) = goal.iter().flatten().position(strange) {
        return Err(PlannerError::GoalNotFinite { example });
    }
    Ok(Plans {
        count,
        length,
        tokens: tokens.into_iter().map(|token| token as i32).collect(),
        goal,
        trace: request.record.then(|| join_traces(&traces, count)),
        report: PlannerReport::default(),
    })
}

/// Joins the histories `[K, chunk, ...]` of runs into `[K, N, ...]`.
fn join_traces(traces: &[Trace], count: usize) -> Trace {
    let mut joined = Trace::new();
    let Some(first) = traces.first() else {
        return joined;
    };
    for (name, recorded) in first {
        let [steps, chunk, inner @ ..] = recorded.shape.as_slice() else {
            continue;
        };
        let width: usize = inner.iter().product();
        let mut values = Vec::with_capacity(steps * count * width);
        for step in 0..*steps {
            let rows = traces
                .iter()
                .filter_map(|trace| trace.get(name))
                .flat_map(|run| {
                    run.values[step * chunk * width..(step + 1) * chunk * width]
                        .iter()
                        .copied()
                });
            values.extend(rows.take(count * width));
        }
        let mut shape = vec![*steps, count];
        shape.extend_from_slice(inner);
        joined.insert(name.clone(), Recorded { shape, values });
    }
    joined
}
