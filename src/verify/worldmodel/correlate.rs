//! Correlations of offline metrics with planning success.

use super::statistics::{engine, unknown};
use crate::analysis::correlation::{
    BootstrapOptions, Bundle, Cell, Environment, Method, correlate, within_environments,
};
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node};
use serde_json::Value;

/// One case a bundle.
pub(super) fn run(folder: &Folder, stem: &str, cases: &mut Cases) {
    let bundles = match folder.index().elements() {
        Ok(bundles) => bundles,
        Err(error) => return cases.run(stem, "correlate", |_| Err(error)),
    };
    for (at, node) in bundles.iter().enumerate() {
        let name = node
            .text("name")
            .map_or_else(|_| at.to_string(), str::to_owned);
        cases.run(&format!("{stem}.{name}"), "correlate", |checks| {
            bundle(node, checks)
        });
    }
}

fn bundle(node: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    const KNOWN: [&str; 8] = [
        "name",
        "downstream",
        "method",
        "n_boot",
        "seed",
        "alpha",
        "cells",
        "result",
    ];
    for (name, _) in node.entries() {
        if !KNOWN.contains(&name) {
            unknown(name, checks);
        }
    }
    let options = BootstrapOptions {
        resamples: node.size("n_boot")? as u32,
        alpha: node.number("alpha")?,
        seed: node.size("seed")? as u64,
    };
    let cells = cells(node)?;
    compare(
        &cells,
        (node.text("downstream")?, node.text("method")?),
        &options,
        &node.get("result")?,
        checks,
    )
}

/// The cells of an entry `cells`.
pub(super) fn cells(node: &Node<'_>) -> Result<Vec<Cell>, CaseError> {
    let bundle = Bundle::of(std::path::Path::new("index"), node.json()).map_err(engine)?;
    Ok(bundle.cells)
}

/// Correlates cells and compares the result object, value for value.
pub(super) fn compare(
    cells: &[Cell],
    (downstream, method): (&str, &str),
    options: &BootstrapOptions,
    expected: &Node<'_>,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let known = [Method::Spearman, Method::Kendall].into_iter();
    let method = known.into_iter().find(|known| known.name() == method);
    let method = method.ok_or_else(|| expected.wrong("a known coefficient"))?;
    let found = correlate(cells, downstream, method, options).map_err(engine)?;
    let found = serde_json::to_value(&found).map_err(engine)?;
    same("result", &found, expected.json(), checks);
    Ok(())
}

/// Compares two JSON values, number for number, and names the first place where they differ.
pub(super) fn same(path: &str, found: &Value, expected: &Value, checks: &mut Checks) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for (key, expected) in expected {
                let found = found.get(key).unwrap_or(&Value::Null);
                same(&format!("{path}.{key}"), found, expected, checks);
            }
            let more = found.keys().find(|key| !expected.contains_key(*key));
            checks.hold(more.is_none(), || {
                let more = more.map(String::as_str).unwrap_or_default();
                format!("{path}.{more}: expected none, found one")
            });
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            checks.hold(true, String::new);
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                same(&format!("{path}[{at}]"), found, expected, checks);
            }
        }
        (Value::Number(found), Value::Number(expected)) => {
            let [found, expected] = [found, expected].map(|n| n.as_f64().unwrap_or(f64::NAN));
            checks.close(path, &[found], &[expected], 0.0);
        }
        _ => checks.hold(found == expected, || {
            format!("{path}: expected {expected}, found {found}")
        }),
    }
}

/// Correlations within environments.
pub(super) fn within(folder: &Folder, stem: &str, cases: &mut Cases) {
    let index = folder.index();
    cases.run(stem, "within-env", |checks| {
        for (name, _) in index.entries() {
            if !["rows", "within_env_correlation", "note"].contains(&name) {
                unknown(name, checks);
            }
        }
        let rows = index.get("rows")?.elements()?;
        let row = |row: &Node<'_>| {
            let object = row.json().as_object().cloned();
            object.ok_or_else(|| row.wrong("an object"))
        };
        let rows: Vec<Cell> = rows.iter().map(row).collect::<Result<_, _>>()?;
        let expected = index.get("within_env_correlation")?;
        let metrics = metric_names(&expected)?;
        let options = BootstrapOptions::default();
        let found = within_environments(&rows, &metrics, "gap", &options).map_err(engine)?;
        let found = serde_json::to_value(Environment::block(&found)).map_err(engine)?;
        same("within_env_correlation", &found, expected.json(), checks);
        Ok(())
    });
}

/// The metrics of the first environment; those of the others are compared with them.
fn metric_names<'a>(block: &Node<'a>) -> Result<Vec<&'a str>, CaseError> {
    let Some((_, first)) = block.entries().into_iter().next() else {
        return Ok(Vec::new());
    };
    let metrics = first.get("metrics")?.entries();
    Ok(metrics.into_iter().map(|(name, _)| name).collect())
}
