//! `attractor maze sweep`.

use super::figure::success_figure;
use super::options::PlanningArguments;
use super::output::{Format, write};
use crate::cli::analyze::date::now;
use crate::cli::exit::{Outcome, Usage};
use crate::cli::output::{check_free, check_prefix, note, pretty, print};
use anyhow::Result;
use attractor::analysis::maze::{
    BundleCell, MazeBundle, SweepSettings, evaluate_each, shipped_weights, train,
};
use attractor::device::{Device, Selection};
use attractor::formats::{ArrayMap, load_arrays, write_atomic};
use attractor::training::mlp::MlpParameters;
use attractor::worlds::maze::Layout;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `maze sweep`.
#[derive(Debug, clap::Args)]
pub struct SweepArguments {
    /// The bundle to write (JSON), as `analyze correlate` reads it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write over existing files
    #[arg(long)]
    force: bool,
    /// Epochs of training, such as 2,4,8 [default: 2,4,8,16,32,64,150,400]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    epochs: Vec<u32>,
    /// Seeds of initial weights and planner, such as 0,1,2 [default: 0,1,2]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Width of the hidden layers
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    hidden: usize,
    /// Initial weights by seed: tensors init_s{SEED}_h{WIDTH}.net.* [default: shipped ones of seeds
    /// 0, 1, 2 at width 32; others are drawn]
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Episodes of each cell [default: 20]
    #[arg(long, value_name = "COUNT")]
    episodes: Option<usize>,
    /// Moves of an episode at most [default: 50]
    #[arg(long, value_name = "COUNT")]
    episode_horizon: Option<usize>,
    #[command(flatten)]
    planning: PlanningArguments,
    /// Add columns beyond the published ones: M4 (growth of separations), the regret of the model's best
    /// action, counts and intervals
    #[arg(long)]
    extra: bool,
    /// Sequences of actions that M4 is measured along
    #[arg(long, value_name = "COUNT", default_value_t = 16, requires = "extra")]
    sequences: usize,
    /// Two cells and three short episodes
    #[arg(long, conflicts_with_all = ["epochs", "seeds"])]
    smoke: bool,
    /// How to print the cells
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Draw metrics against success as PREFIX.png and PREFIX.svg
    #[arg(long, value_name = "PREFIX")]
    figure: Option<PathBuf>,
}

impl SweepArguments {
    fn settings(&self) -> SweepSettings {
        let published = match self.smoke {
            true => SweepSettings::smoke(),
            false => SweepSettings::published(),
        };
        let mut episodes = self.planning.settings(published.episodes);
        episodes.episodes = self.episodes.unwrap_or(episodes.episodes);
        episodes.horizon = self.episode_horizon.unwrap_or(episodes.horizon);
        let epochs = match self.epochs.is_empty() {
            true => published.epochs,
            false => self.epochs.clone(),
        };
        let seeds = match self.seeds.is_empty() {
            true => published.seeds,
            false => self.seeds.clone(),
        };
        SweepSettings {
            epochs,
            seeds,
            hidden: self.hidden,
            episodes,
            growth_sequences: self.extra.then_some(self.sequences),
            ..published
        }
    }

    /// The files of the figure.
    fn figures(&self) -> Vec<PathBuf> {
        let name = |prefix: &PathBuf, end: &str| {
            let mut name = prefix.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        };
        let ends = [".png", ".svg"].iter();
        let prefix = self.figure.as_ref();
        ends.filter_map(|end| Some(name(prefix?, end))).collect()
    }
}

/// Trains, measures, plans, writes.
pub fn run(arguments: &SweepArguments, selector: &str) -> Result<Outcome> {
    arguments.figure.as_deref().map_or(Ok(()), check_prefix)?;
    // Before the work, so that nothing is lost at its end.
    for path in std::iter::once(&arguments.out).chain(&arguments.figures()) {
        check_free(path, arguments.force)?;
    }
    let settings = arguments.settings();
    settings.check()?;
    let layout = arguments.planning.layout()?;
    let given = arguments.init.as_ref().map(load_arrays).transpose()?;
    let weights = shipped_weights(given.as_ref())?;
    let Selection { device, reason } = Selection::by_name(selector)?;
    note(&format!("attractor {}", env!("CARGO_PKG_VERSION")));
    note(&format!("device   {reason}"));
    note(&format!("planner  {}", arguments.planning.words()));
    note(&format!(
        "weights  {}",
        origin(arguments, &settings, &weights)
    ));
    let start = Instant::now();
    let models = train(&device, &layout, &settings, &weights)?;
    let results = evaluate_each(&device, &layout, &settings, &models)?;
    let (mut cells, mut failed) = (Vec::new(), Vec::new());
    for (place, (model, result)) in models.iter().zip(results).enumerate() {
        match result {
            Ok(cell) => cells.push(cell),
            Err(error) => {
                note(&format!("failed   {error}"));
                let cell = BundleCell::without_numbers(model.epochs, model.seed, settings.hidden);
                failed.push((place, cell, error));
            }
        }
    }
    if cells.is_empty()
        && let Some((_, _, error)) = failed.pop()
    {
        return Err(error.into());
    }
    let seconds = start.elapsed().as_secs_f64();
    let count = cells.len() * settings.episodes.episodes;
    note(&format!(
        "time     {seconds:.2} s for {} cells, {count} episodes",
        cells.len()
    ));
    let text = note_of(arguments, &settings);
    let mut bundle = MazeBundle::new(&settings, &cells, (now(), text));
    let outcome = match failed.is_empty() {
        true => Outcome::Good,
        false => Outcome::Partial,
    };
    for (place, cell, _) in failed {
        bundle.cells.insert(place.min(bundle.cells.len()), cell);
    }
    if arguments.extra {
        bundle.attractor = Some(record(&device, &layout, &settings, &weights)?);
    }
    write_atomic(&arguments.out, pretty(&bundle)?.as_bytes())?;
    if let Some(prefix) = &arguments.figure {
        let Some(stem) = prefix.file_name() else {
            let message = format!("--figure: expected a name, found {}", prefix.display());
            return Err(Usage(message).into());
        };
        let folder = prefix.parent().unwrap_or(Path::new(""));
        success_figure(&cells).save(folder, &stem.to_string_lossy())?;
    }
    print(&write(arguments.format, &cells, &bundle)?)?;
    Ok(outcome)
}

/// Where and how the numbers were made.
fn record(
    device: &Device,
    layout: &Layout,
    settings: &SweepSettings,
    weights: &[(u64, MlpParameters)],
) -> Result<Value> {
    let mut map = ArrayMap::new("initial weights");
    for (seed, parameters) in weights {
        let width = parameters.widths().get(1).copied().unwrap_or(0);
        parameters.write(&mut map, &format!("init_s{seed}_h{width}.net"))?;
    }
    let info = device.info();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": info.name,
        "backend": info.backend,
        "driver": info.driver,
        "precision": device.precision(),
        "initial_weights_hash": map.content_hash(),
        "planner": settings.episodes.planner,
        "rng": settings.episodes.draws,
        "layout": layout.rows(),
    }))
}

/// Where initial weights come from.
fn origin<P>(arguments: &SweepArguments, settings: &SweepSettings, given: &[(u64, P)]) -> String {
    let file = match &arguments.init {
        Some(path) => path.display().to_string(),
        None => "shipped".into(),
    };
    let known = |seed: &&u64| given.iter().any(|(known, _)| known == *seed);
    let drawn: Vec<String> = settings
        .seeds
        .iter()
        .filter(|seed| !known(seed) || (arguments.init.is_none() && settings.hidden != 32))
        .map(u64::to_string)
        .collect();
    match drawn.is_empty() {
        true => format!("initial: {file}"),
        false => format!("initial: {file}; drawn for seeds {}", drawn.join(", ")),
    }
}

/// What a reader of the bundle should know.
fn note_of(arguments: &SweepArguments, settings: &SweepSettings) -> String {
    let episodes = settings.episodes.episodes;
    let extra = match settings.growth_sequences {
        Some(_) => {
            "; m4_growth_mismatch is the growth of separations of neighbouring cells under one action \
             sequence, learned less true; m3_regret what the model's best action loses, in moves"
        }
        None => "",
    };
    format!(
        "Learned maze dynamics of graded quality (training epochs), {} cells. Offline: m1 wrong one-step \
         predictions, m2 distance of open-loop end states, m3 agreement of action rankings{extra}. \
         Downstream: part of {episodes} episodes that {} solved.",
        settings.epochs.len() * settings.seeds.len(),
        arguments.planning.words(),
    )
}
