//! The published result object: one row a metric, and the subset on which all metrics can be compared.

use super::bundle::{Cell, DESCRIPTORS, usable};
use super::{BootstrapOptions, CorrelationError, Interval, Method, bootstrap, round_to};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;

/// The note of every published result, word for word: readers compare files by it.
pub const COMPARABILITY_NOTE: &str = "Per-metric rows use each metric's own usable (finite) cells, whose counts differ; their magnitudes are NOT comparable across metrics. Only common_subset (cells where every metric is finite) is a fair head-to-head.";

/// Fewer cells have no row of numbers.
const FEWEST: usize = 3;
/// Decimals of published numbers.
const DECIMALS: usize = 4;

/// The correlation of every metric of some cells with a downstream result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Correlation {
    /// The downstream result.
    pub downstream: String,
    /// The coefficient.
    pub method: Method,
    /// Cells given.
    pub n_cells: usize,
    /// One row a metric over its own usable cells, in alphabetical order.
    pub metrics: Vec<Row>,
    /// The cells that have every metric.
    pub common_subset: CommonSubset,
    /// Why only the common subset compares metrics: [`COMPARABILITY_NOTE`].
    pub comparability_note: &'static str,
}

/// Rows over the cells that have the downstream result and every metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommonSubset {
    /// Such cells.
    pub n: usize,
    /// One row a metric; none for fewer than three cells.
    pub metrics: Vec<Row>,
}

/// The correlation of one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The metric.
    pub metric: String,
    /// Cells that have it and the downstream result.
    pub n: usize,
    /// Numbers, or why there are none.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Numbers of a correlation, or why there are none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Numbers.
    Known {
        /// The coefficient, to 4 decimals.
        rho: f64,
        /// Its percentile interval, to 4 decimals.
        ci: [f64; 2],
        /// Whether the interval, not rounded, lies on one side of zero.
        clears_zero: bool,
        /// Resamples with a coefficient, where that is told.
        #[serde(skip_serializing_if = "Option::is_none")]
        n_boot: Option<usize>,
    },
    /// No numbers.
    Skipped {
        /// Why.
        skipped: String,
    },
}

impl Outcome {
    /// The outcome over two columns.
    pub(super) fn of(method: Method, x: &[f64], y: &[f64], options: &BootstrapOptions) -> Self {
        if x.len() < FEWEST {
            let skipped = format!("fewer than {FEWEST} usable cells");
            return Self::Skipped { skipped };
        }
        match bootstrap(method, x, y, options) {
            Ok(interval) => Self::known(&interval),
            Err(error) => Self::Skipped {
                skipped: error.to_string(),
            },
        }
    }

    fn known(interval: &Interval) -> Self {
        Self::Known {
            rho: round_to(interval.rho, DECIMALS),
            ci: [interval.low, interval.high].map(|end| round_to(end, DECIMALS)),
            clears_zero: interval.clears_zero(),
            n_boot: Some(interval.valid),
        }
    }

    /// The same without the number of resamples.
    pub(super) fn without_count(self) -> Self {
        match self {
            Self::Known {
                rho,
                ci,
                clears_zero,
                ..
            } => Self::Known {
                rho,
                ci,
                clears_zero,
                n_boot: None,
            },
            skipped => skipped,
        }
    }
}

/// Entries that are a usable number in one cell or more, the downstream result and [`DESCRIPTORS`] aside,
/// in alphabetical order.
pub fn metric_columns(cells: &[Cell], downstream: &str) -> Vec<String> {
    let entries = cells.iter().flatten();
    let numbers = entries.filter(|(_, value)| usable(Some(value)).is_some());
    let metric = |name: &&String| *name != downstream && !DESCRIPTORS.contains(&name.as_str());
    let names: BTreeSet<&String> = numbers.map(|(name, _)| name).filter(metric).collect();
    names.into_iter().cloned().collect()
}

/// Values of a metric and of the downstream result, of the cells that have both.
pub(super) fn columns(cells: &[&Cell], metric: &str, downstream: &str) -> [Vec<f64>; 2] {
    let both = |cell: &&Cell| Some((usable(cell.get(metric))?, usable(cell.get(downstream))?));
    let (x, y) = cells.iter().filter_map(both).unzip();
    [x, y]
}

/// The cells that have the downstream result and every metric.
pub(super) fn common<'a>(cells: &'a [Cell], metrics: &[String], downstream: &str) -> Vec<&'a Cell> {
    let names = || metrics.iter().map(String::as_str).chain([downstream]);
    let whole = |cell: &&Cell| names().all(|name| usable(cell.get(name)).is_some());
    cells.iter().filter(whole).collect()
}

/// Correlates every metric of the cells with a downstream result.
///
/// # Errors
/// [`CorrelationError::Option`]; what is wrong with the cells is said in their rows.
pub fn correlate(
    cells: &[Cell],
    downstream: &str,
    method: Method,
    options: &BootstrapOptions,
) -> Result<Correlation, CorrelationError> {
    options.check()?;
    let names = metric_columns(cells, downstream);
    let everywhere: Vec<&Cell> = cells.iter().collect();
    let common = common(cells, &names, downstream);
    let compared: &[String] = if common.len() < FEWEST { &[] } else { &names };
    let row = |(cells, metric): (&Vec<&Cell>, &String)| {
        let [x, y] = columns(cells, metric, downstream);
        Row {
            metric: metric.clone(),
            n: x.len(),
            outcome: Outcome::of(method, &x, &y, options),
        }
    };
    let jobs: Vec<_> = names.iter().map(|name| (&everywhere, name)).collect();
    let jobs: Vec<_> = jobs
        .into_iter()
        .chain(compared.iter().map(|name| (&common, name)))
        .collect();
    let mut metrics: Vec<Row> = jobs.into_par_iter().map(row).collect();
    let of_common = metrics.split_off(names.len());
    let of_common = of_common.into_iter().map(|row| Row {
        outcome: row.outcome.without_count(),
        ..row
    });
    Ok(Correlation {
        downstream: downstream.to_owned(),
        method,
        n_cells: cells.len(),
        metrics,
        common_subset: CommonSubset {
            n: common.len(),
            metrics: of_common.collect(),
        },
        comparability_note: COMPARABILITY_NOTE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn cells(value: Value) -> Vec<Cell> {
        let cells = value.as_array().cloned().unwrap_or_default();
        cells.iter().filter_map(Value::as_object).cloned().collect()
    }

    fn options() -> BootstrapOptions {
        BootstrapOptions {
            resamples: 300,
            ..BootstrapOptions::default()
        }
    }

    #[test]
    fn columns_are_numbers_that_describe_nothing() {
        let cells = cells(json!([
            {"z": 1, "a": null, "seed": 3, "flag": true, "inner": {"n": 1}, "text": "1"},
            {"a": 0.5, "gap": 0.2, "epochs": 4, "B": 2}
        ]));
        assert_eq!(metric_columns(&cells, "gap"), ["B", "a", "z"]);
        assert_eq!(metric_columns(&cells, "z"), ["B", "a", "gap"]);
    }

    #[test]
    fn rows_rest_on_their_own_cells_and_the_subset_on_all() {
        let list: Vec<Value> = (0..9)
            .map(|at| {
                let half = if at % 2 == 0 { json!(at) } else { Value::Null };
                json!({"m": -at, "half": half, "flat": 1.0, "gap": at})
            })
            .collect();
        let cells = cells(Value::Array(list));
        let found = correlate(&cells, "gap", Method::Spearman, &options()).unwrap();
        let found = serde_json::to_value(&found).unwrap();
        assert_eq!(found["metrics"][1]["n"], 5);
        assert_eq!(
            found["metrics"][0]["skipped"],
            CorrelationError::ZeroVariance.to_string()
        );
        assert_eq!(found["metrics"][2]["rho"], json!(-1.0));
        assert_eq!(found["metrics"][2]["n_boot"], 300);
        assert_eq!(found["common_subset"]["n"], 5);
        assert_eq!(found["common_subset"]["metrics"][2]["n"], 5);
        assert!(found["common_subset"]["metrics"][2].get("n_boot").is_none());
    }

    #[test]
    fn too_few_cells_are_said_to_be_too_few() {
        let two = cells(json!([{"m": 1, "gap": 1}, {"m": 2, "gap": 2}]));
        let found = correlate(&two, "gap", Method::Kendall, &options()).unwrap();
        let skipped = "fewer than 3 usable cells".to_owned();
        assert_eq!(found.metrics[0].outcome, Outcome::Skipped { skipped });
        assert_eq!(
            (found.common_subset.n, found.common_subset.metrics.len()),
            (2, 0)
        );
        let none = correlate(&[], "gap", Method::Kendall, &options()).unwrap();
        assert_eq!((none.n_cells, none.metrics.len()), (0, 0));
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let list: Vec<Value> = (0..30)
            .map(|at| json!({"m": (f64::from(at) * 0.7).sin(), "gap": (f64::from(at) * 0.9).sin()}))
            .collect();
        let cells = cells(Value::Array(list));
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| correlate(&cells, "gap", Method::Kendall, &options()))
                .unwrap()
        };
        assert_eq!(of(1), of(5));
    }
}
