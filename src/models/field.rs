//! A velocity field `dx/dt = v(x, t)` as nodes of a graph: what ODE solvers integrate.

use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use attractor_kernels::runge_kutta::{Rational, RungeKutta, Tableau};

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

/// A step of time as an exact ratio, so that double precision has it in double precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSize {
    numerator: i32,
    denominator: u32,
}

impl StepSize {
    /// One of `steps` equal parts of unit time.
    pub fn part_of_unit(steps: u32) -> Self {
        Self {
            numerator: 1,
            denominator: steps,
        }
    }

    /// The ratio next to `value` by continued fractions, within the rounding of double precision; none
    /// where that needs a denominator or a numerator, times those of the tableau, beyond a word, or
    /// where the value is not positive and finite.
    pub fn nearest(value: f64, tableau: &Tableau) -> Option<Self> {
        if !(value.is_finite() && value > 0.0) {
            return None;
        }
        let lines = tableau.stages.iter().chain([&tableau.weights]);
        let factors = lines.flat_map(|line| line.iter());
        let factor = factors.fold(1, |most, ratio| ratio.0.saturating_abs().max(most));
        let most = f64::from(i32::MAX / factor);
        // Convergents p / q and the ones before them.
        let (mut p, mut q, mut p_before, mut q_before) = (1.0, 0.0, 0.0, 1.0);
        let mut rest = value;
        loop {
            let whole = rest.floor();
            (p, p_before) = (whole * p + p_before, p);
            (q, q_before) = (whole * q + q_before, q);
            if !(p <= most && q <= f64::from(u32::MAX)) {
                return None;
            }
            if (p / q - value).abs() <= f64::EPSILON * value {
                return Some(Self {
                    numerator: p as i32,
                    denominator: q as u32,
                });
            }
            rest = 1.0 / (rest - whole);
        }
    }

    /// The step.
    pub fn value(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// A sum of stages times the step.
    fn sum(self, rows: usize, width: usize, coefficients: &[Rational]) -> RungeKutta {
        let scaled: Vec<Rational> = coefficients
            .iter()
            .map(|&(numerator, denominator)| {
                (numerator.saturating_mul(self.numerator), denominator)
            })
            .collect();
        RungeKutta::combination(size(rows), size(width), &scaled, self.denominator)
    }
}

/// Stages of a method that are evaluated; one that no later stage and not the result needs is not.
pub fn evaluated_stages(tableau: &Tableau) -> usize {
    let needed = |stage: usize| {
        let rows = tableau.stages.iter().skip(stage + 1);
        let mut lines = std::iter::once(&tableau.weights).chain(rows);
        lines.any(|line| line.get(stage).is_some_and(|ratio| ratio.0 != 0))
    };
    let last = (0..tableau.nodes.len()).rev().find(|&stage| needed(stage));
    last.map_or(0, |stage| stage + 1)
}

/// One step of a Runge-Kutta method as nodes of the step: every stage, then the state `[rows, width]`
/// in place. `time` says where a stage finds its time.
pub fn runge_kutta_step(
    graph: &mut Graph,
    field: &mut impl VelocityField,
    state: TensorId,
    tableau: &Tableau,
    step_size: StepSize,
    time: impl Fn(usize) -> Time,
) {
    let (rows, width) = (field.rows(), field.width());
    let stages = evaluated_stages(tableau);
    let shape = [stages, rows, width];
    let velocities = graph.float("velocities", &shape, TensorKind::Intermediate);
    let sum = |coefficients: &[Rational]| {
        let kept = coefficients.get(..stages).unwrap_or(coefficients);
        step_size.sum(rows, width, kept)
    };
    for (stage, coefficients) in tableau.stages.iter().take(stages).enumerate() {
        let mut x = state;
        if !coefficients.is_empty() {
            let label = format!("stage{stage}");
            x = graph.float(&label, &[rows, width], TensorKind::Intermediate);
            let operands = [Some(state), Some(velocities), None, Some(x)];
            graph.push(Phase::Step, label, sum(coefficients), &operands);
        }
        let evaluation = Evaluation {
            phase: Phase::Step,
            label: &format!("v{stage}."),
            x,
            time: time(stage),
            out: velocities,
            out_offset: stage * rows * width,
        };
        field.velocity(graph, &evaluation);
    }
    let operands = [None, Some(velocities), None, Some(state)];
    let result = sum(tableau.weights).in_place();
    graph.push(Phase::Step, "step", result, &operands);
}

#[cfg(test)]
mod tests {
    use super::*;
    use attractor_kernels::runge_kutta::{DORMAND_PRINCE, RK4};

    #[test]
    fn steps_are_exact_ratios() {
        for (value, numerator, denominator) in [
            (0.05, 1, 20),
            (0.25, 1, 4),
            (0.01, 1, 100),
            (3.0, 3, 1),
            (0.15, 3, 20),
        ] {
            let step = StepSize::nearest(value, &RK4).unwrap();
            assert_eq!((step.numerator, step.denominator), (numerator, denominator));
            assert_eq!(step.value(), value);
        }
        for value in [0.1 + 1e-9, std::f64::consts::PI / 100.0, 0.7e-3_f64.sqrt()] {
            let step = StepSize::nearest(value, &RK4).unwrap();
            assert!((step.value() / value - 1.0).abs() < 3e-16, "{step:?}");
        }
        // The numerators of this method leave little room.
        assert_eq!(
            StepSize::nearest(std::f64::consts::PI / 3.0, &DORMAND_PRINCE),
            None
        );
        for bad in [0.0, -0.1, f64::NAN, f64::INFINITY, 1e-10, 1e10] {
            assert_eq!(StepSize::nearest(bad, &RK4), None, "{bad}");
        }
    }
}
