//! `attractor flow`: one file a subcommand.

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
enum FlowCommand {}

/// Runs the command.
pub fn run(arguments: &FlowArguments, _selector: &str) -> Result<Outcome> {
    match arguments.command {}
}
