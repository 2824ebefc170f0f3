//! `attractor drive`: the driving benchmark.

use super::exit::{Outcome, Usage};
use super::output::{check_free, note, pretty, print};
use anyhow::Result;
use attractor::report::Table;
use attractor::worlds::driving::{
    CHANNELS, CONDITION_DIM, CONDITION_VALUES, CacheForm, Decision, Drive, FRAMES, HELD_OUT_DRIVES,
    HORIZON, Mark, TARGET_VALUES, TOKENS, TRAINING_DRIVES, feature_cache,
};
use clap::Subcommand;
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Arguments of `drive`.
#[derive(Debug, clap::Args)]
pub struct DriveArguments {
    #[command(subcommand)]
    command: DriveCommand,
}

#[derive(Debug, Subcommand)]
enum DriveCommand {
    /// Write drives as a feature cache: conditions, and the actions to predict
    Generate(GenerateArguments),
}

#[derive(Debug, clap::Args)]
struct GenerateArguments {
    /// Which drives, such as 24-28 or 0-3,24; 0 to 23 are for training, 24 to 28 are held out
    #[arg(long, value_name = "LIST", default_value = "24-28")]
    drives: DriveList,
    /// Samples of each drive
    #[arg(long, value_name = "COUNT", default_value_t = FRAMES)]
    frames: usize,
    /// The feature cache to write (safetensors)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Set the action history inside the conditions to zero
    #[arg(long)]
    history_zeroed: bool,
    /// How to store the conditions: f16 as the schema of feature caches asks, f32 to keep every bit
    #[arg(long, value_enum, default_value_t = Precision::F16)]
    precision: Precision,
    /// Write over an existing file
    #[arg(long)]
    force: bool,
    /// How to print what was written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Precision {
    F16,
    F32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Aligned text
    Table,
    /// One JSON object
    Json,
}

/// Most samples that one file may get: 1.5 GB of conditions and targets at f32.
const MOST_SAMPLES: usize = 1 << 20;

/// Numbers of drives, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DriveList(pub(super) Vec<u32>);

impl FromStr for DriveList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (drive_number(first, text)?, drive_number(last, text)?);
            if first > last {
                return Err(format!(
                    "expected ranges that go up, found '{}'",
                    part.trim()
                ));
            }
            for number in first..=last {
                if numbers.contains(&number) {
                    return Err(format!("expected every drive once, found {number} twice"));
                }
                numbers.push(number);
            }
        }
        Ok(Self(numbers))
    }
}

fn drive_number(text: &str, list: &str) -> Result<u32, String> {
    let (first, end) = (TRAINING_DRIVES.start, HELD_OUT_DRIVES.end);
    let number = text.trim().parse::<u32>().map_err(|_| {
        format!("expected numbers and ranges such as 0-3,24, found '{text}' in '{list}'")
    })?;
    if (first..end).contains(&number) {
        return Ok(number);
    }
    let last = end.saturating_sub(1);
    Err(format!("expected drives {first} to {last}, found {number}"))
}

/// One drive of the file, as printed.
#[derive(Debug, Serialize)]
struct DriveRecord {
    drive: u32,
    part: &'static str,
    samples: usize,
    /// Decisions that some sample has right before it.
    junctions: usize,
    obstacles: usize,
    leads: usize,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    version: &'static str,
    file: &'a Path,
    model_artifact: &'a str,
    rows: usize,
    cond: [usize; 3],
    cond_precision: Precision,
    target_actions: [usize; 3],
    drives: Vec<DriveRecord>,
}

/// Runs the command.
pub fn run(arguments: &DriveArguments) -> Result<Outcome> {
    match &arguments.command {
        DriveCommand::Generate(arguments) => generate(arguments),
    }
}

fn generate(arguments: &GenerateArguments) -> Result<Outcome> {
    let numbers = &arguments.drives.0;
    check_samples(&arguments.drives, arguments.frames)?;
    check_free(&arguments.out, arguments.force)?;
    let drives: Vec<Drive> = numbers
        .par_iter()
        .map(|&number| Drive::generate(number, arguments.frames))
        .collect();
    let form = CacheForm {
        history_zeroed: arguments.history_zeroed,
        single_precision: arguments.precision == Precision::F32,
    };
    let cache = feature_cache(&drives, form)?;
    cache.save(&arguments.out)?;

    let document = Document {
        version: env!("CARGO_PKG_VERSION"),
        file: &arguments.out,
        model_artifact: &cache.meta.model_artifact,
        rows: cache.rows(),
        cond: [cache.rows(), TOKENS, CONDITION_DIM],
        cond_precision: arguments.precision,
        target_actions: [cache.rows(), HORIZON, CHANNELS.len()],
        drives: drives.iter().map(DriveRecord::of).collect(),
    };
    match arguments.format {
        Format::Json => print(&pretty(&document)?)?,
        Format::Table => {
            note(&format!(
                "wrote    {}: {} rows of {CONDITION_VALUES} condition values and {TARGET_VALUES} actions, {}",
                arguments.out.display(),
                document.rows,
                document.model_artifact
            ));
            print(&table(&document.drives).to_text())?;
        }
    }
    Ok(Outcome::Good)
}

/// Refuses no samples, and more than a file may get.
pub fn check_samples(drives: &DriveList, frames: usize) -> Result<()> {
    let count = drives.0.len();
    if frames == 0 {
        return Err(Usage("--frames: expected at least 1, found 0".into()).into());
    }
    if count.saturating_mul(frames) > MOST_SAMPLES {
        let message = format!(
            "--frames: expected at most {MOST_SAMPLES} samples in all, found {frames} in each of {count} drives"
        );
        return Err(Usage(message).into());
    }
    Ok(())
}

impl DriveRecord {
    fn of(drive: &Drive) -> Self {
        let count = |decision| {
            let seen = |mark: &&Mark| {
                let sample = mark.sample_before();
                mark.decision == decision && sample.is_some_and(|sample| sample < drive.frames)
            };
            drive.marks.iter().filter(seen).count()
        };
        Self {
            drive: drive.number,
            part: if HELD_OUT_DRIVES.contains(&drive.number) {
                "held out"
            } else {
                "training"
            },
            samples: drive.frames,
            junctions: count(Decision::Junction),
            obstacles: count(Decision::Obstacle),
            leads: count(Decision::Lead),
        }
    }
}

fn table(drives: &[DriveRecord]) -> Table {
    let titles = [
        "drive",
        "part",
        "samples",
        "junctions",
        "obstacles",
        "leads",
    ];
    let mut table = Table::new(titles);
    for record in drives {
        table.row([
            record.drive.to_string(),
            record.part.to_owned(),
            record.samples.to_string(),
            record.junctions.to_string(),
            record.obstacles.to_string(),
            record.leads.to_string(),
        ]);
    }
    table
}
