//! Laws of the flow time and sinusoidal features.

use super::super::checks::{CaseError, Checks};
use super::case::{Case, distance, engine, number, two_numbers};
use crate::training::flow_time::{FlowTimeDraw, FlowTimeLaw};
use attractor_kernels::time_features::flow_time_features;

/// Relative: both sides compute in f64.
const TOLERANCE: f64 = 1e-12;
/// Widths beyond are mistakes or attacks.
const WIDEST: usize = 1 << 20;

const PLAIN: &str = "out.features_nologit";

/// Whether a tensor is an output of this kind.
pub(super) fn is_output(name: &str) -> bool {
    let starts = ["out.logit_normal.", "out.beta.", "out.features"];
    name == "out.uniform" || starts.iter().any(|start| name.starts_with(start))
}

pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for (name, text) in case.outputs("logit_normal.") {
        let readings = two_numbers(text).into_iter();
        let laws = readings.map(|(mean, std)| FlowTimeLaw::LogitNormal { mean, std });
        check_law(case, name, laws.collect(), checks)?;
    }
    for (name, text) in case.outputs("beta.") {
        let readings = two_numbers(text).into_iter();
        let laws = readings.map(|(alpha, scale)| FlowTimeLaw::Beta { alpha, scale });
        check_law(case, name, laws.collect(), checks)?;
    }
    if case.arrays.contains("out.uniform") {
        check_law(case, "out.uniform", vec![FlowTimeLaw::Uniform], checks)?;
    }
    for (name, text) in case.outputs("features.") {
        if let Some(width) = number(text) {
            check_features(case, name, Some(width as usize), checks)?;
        }
    }
    if case.arrays.contains(PLAIN) {
        check_features(case, PLAIN, None, checks)?;
    }
    Ok(())
}

/// One of the laws that the name may mean has these times; where a name can be read in two ways, the
/// nearer one counts.
fn check_law(
    case: &Case<'_>,
    name: &str,
    laws: Vec<FlowTimeLaw>,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let laws: Vec<FlowTimeLaw> = laws.into_iter().filter(|law| law.check().is_ok()).collect();
    let Some(law) = laws.first() else {
        return Ok(());
    };
    let draws = match law.draw() {
        FlowTimeDraw::Normal => "in.z",
        FlowTimeDraw::Uniform => "in.u",
    };
    let (_, draws) = case.rows_f64(draws, &[])?;
    let (_, expected) = case.expected(name)?;
    let times = laws.iter().map(|law| -> Vec<f64> {
        let draws = draws.iter();
        draws.map(|&draw| law.time(draw)).collect()
    });
    let nearest = times.min_by(|a, b| distance(a, &expected).total_cmp(&distance(b, &expected)));
    let nearest = nearest.ok_or_else(|| engine("no law"))?;
    checks.close_to_scale(name, &nearest, &expected, TOLERANCE);
    Ok(())
}

/// Features of `in.t`: `width` of them, or without the logit, as many as there are.
fn check_features(
    case: &Case<'_>,
    name: &str,
    width: Option<usize>,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let [_, found] = case.shape::<2>(name)?;
    checks.equal("width of the features", &[found], &[width.unwrap_or(found)]);
    if found == 0 || found > WIDEST || !found.is_multiple_of(2) {
        return Err(engine(format!(
            "{name}: expected an even width, found {found}"
        )));
    }
    let (_, times) = case.rows_f64("in.t", &[])?;
    let features = |&t: &f64| {
        let mut features = flow_time_features(t, found as u32);
        // Without the logit, the cosine of the highest frequency is in its place.
        if let (None, Some(entry)) = (width, features.get_mut(found / 2)) {
            *entry = (1000.0 * t).cos();
        }
        features
    };
    let features: Vec<f64> = times.iter().flat_map(features).collect();
    case.compare(name, &features, TOLERANCE, checks)
}
