//! `attractor stage2`: offline metrics of the published control models beside their planning gaps.

use super::analyze::date::now;
use super::exit::{Outcome, Usage};
use super::output::{check_free, note, pretty, print};
use anyhow::Result;
use attractor::analysis::correlation::{
    BootstrapOptions, Bundle, CONTROL_METRIC, Cell, Environment, Method, Outcome as Correlated,
    SCHEMA_VERSION, correlate,
};
use attractor::analysis::stage2::{
    ALL_METRICS, Measured, Report, ReportConfig, SampleSettings, Source, within_all,
};
use attractor::device::{Device, Selection};
use attractor::formats::write_atomic;
use attractor::models::control::ControlTask;
use attractor::report::Table;
use attractor::report::correlation::scatter_figure;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `stage2`.
#[derive(Debug, clap::Args)]
pub struct Stage2Arguments {
    /// Folder with the gaps, ENV/FILE.json a cell, or one file with a list of cells
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// Folder with the checkpoints: .pt, or .safetensors with .json beside
    #[arg(long, value_name = "DIR", default_value = "checkpoints")]
    checkpoints: PathBuf,
    /// File for the report (JSON)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write over files
    #[arg(long)]
    force: bool,
    /// 8 states and 4 actions, to see that everything works
    #[arg(long)]
    smoke: bool,
    /// Also measure the gap of every cell anew, over so many episodes an arm
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    episodes: Option<u32>,
    /// Tangents of M4, whose largest exponent counts
    #[arg(long, value_name = "K", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=5))]
    columns: u32,
    /// Also draw PREFIX_ENV, metrics against gaps, as PNG and SVG
    #[arg(long, value_name = "PREFIX")]
    figure: Option<PathBuf>,
    /// Form of what is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Aligned text
    Table,
    /// One JSON object, that of --out
    Json,
    /// Comma-separated values: one line a cell, a correlation, a skipped cell, with an empty line between
    Csv,
    /// Markdown tables
    Md,
}

/// The file, entries in the published order; `attractor` is this program's own.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: &'static str,
    wmel_version: &'static str,
    generated_at: String,
    metric: &'static str,
    note: &'static str,
    #[serde(flatten)]
    report: &'a Report,
    attractor: Value,
}

const NOTE: &str = "Offline metrics of learned dynamics beside the gap in planning success that they cost. M1 \
                    and M2 are distances of observations in the units of their environment and are \
                    compared within it only; M3, M3 of held actions and M4 have no units. Cells whose \
                    files are missing are listed as skipped.";

/// Measures what is there, writes the report, prints it.
pub fn run(arguments: &Stage2Arguments, selector: &str) -> Result<Outcome> {
    check_free(&arguments.out, arguments.force)?;
    let prefix = arguments.figure.as_deref();
    for task in ControlTask::ALL {
        for file in prefix
            .into_iter()
            .flat_map(|prefix| figure_files(prefix, task))
        {
            check_free(&file, arguments.force)?;
        }
    }
    let results = Source::open(&arguments.results).map_err(Usage)?;
    let Selection { device, reason } = Selection::by_name(selector)?;
    note(&format!(
        "attractor {}\ndevice   {reason}",
        env!("CARGO_PKG_VERSION")
    ));
    let config = ReportConfig {
        sample: match arguments.smoke {
            true => SampleSettings::smoke(),
            false => SampleSettings::default(),
        },
        columns: arguments.columns as usize,
        episodes: arguments.episodes.map(|count| count as usize),
    };
    let see = |cell: &str| note(&format!("cell     {cell}"));
    let report = Report::measure(&config, &results, &arguments.checkpoints, &device, see)?;
    let environments = within_all(&report.cells)?;
    let document = pretty(&Document {
        schema_version: SCHEMA_VERSION,
        wmel_version: env!("CARGO_PKG_VERSION"),
        generated_at: now(),
        metric: CONTROL_METRIC,
        note: NOTE,
        report: &report,
        attractor: record(arguments, &device, &environments),
    })?;
    write_atomic(&arguments.out, document.as_bytes())?;
    if let Some(prefix) = prefix {
        draw(prefix, &report)?;
    }
    if report.cells.is_empty() {
        note(&format!(
            "hint     no cell was measured: put checkpoints such as tdmpc2_cartpole.pt into {}, results such \
             as dmc_cartpole/tdmpc2_cpg.json into {}",
            arguments.checkpoints.display(),
            arguments.results.display()
        ));
    }
    let tables = [
        table(&report),
        correlations(&environments),
        skipped(&report),
    ];
    print(&match arguments.format {
        Format::Table => {
            let (cells, left) = (report.cells.len(), report.skipped.len());
            format!(
                "{}\n{cells} cells, {left} skipped\n",
                joined(&tables, Table::to_text)
            )
        }
        Format::Json => document,
        Format::Csv => joined(&tables, Table::to_csv),
        Format::Md => joined(&tables, Table::to_markdown),
    })?;
    Ok(Outcome::Good)
}

fn record(arguments: &Stage2Arguments, device: &Device, environments: &[Environment]) -> Value {
    let info = device.info();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": info.name,
        "backend": info.backend,
        "driver": info.driver,
        "precision": device.precision(),
        "columns": arguments.columns,
        "episodes": arguments.episodes,
        "within_env_correlation": Environment::block(environments),
    })
}

/// Numbers beyond it are printed with an exponent.
const HUGE: f64 = 1e6;

fn number(value: Option<f64>) -> String {
    value.map_or_else(
        || "-".into(),
        |value| match value.abs() > HUGE {
            true => format!("{value:.6e}"),
            false => format!("{value:.6}"),
        },
    )
}

fn table(report: &Report) -> Table {
    let mut table = Table::new([
        "env", "size", "seed", "M1", "M2", "M3", "M3 held", "M4", "|M4|", "gap", "measured",
        "verdict",
    ]);
    for cell in &report.cells {
        table.row([
            cell.env.clone(),
            cell.model_size.to_string(),
            cell.seed.to_string(),
            number(Some(cell.m1_l2_onestep)),
            number(Some(cell.m2_l2_kstep)),
            number(cell.m3_action_agreement),
            number(cell.m3_held_action_agreement),
            number(cell.m4_exponent_difference),
            number(cell.m4_exponent_distance),
            format!("{:+.3}", cell.gap),
            match &cell.measured {
                Measured::NotAsked {} => "-".into(),
                Measured::Known { measured: gap } => {
                    let (low, high) = (gap.gap_ci_low, gap.gap_ci_high);
                    format!("{:+.3} [{low:+.3}, {high:+.3}]", gap.gap)
                }
                Measured::Skipped {
                    measured_skipped, ..
                } => format!("skipped: {measured_skipped}"),
            },
            cell.verdict.clone(),
        ]);
    }
    table
}

/// Spearman's coefficient of every metric with the gap, environment by environment.
fn correlations(environments: &[Environment]) -> Table {
    let mut table = Table::new([
        "env",
        "cells",
        "metric",
        "n",
        "rho",
        "ci_low",
        "ci_high",
        "clears_zero",
        "skipped",
    ]);
    for environment in environments {
        for (metric, n, outcome) in &environment.metrics {
            let none = || "-".to_owned();
            let numbers = match outcome {
                Correlated::Known {
                    rho,
                    ci: [low, high],
                    clears_zero,
                    ..
                } => {
                    let [rho, low, high] = [rho, low, high].map(|value| format!("{value:+.4}"));
                    [rho, low, high, clears_zero.to_string(), none()]
                }
                Correlated::Skipped { skipped } => {
                    [none(), none(), none(), none(), skipped.clone()]
                }
            };
            let first = [environment.env.clone(), environment.n_cells.to_string()];
            let second = [metric.clone(), n.to_string()];
            table.row(first.into_iter().chain(second).chain(numbers));
        }
    }
    table
}

fn skipped(report: &Report) -> Table {
    let mut table = Table::new(["skipped", "gap", "reason"]);
    for skipped in &report.skipped {
        let gap = skipped.gap.map(|gap| format!("{gap:+.3}"));
        table.row([
            skipped.cell.clone(),
            gap.unwrap_or_else(|| "-".into()),
            skipped.reason.clone(),
        ]);
    }
    table
}

/// The tables that have rows, with an empty line between; the first, of cells, whatever it has.
fn joined(tables: &[Table], form: fn(&Table) -> String) -> String {
    let kept = tables.iter().enumerate();
    let kept = kept.filter(|(at, table)| *at == 0 || !table.is_empty());
    let texts: Vec<String> = kept.map(|(_, table)| form(table)).collect();
    texts.join("\n")
}

fn figure_files(prefix: &Path, task: ControlTask) -> [PathBuf; 2] {
    let name = |kind: &str| PathBuf::from(format!("{}_{}.{kind}", prefix.display(), task.name()));
    ["png", "svg"].map(name)
}

/// One figure an environment: metrics in units of their own are never pooled.
fn draw(prefix: &Path, report: &Report) -> Result<()> {
    for task in ControlTask::ALL {
        let cells = report.cells.iter().filter(|cell| cell.env == task.name());
        let cells: Vec<Cell> = cells
            .filter_map(|cell| match serde_json::to_value(cell) {
                Ok(Value::Object(mut cell)) => {
                    cell.retain(|key, _| ALL_METRICS.contains(&&key[..]) || key == "gap");
                    Some(cell)
                }
                _ => None,
            })
            .collect();
        let options = BootstrapOptions::default();
        let result = correlate(&cells, "gap", Method::Spearman, &options)?;
        let bundle = Bundle::of(prefix, &json!({ "cells": cells }))?;
        let [png, svg] = figure_files(prefix, task);
        match scatter_figure(&bundle, &result, None) {
            Some(figure) if !cells.is_empty() => {
                write_atomic(&png, &figure.png()?)?;
                write_atomic(&svg, figure.svg()?.as_bytes())?;
                note(&format!("wrote    {} and .svg", png.display()));
            }
            _ => note(&format!("figure   {}: nothing to draw", task.name())),
        }
    }
    Ok(())
}
