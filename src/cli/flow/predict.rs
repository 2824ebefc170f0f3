//! `attractor flow predict`: one chunk a frame, as a table of predictions.

use super::draw::{DrawSettings, NoiseArguments, SolverArguments};
use super::drawing::{BATCH_FRAMES, Drawer, check_readout};
use super::model::{ModelArguments, Policy};
use super::source::{Source, SourceArguments};
use super::table::prediction_table;
use crate::cli::exit::Outcome;
use crate::cli::output::{check_free, note};
use crate::cli::progress;
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::analysis::flow::Readout;
use attractor::device::Selection;
use attractor::formats::predictions::TableKind;
use std::path::PathBuf;

/// Arguments of `flow predict`.
#[derive(Debug, clap::Args)]
// A policy that drives draws fewer than an evaluation.
#[command(mut_arg("draws", |argument| argument.default_value("16")))]
pub struct PredictArguments {
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    solver: SolverArguments,
    #[command(flatten)]
    noise: NoiseArguments,
    /// How draws become one chunk: single, meank, mode, mode_medoid, ranker, ranker:TEMPERATURE or top:M
    #[arg(long, value_name = "READOUT", default_value = "mode")]
    readout: Readout,
    /// Weights of a draw ranker, for the readouts that need one
    #[arg(long, value_name = "FILE")]
    ranker: Option<PathBuf>,
    /// Table to write: .npz, .jsonl or, where built with it, .parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write over an existing file
    #[arg(long)]
    force: bool,
}

/// Draws, reads out, writes.
pub fn run(arguments: &PredictArguments, selector: &str) -> Result<Outcome> {
    TableKind::to_write(&arguments.out)?;
    check_free(&arguments.out, arguments.force)?;
    check_readout(arguments.readout, arguments.ranker.as_deref())?;
    let mut policy = Policy::load(&arguments.model)?;
    let source = Source::load(&arguments.source)?;
    policy.accept(&source)?;
    let Selection { device, reason } = Selection::by_name(selector)?;
    let how = (&arguments.solver, &arguments.noise);
    let mut drawer = Drawer::new(&policy, &source, how, arguments.ranker.as_deref(), &device)?;
    let settings = DrawSettings::new(&policy, &source, drawer.solver(), drawer.noise());
    let weights = (policy.file.as_str(), &*policy.weights.content_hash());
    let record = RunRecord::new(&device, arguments.noise.seed, weights, &settings);
    note(record.head(&reason).trim_end());
    note(&settings.line());

    let mut chunks = Vec::new();
    let bar = progress::bar(source.len());
    for start in (0..source.len()).step_by(BATCH_FRAMES) {
        let end = source.len().min(start + BATCH_FRAMES);
        let rows = source.rows.get(start..end).unwrap_or_default();
        let drawn = drawer.draw(source.conditions_of(start..end), rows)?;
        chunks.extend(drawer.read_out(arguments.readout, &drawn)?);
        bar.inc(rows.len() as u64);
    }
    bar.finish_and_clear();
    let table = prediction_table(&source, &chunks, (drawer.horizon(), drawer.keys()))?;
    table.save(&arguments.out)?;
    note(&format!(
        "wrote    {}: {} rows, readout {} of {} draws",
        arguments.out.display(),
        table.rows(),
        arguments.readout,
        drawer.draws()
    ));
    Ok(Outcome::Good)
}
