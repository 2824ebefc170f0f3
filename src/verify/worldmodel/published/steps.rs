//! Steps of episodes: what they must be whatever was played, and what a pool repeats.

use super::{is_pool, seeds_of};
use crate::verify::checks::{CaseError, Checks};
use crate::verify::folder::Node;
use crate::verify::worldmodel::statistics::outcomes;

/// An episode that fails runs to the horizon, one that succeeds at most as far. A cell that does not say its
/// horizon has that of its failures.
pub(super) fn compare(
    cell: &Node<'_>,
    key: &str,
    steps: &Node<'_>,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let success = outcomes(&cell.get(&key.replace("_steps", "_success"))?)?;
    let steps = steps.integers()?;
    checks.equal(key, &[steps.len()], &[success.len()]);
    let told = cell.find("config");
    let told = told.and_then(|config| config.find("benchmark_horizon"));
    let told = told.map(|horizon| horizon.as_integer()).transpose()?;
    let episodes = || steps.iter().zip(&success);
    let failed = || episodes().find(|(_, success)| !**success);
    let horizon = told.or_else(|| failed().map(|(steps, _)| *steps));
    for (at, (taken, success)) in episodes().enumerate() {
        let end = if *success { "at most" } else { "exactly" };
        let fits = *taken >= 1
            && horizon.is_none_or(|horizon| match success {
                true => *taken <= horizon,
                false => *taken == horizon,
            });
        let words = || match horizon {
            Some(horizon) => format!("{end} {horizon}"),
            None => "1 or more".to_owned(),
        };
        checks.hold(fits, || {
            format!("{key}[{at}]: expected {} steps, found {taken}", words())
        });
    }
    Ok(())
}

/// Episodes that a pool lists are those of the cells it pools, one cell after the other, where all of these
/// list theirs.
pub(super) fn pool(
    cell: &Node<'_>,
    list: &[Node<'_>],
    checks: &mut Checks,
) -> Result<(), CaseError> {
    if !is_pool(cell) {
        return Ok(());
    }
    for key in ["oracle_success", "learned_success"] {
        let Some(own) = cell.find(key) else {
            continue;
        };
        if let Some(seeds) = joined(cell, list, key, outcomes)? {
            checks.equal(key, &outcomes(&own)?, &seeds);
        }
    }
    for key in ["oracle_steps", "learned_steps"] {
        let Some(own) = cell.find(key) else {
            continue;
        };
        if let Some(seeds) = joined(cell, list, key, |node| node.integers())? {
            checks.equal(key, &own.integers()?, &seeds);
        }
    }
    Ok(())
}

/// The lists of all seeds, one after the other; none where one has no list, or there is no seed.
fn joined<T>(
    cell: &Node<'_>,
    list: &[Node<'_>],
    key: &str,
    read: impl Fn(&Node<'_>) -> Result<Vec<T>, CaseError>,
) -> Result<Option<Vec<T>>, CaseError> {
    let mut all = Vec::new();
    for seed in seeds_of(cell, list) {
        match seed.find(key) {
            Some(own) => all.extend(read(&own)?),
            None => return Ok(None),
        }
    }
    Ok((!all.is_empty()).then_some(all))
}
