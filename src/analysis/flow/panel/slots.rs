//! Slot-level errors per raw channel: the mean-of-K table, maneuvers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::draws::FrameDraws;
use super::super::statistics::Mean;
use super::frame::FrameMeasures;
use super::{BySubset, PanelConfig, PanelInput};

/// Mean |error| over slots: every one, where steering is flat, where it spikes.
pub type MaskedError = BySubset<Option<f64>>;

/// Share of a single draw's error that averaging all draws removes, 1 - meanK/single.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VarianceTax {
    /// Over every slot.
    pub all: Option<f64>,
    /// Over flat slots.
    pub flat: Option<f64>,
    /// Over spike slots.
    pub spike: Option<f64>,
}

/// Errors of one raw channel over slots.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelTable {
    /// Expected |error| of one draw.
    pub single: MaskedError,
    /// Of the mean of all K draws.
    pub meank: MaskedError,
    /// Of the mode readout.
    pub mode: MaskedError,
    /// What averaging gains.
    pub variance_tax: VarianceTax,
    /// By number of draws: 1 (expected over the draws), then the mean of the first 2, 4, 8, ... and of all.
    pub mean_of_k: BTreeMap<usize, MaskedError>,
}

/// L1 over the slots of one raw channel in which the truth maneuvers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Maneuver {
    /// Share of the slots whose |truth| exceeds the channel's threshold.
    pub frac: Option<f64>,
    /// Mean |error| over them.
    pub l1: Option<f64>,
}

/// Numbers of draws whose means the table lists beside a single draw's: 2, 4, 8, ... below K, and K.
pub(super) fn mean_of_k_counts(draws: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = std::iter::successors(Some(2usize), |count| count.checked_mul(2))
        .take_while(|&count| count < draws)
        .collect();
    counts.push(draws);
    counts
}

/// The mean-of-K table of each raw channel.
pub(super) fn slot_level(
    measures: &[FrameMeasures],
    input: &PanelInput,
    counts: &[usize],
) -> BTreeMap<usize, ChannelTable> {
    let channels = input.truth.channels();
    let size = input.truth.horizon() * channels;
    let error = |row: usize, channel: usize| -> MaskedError {
        let (mut all, mut flat, mut spike) = (Mean::default(), Mean::default(), Mean::default());
        for frame in measures {
            let row = frame.slot_errors.chunks_exact(size).nth(row);
            let errors = row.unwrap_or_default().iter().skip(channel);
            let errors = errors.step_by(channels);
            for (&error, &(is_flat, is_spike)) in errors.zip(&frame.slots) {
                all.add(error);
                if is_flat {
                    flat.add(error);
                }
                if is_spike {
                    spike.add(error);
                }
            }
        }
        MaskedError {
            all: all.get(),
            flat: flat.get(),
            spike: spike.get(),
        }
    };
    let table = |channel: usize| {
        let single = error(0, channel);
        let meank = error(counts.len(), channel);
        let mut mean_of_k = BTreeMap::from([(1, single)]);
        for (index, &count) in counts.iter().enumerate() {
            mean_of_k.insert(count, error(1 + index, channel));
        }
        ChannelTable {
            single,
            meank,
            mode: error(1 + counts.len(), channel),
            variance_tax: VarianceTax {
                all: tax(meank.all, single.all),
                flat: tax(meank.flat, single.flat),
                spike: tax(meank.spike, single.spike),
            },
            mean_of_k,
        }
    };
    (0..channels)
        .map(|channel| (channel, table(channel)))
        .collect()
}

/// None where a single draw is never wrong.
fn tax(meank: Option<f64>, single: Option<f64>) -> Option<f64> {
    let single = single.filter(|&error| error > 0.0)?;
    Some(1.0 - meank? / single)
}

/// L1 of the first draw over maneuver slots, per raw channel.
pub(super) fn maneuvers(
    frames: &[(&[f32], FrameDraws, u32)],
    config: &PanelConfig,
) -> BTreeMap<usize, Maneuver> {
    let channels = config.maneuver_thresholds.len();
    let maneuver = |channel: usize, threshold: f64| {
        let (mut error, mut slots) = (Mean::default(), 0usize);
        for &(truth, draws, _) in frames {
            let first = draws.iter().next().unwrap_or_default();
            let pairs = first.iter().zip(truth).skip(channel).step_by(channels);
            for (&value, &truth) in pairs {
                slots += 1;
                if f64::from(truth).abs() > threshold {
                    error.add((f64::from(value) - f64::from(truth)).abs());
                }
            }
        }
        Maneuver {
            frac: (slots > 0).then(|| error.count() as f64 / slots as f64),
            l1: error.get(),
        }
    };
    let thresholds = config.maneuver_thresholds.iter().copied().enumerate();
    thresholds
        .map(|(channel, threshold)| (channel, maneuver(channel, threshold)))
        .collect()
}
