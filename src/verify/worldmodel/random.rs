//! Random numbers as Python draws them.

use crate::orbit::PythonRandom;
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node};

/// One case a seed.
pub(super) fn run(folder: &Folder, stem: &str, cases: &mut Cases) {
    let seeds = match folder.index().elements() {
        Ok(seeds) => seeds,
        Err(error) => return cases.run(stem, "random", |_| Err(error)),
    };
    for (at, node) in seeds.iter().enumerate() {
        cases.run(&format!("{stem}.{at}"), "random", |checks| {
            streams(node, checks)
        });
    }
}

/// Every entry but the seed is a stream of its own from that seed, and its name says of what.
fn streams(node: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let seed = node.get("seed")?;
    let seed = seed.json().as_u64().ok_or_else(|| seed.wrong("a seed"))?;
    for (name, stream) in node.entries() {
        let mut random = PythonRandom::new(seed);
        if name == "seed" {
            continue;
        }
        if let Some(below) = bound(name) {
            let expected = stream.integers()?;
            let found = expected.iter().map(|_| i64::from(random.below(below)));
            checks.equal(name, &found.collect::<Vec<_>>(), &expected);
        } else if let Some(cumulative) = weights(name) {
            let expected = stream.integers()?;
            let found = expected.iter().map(|_| random.weighted(&cumulative) as i64);
            checks.equal(name, &found.collect::<Vec<_>>(), &expected);
        } else if name == "u32" {
            let expected = stream.integers()?;
            let found = expected.iter().map(|_| i64::from(random.next_u32()));
            checks.equal(name, &found.collect::<Vec<_>>(), &expected);
        } else if name == "random_f64" {
            let expected = stream.numbers()?;
            let found = expected.iter().map(|_| random.uniform());
            checks.equal(name, &found.collect::<Vec<_>>(), &expected);
        } else {
            checks.fail(format!("{name}: a stream of a kind that is not known"));
        }
    }
    Ok(())
}

/// The bound in `choice_of_N` and `randrange_N`.
fn bound(name: &str) -> Option<u32> {
    let number = ["choice_of_", "randrange_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    number.parse().ok().filter(|bound| *bound > 0)
}

/// Running sums of the weights in `choices_weights_W_W...`, added up in their order as Python does.
fn weights(name: &str) -> Option<Vec<f64>> {
    let list = name.strip_prefix("choices_weights_")?;
    let mut sum = 0.0;
    list.split('_')
        .map(|weight| {
            sum += weight.parse::<f64>().ok()?;
            Some(sum)
        })
        .collect()
}
