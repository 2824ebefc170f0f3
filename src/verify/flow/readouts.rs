//! K draws of a frame as one chunk, and how the draws split into modes.

use super::super::checks::{CaseError, Checks};
use super::super::folder::Node;
use super::case::{Case, engine};
use crate::analysis::flow::{Draws, ModeRule, ModeSplit, Readout, read_out};

/// Relative: both sides compute in f64; a wrong choice is off by far more.
const TOLERANCE: f64 = 1e-12;

pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let [frames, count, horizon, channels] = case.shape::<4>("in.draws")?;
    let (_, values) = case.rows("in.draws", &[])?;
    let draws = Draws::new(&values, frames, count, horizon, channels).map_err(engine)?;
    let rule = rule(&case.config)?;
    rule.check(channels).map_err(engine)?;
    for (name, text) in case.outputs("") {
        // Those that need scores are the ranker's.
        let Ok(readout) = text.parse::<Readout>() else {
            continue;
        };
        if readout.needs_scores() {
            continue;
        }
        let chunks = read_out(readout, &draws, None, &rule).map_err(engine)?;
        case.compare(name, &chunks, TOLERANCE, checks)?;
    }
    let Some(info) = case.config.find("info") else {
        return Ok(());
    };
    let names = case.config.get("cases")?.elements()?;
    checks.equal("cases", &[names.len()], &[frames]);
    checks.equal("info", &[info.entries().len()], &[names.len()]);
    for (name, frame) in names.iter().zip(draws.iter()) {
        let name = name.as_text()?;
        let split = ModeSplit::of(frame, &rule);
        check_split(case, name, &split, &info.get(name)?, checks)?;
    }
    Ok(())
}

/// `axis`, and `gap` and `min_frac` where they are not the usual ones.
pub(super) fn rule(config: &Node<'_>) -> Result<ModeRule, CaseError> {
    let mut rule = ModeRule::on_channel(config.size("axis")?);
    if let Some(gap) = config.find("gap") {
        rule.gap = gap.as_number()?;
    }
    if let Some(fraction) = config.find("min_frac") {
        rule.min_fraction = fraction.as_number()?;
    }
    Ok(rule)
}

fn check_split(
    case: &Case<'_>,
    name: &str,
    split: &ModeSplit,
    expected: &Node<'_>,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    for (key, value) in expected.entries() {
        let what = format!("{name}.{key}");
        match key {
            "bimodal" => checks.equal(&what, &[split.bimodal], &[value.as_bool()?]),
            "dominant" => checks.equal(&what, &[split.dominant], &[value.as_size()?]),
            "minority" => checks.equal(&what, &[split.minority], &[value.as_size()?]),
            "separation" if value.json().is_null() => {
                checks.hold(split.separation.is_none(), || {
                    format!("{what}: expected none, found {:?}", split.separation)
                });
            }
            "separation" => {
                let found = split.separation.unwrap_or(f64::NAN);
                checks.close(&what, &[found], &[value.as_number()?], TOLERANCE);
            }
            _ => case.leave(format!("info.{what}")),
        }
    }
    Ok(())
}
