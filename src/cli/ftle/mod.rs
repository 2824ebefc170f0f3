//! `attractor ftle`: finite-time Lyapunov exponents of any map; one file a family.

mod dynamics;
mod field;
mod flow;
mod graph_run;
mod maps;
mod measured;
mod output;
mod recursive;

use super::exit::{NotFinite, Outcome, Usage};
use super::output::{check_free, note};
use super::recurse::{Kind, ModelArguments};
use super::shard::Shard;
use anyhow::Result;
use attractor::device::Selection;
use clap::Subcommand;
use std::path::PathBuf;

/// Arguments of `ftle`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FtleArguments {
    #[command(subcommand)]
    command: Option<FtleCommand>,
    #[command(flatten)]
    measure: MeasureArguments,
}

#[derive(Debug, Subcommand)]
enum FtleCommand {
    /// Draw the exponents of a flow in the plane over a grid of initial states
    Field(Box<field::FieldArguments>),
}

/// What to measure and how.
#[derive(Debug, clap::Args)]
pub struct MeasureArguments {
    /// A textbook system: henon, lorenz63, lorenz96, kuramoto_sivashinsky, linear, ...
    #[arg(long, value_name = "NAME", conflicts_with = "model")]
    pub map: Option<String>,
    /// A learned map
    #[arg(long, value_enum, requires = "weights")]
    pub model: Option<Model>,
    #[command(flatten)]
    pub system: SystemArguments,
    #[command(flatten)]
    pub learned: ModelArguments,
    #[command(flatten)]
    pub data: DataArguments,
    /// Steps [default: 20000 of a map, those of the configuration of a model]
    #[arg(long, value_name = "T")]
    pub steps: Option<u32>,
    /// Tangent vectors [default: the dimension of a map, at most 64; 8 of a model]
    #[arg(long, short, value_name = "COUNT")]
    pub k: Option<usize>,
    /// Steps from one QR to the next
    #[arg(long, value_name = "STEPS", default_value_t = 1)]
    pub every: u32,
    /// Seed of the first tangents and of the error bars
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Probability that the intervals shall hold
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    pub level: f64,
    /// Resamples of the block bootstrap
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub resamples: usize,
    /// Count events from this one on, and
    #[arg(long, value_name = "EVENT", default_value_t = 0)]
    pub from: usize,
    /// up to this one alone: a window of QRs in place of all
    #[arg(long, value_name = "EVENT")]
    pub to: Option<usize>,
    /// Sort the exponents of every example, the largest first
    #[arg(long)]
    pub sorted: bool,
    /// Angles between the covariant vectors too; keeps every Q and R of the run
    #[arg(long)]
    pub covariant: bool,
    /// Write exponents to this npz file; of a reasoner, its diagnostics
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the logarithms of every QR too (log_r)
    #[arg(long, requires = "out")]
    pub history: bool,
    /// Draw the running exponents of the first example: this name with .svg and .png
    #[arg(long, value_name = "NAME")]
    pub figure: Option<PathBuf>,
    /// Write over existing files
    #[arg(long)]
    pub force: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = output::Format::Table)]
    pub format: output::Format,
}

/// `--model`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// Hierarchical Reasoning Model, over its ACT steps
    Hrm,
    /// Tiny Recursive Model, over its ACT steps
    Trm,
    /// Velocity decoder of a flow-matching policy, along its solver
    Flow,
    /// Latent dynamics of TD-MPC2, under recorded actions
    Tdmpc2,
}

/// Settings of textbook systems.
#[derive(Debug, Clone, clap::Args)]
pub struct SystemArguments {
    /// A parameter of the system, such as a=1.4; may be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE", requires = "map")]
    pub parameters: Vec<String>,
    /// Initial state [default: the system's usual one]
    #[arg(
        long,
        value_name = "NUMBERS",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true,
        requires = "map"
    )]
    pub start: Vec<f64>,
    /// Trajectories from as many starts near the usual one
    #[arg(long, value_name = "COUNT", requires = "map", conflicts_with = "start")]
    pub starts: Option<usize>,
    /// Steps before the first tangent moves [default: the system's usual ones]
    #[arg(long, value_name = "STEPS", requires = "map")]
    pub transient: Option<u32>,
    /// Size of the integrator's steps [default: the system's usual one]
    #[arg(
        long,
        value_name = "TIME",
        requires = "map",
        allow_negative_numbers = true
    )]
    pub step_size: Option<f64>,
    /// Matrix of the linear map: a square .npy or the array A of an npz or safetensors file
    #[arg(long, value_name = "FILE", requires = "map")]
    pub matrix: Option<PathBuf>,
}

/// What a learned map is measured on.
#[derive(Debug, Clone, clap::Args)]
pub struct DataArguments {
    /// Puzzles as recurse takes them; conditions (cond) of a flow policy; states (z0) and actions of
    /// latent dynamics
    #[arg(long, value_name = "PATH", requires = "model")]
    pub data: Option<PathBuf>,
    /// What the puzzles are [default: by their characters or tokens]
    #[arg(long, value_enum, requires = "data")]
    pub kind: Option<Kind>,
    /// Take the first so many examples alone
    #[arg(long, value_name = "COUNT", requires = "data")]
    pub limit: Option<usize>,
    /// Take part I of N (I from 1) of the examples
    #[arg(long, value_name = "I/N", requires = "data")]
    pub shard: Option<Shard>,
    /// Examples of one run [default: by the device]
    #[arg(long, value_name = "COUNT", requires = "data")]
    pub batch: Option<usize>,
    /// Updates between QRs of a reasoner [default: lstep of HRM, sub of TRM]
    #[arg(long, value_enum, requires = "data")]
    pub granularity: Option<recursive::GranularityName>,
    /// First tangents of a reasoner: array Q0 [N, n, k] with orthonormal columns [default: random]
    #[arg(long, value_name = "FILE", requires = "data")]
    pub tangents: Option<PathBuf>,
    /// Solver of a flow policy
    #[arg(long, value_name = "METHOD", requires = "data")]
    pub solver: Option<String>,
    /// Draws of each frame of a flow policy
    #[arg(long, value_name = "COUNT", requires = "data")]
    pub draws: Option<usize>,
    /// Elements of a group of SimNorm
    #[arg(long, value_name = "COUNT", requires = "data")]
    pub simnorm_group: Option<usize>,
    /// Task of latent dynamics that are shared by several, from 0 on
    #[arg(long, value_name = "INDEX", requires = "data")]
    pub task: Option<usize>,
}

impl DataArguments {
    /// The examples that are asked for, of so many.
    pub fn range(&self, count: usize) -> Result<std::ops::Range<usize>> {
        let total = match self.limit {
            Some(0) => return Err(Usage("--limit is 0, expected at least 1".into()).into()),
            limit => limit.unwrap_or(count).min(count),
        };
        let range = self.shard.map_or(0..total, |shard| shard.range(total));
        if range.is_empty() {
            let message = "expected at least one example, found none";
            return Err(Usage(message.into()).into());
        }
        Ok(range)
    }
}

/// Runs the command.
pub fn run(arguments: &FtleArguments, selector: &str) -> Result<Outcome> {
    if let Some(FtleCommand::Field(arguments)) = &arguments.command {
        return field::run(arguments, selector);
    }
    let measure = &arguments.measure;
    output::check(measure)?;
    if let Some(path) = &measure.out {
        check_free(path, measure.force)?;
    }
    for path in output::figure_files(measure) {
        check_free(&path, measure.force)?;
    }
    let selection = Selection::by_name(selector)?;
    let measured = match (&measure.map, measure.model) {
        (Some(name), _) => maps::measure(name, measure, &selection)?,
        (None, Some(Model::Hrm | Model::Trm)) => recursive::measure(measure, &selection)?,
        (None, Some(Model::Flow)) => flow::measure(measure, &selection)?,
        (None, Some(Model::Tdmpc2)) => dynamics::measure(measure, &selection)?,
        (None, None) => {
            let message = "expected --map, --model or a command (field), found none of them";
            return Err(Usage(message.into()).into());
        }
    };
    output::write(measure, &measured)?;
    let invalid = measured.invalid();
    if invalid == measured.examples.len() {
        let first = measured.examples.first();
        let reason = first.and_then(|example| example.invalid.clone());
        return Err(NotFinite(reason.unwrap_or_else(|| "there is none".into())).into());
    }
    if invalid > 0 {
        note(&format!(
            "{invalid} examples are not finite and were left out"
        ));
    }
    Ok(Outcome::Good)
}
