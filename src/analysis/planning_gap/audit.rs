//! From a file of arms to a table of gaps.

use super::paired::{PairTable, Pairs};
use super::power::{detectable, required_episodes};
use super::{Gap, GapError, Verdict, holm, mcnemar};
use crate::analysis::correlation::{BootstrapOptions, Bundle, Cell, usable};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A file of arms that cannot be used.
#[derive(Debug, Error)]
pub enum ArmError {
    /// An entry of a cell is not as it must be.
    #[error("{}: cells[{cell}]: {entry}: expected {expected}, found {found}", file.display())]
    Entry {
        /// The file.
        file: PathBuf,
        /// The cell, from 0.
        cell: usize,
        /// The entry.
        entry: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The arms of a cell have no gap.
    #[error("{cell}: {source}")]
    Gap {
        /// Name of the cell.
        cell: String,
        /// Why.
        source: GapError,
    },
}

/// Both arms of a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Arms {
    /// Its name.
    pub name: String,
    /// Environment and model: arms that agree in these may be pooled over seeds.
    pub group: String,
    /// Successes, the oracle first.
    pub successes: [usize; 2],
    /// Episodes.
    pub episodes: [usize; 2],
    /// Episode by episode, oracle and learned model; none where only rates are known.
    pub outcomes: Option<[Vec<bool>; 2]>,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditRow {
    /// Name of the cell.
    pub cell: String,
    /// The gap with the interval of Agresti and Caffo.
    #[serde(flatten)]
    pub gap: Gap,
    /// What it says.
    pub verdict: Verdict,
    /// What paired episodes add; none where the arms are not paired.
    pub paired: Option<PairedAudit>,
    /// Whether rates like these would be told apart with as many episodes.
    pub detectable: Option<bool>,
    /// Episodes an arm for the half width asked for, at rates like these; none where 100,000 are too few.
    pub required_episodes: Option<usize>,
}

/// What paired episodes tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedAudit {
    /// Outcomes.
    pub table: PairTable,
    /// Correlation of the arms within an episode.
    pub phi: f64,
    /// Newcombe's interval.
    pub newcombe_ci: [f64; 2],
    /// Percentile interval over resampled episodes.
    pub bootstrap_ci: [f64; 2],
    /// McNemar's exact test.
    pub p_value: f64,
    /// The same, adjusted for all paired cells that were analysed together (Holm).
    pub p_holm: f64,
}

/// Takes the arms out of a bundle: `oracle_success` and `learned_success` are lists of true and false (or 1 and
/// 0), one an episode; cells without them have `oracle_success_rate`, `learned_success_rate`,
/// `n_episodes_oracle` and `n_episodes_learned`.
///
/// # Errors
/// [`ArmError::Entry`].
pub fn arms_of_bundle(bundle: &Bundle) -> Result<Vec<Arms>, ArmError> {
    let cells = bundle.cells.iter().enumerate();
    let arms = cells.map(|(at, cell)| arms_of(&bundle.file, at, cell));
    arms.collect()
}

fn arms_of(file: &Path, at: usize, cell: &Cell) -> Result<Arms, ArmError> {
    let error = |entry, expected, found: Option<&Value>| ArmError::Entry {
        file: file.to_path_buf(),
        cell: at,
        entry,
        expected,
        found: found.map_or_else(|| "none".into(), |value| start(&value.to_string())),
    };
    let list = |entry: &'static str| -> Result<Option<Vec<bool>>, ArmError> {
        let Some(found) = cell.get(entry).filter(|found| !found.is_null()) else {
            return Ok(None);
        };
        let flags = found.as_array().map(|list| list.iter().map(flag));
        let flags: Option<Vec<bool>> = flags.and_then(Iterator::collect);
        let expected = "a list of true and false, one an episode";
        flags
            .map(Some)
            .ok_or_else(|| error(entry, expected, Some(found)))
    };
    let count = |rate: &'static str, episodes: &'static str| -> Result<[usize; 2], ArmError> {
        let number = cell.get(episodes).and_then(Value::as_u64);
        let number = number.and_then(|number| usize::try_from(number).ok());
        let number = number.ok_or_else(|| error(episodes, "a count", cell.get(episodes)))?;
        let share = usable(cell.get(rate)).filter(|share| (0.0..=1.0).contains(share));
        let expected = "a share of the episodes, or a list of outcomes";
        let share = share.ok_or_else(|| error(rate, expected, cell.get(rate)))?;
        Ok([(share * number as f64).round() as usize, number])
    };
    let name = ["cell", "file"]
        .into_iter()
        .find_map(|key| cell.get(key)?.as_str());
    let (name, group) = (
        name.map_or_else(|| format!("cell {at}"), str::to_owned),
        group(cell),
    );
    let outcomes = match (list("oracle_success")?, list("learned_success")?) {
        (Some(oracle), Some(learned)) => Some([oracle, learned]),
        (None, None) => None,
        (Some(_), None) => {
            return Err(error(
                "learned_success",
                "a list beside oracle_success",
                None,
            ));
        }
        (None, Some(_)) => {
            return Err(error(
                "oracle_success",
                "a list beside learned_success",
                None,
            ));
        }
    };
    let [successes, episodes] = match &outcomes {
        Some(arms) => {
            let counts = arms.each_ref();
            [
                counts.map(|arm| arm.iter().filter(|success| **success).count()),
                counts.map(Vec::len),
            ]
        }
        None => {
            let [s1, n1] = count("oracle_success_rate", "n_episodes_oracle")?;
            let [s2, n2] = count("learned_success_rate", "n_episodes_learned")?;
            [[s1, s2], [n1, n2]]
        }
    };
    Ok(Arms {
        name,
        group,
        successes,
        episodes,
        outcomes,
    })
}

fn start(text: &str) -> String {
    text.chars().take(60).collect()
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// What seeds of one model share.
fn group(cell: &Cell) -> String {
    let names = ["env", "planner", "model", "model_size", "variant"];
    let parts = names.into_iter().filter_map(|name| {
        let value = cell.get(name).filter(|value| !value.is_null())?;
        Some(match value {
            Value::String(text) => text.clone(),
            other => format!("{name} {other}"),
        })
    });
    parts.collect::<Vec<_>>().join(" | ")
}

impl Arms {
    /// Arms of one group joined, episode after episode in the order of the cells; groups of one cell, and
    /// cells without outcomes, are left out.
    pub fn pooled(cells: &[Self]) -> Vec<Self> {
        let mut pools: Vec<(Self, usize)> = Vec::new();
        for cell in cells {
            let Some([oracle, learned]) = &cell.outcomes else {
                continue;
            };
            match pools.iter_mut().find(|(pool, _)| pool.group == cell.group) {
                Some((pool, members)) => {
                    *members += 1;
                    let sums = pool.successes.iter_mut().chain(&mut pool.episodes);
                    for (sum, more) in sums.zip(cell.successes.iter().chain(&cell.episodes)) {
                        *sum += more;
                    }
                    if let Some([all_oracle, all_learned]) = &mut pool.outcomes {
                        all_oracle.extend(oracle);
                        all_learned.extend(learned);
                    }
                }
                None => pools.push((cell.clone(), 1)),
            }
        }
        let several = pools.into_iter().filter(|(_, members)| *members > 1);
        several
            .map(|(pool, members)| Self {
                name: format!("{} (pooled over {members})", pool.group),
                ..pool
            })
            .collect()
    }

    /// Paired where both arms have as many episodes.
    fn pairs(&self) -> Option<Pairs> {
        let [oracle, learned] = self.outcomes.as_ref()?;
        Pairs::new(oracle, learned).ok()
    }
}

/// Analyses cells, one family of tests; `width` is the half width that [`AuditRow::required_episodes`] is for.
///
/// # Errors
/// [`ArmError::Gap`] for arms without episodes, or an option out of range.
pub fn audit(
    cells: &[Arms],
    bootstrap: &BootstrapOptions,
    width: f64,
) -> Result<Vec<AuditRow>, ArmError> {
    let rows = cells.iter().map(|arms| {
        row(arms, bootstrap, width).map_err(|source| ArmError::Gap {
            cell: arms.name.clone(),
            source,
        })
    });
    let mut rows: Vec<AuditRow> = rows.collect::<Result<_, _>>()?;
    let paired = || rows.iter().filter_map(|row| row.paired);
    let adjusted = holm(&paired().map(|paired| paired.p_value).collect::<Vec<_>>());
    let paired = rows.iter_mut().filter_map(|row| row.paired.as_mut());
    for (paired, p_holm) in paired.zip(adjusted) {
        paired.p_holm = p_holm;
    }
    Ok(rows)
}

fn row(arms: &Arms, bootstrap: &BootstrapOptions, width: f64) -> Result<AuditRow, GapError> {
    let gap = Gap::of_counts(arms.successes, arms.episodes)?;
    let rates = [gap.oracle_success_rate, gap.learned_success_rate];
    let [n_oracle, n_learned] = arms.episodes;
    let even = (n_oracle == n_learned).then_some(n_oracle);
    let paired = arms.pairs().map(|pairs| paired(&pairs, bootstrap));
    Ok(AuditRow {
        cell: arms.name.clone(),
        gap,
        verdict: gap.verdict(),
        paired: paired.transpose()?,
        detectable: even.map(|n| detectable(rates, n)).transpose()?,
        required_episodes: required_episodes(rates, width)?,
    })
}

fn paired(pairs: &Pairs, bootstrap: &BootstrapOptions) -> Result<PairedAudit, GapError> {
    let table = pairs.table();
    let p_value = mcnemar(table.oracle_only, table.learned_only);
    Ok(PairedAudit {
        table,
        phi: table.phi(),
        newcombe_ci: table.newcombe(),
        bootstrap_ci: pairs.bootstrap(bootstrap)?,
        p_value,
        // Known when all cells are.
        p_holm: p_value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn arms(cells: Value) -> Result<Vec<Arms>, ArmError> {
        let file = Path::new("arms.json");
        arms_of_bundle(&Bundle::of(file, &json!({"cells": cells})).unwrap())
    }

    #[test]
    fn lists_and_rates_are_both_read() {
        let found = arms(json!([
            {"file": "a", "env": "x", "model_size": 5, "seed": 0,
             "oracle_success": [true, true, false], "learned_success": [1, 0, 0]},
            {"env": "x", "model_size": 5, "seed": 1,
             "oracle_success": [false], "learned_success": [true]},
            {"cell": "c", "oracle_success_rate": 0.7, "learned_success_rate": 0.3,
             "n_episodes_oracle": 10, "n_episodes_learned": 20}
        ]))
        .unwrap();
        let brief: Vec<_> = found
            .iter()
            .map(|a| (a.name.as_str(), a.successes, a.episodes))
            .collect();
        let expected = [
            ("a", [2, 1], [3, 3]),
            ("cell 1", [0, 1], [1, 1]),
            ("c", [7, 6], [10, 20]),
        ];
        assert_eq!(brief, expected);
        let pooled = Arms::pooled(&found);
        assert_eq!(pooled.len(), 1);
        assert_eq!(pooled[0].name, "x | model_size 5 (pooled over 2)");
        assert_eq!((pooled[0].successes, pooled[0].episodes), ([2, 2], [4, 4]));
        let [oracle, learned] = pooled[0].outcomes.clone().unwrap();
        assert_eq!(oracle, [true, true, false, false]);
        assert_eq!(learned, [true, false, false, true]);
    }

    #[test]
    fn holm_is_over_the_paired_cells() {
        let list = |count: usize, of: usize| (0..of).map(|at| at < count).collect::<Vec<_>>();
        let cells = arms(json!([
            {"oracle_success": list(20, 20), "learned_success": list(10, 20)},
            {"oracle_success": list(20, 20), "learned_success": list(14, 20)},
            {"oracle_success": list(5, 20), "learned_success": list(2, 10)}
        ]))
        .unwrap();
        let rows = audit(&cells, &BootstrapOptions::default(), 0.1).unwrap();
        let holm: Vec<_> = rows
            .iter()
            .map(|row| row.paired.map(|p| [p.p_value, p.p_holm]))
            .collect();
        let expected = [
            Some([2.0 / 1024.0, 4.0 / 1024.0]),
            Some([1.0 / 32.0; 2]),
            None,
        ];
        assert_eq!(holm, expected);
        assert_eq!(rows[0].verdict, Verdict::ModelBottleneck);
        assert_eq!((rows[0].detectable, rows[2].detectable), (Some(true), None));
        assert!(
            rows.iter()
                .all(|row| row.required_episodes.is_some_and(|n| n > 20))
        );
    }

    #[test]
    fn what_is_no_arm_is_named() {
        for (cell, words) in [
            (
                json!({"oracle_success": [true]}),
                "cells[0]: learned_success",
            ),
            (
                json!({"oracle_success": [2], "learned_success": [1]}),
                "found [2]",
            ),
            (
                json!({"learned_success": "yes", "oracle_success": []}),
                "found \"yes\"",
            ),
            (
                json!({"gap": 0.5}),
                "n_episodes_oracle: expected a count, found none",
            ),
            (
                json!({"n_episodes_oracle": 3, "oracle_success_rate": 1.5}),
                "oracle_success_rate: expected a share",
            ),
        ] {
            let error = arms(json!([cell])).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let empty =
            arms(json!([{"cell": "e", "oracle_success": [], "learned_success": []}])).unwrap();
        let error = audit(&empty, &BootstrapOptions::default(), 0.1)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "e: oracle arm: expected 1 episode or more, found none"
        );
    }
}
