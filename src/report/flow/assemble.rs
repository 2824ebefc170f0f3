//! From a manifest and its prediction tables to the contents of a report.

use super::manifest::read_json;
use super::scores::{SPIKE, scores, steering};
use super::{
    Curve, FieldView, FlowReport, FlowReportError, Manifest, ManifestRun, Metric, Overlay, Run,
    Zoom,
};
use crate::formats::predictions::PredictionTable;
use std::collections::BTreeMap;
use std::path::Path;

/// Truths of two runs for one frame may differ by this: one may have been stored in another precision.
const SAME_TRUTH: f32 = 1e-3;
/// Frames of a block that gives at most one spike segment.
const BLOCK: i64 = 400;
/// Frames before and after a spike.
const AROUND: i64 = 300;
/// Spike segments on a page.
const ZOOMS: usize = 6;

/// What is known of a frame: the truth and the run it comes from, and the first predicted step by run.
struct Frame {
    truth: f32,
    from: usize,
    predicted: Vec<(usize, f32)>,
}

/// Drives in order of appearance, their frames by number.
type Drives = Vec<(String, BTreeMap<i32, Frame>)>;

impl FlowReport {
    /// Builds the report that a manifest describes; the paths in it are relative to it.
    ///
    /// # Errors
    /// [`FlowReportError`]: the manifest, a table or a file of fields cannot be read or is not as it should
    /// be, a frame is twice in a table, or two tables disagree on the truth of a frame.
    pub fn from_manifest(path: impl AsRef<Path>) -> Result<Self, FlowReportError> {
        let path = path.as_ref();
        let manifest = Manifest::load(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut report = Self {
            title: manifest.title.clone(),
            ..Self::default()
        };
        let mut drives = Drives::new();
        for entry in &manifest.runs {
            let run = report.load_run(entry, folder, path, &mut drives)?;
            report.runs.push(run);
        }
        report.overlays = drives.into_iter().map(overlay).collect();
        report.zooms = report
            .overlays
            .iter()
            .flat_map(spikes)
            .take(ZOOMS)
            .collect();
        Ok(report)
    }

    fn load_run(
        &mut self,
        entry: &ManifestRun,
        folder: &Path,
        manifest: &Path,
        drives: &mut Drives,
    ) -> Result<Run, FlowReportError> {
        let mut run = Run {
            name: entry.name.clone(),
            link: entry.link.clone(),
            tags: entry.tags.clone(),
            notes: entry.notes.clone(),
            verdict: entry.verdict,
            ..Run::default()
        };
        if let Some(file) = &entry.predictions {
            let table = PredictionTable::load(folder.join(file)).map_err(|source| {
                FlowReportError::Predictions {
                    run: entry.name.clone(),
                    source: Box::new(source),
                }
            })?;
            let scores = scores(&table);
            (run.metrics, run.frames, run.dropped) =
                (scores.metrics, scores.frames, scores.dropped);
            self.add_frames(&table, entry, manifest, drives)?;
        }
        for (name, value) in &entry.metrics {
            let value = value.unwrap_or(f64::NAN);
            match run.metrics.iter_mut().find(|metric| metric.name == *name) {
                Some(metric) => metric.value = value,
                None => run.metrics.push(Metric {
                    name: name.clone(),
                    value,
                }),
            }
        }
        if let Some(file) = &entry.fields {
            let views: Vec<FieldView> = read_json(&folder.join(file), "a list of field views")?;
            for view in &views {
                view.check()?;
            }
            self.fields.extend(views);
        }
        Ok(run)
    }

    /// Adds the first predicted steps of a run, which will get the next index, to what is known of the drives.
    fn add_frames(
        &self,
        table: &PredictionTable,
        entry: &ManifestRun,
        manifest: &Path,
        drives: &mut Drives,
    ) -> Result<(), FlowReportError> {
        let run = self.runs.len();
        let Some(channel) = steering(table) else {
            let keys = table.channels().iter().map(|channel| channel.key.as_str());
            return Err(FlowReportError::Manifest {
                file: manifest.to_path_buf(),
                what: format!("run '{}': predictions", entry.name),
                expected: "a channel of steering".into(),
                found: keys.collect::<Vec<_>>().join(", "),
            });
        };
        let frames = table.frames();
        let truth = channel.ground_truth.iter().step_by(table.horizon());
        let said = channel.prediction_value.iter().step_by(table.horizon());
        let rows = frames.input_id.iter().zip(&frames.frame_idx);
        let mut at = 0;
        for ((drive, &number), (&truth, &said)) in rows.zip(truth.zip(said)) {
            // Rows of a drive usually follow each other.
            if drives.get(at).is_none_or(|(name, _)| name != drive) {
                let known = drives.iter().position(|(name, _)| name == drive);
                at = known.unwrap_or(drives.len());
                if known.is_none() {
                    drives.push((drive.clone(), BTreeMap::new()));
                }
            }
            let Some((_, known)) = drives.get_mut(at) else {
                continue;
            };
            let frame = known.entry(number).or_insert_with(|| Frame {
                truth,
                from: run,
                predicted: Vec::new(),
            });
            if frame.predicted.last().is_some_and(|(last, _)| *last == run) {
                return Err(FlowReportError::Frame {
                    run: entry.name.clone(),
                    drive: drive.clone(),
                    frame: number,
                });
            }
            // Not finite on either side tells nothing.
            if (truth - frame.truth).abs() > SAME_TRUTH {
                let other = self.runs.get(frame.from);
                return Err(FlowReportError::Truth {
                    run: entry.name.clone(),
                    other: other.map(|run| run.name.clone()).unwrap_or_default(),
                    drive: drive.clone(),
                    frame: number,
                    expected: frame.truth,
                    found: truth,
                });
            }
            if !frame.truth.is_finite() {
                (frame.truth, frame.from) = (truth, run);
            }
            frame.predicted.push((run, said));
        }
        Ok(())
    }
}

/// The chart of a drive.
fn overlay((drive, frames): (String, BTreeMap<i32, Frame>)) -> Overlay {
    let mut by_run = BTreeMap::<usize, Vec<f32>>::new();
    for (index, frame) in frames.values().enumerate() {
        for &(run, value) in &frame.predicted {
            let values = by_run
                .entry(run)
                .or_insert_with(|| vec![f32::NAN; frames.len()]);
            if let Some(slot) = values.get_mut(index) {
                *slot = value;
            }
        }
    }
    Overlay {
        drive,
        truth: frames.values().map(|frame| frame.truth).collect(),
        frames: frames.into_keys().collect(),
        curves: by_run
            .into_iter()
            .map(|(run, values)| Curve { run, values })
            .collect(),
    }
}

/// The first spike of every block of a drive, with the frames around it.
fn spikes(overlay: &Overlay) -> Vec<Zoom> {
    let first = overlay.frames.first().map_or(0, |frame| i64::from(*frame));
    let mut last_block = None;
    let mut zooms = Vec::new();
    for (&frame, _) in overlay
        .frames
        .iter()
        .zip(&overlay.truth)
        .filter(|(_, truth)| truth.abs() > SPIKE)
    {
        let block = (i64::from(frame) - first) / BLOCK;
        if last_block == Some(block) {
            continue;
        }
        last_block = Some(block);
        zooms.push(Zoom {
            spike: frame,
            overlay: window(overlay, frame),
        });
    }
    zooms
}

/// The part of a chart around a frame.
fn window(overlay: &Overlay, middle: i32) -> Overlay {
    let near = |frame: i32| (i64::from(frame) - i64::from(middle)).abs() <= AROUND;
    let cut = |values: &[f32]| -> Vec<f32> {
        let pairs = overlay.frames.iter().zip(values);
        pairs
            .filter(|(frame, _)| near(**frame))
            .map(|(_, v)| *v)
            .collect()
    };
    Overlay {
        drive: overlay.drive.clone(),
        frames: overlay
            .frames
            .iter()
            .copied()
            .filter(|f| near(*f))
            .collect(),
        truth: cut(&overlay.truth),
        curves: overlay
            .curves
            .iter()
            .map(|curve| Curve {
                run: curve.run,
                values: cut(&curve.values),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spike_a_block_with_the_frames_around_it() {
        let frames: Vec<i32> = (10..1610).collect();
        let mut truth = vec![0.0_f32; 1600];
        for at in [5, 6, 399, 400, 1500] {
            truth[at] = -0.75;
        }
        truth[900] = 0.5; // Not beyond the threshold.
        let curves = vec![Curve {
            run: 2,
            values: truth.iter().map(|t| t + 1.0).collect(),
        }];
        let overlay = Overlay {
            drive: "d".into(),
            frames,
            truth,
            curves,
        };
        let zooms = spikes(&overlay);
        let at: Vec<i32> = zooms.iter().map(|zoom| zoom.spike).collect();
        assert_eq!(at, [15, 410, 1510]);
        assert_eq!(zooms[0].overlay.frames.len(), 306);
        assert_eq!(zooms[1].overlay.frames.first(), Some(&110));
        assert_eq!(zooms[1].overlay.frames.last(), Some(&710));
        assert_eq!(zooms[1].overlay.curves[0].values.len(), 601);
        assert_eq!(zooms[1].overlay.curves[0].values[300], 0.25);
    }
}
