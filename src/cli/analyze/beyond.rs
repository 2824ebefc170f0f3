//! Tables of what goes beyond the published rows.

use super::p_value;
use attractor::analysis::correlation::{Beyond, BeyondRow, Skippable};
use attractor::report::Table;

/// Everything but the curves of screening, which are drawn.
pub fn text(beyond: &Beyond) -> String {
    let mut text = String::new();
    let parts = [
        ("own cells", rows(&beyond.metrics, beyond)),
        ("common subset", rows(&beyond.common_subset, beyond)),
        (
            "which metric is better, on the common subset",
            comparisons(beyond),
        ),
        ("cells without a value replaced", imputation(beyond)),
    ];
    for (title, table) in parts {
        if !table.is_empty() {
            text.push_str(&format!("\n{title}\n{}", table.to_text()));
        }
    }
    text
}

fn interval(low: f64, high: f64) -> String {
    format!("[{low:+.3}, {high:+.3}]")
}

/// A part as text, or a dash; why it is missing is in the file.
fn shown<T>(part: &Skippable<T>, text: impl Fn(&T) -> String) -> String {
    part.known().map_or_else(|| "-".to_owned(), text)
}

fn rows(rows: &[BeyondRow], beyond: &Beyond) -> Table {
    let mut table = Table::new([
        "metric".to_owned(),
        "n".to_owned(),
        "BCa".to_owned(),
        "permutation p".to_owned(),
        format!("clusters of {}", beyond.cluster),
        format!("rho given {}", beyond.given),
        "interval".to_owned(),
    ]);
    for row in rows {
        table.row([
            row.metric.clone(),
            row.n.to_string(),
            shown(&row.bca, |bca| interval(bca.low, bca.high)),
            shown(&row.permutation, |test| p_value(test.p_value)),
            shown(&row.clustered, |found| {
                format!("{} of {}", interval(found.low, found.high), found.clusters)
            }),
            shown(&row.partial, |partial| format!("{:+.3}", partial.rho)),
            shown(&row.partial, |partial| interval(partial.low, partial.high)),
        ]);
    }
    table
}

fn comparisons(beyond: &Beyond) -> Table {
    let titles = [
        "first",
        "second",
        "|rho| difference",
        "interval",
        "Williams t",
        "p",
    ];
    let mut table = Table::new(titles);
    for comparison in &beyond.comparisons {
        let [first, second] = comparison.metrics.clone();
        let test = comparison.result.known().and_then(|found| found.williams);
        let number = |value: Option<f64>, text: &dyn Fn(f64) -> String| {
            value.map_or_else(|| "-".to_owned(), text)
        };
        table.row([
            first,
            second,
            shown(&comparison.result, |found| {
                format!("{:+.3}", found.difference)
            }),
            shown(&comparison.result, |found| interval(found.low, found.high)),
            number(test.map(|test| test.t), &|t| format!("{t:+.3}")),
            number(test.map(|test| test.p_value), &p_value),
        ]);
    }
    table
}

fn imputation(beyond: &Beyond) -> Table {
    let mut table = Table::new(["metric", "replacement", "cells", "rho", "interval"]);
    for imputation in &beyond.imputation {
        for rule in &imputation.rules {
            table.row([
                imputation.metric.clone(),
                format!("{} ({})", rule.rule, rule.value),
                rule.replaced.to_string(),
                format!("{:+.3}", rule.interval.rho),
                interval(rule.interval.low, rule.interval.high),
            ]);
        }
    }
    table
}
