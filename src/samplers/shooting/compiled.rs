//! The graph of a plan call, compiled.

use super::error::refuse;
use super::{Method, Planned, Problem, ShootingError, ShootingSettings};
use crate::device::Device;
use crate::graph::layers::size;
use crate::graph::{Graph, Moment, Phase, Plan, TensorId, TensorKind};
use crate::models::StepTensors;
use crate::orbit::{Orbit, OrbitReport, Stream};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::embedding::Embedding;
use attractor_kernels::plan_draw::PlanDraw;
use attractor_kernels::plan_refit::PlanRefit;
use attractor_kernels::plan_select::PlanSelect;
use attractor_kernels::plan_track::{PlanScore, PlanTrack};

/// Where the action sequences of candidates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Written by the host before every round.
    Host,
    /// Drawn on the device.
    Device,
}

/// What every candidate of the last round came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// Values `[environments, candidates]`.
    pub values: Vec<f64>,
    /// Cuts `[environments, candidates]`: actions of the plan.
    pub cuts: Vec<usize>,
}

/// A plan call for a number of environments, with its working memory.
#[derive(Debug)]
pub(super) struct Compiled {
    orbit: Orbit,
    tensors: Tensors,
    environments: usize,
    horizon: usize,
    rounds: u32,
}

#[derive(Debug, Clone, Copy)]
struct Tensors {
    /// `[environments, state]`.
    start: TensorId,
    /// `[environments, state]`.
    goal: Option<TensorId>,
    /// `[environments]` words.
    lengths: TensorId,
    /// `[environments, 2]` words, of draws on the device.
    identity: Option<TensorId>,
    /// `[horizon, environments, candidates]` words.
    sequences: TensorId,
    /// `[environments, candidates]`.
    value: TensorId,
    /// `[environments, candidates, 2]` words.
    cut: TensorId,
    /// `[environments]`.
    best_value: TensorId,
    /// `[environments, 2 + horizon]` words.
    best: TensorId,
}

/// What a call is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// States `[environments, state]`.
    pub start: &'a [f64],
    /// Goals `[environments, state]`; empty for scores that have none.
    pub goal: &'a [f64],
    /// Actions that each environment has left, at least 1; beyond the horizon they do not count.
    pub lengths: &'a [u32],
    /// Number and plan call of each environment; empty for draws of the host.
    pub identity: &'a [u32],
}

impl Compiled {
    pub fn new(
        problem: &Problem<'_>,
        settings: &ShootingSettings,
        (environments, source): (usize, Source),
        device: &Device,
    ) -> Result<Self, ShootingError> {
        problem.check()?;
        settings.check()?;
        let most = u32::MAX as usize;
        let rows = environments.saturating_mul(settings.candidates);
        let width = problem.dynamics.state().max(problem.dynamics.action());
        let largest = rows.saturating_mul(settings.horizon.max(width).max(2));
        if environments == 0 || largest.saturating_mul(width.max(1)) > most {
            let found = format!("{environments} x {} plans", settings.candidates);
            return Err(refuse(
                "environments",
                "at least one, and less than 2^32 numbers in all",
                found,
            ));
        }
        let builder = Builder {
            problem,
            settings,
            environments,
            rows,
        };
        let mut graph = Graph::new();
        let tensors = builder.build(&mut graph, source);
        let rounds = match source {
            Source::Host => 1,
            Source::Device => size(settings.method.rounds()),
        };
        Ok(Self {
            orbit: Orbit::new(&Plan::compile(graph, device)?)?,
            tensors,
            environments,
            horizon: settings.horizon,
            rounds,
        })
    }

    /// Writes the sequences of a round, `[horizon, environments, candidates]`.
    pub fn write_sequences(&mut self, sequences: &[u32]) -> Result<(), ShootingError> {
        let id = self.tensors.sequences;
        Ok(self.orbit.execution.write_words(id, sequences)?)
    }

    /// Carries out a call.
    pub fn run(&mut self, inputs: &Inputs<'_>, seed: u64) -> Result<OrbitReport, ShootingError> {
        let execution = &mut self.orbit.execution;
        execution.write_f64(self.tensors.start, inputs.start)?;
        if let Some(goal) = self.tensors.goal {
            execution.write_f64(goal, inputs.goal)?;
        }
        execution.write_words(self.tensors.lengths, inputs.lengths)?;
        if let Some(identity) = self.tensors.identity {
            execution.write_words(identity, inputs.identity)?;
        }
        let longest = inputs.lengths.iter().copied().max().unwrap_or(1);
        let steps = longest.clamp(1, size(self.horizon));
        let moment = Moment {
            seed,
            ..Moment::default()
        };
        Ok(self.orbit.run_rounds(self.rounds, steps, &moment)?)
    }

    /// The winners of the call.
    pub fn winners(&self) -> Result<Vec<Planned>, ShootingError> {
        let values = self.orbit.execution.read_f64(self.tensors.best_value)?;
        let plans = self.orbit.execution.read_words(self.tensors.best)?;
        let plans = plans.chunks_exact(2 + self.horizon);
        let winners = plans.zip(values).enumerate();
        let winner = |(environment, (plan, value)): (usize, (&[u32], f64))| match plan {
            [candidate, cut, actions @ ..] if value.is_finite() => Ok(Planned {
                value,
                candidate: *candidate as usize,
                actions: actions
                    .iter()
                    .take(*cut as usize)
                    .map(|action| *action as usize)
                    .collect(),
            }),
            _ => Err(ShootingError::NotFinite { environment }),
        };
        winners.map(winner).collect()
    }

    /// Values and cuts of the last round.
    pub fn candidates(&self) -> Result<Candidates, ShootingError> {
        let cuts = self.orbit.execution.read_words(self.tensors.cut)?;
        Ok(Candidates {
            values: self.orbit.execution.read_f64(self.tensors.value)?,
            cuts: cuts.iter().step_by(2).map(|cut| *cut as usize).collect(),
        })
    }

    pub fn environments(&self) -> usize {
        self.environments
    }

    /// Whether twins may spread over the thread pool.
    pub fn set_parallel(&mut self, parallel: bool) {
        self.orbit.execution.parallel = parallel;
    }
}

struct Builder<'a> {
    problem: &'a Problem<'a>,
    settings: &'a ShootingSettings,
    environments: usize,
    rows: usize,
}

impl Builder<'_> {
    fn build(&self, graph: &mut Graph, source: Source) -> Tensors {
        let tensors = self.tensors(graph, source);
        let counts = match self.settings.method {
            Method::CrossEntropy { .. } if source == Source::Device => Some(self.counts(graph)),
            _ => None,
        };
        if let Some(identity) = tensors.identity {
            self.draw(graph, identity, counts, tensors.sequences);
        }
        let (state, actions) = self.start(graph, &tensors);
        self.step(graph, &tensors, state, actions);
        self.choose(graph, &tensors, counts);
        tensors
    }

    fn tensors(&self, graph: &mut Graph, source: Source) -> Tensors {
        // Every round reads these again: memory of inputs is given away after their last reader.
        let (input, output) = (TensorKind::State, TensorKind::Output);
        let (environments, rows, horizon) = (self.environments, self.rows, self.settings.horizon);
        let candidates = self.settings.candidates;
        let state = self.problem.dynamics.state();
        let has_goal = self.problem.score == PlanScore::MANHATTAN;
        let is_host = source == Source::Host;
        let drawn = match source {
            Source::Host => TensorKind::Input,
            Source::Device => TensorKind::Intermediate,
        };
        Tensors {
            start: graph.float("start", &[environments, state], input),
            goal: has_goal.then(|| graph.float("goal", &[environments, state], input)),
            lengths: graph.word("lengths", &[environments], input),
            identity: (!is_host).then(|| graph.word("identity", &[environments, 2], input)),
            sequences: graph.word("sequences", &[horizon, rows], drawn),
            value: graph.float("value", &[environments, candidates], output),
            cut: graph.word("cut", &[environments, candidates, 2], output),
            // Rounds compare with those before, so these live from the start of the call to its end.
            best_value: graph.float("best_value", &[environments], TensorKind::State),
            best: graph.word("best", &[environments, 2 + horizon], TensorKind::State),
        }
    }

    /// Counts of the elites' actions. They outlive their round, so the device keeps them.
    fn counts(&self, graph: &mut Graph) -> TensorId {
        let shape = [
            self.environments,
            self.settings.horizon,
            self.problem.choices(),
        ];
        graph.word("counts", &shape, TensorKind::State)
    }

    fn draw(&self, graph: &mut Graph, identity: TensorId, counts: Option<TensorId>, to: TensorId) {
        let settings = self.settings;
        let sizes = [self.environments, settings.candidates, settings.horizon].map(size);
        let choices = size(self.problem.choices());
        let uniform = PlanDraw::uniform(sizes, choices, Stream::Plan.index());
        let draw = match settings.method {
            Method::CrossEntropy {
                elites, smoothing, ..
            } => uniform.by_elites(size(elites), smoothing),
            Method::RandomShooting => uniform,
        };
        graph.push(
            Phase::Once,
            "draw",
            draw,
            &[Some(identity), counts, Some(to)],
        );
    }

    /// The states that rollouts begin in, one a candidate, and the actions of all steps.
    fn start(&self, graph: &mut Graph, tensors: &Tensors) -> (TensorId, TensorId) {
        let (width, action) = (
            self.problem.dynamics.state(),
            self.problem.dynamics.action(),
        );
        let (rows, horizon) = (self.rows, self.settings.horizon);
        let middle = TensorKind::Intermediate;
        let state = graph.float("state", &[rows, width], middle);
        let candidates = size(self.settings.candidates);
        let copy = CopyFloats::strided(
            [1, size(self.environments), candidates, size(width)],
            [0, size(width), 0, 1],
            [0, candidates.saturating_mul(size(width)), size(width), 1],
        );
        let operands = [Some(tensors.start), Some(state)];
        graph.push(Phase::Once, "start", copy, &operands);
        let choices = self.problem.choices();
        let table =
            graph.constant_f64("choices", &[choices, action], self.problem.actions.to_vec());
        let actions = graph.float("actions", &[horizon, rows, action], middle);
        let lookup = Embedding::lookup(1, size(horizon * rows), size(action), size(choices));
        let operands = [
            Some(tensors.sequences),
            Some(table),
            None,
            None,
            None,
            Some(actions),
        ];
        graph.push(Phase::Once, "actions", lookup, &operands);
        (state, actions)
    }

    fn step(&self, graph: &mut Graph, tensors: &Tensors, state: TensorId, actions: TensorId) {
        let problem = self.problem;
        let width = problem.dynamics.action();
        let action = graph.float("action", &[self.rows, width], TensorKind::Intermediate);
        let numbers = size(self.rows * width);
        let copy = CopyFloats {
            src_step_stride: numbers,
            ..CopyFloats::contiguous(numbers)
        };
        graph.push(Phase::Step, "action", copy, &[Some(actions), Some(action)]);
        let step = StepTensors {
            state,
            action,
            next: state,
        };
        problem
            .dynamics
            .push(graph, (Phase::Step, "dynamics."), self.rows, step);
        let (rows, candidates) = (size(self.rows), size(self.settings.candidates));
        let width = size(problem.dynamics.state());
        let track = PlanTrack {
            flags: PlanTrack::LENGTHS,
            ..PlanTrack::new(rows, candidates, width, (problem.score, problem.columns))
        };
        let operands = [
            Some(state),
            tensors.goal,
            Some(tensors.value),
            Some(tensors.cut),
            Some(tensors.lengths),
        ];
        graph.push(Phase::Step, "track", track, &operands);
    }

    fn choose(&self, graph: &mut Graph, tensors: &Tensors, counts: Option<TensorId>) {
        let settings = self.settings;
        let sizes = [self.environments, settings.candidates, settings.horizon].map(size);
        let [environments, candidates, horizon] = sizes;
        let select = PlanSelect::new(environments, candidates, horizon);
        let operands = [
            tensors.value,
            tensors.cut,
            tensors.sequences,
            tensors.best_value,
            tensors.best,
        ];
        graph.push(Phase::Final, "select", select, &operands.map(Some));
        if let (Method::CrossEntropy { elites, .. }, Some(counts)) = (settings.method, counts) {
            let refit = PlanRefit {
                environments,
                candidates,
                horizon,
                actions: size(self.problem.choices()),
                elites: size(elites),
            };
            let operands = [tensors.value, tensors.sequences, counts];
            graph.push(Phase::Final, "refit", refit, &operands.map(Some));
        }
    }
}
