//! `attractor plan`: plans for recorded observations.

mod explain;
mod input;
mod output;

use super::exit::Outcome;
use super::model::{Configuration, load_weights};
use super::output::note;
use super::progress;
use super::record::RunRecord;
use super::sampling::SamplerArguments;
use super::shard::Shard;
use attractor::device::{DeviceKind, Selection};
use attractor::formats::check_writable;
use attractor::samplers::{Observations, PlanRequest, Planner, SamplerSettings};
use attractor::worlds::minihack::{Grid, hazards};
use input::Input;
use std::path::PathBuf;

/// Arguments of `attractor plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArguments {
    /// Weights: safetensors, npz, or a PyTorch checkpoint
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Which state dictionary of a PyTorch checkpoint [default: averaged weights first]
    #[arg(long, value_name = "KEY")]
    weights_key: Option<String>,
    /// Configuration [default: the JSON beside the weights]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Observations: npz with local_obs and global_obs
    #[arg(long, value_name = "FILE")]
    obs: PathBuf,
    #[command(flatten)]
    sampler: SamplerArguments,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Random numbers to replay: npz with u_cat, u_unmask, u_remask of [steps, N, seq_len]
    #[arg(long, value_name = "FILE")]
    draws: Option<PathBuf>,
    /// Plan for the first so many observations alone
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Plan for part I of N (I from 1) of the observations
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Write plans, goals and example numbers to this npz file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to print the plans; with --out nothing is printed unless this is given
    #[arg(long, value_enum)]
    format: Option<output::Format>,
    /// Print the compiled graph and its peak memory before the run
    #[arg(long)]
    explain: bool,
    /// Write the compiled graph as JSON
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
    /// Stop before the run
    #[arg(long)]
    dry_run: bool,
}

/// Plans, one row of tokens an observation.
#[derive(Debug)]
struct Results {
    /// Number of the first observation.
    first: usize,
    /// Actions in a plan.
    length: usize,
    /// `[N, length]`.
    tokens: Vec<i32>,
    /// Predicted place of the staircase, where the network tells one.
    goal: Option<Vec<[f32; 2]>>,
}

/// Loads, plans, writes.
pub fn run(arguments: &PlanArguments, selector: &str) -> anyhow::Result<Outcome> {
    // Before the work, so that plans are not lost at its end.
    for path in [&arguments.out, &arguments.graph].into_iter().flatten() {
        check_writable(path)?;
    }
    let configuration = Configuration::load(arguments.config.as_deref(), &arguments.weights)?;
    let settings = arguments.sampler.settings(&configuration)?;
    let input = Input::load(arguments, &configuration.denoiser, &settings)?;
    let weights = load_weights(&arguments.weights, arguments.weights_key.as_deref())?;
    let Selection { device, reason } = Selection::by_name(selector)?;
    let mut planner = Planner::new(configuration.denoiser, &weights, &device)?;
    drop(weights);
    let file = arguments.weights.display().to_string();
    let hash = planner.weights_hash().to_string();
    let record = RunRecord::new(&device, arguments.seed, (&file, &hash), &settings);
    note(record.header(&reason).trim_end());

    let piece = piece_size(device.info().kind);
    let batch = input.range.len().min(piece);
    if batch > 0 {
        let peak = if input.replays() {
            planner.peak_bytes_replayed(&settings, batch)?
        } else {
            planner.peak_bytes(&settings, batch)?
        };
        note(&format!("memory   {peak} bytes of working memory needed"));
    }
    if batch > 0 && (arguments.explain || arguments.graph.is_some()) {
        let plan = planner.compile(&settings, batch)?;
        explain::write(arguments, &plan, settings.steps, batch)?;
    }
    if arguments.dry_run {
        return Ok(Outcome::Good);
    }
    let results = plan_all(&mut planner, &settings, &input, arguments.seed, piece)?;
    output::write(arguments, &record, &results)?;
    Ok(Outcome::Good)
}

/// Observations handed to the planner at once: enough to fill the device, few enough to show progress.
fn piece_size(kind: DeviceKind) -> usize {
    match kind {
        DeviceKind::Cpu | DeviceKind::SoftwareGpu => 64,
        _ => 1024,
    }
}

/// What lies beside the agent of every observation, for physics-aware sampling.
fn hazards_beside(observations: &Observations) -> anyhow::Result<Vec<[bool; 4]>> {
    let side = observations.crop;
    observations
        .local
        .chunks_exact(observations.cells())
        .map(|crop| Ok(hazards(&Grid::new(crop, side, side)?)))
        .collect()
}

fn plan_all(
    planner: &mut Planner,
    settings: &SamplerSettings,
    input: &Input,
    seed: u64,
    piece: usize,
) -> anyhow::Result<Results> {
    let mut results = Results {
        first: input.range.start,
        length: planner.config().seq_len,
        tokens: Vec::new(),
        // There from the start, so that an empty shard has the arrays of the others.
        goal: planner.config().use_global_stream.then(Vec::new),
    };
    let bar = progress::bar(input.range.len());
    let mut peak = 0;
    for start in input.range.clone().step_by(piece) {
        let range = start..input.range.end.min(start + piece);
        let observations = input.observations.slice(range.clone());
        let draws = input.draws(&range, results.length);
        let hazards = settings
            .physics_aware
            .then(|| hazards_beside(&observations))
            .transpose()?;
        let request = PlanRequest {
            first_example: u32::try_from(start)?,
            draws: draws.as_ref(),
            hazards: hazards.as_deref(),
            ..PlanRequest::new(&observations, seed)
        };
        let plans = planner.plan(settings, &request)?;
        peak = peak.max(plans.report.working_bytes);
        results.tokens.extend(plans.tokens);
        if let Some(goal) = plans.goal {
            results.goal.get_or_insert_default().extend(goal);
        }
        bar.inc(range.len() as u64);
    }
    bar.finish_and_clear();
    if peak > 0 {
        note(&format!("memory   {peak} bytes of working memory used"));
    }
    Ok(results)
}
