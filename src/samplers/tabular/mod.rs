//! Planners over discrete actions in worlds that are tables: random shooting and the cross-entropy method.
//!
//! A planner scores candidate plans by the lowest score of the states that they pass, keeps the best, and
//! cuts it after the state that was best (where the last state is as good, it keeps all). All calls of a
//! round are one submission; a call's plan is the same whatever other calls it came with.

mod error;
mod python;
mod session;
mod settings;

pub use error::TabularError;
pub use session::{Call, CallDraws, Chosen, Session};
pub use settings::{DrawSource, Method, TabularSettings};

use crate::device::Device;
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, Plan, TensorId, TensorKind};
use attractor_kernels::maze_rollout::{MazeRollout, ROW_WORDS};
use attractor_kernels::maze_select::{BEST_WORDS, MazeSelect};
use std::sync::Arc;

/// Worlds over the same states and actions.
#[derive(Debug, Clone)]
pub struct TableWorlds {
    /// Next states `[tables, states, actions]`; any number from `states` on where there is none.
    pub next: Vec<u32>,
    /// Score of each state `[states]`, below 2^32 - 1; lower is better.
    pub score: Vec<u32>,
    /// Actions.
    pub actions: usize,
}

impl TableWorlds {
    /// How many worlds there are.
    pub fn tables(&self) -> usize {
        let one = self.score.len().saturating_mul(self.actions).max(1);
        self.next.len() / one
    }

    fn check(&self) -> Result<(), TabularError> {
        let one = self.score.len().saturating_mul(self.actions);
        if one == 0 || self.next.is_empty() || !self.next.len().is_multiple_of(one) {
            let expected = format!("a multiple of states x actions = {one}, at least one");
            return Err(TabularError::setting(
                "transitions",
                expected,
                self.next.len(),
            ));
        }
        if let Some(at) = self.score.iter().position(|score| *score == u32::MAX) {
            let found = format!("2^32 - 1 for state {at}");
            return Err(TabularError::setting("scores", "less than 2^32 - 1", found));
        }
        Ok(())
    }
}

/// A planner compiled for a device, some worlds and a number of calls at a time.
#[derive(Debug)]
pub struct TabularPlanner {
    plan: Plan,
    tensors: Tensors,
    settings: TabularSettings,
    source: DrawSource,
    rows: usize,
    actions: usize,
}

#[derive(Debug, Clone, Copy)]
struct Tensors {
    rows: TensorId,
    actions: TensorId,
    outcome: TensorId,
    best: TensorId,
}

/// Nodes of the graph.
const ROLLOUT: usize = 0;
const SELECT: usize = 1;

impl TabularPlanner {
    /// A planner of at most `rows` calls at a time.
    ///
    /// # Errors
    /// [`TabularError::Setting`] for tables and settings that do not fit; [`TabularError::Graph`] where the
    /// device cannot hold them.
    pub fn new(
        device: &Device,
        worlds: &TableWorlds,
        settings: TabularSettings,
        source: DrawSource,
        rows: usize,
    ) -> Result<Self, TabularError> {
        worlds.check()?;
        settings.check(source)?;
        let rows = rows.max(1);
        let (graph, tensors) = graph(worlds, settings, source, rows);
        Ok(Self {
            plan: Plan::compile(graph, device)?,
            tensors,
            settings,
            source,
            rows,
            actions: worlds.actions,
        })
    }

    /// Calls at a time.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Settings.
    pub fn settings(&self) -> TabularSettings {
        self.settings
    }

    /// Working memory to plan with; `parallel` lets one submission use all cores.
    ///
    /// # Errors
    /// [`TabularError::Graph`] when memory cannot be had.
    pub fn session(&self, parallel: bool) -> Result<Session<'_>, TabularError> {
        Session::new(self, parallel)
    }
}

fn graph(
    worlds: &TableWorlds,
    settings: TabularSettings,
    source: DrawSource,
    rows: usize,
) -> (Graph, Tensors) {
    let (states, actions) = (worlds.score.len(), worlds.actions);
    let (candidates, horizon) = (settings.method.candidates(), settings.horizon);
    let mut graph = Graph::new();
    let shape = [worlds.tables(), states, actions];
    let table = graph.constant_words("next", &shape, Arc::new(worlds.next.clone()));
    let score = graph.constant_words("score", &[states], Arc::new(worlds.score.clone()));
    let heads = graph.word("rows", &[rows, ROW_WORDS], TensorKind::Input);
    let (plans, results) = match source {
        // The host writes the draws, and reads the outcomes to refit.
        DrawSource::Python => (TensorKind::State, TensorKind::Output),
        DrawSource::Philox => (TensorKind::Intermediate, TensorKind::Intermediate),
    };
    let drawn = graph.word("actions", &[rows, candidates, horizon], plans);
    let outcome = graph.word("outcome", &[rows, candidates, 2], results);
    let best = graph.word("best", &[rows, BEST_WORDS + horizon], TensorKind::State);
    let refit = match (settings.method, source) {
        (
            Method::CrossEntropy {
                elites, smoothing, ..
            },
            DrawSource::Philox,
        ) => Some((elites, smoothing)),
        _ => None,
    };
    let weights =
        refit.map(|_| graph.word("weights", &[rows, horizon, actions], TensorKind::State));
    let mut flags = 0;
    if source == DrawSource::Philox {
        flags |= MazeRollout::DRAW;
    }
    if weights.is_some() {
        flags |= MazeRollout::WEIGHTED;
    }
    let rollout = MazeRollout {
        batch: size(rows),
        tables: size(worlds.tables()),
        states: size(states),
        actions: size(actions),
        candidates: size(candidates),
        horizon: size(horizon),
        step: 0,
        flags,
    };
    let operands = [
        Some(table),
        Some(score),
        Some(heads),
        weights,
        Some(drawn),
        Some(outcome),
    ];
    graph.push(Phase::Step, "rollout", rollout, &operands);
    let mut select = MazeSelect::best(size(rows), size(candidates), size(horizon), size(actions));
    if let Some((elites, smoothing)) = refit {
        select = select.with_refit(size(elites), smoothing);
    }
    let operands = [Some(outcome), Some(drawn), Some(heads), Some(best), weights];
    graph.push(Phase::Step, "select", select, &operands);
    let tensors = Tensors {
        rows: heads,
        actions: drawn,
        outcome,
        best,
    };
    (graph, tensors)
}

#[cfg(test)]
mod tests;
