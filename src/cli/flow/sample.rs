//! `attractor flow sample`: draws of action chunks.

mod output;

use super::draw::{DrawSettings, NoiseArguments, SolverArguments, draw};
use super::model::{ModelArguments, Policy};
use super::source::{Source, SourceArguments};
use crate::cli::exit::{Outcome, Usage};
use crate::cli::output::{check_free, note, print};
use crate::cli::record::RunRecord;
use crate::cli::shard::Shard;
use anyhow::Result;
use attractor::device::{Device, Selection};
use attractor::formats::load_arrays;
use attractor::samplers::flow::{FlowReport, FlowRequest, FlowSampler, Noise, Solver};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Arguments of `attractor flow sample`.
#[derive(Debug, clap::Args)]
pub struct SampleArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    solver: SolverArguments,
    #[command(flatten)]
    draws: NoiseArguments,
    /// Noise to start from in place of random numbers: npz or safetensors with noise [N, K, H, A], N as in
    /// the data and K as --draws says
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "stream", "temperature"])]
    noise: Option<PathBuf>,
    /// Draw for part I of N (I from 1) of the frames
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Keep every state from noise to action (solvers with equal steps)
    #[arg(long, requires = "out")]
    record: bool,
    /// Write the draws to this npz file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over an existing file
    #[arg(long)]
    force: bool,
    /// How to print the draws; with --out nothing is printed unless this is given
    #[arg(long, value_enum)]
    format: Option<output::Format>,
    /// Print the compiled graph before the run
    #[arg(long)]
    explain: bool,
}

/// Draws of a part of the source.
struct Results<'a> {
    source: &'a Source,
    range: Range<usize>,
    draws: usize,
    horizon: usize,
    /// Names of the channels of `raw`, where there is one; their number R.
    raw_keys: Vec<String>,
    /// Model channels A.
    channels: usize,
    /// `[N, K, H, A]`.
    model: Vec<f64>,
    /// `[N, K, H, R]`, where statistics are known.
    raw: Option<Vec<f64>>,
    /// Times and states `[N, K, steps + 1, H, A]`, where recorded.
    trajectories: Option<(Vec<f64>, Vec<f64>)>,
    report: FlowReport,
}

/// Loads, draws, writes.
pub fn run(arguments: &SampleArguments, selector: &str) -> Result<Outcome> {
    if let Some(path) = &arguments.out {
        check_free(path, arguments.force)?;
    }
    let solver = arguments.solver.solver()?;
    arguments.draws.check()?;
    let mut policy = Policy::load(&arguments.model)?;
    let source = Source::load(&arguments.source)?;
    policy.accept(&source)?;
    let range = 0..source.len();
    let range = arguments
        .shard
        .map_or(range.clone(), |shard| shard.range(range.end));
    let recorded = match &arguments.noise {
        Some(file) => Some(recorded_noise(
            file,
            &policy,
            &source,
            arguments.draws.draws,
            &range,
        )?),
        None => None,
    };
    let noise = match &recorded {
        Some(values) => Noise::Recorded(values),
        None => arguments.draws.noise(),
    };
    let Selection { device, reason } = Selection::by_name(selector)?;
    let mut sampler = policy.sampler(&device)?;
    let record = record(arguments, &policy, &source, (&device, &sampler), solver);
    note(&format!(
        "{}{}",
        record.head(&reason),
        record.sampler.line()
    ));
    let plan = (solver, arguments.draws.draws, noise);
    if arguments.explain && !range.is_empty() {
        explain(arguments, &mut sampler, (&source, &range), plan)?;
    }
    let drawn = draw(&mut sampler, &source, range.clone(), plan, arguments.record)?;
    let transform = policy.transform();
    let raw = transform
        .map(|transform| transform.to_raw(&drawn.values_f64))
        .transpose()?;
    let steps = match solver {
        Solver::Fixed { steps, .. } => steps,
        Solver::Adaptive(_) => 0,
    };
    let times = (0..=steps).map(|step| step as f64 / steps.max(1) as f64);
    let results = Results {
        source: &source,
        range,
        draws: arguments.draws.draws,
        horizon: policy.config.horizon,
        raw_keys: transform.map_or_else(Vec::new, |transform| transform.raw_keys().to_vec()),
        channels: policy.config.action_dim,
        model: drawn.values_f64,
        raw,
        trajectories: drawn.trajectories.map(|states| (times.collect(), states)),
        report: drawn.report,
    };
    note(&cost_lines(&results.report, device.gpu().is_none()));
    output::write(arguments, &record, &results)?;
    Ok(Outcome::Good)
}

fn record(
    arguments: &SampleArguments,
    policy: &Policy,
    source: &Source,
    (device, sampler): (&Device, &FlowSampler),
    solver: Solver,
) -> RunRecord<DrawSettings> {
    let mut settings = DrawSettings::new(policy, source, solver, &arguments.draws);
    if let Some(file) = &arguments.noise {
        settings.temperature = None;
        settings.noise = Some(file.display().to_string());
    }
    let weights = (policy.file.as_str(), sampler.weights_hash());
    RunRecord::new(device, arguments.draws.seed, weights, &settings)
}

/// The noise of a part of the rows.
fn recorded_noise(
    file: &Path,
    policy: &Policy,
    source: &Source,
    draws: usize,
    range: &Range<usize>,
) -> Result<Vec<f32>> {
    let (horizon, channels) = (policy.config.horizon, policy.config.action_dim);
    let shape = [source.file_rows, draws, horizon, channels];
    let values = load_arrays(file)?.expect_finite_f32("noise", &shape)?;
    let width = draws * horizon * channels;
    let rows = source.rows.get(range.clone()).unwrap_or_default();
    let part = |&row: &usize| values.get(row * width..(row + 1) * width);
    let noise: Vec<f32> = rows.iter().filter_map(part).flatten().copied().collect();
    if noise.len() != rows.len() * width {
        // The shape was checked, so this is a row that the source does not have.
        let message = format!("{}: noise: expected all rows of the data", file.display());
        return Err(Usage(message).into());
    }
    Ok(noise)
}

fn explain(
    arguments: &SampleArguments,
    sampler: &mut FlowSampler,
    (source, range): (&Source, &Range<usize>),
    (solver, draws, noise): (Solver, usize, Noise<'_>),
) -> Result<()> {
    let steps = match solver {
        Solver::Fixed { steps, .. } => steps as u32,
        Solver::Adaptive(settings) => settings.maximum_steps,
    };
    let request = FlowRequest {
        conditions: source.conditions_of(range.clone()),
        frames: range.len(),
        first_frame: 0,
        draws,
        noise,
        solver,
        record: arguments.record,
    };
    let plan = sampler.plan(&request)?;
    let text = format!("graph of one run\n{}", plan.explain(steps));
    match arguments.format {
        Some(output::Format::Table) => print(&text)?,
        None if arguments.out.is_none() => print(&text)?,
        // Results that a program reads must stay alone on standard output.
        _ => note(text.trim_end()),
    }
    Ok(())
}

/// What the draws took, for people.
fn cost_lines(report: &FlowReport, on_cpu: bool) -> String {
    let steps = if report.accepted + report.rejected > 0 {
        format!(
            ", {} steps accepted and {} rejected",
            report.accepted, report.rejected
        )
    } else {
        String::new()
    };
    // On the CPU device launching is the work itself.
    let included = if on_cpu { ", the work included" } else { "" };
    let microseconds = 1e6 * report.host_seconds / (report.dispatches.max(1)) as f64;
    format!(
        "cost     {} dispatches, {} a solver step, {microseconds:.2} us of the host a dispatch{included}; {} submissions in {} \
         runs of {} frames x {} draws\ncost     {:.1} evaluations a draw{steps}; {:.3} s; {} bytes of working memory",
        report.dispatches,
        report.dispatches_a_step,
        report.submissions,
        report.runs,
        report.run_frames,
        report.run_draws,
        report.evaluations,
        report.seconds,
        report.working_bytes
    )
}
