//! `attractor analyze`: from measurements to numbers, tables and figures.

mod date;
mod two_by_two;

use super::exit::Outcome;
use clap::Subcommand;

/// Arguments of `analyze`.
#[derive(Debug, clap::Args)]
pub struct AnalyzeArguments {
    #[command(subcommand)]
    command: AnalyzeCommand,
}

#[derive(Debug, Subcommand)]
enum AnalyzeCommand {
    /// Settled or not against right or wrong: exponents of the four cells of diagnostics
    TwoByTwo(two_by_two::TwoByTwoArguments),
}

/// Runs an analysis.
pub fn run(arguments: &AnalyzeArguments) -> anyhow::Result<Outcome> {
    match &arguments.command {
        AnalyzeCommand::TwoByTwo(arguments) => two_by_two::run(arguments),
    }
}
