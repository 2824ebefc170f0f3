//! The command line: one file a subcommand.

mod analyze;
mod bench;
mod demo;
mod drive;
mod exit;
mod flow;
mod ftle;
mod info;
mod maze;
mod model;
mod mpc;
mod output;
mod plan;
mod progress;
mod record;
mod recurse;
mod sampling;
mod shard;
mod stage2;
mod verify;

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
    /// Turn measurements into numbers, tables and figures
    Analyze(analyze::AnalyzeArguments),
    /// Devices, their features and limits, and whether they compute correctly
    Info(info::InfoArguments),
    /// Measure kernels and the planner against the roofline of the device
    Bench(Box<bench::BenchArguments>),
    /// Run a shipped trained planner on recorded dungeons and write a report
    Demo(demo::DemoArguments),
    /// Generate the driving benchmark DriveChunk-1
    Drive(drive::DriveArguments),
    /// Sample, evaluate and inspect flow-matching action policies
    Flow(Box<flow::FlowArguments>),
    /// Measure finite-time Lyapunov exponents
    Ftle(Box<ftle::FtleArguments>),
    /// Learned dynamics of a maze: offline metrics against planning
    Maze(Box<maze::MazeArguments>),
    /// Plan actions with a TD-MPC2 world model
    Mpc(Box<mpc::MpcArguments>),
    /// Plan for recorded observations with a trained masked-diffusion planner
    Plan(Box<plan::PlanArguments>),
    /// Solve puzzles with a recursive reasoner (HRM, TRM)
    Recurse(Box<recurse::RecurseArguments>),
    /// Offline metrics of published control models beside their planning gaps
    Stage2(Box<stage2::Stage2Arguments>),
    /// Check every golden below a folder against the engine
    Verify(verify::VerifyArguments),
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

/// Gives the Vulkan loader a runtime folder where the system has none: Mesa complains on standard
/// error otherwise, and errors of this program are one line.
fn quiet_drivers() {
    const RUNTIME: &str = "XDG_RUNTIME_DIR";
    if std::env::var_os(RUNTIME).is_none() {
        // SAFETY: called first in `main`, before there is a second thread.
        unsafe { std::env::set_var(RUNTIME, std::env::temp_dir()) };
    }
}

/// Parses the arguments, runs the command, and turns what came of it into an exit code.
pub fn main() -> ExitCode {
    quiet_drivers();
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
        Command::Analyze(arguments) => analyze::run(arguments),
        Command::Info(arguments) => info::run(arguments, &cli.device.selector()),
        Command::Bench(arguments) => bench::run(arguments, &cli.device.selector()),
        Command::Demo(arguments) => demo::run(arguments, &cli.device.selector()),
        Command::Drive(arguments) => drive::run(arguments),
        Command::Flow(arguments) => flow::run(arguments, &cli.device.selector()),
        Command::Ftle(arguments) => ftle::run(arguments, &cli.device.selector()),
        Command::Maze(arguments) => maze::run(arguments, &cli.device.selector()),
        Command::Mpc(arguments) => mpc::run(arguments, &cli.device.selector()),
        Command::Plan(arguments) => plan::run(arguments, &cli.device.selector()),
        Command::Recurse(arguments) => recurse::run(arguments, &cli.device.selector()),
        Command::Stage2(arguments) => stage2::run(arguments, &cli.device.selector()),
        Command::Verify(arguments) => verify::run(arguments, &cli.device.selector()),
    }
}
