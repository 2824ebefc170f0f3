//! Complete Jacobians of ACT steps, and every exponent that follows from them.

use super::super::super::checks::{CaseError, Checks};
use super::super::super::folder::numbers;
use super::case::{Case, engine};
use crate::analysis::matrices::{product, qr, singular_values};
use crate::graph::Moment;
use crate::models::recursive::Start;
use crate::orbit::lyapunov::{self, LyapunovPlan, Settings};

/// Below this logarithm the round-off of double precision decides.
const LEAST: f64 = -12.0;
/// Error of an element of a Jacobian or of a stretch, as a share of the largest.
const SINGLE: f64 = 2e-5;
const DOUBLE: f64 = 1e-9;
/// Exponents that the JSON gives.
const LISTED: usize = 8;

/// Everything that a case with complete Jacobians holds of them.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    if !case.arrays.contains("J1") {
        return Ok(());
    }
    let n = case.reasoner()?.config().dimension();
    let (_, states) = numbers(&case.arrays, "states")?;
    let starts: Vec<&[f64]> = states.chunks_exact(n).collect();
    // The state after the last step starts none.
    let starts = &starts[..starts.len().saturating_sub(1)];
    let jacobians = jacobians(case, n, starts)?;
    let allowed = if case.is_double() { DOUBLE } else { SINGLE };
    for (name, found) in [("J1", jacobians.first()), ("J_last", jacobians.last())] {
        if let (Some(expected), Some(found)) = (case.expected(name, &[n, n])?, found) {
            checks.close_to_scale(name, found, &expected, allowed);
        }
    }
    check_exponents(case, &jacobians, n, allowed, checks)?;
    check_stretches(case, &jacobians, n, allowed, checks)
}

/// The derivative of one step at every state, row-major `[n, n]`.
fn jacobians(case: &Case<'_>, n: usize, starts: &[&[f64]]) -> Result<Vec<Vec<f64>>, CaseError> {
    let reasoner = case.reasoner()?;
    let map = reasoner.model().map(1, Start::Given);
    let settings = Settings {
        columns: n,
        points: Vec::new(),
        every: 1,
        start: lyapunov::Start::Given,
        factors: false,
    };
    let plan = LyapunovPlan::compile(&map.map, &settings, case.device).map_err(engine)?;
    let mut orbit = plan.orbit().map_err(engine)?;
    let execution = &mut orbit.orbit.execution;
    execution
        .write_words(map.tokens, &case.words("inputs")?)
        .map_err(engine)?;
    if let Some(puzzles) = map.puzzles {
        let ids = case.puzzles()?;
        let ids = if ids.is_empty() { vec![0] } else { ids };
        execution.write_words(puzzles, &ids).map_err(engine)?;
    }
    let mut identity = vec![0.0; n * n];
    identity
        .iter_mut()
        .step_by(n + 1)
        .for_each(|one| *one = 1.0);
    let jacobian = |state: &&[f64]| -> Result<Vec<f64>, CaseError> {
        let execution = &mut orbit.orbit.execution;
        execution.write_f64(map.map.state, state).map_err(engine)?;
        orbit.set_tangents(&identity).map_err(engine)?;
        orbit.run(1, &Moment::default()).map_err(engine)?;
        orbit.tangents().map_err(engine)
    };
    starts.iter().map(jacobian).collect()
}

/// `logR_full` `[T, n]` from the identity, `lyap_full` `[n]`, `lyap_qr_top8`.
fn check_exponents(
    case: &Case<'_>,
    jacobians: &[Vec<f64>],
    n: usize,
    allowed: f64,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let steps = jacobians.len();
    let Some(expected) = case.expected("logR_full", &[steps, n])? else {
        return Ok(());
    };
    let mut q = vec![0.0; n * n];
    q.iter_mut().step_by(n + 1).for_each(|one| *one = 1.0);
    let mut sums = vec![0.0; n];
    for (step, (jacobian, expected)) in jacobians.iter().zip(expected.chunks_exact(n)).enumerate() {
        let (next, r) = qr(&product(jacobian, &q, (n, n, n)), n, n).map_err(engine)?;
        q = next;
        let diagonal: Vec<f64> = r.iter().step_by(n + 1).copied().collect();
        for (sum, stretch) in sums.iter_mut().zip(&diagonal) {
            *sum += stretch.max(f64::MIN_POSITIVE).ln();
        }
        // Errors are those of the stretches themselves, however small one is, and grow with the steps.
        let grown = allowed * (step + 1) as f64;
        for (column, (stretch, &log)) in diagonal.iter().zip(expected).enumerate() {
            let what = format!("logR_full[{step}, {column}]");
            if log > LEAST {
                checks.close(&what, &[*stretch], &[log.exp()], grown);
            } else {
                checks.hold(*stretch <= LEAST.exp() + grown, || {
                    format!("{what}: expected a stretch below e^{LEAST}, found {stretch}")
                });
            }
        }
    }
    let means: Vec<f64> = sums.iter().map(|sum| sum / steps.max(1) as f64).collect();
    if let Some(expected) = case.expected("lyap_full", &[n])? {
        compare_rates(
            "lyap_full",
            &means,
            &expected,
            allowed * steps as f64,
            checks,
        );
    }
    if let Some(entry) = case.entry.find("lyap_qr_top8") {
        case.mark("lyap_qr_top8");
        let expected = entry.numbers()?;
        checks.equal("lyap_qr_top8", &[expected.len()], &[LISTED.min(n)]);
        compare_rates(
            "lyap_qr_top8",
            &means,
            &expected,
            allowed * steps as f64,
            checks,
        );
    }
    Ok(())
}

/// Rates of stretches that may be off by `allowed` themselves. Where nothing of a stretch is left above
/// that, it must be as small.
fn compare_rates(what: &str, found: &[f64], expected: &[f64], allowed: f64, checks: &mut Checks) {
    for (column, (found, &expected)) in found.iter().zip(expected).enumerate() {
        let what = format!("{what}[{column}]");
        let grown = allowed * (-expected).exp();
        if grown < 1.0 && expected > LEAST {
            checks.close(&what, &[*found], &[expected], grown);
            continue;
        }
        let bound = expected.max(allowed.ln()).max(LEAST) + 1.0;
        checks.hold(*found <= bound, || {
            format!("{what}: expected at most {bound}, found {found}")
        });
    }
}

/// `svdvals_product` `[T, n]` of the accumulated product, `lyap_svd_top16`, `lyap_svd_top8`.
fn check_stretches(
    case: &Case<'_>,
    jacobians: &[Vec<f64>],
    n: usize,
    allowed: f64,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let steps = jacobians.len();
    let Some(expected) = case.expected("svdvals_product", &[steps, n])? else {
        return Ok(());
    };
    let mut accumulated: Vec<f64> = Vec::new();
    let mut values = Vec::new();
    for (step, (jacobian, expected)) in jacobians.iter().zip(expected.chunks_exact(n)).enumerate() {
        accumulated = match accumulated.is_empty() {
            true => jacobian.clone(),
            false => product(jacobian, &accumulated, (n, n, n)),
        };
        values = singular_values(&accumulated, n, n).map_err(engine)?;
        let grown = allowed * (step + 1) as f64;
        checks.close_to_scale(
            &format!("svdvals_product[{step}]"),
            &values,
            expected,
            grown,
        );
    }
    let largest = values.first().copied().unwrap_or(0.0);
    let rates: Vec<f64> = values.iter().map(|s| s.ln() / steps as f64).collect();
    let mut compare = |what: &str, expected: &[f64]| {
        checks.hold(expected.len() <= n, || {
            format!("{what}: more than {n} values")
        });
        for (at, (found, expected)) in rates.iter().zip(expected).enumerate() {
            // An error of the product, as a share of this value.
            let grown = allowed * largest / (expected * steps as f64).exp();
            checks.close(&format!("{what}[{at}]"), &[*found], &[*expected], grown);
        }
    };
    let listed = case
        .arrays
        .get("lyap_svd_top16")
        .map(|array| array.shape().to_vec());
    if let Ok(shape) = listed {
        let expected = case.expected("lyap_svd_top16", &shape)?.unwrap_or_default();
        compare("lyap_svd_top16", &expected);
    }
    if let Some(entry) = case.entry.find("lyap_svd_top8") {
        case.mark("lyap_svd_top8");
        compare("lyap_svd_top8", &entry.numbers()?);
    }
    Ok(())
}
