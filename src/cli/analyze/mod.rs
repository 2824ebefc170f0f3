//! `attractor analyze`: from measurements to numbers, tables and figures.

mod beyond;
mod correlate;
pub(super) mod date;
mod gap;
mod two_by_two;

use super::exit::{Missing, Outcome};
use clap::Subcommand;
use std::path::Path;

/// Arguments of `analyze`.
#[derive(Debug, clap::Args)]
pub struct AnalyzeArguments {
    #[command(subcommand)]
    command: AnalyzeCommand,
}

#[derive(Debug, Subcommand)]
enum AnalyzeCommand {
    /// Do offline metrics predict planning success? Rank correlations of a bundle of cells
    Correlate(correlate::CorrelateArguments),
    /// Planning gaps between the true and a learned model, with intervals and tests
    Gap(gap::GapArguments),
    /// Settled or not against right or wrong: exponents of the four cells of diagnostics
    TwoByTwo(two_by_two::TwoByTwoArguments),
}

/// Runs an analysis.
pub fn run(arguments: &AnalyzeArguments) -> anyhow::Result<Outcome> {
    match &arguments.command {
        AnalyzeCommand::Correlate(arguments) => correlate::run(arguments),
        AnalyzeCommand::Gap(arguments) => gap::run(arguments),
        AnalyzeCommand::TwoByTwo(arguments) => two_by_two::run(arguments),
    }
}

/// `--format` of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Aligned text
    Table,
    /// One JSON object, that of --out
    Json,
    /// Comma-separated values
    Csv,
    /// A Markdown table
    Md,
}

/// Most resamples of one interval.
const MOST_RESAMPLES: u32 = 10_000_000;

/// A p-value in a table: four decimals, and never zero.
fn p_value(p_value: f64) -> String {
    if p_value < 0.5e-4 {
        return "<0.0001".to_owned();
    }
    format!("{p_value:.4}")
}

/// Checks that a file to analyse is there.
fn check_there(file: &Path) -> Result<(), Missing> {
    if file.exists() {
        return Ok(());
    }
    let message = format!(
        "{}: no such file; expected the JSON of a study",
        file.display()
    );
    Err(Missing(message))
}

#[cfg(test)]
mod tests {
    use super::p_value;

    #[test]
    fn small_p_values_are_not_zero() {
        for (value, text) in [
            (0.0, "<0.0001"),
            (4.9e-5, "<0.0001"),
            (5.1e-5, "0.0001"),
            (0.03125, "0.0312"),
            (1.0, "1.0000"),
        ] {
            assert_eq!(p_value(value), text);
        }
    }
}
