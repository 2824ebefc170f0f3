//! Draws as an npz file, a table, JSON or JSON Lines.

use super::{Results, SampleArguments};
use crate::cli::flow::draw::DrawSettings;
use crate::cli::output::{pretty, print};
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::formats::{Array, ArrayData, ArrayMap, npz};
use attractor::report::Table;
use attractor::samplers::flow::FlowReport;
use serde::Serialize;
use std::path::Path;

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned text: the first action of every frame, mean and spread of its draws
    Table,
    /// One JSON object
    Json,
    /// One JSON object a line and frame
    Jsonl,
}

/// The draws of one frame as JSON.
#[derive(Debug, Serialize)]
struct FrameRecord<'a> {
    /// Row of the data.
    row: usize,
    frame: Option<i32>,
    input_id: &'a str,
    /// `raw` or `model`.
    space: &'static str,
    /// `[K][H][R]`, or `[K][H][A]` in model space.
    draws: Vec<Vec<&'a [f64]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a RunRecord<DrawSettings>>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    run: &'a RunRecord<DrawSettings>,
    report: &'a FlowReport,
    space: &'static str,
    channels: Vec<String>,
    frames: Vec<FrameRecord<'a>>,
}

impl<'a> Results<'a> {
    fn space(&self) -> &'static str {
        if self.raw.is_some() { "raw" } else { "model" }
    }

    /// Raw actions where known, else those of the model.
    fn actions(&self) -> &[f64] {
        self.raw.as_deref().unwrap_or(&self.model)
    }

    /// Names of the channels of [`Results::actions`].
    fn names(&self) -> Vec<String> {
        if self.raw.is_some() {
            return self.raw_keys.clone();
        }
        (0..self.channels)
            .map(|channel| format!("channel {channel}"))
            .collect()
    }

    fn records<'b>(
        &'b self,
        run: Option<&'b RunRecord<DrawSettings>>,
    ) -> impl Iterator<Item = FrameRecord<'b>> + 'b {
        let channels = self.names().len().max(1);
        let chunk = self.horizon * channels;
        let frames = self.actions().chunks_exact((self.draws * chunk).max(1));
        self.range
            .clone()
            .zip(frames)
            .map(move |(index, draws)| FrameRecord {
                row: self.source.rows.get(index).copied().unwrap_or(index),
                frame: self.source.frame(index),
                input_id: self.source.input_id.get(index).map_or("", String::as_str),
                space: self.space(),
                draws: draws
                    .chunks_exact(chunk)
                    .map(|draw| draw.chunks_exact(channels).collect())
                    .collect(),
                run,
            })
    }
}

/// Writes the file that is asked for, and prints what is asked for.
pub fn write(
    arguments: &SampleArguments,
    run: &RunRecord<DrawSettings>,
    results: &Results<'_>,
) -> Result<()> {
    if let Some(path) = &arguments.out {
        npz::save(path, &arrays(path, run, results)?)?;
    }
    let format = match (arguments.format, &arguments.out) {
        (Some(format), _) => format,
        (None, None) => Format::Table,
        (None, Some(_)) => return Ok(()),
    };
    print(&match format {
        Format::Table => table(results).to_text(),
        Format::Json => pretty(&Document {
            run,
            report: &results.report,
            space: results.space(),
            channels: results.names(),
            frames: results.records(None).collect(),
        })?,
        Format::Jsonl => {
            let mut lines = String::new();
            for record in results.records(Some(run)) {
                lines.push_str(&serde_json::to_string(&record)?);
                lines.push('\n');
            }
            lines
        }
    })?;
    Ok(())
}

/// `draws_model` [N, K, H, A]; `draws` [N, K, H, R] and `action_keys` where statistics are known; `truth`
/// [N, H, R] where the data have it; `row`, `frame` and `input_id` [N]; `times` [steps + 1] and `trajectories`
/// [N, K, steps + 1, H, A] where recorded; `run`, the record of the run as JSON text. f32, or f64 where the
/// device computes in it.
fn arrays(path: &Path, run: &RunRecord<DrawSettings>, results: &Results<'_>) -> Result<ArrayMap> {
    let (count, draws, horizon) = (results.range.len(), results.draws, results.horizon);
    let wide = run.precision == attractor::device::Precision::F64;
    let float = |values: &[f64]| -> ArrayData {
        if wide {
            values.to_vec().into()
        } else {
            values
                .iter()
                .map(|&v| v as f32)
                .collect::<Vec<f32>>()
                .into()
        }
    };
    let mut map = ArrayMap::new(path);
    let mut put = |name: &str, shape: &[usize], data: ArrayData| -> Result<()> {
        Ok(map.insert(name, Array::new(shape, data)?)?)
    };
    let shape = [count, draws, horizon, results.channels];
    put("draws_model", &shape, float(&results.model))?;
    if let Some(raw) = &results.raw {
        let channels = results.raw_keys.len();
        put("draws", &[count, draws, horizon, channels], float(raw))?;
        put("action_keys", &[channels], results.raw_keys.clone().into())?;
    }
    if let Some(truth) = &results.source.truth {
        let width = truth.horizon * truth.keys.len();
        let part = results.range.start * width..results.range.end * width;
        let values = truth.values.get(part).unwrap_or_default().to_vec();
        put(
            "truth",
            &[count, truth.horizon, truth.keys.len()],
            values.into(),
        )?;
    }
    if let Some((times, states)) = &results.trajectories {
        put("times", &[times.len()], times.clone().into())?;
        let shape = [count, draws, times.len(), horizon, results.channels];
        put("trajectories", &shape, float(states))?;
    }
    let part = |index: usize| results.source.rows.get(index).map_or(-1, |&row| row as i64);
    let rows: Vec<i64> = results.range.clone().map(part).collect();
    put("row", &[count], rows.into())?;
    let frame = |index| results.source.frame(index).unwrap_or(-1);
    let frames: Vec<i32> = results.range.clone().map(frame).collect();
    put("frame", &[count], frames.into())?;
    let names = results.source.input_id.get(results.range.clone());
    put(
        "input_id",
        &[count],
        names.unwrap_or_default().to_vec().into(),
    )?;
    put("run", &[], vec![serde_json::to_string(run)?].into())?;
    Ok(map)
}

/// One line a frame: mean and standard deviation over the draws of the first action.
fn table(results: &Results<'_>) -> Table {
    let names = results.names();
    let mut titles = vec!["row".to_string(), "recording".into(), "frame".into()];
    for name in &names {
        titles.extend([format!("{name}, mean"), "spread".into()]);
    }
    let mut table = Table::new(titles);
    for record in results.records(None) {
        let frame = record.frame.map_or("-".into(), |frame| frame.to_string());
        let mut cells = vec![record.row.to_string(), record.input_id.to_string(), frame];
        for channel in 0..names.len() {
            let first = |draw: &Vec<&[f64]>| draw.first()?.get(channel).copied();
            let values: Vec<f64> = record.draws.iter().filter_map(first).collect();
            let count = values.len().max(1) as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            cells.extend([format!("{mean:.4}"), format!("{:.4}", variance.sqrt())]);
        }
        table.row(cells);
    }
    table
}
