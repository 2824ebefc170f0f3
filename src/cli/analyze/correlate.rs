//! `attractor analyze correlate`.

use super::date::now;
use super::{Format, MOST_RESAMPLES, check_there};
use crate::cli::exit::Outcome;
use crate::cli::output::{check_apart, check_free, check_prefix, note, pretty, print};
use anyhow::{Context, Result};
use attractor::analysis::correlation::{
    self, Beyond, BeyondOptions, BootstrapOptions, Bundle, CONTROL_METRIC, CORRELATION_METRIC,
    Correlation, MAZE_METRIC, Row, SCHEMA_VERSION, beyond,
};
use attractor::formats::write_atomic;
use attractor::report::Table;
use attractor::report::correlation::{scatter_figure, screening_figure};
use attractor::report::figures::Figure;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Arguments of `analyze correlate`.
#[derive(Debug, clap::Args)]
pub struct CorrelateArguments {
    /// Bundle of evaluated cells (JSON), as `maze sweep` and `stage2` write them
    bundle: PathBuf,
    /// Entry to predict, such as success_rate or gap
    #[arg(long, value_name = "ENTRY", default_value = "success_rate")]
    downstream: String,
    /// Coefficient
    #[arg(long, value_enum, default_value_t = Method::Spearman)]
    method: Method,
    /// Resamples of every interval
    #[arg(long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_RESAMPLES)))]
    n_boot: u32,
    /// Probability that an interval leaves out
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File for the result (JSON)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write over files
    #[arg(long)]
    force: bool,
    /// Also draw PREFIX_scatter and PREFIX_screening, each as PNG and SVG
    #[arg(long, value_name = "PREFIX")]
    figure: Option<PathBuf>,
    /// Form of what is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The published result alone: no BCa, permutation, clustered and partial intervals, no comparisons
    #[arg(long, conflicts_with = "figure")]
    no_beyond: bool,
    /// Entry whose values are clusters of cells that are not independent
    #[arg(long, value_name = "ENTRY", default_value = "seed")]
    cluster: String,
    /// Entry that partial correlations take as given
    #[arg(long, value_name = "ENTRY", default_value = "epochs")]
    given: String,
    /// Episodes behind a success rate, for intervals in figures [default: config.episodes of the bundle]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    episodes: Option<u64>,
    /// Take cells of the same model as different ones
    #[arg(long)]
    allow_duplicates: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Method {
    /// Spearman's rho
    Spearman,
    /// Kendall's tau-b
    Kendall,
}

impl From<Method> for correlation::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Spearman => Self::Spearman,
            Method::Kendall => Self::Kendall,
        }
    }
}

/// The file, entries in the published order.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: &'static str,
    /// Version of this program, under the name that the schema has for it.
    wmel_version: &'static str,
    generated_at: String,
    metric: &'static str,
    source_bundle: String,
    note: &'static str,
    result: &'a Correlation,
    #[serde(skip_serializing_if = "Option::is_none")]
    beyond: Option<&'a Beyond>,
    settings: Run,
}

/// How the result was made.
#[derive(Debug, Serialize)]
struct Run {
    n_boot: u32,
    alpha: f64,
    seed: u64,
}

const NOTE: &str = "How offline metrics rank cells against how planning with them does, with percentile \
                    intervals of resampled cells. An interval on one side of zero says that the metric \
                    predicts the result among cells like these. Errors should fall where success rises, \
                    and rise with a gap.";
/// A gap is the one result of which less is better.
const GAP: &str = "gap";

/// Correlates, then writes everything.
pub fn run(arguments: &CorrelateArguments) -> Result<Outcome> {
    check_there(&arguments.bundle)?;
    check_apart(&arguments.out, &arguments.bundle)?;
    check_free(&arguments.out, arguments.force)?;
    let prefix = arguments.figure.as_deref();
    prefix.map_or(Ok(()), check_prefix)?;
    for file in prefix.into_iter().flat_map(figure_files) {
        check_apart(&file, &arguments.bundle)?;
        check_free(&file, arguments.force)?;
    }
    let bundle = Bundle::read(&arguments.bundle)?;
    if !arguments.allow_duplicates {
        let hint = "--allow-duplicates takes them as different";
        bundle.check_unique().context(hint)?;
    }
    bundle.check_downstream(&arguments.downstream)?;
    if let Some(metric) = bundle.unknown_metric() {
        note(&format!(
            "bundle   metric: expected {MAZE_METRIC} or {CONTROL_METRIC}, found {metric}; its cells are taken as theirs"
        ));
    }
    if bundle.replaced > 0 {
        let count = bundle.replaced;
        note(&format!(
            "bundle   {count} numbers are NaN or infinite and are left out"
        ));
    }
    let options = BeyondOptions {
        downstream: arguments.downstream.clone(),
        rises: arguments.downstream != GAP,
        method: arguments.method.into(),
        bootstrap: BootstrapOptions {
            resamples: arguments.n_boot,
            alpha: arguments.alpha,
            seed: arguments.seed,
        },
        cluster: arguments.cluster.clone(),
        given: arguments.given.clone(),
    };
    let result = correlation::correlate(
        &bundle.cells,
        &options.downstream,
        options.method,
        &options.bootstrap,
    )?;
    let more = (!arguments.no_beyond).then(|| beyond(&bundle, &options));
    let more = more.transpose()?;
    let document = pretty(&document(arguments, &result, more.as_ref()))?;
    write_atomic(&arguments.out, document.as_bytes())?;
    if let Some(prefix) = prefix {
        let episodes = arguments.episodes.or(bundle.episodes);
        let scatter = scatter_figure(&bundle, &result, episodes);
        let screening = more.as_ref();
        let screening = screening.and_then(|more| screening_figure(&options.downstream, more));
        draw(prefix, [scatter, screening])?;
    }
    print(&match arguments.format {
        Format::Table => {
            lines(&result) + &more.as_ref().map(super::beyond::text).unwrap_or_default()
        }
        Format::Json => document,
        Format::Csv => table(&result).to_csv(),
        Format::Md => table(&result).to_markdown(),
    })?;
    Ok(Outcome::Good)
}

fn document<'a>(
    arguments: &CorrelateArguments,
    result: &'a Correlation,
    beyond: Option<&'a Beyond>,
) -> Document<'a> {
    Document {
        schema_version: SCHEMA_VERSION,
        wmel_version: env!("CARGO_PKG_VERSION"),
        generated_at: now(),
        metric: CORRELATION_METRIC,
        source_bundle: arguments.bundle.to_string_lossy().into_owned(),
        note: NOTE,
        result,
        beyond,
        settings: Run {
            n_boot: arguments.n_boot,
            alpha: arguments.alpha,
            seed: arguments.seed,
        },
    }
}

/// What follows the prefix.
const FIGURES: [&str; 2] = ["scatter", "screening"];

fn figure_files(prefix: &Path) -> Vec<PathBuf> {
    let name =
        |figure: &str, kind: &str| PathBuf::from(format!("{}_{figure}.{kind}", prefix.display()));
    let both = |figure: &&str| ["png", "svg"].map(|kind| name(figure, kind));
    FIGURES.iter().flat_map(both).collect()
}

fn draw(prefix: &Path, figures: [Option<Figure>; 2]) -> Result<()> {
    let files = figure_files(prefix);
    for ((figure, files), name) in figures.into_iter().zip(files.chunks(2)).zip(FIGURES) {
        let Some(figure) = figure else {
            note(&format!("figure   {name}: nothing to draw"));
            continue;
        };
        if let [png, svg] = files {
            write_atomic(png, &figure.png()?)?;
            write_atomic(svg, figure.svg()?.as_bytes())?;
            note(&format!("wrote    {} and .svg", png.display()));
        }
    }
    Ok(())
}

/// One line a row, in the words of the published program.
fn lines(result: &Correlation) -> String {
    let Correlation {
        downstream,
        method,
        n_cells,
        common_subset,
        ..
    } = result;
    let mut text = format!("{} with {downstream}, {n_cells} cells\n", method.name());
    let width = result.metrics.iter().map(|row| row.metric.chars().count());
    let width = width.max().unwrap_or(0);
    let mut add = |rows: &[Row]| rows.iter().for_each(|row| text.push_str(&line(row, width)));
    add(&result.metrics);
    text.push_str(&format!("common subset, {} cells\n", common_subset.n));
    let mut add = |rows: &[Row]| rows.iter().for_each(|row| text.push_str(&line(row, width)));
    add(&common_subset.metrics);
    text
}

fn line(row: &Row, width: usize) -> String {
    let Row { metric, n, outcome } = row;
    match outcome {
        correlation::Outcome::Known {
            rho,
            ci: [low, high],
            clears_zero,
            ..
        } => {
            let verdict = if *clears_zero {
                "RESOLVED"
            } else {
                "within noise"
            };
            format!(
                "  {metric:<width$}  n={n:<3} rho={rho:+.3} CI [{low:+.3}, {high:+.3}] -> {verdict}\n"
            )
        }
        correlation::Outcome::Skipped { skipped } => {
            format!("  {metric:<width$}  n={n:<3} skipped: {skipped}\n")
        }
    }
}

fn table(result: &Correlation) -> Table {
    let titles = [
        "cells",
        "metric",
        "n",
        "rho",
        "ci_low",
        "ci_high",
        "clears_zero",
        "skipped",
    ];
    let mut table = Table::new(titles);
    let own = result.metrics.iter().map(|row| ("own", row));
    let common = result
        .common_subset
        .metrics
        .iter()
        .map(|row| ("common", row));
    for (cells, Row { metric, n, outcome }) in own.chain(common) {
        let numbers = match outcome {
            correlation::Outcome::Known {
                rho,
                ci: [low, high],
                clears_zero,
                ..
            } => [
                rho.to_string(),
                low.to_string(),
                high.to_string(),
                clears_zero.to_string(),
                String::new(),
            ],
            correlation::Outcome::Skipped { skipped } => {
                let none = String::new;
                [none(), none(), none(), none(), skipped.clone()]
            }
        };
        let first = [cells.to_owned(), metric.clone(), n.to_string()];
        table.row(first.into_iter().chain(numbers));
    }
    table
}
