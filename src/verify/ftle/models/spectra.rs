//! Exponents of a reasoner: logarithms of every QR at each granularity, the first R, the last Q.

use super::super::super::checks::{CaseError, Checks};
use super::super::super::folder::numbers;
use super::case::{Case, engine};
use crate::models::recursive::Granularity;
use crate::samplers::recursive::{ExponentSettings, Exponents, Reasoner, SolveRequest};

/// Times the error of another program in single precision. Products summed in another order alone move
/// that error by a factor of 40 where these maps amplify rounding (5e-5 to 2e-3 after 16 steps of one
/// network, in PyTorch), so that the 10 of the specification would tell one order from another.
const MARGIN: f64 = 40.0;
/// Error of the logarithm of one QR in single precision, and of an exponent, at the least.
const FLOOR: f64 = 2e-5;
/// What is asked for where everything is computed in double precision.
const DOUBLE: f64 = 1e-9;
/// Share of a column's length by which the last tangents may turn in single precision: they add up the
/// errors of all steps before.
const TURNED: f64 = 0.02;

const GRANULARITIES: [(&str, Granularity); 3] = [
    ("sub", Granularity::Sub),
    ("lstep", Granularity::Lstep),
    ("step", Granularity::Step),
];

/// Everything that a case with first tangents holds of exponents.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    if !case.arrays.contains("Q0") {
        return Ok(());
    }
    let mut reasoner = case.reasoner()?;
    let (tokens, puzzles) = (case.words("inputs")?, case.puzzles()?);
    let (shape, start) = numbers(&case.arrays, "Q0")?;
    let columns = shape.last().copied().unwrap_or(0);
    case.compare_size("k", columns, checks)?;
    let request = SolveRequest {
        puzzles: &puzzles,
        steps: case.steps()?,
        ..SolveRequest::new(&tokens, reasoner.config())
    };
    for (name, granularity) in GRANULARITIES {
        let settings = ExponentSettings {
            start: Some(&start),
            keep_tangents: granularity == Granularity::Sub,
            ..ExponentSettings::new(columns, granularity, 0)
        };
        let found = reasoner.exponents(&request, &settings).map_err(engine)?;
        check_valid(&found, checks);
        check_logarithms(case, name, &found, checks)?;
        check_last_tangents(case, reasoner.config().dimension(), &found, checks)?;
    }
    check_first_factor(case, &mut reasoner, (&request, &start, columns), checks)
}

fn check_valid(found: &Exponents, checks: &mut Checks) {
    checks.hold(found.invalid.is_empty(), || {
        format!("expected finite states, found {:?}", found.invalid)
    });
    let restarts: u32 = found.restarts.iter().sum();
    checks.hold(restarts == 0, || {
        format!("expected independent tangents, found {restarts} that had to be replaced")
    });
}

/// `logR_NAME` `[B, N, k]`, their means `lyap_NAME` `[B, k]` and `lambda_NAME`, and `n_qr_NAME`.
fn check_logarithms(
    case: &Case<'_>,
    name: &str,
    found: &Exponents,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let (count, steps) = (found.solutions.count, found.solutions.steps);
    let (events, k) = (found.events, found.columns);
    case.compare_size(&format!("n_qr_{name}"), events, checks)?;
    let title = format!("logR_{name}");
    if let Some(expected) = case.expected(&title, &[count, events, k])? {
        let allowed = step_tolerances(case, steps)?;
        let per_step = events / steps.max(1);
        // A QR of several updates has the errors of all of them.
        let share = (case.updates()? / per_step.max(1)).max(1) as f64;
        let pairs = found.log_r.chunks_exact(k).zip(expected.chunks_exact(k));
        for (row, (found, expected)) in pairs.enumerate() {
            let (example, event) = (row / events, row % events);
            let allowed = allowed.get(event / per_step).copied().unwrap_or(DOUBLE) * share;
            let what = format!("{title}[{example}, {event}]");
            checks.close(&what, found, expected, allowed);
        }
    }
    let means: Vec<f64> = (0..count).flat_map(|example| found.of(example)).collect();
    let allowed = mean_tolerance(case, name, steps, events)?;
    if let Some(expected) = case.expected(&format!("lyap_{name}"), &[count, k])? {
        checks.close(&format!("lyap_{name}"), &means, &expected, allowed);
    }
    let title = format!("lambda_{name}");
    if let Some(entry) = case.entry.find(&title) {
        case.mark(&title);
        let rows = entry.elements()?;
        let rows: Result<Vec<_>, CaseError> = rows.iter().map(|row| row.numbers()).collect();
        checks.close(&title, &means, &rows?.concat(), allowed);
    }
    Ok(())
}

/// What one logarithm may be off by, for every ACT step.
fn step_tolerances(case: &Case<'_>, steps: usize) -> Result<Vec<f64>, CaseError> {
    if case.is_double() {
        return Ok(vec![DOUBLE; steps]);
    }
    let Some(entry) = case.entry.find("f32_logR_sub_maxabs_err_per_act_step") else {
        return Ok(vec![MARGIN * FLOOR; steps]);
    };
    let measured = entry.numbers()?;
    if measured.len() != steps {
        return Err(entry.wrong("one number for every step"));
    }
    // Errors grow on the whole; a step at which they happened to shrink promises nothing.
    let mut worst = FLOOR / MARGIN;
    let grown = measured.iter().map(|&error| {
        worst = worst.max(error);
        MARGIN * worst
    });
    Ok(grown.collect())
}

/// What an exponent at a granularity may be off by.
fn mean_tolerance(
    case: &Case<'_>,
    name: &str,
    steps: usize,
    events: usize,
) -> Result<f64, CaseError> {
    if case.is_double() {
        return Ok(DOUBLE);
    }
    // The errors are given for the finest and the coarsest; those of the others lie between.
    let updates = (case.updates()? * steps) as f64 / events.max(1) as f64;
    let measured = |key: &str, per_event: f64| -> Result<f64, CaseError> {
        let error = case.entry.find(key).map_or(Ok(0.0), |e| e.as_number())?;
        Ok(MARGIN * error * per_event)
    };
    let fine = measured("f32_lambda_sub_maxabs_err", updates)?;
    let coarse = match name {
        "step" => measured("f32_lambda_step_maxabs_err", 1.0)?,
        _ => 0.0,
    };
    Ok(fine.max(coarse).max(FLOOR * updates))
}

/// `Q_final` `[B, n, k]`: the tangents after the last QR of the finest granularity.
fn check_last_tangents(
    case: &Case<'_>,
    dimension: usize,
    found: &Exponents,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    if found.tangents.is_empty() {
        return Ok(());
    }
    let shape = [found.solutions.count, dimension, found.columns];
    if let Some(expected) = case.expected("Q_final", &shape)? {
        let allowed = match case.is_double() {
            true => DOUBLE.max(case.stored_precision("Q_final")),
            false => TURNED,
        };
        checks.close("Q_final", &found.tangents, &expected, allowed);
    }
    Ok(())
}

/// `R_first_sub` `[B, k, k]`: the whole R of the first QR.
fn check_first_factor(
    case: &Case<'_>,
    reasoner: &mut Reasoner,
    (request, start, k): (&SolveRequest<'_>, &[f64], usize),
    checks: &mut Checks,
) -> Result<(), CaseError> {
    if !case.arrays.contains("R_first_sub") {
        return Ok(());
    }
    let settings = ExponentSettings {
        start: Some(start),
        factors: true,
        ..ExponentSettings::new(k, Granularity::Sub, 0)
    };
    let first = SolveRequest {
        steps: 1,
        ..*request
    };
    let found = reasoner.exponents(&first, &settings).map_err(engine)?;
    let size = found.events * k * k;
    let factors = found.factors.unwrap_or_default();
    let each = factors.r.chunks_exact(size.max(1));
    let r: Vec<f64> = each.flat_map(|r| &r[..k * k]).copied().collect();
    if let Some(expected) = case.expected("R_first_sub", &[found.solutions.count, k, k])? {
        let allowed = if case.is_double() { DOUBLE } else { FLOOR };
        checks.close_to_scale("R_first_sub", &r, &expected, allowed);
    }
    Ok(())
}
