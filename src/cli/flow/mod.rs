//! `attractor flow`: one file a subcommand.

mod draw;
mod fit;
mod model;
mod report;
mod source;

use super::exit::Outcome;
use anyhow::Result;
use clap::Subcommand;

/// Arguments of `flow`.
#[derive(Debug, clap::Args)]
pub struct FlowArguments {
    #[command(subcommand)]
    command: FlowCommand,
}

#[derive(Debug, Subcommand)]
enum FlowCommand {
    /// Fit knots, label distributions and thresholds to the actions of a data set
    Fit(fit::FitArguments),
    /// Put runs side by side on one self-contained web page
    Report(report::ReportArguments),
}

/// Runs the command.
pub fn run(arguments: &FlowArguments, _selector: &str) -> Result<Outcome> {
    match &arguments.command {
        FlowCommand::Fit(arguments) => fit::run(arguments),
        FlowCommand::Report(arguments) => report::run(arguments),
    }
}
