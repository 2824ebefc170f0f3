//! Plans with the draws of Python's generator, for results that were published with it.

use super::compiled::{Compiled, Inputs, Source};
use super::error::refuse;
use super::{Candidates, Method, Planned, Problem, ShootingError, ShootingSettings};
use crate::device::Device;
use crate::orbit::PythonRandom;

/// A planner for one environment at a time. Its one stream of draws goes on from call to call: what a call
/// draws depends on how many there were before it.
///
/// Every round of the cross-entropy method is a submission of its own, since its draws are the host's.
#[derive(Debug)]
pub struct PythonPlanner {
    compiled: Compiled,
    settings: ShootingSettings,
    choices: usize,
    random: PythonRandom,
    /// Actions of the last round's candidates, `[horizon, candidates]`.
    sequences: Vec<u32>,
}

impl PythonPlanner {
    /// A planner on a device, with the stream of `seed`.
    ///
    /// # Errors
    /// [`ShootingError`]: settings out of range, a graph or device that fails.
    pub fn new(
        problem: &Problem<'_>,
        settings: &ShootingSettings,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ShootingError> {
        let mut compiled = Compiled::new(problem, settings, (1, Source::Host), device)?;
        // So few rows that handing them over to other threads costs more than it gains.
        compiled.set_parallel(settings.candidates >= 4096);
        Ok(Self {
            compiled,
            settings: *settings,
            choices: problem.choices(),
            random: PythonRandom::new(seed),
            sequences: vec![0; settings.candidates * settings.horizon],
        })
    }

    /// A plan from a state, `[state]`, towards a goal, `[state]` (empty for scores that have none), of at
    /// most `remaining` actions; none where nothing remains.
    ///
    /// # Errors
    /// [`ShootingError`]: wrong lengths, no candidate with a finite score, a device that fails.
    pub fn plan(
        &mut self,
        state: &[f64],
        goal: &[f64],
        remaining: usize,
    ) -> Result<Option<Planned>, ShootingError> {
        let length = remaining.min(self.settings.horizon);
        if length == 0 {
            return Ok(None);
        }
        if let Some(at) = state.iter().position(|number| !number.is_finite()) {
            let found = format!("another at column {at}");
            return Err(refuse("state", "finite numbers", found));
        }
        let inputs = Inputs {
            start: state,
            goal,
            lengths: &[length as u32],
            identity: &[],
        };
        match self.settings.method {
            Method::RandomShooting => {
                self.draw(length, |random, _, choices| random.below(choices as u32));
                self.round(&inputs).map(Some)
            }
            Method::CrossEntropy {
                iterations,
                elites,
                smoothing,
            } => self.cross_entropy(&inputs, length, (iterations, elites, smoothing)),
        }
    }

    /// Values and cuts of the last round's candidates.
    ///
    /// # Errors
    /// [`ShootingError::Graph`] if the device is lost.
    pub fn candidates(&self) -> Result<Candidates, ShootingError> {
        self.compiled.candidates()
    }

    /// Indices of the actions of a candidate of the last round, as many as its call had.
    pub fn sequence(&self, candidate: usize, length: usize) -> Vec<usize> {
        let steps = self.sequences.iter().skip(candidate);
        let steps = steps.step_by(self.settings.candidates).take(length);
        steps.map(|action| *action as usize).collect()
    }

    /// Draws candidate after candidate, step after step.
    fn draw(&mut self, length: usize, one: impl Fn(&mut PythonRandom, usize, usize) -> u32) {
        let candidates = self.settings.candidates;
        for candidate in 0..candidates {
            for step in 0..length {
                let action = one(&mut self.random, step, self.choices);
                if let Some(place) = self.sequences.get_mut(step * candidates + candidate) {
                    *place = action;
                }
            }
        }
    }

    fn round(&mut self, inputs: &Inputs<'_>) -> Result<Planned, ShootingError> {
        self.compiled.write_sequences(&self.sequences)?;
        self.compiled.run(inputs, 0)?;
        let mut winners = self.compiled.winners()?;
        winners
            .pop()
            .ok_or(ShootingError::NotFinite { environment: 0 })
    }

    fn cross_entropy(
        &mut self,
        inputs: &Inputs<'_>,
        length: usize,
        (iterations, elites, smoothing): (usize, usize, f64),
    ) -> Result<Option<Planned>, ShootingError> {
        let mut weights = vec![vec![1.0 / self.choices as f64; self.choices]; length];
        let mut best: Option<Planned> = None;
        for iteration in 0..iterations {
            let cumulative: Vec<Vec<f64>> = weights.iter().map(|row| running(row)).collect();
            self.draw(length, |random, step, _| {
                let row = cumulative.get(step).map_or(&[][..], Vec::as_slice);
                random.weighted(row) as u32
            });
            let mut winner = self.round(inputs)?;
            winner.candidate += iteration * self.settings.candidates;
            if best.as_ref().is_none_or(|best| winner.value < best.value) {
                best = Some(winner);
            }
            let values = self.compiled.candidates()?.values;
            self.refit(&mut weights, &values, (elites, smoothing));
        }
        Ok(best)
    }

    /// `p[h][a] = (1 - s) frequency among the elites + s / actions`.
    fn refit(&self, weights: &mut [Vec<f64>], values: &[f64], (elites, smoothing): (usize, f64)) {
        let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        order.truncate(elites);
        for (step, row) in weights.iter_mut().enumerate() {
            let mut counts = vec![0usize; row.len()];
            for (candidate, _) in &order {
                let place = step * self.settings.candidates + candidate;
                let action = self.sequences.get(place).copied().unwrap_or(u32::MAX);
                if let Some(count) = counts.get_mut(action as usize) {
                    *count += 1;
                }
            }
            for (weight, count) in row.iter_mut().zip(counts) {
                let share = count as f64 / elites as f64;
                *weight = (1.0 - smoothing) * share + smoothing / self.choices as f64;
            }
        }
    }
}

/// Running sums.
fn running(weights: &[f64]) -> Vec<f64> {
    let sums = weights.iter().scan(0.0, |sum, weight| {
        *sum += weight;
        Some(*sum)
    });
    sums.collect()
}
