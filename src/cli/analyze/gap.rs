//! `attractor analyze gap`.

use super::{Format, MOST_RESAMPLES, check_there, p_value};
use crate::cli::exit::Outcome;
use crate::cli::output::{check_apart, check_free, pretty, print};
use anyhow::{Context, Result};
use attractor::analysis::correlation::{BootstrapOptions, Bundle};
use attractor::analysis::planning_gap::{Arms, AuditRow, arms_of_bundle, audit};
use attractor::formats::write_atomic;
use attractor::report::Table;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `analyze gap`.
#[derive(Debug, clap::Args)]
pub struct GapArguments {
    /// Cells with the outcomes of both arms (JSON): oracle_success and learned_success, or their rates
    arms: PathBuf,
    /// Add the cells of one environment and model joined over their seeds; Holm's p-values of these are
    /// adjusted among themselves
    #[arg(long)]
    pool: bool,
    /// Half width of the interval that the number of episodes is asked for
    #[arg(long, value_name = "WIDTH", default_value_t = 0.1)]
    half_width: f64,
    /// Resamples of the paired bootstrap
    #[arg(long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(2..=i64::from(MOST_RESAMPLES)))]
    n_boot: u32,
    /// Probability that the bootstrap interval leaves out
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File for all numbers (JSON)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over the file
    #[arg(long)]
    force: bool,
    /// Form of what is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Take cells of the same model as different ones
    #[arg(long)]
    allow_duplicates: bool,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    version: &'static str,
    metric: &'static str,
    source: String,
    half_width: f64,
    #[serde(flatten)]
    bootstrap: BootstrapOptions,
    cells: &'a [AuditRow],
}

/// Analyses the cells of a file.
pub fn run(arguments: &GapArguments) -> Result<Outcome> {
    check_there(&arguments.arms)?;
    if let Some(out) = &arguments.out {
        check_apart(out, &arguments.arms)?;
        check_free(out, arguments.force)?;
    }
    let bundle = Bundle::read(&arguments.arms)?;
    if !arguments.allow_duplicates {
        let hint = "--allow-duplicates takes them as different";
        bundle.check_unique_with(&["file"]).context(hint)?;
    }
    let cells = arms_of_bundle(&bundle)?;
    let bootstrap = BootstrapOptions {
        resamples: arguments.n_boot,
        alpha: arguments.alpha,
        seed: arguments.seed,
    };
    let mut rows = audit(&cells, &bootstrap, arguments.half_width)?;
    if arguments.pool {
        // Pools repeat the episodes of single cells: another family, which leaves the first as it is.
        let pools = Arms::pooled(&cells);
        rows.extend(audit(&pools, &bootstrap, arguments.half_width)?);
    }
    let document = pretty(&Document {
        version: env!("CARGO_PKG_VERSION"),
        metric: "planning_gap",
        source: arguments.arms.to_string_lossy().into_owned(),
        half_width: arguments.half_width,
        bootstrap,
        cells: &rows,
    })?;
    if let Some(out) = &arguments.out {
        write_atomic(out, document.as_bytes())?;
    }
    print(&match arguments.format {
        Format::Table => table(&rows, arguments.half_width).to_text(),
        Format::Json => document,
        Format::Csv => table(&rows, arguments.half_width).to_csv(),
        Format::Md => table(&rows, arguments.half_width).to_markdown(),
    })?;
    Ok(Outcome::Good)
}

fn table(rows: &[AuditRow], half_width: f64) -> Table {
    let episodes = format!("n for +-{half_width}");
    let mut table = Table::new([
        "cell",
        "n",
        "oracle",
        "learned",
        "gap",
        "AC 95%",
        "Newcombe 95%",
        "bootstrap",
        "McNemar p",
        "Holm p",
        "verdict",
        &episodes,
    ]);
    let interval = |[low, high]: [f64; 2]| format!("[{low:+.3}, {high:+.3}]");
    for row in rows {
        let gap = &row.gap;
        let n = match [gap.n_episodes_oracle, gap.n_episodes_learned] {
            [oracle, learned] if oracle == learned => oracle.to_string(),
            [oracle, learned] => format!("{oracle}/{learned}"),
        };
        let paired = row.paired.map_or([const { String::new() }; 4], |paired| {
            [
                interval(paired.newcombe_ci),
                interval(paired.bootstrap_ci),
                p_value(paired.p_value),
                p_value(paired.p_holm),
            ]
        });
        let first = [
            row.cell.clone(),
            n,
            format!("{:.3}", gap.oracle_success_rate),
            format!("{:.3}", gap.learned_success_rate),
            format!("{:+.3}", gap.gap),
            interval([gap.gap_ci_low, gap.gap_ci_high]),
        ];
        let needed = row.required_episodes;
        let needed = needed.map_or_else(|| "> 100000".to_owned(), |count| count.to_string());
        let last = [row.verdict.to_string(), needed];
        table.row(first.into_iter().chain(paired).chain(last));
    }
    table
}
