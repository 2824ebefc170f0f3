//! ODE solvers with a fixed number of steps, as orbits: every stage of every step is a node.

use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::models::field::{
    StepSize, Time, Times, VelocityField, evaluated_stages, runge_kutta_step,
};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::runge_kutta::{
    DORMAND_PRINCE, EULER, HEUN, MIDPOINT, RK4, Rational, Tableau, real_ratio,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A Runge-Kutta method with steps of equal size from t = 0 to t = 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Order 1, one evaluation a step.
    Euler,
    /// Order 2, two evaluations a step, none at t = 1.
    Midpoint,
    /// Order 2, two evaluations a step.
    Heun,
    /// The classic method of order 4, four evaluations a step.
    Rk4,
    /// The order-5 result of Dormand and Prince, six evaluations a step.
    DormandPrince5,
}

impl Method {
    /// All methods, cheapest step first.
    pub const ALL: [Self; 5] = [
        Self::Euler,
        Self::Midpoint,
        Self::Heun,
        Self::Rk4,
        Self::DormandPrince5,
    ];

    /// Its coefficients.
    pub fn tableau(self) -> &'static Tableau {
        match self {
            Self::Euler => &EULER,
            Self::Midpoint => &MIDPOINT,
            Self::Heun => &HEUN,
            Self::Rk4 => &RK4,
            Self::DormandPrince5 => &DORMAND_PRINCE,
        }
    }

    /// Name, as in the papers and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Euler => "euler",
            Self::Midpoint => "midpoint",
            Self::Heun => "heun",
            Self::Rk4 => "rk4",
            Self::DormandPrince5 => "dormand_prince5",
        }
    }

    /// Velocity evaluations a step.
    pub fn evaluations(self) -> usize {
        evaluated_stages(self.tableau())
    }

    /// The distinct times of `steps` steps, in order of the schedule, in f64.
    pub fn times(self, steps: usize) -> Vec<f64> {
        let (nodes, ends) = self.nodes();
        let step = 1.0 / steps as f64;
        let mut times: Vec<f64> = (0..steps)
            .flat_map(|i| {
                let start = i as f64;
                nodes
                    .iter()
                    .map(move |&node| (start + real_ratio(node)) * step)
            })
            .collect();
        if ends {
            times.push(1.0);
        }
        times
    }

    /// Nodes inside `[0, 1)`, ascending, and whether there is one at 1, which is the next step's first.
    fn nodes(self) -> (Vec<Rational>, bool) {
        let used = &self.tableau().nodes[..self.evaluations()];
        let mut inside: Vec<Rational> = Vec::new();
        for &node in used {
            if real_ratio(node) < 1.0 && !inside.contains(&node) {
                inside.push(node);
            }
        }
        inside.sort_by(|a, b| real_ratio(*a).total_cmp(&real_ratio(*b)));
        (inside, used.iter().any(|&node| real_ratio(node) >= 1.0))
    }

    /// Where in the schedule stage `stage` of a step finds its time.
    fn time(self, stage: usize) -> Time {
        let (nodes, _) = self.nodes();
        let node = self.tableau().nodes.get(stage).copied().unwrap_or((0, 1));
        let inside = nodes.iter().position(|&n| n == node);
        Time::Scheduled {
            first: inside.unwrap_or(nodes.len()),
            per_step: nodes.len(),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|method| method.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("expected one of {names}, found {text:?}")
        })
    }
}

/// Tensors of a solver in a graph.
#[derive(Debug, Clone, Copy)]
pub struct SolverTensors {
    /// State `[rows, width]`: noise before the run, end points after it.
    pub state: TensorId,
    /// Every state `[steps + 1, rows, width]`, where recorded.
    pub history: Option<TensorId>,
}

/// Builds `steps` steps of `method` over `field` into `graph`; the orbit has as many.
pub fn solve(
    graph: &mut Graph,
    field: &mut impl VelocityField,
    method: Method,
    steps: usize,
    record: bool,
) -> SolverTensors {
    let (rows, width) = (field.rows(), field.width());
    field.prepare(graph, Times::Scheduled(method.times(steps).len()));
    let state = graph.float("state", &[rows, width], TensorKind::State);
    let history = record.then(|| {
        let shape = [steps.saturating_add(1), rows, width];
        let history = graph.float("history", &shape, TensorKind::Output);
        remember(graph, Phase::Once, (state, history), rows * width);
        history
    });
    let (tableau, step) = (method.tableau(), StepSize::part_of_unit(size(steps)));
    runge_kutta_step(graph, field, state, tableau, step, |stage| {
        method.time(stage)
    });
    if let Some(history) = history {
        remember(graph, Phase::Step, (state, history), rows * width);
    }
    SolverTensors { state, history }
}

/// Copies the state into the history: its first slot before the steps, then one after each.
fn remember(
    graph: &mut Graph,
    phase: Phase,
    (state, history): (TensorId, TensorId),
    elements: usize,
) {
    let mut kernel = CopyFloats::contiguous(size(elements));
    if phase == Phase::Step {
        kernel.dst_offset = size(elements);
        kernel.dst_step_stride = size(elements);
    }
    graph.push(phase, "record", kernel, &[Some(state), Some(history)]);
}
