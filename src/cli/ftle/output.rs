//! Exponents as a table, JSON, JSON Lines, CSV, Markdown, npz and a figure.

use super::MeasureArguments;
use super::measured::{Example, FtleSettings, Measured};
use crate::cli::exit::Usage;
use crate::cli::output::{pretty, print};
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::analysis::lyapunov::{SumRule, Summary};
use attractor::formats::{Array, ArrayMap, npz, write_atomic};
use attractor::report::Table;
use attractor::report::spectrum::running_exponents;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned text
    Table,
    /// One JSON object
    Json,
    /// One JSON object a line and example
    Jsonl,
    /// Comma-separated, a line an example and exponent
    Csv,
    /// Markdown
    Md,
}

/// Examples that a table for people lists one by one.
const LISTED: usize = 8;
/// Points of a figure's lines.
const POINTS: usize = 400;

#[derive(Debug, Serialize)]
struct ExampleRecord<'a> {
    example: usize,
    #[serde(flatten)]
    summary: Option<&'a Summary>,
    restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    covariant_angles: Option<Angles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a RunRecord<FtleSettings>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Angles {
    mean: f64,
    least: f64,
}

#[derive(Debug, Serialize)]
struct Literature<'a> {
    exponents: &'a [f64],
    source: &'a str,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    run: &'a RunRecord<FtleSettings>,
    unit: &'static str,
    event_time: f64,
    working_bytes: u64,
    literature: Option<Literature<'a>>,
    sum_rule: Option<SumRule>,
    examples: Vec<ExampleRecord<'a>>,
}

/// Checks options that no parser checks.
pub fn check(arguments: &MeasureArguments) -> Result<()> {
    for (option, fits, expected, found) in [
        (
            "--steps",
            arguments.steps != Some(0),
            "at least 1",
            "0".to_string(),
        ),
        ("--k", arguments.k != Some(0), "at least 1", "0".to_string()),
        (
            "--every",
            arguments.every > 0,
            "at least 1",
            "0".to_string(),
        ),
        (
            "--level",
            arguments.level > 0.0 && arguments.level < 1.0,
            "a number between 0 and 1",
            arguments.level.to_string(),
        ),
        (
            "--resamples",
            (2..=100_000).contains(&arguments.resamples),
            "2 to 100000",
            arguments.resamples.to_string(),
        ),
        (
            "--to",
            arguments.to.is_none_or(|to| to > arguments.from + 1),
            "at least two events after --from",
            format!("{:?}", arguments.to),
        ),
    ] {
        if !fits {
            return Err(Usage(format!("{option}: expected {expected}, found {found}")).into());
        }
    }
    Ok(())
}

/// The files that `--figure` writes.
pub fn figure_files(arguments: &MeasureArguments) -> Vec<PathBuf> {
    let name = arguments.figure.as_deref();
    let file = |end: &'static str| {
        name.map(|name| {
            let mut file = name.as_os_str().to_owned();
            file.push(end);
            PathBuf::from(file)
        })
    };
    [".svg", ".png"].into_iter().filter_map(file).collect()
}

/// Writes the files that are asked for, and prints.
pub fn write(arguments: &MeasureArguments, measured: &Measured) -> Result<()> {
    let summaries = measured.examples.iter();
    let summaries: Result<Vec<Option<Summary>>, _> = summaries
        .map(|example| measured.summary(example, arguments))
        .collect();
    let summaries = summaries?;
    if let Some(path) = &arguments.out {
        let arrays = arrays(path, arguments, measured, &summaries)?;
        npz::save(path, &arrays)?;
    }
    draw(arguments, measured)?;
    let text = match arguments.format {
        Format::Json => pretty(&document(measured, &summaries))?,
        Format::Jsonl => {
            let mut text = String::new();
            for record in records(measured, &summaries, Some(&measured.run)) {
                text.push_str(&serde_json::to_string(&record)?);
                text.push('\n');
            }
            text
        }
        Format::Csv => csv(measured, &summaries),
        Format::Table => head(measured, &summaries) + &table(measured, &summaries).to_text(),
        Format::Md => table(measured, &summaries).to_markdown(),
    };
    Ok(print(&text)?)
}

fn records<'a>(
    measured: &'a Measured,
    summaries: &'a [Option<Summary>],
    run: Option<&'a RunRecord<FtleSettings>>,
) -> Vec<ExampleRecord<'a>> {
    let pairs = measured.examples.iter().zip(summaries);
    pairs
        .map(|(example, summary)| ExampleRecord {
            example: example.index,
            summary: summary.as_ref(),
            restarts: example.restarts,
            invalid: example.invalid.as_deref(),
            covariant_angles: example.angles.map(|[mean, least]| Angles { mean, least }),
            run,
        })
        .collect()
}

fn document<'a>(measured: &'a Measured, summaries: &'a [Option<Summary>]) -> Document<'a> {
    Document {
        run: &measured.run,
        unit: measured.unit,
        event_time: measured.event_time,
        working_bytes: measured.working_bytes,
        literature: measured
            .literature
            .as_ref()
            .map(|(exponents, source)| Literature { exponents, source }),
        sum_rule: sum_rule(measured, summaries),
        examples: records(measured, summaries, None),
    }
}

/// Of the first example, where all exponents were measured.
fn sum_rule(measured: &Measured, summaries: &[Option<Summary>]) -> Option<SumRule> {
    let (expected, tolerance) = measured.sum_rule?;
    let summary = summaries.iter().flatten().next()?;
    let whole = summary.exponents.len() == measured.run.sampler.dimension;
    let exponents: Vec<f64> = summary.exponents.iter().map(|e| e.value).collect();
    whole.then(|| SumRule::new(&exponents, expected, tolerance))
}

/// What goes for all examples, in lines.
fn head(measured: &Measured, summaries: &[Option<Summary>]) -> String {
    let s = &measured.run.sampler;
    let mut text = format!(
        "{}: dimension {}, {} tangents, {} steps after {}, QR by {}, {} bytes of working memory, {:.2} s\n",
        s.map,
        s.dimension,
        s.k,
        s.steps,
        s.transient,
        s.granularity,
        measured.working_bytes,
        measured.seconds
    );
    if let Some(summary) = summaries.iter().flatten().next() {
        let estimate = |name: &str, value: Option<attractor::analysis::lyapunov::Estimate>| {
            value.map_or(String::new(), |e| {
                format!("{name} {:.5} +- {:.5}\n", e.value, e.standard_error)
            })
        };
        text += &estimate("sum", summary.sum);
        if let Some(rule) = sum_rule(measured, summaries) {
            let verdict = if rule.holds() {
                "holds"
            } else {
                "DOES NOT HOLD"
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "sum rule: expected {:.7}, {verdict}", rule.expected);
        }
        text += &estimate("sum of the positive ones", summary.entropy_bound);
        if let Some(dimension) = &summary.kaplan_yorke {
            let bound = if dimension.complete { "" } else { "at least " };
            let _ = writeln!(
                text,
                "Kaplan-Yorke dimension {bound}{:.4}",
                dimension.dimension
            );
        }
    }
    if let Some((_, source)) = &measured.literature {
        let _ = writeln!(text, "literature: {source}");
    }
    text
}

/// A row an exponent of the first examples; medians over all where there are several.
fn table(measured: &Measured, summaries: &[Option<Summary>]) -> Table {
    let unit = measured.unit;
    let mut table = Table::new([
        "example".to_string(),
        "exponent".into(),
        format!("value (1/{unit})"),
        "standard error".into(),
        "interval".into(),
        "literature".into(),
    ]);
    let known = |column: usize| {
        let exponents = measured.literature.as_ref().map(|(values, _)| values);
        let value = exponents.and_then(|values| values.get(column));
        value.map_or(String::new(), |value| format!("{value}"))
    };
    for (example, summary) in measured.examples.iter().zip(summaries).take(LISTED) {
        let Some(summary) = summary else {
            let reason = example.invalid.clone().unwrap_or_default();
            table.row([example.index.to_string(), "-".into(), reason]);
            continue;
        };
        for (column, e) in summary.exponents.iter().enumerate() {
            table.row([
                example.index.to_string(),
                (column + 1).to_string(),
                format!("{:.6}", e.value),
                format!("{:.6}", e.standard_error),
                format!("{:.5} to {:.5}", e.lower, e.upper),
                known(column),
            ]);
        }
    }
    if measured.examples.len() > 1 {
        for column in 0..measured.k() {
            let values = summaries.iter().flatten();
            let values = values
                .filter_map(|s| s.exponents.get(column))
                .map(|e| e.value);
            let mut values: Vec<f64> = values.collect();
            values.sort_by(f64::total_cmp);
            let Some([low, middle, high]) = quartiles(&values) else {
                continue;
            };
            table.row([
                "median".to_string(),
                (column + 1).to_string(),
                format!("{middle:.6}"),
                String::new(),
                format!("quartiles {low:.5} to {high:.5}"),
                known(column),
            ]);
        }
    }
    table
}

/// Quartiles and median of sorted values, by linear interpolation.
fn quartiles(sorted: &[f64]) -> Option<[f64; 3]> {
    let last = sorted.len().checked_sub(1)?;
    Some([0.25, 0.5, 0.75].map(|share| {
        let place = share * last as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        let (a, b) = (sorted[below], sorted[above.min(last)]);
        a + (b - a) * place.fract()
    }))
}

fn csv(measured: &Measured, summaries: &[Option<Summary>]) -> String {
    let mut text = String::from("example,exponent,value,standard_error,lower,upper,restarts\n");
    for (example, summary) in measured.examples.iter().zip(summaries) {
        for (column, e) in summary.iter().flat_map(|s| s.exponents.iter().enumerate()) {
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{}",
                example.index,
                column + 1,
                e.value,
                e.standard_error,
                e.lower,
                e.upper,
                example.restarts
            );
        }
    }
    text
}

/// Exponents `[N, k]` with their errors, or what the family keeps instead.
fn arrays(
    path: &Path,
    arguments: &MeasureArguments,
    measured: &Measured,
    summaries: &[Option<Summary>],
) -> Result<ArrayMap> {
    let (count, k) = (measured.examples.len(), measured.k());
    let mut map = ArrayMap::new(path);
    if let Some(own) = &measured.arrays {
        for (name, array) in own.iter() {
            map.insert(name, array.clone())?;
        }
    } else {
        let number = |value: fn(&attractor::analysis::lyapunov::Estimate) -> f64| {
            let rows = summaries.iter().flat_map(|summary| match summary {
                Some(summary) => summary.exponents.iter().map(value).collect(),
                None => vec![f64::NAN; k],
            });
            rows.collect::<Vec<f64>>()
        };
        map.insert("lyap_spec", Array::new(&[count, k], number(|e| e.value))?)?;
        map.insert("lower", Array::new(&[count, k], number(|e| e.lower))?)?;
        map.insert("upper", Array::new(&[count, k], number(|e| e.upper))?)?;
        let errors = number(|e| e.standard_error);
        map.insert("standard_error", Array::new(&[count, k], errors)?)?;
        let index = measured.examples.iter().map(|e| e.index as i64);
        map.insert("idx", Array::new(&[count], index.collect::<Vec<i64>>())?)?;
    }
    let restarts = measured.examples.iter().map(|e| i64::from(e.restarts));
    map.insert(
        "n_restart",
        Array::new(&[count], restarts.collect::<Vec<i64>>())?,
    )?;
    let events = |example: &Example| example.log_r.len() / k.max(1);
    let events = measured.examples.first().map_or(0, events);
    map.insert("n_qr", Array::new(&[1], vec![events as i64])?)?;
    if arguments.history {
        let logs = measured.examples.iter().flat_map(|e| &e.log_r).copied();
        let logs: Vec<f64> = logs.collect();
        map.insert("log_r", Array::new(&[count, events, k], logs)?)?;
    }
    Ok(map)
}

fn draw(arguments: &MeasureArguments, measured: &Measured) -> Result<()> {
    let finite = measured.examples.iter().find(|e| e.invalid.is_none());
    let (Some(_), Some(example)) = (&arguments.figure, finite) else {
        return Ok(());
    };
    let Some(logs) = measured.logs(example)? else {
        return Ok(());
    };
    let window = measured.window(arguments);
    let every = (window.len() / POINTS).max(1);
    let running = logs.running(window, every)?;
    let summary = measured.summary(example, arguments)?;
    let estimates = summary.map(|summary| summary.exponents).unwrap_or_default();
    let title = format!("{}, example {}", measured.run.sampler.map, example.index);
    let figure = running_exponents(&title, &running, &estimates, measured.unit);
    for path in figure_files(arguments) {
        match path.extension().is_some_and(|end| end == "svg") {
            true => write_atomic(&path, figure.svg()?.as_bytes())?,
            false => write_atomic(&path, &figure.png()?)?,
        }
    }
    Ok(())
}
