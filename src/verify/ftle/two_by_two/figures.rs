//! The numbers behind the figures.

use serde_json::Value;

use super::super::super::checks::{CaseError, Checks};
use super::super::super::folder::{Folder, Node};
use crate::analysis::two_by_two::{Analysis, SPECTRUM_MEMBERS, drift_histogram, jitter};

const CLOSE: f64 = 1e-12;
/// Points of a cell whose jitter is given.
const SHOWN: usize = 8;
const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// Compares every entry of every tag; an entry of an unknown name is said to be so.
pub(super) fn check(
    checks: &mut Checks,
    text: &str,
    analysis_of: impl Fn(&str) -> Result<Analysis, CaseError>,
) -> Result<(), CaseError> {
    let parsed: Value = serde_json::from_str(text)
        .map_err(|error| CaseError::Engine(format!("figdata.json: not JSON: {error}")))?;
    let data = Folder::new(std::path::Path::new(""), parsed);
    for (tag, expected) in data.index().entries() {
        let analysis = analysis_of(tag)?;
        let histogram = drift_histogram(&analysis);
        for (entry, node) in expected.entries() {
            let what = format!("{tag}.{entry}");
            match entry {
                "edges" => {
                    let expected = numbers(&node)?;
                    checks.close_to_scale(&what, &histogram.edges, &expected, CLOSE);
                }
                "hist_correct" => counts(checks, &what, &histogram.correct, &node)?,
                "hist_wrong" => counts(checks, &what, &histogram.wrong, &node)?,
                "otsu_tau" => {
                    let expected = node.as_number()?;
                    checks.close_to_scale(&what, &[analysis.tau], &[expected], CLOSE);
                }
                "jitter_first8" => by_cell(checks, &what, &node, |cell| {
                    let members = analysis.cells.get(cell).map(|cell| cell.members.len());
                    members.map(|count| jitter(count.min(SHOWN)))
                })?,
                "spectrum" => by_cell(checks, &what, &node, |cell| {
                    let cell = analysis.cells.get(cell)?;
                    let shown = cell.members.len() >= SPECTRUM_MEMBERS;
                    let summary = cell.summary.as_ref().filter(|_| shown)?;
                    Some(summary.spectrum_median.clone())
                })?,
                _ => {
                    let reason = format!("{what}: an entry of a kind that is not known");
                    return Err(CaseError::Unsupported(reason));
                }
            }
        }
    }
    Ok(())
}

fn numbers(node: &Node<'_>) -> Result<Vec<f64>, CaseError> {
    node.elements()?.iter().map(Node::as_number).collect()
}

fn counts(
    checks: &mut Checks,
    what: &str,
    found: &[usize],
    node: &Node<'_>,
) -> Result<(), CaseError> {
    let elements = node.elements()?;
    let expected: Result<Vec<usize>, CaseError> = elements.iter().map(Node::as_size).collect();
    checks.equal(what, found, &expected?);
    Ok(())
}

/// Lists by cell: the same cells on both sides, and the same numbers in each.
fn by_cell(
    checks: &mut Checks,
    what: &str,
    node: &Node<'_>,
    found: impl Fn(usize) -> Option<Vec<f64>>,
) -> Result<(), CaseError> {
    for (cell, letter) in LETTERS.into_iter().enumerate() {
        let what = format!("{what}.{letter}");
        match (found(cell), node.find(letter)) {
            (Some(found), Some(expected)) => {
                checks.close_to_scale(&what, &found, &numbers(&expected)?, CLOSE);
            }
            (None, None) => {}
            (found, _) => {
                let side = if found.is_some() {
                    "found one"
                } else {
                    "found none"
                };
                checks.fail(format!("{what}: expected the same cells, {side}"));
            }
        }
    }
    for (letter, _) in node.entries() {
        checks.hold(LETTERS.contains(&letter), || {
            format!("{what}.{letter}: no such cell")
        });
    }
    Ok(())
}
