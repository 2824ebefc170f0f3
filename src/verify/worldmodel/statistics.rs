//! Rank correlation, bootstrap, planning gaps, paired tests, power.

use crate::analysis::correlation::{
    BootstrapOptions, CorrelationError, Method, average_ranks, bootstrap,
};
use crate::analysis::planning_gap::{
    Gap, Pairs, detectable, half_width, holm, mcnemar, required_episodes,
};
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node};

/// Sums are in another order than the reference's in places.
const TOLERANCE: f64 = 1e-12;

/// One case a pair of columns, one of all arms, one of power.
pub(super) fn run(folder: &Folder, stem: &str, cases: &mut Cases) {
    for (group, node) in folder.index().entries() {
        match group {
            "correlations" => each(&node, &format!("{stem}.correlations"), cases, correlation),
            "cpg" => gaps(&node, stem, cases),
            _ => cases.unsupported(
                &format!("{stem}.{group}"),
                "statistics",
                "an entry of a kind that is not known",
            ),
        }
    }
}

fn each(
    node: &Node<'_>,
    name: &str,
    cases: &mut Cases,
    body: impl Fn(&Node<'_>, &mut Checks) -> Result<(), CaseError>,
) {
    let elements = match node.elements() {
        Ok(elements) => elements,
        Err(error) => return cases.run(name, "statistics", |_| Err(error)),
    };
    for (at, element) in elements.iter().enumerate() {
        cases.run(&format!("{name}.{at}"), "statistics", |checks| {
            body(element, checks)
        });
    }
}

/// A reason of the engine as the reason of a case.
pub(super) fn engine(error: impl ToString) -> CaseError {
    CaseError::Engine(error.to_string())
}

/// An entry that nothing here computes.
pub(super) fn unknown(name: &str, checks: &mut Checks) {
    checks.fail(format!("{name}: an entry of a kind that is not known"));
}

/// `METHOD_RESAMPLES_seedSEED`.
fn resampling(name: &str) -> Option<(&str, BootstrapOptions)> {
    let (rest, seed) = name.rsplit_once("_seed")?;
    let (method, resamples) = rest.rsplit_once('_')?;
    let options = BootstrapOptions {
        resamples: resamples.parse().ok()?,
        seed: seed.parse().ok()?,
        ..BootstrapOptions::default()
    };
    Some((method, options))
}

fn method_of(name: &str) -> Option<Method> {
    [Method::Spearman, Method::Kendall]
        .into_iter()
        .find(|method| method.name() == name)
}

fn correlation(node: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let (x, y) = (node.get("x")?.numbers()?, node.get("y")?.numbers()?);
    for (name, expected) in node.entries() {
        if name == "x" || name == "y" {
            continue;
        }
        if let Some(column) = name.strip_prefix("rank_") {
            let ranks = match column {
                "x" => average_ranks(&x),
                "y" => average_ranks(&y),
                _ => {
                    unknown(name, checks);
                    continue;
                }
            };
            checks.close(name, &ranks, &expected.numbers()?, TOLERANCE);
        } else if let Some(method) = name.strip_suffix("_error").and_then(method_of) {
            let found = outcome(method.of(&x, &y));
            checks.equal(name, &[found.1], &[expected.as_text()?.to_owned()]);
        } else if let Some(method) = method_of(name) {
            match expected.json() {
                serde_json::Value::Null => {
                    let found = method.of(&x, &y).is_err();
                    checks.hold(found, || format!("{name}: expected none, found a number"));
                }
                _ => {
                    let found = method.of(&x, &y).map_err(engine)?;
                    checks.close(name, &[found], &[expected.as_number()?], TOLERANCE);
                }
            }
        } else if let Some((method, options)) = name.strip_prefix("boot_").and_then(resampling) {
            let method = method_of(method).ok_or_else(|| expected.wrong("a known coefficient"))?;
            let found = bootstrap(method, &x, &y, &options);
            interval(name, &expected, (method, found), checks)?;
        } else {
            unknown(name, checks);
        }
    }
    Ok(())
}

/// A number, and the message of an error.
fn outcome(result: Result<f64, CorrelationError>) -> (f64, String) {
    match result {
        Ok(value) => (value, "none".into()),
        Err(error) => (f64::NAN, error.to_string()),
    }
}

fn interval(
    name: &str,
    node: &Node<'_>,
    (method, found): (
        Method,
        Result<crate::analysis::correlation::Interval, CorrelationError>,
    ),
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let found = found.map_err(engine)?;
    for (key, expected) in node.entries() {
        let what = format!("{name}.{key}");
        let mut close = |value: f64| -> Result<(), CaseError> {
            checks.close(&what, &[value], &[expected.as_number()?], TOLERANCE);
            Ok(())
        };
        match key {
            "rho" => close(found.rho)?,
            "ci_low" => close(found.low)?,
            "ci_high" => close(found.high)?,
            "n_pairs" => checks.equal(&what, &[found.pairs], &[expected.as_size()?]),
            "n_boot" => checks.equal(&what, &[found.valid], &[expected.as_size()?]),
            "method" => checks.equal(&what, &[method.name()], &[expected.as_text()?]),
            _ => unknown(&what, checks),
        }
    }
    Ok(())
}

/// Success as true or false, or 1 or 0.
pub(super) fn outcomes(node: &Node<'_>) -> Result<Vec<bool>, CaseError> {
    let flag = |node: &Node<'_>| match node.json() {
        serde_json::Value::Bool(flag) => Ok(*flag),
        _ => match node.as_integer()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(node.wrong("0 or 1")),
        },
    };
    node.elements()?.iter().map(flag).collect()
}

fn gaps(node: &Node<'_>, stem: &str, cases: &mut Cases) {
    for (group, entry) in node.entries() {
        let name = format!("{stem}.cpg.{group}");
        match group {
            "cases" => each(&entry, &name, cases, arms),
            "holm_over_cases" => cases.run(&name, "statistics", |checks| {
                let arms = node.get("cases")?.elements()?;
                let p_values = arms.iter().map(p_value);
                let p_values: Vec<f64> = p_values.collect::<Result<_, CaseError>>()?;
                checks.close(group, &holm(&p_values), &entry.numbers()?, TOLERANCE);
                Ok(())
            }),
            "power" => each(&entry, &name, cases, power),
            "required_n" => each(&entry, &name, cases, required),
            _ => cases.unsupported(&name, "statistics", "an entry of a kind that is not known"),
        }
    }
}

fn pairs(node: &Node<'_>) -> Result<Pairs, CaseError> {
    let (oracle, learned) = (
        outcomes(&node.get("oracle")?)?,
        outcomes(&node.get("learned")?)?,
    );
    Pairs::new(&oracle, &learned).map_err(engine)
}

fn p_value(node: &Node<'_>) -> Result<f64, CaseError> {
    let table = pairs(node)?.table();
    Ok(mcnemar(table.oracle_only, table.learned_only))
}

fn arms(node: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let (oracle, learned) = (
        outcomes(&node.get("oracle")?)?,
        outcomes(&node.get("learned")?)?,
    );
    let gap = Gap::of(&oracle, &learned).map_err(engine)?;
    let pairs = pairs(node)?;
    let table = pairs.table();
    for (name, expected) in node.entries() {
        match name {
            "oracle" | "learned" => {}
            "cpg" => compare_gap(&gap, &expected, checks)?,
            "verdict" => checks.equal(name, &[gap.verdict().name()], &[expected.as_text()?]),
            "mcnemar" => mcnemar_entries(node, &expected, checks)?,
            "newcombe" => {
                let [low, high] = table.newcombe();
                let found = [table.gap(), low, high];
                checks.close(name, &found, &expected.numbers()?, TOLERANCE);
            }
            _ => match resampling(name) {
                Some(("paired_bootstrap", options)) => {
                    let [low, high] = pairs.bootstrap(&options).map_err(engine)?;
                    let found = [table.gap(), low, high];
                    checks.close(name, &found, &expected.numbers()?, TOLERANCE);
                }
                _ => unknown(name, checks),
            },
        }
    }
    Ok(())
}

/// Compares the entries of a gap.
fn compare_gap(gap: &Gap, node: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for (key, expected) in node.entries() {
        if !gap_entry(gap, key, &expected, checks)? {
            unknown(key, checks);
        }
    }
    Ok(())
}

/// Compares one entry of a gap; false for a name that is none.
pub(super) fn gap_entry(
    gap: &Gap,
    key: &str,
    expected: &Node<'_>,
    checks: &mut Checks,
) -> Result<bool, CaseError> {
    let found = match key {
        "oracle_success_rate" => gap.oracle_success_rate,
        "learned_success_rate" => gap.learned_success_rate,
        "gap" => gap.gap,
        "gap_ci_low" => gap.gap_ci_low,
        "gap_ci_high" => gap.gap_ci_high,
        "n_episodes_oracle" => gap.n_episodes_oracle as f64,
        "n_episodes_learned" => gap.n_episodes_learned as f64,
        _ => return Ok(false),
    };
    checks.close(key, &[found], &[expected.as_number()?], TOLERANCE);
    Ok(true)
}

fn mcnemar_entries(arms: &Node<'_>, node: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let table = pairs(arms)?.table();
    for (key, expected) in node.entries() {
        let what = format!("mcnemar.{key}");
        let found = match key {
            "both" => table.both,
            "oracle_only" => table.oracle_only,
            "learned_only" => table.learned_only,
            "neither" => table.neither,
            "n_discordant" => table.discordant(),
            "p_value" => {
                let found = mcnemar(table.oracle_only, table.learned_only);
                checks.close(&what, &[found], &[expected.as_number()?], TOLERANCE);
                continue;
            }
            _ => {
                unknown(&what, checks);
                continue;
            }
        };
        checks.equal(&what, &[found], &[expected.as_size()?]);
    }
    Ok(())
}

fn rates(node: &Node<'_>) -> Result<[f64; 2], CaseError> {
    Ok([node.number("po")?, node.number("pl")?])
}

fn power(node: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let (rates, episodes) = (rates(node)?, node.size("n")?);
    for (name, expected) in node.entries() {
        match name {
            "po" | "pl" | "n" => {}
            "ac_half_width" => {
                let found = half_width(rates, episodes).map_err(engine)?;
                checks.close(name, &[found], &[expected.as_number()?], TOLERANCE);
            }
            "detectable" => {
                let found = detectable(rates, episodes).map_err(engine)?;
                checks.equal(name, &[found], &[expected.as_bool()?]);
            }
            _ => unknown(name, checks),
        }
    }
    Ok(())
}

fn required(node: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let found = required_episodes(rates(node)?, node.number("hw")?).map_err(engine)?;
    for (name, expected) in node.entries() {
        match name {
            "po" | "pl" | "hw" => {}
            "n" => {
                let expected = match expected.json() {
                    serde_json::Value::Null => None,
                    _ => Some(expected.as_size()?),
                };
                checks.hold(found == expected, || {
                    format!("{name}: expected {expected:?}, found {found:?}")
                });
            }
            _ => unknown(name, checks),
        }
    }
    Ok(())
}
