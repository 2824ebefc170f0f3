//! `attractor flow evaluate`: draws, the whole panel, and a page that keeps the runs before.

mod benchmark;
mod feedback;
mod measure;
mod output;

use super::draw::{DrawSettings, NoiseArguments, SolverArguments};
use super::drawing::{BATCH_FRAMES, Drawer, Drawn, check_readout};
use super::field::usual_views;
use super::model::{ModelArguments, Policy};
use super::source::{Source, SourceArguments, Truth};
use super::table::recording;
use crate::cli::exit::{Outcome, Usage};
use crate::cli::output::note;
use crate::cli::progress;
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::analysis::flow::{
    Chunks, Draws, PanelConfig, PanelInput, RankingConfig, Readout, Rollout,
};
use attractor::device::Selection;
use benchmark::Benchmark;
use measure::{Calibrations, Measures, RouteMeasures};
use output::{Folder, Format, Results};
use serde::Serialize;
use std::path::PathBuf;

/// Frames by which the spike region of the fan reaches beyond a spike on the benchmark, whose events are dense.
const BENCHMARK_FAN_PAD: usize = 6;

/// Arguments of `flow evaluate`.
#[derive(Debug, clap::Args)]
pub struct EvaluateArguments {
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    solver: SolverArguments,
    #[command(flatten)]
    noise: NoiseArguments,
    /// How draws become the chunk of the table of predictions: single, meank, mode, mode_medoid, ranker,
    /// ranker:TEMPERATURE or top:M
    #[arg(long, value_name = "READOUT", default_value = "mode")]
    readout: Readout,
    /// Weights of a draw ranker, whose readouts are measured too
    #[arg(long, value_name = "FILE")]
    ranker: Option<PathBuf>,
    /// |action| of each raw channel beyond which a slot is a maneuver [default: by the statistics]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    thresholds: Option<Vec<f64>>,
    /// Frames by which the spike region of the fan reaches beyond a spike [default: 6 for DriveChunk-1, else 50]
    #[arg(long, value_name = "FRAMES")]
    fan_pad: Option<usize>,
    /// Roll out with action feedback too, frame by frame in chains of 64 (drives of DriveChunk-1 only)
    #[arg(long)]
    rollout: bool,
    /// Look at the velocity field of three frames too, and draw it on the page
    #[arg(long)]
    field: bool,
    #[command(flatten)]
    run: RunArguments,
    /// Folder for manifest.json and report.html, which keep the runs before, and for runs/NAME/panel.json and
    /// runs/NAME/predictions.npz
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How to print what was measured
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The card of the run.
#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Name of the run; a run of this name in the folder is replaced [default: name of the weights' file]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Title of a new page
    #[arg(long, value_name = "TEXT", default_value = "Flow-matching policies")]
    title: String,
    /// Free text on the card
    #[arg(long, value_name = "TEXT", default_value = "")]
    notes: String,
    /// Words on the card
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    tags: Vec<String>,
    /// Where the card leads
    #[arg(long, value_name = "ADDRESS", value_parser = output::link)]
    link: Option<attractor::report::flow::Link>,
    /// What came of the run
    #[arg(long, value_enum)]
    verdict: Option<output::VerdictName>,
}

/// What the record says of an evaluation, beside the device, seed and weights.
#[derive(Debug, Clone, Serialize)]
struct Settings {
    #[serde(flatten)]
    draw: DrawSettings,
    readout: String,
    ranker: Option<String>,
    /// Thresholds of maneuvers, by raw channel.
    thresholds: Vec<f64>,
    fan_pad: usize,
    frame_stride: usize,
    /// Raw channels, in the order of their numbers in the panel.
    channels: Vec<String>,
    /// Name of the recording behind each number of a drive.
    recordings: Vec<(u32, String)>,
}

/// Everything that was drawn.
#[derive(Debug, Default)]
struct Bank {
    drawn: Drawn,
    /// `[N, H, R]`.
    chunks: Vec<f32>,
}

/// Frames with their truth, and how predictions for them are judged.
struct Study<'a> {
    source: &'a Source,
    truth: &'a Truth,
    benchmark: Option<Benchmark>,
    /// Drive of each row.
    drives: Vec<u32>,
}

/// Draws, measures, writes, prints.
pub fn run(arguments: &EvaluateArguments, selector: &str) -> Result<Outcome> {
    check_readout(arguments.readout, arguments.ranker.as_deref())?;
    let mut policy = Policy::load(&arguments.model)?;
    if arguments.field && policy.is_regression {
        let message = "--field: expected a velocity decoder, found a regression head";
        return Err(Usage(message.into()).into());
    }
    let source = Source::load(&arguments.source)?;
    policy.accept(&source)?;
    let (study, recordings) = Study::of(&source)?;
    if arguments.rollout {
        feedback::check(study.benchmark.as_ref(), &source)?;
    }
    let Selection { device, reason } = Selection::by_name(selector)?;
    let how = (&arguments.solver, &arguments.noise);
    let mut drawer = Drawer::new(&policy, &source, how, arguments.ranker.as_deref(), &device)?;
    // The panel leaves such frames out, and counts them.
    drawer.keep_not_finite = arguments.ranker.is_none();
    let rows = (study.benchmark.is_some(), stride(&source, &study.drives));
    let config = panel_config(arguments, &policy, &drawer, rows)?;
    let folder = Folder::prepare(arguments, &policy)?;
    let settings = Settings {
        draw: DrawSettings::new(&policy, &source, drawer.solver(), drawer.noise()),
        readout: arguments.readout.to_string(),
        ranker: arguments.ranker.as_ref().map(|f| f.display().to_string()),
        thresholds: config.maneuver_thresholds.clone(),
        fan_pad: config.fan_pad,
        frame_stride: arguments.source.frame_stride,
        channels: drawer.keys().to_vec(),
        recordings,
    };
    let weights = (policy.file.as_str(), &*policy.weights.content_hash());
    let record = RunRecord::new(&device, arguments.noise.seed, weights, &settings);
    note(record.head(&reason).trim_end());
    note(&settings.draw.line());

    let bank = fill(&mut drawer, &source, arguments.readout)?;
    let mut measures = study.measure(drawer.draws(), &bank, &config)?;
    if arguments.rollout {
        measures.rollout = study.roll_out(&mut drawer, arguments.readout)?;
    }
    let mut fields = None;
    if arguments.field {
        let data = (&source, study.truth);
        let views = usual_views(folder.name(), &policy, &device, data, &arguments.noise)?;
        fields = Some(views);
    }
    let made = format!(
        "{}; readout {}; seed {}; weights {}",
        settings.draw.line().trim_start_matches("sampler").trim(),
        settings.readout,
        arguments.noise.seed,
        weights.1
    );
    let results = Results {
        record: &record,
        made: &made,
        measures: &measures,
        fields: fields.as_deref(),
    };
    let shape = (drawer.horizon(), drawer.keys());
    folder.write(arguments, &results, &source, (&bank.chunks, shape))?;
    Ok(Outcome::Good)
}

/// Draws for every row, a batch at a time.
fn fill(drawer: &mut Drawer, source: &Source, readout: Readout) -> Result<Bank> {
    let mut bank = Bank::default();
    let bar = progress::bar(source.len());
    for start in (0..source.len()).step_by(BATCH_FRAMES) {
        let end = source.len().min(start + BATCH_FRAMES);
        let rows = source.rows.get(start..end).unwrap_or_default();
        let drawn = drawer.draw(source.conditions_of(start..end), rows)?;
        bank.chunks.extend(drawer.read_out(readout, &drawn)?);
        bank.drawn.draws.extend(drawn.draws);
        if let Some(scores) = drawn.scores {
            bank.drawn.scores.get_or_insert_default().extend(scores);
        }
        bar.inc(rows.len() as u64);
    }
    bar.finish_and_clear();
    Ok(bank)
}

impl<'a> Study<'a> {
    /// A study of a source with truth, and the name of the recording behind each number of a drive.
    fn of(source: &'a Source) -> Result<(Self, Vec<(u32, String)>)> {
        let Some(truth) = &source.truth else {
            let message = format!("{}: expected target_actions, found none", source.name);
            return Err(Usage(message).into());
        };
        let benchmark = Benchmark::of(source, truth);
        let (drives, recordings) = drives(source, benchmark.as_ref());
        let study = Self {
            source,
            truth,
            benchmark,
            drives,
        };
        Ok((study, recordings))
    }

    fn chunks(&self) -> Result<Chunks<'a>> {
        let (horizon, channels) = (self.truth.horizon, self.truth.keys.len());
        let frames = self.source.len();
        Ok(Chunks::new(&self.truth.values, frames, horizon, channels)?)
    }

    /// Everything that recorded draws are enough for.
    fn measure(&self, count: usize, bank: &Bank, config: &PanelConfig) -> Result<Measures> {
        let truth = self.chunks()?;
        let (frames, horizon, channels) = (truth.frames(), truth.horizon(), truth.channels());
        let draws = Draws::new(&bank.drawn.draws, frames, count, horizon, channels)?;
        let input = PanelInput {
            truth,
            draws,
            drives: &self.drives,
        };
        let scores = bank.drawn.scores.as_deref();
        let mut measures = Measures::of(&input, scores, config, &RankingConfig::default())?;
        // Rows that are not finite are not drawn for; the panel counts them all the same.
        measures.panel.dropped += self.source.dropped;
        if let Some(benchmark) = &self.benchmark {
            let rows = benchmark.rows();
            let row_of = |sample: usize| rows.get(&sample).copied();
            let conditions = &self.source.conditions;
            measures.route = Some(RouteMeasures::of(&input, conditions, config)?);
            measures.calibration = Some(Calibrations::of(&draws, &benchmark.drives, row_of)?);
        }
        Ok(measures)
    }

    /// Action feedback, where the conditions are the benchmark's.
    fn roll_out(&self, drawer: &mut Drawer, readout: Readout) -> Result<Option<Rollout>> {
        let Some(benchmark) = &self.benchmark else {
            return Ok(None);
        };
        let frames = (self.chunks()?, benchmark);
        feedback::feed_back(drawer, readout, self.source, frames).map(Some)
    }
}

/// The drive of every row, and the name behind each number.
fn drives(source: &Source, benchmark: Option<&Benchmark>) -> (Vec<u32>, Vec<(u32, String)>) {
    let mut names: Vec<&str> = Vec::new();
    let mut number = |name| {
        // Rows of a recording follow each other.
        let known = match names.last() {
            Some(last) if *last == name => Some(names.len() - 1),
            _ => names.iter().position(|known| *known == name),
        };
        known.unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        }) as u32
    };
    let recordings = source.input_id.iter().map(|name| recording(name));
    let counted: Vec<u32> = recordings.clone().map(&mut number).collect();
    let drives = match benchmark {
        Some(benchmark) => benchmark.drive_numbers(),
        None => counted,
    };
    let mut named: Vec<(u32, String)> = Vec::new();
    for (&drive, name) in drives.iter().zip(recordings) {
        if named.iter().all(|(known, _)| *known != drive) {
            named.push((drive, name.to_owned()));
        }
    }
    (drives, named)
}

/// Frames between rows of a recording: the smallest distance there is, as rows may also be missing.
fn stride(source: &Source, drives: &[u32]) -> usize {
    let frames = source.frame_idx.windows(2).zip(drives.windows(2));
    let steps = frames
        .filter(|(_, drives)| drives[0] == drives[1])
        .map(|(frames, _)| i64::from(frames[1]) - i64::from(frames[0]));
    let smallest = steps.filter(|step| *step > 0).min().unwrap_or(1);
    usize::try_from(smallest).unwrap_or(1)
}

fn panel_config(
    arguments: &EvaluateArguments,
    policy: &Policy,
    drawer: &Drawer,
    (is_benchmark, stride): (bool, usize),
) -> Result<PanelConfig> {
    let known = policy
        .statistics
        .as_ref()
        .and_then(|s| s.thresholds.clone());
    let Some(thresholds) = arguments.thresholds.clone().or(known) else {
        let message = format!(
            "--thresholds: expected {} numbers, as there are no statistics that tell them, found none",
            drawer.keys().len()
        );
        return Err(Usage(message).into());
    };
    if thresholds.len() != drawer.keys().len() {
        let message = format!(
            "--thresholds: expected a number for each of {}, found {}",
            drawer.keys().join(", "),
            thresholds.len()
        );
        return Err(Usage(message).into());
    }
    if let Some(found) = thresholds.iter().find(|t| !(t.is_finite() && **t >= 0.0)) {
        let message = format!("--thresholds: expected finite numbers from 0, found {found}");
        return Err(Usage(message).into());
    }
    let mut config = PanelConfig::new(drawer.rule().channel, thresholds);
    if is_benchmark {
        config.fan_pad = BENCHMARK_FAN_PAD;
    }
    // The pad is told in frames of the recording, and the panel counts rows.
    config.fan_pad = arguments.fan_pad.unwrap_or(config.fan_pad).div_ceil(stride);
    config.consecutive = stride == 1;
    if stride > 1 {
        note(&format!(
            "rows are {stride} frames apart: no lag profile, and the fan's pad is {} rows",
            config.fan_pad
        ));
    }
    Ok(config)
}
