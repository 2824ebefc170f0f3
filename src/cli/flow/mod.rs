//! `attractor flow`: one file a subcommand.

mod advise;
mod draw;
mod drawing;
mod evaluate;
mod field;
mod fit;
mod model;
mod predict;
mod report;
mod sample;
mod source;
mod table;

pub use model::{ModelArguments, Policy};
pub use source::{Source, SourceArguments};

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
    /// Measure solvers, and name the cheapest that is accurate enough
    Advise(Box<advise::AdviseArguments>),
    /// Draw for every frame, measure everything a flow policy is judged by, and write it on a page
    Evaluate(Box<evaluate::EvaluateArguments>),
    /// Look at the velocity field, and at what it does with noise
    Field(Box<field::FieldArguments>),
    /// Fit knots, label distributions and thresholds to the actions of a data set
    Fit(fit::FitArguments),
    /// Draw for every frame, read one chunk out, and write a table of predictions
    Predict(Box<predict::PredictArguments>),
    /// Draw action chunks for conditions
    Sample(Box<sample::SampleArguments>),
    /// Put runs side by side on one self-contained web page
    Report(report::ReportArguments),
}

/// Runs the command.
pub fn run(arguments: &FlowArguments, selector: &str) -> Result<Outcome> {
    match &arguments.command {
        FlowCommand::Advise(arguments) => advise::run(arguments, selector),
        FlowCommand::Evaluate(arguments) => evaluate::run(arguments, selector),
        FlowCommand::Field(arguments) => field::run(arguments, selector),
        FlowCommand::Fit(arguments) => fit::run(arguments),
        FlowCommand::Predict(arguments) => predict::run(arguments, selector),
        FlowCommand::Sample(arguments) => sample::run(arguments, selector),
        FlowCommand::Report(arguments) => report::run(arguments),
    }
}
