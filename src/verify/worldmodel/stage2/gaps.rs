//! Planning gaps of cells, and what within an environment goes along with them.

use super::{File, cells, engine, unknown};
use crate::analysis::correlation::{BootstrapOptions, Cell, Environment, within_environments};
use crate::analysis::planning_gap::{Gap, Pairs, mcnemar};
use crate::analysis::stage2::METRICS;
use crate::verify::checks::{CaseError, Checks};
use crate::verify::folder::Node;
use crate::verify::worldmodel::correlate::same;
use crate::verify::worldmodel::statistics::gap_entry;
use serde_json::Value;

/// Error of statistics in double precision.
const TOLERANCE: f64 = 1e-12;

/// Success of every episode.
fn outcomes(node: &Node<'_>) -> Result<Vec<bool>, CaseError> {
    let rows = node.get("episodes")?.elements()?;
    let flag = |row: &Node<'_>| match row.elements()?.first() {
        Some(success) => success.as_bool(),
        None => Err(row.wrong("success, steps and plans")),
    };
    rows.iter().map(flag).collect()
}

/// The gap of the recorded episodes, with its tests.
pub(super) fn of_cell(
    file: &File<'_>,
    cell: &Node<'_>,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let oracle = file.index.get("oracle")?.get(cell.text("env")?)?;
    let arms = [outcomes(&oracle)?, outcomes(cell)?];
    let gap = Gap::of(&arms[0], &arms[1]).map_err(engine)?;
    for (key, expected) in cell.get("measured_cpg")?.entries() {
        if key == "verdict" {
            checks.equal(key, &[gap.verdict().name()], &[expected.as_text()?]);
        } else if !gap_entry(&gap, key, &expected, checks)? {
            unknown(key, checks);
        }
    }
    let table = Pairs::new(&arms[0], &arms[1]).map_err(engine)?.table();
    for (key, expected) in cell.get("mcnemar")?.entries() {
        let count = match key {
            "both" => table.both,
            "oracle_only" => table.oracle_only,
            "learned_only" => table.learned_only,
            "neither" => table.neither,
            "n_discordant" => table.discordant(),
            "p_value" => {
                let found = mcnemar(table.oracle_only, table.learned_only);
                checks.close(key, &[found], &[expected.as_number()?], TOLERANCE);
                continue;
            }
            _ => {
                unknown(key, checks);
                continue;
            }
        };
        checks.equal(key, &[count], &[expected.as_size()?]);
    }
    let [low, high] = table.newcombe();
    let expected = cell.get("newcombe")?.numbers()?;
    checks.close("newcombe", &[table.gap(), low, high], &expected, TOLERANCE);
    Ok(())
}

/// Both blocks, from the recorded metrics.
pub(super) fn within(file: &File<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let (mut committed, mut measured): (Vec<Cell>, Vec<Cell>) = (Vec::new(), Vec::new());
    for cell in cells(file)? {
        let row = cell.get("row")?;
        let Some(object) = row.json().as_object() else {
            return Err(row.wrong("an object"));
        };
        let mut object = object.clone();
        committed.push(object.clone());
        let gap = cell.get("measured_cpg")?.get("gap")?;
        object.insert("gap".into(), gap.json().clone());
        measured.push(object);
    }
    for (key, cells) in [
        ("within_env_correlation_vs_committed_gap", committed),
        ("within_env_correlation_vs_measured_gap", measured),
    ] {
        let options = BootstrapOptions::default();
        let found = within_environments(&cells, &METRICS, "gap", &options).map_err(engine)?;
        let found: Value = serde_json::to_value(Environment::block(&found)).map_err(engine)?;
        same(key, &found, file.index.get(key)?.json(), checks);
    }
    Ok(())
}
