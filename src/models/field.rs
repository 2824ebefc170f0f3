//! A velocity field `dx/dt = v(x, t)` as nodes of a graph: what ODE solvers integrate.

use crate::graph::{Graph, Phase, TensorId};

/// The times at which a field will be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// This many distinct times, known before the run and the same for every row.
    Scheduled(usize),
    /// Every row has its own, made on the device.
    PerRow,
}

/// Where the time of one evaluation comes from.
#[derive(Debug, Clone, Copy)]
pub enum Time {
    /// Entry `first + step * per_step` of the schedule at step `step` of the orbit.
    Scheduled {
        /// Entry at step 0.
        first: usize,
        /// Entries a step.
        per_step: usize,
    },
    /// Entry r of the schedule for row r.
    EntryOfRow,
    /// `time[r] + numerator / denominator * step_size[r]` for row r.
    PerRow {
        /// Times `[rows]`.
        time: TensorId,
        /// Step sizes `[rows]`; absent for the times as they are.
        step_size: Option<TensorId>,
        /// Fraction of the step.
        node: (i32, i32),
    },
}

/// One evaluation of a field.
#[derive(Debug, Clone, Copy)]
pub struct Evaluation<'a> {
    /// When in the orbit.
    pub phase: Phase,
    /// Distinguishes the evaluations of a step in names.
    pub label: &'a str,
    /// State `[rows, width]`.
    pub x: TensorId,
    /// Time.
    pub time: Time,
    /// Tensor that takes the velocity.
    pub out: TensorId,
    /// Its first element there; the `[rows, width]` after it are written.
    pub out_offset: usize,
}

/// A velocity field over a fixed number of rows.
pub trait VelocityField {
    /// Rows of the state.
    fn rows(&self) -> usize;

    /// Numbers of a row's state.
    fn width(&self) -> usize;

    /// Adds everything that depends on neither the state nor, for [`Times::PerRow`], the times.
    /// Called once, before any evaluation.
    fn prepare(&mut self, graph: &mut Graph, times: Times);

    /// Adds one evaluation.
    fn velocity(&mut self, graph: &mut Graph, at: &Evaluation<'_>);
}
