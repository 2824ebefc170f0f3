//! Published results.

mod audit;
mod registered;
mod steps;

use super::correlate::{cells, compare};
use super::maze::published;
use super::statistics::{engine, gap_entry, outcomes, unknown};
use crate::analysis::correlation::{
    BootstrapOptions, CORRELATION_METRIC, MAZE_METRIC, SCHEMA_VERSION, round_to,
};
use crate::analysis::maze::ENVIRONMENT;
use crate::analysis::planning_gap::{Gap, PairTable, Pairs, holm, mcnemar};
use crate::device::Device;
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node, read_index};
use serde_json::Value;
use std::path::Path;

/// Decimals of published numbers.
const DECIMALS: usize = 4;

pub(super) fn run(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    let index = folder.index();
    let metric = index.text("metric").unwrap_or_default();
    let first = index.get("cells").and_then(|cells| cells.elements());
    let first = first.ok().and_then(|cells| cells.into_iter().next());
    let has = |key: &str| first.as_ref().is_some_and(|cell| cell.find(key).is_some());
    let result = ["result", "source_bundle"];
    // Told by what they hold too, so that a file with a wrong name of its metric is one that fails.
    if metric == CORRELATION_METRIC || result.iter().all(|key| index.find(key).is_some()) {
        cases.run(stem, "published", |checks| {
            envelope(&index, CORRELATION_METRIC, checks)?;
            correlation(folder, checks)
        });
    } else if metric == MAZE_METRIC || has("m1_mismatch") {
        cases.run(stem, "published", |checks| {
            envelope(&index, MAZE_METRIC, checks)?;
            checks.equal("env", &[index.text("env")?], &[ENVIRONMENT]);
            sweep(&index, checks)?;
            published(&index, device, checks)
        });
    } else if metric == audit::METRIC || has("mcnemar") {
        audit::run(folder, stem, cases);
    } else if has("oracle_success_rate") {
        gaps(&index, stem, cases);
    } else {
        cases.unsupported(stem, "published", "a result of a kind that is not known");
    }
}

/// What the engine writes above such results.
fn envelope(index: &Node<'_>, metric: &str, checks: &mut Checks) -> Result<(), CaseError> {
    let version = index.text("schema_version")?;
    checks.equal("schema_version", &[version], &[SCHEMA_VERSION]);
    checks.equal("metric", &[index.text("metric")?], &[metric]);
    Ok(())
}

/// Recomputed from the bundle beside it, which the file names.
fn correlation(folder: &Folder, checks: &mut Checks) -> Result<(), CaseError> {
    let index = folder.index();
    let source = index.get("source_bundle")?;
    let name = Path::new(source.as_text()?).file_name();
    let name = name.ok_or_else(|| source.wrong("the name of a file"))?;
    let bundle = read_index(&folder.path().join(name)).map_err(engine)?;
    let bundle = Folder::new(folder.path(), bundle);
    let result = index.get("result")?;
    compare(
        &cells(&bundle.index())?,
        (result.text("downstream")?, result.text("method")?),
        &BootstrapOptions::default(),
        &result,
        checks,
    )
}

/// What a sweep must be, whatever its models did: cells in their order, numbers rounded, and on their grids.
/// Whether they are the right numbers is told by making them anew.
fn sweep(index: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let config = index.get("config")?;
    let episodes = config.number("episodes")?;
    let mut last = None;
    for cell in index.get("cells")?.elements()? {
        let place = (cell.integer("epochs")?, cell.integer("seed")?);
        checks.hold(last.is_none_or(|last| last < place), || {
            format!("cells: expected epochs, then seeds, to rise, found {place:?} after {last:?}")
        });
        last = Some(place);
        checks.equal("hidden", &[cell.size("hidden")?], &[config.size("hidden")?]);
        let rate = cell.number("success_rate")?;
        let whole = round_to((rate * episodes).round() / episodes, DECIMALS);
        checks.close("success_rate", &[round_to(rate, DECIMALS)], &[whole], 0.0);
        for (key, range) in [
            ("m1_mismatch", 0.0..=1.0),
            ("m2_kstep_divergence", 0.0..=f64::MAX),
            ("m3_action_agreement", -1.0..=1.0),
            ("success_rate", 0.0..=1.0),
        ] {
            let Some(value) = cell.find(key) else {
                let null =
                    key == "m3_action_agreement" && cell.json().get(key) == Some(&Value::Null);
                checks.hold(null, || format!("{key}: expected a number, found none"));
                continue;
            };
            let value = value.as_number()?;
            let good = range.contains(&value) && round_to(value, DECIMALS) == value;
            checks.hold(good, || {
                format!("{key}: expected a number in its range of 4 decimals, found {value}")
            });
        }
    }
    Ok(())
}

/// Gaps of committed cells: from the episodes where they are listed, else from the rates; cells that pool
/// others of the file are also made from those.
fn gaps(index: &Node<'_>, stem: &str, cases: &mut Cases) {
    let list = match index.get("cells").and_then(|cells| cells.elements()) {
        Ok(list) => list,
        Err(error) => return cases.run(stem, "published", |_| Err(error)),
    };
    for (at, cell) in list.iter().enumerate() {
        let name = cell
            .text("file")
            .map_or_else(|_| at.to_string(), str::to_owned);
        cases.run(&format!("{stem}.{name}"), "published", |checks| {
            gap_of_cell(cell, &list, checks)
        });
    }
}

/// Both arms of a cell.
pub(super) fn arms(cell: &Node<'_>) -> Result<Option<[Vec<bool>; 2]>, CaseError> {
    let list = |key: &str| cell.find(key).map(|node| outcomes(&node)).transpose();
    match (list("oracle_success")?, list("learned_success")?) {
        (Some(oracle), Some(learned)) => Ok(Some([oracle, learned])),
        (None, None) => Ok(None),
        _ => Err(cell.wrong("outcomes of both arms, or of none")),
    }
}

/// Cells of the same environment and model that are of one seed each, in order.
fn seeds_of<'a, 'b>(
    cell: &'b Node<'a>,
    list: &'b [Node<'a>],
) -> impl Iterator<Item = &'b Node<'a>> {
    let same = move |other: &Node<'_>| {
        ["env", "model_size"]
            .iter()
            .all(|key| other.json().get(*key) == cell.json().get(*key))
    };
    list.iter()
        .filter(move |other| same(other) && !is_pool(other))
}

/// Whether a cell says that it is of no single seed.
fn is_pool(cell: &Node<'_>) -> bool {
    cell.json().get("seed") == Some(&Value::Null)
}

/// The arms of all cells of the same environment and model, joined in order.
pub(super) fn pooled(
    cell: &Node<'_>,
    list: &[Node<'_>],
) -> Result<Option<[Vec<bool>; 2]>, CaseError> {
    let mut all: [Vec<bool>; 2] = [Vec::new(), Vec::new()];
    for other in seeds_of(cell, list) {
        for (all, arm) in all.iter_mut().zip(arms(other)?.into_iter().flatten()) {
            all.extend(arm);
        }
    }
    let some = all.iter().all(|arm| !arm.is_empty());
    Ok(some.then_some(all))
}

fn gap_of_cell(cell: &Node<'_>, list: &[Node<'_>], checks: &mut Checks) -> Result<(), CaseError> {
    let gap = match arms(cell)? {
        Some([oracle, learned]) => Gap::of(&oracle, &learned).map_err(engine)?,
        None => match pooled(cell, list)? {
            Some([oracle, learned]) => Gap::of(&oracle, &learned).map_err(engine)?,
            None => of_rates(cell)?,
        },
    };
    registered::compare(cell, checks)?;
    steps::pool(cell, list, checks)?;
    for (key, expected) in cell.entries() {
        match key {
            "verdict" => checks.equal(key, &[gap.verdict().name()], &[expected.as_text()?]),
            "oracle_steps" | "learned_steps" => steps::compare(cell, key, &expected, checks)?,
            "config" => settings(cell, &expected, &gap, checks)?,
            // What a cell is, what it was made from, and its outcomes.
            "file" | "env" | "model_size" | "seed" | "training_steps" | "decoder_full_mse"
            | "varied_init" | "oracle_success" | "learned_success" => {}
            _ => {
                if !gap_entry(&gap, key, &expected, checks)? {
                    unknown(key, checks);
                }
            }
        }
    }
    Ok(())
}

fn of_rates(cell: &Node<'_>) -> Result<Gap, CaseError> {
    let count = |rate: &str, episodes: &str| -> Result<[usize; 2], CaseError> {
        let episodes = cell.size(episodes)?;
        let successes = (cell.number(rate)? * episodes as f64).round();
        Ok([successes as usize, episodes])
    };
    let [s1, n1] = count("oracle_success_rate", "n_episodes_oracle")?;
    let [s2, n2] = count("learned_success_rate", "n_episodes_learned")?;
    Gap::of_counts([s1, s2], [n1, n2]).map_err(engine)
}

/// Settings that the outcomes and the cell repeat.
fn settings(
    cell: &Node<'_>,
    config: &Node<'_>,
    gap: &Gap,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    if let Some(episodes) = config.find("benchmark_episodes") {
        let found = [gap.n_episodes_oracle, gap.n_episodes_learned];
        checks.equal(
            "config.benchmark_episodes",
            &found,
            &[episodes.as_size()?; 2],
        );
    }
    if let (Some(found), Some(steps)) = (config.find("training_steps"), cell.find("training_steps"))
    {
        checks.equal(
            "config.training_steps",
            &[found.as_size()?],
            &[steps.as_size()?],
        );
    }
    Ok(())
}

/// The table, rounded numbers and p-value of a published paired analysis.
pub(super) struct Paired {
    pub table: PairTable,
    pub gap: Gap,
    pub p_value: f64,
}

impl Paired {
    pub fn of(table: PairTable) -> Result<Self, CaseError> {
        let episodes = [table.episodes(); 2];
        Ok(Self {
            table,
            gap: Gap::of_counts(table.successes(), episodes).map_err(engine)?,
            p_value: mcnemar(table.oracle_only, table.learned_only),
        })
    }
}

/// P-values adjusted as published: rounded before and after.
pub(super) fn adjusted(p_values: impl Iterator<Item = f64>) -> Vec<f64> {
    let rounded: Vec<f64> = p_values.map(|p| round_to(p, DECIMALS)).collect();
    let adjusted = holm(&rounded).into_iter();
    adjusted.map(|p| round_to(p, DECIMALS)).collect()
}

/// Pairs of two arms.
pub(super) fn pairs([oracle, learned]: &[Vec<bool>; 2]) -> Result<Pairs, CaseError> {
    Pairs::new(oracle, learned).map_err(engine)
}
