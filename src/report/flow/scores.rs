//! The metrics that a prediction table gives by itself, raw space.
//!
//! Flat and spike are masks over single slots: a slot counts by its own truth.

use super::Metric;
use crate::analysis::flow::pearson;
use crate::formats::predictions::{ChannelPredictions, PredictionTable};

/// Steering of a spike slot is beyond this.
pub(super) const SPIKE: f32 = 0.5;
/// Steering of a flat slot is below this.
const FLAT: f32 = 0.05;

/// Metrics of a table, and how many frames they are about.
pub(super) struct Scores {
    pub metrics: Vec<Metric>,
    pub frames: usize,
    pub dropped: usize,
}

/// The channel whose key ends in a part that contains one of these words.
fn find<'a>(table: &'a PredictionTable, words: &[&str]) -> Option<&'a ChannelPredictions> {
    table.channels().iter().find(|channel| {
        let last = channel.key.rsplit(['/', '.']).next().unwrap_or_default();
        let last = last.to_ascii_lowercase();
        words.iter().any(|word| last.contains(word))
    })
}

/// The channel of steering.
pub(super) fn steering(table: &PredictionTable) -> Option<&ChannelPredictions> {
    find(table, &["steer"])
}

/// Mean absolute error over the slots that `mask` takes by their truth.
fn error(
    channel: &ChannelPredictions,
    horizon: usize,
    used: &[bool],
    mask: impl Fn(f32) -> bool,
) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    for ((truth, value), _) in chunks(channel, horizon)
        .zip(used)
        .filter(|(_, used)| **used)
    {
        for (t, v) in truth.iter().zip(value).filter(|(t, _)| mask(**t)) {
            sum += f64::from((v - t).abs());
            count += 1;
        }
    }
    // NaN over nothing, which the page shows as a dash.
    sum / count as f64
}

/// Truth and prediction, row by row.
fn chunks(channel: &ChannelPredictions, horizon: usize) -> impl Iterator<Item = (&[f32], &[f32])> {
    let truth = channel.ground_truth.chunks(horizon.max(1));
    truth.zip(channel.prediction_value.chunks(horizon.max(1)))
}

/// Correlation of the means over slots, prediction against truth.
fn correlation(channel: &ChannelPredictions, horizon: usize, used: &[bool]) -> f64 {
    let mean = |values: &[f32]| {
        let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
        sum / values.len() as f64
    };
    let pairs: Vec<(f64, f64)> = chunks(channel, horizon)
        .zip(used)
        .filter(|(_, used)| **used)
        .map(|((truth, value), _)| (mean(value), mean(truth)))
        .collect();
    pearson(&pairs).unwrap_or(f64::NAN)
}

/// Scores a table. Frames with a value that is not finite are left out of every metric.
pub(super) fn scores(table: &PredictionTable) -> Scores {
    let horizon = table.horizon();
    let mut used = vec![true; table.rows()];
    for channel in table.channels() {
        for ((truth, value), used) in chunks(channel, horizon).zip(&mut used) {
            *used &= truth.iter().chain(value).all(|v| v.is_finite());
        }
    }
    let mut metrics = Vec::new();
    let mut push = |name: &str, value: f64| {
        metrics.push(Metric {
            name: name.into(),
            value,
        });
    };
    if let Some(steering) = steering(table) {
        push("steering L1", error(steering, horizon, &used, |_| true));
        let flat = error(steering, horizon, &used, |t| t.abs() < FLAT);
        push("steering L1 flat", flat);
        let spike = error(steering, horizon, &used, |t| t.abs() > SPIKE);
        push("steering L1 spike", spike);
        push("corr", correlation(steering, horizon, &used));
    }
    for (name, words) in [
        ("gas L1", &["gas", "throttle"][..]),
        ("brake L1", &["brake"]),
    ] {
        if let Some(channel) = find(table, words) {
            push(name, error(channel, horizon, &used, |_| true));
        }
    }
    let frames = used.iter().filter(|used| **used).count();
    Scores {
        metrics,
        frames,
        dropped: used.len() - frames,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::predictions::Frames;

    #[test]
    fn masks_are_by_slot_and_frames_that_are_not_finite_are_dropped() {
        let frames = Frames {
            frame_idx: vec![0, 1, 2],
            time_stamp: vec![0; 3],
            input_id: vec!["d".into(); 3],
        };
        // Row 0: a flat and a spike slot; row 1: neither; row 2 has a NaN in another channel.
        let truth = vec![0.0, 0.75, -0.25, -0.25, 9.0, 9.0];
        let said = vec![0.125, 0.5, -0.25, -0.75, 0.0, 0.0];
        let steering = ChannelPredictions::scored("car/steering", truth, said).unwrap();
        let gas = vec![0.5, 0.5, 0.5, 0.5, f32::NAN, 0.5];
        let gas = ChannelPredictions::scored("gas", vec![0.25; 6], gas).unwrap();
        let table = PredictionTable::new(frames, 2, vec![gas, steering]).unwrap();
        let scores = scores(&table);
        assert_eq!((scores.frames, scores.dropped), (2, 1));
        let value = |name: &str| {
            let metric = scores.metrics.iter().find(|m| m.name == name);
            metric.map(|m| m.value)
        };
        assert_eq!(value("steering L1"), Some((0.125 + 0.25 + 0.0 + 0.5) / 4.0));
        assert_eq!(value("steering L1 flat"), Some(0.125));
        assert_eq!(value("steering L1 spike"), Some(0.25));
        assert_eq!(value("gas L1"), Some(0.25));
        assert_eq!(value("brake L1"), None);
        // Two points lie on a rising line: truth means 0.375 and -0.25, predictions 0.3125 and -0.5.
        assert!((value("corr").unwrap() - 1.0).abs() < 1e-12);
    }
}
