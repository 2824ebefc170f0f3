//! Powers of a matrix: logs, exponents, eigenvalues, singular values.

use super::super::super::checks::{CaseError, Checks};
use super::case::{MapCase, engine};
use super::measured::{Begin, means, measure, unit_columns};
use crate::analysis::lyapunov::singular_exponents;
use crate::models::maps::linear_map;

/// Steps after which the logs of a matrix's powers are those of its eigenvalues.
const SETTLE: usize = 4000;
/// Events that are looked at then.
const RECENT: usize = 16;
/// Change of the logs of a complex pair from event to event, beyond the roundings of single precision.
const SWING: f64 = 1e-4;

pub(super) fn check(case: &MapCase<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let (shape, matrix) = case.tensor("A")?;
    let &[n, columns] = &shape[..] else {
        return Err(engine(format!("A: expected a matrix, found {shape:?}")));
    };
    let (steps, k) = (case.size("steps")?, case.size("k")?);
    if n != columns || k == 0 || k > n || steps == 0 {
        let reason = format!("A {shape:?}, k {k}, steps {steps}: not a map with k tangents");
        return Err(engine(reason));
    }
    let map = linear_map(&matrix, n, 1).map_err(engine)?;
    let begin = Begin {
        // Tangents of a linear map do not depend on its state.
        state: vec![0.0; n],
        tangents: case.shaped("Q0", &[n, k])?,
        columns: k,
    };
    let expected = case.shaped("logR", &[steps, k])?;
    let found = measure(&map, &begin, steps, false, case.device)?;
    let tolerance = if case.is_double() { 1e-10 } else { 2e-5 };
    checks.close("logR", &found.logs, &expected, tolerance);
    let exponents = means(&found.logs, k, 1.0)?;
    checks.close("lyap", &exponents, &case.list("lyap")?, tolerance);

    let eigenvalues = eigenvalues(case, &matrix, n, k)?;
    // The last event's tangents carry the roundings of those before.
    let tolerance = if case.is_double() { 1e-9 } else { 2e-5 };
    checks.close(
        "log_abs_eig",
        &eigenvalues,
        &case.list("log_abs_eig")?,
        tolerance,
    );
    let singular = singular_exponents(&matrix, n, 1.0).map_err(engine)?;
    let leading = |values: &[f64]| values.get(..k).unwrap_or_default().to_vec();
    checks.close("log_sv", &leading(&singular), &case.list("log_sv")?, 1e-10);
    if case.find("ftle_svd").is_some() {
        let power = power(&matrix, n, steps);
        let singular = singular_exponents(&power, n, steps as f64).map_err(engine)?;
        checks.close(
            "ftle_svd",
            &leading(&singular),
            &case.list("ftle_svd")?,
            1e-9,
        );
    }
    Ok(())
}

/// Logs of the magnitudes of the leading eigenvalues: what the tangents grow by once they have settled.
/// The logs of a complex pair, of one magnitude, swing around it and sum to twice it.
fn eigenvalues(
    case: &MapCase<'_>,
    matrix: &[f64],
    n: usize,
    k: usize,
) -> Result<Vec<f64>, CaseError> {
    let map = linear_map(matrix, n, 1).map_err(engine)?;
    let begin = Begin {
        state: vec![0.0; n],
        tangents: unit_columns(n, n),
        columns: n,
    };
    let found = measure(&map, &begin, SETTLE, false, case.device)?;
    let recent: Vec<&[f64]> = found.logs.rchunks(n).take(RECENT).collect();
    let swings = |column: usize| {
        let values = recent.iter().filter_map(|row| row.get(column));
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(*v), high.max(*v))
        });
        high - low > SWING
    };
    let mut logs = recent.first().map(|row| row.to_vec()).unwrap_or_default();
    let mut column = 0;
    while column < n {
        let pair = logs.get_mut(column..=column + 1);
        match pair {
            Some([first, second]) if swings(column) => {
                let mean = (*first + *second) / 2.0;
                (*first, *second) = (mean, mean);
                column += 2;
            }
            _ => column += 1,
        }
    }
    logs.truncate(k);
    Ok(logs)
}

/// `matrix` to the power `steps`, at least 1.
fn power(matrix: &[f64], n: usize, steps: usize) -> Vec<f64> {
    let mut product = matrix.to_vec();
    for _ in 1..steps {
        product = (0..n * n)
            .map(|at| {
                let row = matrix.iter().skip(at / n * n).take(n);
                let column = product.iter().skip(at % n).step_by(n);
                row.zip(column).map(|(a, b)| a * b).sum()
            })
            .collect();
    }
    product
}
