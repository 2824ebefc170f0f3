//! The published analysis of paired arms: everything in it follows from its tables, except the bootstrap,
//! whose draws depend on the order of the episodes.

use super::{DECIMALS, Paired, adjusted, arms, envelope, is_pool, pairs, pooled};
use crate::analysis::correlation::{BootstrapOptions, round_to};
use crate::analysis::planning_gap::PairTable;
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node, read_index};
use crate::verify::worldmodel::statistics::{engine, unknown};

/// `metric` of such a file.
pub(super) const METRIC: &str = "paired_intervals_audit";

/// A published number and one that is computed from published numbers differ by less than this.
const HALF_DIGIT: f64 = 0.6e-4;

/// One case for the head of the file, one a cell, and one for the p-values of all.
pub(super) fn run(folder: &Folder, stem: &str, cases: &mut Cases) {
    let index = folder.index();
    let list = match index.get("cells").and_then(|cells| cells.elements()) {
        Ok(list) => list,
        Err(error) => return cases.run(stem, "published", |_| Err(error)),
    };
    cases.run(&format!("{stem}.head"), "published", |checks| {
        envelope(&index, METRIC, checks)
    });
    let extracts = extracts(folder);
    for (at, cell) in list.iter().enumerate() {
        cases.run(&format!("{stem}.{at}"), "published", |checks| {
            audited(cell, &extracts, checks)
        });
    }
    cases.run(&format!("{stem}.holm"), "published", |checks| {
        let mcnemar = list.iter().map(|cell| cell.get("mcnemar"));
        let mcnemar: Vec<Node<'_>> = mcnemar.collect::<Result<_, _>>()?;
        let p_values = mcnemar
            .iter()
            .map(|node| Ok(Paired::of(table(node)?)?.p_value));
        let p_values: Vec<f64> = p_values.collect::<Result<_, CaseError>>()?;
        let expected = mcnemar.iter().map(|node| node.number("p_holm"));
        let expected: Vec<f64> = expected.collect::<Result<_, _>>()?;
        checks.close("p_holm", &adjusted(p_values.into_iter()), &expected, 0.0);
        Ok(())
    });
}

/// Files beside this one that list episodes.
fn extracts(folder: &Folder) -> Vec<Folder> {
    let entries = std::fs::read_dir(folder.path())
        .into_iter()
        .flatten()
        .flatten();
    let files = entries.map(|entry| entry.path());
    let json = files.filter(|path| path.extension().is_some_and(|found| found == "json"));
    json.filter_map(|path| Some(Folder::new(folder.path(), read_index(&path).ok()?)))
        .collect()
}

fn table(mcnemar: &Node<'_>) -> Result<PairTable, CaseError> {
    let table = mcnemar.get("table")?;
    Ok(PairTable {
        both: table.size("both")?,
        oracle_only: table.size("oracle_only")?,
        learned_only: table.size("learned_only")?,
        neither: table.size("neither")?,
    })
}

fn audited(cell: &Node<'_>, extracts: &[Folder], checks: &mut Checks) -> Result<(), CaseError> {
    let mcnemar = cell.get("mcnemar")?;
    let paired = Paired::of(table(&mcnemar)?)?;
    for (key, expected) in cell.entries() {
        if let Some(found) = computed(&paired, key) {
            let expected = match key.ends_with("_ci") {
                true => expected.numbers()?,
                false => vec![expected.as_number()?],
            };
            let found: Vec<f64> = found
                .iter()
                .map(|value| round_to(*value, DECIMALS))
                .collect();
            checks.close(key, &found, &expected, 0.0);
            continue;
        }
        match key {
            "cell" => {}
            "n" => checks.equal(key, &[paired.table.episodes()], &[expected.as_size()?]),
            "verdict" => {
                checks.equal(key, &[paired.gap.verdict().name()], &[expected.as_text()?]);
            }
            "per_seed_gaps" => of_seeds(cell, &paired, &expected.numbers()?, checks)?,
            "gap_range" | "gap_std" => {}
            "paired_bootstrap_ci" => bootstrap(cell, &paired, &expected, extracts, checks)?,
            "mcnemar" => test(&paired, &expected, checks)?,
            _ => unknown(key, checks),
        }
    }
    Ok(())
}

/// What follows from the table.
fn computed(paired: &Paired, key: &str) -> Option<Vec<f64>> {
    let Paired { table, gap, .. } = paired;
    let [low, high] = table.newcombe();
    Some(match key {
        "oracle_rate" => vec![gap.oracle_success_rate],
        "learned_rate" => vec![gap.learned_success_rate],
        "gap" => vec![gap.gap],
        "phi" => vec![table.phi()],
        "ac_half_width" => vec![(gap.gap_ci_high - gap.gap_ci_low) / 2.0],
        "newcombe_half_width" => vec![(high - low) / 2.0],
        "ac_ci" => vec![gap.gap_ci_low, gap.gap_ci_high],
        "newcombe_ci" => vec![low, high],
        _ => return None,
    })
}

fn test(paired: &Paired, node: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for (key, expected) in node.entries() {
        match key {
            // The table is where all starts; the adjusted value depends on all cells.
            "table" | "p_holm" => {}
            "n_discordant" => {
                checks.equal(key, &[paired.table.discordant()], &[expected.as_size()?]);
            }
            "p_value" => {
                let found = round_to(paired.p_value, DECIMALS);
                checks.close(key, &[found], &[expected.as_number()?], 0.0);
            }
            _ => unknown(key, checks),
        }
    }
    Ok(())
}

/// Gaps of single seeds: their mean is the gap, and range and deviation are theirs.
fn of_seeds(
    cell: &Node<'_>,
    paired: &Paired,
    gaps: &[f64],
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let count = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    checks.close(
        "per_seed_gaps (mean)",
        &[mean],
        &[paired.gap.gap],
        HALF_DIGIT,
    );
    if let Some(range) = cell.find("gap_range") {
        let least = gaps.iter().copied().fold(f64::INFINITY, f64::min);
        let most = gaps.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        checks.close("gap_range", &[least, most], &range.numbers()?, 0.0);
    }
    if let Some(deviation) = cell.find("gap_std") {
        let squares = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
        let found = (squares / (count - 1.0)).sqrt();
        let expected = [deviation.as_number()?];
        checks.close("gap_std", &[found], &expected, 2.0 * HALF_DIGIT);
    }
    Ok(())
}

/// Exact where a file beside this one lists the episodes; else each end must be a value whose rank among
/// 10,000 resamples can be that of the percentile.
fn bootstrap(
    cell: &Node<'_>,
    paired: &Paired,
    expected: &Node<'_>,
    extracts: &[Folder],
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let options = BootstrapOptions::default();
    let found_ends = expected.numbers()?;
    if let Some(arms) = episodes(cell, paired, extracts)? {
        let ends = pairs(&arms)?.bootstrap(&options).map_err(engine)?;
        let ends = ends.map(|end| round_to(end, DECIMALS));
        checks.close("paired_bootstrap_ci", &ends, &found_ends, 0.0);
        return Ok(());
    }
    checks.equal("paired_bootstrap_ci", &[found_ends.len()], &[2]);
    let shares = [options.alpha / 2.0, 1.0 - options.alpha / 2.0];
    for (share, end) in shares.into_iter().zip(&found_ends) {
        let possible = possible_ends(&paired.table, share, f64::from(options.resamples));
        let holds = possible
            .iter()
            .any(|value| round_to(*value, DECIMALS) == *end);
        checks.hold(holds, || {
            format!("paired_bootstrap_ci: expected one of {possible:?}, found {end}")
        });
    }
    checks.remark("order of episodes not listed: bootstrap held to its distribution".into());
    Ok(())
}

/// The episodes of an audited cell, from a model with the same environment, table and gaps of seeds.
fn episodes(
    cell: &Node<'_>,
    paired: &Paired,
    extracts: &[Folder],
) -> Result<Option<[Vec<bool>; 2]>, CaseError> {
    let name = cell.text("cell").unwrap_or_default().to_lowercase();
    let gaps = match cell.find("per_seed_gaps") {
        Some(gaps) => gaps.numbers()?,
        None => return Ok(None),
    };
    for extract in extracts {
        let index = extract.index();
        let list = match index.get("cells").and_then(|cells| cells.elements()) {
            Ok(list) => list,
            Err(_) => continue,
        };
        for other in &list {
            let environment = other.text("env").unwrap_or_default().to_lowercase();
            let environment = environment.rsplit('_').next().unwrap_or_default();
            if environment.is_empty() || !name.contains(environment) {
                continue;
            }
            let Some(all) = pooled(other, &list)? else {
                continue;
            };
            let alike = pairs(&all)?.table() == paired.table;
            if alike && seeds_agree(other, &list, &gaps)? {
                return Ok(Some(all));
            }
        }
    }
    Ok(None)
}

/// Whether the cells of that environment and model have these gaps, in order.
fn seeds_agree(of: &Node<'_>, list: &[Node<'_>], gaps: &[f64]) -> Result<bool, CaseError> {
    let mut found = Vec::new();
    for other in list {
        let same = |key: &str| other.json().get(key) == of.json().get(key);
        let alike = ["env", "model_size"].iter().all(|key| same(key)) && !is_pool(other);
        if alike && arms(other)?.is_some() {
            found.push(round_to(other.number("gap")?, DECIMALS));
        }
    }
    Ok(found == gaps)
}

/// Means of resamples that can have the rank of a percentile: those whose share of smaller means reaches it
/// within five deviations of counting.
fn possible_ends(table: &PairTable, share: f64, resamples: f64) -> Vec<f64> {
    let episodes = table.episodes();
    let probability = |count: usize| count as f64 / episodes as f64;
    let (up, down) = (
        probability(table.oracle_only),
        probability(table.learned_only),
    );
    // Distribution of a sum of steps up, down or neither, from -episodes to episodes.
    let mut weights = vec![0.0; 2 * episodes + 1];
    if let Some(middle) = weights.get_mut(episodes) {
        *middle = 1.0;
    }
    for _ in 0..episodes {
        let at = |place: Option<usize>| place.and_then(|place| weights.get(place)).copied();
        let next = (0..weights.len()).map(|place| {
            let stay = at(Some(place)).unwrap_or(0.0) * (1.0 - up - down);
            let rise = at(place.checked_sub(1)).unwrap_or(0.0) * up;
            stay + rise + at(Some(place + 1)).unwrap_or(0.0) * down
        });
        weights = next.collect();
    }
    let slack = 5.0 * (share * (1.0 - share) / resamples).sqrt() + 1.0 / resamples;
    let mut below = 0.0;
    let mut possible = Vec::new();
    for (place, weight) in weights.into_iter().enumerate() {
        let upto = below + weight;
        if below <= share + slack && upto >= share - slack {
            possible.push((place as f64 - episodes as f64) / episodes as f64);
        }
        below = upto;
    }
    possible
}
