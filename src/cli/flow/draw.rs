//! How to draw: solver, number of draws, noise; and drawing for many frames.

use super::model::Policy;
use super::source::Source;
use crate::cli::exit::Usage;
use anyhow::{Context, Result};
use attractor::samplers::flow::{
    AdaptiveSettings, FlowDraws, FlowError, FlowReport, FlowRequest, FlowSampler, Method, Noise,
    Solver, fill_noise,
};
use serde::Serialize;
use std::ops::Range;

/// `--solver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SolverName {
    /// Order 1, one evaluation a step
    Euler,
    /// Order 2, two evaluations a step
    Midpoint,
    /// Order 2, two evaluations a step
    Heun,
    /// Order 4, four evaluations a step
    Rk4,
    /// Order 5, six evaluations a step
    #[value(name = "dormand_prince5")]
    DormandPrince5,
    /// Dormand-Prince 5(4) with a step size for every draw
    Adaptive,
}

impl SolverName {
    fn method(self) -> Option<Method> {
        Some(match self {
            Self::Euler => Method::Euler,
            Self::Midpoint => Method::Midpoint,
            Self::Heun => Method::Heun,
            Self::Rk4 => Method::Rk4,
            Self::DormandPrince5 => Method::DormandPrince5,
            Self::Adaptive => return None,
        })
    }
}

/// Flags of the solver.
#[derive(Debug, Clone, clap::Args)]
pub struct SolverArguments {
    /// How the ODE from noise to action is solved
    #[arg(long, value_enum, default_value = "heun")]
    pub solver: SolverName,
    /// Steps of equal size [default: 32]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub steps: Option<usize>,
    /// Adaptive solver: error of an end point allowed per unit of it [default: 1e-2]
    #[arg(long, value_name = "ERROR", allow_negative_numbers = true)]
    pub rtol: Option<f32>,
    /// Adaptive solver: error of an end point allowed beside that [default: 1e-2]
    #[arg(long, value_name = "ERROR", allow_negative_numbers = true)]
    pub atol: Option<f32>,
    /// Adaptive solver: steps tried before a draw has failed [default: 20000]
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u32>,
    /// Adaptive solver: solve once; --rtol and --atol then bound the estimated error of a step alone
    #[arg(long)]
    pub one_pass: bool,
}

impl SolverArguments {
    /// Checked settings.
    pub fn solver(&self) -> Result<Solver> {
        let solver = match self.solver.method() {
            Some(method) => {
                let foreign = [
                    ("--rtol", self.rtol.is_some()),
                    ("--atol", self.atol.is_some()),
                    ("--max-steps", self.max_steps.is_some()),
                    ("--one-pass", self.one_pass),
                ];
                if let Some((flag, _)) = foreign.into_iter().find(|(_, given)| *given) {
                    let message = format!("{flag}: expected --solver adaptive, found {method}");
                    return Err(Usage(message).into());
                }
                let steps = self.steps.unwrap_or(32);
                Solver::Fixed { method, steps }
            }
            None if self.steps.is_some() => {
                let message = "--steps: expected a solver with equal steps, found adaptive";
                return Err(Usage(message.into()).into());
            }
            None => {
                let usual = AdaptiveSettings::default();
                Solver::Adaptive(AdaptiveSettings {
                    relative_tolerance: self.rtol.unwrap_or(usual.relative_tolerance),
                    absolute_tolerance: self.atol.unwrap_or(usual.absolute_tolerance),
                    maximum_steps: self.max_steps.unwrap_or(usual.maximum_steps),
                    refine: !self.one_pass,
                    ..usual
                })
            }
        };
        solver.check()?;
        Ok(solver)
    }
}

/// Most draws of a frame; more would not fit in memory as one frame's.
const MOST_DRAWS: usize = 1 << 20;

/// Flags of the noise.
#[derive(Debug, Clone, clap::Args)]
pub struct NoiseArguments {
    /// Draws of every frame
    #[arg(
        long,
        value_name = "K",
        default_value_t = 32,
        allow_negative_numbers = true
    )]
    pub draws: usize,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
    /// Which of several independent sets of draws
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub stream: u32,
    /// Standard deviation of the noise
    #[arg(
        long,
        value_name = "T",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    pub temperature: f32,
}

impl NoiseArguments {
    /// Checks what no request is needed for.
    pub fn check(&self) -> Result<()> {
        if self.draws == 0 {
            return Err(
                Usage("--draws: expected at least 1 draw a frame (K), found 0".into()).into(),
            );
        }
        if self.draws > MOST_DRAWS {
            let found = self.draws;
            let message =
                format!("--draws: expected at most {MOST_DRAWS} draws a frame, found {found}");
            return Err(Usage(message).into());
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            let found = self.temperature;
            let message = format!("--temperature: expected a finite number from 0, found {found}");
            return Err(Usage(message).into());
        }
        Ok(())
    }

    /// Noise by these flags.
    pub fn noise(&self) -> Noise<'static> {
        Noise::Seeded {
            seed: self.seed,
            stream: self.stream,
            temperature: self.temperature,
        }
    }
}

/// What a record says of how draws were made.
#[derive(Debug, Clone, Serialize)]
pub struct DrawSettings {
    /// How the ODE was solved.
    pub solver: Solver,
    /// Draws of every frame.
    pub draws: usize,
    /// Which set of draws.
    pub stream: u32,
    /// Standard deviation of the noise; none where it was recorded.
    pub temperature: Option<f32>,
    /// File of recorded noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<String>,
    /// Which end of the model's time is noise.
    pub time_direction: attractor::models::flow::TimeDirection,
    /// What was predicted for.
    pub source: String,
    /// Statistics that turned draws into raw actions, where there were any.
    pub statistics: Option<String>,
    /// Rows left out as not finite.
    pub dropped: usize,
}

impl DrawSettings {
    /// Settings of a run with seeded noise.
    pub fn new(policy: &Policy, source: &Source, solver: Solver, noise: &NoiseArguments) -> Self {
        Self {
            solver,
            draws: noise.draws,
            stream: noise.stream,
            temperature: Some(noise.temperature),
            noise: None,
            time_direction: policy.config.time_direction,
            source: source.name.clone(),
            statistics: policy.statistics_file.clone(),
            dropped: source.dropped,
        }
    }

    /// A line for the head of a run, with the space of its results.
    pub fn line(&self) -> String {
        let space = match &self.statistics {
            Some(file) => format!("raw actions by {file}"),
            None => "actions in model space (no --statistics)".into(),
        };
        format!("{}; {space}", self.sampler_line())
    }

    /// A line for the head of a run: how draws are made.
    pub fn sampler_line(&self) -> String {
        let solver = match self.solver {
            Solver::Fixed { method, steps } => format!("{method}, {steps} steps"),
            Solver::Adaptive(settings) => format!(
                "adaptive, relative tolerance {}, absolute {}, at most {} steps",
                settings.relative_tolerance, settings.absolute_tolerance, settings.maximum_steps
            ),
        };
        let noise = match (&self.noise, self.temperature) {
            (None, Some(temperature)) => {
                format!("stream {}, temperature {temperature}", self.stream)
            }
            (Some(file), _) => format!("noise of {file}"),
            (None, None) => "recorded noise".into(),
        };
        format!("sampler  {solver}; {} draws a frame, {noise}", self.draws)
    }
}

/// Rows handed to the sampler at once, so that long jobs show progress.
const PIECE_ROWS: usize = 8192;

/// Draws for some frames of a source in pieces. Noise is keyed by the number of the row in the source, so
/// draws do not depend on the range that they are a part of.
pub fn draw(
    sampler: &mut FlowSampler,
    source: &Source,
    range: Range<usize>,
    (solver, draws, noise): (Solver, usize, Noise<'_>),
    record: bool,
) -> Result<FlowDraws> {
    let chunk = sampler.config().chunk();
    let piece = (PIECE_ROWS / draws.max(1)).max(1);
    let bar = crate::cli::progress::bar(range.len());
    let mut all: Option<FlowDraws> = None;
    for start in range.clone().step_by(piece) {
        let end = range.end.min(start + piece);
        let rows = draws * chunk;
        let frames = source.rows.get(start..end).unwrap_or_default();
        let made;
        let noise = match noise {
            Noise::Recorded(values) => {
                let places = (start - range.start) * rows..(end - range.start) * rows;
                Noise::Recorded(values.get(places).unwrap_or_default())
            }
            Noise::Seeded {
                seed,
                stream,
                temperature,
            } => {
                made = noise_of(frames, (draws, chunk), (seed, stream), temperature)?;
                Noise::Recorded(&made)
            }
        };
        let request = FlowRequest {
            conditions: source.conditions_of(start..end),
            frames: end - start,
            first_frame: 0,
            draws,
            noise,
            solver,
            record,
        };
        let drawn = sampler
            .sample(&request)
            .map_err(|error| in_source(error, frames))?;
        all = Some(match all {
            None => drawn,
            Some(all) => join(all, drawn, (start - range.start, end - start)),
        });
        bar.inc((end - start) as u64);
    }
    bar.finish_and_clear();
    // A shard may be empty, and has the arrays of the others all the same.
    Ok(all.unwrap_or_else(|| FlowDraws {
        values: Vec::new(),
        values_f64: Vec::new(),
        trajectories: record.then(Vec::new),
        report: FlowReport::default(),
    }))
}

/// Noise `[frames, draws, chunk]` keyed by the numbers of the frames in their source, so that a draw depends
/// neither on the rows around it nor on those left out.
pub fn noise_of(
    frames: &[usize],
    (draws, chunk): (usize, usize),
    key: (u64, u32),
    temperature: f32,
) -> Result<Vec<f32>> {
    let mut noise = vec![0.0; frames.len() * draws * chunk];
    let mut rows = noise.chunks_exact_mut(chunk.max(1));
    for &frame in frames {
        let frame = u32::try_from(frame).context("number of a frame")?;
        for (draw, row) in (0u32..).zip(rows.by_ref().take(draws)) {
            fill_noise(row, key, (frame, draw), temperature);
        }
    }
    Ok(noise)
}

/// An error about one of some frames, with its number in the source.
pub fn in_source(mut error: FlowError, frames: &[usize]) -> FlowError {
    if let FlowError::NotFinite { frame, .. }
    | FlowError::Tolerance { frame, .. }
    | FlowError::Unsettled { frame, .. } = &mut error
        && let Some(&row) = frames.get(*frame)
    {
        *frame = row;
    }
    error
}

/// Joins two pieces of so many frames.
fn join(mut all: FlowDraws, piece: FlowDraws, (before, added): (usize, usize)) -> FlowDraws {
    all.values.extend(piece.values);
    all.values_f64.extend(piece.values_f64);
    if let (Some(all), Some(piece)) = (&mut all.trajectories, piece.trajectories) {
        all.extend(piece);
    }
    let (a, b) = (all.report, piece.report);
    let share = before as f64 / (before + added).max(1) as f64;
    all.report = FlowReport {
        runs: a.runs + b.runs,
        dispatches: a.dispatches + b.dispatches,
        submissions: a.submissions + b.submissions,
        host_seconds: a.host_seconds + b.host_seconds,
        seconds: a.seconds + b.seconds,
        working_bytes: a.working_bytes.max(b.working_bytes),
        evaluations: if a.evaluations == b.evaluations {
            a.evaluations
        } else {
            share * a.evaluations + (1.0 - share) * b.evaluations
        },
        accepted: a.accepted + b.accepted,
        rejected: a.rejected + b.rejected,
        ..a
    };
    all
}
