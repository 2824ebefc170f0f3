//! `attractor flow fit`: the statistics of a data set's actions.

use crate::cli::drive::DriveList;
use crate::cli::exit::{Outcome, Usage};
use crate::cli::output::{check_free, note, pretty, print};
use anyhow::{Context, Result};
use attractor::formats::feature_cache::{CacheExpectation, FeatureCache};
use attractor::formats::{FileKind, FormatError, Limits, parse_arrays, read_file, sniff};
use attractor::report::Table;
use attractor::training::action_statistics::{ActionStatistics, FitSettings};
use attractor::training::label_smoothing::LabelSettings;
use attractor::worlds::driving::{CHANNELS, Drive, FRAMES, HORIZON};
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Arguments of `flow fit`.
#[derive(Debug, clap::Args)]
pub struct FitArguments {
    /// Feature cache (safetensors), or npz with target_actions [N, H, R]
    #[arg(
        value_name = "DATA",
        required_unless_present = "drives",
        conflicts_with = "drives"
    )]
    data: Option<PathBuf>,
    /// Drives of DriveChunk-1 in place of a file, such as 0-23
    #[arg(long, value_name = "LIST")]
    drives: Option<DriveList>,
    /// Names of the channels of an npz, in order
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_values_t = CHANNELS.map(String::from))]
    action_keys: Vec<String>,
    /// Keep gas and brake apart
    #[arg(long)]
    no_merge: bool,
    /// Knots of each channel
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    levels: usize,
    /// Bins of each channel's labels
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    bins: usize,
    /// Standard deviation of the smoothing of label frequencies, in bins
    #[arg(long, value_name = "BINS", default_value_t = 2.0)]
    sigma: f64,
    /// Share of the actions that are no maneuver
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    quantile: f64,
    /// The file of statistics to write (JSON)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write over an existing file
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Chunks of actions to fit to.
struct Chunks {
    source: String,
    keys: Vec<String>,
    horizon: usize,
    actions: Vec<f32>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    version: &'static str,
    source: &'a str,
    file: &'a Path,
    chunks: usize,
    dropped: usize,
    horizon: usize,
    levels: usize,
    channels: Vec<Channel>,
}

/// One model channel of the fit.
#[derive(Debug, Serialize)]
struct Channel {
    name: String,
    least: f64,
    most: f64,
    largest_label: f64,
    /// Of the raw channels behind it, in order.
    thresholds: Vec<f64>,
}

/// Runs the command.
pub fn run(arguments: &FitArguments) -> Result<Outcome> {
    check_free(&arguments.out, arguments.force)?;
    let chunks = match (&arguments.data, &arguments.drives) {
        (Some(file), _) => from_file(file, &arguments.action_keys)?,
        (None, Some(drives)) => from_drives(drives),
        (None, None) => {
            return Err(Usage("expected a file or --drives, found neither".into()).into());
        }
    };
    let settings = FitSettings {
        action_keys: chunks.keys.clone(),
        merge: !arguments.no_merge,
        horizon: chunks.horizon,
        levels: arguments.levels,
        labels: LabelSettings {
            bins: arguments.bins,
            sigma: arguments.sigma,
        },
        quantile: arguments.quantile,
    };
    let (statistics, dropped) =
        ActionStatistics::fit(&chunks.actions, &settings).with_context(|| chunks.source.clone())?;
    statistics.save(&arguments.out)?;
    report(arguments, &chunks, &statistics, dropped)
}

fn report(
    arguments: &FitArguments,
    chunks: &Chunks,
    statistics: &ActionStatistics,
    dropped: usize,
) -> Result<Outcome> {
    let count = chunks.actions.len() / (chunks.horizon * chunks.keys.len()).max(1);
    let document = Document {
        version: env!("CARGO_PKG_VERSION"),
        source: &chunks.source,
        file: &arguments.out,
        chunks: count,
        dropped,
        horizon: chunks.horizon,
        levels: arguments.levels,
        channels: channels(statistics),
    };
    if arguments.json {
        print(&pretty(&document)?)?;
        return Ok(Outcome::Good);
    }
    note(&format!(
        "wrote    {}: {count} chunks of {} slots from {}, {dropped} of them dropped as not finite",
        arguments.out.display(),
        chunks.horizon,
        chunks.source
    ));
    let mut table = Table::new([
        "channel",
        "least",
        "most",
        "largest label",
        "maneuver beyond",
    ]);
    for channel in &document.channels {
        let beyond: Vec<String> = channel
            .thresholds
            .iter()
            .map(|t| format!("{t:.4}"))
            .collect();
        table.row([
            channel.name.clone(),
            format!("{:.4}", channel.least),
            format!("{:.4}", channel.most),
            format!("{:.4}", channel.largest_label),
            beyond.join(" "),
        ]);
    }
    print(&table.to_text())?;
    Ok(Outcome::Good)
}

fn channels(statistics: &ActionStatistics) -> Vec<Channel> {
    let transform = &statistics.transform;
    let threshold = |raw: usize| Some(*statistics.thresholds.as_ref()?.get(raw)?);
    let describe = |(index, name): (usize, String)| {
        let knots = transform
            .knots()
            .and_then(|knots| knots.channels().get(index));
        let edges = statistics
            .labels
            .as_ref()
            .and_then(|labels| labels.get(index));
        let last = |values: Option<&f64>| values.copied().unwrap_or(f64::NAN);
        let merged = transform
            .pedals()
            .map(|pedals| vec![pedals.gas, pedals.brake]);
        let raw = match merged {
            Some(merged) if index == 0 => merged,
            _ => (0..transform.raw_channels())
                .filter(|&raw| transform.model_channel(raw) == Some(index))
                .collect(),
        };
        Channel {
            name,
            least: last(knots.and_then(|knots| knots.first())),
            most: last(knots.and_then(|knots| knots.last())),
            largest_label: last(edges.and_then(|labels| labels.edges().last())),
            thresholds: raw.into_iter().filter_map(threshold).collect(),
        }
    };
    transform
        .model_keys()
        .into_iter()
        .enumerate()
        .map(describe)
        .collect()
}

fn from_drives(drives: &DriveList) -> Chunks {
    let targets: Vec<Vec<f32>> = drives
        .0
        .par_iter()
        .map(|&number| Drive::generate(number, FRAMES).targets)
        .collect();
    let numbers: Vec<String> = drives.0.iter().map(ToString::to_string).collect();
    Chunks {
        source: format!("DriveChunk-1 drives {}", numbers.join(",")),
        keys: CHANNELS.map(String::from).to_vec(),
        horizon: HORIZON,
        actions: targets.concat(),
    }
}

fn from_file(file: &Path, keys: &[String]) -> Result<Chunks> {
    const NAME: &str = "target_actions";
    let limits = Limits::default();
    let bytes = read_file(file, &limits)?;
    let source = file.display().to_string();
    if sniff(file, &bytes)? == FileKind::Safetensors {
        let cache = FeatureCache::parse(file, &bytes, &limits, &CacheExpectation::default())?;
        let (keys, horizon) = (cache.meta.action_keys, cache.horizon);
        return Ok(Chunks {
            source,
            keys,
            horizon,
            actions: cache.target_actions,
        });
    }
    let arrays = parse_arrays(file, &bytes, &limits)?;
    let array = arrays.get(NAME)?;
    let &[_, horizon, channels] = array.shape() else {
        let found = format!("shape {:?}", array.shape());
        return Err(wrong_shape(file, NAME, "shape [N, H, R]".into(), found).into());
    };
    if channels != keys.len() {
        let expected = format!("{} channels ({})", keys.len(), keys.join(", "));
        return Err(wrong_shape(file, NAME, expected, channels.to_string()).into());
    }
    let actions = array
        .to_f32()
        .map_err(|source| arrays.array_error(NAME, source))?;
    Ok(Chunks {
        source,
        keys: keys.to_vec(),
        horizon,
        actions,
    })
}

fn wrong_shape(file: &Path, array: &str, expected: String, found: String) -> FormatError {
    FormatError::Array {
        file: file.to_path_buf(),
        array: array.into(),
        source: attractor::formats::ArrayError::Invalid { expected, found },
    }
}
