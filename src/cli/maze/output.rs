//! Cells as a table, JSON, CSV and Markdown.

use crate::cli::output::pretty;
use anyhow::Result;
use attractor::analysis::maze::{MazeBundle, SweepCell};
use attractor::analysis::planning_gap::wilson;
use attractor::report::Table;
use std::fmt::Write;

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned text
    Table,
    /// The bundle
    Json,
    /// Comma-separated, a line a cell
    Csv,
    /// Markdown
    Md,
}

/// The cells in a format.
pub fn write(format: Format, cells: &[SweepCell], bundle: &MazeBundle) -> Result<String> {
    Ok(match format {
        Format::Table => table(cells).to_text(),
        Format::Md => table(cells).to_markdown(),
        Format::Json => pretty(bundle)?,
        Format::Csv => csv(cells)?,
    })
}

fn is_extra(cells: &[SweepCell]) -> bool {
    cells.iter().any(|cell| cell.growth.is_some())
}

fn table(cells: &[SweepCell]) -> Table {
    let extra = is_extra(cells);
    let mut titles = vec!["epochs", "seed", "M1", "M2", "M3"];
    if extra {
        titles.extend(["M4", "M4 spread", "regret"]);
    }
    titles.extend(["success", "95 % (Wilson)", "episodes"]);
    let mut table = Table::new(titles);
    for cell in cells {
        let metrics = &cell.metrics;
        let m3 = metrics.action_agreement();
        let mut row = vec![
            cell.epochs.to_string(),
            cell.seed.to_string(),
            format!("{:.4}", metrics.one_step_mismatch()),
            format!("{:.4}", metrics.k_step_divergence()),
            m3.map_or("-".into(), |tau| format!("{tau:.4}")),
        ];
        if let Some(growth) = cell.growth.as_ref().filter(|_| extra) {
            let (mean, deviation) = growth.spread();
            let deviation = deviation.map_or("-".into(), |value| format!("{value:.4}"));
            row.extend([
                format!("{:.4}", growth.mismatch()),
                format!("{mean:.4} +- {deviation}"),
                format!("{:.4}", metrics.mean_regret()),
            ]);
        }
        let (successes, count) = counts(cell);
        let [low, high] = wilson(successes as f64, count as f64);
        row.extend([
            format!("{:.4}", cell.episodes.success_rate()),
            format!("[{low:.3}, {high:.3}]"),
            count.to_string(),
        ]);
        table.row(row);
    }
    table
}

fn counts(cell: &SweepCell) -> (usize, usize) {
    (cell.episodes.successes(), cell.episodes.episodes.len())
}

/// All digits, and nothing where there is no number.
fn csv(cells: &[SweepCell]) -> Result<String> {
    let mut text = String::from(
        "epochs,seed,hidden,m1_mismatch,m2_kstep_divergence,m3_action_agreement,m3_regret,\
         m4_growth_mismatch,m4_mean,m4_deviation,success_rate,successes,episodes,wilson_low,wilson_high\n",
    );
    let or_nothing = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for cell in cells {
        let (metrics, growth) = (&cell.metrics, cell.growth.as_ref());
        let spread = growth.map(|growth| growth.spread());
        let (successes, count) = counts(cell);
        let [low, high] = wilson(successes as f64, count as f64);
        writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{successes},{count},{low},{high}",
            cell.epochs,
            cell.seed,
            cell.hidden,
            metrics.one_step_mismatch(),
            metrics.k_step_divergence(),
            or_nothing(metrics.action_agreement()),
            or_nothing(growth.map(|_| metrics.mean_regret())),
            or_nothing(growth.map(|growth| growth.mismatch())),
            or_nothing(spread.map(|(mean, _)| mean)),
            or_nothing(spread.and_then(|(_, deviation)| deviation)),
            cell.episodes.success_rate(),
        )?;
    }
    Ok(text)
}
