//! The fan of first steps around the truth, and the lag of each slot against it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use super::super::draws::{Chunks, Draws, FlowDataError, check_size};
use super::super::statistics::{Mean, drive_runs};
use super::{BySubset, PanelConfig, PanelInput};

/// Shifts, in frames, among which the lag is sought.
const SHIFTS: Range<isize> = -4..7;

/// Width of the box that smooths the mean of the draws before the lag is sought.
const BOX: usize = 5;

/// A measure inside and outside the spike region.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct FanSubsets {
    /// Frames of the spike region.
    pub spike: Option<f64>,
    /// The others.
    pub flat: Option<f64>,
}

/// First-slot fan and per-slot measures of steering. Its spike region holds the frames within the pad of a
/// frame (of the same drive) whose first true slot is a spike; `flat` is everything else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fan {
    /// By distance, the share of draws whose first slot lies within it of the truth.
    pub hit: BTreeMap<String, BySubset<Option<f64>>>,
    /// First-slot L1, expected over the draws.
    pub first_step_l1: FanSubsets,
    /// First-slot L1 of the best draw.
    pub best_of_k: FanSubsets,
    /// L1 of each slot, expected over the draws, over every frame.
    pub per_slot_l1: Vec<Option<f64>>,
    /// For each slot, the shift that lines the mean of the draws up with the truth best over the spike region.
    /// All zero: the chunk is resolved; h, h-1, ...: every slot holds the value of one moment. None where
    /// frames do not follow each other in time.
    pub lag_profile: Vec<Option<i64>>,
}

/// Steering alone: draws `[frames, K, H]` and truth `[frames, H]` of finite frames, in order of time.
#[derive(Debug, Clone)]
pub struct SteeringSeries {
    draws: usize,
    horizon: usize,
    predictions: Vec<f32>,
    truth: Vec<f32>,
    runs: Vec<Range<usize>>,
}

impl SteeringSeries {
    /// Takes a channel of the draws and one of the truth, and leaves out frames in which either is not finite;
    /// the frames beside one left out count as neighbours. `drives` names the drive of each frame.
    ///
    /// # Errors
    /// [`FlowDataError`] for channels that do not exist, and sizes that disagree.
    pub fn new(
        draws: &Draws,
        draw_channel: usize,
        truth: &Chunks,
        truth_channel: usize,
        drives: &[u32],
    ) -> Result<Self, FlowDataError> {
        for (setting, channels, found) in [
            ("channel of the draws", draws.channels(), draw_channel),
            ("channel of the truth", truth.channels(), truth_channel),
        ] {
            if found >= channels {
                return Err(FlowDataError::Channel {
                    setting,
                    channels,
                    found,
                });
            }
        }
        check_size("draws", "frames", truth.frames(), draws.frames())?;
        check_size("draws", "horizon H", truth.horizon(), draws.horizon())?;
        check_size("drives", "frames", truth.frames(), drives.len())?;
        let mut series = Self {
            draws: draws.draws(),
            horizon: draws.horizon(),
            predictions: Vec::new(),
            truth: Vec::new(),
            runs: Vec::new(),
        };
        let mut kept = Vec::new();
        for ((truth_chunk, frame), &drive) in truth.iter().zip(draws.iter()).zip(drives) {
            let predictions = frame.iter().flat_map(|chunk| {
                let values = chunk.iter().skip(draw_channel);
                values.step_by(draws.channels()).copied()
            });
            let values = truth_chunk.iter().skip(truth_channel);
            let values = values.step_by(truth.channels()).copied();
            if predictions
                .clone()
                .chain(values.clone())
                .all(f32::is_finite)
            {
                series.predictions.extend(predictions);
                series.truth.extend(values);
                kept.push(drive);
            }
        }
        series.runs = drive_runs(&kept);
        Ok(series)
    }

    /// The steering channel of the frames of a panel that are kept.
    pub(super) fn of_kept(
        input: &PanelInput,
        channel: usize,
        kept: &[bool],
    ) -> Result<Self, FlowDataError> {
        let kept_frames = |values: Vec<&[f32]>| -> Vec<f32> {
            let frames = values.into_iter().zip(kept).filter(|(_, kept)| **kept);
            frames.flat_map(|(values, _)| values).copied().collect()
        };
        let draws = kept_frames(input.draws.iter().map(|frame| frame.values()).collect());
        let truth = kept_frames(input.truth.iter().collect());
        let frames = kept.iter().filter(|&&kept| kept).count();
        let drives = input.drives.iter().zip(kept).filter(|(_, kept)| **kept);
        let drives: Vec<u32> = drives.map(|(&drive, _)| drive).collect();
        let (count, horizon, channels) = (
            input.draws.draws(),
            input.draws.horizon(),
            input.draws.channels(),
        );
        let draws = Draws::new(&draws, frames, count, horizon, channels)?;
        let truth = Chunks::new(&truth, frames, horizon, channels)?;
        Self::new(&draws, channel, &truth, channel, &drives)
    }

    /// Frames.
    pub fn frames(&self) -> usize {
        self.truth.len() / self.horizon
    }

    /// Draws of each frame, `[K, H]`, beside its truth, `[H]`.
    fn iter(&self) -> impl Iterator<Item = (&[f32], &[f32])> {
        self.predictions
            .chunks_exact(self.draws * self.horizon)
            .zip(self.truth.chunks_exact(self.horizon))
    }

    /// |error| of each draw of a frame in one slot.
    fn errors<'a>(
        &self,
        frame: (&'a [f32], &'a [f32]),
        slot: usize,
    ) -> impl Iterator<Item = f64> + Clone + use<'a> {
        let (draws, truth) = frame;
        let truth = f64::from(truth.get(slot).copied().unwrap_or(f32::NAN));
        let draws = draws.iter().skip(slot).step_by(self.horizon);
        draws.map(move |&value| (f64::from(value) - truth).abs())
    }

    /// For each frame, whether it lies within `pad` frames of a first-slot spike of its drive.
    fn spike_region(&self, spike: f64, pad: usize) -> Vec<bool> {
        let first = self.truth.iter().step_by(self.horizon);
        let spikes: Vec<bool> = first.map(|&value| f64::from(value).abs() > spike).collect();
        let mut region = vec![false; spikes.len()];
        for run in &self.runs {
            for frame in run.clone() {
                if spikes.get(frame) == Some(&true) {
                    let start = frame.saturating_sub(pad).max(run.start);
                    let end = frame.saturating_add(pad).saturating_add(1).min(run.end);
                    if let Some(near) = region.get_mut(start..end) {
                        near.fill(true);
                    }
                }
            }
        }
        region
    }

    /// Mean of the draws in one slot, smoothed within each drive by a box padded with zeros.
    fn smoothed(&self, slot: usize) -> Vec<f64> {
        let mean = |draws: &[f32]| {
            let values = draws.iter().skip(slot).step_by(self.horizon);
            values.map(|&value| f64::from(value)).sum::<f64>() / self.draws as f64
        };
        let means: Vec<f64> = self.iter().map(|(draws, _)| mean(draws)).collect();
        let reach = BOX / 2;
        let mut smoothed = Vec::with_capacity(means.len());
        for run in &self.runs {
            for frame in run.clone() {
                let start = frame.saturating_sub(reach).max(run.start);
                let window = means.get(start..(frame + reach + 1).min(run.end));
                let sum: f64 = window.unwrap_or_default().iter().sum();
                smoothed.push(sum / BOX as f64);
            }
        }
        smoothed
    }

    /// The shift that minimises the mean of |p(i) - y(i + shift)| over the frames of a region, both in the
    /// same drive; the smallest shift on ties, none where the region is empty.
    fn lag(&self, slot: usize, region: &[bool]) -> Option<i64> {
        let smoothed = self.smoothed(slot);
        let truth: Vec<f64> = self
            .truth
            .iter()
            .skip(slot)
            .step_by(self.horizon)
            .map(|&value| f64::from(value))
            .collect();
        let mut best: Option<(isize, f64)> = None;
        for shift in SHIFTS {
            let mut distance = Mean::default();
            for run in &self.runs {
                for frame in run
                    .clone()
                    .filter(|&frame| region.get(frame) == Some(&true))
                {
                    let moved = frame.checked_add_signed(shift);
                    let moved = moved.filter(|moved| run.contains(moved));
                    let truth = moved.and_then(|moved| truth.get(moved));
                    if let (Some(predicted), Some(truth)) = (smoothed.get(frame), truth) {
                        distance.add((predicted - truth).abs());
                    }
                }
            }
            if let Some(distance) = distance.get()
                && best.is_none_or(|(_, least)| distance < least)
            {
                best = Some((shift, distance));
            }
        }
        best.map(|(shift, _)| shift as i64)
    }
}

/// Fan and lag profile of a steering series, with the spike threshold, hit distances and pad of `config`.
///
/// # Errors
/// [`FlowDataError::Setting`] for a distance or threshold that is not a number.
pub fn fan(series: &SteeringSeries, config: &PanelConfig) -> Result<Fan, FlowDataError> {
    let numbers = config.hit_distances.iter().chain([&config.spike]);
    for value in numbers {
        if !(value.is_finite() && *value >= 0.0) {
            return Err(FlowDataError::Setting {
                setting: "hit distance or spike threshold",
                expected: "a finite number of at least 0",
                found: value.to_string(),
            });
        }
    }
    let region = series.spike_region(config.spike, config.fan_pad);
    let share_within = |frame, distance: f64| {
        let errors = series.errors(frame, 0);
        errors.filter(|&error| error <= distance).count() as f64 / series.draws as f64
    };
    let hit = |distance: f64| {
        let hits: Vec<f64> = series
            .iter()
            .map(|frame| share_within(frame, distance))
            .collect();
        let subsets = inside_and_outside(&hits, &region);
        BySubset {
            all: hits.into_iter().collect::<Mean>().get(),
            flat: subsets.flat,
            spike: subsets.spike,
        }
    };
    let expected = |slot: usize| -> Vec<f64> {
        let mean = |frame| series.errors(frame, slot).sum::<f64>() / series.draws as f64;
        series.iter().map(mean).collect()
    };
    let best: Vec<f64> = series
        .iter()
        .map(|frame| series.errors(frame, 0).fold(f64::INFINITY, f64::min))
        .collect();
    let slots = 0..series.horizon;
    Ok(Fan {
        hit: config
            .hit_distances
            .iter()
            .map(|&distance| (distance.to_string(), hit(distance)))
            .collect(),
        first_step_l1: inside_and_outside(&expected(0), &region),
        best_of_k: inside_and_outside(&best, &region),
        per_slot_l1: slots
            .clone()
            .map(|slot| expected(slot).into_iter().collect::<Mean>().get())
            .collect(),
        lag_profile: slots
            .map(|slot| series.lag(slot, &region).filter(|_| config.consecutive))
            .collect(),
    })
}

fn inside_and_outside(values: &[f64], region: &[bool]) -> FanSubsets {
    let mean = |inside: bool| {
        let values = values.iter().zip(region);
        let values = values.filter(|(_, near)| **near == inside);
        values.map(|(&value, _)| value).collect::<Mean>().get()
    };
    FanSubsets {
        spike: mean(true),
        flat: mean(false),
    }
}
