//! One run of a batch: inputs in, the orbit, readouts out.

use super::error::ReasonerError;
use super::solutions::{Solutions, halted_at};
use super::{Compiled, SolveRequest};
use crate::graph::{Execution, Moment, TensorId};
use crate::models::recursive::{Observed, RecursiveConfig, RecursiveMap};
use crate::orbit::{Orbit, OrbitReport};

/// A part of a request; beyond the last example it is repeated.
pub(super) struct Run<'a> {
    pub config: &'a RecursiveConfig,
    pub request: &'a SolveRequest<'a>,
    pub count: usize,
    /// First example.
    pub first: usize,
}

/// What a run gave; `batch` examples of which `valid` belong to the request.
pub(super) struct Finished {
    first: usize,
    batch: usize,
    valid: usize,
    predictions: Vec<u32>,
    logits: Vec<f64>,
    q: Vec<f64>,
    squared_drift: Vec<f64>,
    states: Vec<f64>,
    all_logits: Vec<f64>,
    report: OrbitReport,
}

impl Run<'_> {
    /// Examples of the request that this run's stand for.
    pub fn examples(&self, batch: usize) -> impl Iterator<Item = usize> + '_ {
        (self.first..self.first + batch).map(|example| example.min(self.count - 1))
    }

    /// Carries out the run.
    pub fn carry_out(
        &self,
        compiled: &Compiled,
        orbit: &mut Orbit,
    ) -> Result<Finished, ReasonerError> {
        let batch = compiled.key.batch;
        self.write(&compiled.map, batch, &mut orbit.execution)?;
        let report = orbit.run(compiled.key.steps as u32, &Moment::default())?;
        self.read(&compiled.observed, batch, &orbit.execution, report)
    }

    /// Hands the inputs over.
    pub fn write(
        &self,
        map: &RecursiveMap,
        batch: usize,
        execution: &mut Execution,
    ) -> Result<(), ReasonerError> {
        let (cells, request) = (self.config.seq_len, self.request);
        let of = |example: usize| request.tokens.get(example * cells..(example + 1) * cells);
        let rows = self.examples(batch).filter_map(of);
        let tokens: Vec<u32> = rows.flatten().copied().collect();
        execution.write_words(map.tokens, &tokens)?;
        if let Some(puzzles) = map.puzzles {
            let of = |example| request.puzzles.get(example).copied().unwrap_or(0);
            let ids: Vec<u32> = self.examples(batch).map(of).collect();
            execution.write_words(puzzles, &ids)?;
        }
        Ok(())
    }

    /// Takes what is read off a run that is done.
    pub fn read(
        &self,
        observed: &Observed,
        batch: usize,
        execution: &Execution,
        report: OrbitReport,
    ) -> Result<Finished, ReasonerError> {
        let optional = |id: Option<TensorId>| match id {
            Some(id) => execution.read_f64(id),
            None => Ok(Vec::new()),
        };
        Ok(Finished {
            first: self.first,
            batch,
            valid: batch.min(self.count - self.first),
            predictions: execution.read_words(observed.predictions)?,
            logits: execution.read_f64(observed.logits)?,
            q: execution.read_f64(observed.q)?,
            squared_drift: execution.read_f64(observed.squared_drift)?,
            states: optional(observed.states)?,
            all_logits: optional(observed.all_logits)?,
            report,
        })
    }
}

impl Finished {
    /// Examples of the run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Those of them that belong to the request.
    pub fn valid(&self) -> usize {
        self.valid
    }

    /// Column `column` of `width` of a history `[T, batch, width]` for one example.
    fn series<'a>(
        &self,
        history: &'a [f64],
        example: usize,
        (column, width): (usize, usize),
    ) -> impl Iterator<Item = f64> + 'a {
        let first = example * width + column;
        let values = history.iter().skip(first).step_by(self.batch * width);
        values.copied()
    }

    /// Adds the examples of this run behind those that are there. Numbers that are not finite are an
    /// error where the run is `strict`.
    pub fn append(
        self,
        config: &RecursiveConfig,
        solutions: &mut Solutions,
        strict: bool,
    ) -> Result<(), ReasonerError> {
        solutions.report.dispatches += self.report.dispatches;
        solutions.report.submissions += self.report.submissions;
        let (cells, vocabulary) = (config.seq_len, config.vocab_size);
        for example in 0..self.valid {
            let q_halt: Vec<f64> = self.series(&self.q, example, (0, 2)).collect();
            let q_continue: Vec<f64> = self.series(&self.q, example, (1, 2)).collect();
            let root = |value: f64| value.sqrt();
            let drift = |latent| {
                let squares = self.series(&self.squared_drift, example, (latent, 2));
                squares.map(root).collect::<Vec<f64>>()
            };
            let (drift_h, drift_l) = (drift(0), drift(1));
            for (what, values) in [
                ("the move of z_H", &drift_h),
                ("the move of z_L", &drift_l),
                ("the logit to halt", &q_halt),
                ("the logit to go on", &q_continue),
            ] {
                let bad = values.iter().position(|value| !value.is_finite());
                if let Some(step) = bad.filter(|_| strict) {
                    return Err(ReasonerError::NotFinite {
                        example: self.first + example,
                        step: step + 1,
                        what,
                    });
                }
            }
            solutions
                .halted_at
                .push(halted_at(config, &q_halt, &q_continue));
            solutions.q_halt.extend(q_halt);
            solutions.q_continue.extend(q_continue);
            solutions.drift_h.extend(drift_h);
            solutions.drift_l.extend(drift_l);
            let steps = solutions.steps;
            if let Some(kept) = &mut solutions.trajectories {
                for step in 0..steps {
                    let row = step * self.batch + example;
                    for (values, to, width) in [
                        (&self.states, &mut kept.states, config.dimension()),
                        (&self.all_logits, &mut kept.logits, cells * vocabulary),
                    ] {
                        let of_step = values.get(row * width..(row + 1) * width);
                        to.extend_from_slice(of_step.unwrap_or_default());
                    }
                }
            }
        }
        let valid = self.valid * cells;
        solutions
            .predictions
            .extend(self.predictions.into_iter().take(valid));
        solutions
            .logits
            .extend(self.logits.into_iter().take(valid * vocabulary));
        Ok(())
    }
}
