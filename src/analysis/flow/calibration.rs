//! Calibration of draw mass against known mode probabilities, which only a generated benchmark has.

use std::collections::BTreeMap;

use serde::Serialize;

use super::draws::{Draws, FlowDataError};
use super::readouts::channel_mean;
use super::statistics::Mean;

/// A frame one step before an open decision whose law is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Frame of the draws.
    pub frame: usize,
    /// True probability that the mode is taken.
    pub probability: f64,
    /// Whether it was taken in the recorded drive.
    pub happened: bool,
}

/// When a chunk takes the mode: a condition on the mean over the slots of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ModeTest {
    /// |mean| above this.
    AbsoluteAbove(f64),
    /// Mean above this.
    Above(f64),
}

impl ModeTest {
    /// Whether a chunk with this mean takes the mode.
    pub fn taken(self, mean: f64) -> bool {
        match self {
            Self::AbsoluteAbove(threshold) => mean.abs() > threshold,
            Self::Above(threshold) => mean > threshold,
        }
    }
}

/// The marks of one true probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationRow {
    /// True probability that the mode is taken.
    pub probability: f64,
    /// Marks with finite draws.
    pub marks: usize,
    /// Share of them at which it was taken in the recorded drives.
    pub frequency: Option<f64>,
    /// Share of their draws that take it.
    pub draw_share: Option<f64>,
}

/// Draw mass against true probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// One row a true probability, in rising order.
    pub rows: Vec<CalibrationRow>,
    /// Marks left out because a draw is not finite.
    pub dropped: usize,
    /// Mean over the marks of |draw share of the row - true probability|.
    pub error: Option<f64>,
}

/// The share of draws that take the mode, per true probability, beside the frequency in the data. For a
/// junction of the driving benchmark the test is |chunk-mean steering| > 0.25.
///
/// # Errors
/// [`FlowDataError::Channel`], [`FlowDataError::Frame`] for a mark beyond the draws, [`FlowDataError::Setting`]
/// for a probability outside 0..=1.
pub fn calibrate(
    draws: &Draws,
    channel: usize,
    test: ModeTest,
    marks: &[Mark],
) -> Result<Calibration, FlowDataError> {
    if channel >= draws.channels() {
        return Err(FlowDataError::Channel {
            setting: "channel of the calibration",
            channels: draws.channels(),
            found: channel,
        });
    }
    let mut classes: BTreeMap<u64, (f64, Mean, Mean)> = BTreeMap::new();
    let mut dropped = 0;
    for mark in marks {
        if !(0.0..=1.0).contains(&mark.probability) {
            return Err(FlowDataError::Setting {
                setting: "probability of a mark",
                expected: "a number from 0 to 1",
                found: mark.probability.to_string(),
            });
        }
        let frame = draws.frame(mark.frame).ok_or(FlowDataError::Frame {
            tensor: "mark",
            frames: draws.frames(),
            found: mark.frame,
        })?;
        if !frame.is_finite() {
            dropped += 1;
            continue;
        }
        // Numbers from 0 to 1 sort as their bits do; adding zero takes the sign off -0.
        let key = (mark.probability + 0.0).to_bits();
        let class = classes.entry(key);
        let (_, frequency, share) =
            class.or_insert((mark.probability, Mean::default(), Mean::default()));
        frequency.add(f64::from(mark.happened));
        let taken: Mean = frame
            .iter()
            .map(|chunk| {
                let mean = channel_mean(chunk, draws.channels(), channel);
                f64::from(test.taken(mean))
            })
            .collect();
        share.add(taken.get().unwrap_or(0.0));
    }
    let rows: Vec<CalibrationRow> = classes
        .into_values()
        .map(|(probability, frequency, share)| CalibrationRow {
            probability,
            marks: share.count(),
            frequency: frequency.get(),
            draw_share: share.get(),
        })
        .collect();
    let mut error = Mean::default();
    for row in &rows {
        for _ in 0..row.marks {
            error.add((row.draw_share.unwrap_or(0.0) - row.probability).abs());
        }
    }
    Ok(Calibration {
        rows,
        dropped,
        error: error.get(),
    })
}
