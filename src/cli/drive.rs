//! `attractor drive`: the driving benchmark.

use super::exit::Outcome;
use anyhow::Result;
use clap::Subcommand;

/// Arguments of `drive`.
#[derive(Debug, clap::Args)]
pub struct DriveArguments {
    #[command(subcommand)]
    command: DriveCommand,
}

#[derive(Debug, Subcommand)]
enum DriveCommand {}

/// Runs the command.
pub fn run(arguments: &DriveArguments) -> Result<Outcome> {
    match arguments.command {}
}
