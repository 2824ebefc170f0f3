//! The command line: one file a subcommand.

mod exit;
mod info;
mod output;

use clap::{Parser, Subcommand};
use exit::Outcome;
use std::process::ExitCode;

/// Iterates learned maps on a GPU and measures where they settle.
#[derive(Debug, Parser)]
#[command(name = "attractor", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    device: DeviceChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Devices, their features and limits, and whether they compute correctly
    Info(info::InfoArguments),
}

/// The device of a command.
#[derive(Debug, clap::Args)]
struct DeviceChoice {
    /// auto, cpu, cpu-f64, gpu, or part of an adapter's name [default: $ATTRACTOR_DEVICE, else auto]
    #[arg(long, value_name = "DEVICE", global = true)]
    device: Option<String>,
}

impl DeviceChoice {
    /// The selector: the flag, else the environment, else `auto`.
    fn selector(&self) -> String {
        self.device
            .clone()
            .or_else(|| std::env::var("ATTRACTOR_DEVICE").ok())
            .filter(|selector| !selector.trim().is_empty())
            .unwrap_or_else(|| "auto".into())
    }
}

/// Parses the arguments, runs the command, and turns what came of it into an exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_usage(&error),
    };
    match run(&cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => exit::of_error(&error),
    }
}

fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    match &cli.command {
        Command::Info(arguments) => info::run(arguments),
    }
}
