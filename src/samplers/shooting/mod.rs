//! Planning by shooting over a finite set of actions: random shooting and the discrete cross-entropy
//! method, over any [`Dynamics`].
//!
//! A plan call draws candidate sequences of actions, rolls the dynamics along all of them, values each by
//! the lowest score of its states and takes the best up to its cut (`attractor_kernels::plan_track`). All
//! rounds and steps of a call are one submission, unless draws must follow Python's generator between the
//! rounds of the cross-entropy method: [`PythonPlanner`] refits on the host then, [`BatchPlanner`] never.

mod batch;
mod compiled;
pub mod episodes;
mod error;
mod python;
pub mod rollout;

pub use batch::{BatchPlanner, PlanCall};
pub use compiled::Candidates;
pub use error::ShootingError;
pub use python::PythonPlanner;

use crate::models::Dynamics;
use attractor_kernels::plan_track::PlanScore;
use error::refuse;
use serde::Serialize;

/// What is planned for: dynamics, actions, and a score of states, lower is better.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The dynamics that candidates are rolled through.
    pub dynamics: &'a dyn Dynamics,
    /// The actions to choose among, `[count, action]`, in the order of their indices.
    pub actions: &'a [f64],
    /// Score of a state.
    pub score: PlanScore,
    /// Columns of the state that the score reads, bit by bit.
    pub columns: u32,
}

impl Problem<'_> {
    /// Actions to choose among.
    pub fn choices(&self) -> usize {
        self.actions.len() / self.dynamics.action().max(1)
    }

    fn check(&self) -> Result<(), ShootingError> {
        let width = self.dynamics.action();
        let whole = width > 0 && self.actions.len().is_multiple_of(width);
        if !whole || self.actions.is_empty() || self.actions.iter().any(|a| !a.is_finite()) {
            let expected = format!("at least one action of {width} finite numbers");
            return Err(refuse("actions", expected, format!("{:?}", self.actions)));
        }
        Ok(())
    }
}

/// How candidates are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Method {
    /// Uniformly, once.
    RandomShooting,
    /// In rounds: from the second on by how often the best of the round before took each action.
    CrossEntropy {
        /// Rounds.
        iterations: usize,
        /// The best candidates, which the next round follows.
        elites: usize,
        /// Share of the uniform distribution in that of every later round.
        smoothing: f64,
    },
}

impl Method {
    /// Rounds of candidates in a call.
    pub fn rounds(&self) -> usize {
        match self {
            Self::RandomShooting => 1,
            Self::CrossEntropy { iterations, .. } => *iterations,
        }
    }
}

/// The size of a planner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ShootingSettings {
    /// Candidates of a round.
    pub candidates: usize,
    /// Most actions of a plan.
    pub horizon: usize,
    /// How candidates are drawn.
    #[serde(flatten)]
    pub method: Method,
}

impl ShootingSettings {
    /// Random shooting.
    pub fn random(candidates: usize, horizon: usize) -> Self {
        Self {
            candidates,
            horizon,
            method: Method::RandomShooting,
        }
    }

    /// Evaluations of the dynamics that a call over the whole horizon takes.
    pub fn evaluations(&self) -> usize {
        let plans = self.candidates.saturating_mul(self.method.rounds());
        plans.saturating_mul(self.horizon)
    }

    fn check(&self) -> Result<(), ShootingError> {
        const MOST: usize = 1 << 20;
        for (what, found) in [
            ("candidates", self.candidates),
            ("plan horizon", self.horizon),
            ("iterations", self.method.rounds()),
        ] {
            if !(1..=MOST).contains(&found) {
                return Err(refuse(what, format!("1..={MOST}"), found));
            }
        }
        if let Method::CrossEntropy {
            elites, smoothing, ..
        } = self.method
        {
            if !(1..=self.candidates).contains(&elites) {
                let expected = format!("1..={}, the candidates", self.candidates);
                return Err(refuse("elites", expected, elites));
            }
            if !(0.0..=1.0).contains(&smoothing) {
                return Err(refuse("smoothing", "0..=1", smoothing));
            }
        }
        Ok(())
    }
}

/// The winner of a plan call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// Lowest score of its states.
    pub value: f64,
    /// Its number among all candidates of the call, rounds after rounds.
    pub candidate: usize,
    /// Indices of its actions up to the cut.
    pub actions: Vec<usize>,
}
