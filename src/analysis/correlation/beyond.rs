//! What goes beyond the published rows.

use super::bundle::{Bundle, Cell, usable};
use super::imputation::{Imputed, imputations};
use super::result::{columns, common, metric_columns};
use super::{
    Bca, BootstrapOptions, Clustered, CorrelationError, Dependent, Method, Partial, Permutation,
    Screen, bca, clustered, dependent, partial, permutation, screen,
};
use rayon::prelude::*;
use serde::Serialize;

/// What is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct BeyondOptions {
    /// The downstream result.
    pub downstream: String,
    /// Whether more of it is better: success, not a gap.
    pub rises: bool,
    /// The coefficient.
    pub method: Method,
    /// Resampling of all parts.
    pub bootstrap: BootstrapOptions,
    /// Entry whose values are the clusters.
    pub cluster: String,
    /// Entry that partial correlations take as given.
    pub given: String,
}

/// A part, or why it is missing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Skippable<T> {
    /// The part.
    Known(T),
    /// It does not exist.
    Skipped {
        /// Why.
        skipped: String,
    },
}

impl<T> Skippable<T> {
    /// The part, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(part) => Some(part),
            Self::Skipped { .. } => None,
        }
    }
}

impl<T> From<Result<T, CorrelationError>> for Skippable<T> {
    fn from(result: Result<T, CorrelationError>) -> Self {
        match result {
            Ok(part) => Self::Known(part),
            Err(error) => Self::Skipped {
                skipped: error.to_string(),
            },
        }
    }
}

/// More about the correlation of one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BeyondRow {
    /// The metric.
    pub metric: String,
    /// Cells.
    pub n: usize,
    /// Bias-corrected interval.
    pub bca: Skippable<Bca>,
    /// Test of independence.
    pub permutation: Skippable<Permutation>,
    /// Interval over clusters.
    pub clustered: Skippable<Clustered>,
    /// Correlation with one more column given.
    pub partial: Skippable<Partial>,
}

/// Two metrics compared on the common subset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The metrics.
    pub metrics: [String; 2],
    /// The comparison.
    #[serde(flatten)]
    pub result: Skippable<Dependent>,
}

/// Replacements of the missing values of one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Imputation {
    /// The metric.
    pub metric: String,
    /// One line a rule.
    pub rules: Vec<Imputed>,
}

/// Screening by one metric on the common subset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Screening {
    /// The metric.
    pub metric: String,
    /// Whether higher values are taken for better: the sign of the correlation, turned for a gap.
    pub higher_is_better: bool,
    /// One entry for every number of cells kept.
    pub kept: Vec<Screen>,
}

/// Everything beyond the published rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Beyond {
    /// Resamples and permutations.
    pub resamples: u32,
    /// Probability left out by intervals.
    pub alpha: f64,
    /// Seed.
    pub seed: u64,
    /// Entry whose values are the clusters.
    pub cluster: String,
    /// Entry taken as given.
    pub given: String,
    /// Every metric over its own cells.
    pub metrics: Vec<BeyondRow>,
    /// Every metric over the cells that have all.
    pub common_subset: Vec<BeyondRow>,
    /// Every two metrics on the common subset.
    pub comparisons: Vec<Comparison>,
    /// Metrics that some cells lack.
    pub imputation: Vec<Imputation>,
    /// How much success screening costs.
    pub screening: Vec<Screening>,
}

/// Looks at the cells of a bundle.
///
/// # Errors
/// [`CorrelationError::Option`]; parts that do not exist say why.
pub fn beyond(bundle: &Bundle, options: &BeyondOptions) -> Result<Beyond, CorrelationError> {
    options.bootstrap.check()?;
    let names = metric_columns(&bundle.cells, &options.downstream);
    let all: Vec<&Cell> = bundle.cells.iter().collect();
    let common = common(&bundle.cells, &names, &options.downstream);
    let rows = |cells: &[&Cell]| -> Vec<BeyondRow> {
        names
            .par_iter()
            .map(|name| row(cells, name, options))
            .collect()
    };
    let pairs: Vec<[&String; 2]> = names
        .iter()
        .enumerate()
        .flat_map(|(at, first)| names.iter().skip(at + 1).map(move |second| [first, second]))
        .collect();
    let comparisons = pairs.into_par_iter();
    let imputation = names
        .par_iter()
        .filter_map(|name| imputation(&all, name, options));
    let screening = names
        .iter()
        .filter_map(|name| screening(&common, name, options));
    Ok(Beyond {
        resamples: options.bootstrap.resamples,
        alpha: options.bootstrap.alpha,
        seed: options.bootstrap.seed,
        cluster: options.cluster.clone(),
        given: options.given.clone(),
        metrics: rows(&all),
        common_subset: rows(&common),
        comparisons: comparisons
            .map(|pair| compare(&common, pair, options))
            .collect(),
        imputation: imputation.collect(),
        screening: screening.collect(),
    })
}

/// An entry that cells lack.
fn lacking(what: &'static str) -> CorrelationError {
    let reason = "some of the cells lack the entry that it needs";
    CorrelationError::Undefined { what, reason }
}

fn row(cells: &[&Cell], metric: &str, options: &BeyondOptions) -> BeyondRow {
    let has = |cell: &&&Cell| {
        usable(cell.get(metric)).is_some() && usable(cell.get(&options.downstream)).is_some()
    };
    let cells: Vec<&Cell> = cells.iter().filter(has).copied().collect();
    let [x, y] = columns(&cells, metric, &options.downstream);
    let (method, resampling) = (options.method, &options.bootstrap);
    let label = |cell: &&Cell| {
        let label = cell.get(&options.cluster).filter(|label| !label.is_null());
        label.map(ToString::to_string)
    };
    let labels: Option<Vec<String>> = cells.iter().map(label).collect();
    let given = cells.iter().map(|cell| usable(cell.get(&options.given)));
    let given: Option<Vec<f64>> = given.collect();
    let clustered = labels
        .ok_or(lacking("clustered interval"))
        .and_then(|labels| clustered(method, &x, &y, &labels, resampling));
    let partial = given
        .ok_or(lacking("partial correlation"))
        .and_then(|given| partial(method, [&x, &y], &given, resampling));
    BeyondRow {
        metric: metric.to_owned(),
        n: x.len(),
        bca: bca(method, &x, &y, resampling).into(),
        permutation: permutation(method, &x, &y, resampling).into(),
        clustered: clustered.into(),
        partial: partial.into(),
    }
}

fn compare(common: &[&Cell], pair: [&String; 2], options: &BeyondOptions) -> Comparison {
    let [[first, target], [second, _]] =
        pair.map(|name| columns(common, name, &options.downstream));
    let compared = [first.as_slice(), second.as_slice()];
    Comparison {
        metrics: pair.map(Clone::clone),
        result: dependent(options.method, compared, &target, &options.bootstrap).into(),
    }
}

fn imputation(cells: &[&Cell], metric: &str, options: &BeyondOptions) -> Option<Imputation> {
    let pair = |cell: &&Cell| {
        let target = usable(cell.get(&options.downstream))?;
        Some((usable(cell.get(metric)), target))
    };
    let pairs: Vec<_> = cells.iter().filter_map(pair).collect();
    let rules = imputations(options.method, &pairs, &options.bootstrap);
    (!rules.is_empty()).then(|| Imputation {
        metric: metric.to_owned(),
        rules,
    })
}

fn screening(common: &[&Cell], metric: &str, options: &BeyondOptions) -> Option<Screening> {
    let [x, y] = columns(common, metric, &options.downstream);
    let rho = options.method.of(&x, &y).ok()?;
    let higher_is_better = (rho > 0.0) == options.rises;
    Some(Screening {
        metric: metric.to_owned(),
        higher_is_better,
        kept: screen(&x, &y, higher_is_better, options.rises),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::Path;

    fn options(downstream: &str) -> BeyondOptions {
        BeyondOptions {
            downstream: downstream.into(),
            rises: downstream != "gap",
            method: Method::Spearman,
            bootstrap: BootstrapOptions {
                resamples: 200,
                ..BootstrapOptions::default()
            },
            cluster: "seed".into(),
            given: "epochs".into(),
        }
    }

    fn bundle() -> Bundle {
        let mut random = crate::orbit::PythonRandom::new(3);
        let cells: Vec<Value> = (0..24)
            .map(|at| {
                let noise = random.uniform();
                let m3 = if at < 4 {
                    Value::Null
                } else {
                    json!(f64::from(at) + 5.0 * noise)
                };
                json!({"epochs": at / 3, "seed": at % 3, "success_rate": at,
                       "m1": -f64::from(at) - 9.0 * random.uniform(), "m3": m3})
            })
            .collect();
        Bundle::of(Path::new("b.json"), &json!({"cells": cells})).unwrap()
    }

    #[test]
    fn all_parts_are_there() {
        let found = beyond(&bundle(), &options("success_rate")).unwrap();
        let counts: Vec<_> = found
            .metrics
            .iter()
            .map(|row| (row.metric.as_str(), row.n))
            .collect();
        assert_eq!(counts, [("m1", 24), ("m3", 20)]);
        for row in found.metrics.iter().chain(&found.common_subset) {
            assert!(row.bca.known().is_some_and(|bca| bca.clears_zero));
            assert!(
                row.permutation
                    .known()
                    .is_some_and(|test| test.p_value < 0.01)
            );
            assert_eq!(row.clustered.known().map(|found| found.clusters), Some(3));
            assert!(row.partial.known().is_some());
        }
        assert!(found.common_subset.iter().all(|row| row.n == 20));
        assert_eq!(found.comparisons.len(), 1);
        assert_eq!(found.imputation.len(), 1);
        assert_eq!(found.imputation[0].rules.len(), 3);
        let better: Vec<bool> = found.screening.iter().map(|s| s.higher_is_better).collect();
        assert_eq!(better, [false, true]);
    }

    #[test]
    fn what_cells_lack_is_said() {
        let mut bundle = bundle();
        for cell in &mut bundle.cells {
            cell.remove("seed");
            cell.remove("epochs");
        }
        let found = beyond(&bundle, &options("gap")).unwrap();
        // There is no such downstream result.
        assert!(
            found
                .metrics
                .iter()
                .all(|row| row.n == 0 && row.bca.known().is_none())
        );
        let found = beyond(&bundle, &options("success_rate")).unwrap();
        let text = serde_json::to_string(&found.metrics[0].clustered).unwrap();
        assert!(text.contains("skipped") && text.contains("lack"), "{text}");
    }
}
