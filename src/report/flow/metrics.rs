//! The table of metrics, the best of each column marked.

use super::Run;
use crate::report::html::{Element, element};

/// Titles of all metrics, in order of first appearance.
fn columns(runs: &[Run]) -> Vec<&str> {
    let mut columns: Vec<&str> = Vec::new();
    for metric in runs.iter().flat_map(|run| &run.metrics) {
        if !columns.contains(&metric.name.as_str()) {
            columns.push(&metric.name);
        }
    }
    columns
}

/// Whether more is better: correlations and shares; everything else is an error.
fn more_is_better(column: &str) -> bool {
    column.to_lowercase().contains("corr") || column.contains('%')
}

/// The value of a run, if it is finite.
fn value(run: &Run, column: &str) -> Option<f64> {
    let metric = run.metrics.iter().find(|metric| metric.name == column)?;
    Some(metric.value).filter(|value| value.is_finite())
}

/// The best of a column; nothing where there is nothing to compare.
fn best(runs: &[Run], column: &str) -> Option<f64> {
    let values: Vec<f64> = runs.iter().filter_map(|run| value(run, column)).collect();
    let better = if more_is_better(column) {
        f64::max
    } else {
        f64::min
    };
    // Numbers about different frames do not compare.
    if values.len() < 2 || !alike(runs) {
        return None;
    }
    values.into_iter().reduce(better)
}

/// Whether all runs that count frames count as many.
pub(super) fn alike(runs: &[Run]) -> bool {
    let mut counts = runs.iter().map(|run| run.frames).filter(|&count| count > 0);
    let first = counts.next();
    counts.all(|count| Some(count) == first)
}

/// Four significant digits, as text that lines up.
fn shown(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    let whole = if size < 1.0 { 0 } else { size.log10() as usize };
    format!("{value:.*}", 4_usize.saturating_sub(whole))
}

/// The table; nothing where no run has a metric.
pub(super) fn table(runs: &[Run]) -> Option<Element> {
    let columns = columns(runs);
    if columns.is_empty() {
        return None;
    }
    let best: Vec<Option<f64>> = columns.iter().map(|column| best(runs, column)).collect();
    let titles = columns.iter().map(|column| {
        let arrow = if more_is_better(column) {
            " \u{2191}"
        } else {
            " \u{2193}"
        };
        element("th")
            .attribute("class", "number")
            .attribute("scope", "col")
            .text(*column)
            .child(element("small").text(arrow))
    });
    let head = element("tr")
        .child(element("th").attribute("scope", "col").text("run"))
        .children(titles);
    let rows = runs.iter().enumerate().map(|(index, run)| {
        let name = element("th")
            .attribute("scope", "row")
            .child(super::chart::swatch(index))
            .text(&run.name);
        let cells = columns.iter().zip(&best).map(|(column, best)| {
            let cell = element("td").attribute("class", "number");
            match value(run, column) {
                None => cell.text("\u{2013}"),
                Some(value) if Some(value) == *best => cell.child(
                    element("b")
                        .attribute("class", "best")
                        .attribute("title", "best of its column")
                        .text(shown(value)),
                ),
                Some(value) => cell.text(shown(value)),
            }
        });
        element("tr").child(name).children(cells)
    });
    let table = element("table")
        .child(element("thead").child(head))
        .child(element("tbody").children(rows));
    Some(element("div").attribute("class", "scroll").child(table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::flow::Metric;

    fn run(name: &str, metrics: &[(&str, f64)]) -> Run {
        let metric = |&(name, value): &(&str, f64)| Metric {
            name: name.into(),
            value,
        };
        Run {
            name: name.into(),
            metrics: metrics.iter().map(metric).collect(),
            ..Run::default()
        }
    }

    #[test]
    fn errors_are_best_low_and_correlations_and_shares_high() {
        let runs = [
            run("a", &[("L1", 0.25), ("corr", 0.5), ("hit %", 3.0)]),
            run("b", &[("L1", 0.5), ("corr", 0.75), ("hit %", f64::NAN)]),
            run("c", &[("L1", 0.25), ("Chunk Corr", 0.1)]),
        ];
        assert_eq!(best(&runs, "L1"), Some(0.25));
        assert_eq!(best(&runs, "corr"), Some(0.75));
        assert_eq!(best(&runs, "hit %"), None, "one value has no rival");
        assert!(more_is_better("Chunk Corr"));
        let page = table(&runs).unwrap().to_string();
        // Both of the equal errors, one correlation.
        assert_eq!(page.matches("class=\"best\"").count(), 3, "{page}");
        assert!(table(&[run("a", &[])]).is_none());
    }

    #[test]
    fn numbers_have_four_digits_or_so() {
        let texts = [0.12345, 12.3456, 1234.5, -0.5, 0.0, 1e-6].map(shown);
        assert_eq!(
            texts,
            [
                "0.1235", "12.346", "1234.5", "-0.5000", "0.0000", "1.000e-6"
            ]
        );
    }
}
