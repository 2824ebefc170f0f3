//! The evaluation panel: every number below `expected`.

use serde_json::Value;

use super::super::checks::{CaseError, Checks};
use super::super::folder::Node;
use super::case::{Case, engine};
use super::readouts::rule;
use crate::analysis::flow::{
    Chunks, Draws, PanelConfig, PanelInput, SteeringSeries, evaluate, fan,
};

/// Relative: both sides sum in f64, in different orders.
const TOLERANCE: f64 = 1e-12;
/// Numbers smaller than this are compared by the same difference.
const SMALLEST: f64 = 1e-3;

pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let [frames, count, horizon, channels] = case.shape::<4>("in.draws")?;
    let (_, truth) = case.rows("in.gt", &[horizon, channels])?;
    let (_, draws) = case.rows("in.draws", &[])?;
    let settings = settings(&case.config)?;
    if let Some(listed) = case.config.find("frames") {
        checks.equal("frames", &[frames], &[listed.as_size()?]);
    }
    let drive = case.config.find("drive");
    let drive = drive.map_or(Ok(0), |drive| drive.as_size())?;
    let truth = Chunks::new(&truth, frames, horizon, channels).map_err(engine)?;
    let draws = Draws::new(&draws, frames, count, horizon, channels).map_err(engine)?;
    let drives = vec![drive as u32; frames];
    let input = PanelInput {
        truth,
        draws,
        drives: &drives,
    };
    let panel = evaluate(&input, &settings).map_err(engine)?;
    let mut found = serde_json::to_value(&panel).map_err(engine)?;
    if case.arrays.contains("in.constant_draws") {
        let [frames, count, horizon] = case.shape::<3>("in.constant_draws")?;
        let (_, values) = case.rows("in.constant_draws", &[])?;
        let constant = Draws::new(&values, frames, count, horizon, 1).map_err(engine)?;
        let series = SteeringSeries::new(&constant, 0, &truth, settings.steering(), &drives);
        let fan = fan(&series.map_err(engine)?, &settings).map_err(engine)?;
        if let Some(panel) = found.as_object_mut() {
            let fan = serde_json::to_value(&fan).map_err(engine)?;
            panel.insert("fan_constant_chunk".into(), fan);
        }
    }
    compare(
        case,
        "expected",
        Some(&found),
        case.config.get("expected")?.json(),
        checks,
    );
    Ok(())
}

fn settings(config: &Node<'_>) -> Result<PanelConfig, CaseError> {
    let thresholds = config.get("thresholds")?.elements()?;
    let thresholds: Result<Vec<f64>, _> = thresholds.iter().map(Node::as_number).collect();
    let mut settings = PanelConfig::new(config.size("axis")?, thresholds?);
    settings.mode = rule(config)?;
    if let Some(pad) = config.find("fan_pad") {
        settings.fan_pad = pad.as_size()?;
    }
    for (key, place) in [("spike", &mut settings.spike), ("flat", &mut settings.flat)] {
        if let Some(threshold) = config.find(key) {
            *place = threshold.as_number()?;
        }
    }
    Ok(settings)
}

/// Every number below `expected` against the one at the same place of the panel; a place that the panel
/// does not have is left.
fn compare(
    case: &Case<'_>,
    place: &str,
    found: Option<&Value>,
    expected: &Value,
    checks: &mut Checks,
) {
    let Some(found) = found else {
        return case.leave(place.to_owned());
    };
    match expected {
        Value::Object(entries) => {
            for (key, expected) in entries {
                let inner = format!("{place}.{key}");
                compare(case, &inner, found.get(key), expected, checks);
            }
        }
        Value::Array(entries) => {
            let length = found.as_array().map_or(0, Vec::len);
            checks.equal(place, &[length], &[entries.len()]);
            for (index, expected) in entries.iter().enumerate() {
                let inner = format!("{place}.{index}");
                compare(case, &inner, found.get(index), expected, checks);
            }
        }
        _ => match (found.as_f64(), expected.as_f64()) {
            (Some(found), Some(expected)) => {
                let scale = expected.abs().max(SMALLEST);
                checks.close(place, &[found / scale], &[expected / scale], TOLERANCE);
            }
            _ => checks.hold(found == expected, || {
                format!("{place}: expected {expected}, found {found}")
            }),
        },
    }
}
