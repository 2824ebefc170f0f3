//! Bundles: JSON files of evaluated cells, as studies write them.

use super::tokens::without_bare_tokens;
use crate::formats::{FormatError, Limits, read_file};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// One evaluated model: names and values.
pub type Cell = Map<String, Value>;

/// Names that describe a cell and are no metric of it.
pub const DESCRIPTORS: [&str; 10] = [
    "epochs",
    "seed",
    "hidden",
    "data_size",
    "model_size",
    "env",
    "planner",
    "model",
    "variant",
    "cell",
];

/// Layout of the files that studies write: `schema_version`.
pub const SCHEMA_VERSION: &str = "1.0";

/// `metric` of a file of correlations.
pub const CORRELATION_METRIC: &str = "offline_vs_downstream_correlation";

/// `metric` of a sweep over models of a maze.
pub const MAZE_METRIC: &str = "maze_offline_downstream_sweep";

/// `metric` of a sweep over models of control.
pub const CONTROL_METRIC: &str = "tdmpc2_offline_downstream_sweep";

/// Descriptors of which a study has every value once, in each setting of the others.
const IDENTIFYING: [&str; 2] = ["seed", "cell"];

/// Text of more than this many bytes is no bundle.
const BUNDLE_BYTES: u64 = 1 << 30;

/// A bundle that cannot be used.
#[derive(Debug, Error)]
pub enum BundleError {
    /// It could not be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It is not JSON.
    #[error("{}: expected JSON: {message}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Where and why.
        message: String,
    },
    /// It has another schema.
    #[error("{}: {entry}: expected {expected}, found {found}", file.display())]
    Schema {
        /// The file.
        file: PathBuf,
        /// The entry concerned.
        entry: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Two cells are of the same model.
    #[error("{}: cells {first} and {second}: expected different models, found {descriptors} in both", file.display())]
    Duplicate {
        /// The file.
        file: PathBuf,
        /// One cell, from 0.
        first: usize,
        /// The other.
        second: usize,
        /// What describes both.
        descriptors: String,
    },
    /// No cell has the downstream result.
    #[error("{}: downstream \"{downstream}\": expected a number in one cell or more, found none (numbers there are: {present})", file.display())]
    Downstream {
        /// The file.
        file: PathBuf,
        /// The entry that was asked for.
        downstream: String,
        /// Entries that are numbers.
        present: String,
    },
}

/// Cells to correlate.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The file, for messages.
    pub file: PathBuf,
    /// The cells, in order.
    pub cells: Vec<Cell>,
    /// Episodes behind the success of a cell, where the configuration says so.
    pub episodes: Option<u64>,
    /// What the file says it holds: its `metric`.
    pub metric: Option<String>,
    /// Numbers that were NaN or infinite, which Python writes and no cell can use.
    pub replaced: usize,
}

/// A number that can be used: finite, and neither true nor false.
pub fn usable(value: Option<&Value>) -> Option<f64> {
    let number = value.filter(|value| value.is_number())?.as_f64()?;
    number.is_finite().then_some(number)
}

/// Whether a version is 1, 1.0, 1.1 and so on, as text or as a number.
fn is_first_major(version: &Value) -> bool {
    match version {
        Value::String(text) => text.split('.').next() == Some("1"),
        other => other
            .as_f64()
            .is_some_and(|number| (1.0..2.0).contains(&number)),
    }
}

/// The start of a value as text.
fn excerpt(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "none".into();
    };
    let text = value.to_string();
    let start: String = text.chars().take(60).collect();
    if start.len() < text.len() {
        start + "..."
    } else {
        start
    }
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// [`BundleError`] for a file that cannot be read, is not JSON, or has no list of cells.
    pub fn read(file: &Path) -> Result<Self, BundleError> {
        let limits = Limits {
            file_bytes: BUNDLE_BYTES,
            ..Limits::default()
        };
        let bytes = read_file(file, &limits)?;
        let text = String::from_utf8(bytes).map_err(|error| BundleError::Json {
            file: file.to_path_buf(),
            message: error.to_string(),
        })?;
        Self::parse(file, &text)
    }

    /// Reads the text of a bundle; `file` names it in messages.
    ///
    /// # Errors
    /// As [`Bundle::read`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, BundleError> {
        let (text, replaced) = without_bare_tokens(text);
        let value = serde_json::from_str(&text).map_err(|error| BundleError::Json {
            file: file.to_path_buf(),
            message: error.to_string(),
        })?;
        let bundle = Self::of(file, &value)?;
        Ok(Self { replaced, ..bundle })
    }

    /// Takes the cells out of a parsed bundle.
    ///
    /// # Errors
    /// [`BundleError::Schema`].
    pub fn of(file: &Path, value: &Value) -> Result<Self, BundleError> {
        let schema = |entry: String, expected, found: Option<&Value>| BundleError::Schema {
            file: file.to_path_buf(),
            entry,
            expected,
            found: excerpt(found),
        };
        let version = value.get("schema_version").filter(|found| !found.is_null());
        if version.is_some_and(|found| !is_first_major(found)) {
            let entry = "schema_version".to_owned();
            return Err(schema(entry, "version 1, such as \"1.0\"", version));
        }
        let metric = value.get("metric").filter(|found| !found.is_null());
        let metric = metric.map(|found| match found.as_str() {
            Some(name) => name.to_owned(),
            None => excerpt(Some(found)),
        });
        let list = value.get("cells");
        let cells = list
            .and_then(Value::as_array)
            .ok_or_else(|| schema("cells".into(), "a list of evaluated cells", list))?;
        let cell = |(at, cell): (usize, &Value)| {
            let object = cell.as_object().cloned();
            let expected = "an object of names and values";
            object.ok_or_else(|| schema(format!("cells[{at}]"), expected, Some(cell)))
        };
        let episodes = value
            .get("config")
            .and_then(|config| config.get("episodes"));
        Ok(Self {
            file: file.to_path_buf(),
            cells: cells
                .iter()
                .enumerate()
                .map(cell)
                .collect::<Result<_, _>>()?,
            episodes: episodes.and_then(Value::as_u64).filter(|count| *count > 0),
            metric,
            replaced: 0,
        })
    }

    /// The `metric` of a file that is none of the bundles this engine writes.
    pub fn unknown_metric(&self) -> Option<&str> {
        let metric = self.metric.as_deref()?;
        (![MAZE_METRIC, CONTROL_METRIC].contains(&metric)).then_some(metric)
    }

    /// Checks that no two cells are of the same model: equal in all descriptors, a seed or a name among them.
    ///
    /// # Errors
    /// [`BundleError::Duplicate`].
    pub fn check_unique(&self) -> Result<(), BundleError> {
        self.check_unique_with(&[])
    }

    /// [`Bundle::check_unique`] where further entries, such as the file of a cell, describe and name it too.
    ///
    /// # Errors
    /// [`BundleError::Duplicate`].
    pub fn check_unique_with(&self, more: &[&str]) -> Result<(), BundleError> {
        let mut seen = std::collections::BTreeMap::new();
        for (second, cell) in self.cells.iter().enumerate() {
            let present = |name: &&str| cell.get(*name).is_some_and(|value| !value.is_null());
            if !IDENTIFYING.iter().chain(more).any(present) {
                continue;
            }
            let names = DESCRIPTORS.iter().chain(more).filter(|name| present(name));
            let parts = names.map(|name| format!("{name} {}", excerpt(cell.get(*name))));
            let descriptors = parts.collect::<Vec<_>>().join(", ");
            if let Some(first) = seen.insert(descriptors.clone(), second) {
                return Err(BundleError::Duplicate {
                    file: self.file.clone(),
                    first,
                    second,
                    descriptors,
                });
            }
        }
        Ok(())
    }

    /// Checks that one cell or more has the downstream result, if there are cells.
    ///
    /// # Errors
    /// [`BundleError::Downstream`].
    pub fn check_downstream(&self, downstream: &str) -> Result<(), BundleError> {
        let has = |cell: &Cell| usable(cell.get(downstream)).is_some();
        if self.cells.is_empty() || self.cells.iter().any(has) {
            return Ok(());
        }
        let entries = self.cells.iter().flatten();
        let numbers = entries.filter(|(_, value)| usable(Some(value)).is_some());
        let names: std::collections::BTreeSet<&str> =
            numbers.map(|(name, _)| name.as_str()).collect();
        let present = names.into_iter().collect::<Vec<_>>().join(", ");
        Err(BundleError::Downstream {
            file: self.file.clone(),
            downstream: downstream.to_owned(),
            present: if present.is_empty() {
                "none".into()
            } else {
                present
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Bundle, BundleError> {
        Bundle::parse(Path::new("b.json"), text)
    }

    #[test]
    fn cells_come_in_order_with_what_is_known_of_them() {
        let text = r#"{"config": {"episodes": 20}, "cells": [{"seed": 1, "m": NaN}, {"m": 2, "gap": true}]}"#;
        let bundle = parse(text).unwrap();
        assert_eq!(
            (bundle.cells.len(), bundle.episodes, bundle.replaced),
            (2, Some(20), 1)
        );
        assert_eq!(usable(bundle.cells[0].get("m")), None);
        assert_eq!(usable(bundle.cells[1].get("m")), Some(2.0));
        assert_eq!(usable(bundle.cells[1].get("gap")), None);
        assert_eq!(usable(None), None);
    }

    #[test]
    fn other_schemas_are_named() {
        for (text, words) in [
            ("{", "b.json: expected JSON"),
            (
                "{\"result\": 1}",
                "b.json: cells: expected a list of evaluated cells, found none",
            ),
            ("{\"cells\": {\"a\": 1}}", "found {\"a\":1}"),
            ("[1]", "found none"),
            (
                "{\"cells\": [{}, 7]}",
                "cells[1]: expected an object of names and values, found 7",
            ),
            (
                "{\"schema_version\": \"2.0\", \"cells\": []}",
                "schema_version: expected version 1, such as \"1.0\", found \"2.0\"",
            ),
            ("{\"schema_version\": 10, \"cells\": []}", "found 10"),
            (
                "{\"schema_version\": \"10.1\", \"cells\": []}",
                "found \"10.1\"",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn versions_and_metrics_of_this_layout_are_taken() {
        for version in ["\"1.0\"", "\"1.7\"", "\"1\"", "1", "1.0", "null"] {
            let text = format!("{{\"schema_version\": {version}, \"cells\": []}}");
            assert!(parse(&text).is_ok(), "{version}");
        }
        for (metric, unknown) in [
            ("\"maze_offline_downstream_sweep\"", None),
            ("\"tdmpc2_offline_downstream_sweep\"", None),
            ("null", None),
            ("\"tdmpc2_whatever\"", Some("tdmpc2_whatever")),
            ("7", Some("7")),
        ] {
            let text = format!("{{\"metric\": {metric}, \"cells\": []}}");
            assert_eq!(parse(&text).unwrap().unknown_metric(), unknown, "{metric}");
        }
    }

    #[test]
    fn the_same_model_twice_is_found() {
        let bundle = |cells: &str| parse(&format!("{{\"cells\": [{cells}]}}")).unwrap();
        let twice =
            bundle(r#"{"seed": 0, "epochs": 2}, {"seed": 1}, {"epochs": 2, "seed": 0, "m": 1}"#);
        let error = twice.check_unique().unwrap_err().to_string();
        assert!(
            error.contains("cells 0 and 2") && error.contains("epochs 2, seed 0"),
            "{error}"
        );
        let files = bundle(
            r#"{"file": "a", "env": "x"}, {"file": "b", "env": "x"}, {"file": "a", "env": "x"}"#,
        );
        assert!(files.check_unique().is_ok());
        let error = files.check_unique_with(&["file"]).unwrap_err().to_string();
        assert!(
            error.contains("cells 0 and 2") && error.contains("file \"a\""),
            "{error}"
        );
        // Without a seed or a name nothing says that they are the same.
        assert!(
            bundle(r#"{"env": "a"}, {"env": "a"}, {}, {}"#)
                .check_unique()
                .is_ok()
        );
        assert!(
            bundle(r#"{"seed": 0, "epochs": 2}, {"seed": 0}"#)
                .check_unique()
                .is_ok()
        );
    }

    #[test]
    fn a_downstream_that_no_cell_has_is_named() {
        let bundle = parse(r#"{"cells": [{"seed": 0, "m": 1, "x": "y"}, {"gap": null}]}"#).unwrap();
        assert!(bundle.check_downstream("m").is_ok());
        let error = bundle.check_downstream("gap").unwrap_err().to_string();
        assert!(
            error.contains("\"gap\"") && error.contains("m, seed"),
            "{error}"
        );
        assert!(
            parse("{\"cells\": []}")
                .unwrap()
                .check_downstream("gap")
                .is_ok()
        );
    }
}
