//! Rounds of planning.

use super::python::{Distribution, uniform};
use super::{DrawSource, Method, ROLLOUT, SELECT, TabularError, TabularPlanner};
use crate::graph::layers::size;
use crate::graph::{Execution, Moment};
use crate::orbit::PythonRandom;
use attractor_kernels::maze_rollout::{ROW_WORDS, RolloutRow};
use attractor_kernels::maze_select::BEST_WORDS;

/// One call of a planner.
#[derive(Debug)]
pub struct Call<'a> {
    /// World.
    pub table: usize,
    /// State to plan from.
    pub start: usize,
    /// Actions that are left; plans are no longer than that.
    pub remaining: usize,
    /// Random numbers.
    pub draws: CallDraws<'a>,
}

/// Random numbers of one call.
#[derive(Debug)]
pub enum CallDraws<'a> {
    /// The next of a stream.
    Python(&'a mut PythonRandom),
    /// Those of a place.
    Philox {
        /// Seed.
        seed: u64,
        /// Stream.
        stream: u32,
        /// Episode.
        episode: u32,
        /// Number of the call in its episode.
        call: u32,
    },
}

/// The plan that a call comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Lowest score on its way; 2^32 - 1 where there is no plan.
    pub score: u32,
    /// Its actions up to the cut; none where nothing remained.
    pub actions: Vec<u32>,
    /// Candidates, of all rounds, that left the table: if there are any, the plan may not be the best.
    pub left: u32,
}

/// Working memory of a planner.
#[derive(Debug)]
pub struct Session<'a> {
    planner: &'a TabularPlanner,
    execution: Execution,
    plans: Vec<u32>,
}

impl<'a> Session<'a> {
    pub(super) fn new(planner: &'a TabularPlanner, parallel: bool) -> Result<Self, TabularError> {
        let mut execution = Execution::new(&planner.plan)?;
        execution.parallel = parallel;
        let of_call = planner.settings.method.candidates() * planner.settings.horizon;
        let held = match planner.source {
            DrawSource::Python => planner.rows * of_call,
            DrawSource::Philox => 0,
        };
        Ok(Self {
            planner,
            execution,
            plans: vec![0; held],
        })
    }

    /// Calls at a time.
    pub fn rows(&self) -> usize {
        self.planner.rows
    }

    /// Plans for all calls at once.
    ///
    /// # Errors
    /// [`TabularError::Setting`] for more calls than the planner was made for, or draws of another source;
    /// [`TabularError::Graph`] from the device.
    pub fn plan(&mut self, calls: &mut [Call<'_>]) -> Result<Vec<Chosen>, TabularError> {
        if calls.len() > self.planner.rows {
            let expected = format!("at most {}", self.planner.rows);
            return Err(TabularError::setting("calls", expected, calls.len()));
        }
        let heads = self.heads(calls)?;
        self.execution
            .write_words(self.planner.tensors.rows, &heads)?;
        match (self.planner.source, self.planner.settings.method) {
            (DrawSource::Philox, method) => {
                let rounds = 0..size(method.iterations());
                let launches: Vec<(usize, u32)> = rounds
                    .flat_map(|round| [(ROLLOUT, round), (SELECT, round)])
                    .collect();
                self.execution.submit(&launches, &Moment::default())?;
            }
            (DrawSource::Python, Method::Shooting { .. }) => {
                self.draw_uniform(calls);
                self.round(0)?;
            }
            (
                DrawSource::Python,
                Method::CrossEntropy {
                    iterations,
                    elites,
                    smoothing,
                    ..
                },
            ) => self.refine(calls, iterations, (elites, smoothing))?,
        }
        self.execution.wait()?;
        self.chosen(calls)
    }

    fn length(&self, call: &Call<'_>) -> usize {
        call.remaining.min(self.planner.settings.horizon)
    }

    fn heads(&self, calls: &[Call<'_>]) -> Result<Vec<u32>, TabularError> {
        let rounds = size(self.planner.settings.method.iterations());
        let mut heads = vec![0; self.planner.rows * ROW_WORDS];
        for (call, head) in calls.iter().zip(heads.chunks_mut(ROW_WORDS)) {
            let mut row = RolloutRow {
                table: size(call.table),
                start: size(call.start),
                length: size(self.length(call)),
                ..RolloutRow::default()
            };
            match (&call.draws, self.planner.source) {
                (CallDraws::Python(_), DrawSource::Python) => {}
                (
                    CallDraws::Philox {
                        seed,
                        stream,
                        episode,
                        call,
                    },
                    DrawSource::Philox,
                ) => {
                    row.seed = [*seed as u32, (*seed >> 32) as u32];
                    row.stream = *stream;
                    row.episode = *episode;
                    row.call = call.wrapping_mul(rounds);
                }
                (_, source) => {
                    let expected = format!("{source:?}, as the planner was made for");
                    return Err(TabularError::setting("draws", expected, "another source"));
                }
            }
            head.copy_from_slice(bytemuck::cast_slice(std::slice::from_ref(&row)));
        }
        Ok(heads)
    }

    /// Elements of the plans of one call.
    fn of_call(&self) -> usize {
        let settings = self.planner.settings;
        settings.method.candidates() * settings.horizon
    }

    fn draw_uniform(&mut self, calls: &mut [Call<'_>]) {
        let (of_call, actions) = (self.of_call(), self.planner.actions);
        let horizon = self.planner.settings.horizon;
        for (call, plans) in calls.iter_mut().zip(self.plans.chunks_mut(of_call)) {
            let length = call.remaining.min(horizon);
            if let CallDraws::Python(random) = &mut call.draws {
                uniform(random, actions, (horizon, length), plans);
            }
        }
    }

    /// Scores the plans that the host holds.
    fn round(&mut self, round: usize) -> Result<(), TabularError> {
        let tensors = self.planner.tensors;
        self.execution.write_words(tensors.actions, &self.plans)?;
        let step = size(round);
        let launches = [(ROLLOUT, step), (SELECT, step)];
        Ok(self.execution.submit(&launches, &Moment::default())?)
    }

    /// The cross-entropy method with the distributions on the host.
    fn refine(
        &mut self,
        calls: &mut [Call<'_>],
        iterations: usize,
        refit: (usize, f64),
    ) -> Result<(), TabularError> {
        let settings = self.planner.settings;
        let of_call = self.of_call();
        let lengths = calls.iter().map(|call| self.length(call));
        let mut distributions: Vec<Distribution> = lengths
            .map(|length| Distribution::uniform(length, self.planner.actions))
            .collect();
        for round in 0..iterations {
            let plans = self.plans.chunks_mut(of_call);
            for ((call, distribution), plans) in calls.iter_mut().zip(&distributions).zip(plans) {
                if let CallDraws::Python(random) = &mut call.draws {
                    distribution.draw(random, settings.horizon, plans);
                }
            }
            self.round(round)?;
            self.execution.wait()?;
            let outcome = self.execution.read_words(self.planner.tensors.outcome)?;
            let outcomes = outcome.chunks(2 * settings.method.candidates());
            let plans = self.plans.chunks(of_call);
            for ((distribution, outcome), plans) in
                distributions.iter_mut().zip(outcomes).zip(plans)
            {
                distribution.refit(settings, refit, outcome, plans);
            }
        }
        Ok(())
    }

    fn chosen(&self, calls: &[Call<'_>]) -> Result<Vec<Chosen>, TabularError> {
        let best = self.execution.read_words(self.planner.tensors.best)?;
        let rows = best.chunks(BEST_WORDS + self.planner.settings.horizon);
        let of = |(call, row): (&Call<'_>, &[u32])| {
            let word = |index: usize| row.get(index).copied().unwrap_or(0);
            let nothing = self.length(call) == 0;
            let plan = row.iter().skip(BEST_WORDS).take(word(1) as usize);
            Chosen {
                score: word(0),
                actions: plan.copied().collect(),
                left: if nothing { 0 } else { word(2) },
            }
        };
        Ok(calls.iter().zip(rows).map(of).collect())
    }
}
