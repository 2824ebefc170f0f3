//! `attractor maze`: the study of offline metrics against planning in a maze.

mod figure;
mod options;
mod output;
mod show;
mod sweep;

use super::exit::Outcome;
use clap::Subcommand;

/// Arguments of `maze`.
#[derive(Debug, clap::Args)]
pub struct MazeArguments {
    #[command(subcommand)]
    command: MazeCommand,
}

#[derive(Debug, Subcommand)]
enum MazeCommand {
    /// Train models of graded quality, measure them offline, plan with them, and write a bundle
    Sweep(Box<sweep::SweepArguments>),
    /// Draw the maze, its shortest way, and the plans of one episode
    Show(show::ShowArguments),
}

/// Runs a subcommand.
pub fn run(arguments: &MazeArguments, selector: &str) -> anyhow::Result<Outcome> {
    match &arguments.command {
        MazeCommand::Sweep(arguments) => sweep::run(arguments, selector),
        MazeCommand::Show(arguments) => show::run(arguments, selector),
    }
}
