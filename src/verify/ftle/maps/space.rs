//! Lorenz's ring and the equation of Kuramoto and Sivashinsky: chaos in one dimension of space.

use super::super::super::checks::{CaseError, Checks};
use super::case::{MapCase, engine};
use super::measured::{Begin, Maker, advance, compare_logs, measure, unit_columns};
use crate::analysis::lyapunov::{Bootstrap, BootstrapOptions, Estimate, Logs};
use crate::models::maps::{KuramotoSivashinsky, Lorenz96};

pub(super) fn check_ring(case: &MapCase<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let model = Lorenz96 {
        sites: case.size("N")?,
        forcing: case.number("F")?,
        step: case.number("h")?,
    };
    let n = model.sites;
    let k = case.size("k")?;
    if k == 0 || k > n {
        return Err(engine(format!("k: expected 1 to N = {n}, found {k}")));
    }
    let begin = Begin {
        state: case.shaped("x0", &[n])?,
        tangents: unit_columns(n, k),
        columns: k,
    };
    let maker = |batch: usize| model.map(batch);
    let start = case.shaped("x_start", &[n])?;
    let exponents = check(case, &maker, begin, start, model.step, checks)?;
    compare(&exponents, &case.list("lyap")?, |_| 0.05, checks);
    let sum: f64 = exponents.iter().map(|exponent| exponent.value).sum();
    checks.close("sum", &[sum], &[case.number("sum")?], 0.01);
    Ok(())
}

pub(super) fn check_spectral(case: &MapCase<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let model = KuramotoSivashinsky {
        length: case.number("L")?,
        points: case.size("N")?,
        step: case.number("h")?,
    };
    let n = model.points;
    let k = case.size("k")?;
    let begin = Begin {
        state: case.shaped("u0", &[n])?,
        tangents: case.shaped("Q0", &[n, k])?,
        columns: k,
    };
    let maker = |batch: usize| model.map(batch);
    let start = case.shaped("u_start", &[n])?;
    let exponents = check(case, &maker, begin, start, model.step, checks)?;
    let floor = |column: usize| if column + 1 == k { 0.02 } else { 0.01 };
    compare(&exponents, &case.list("lyap")?, floor, checks);
    Ok(())
}

/// Exponents of two orbits of one length and attractor: they differ by what 5.9 of the specification allows,
/// or by what two means of such an error differ by, which is more for directions that contract strongly.
fn compare(
    found: &[Estimate],
    expected: &[f64],
    floor: impl Fn(usize) -> f64,
    checks: &mut Checks,
) {
    checks.equal("exponents", &[found.len()], &[expected.len()]);
    for (column, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Five standard deviations of the difference.
        let statistical = 5.0 * std::f64::consts::SQRT_2 * found.standard_error;
        let tolerance = statistical.max(floor(column));
        let what = format!("lyap[{column}]");
        checks.close(&what, &[found.value], &[*expected], tolerance);
    }
}

/// The first logs from the golden's own state; exponents from the start of its transient, which ends on
/// another orbit of the same attractor.
fn check(
    case: &MapCase<'_>,
    maker: Maker<'_>,
    begin: Begin,
    start: Vec<f64>,
    event_time: f64,
    checks: &mut Checks,
) -> Result<Vec<Estimate>, CaseError> {
    let name = case.tensor_starting_with("logR_first")?;
    let (shape, expected) = case.tensor(&name)?;
    let k = begin.columns;
    if shape.len() != 2 || shape.last() != Some(&k) || expected.is_empty() {
        let reason = format!("{name}: expected rows of {k} logs, found {shape:?}");
        return Err(engine(reason));
    }
    compare_logs(case, maker, &begin, &expected, checks)?;
    let map = maker(1).map_err(engine)?;
    let transient = case.size("transient_steps")?;
    let begin = Begin {
        state: advance(&map, &start, transient, case.device)?,
        ..begin
    };
    let found = measure(&map, &begin, case.size("steps")?, false, case.device)?;
    let logs = Logs::new(found.logs, k, event_time).map_err(engine)?;
    let options = BootstrapOptions {
        replicates: 200,
        ..BootstrapOptions::default()
    };
    let bootstrap = Bootstrap::new(&logs, 0..logs.events(), &options).map_err(engine)?;
    Ok(bootstrap.exponents())
}
