//! Which solver, with how many steps, is the cheapest that is accurate enough for given weights and
//! conditions: no method shows its textbook order on a trained field, so it is measured.

use super::adaptive::AdaptiveSettings;
use super::error::{FlowError, refuse};
use super::request::{FlowRequest, Solver};
use super::sampler::FlowSampler;
use super::solver::Method;
use serde::Serialize;

/// What to measure.
#[derive(Debug, Clone)]
pub struct AdviceOptions {
    /// The solution that the others are held against.
    pub reference: Solver,
    /// What is tried.
    pub candidates: Vec<Solver>,
    /// Largest error of an entry of an end point that is accepted, model space.
    pub tolerance: f64,
    /// Timed runs of every candidate, of which the fastest counts.
    pub repeats: usize,
}

impl Default for AdviceOptions {
    /// Against rk4 with 256 steps, to 0.01 in model space.
    fn default() -> Self {
        let reference = Solver::Fixed {
            method: Method::Rk4,
            steps: 256,
        };
        Self {
            reference,
            candidates: usual_candidates(),
            tolerance: 1e-2,
            repeats: 1,
        }
    }
}

/// Most timed runs of a solver.
const MOST_REPEATS: usize = 1000;

impl AdviceOptions {
    /// Checks what no model is needed for.
    ///
    /// # Errors
    /// [`FlowError::Request`] naming the option.
    pub fn check(&self) -> Result<(), FlowError> {
        let tolerance = self.tolerance;
        if !(tolerance.is_finite() && tolerance > 0.0) {
            return Err(refuse("tolerance", "a finite number above 0", tolerance));
        }
        if !(1..=MOST_REPEATS).contains(&self.repeats) {
            return Err(refuse(
                "repeats",
                format!("1..={MOST_REPEATS}"),
                self.repeats,
            ));
        }
        if self.candidates.is_empty() {
            return Err(refuse("candidates", "at least 1 solver", 0));
        }
        for candidate in &self.candidates {
            candidate.check()?;
        }
        Ok(())
    }
}

/// Every method with its usual numbers of steps, at most 384 evaluations, and the adaptive solver at tolerances from
/// 1e-2 to 1e-5.
pub fn usual_candidates() -> Vec<Solver> {
    let fixed = |method: Method, counts: &[usize]| -> Vec<Solver> {
        let solver = |&steps| Solver::Fixed { method, steps };
        counts.iter().map(solver).collect()
    };
    let mut candidates = fixed(Method::Euler, &[4, 8, 16, 32, 64]);
    candidates.extend(fixed(Method::Midpoint, &[2, 4, 8, 16, 32, 64, 128]));
    candidates.extend(fixed(Method::Heun, &[2, 4, 8, 16, 32, 64]));
    candidates.extend(fixed(Method::Rk4, &[1, 2, 4, 8, 16, 32]));
    candidates.extend(fixed(Method::DormandPrince5, &[1, 2, 4, 8, 16, 32, 64]));
    candidates.extend([1e-1, 3e-2, 1e-2].map(adaptive_at));
    candidates
}

/// The adaptive solver with both tolerances at one value.
pub fn adaptive_at(tolerance: f32) -> Solver {
    Solver::Adaptive(AdaptiveSettings {
        relative_tolerance: tolerance,
        absolute_tolerance: tolerance,
        ..AdaptiveSettings::default()
    })
}

/// End-point errors of a solver, model space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EndPointError {
    /// Largest over all entries.
    pub maximum: f64,
    /// Root mean square over all entries.
    pub root_mean_square: f64,
    /// The largest over the largest entry of the reference's end points.
    pub relative_maximum: f64,
    /// The root mean square over that of the reference's end points.
    pub relative_root_mean_square: f64,
}

/// One solver, measured.
#[derive(Debug, Clone, Serialize)]
pub struct MeasuredSolver {
    /// The solver.
    pub solver: Solver,
    /// Velocity evaluations of a draw.
    pub evaluations: f64,
    /// Seconds of a draw in the batch that was measured.
    pub seconds: f64,
    /// Its errors; none where it did not come to an end.
    pub error: Option<EndPointError>,
    /// Why it did not come to an end.
    pub failure: Option<String>,
    /// Whether its largest error is within the tolerance.
    pub meets: bool,
}

/// What came of the measurements.
#[derive(Debug, Clone, Serialize)]
pub struct Advice {
    /// The solution that the others were held against; it ran once, so its time holds the making of its plan.
    pub reference: MeasuredSolver,
    /// Largest error accepted.
    pub tolerance: f64,
    /// Draws behind every number.
    pub draws: usize,
    /// Largest entry of the reference's end points.
    pub size: f64,
    /// What was tried, in order.
    pub candidates: Vec<MeasuredSolver>,
    /// Index of the candidate with the fewest evaluations within the tolerance.
    pub fewest_evaluations: Option<usize>,
    /// Index of the fastest candidate within the tolerance.
    pub fastest: Option<usize>,
}

impl Advice {
    /// The candidates within the tolerance: the one with the fewest evaluations, and the fastest.
    ///
    /// # Errors
    /// [`FlowError::NoSolver`] naming the most accurate candidate when none is.
    pub fn cheapest(&self) -> Result<[&MeasuredSolver; 2], FlowError> {
        let chosen = |index: Option<usize>| self.candidates.get(index?);
        if let (Some(a), Some(b)) = (chosen(self.fewest_evaluations), chosen(self.fastest)) {
            return Ok([a, b]);
        }
        let errors = self
            .candidates
            .iter()
            .filter_map(|candidate| Some((candidate.error?.maximum, candidate.solver)));
        let best = errors.min_by(|a, b| a.0.total_cmp(&b.0));
        Err(FlowError::NoSolver {
            tolerance: self.tolerance,
            count: self.candidates.len(),
            best: best.map_or("none came to an end".to_string(), |(error, solver)| {
                format!("{solver} is off by {error:.3e}")
            }),
        })
    }
}

/// Measures the end points of every candidate against the reference, for the conditions and the noise of a
/// request; its own solver is not used.
///
/// # Errors
/// [`FlowError::Request`] for a tolerance or a number of repeats that makes no sense, and as
/// [`FlowSampler::sample`] for the reference. A candidate that does not come to an end is no error.
pub fn advise(
    sampler: &mut FlowSampler,
    request: &FlowRequest<'_>,
    options: &AdviceOptions,
) -> Result<Advice, FlowError> {
    options.check()?;
    let request = FlowRequest {
        record: false,
        ..*request
    };
    let (truth, reference) = measure(sampler, &request, options.reference, 0)?;
    let candidates: Vec<MeasuredSolver> = options
        .candidates
        .iter()
        .map(|&solver| candidate(sampler, &request, (solver, options), &truth))
        .collect::<Result<_, _>>()?;
    let best = |key: fn(&MeasuredSolver) -> f64| {
        let meeting = candidates.iter().enumerate().filter(|(_, c)| c.meets);
        // Of equally cheap ones the more accurate.
        let error = |c: &MeasuredSolver| c.error.map_or(f64::INFINITY, |e| e.maximum);
        let least = meeting.min_by(|a, b| {
            let cost = key(a.1).total_cmp(&key(b.1));
            cost.then_with(|| error(a.1).total_cmp(&error(b.1)))
        });
        least.map(|(index, _)| index)
    };
    Ok(Advice {
        fewest_evaluations: best(|c| c.evaluations),
        fastest: best(|c| c.seconds),
        reference,
        tolerance: options.tolerance,
        draws: request.rows(),
        size: largest(&truth),
        candidates,
    })
}

/// One candidate; what stops it is part of the answer, unless it is the device.
fn candidate(
    sampler: &mut FlowSampler,
    request: &FlowRequest<'_>,
    (solver, options): (Solver, &AdviceOptions),
    truth: &[f64],
) -> Result<MeasuredSolver, FlowError> {
    match measure(sampler, request, solver, options.repeats) {
        Ok((values, mut measured)) => {
            let error = compare(&values, truth);
            measured.meets = error.maximum <= options.tolerance;
            measured.error = Some(error);
            Ok(measured)
        }
        Err(
            error @ (FlowError::Tolerance { .. }
            | FlowError::Unsettled { .. }
            | FlowError::NotFinite { .. }),
        ) => Ok(MeasuredSolver {
            solver,
            evaluations: 0.0,
            seconds: 0.0,
            error: None,
            failure: Some(error.to_string()),
            meets: false,
        }),
        Err(error) => Err(error),
    }
}

/// End points, and what they cost: the first run compiles the plan, so its time counts only where there is no
/// other.
fn measure(
    sampler: &mut FlowSampler,
    request: &FlowRequest<'_>,
    solver: Solver,
    repeats: usize,
) -> Result<(Vec<f64>, MeasuredSolver), FlowError> {
    let request = FlowRequest { solver, ..*request };
    let first = sampler.sample(&request)?;
    let mut timed = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        timed.push(sampler.sample(&request)?.report.seconds);
    }
    let seconds = timed.into_iter().reduce(f64::min);
    let seconds = seconds.unwrap_or(first.report.seconds);
    let measured = MeasuredSolver {
        solver,
        evaluations: first.report.evaluations,
        seconds: seconds / request.rows().max(1) as f64,
        error: None,
        failure: None,
        meets: false,
    };
    Ok((first.values_f64, measured))
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most: f64, v| most.max(v.abs()))
}

fn compare(found: &[f64], truth: &[f64]) -> EndPointError {
    let differences: Vec<f64> = found.iter().zip(truth).map(|(a, b)| a - b).collect();
    let mean_square = |values: &[f64]| {
        let sum: f64 = values.iter().map(|v| v * v).sum();
        (sum / values.len().max(1) as f64).sqrt()
    };
    let (maximum, root_mean_square) = (largest(&differences), mean_square(&differences));
    // End points of size zero have no relative error; the absolute one stands in.
    let over = |error: f64, size: f64| if size > 0.0 { error / size } else { error };
    EndPointError {
        maximum,
        root_mean_square,
        relative_maximum: over(maximum, largest(truth)),
        relative_root_mean_square: over(root_mean_square, mean_square(truth)),
    }
}
