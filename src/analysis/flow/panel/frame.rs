//! What the panel needs to know about one frame.

use super::super::draws::FrameDraws;
use super::super::readouts::{
    ModeSplit, channel_mean, mean_of_first, mean_of_members, mode_chunks, widen,
};
use super::PanelConfig;

/// Chunk-L1 on steering of every readout of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameErrors {
    /// Expected over the draws.
    pub single: f64,
    /// Mean of all draws.
    pub meank: f64,
    /// Mode readout.
    pub mode: f64,
    /// Draw nearest to the mode readout.
    pub mode_medoid: f64,
    /// The better of the two modes; the mode readout where there is one.
    pub oracle_mode: f64,
    /// Best of the draws.
    pub best_draw: f64,
}

/// Chunk-mean steering.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signatures {
    /// Of the truth.
    pub truth: f64,
    /// Of the first draw.
    pub draw0: f64,
    /// Of the mean of all draws.
    pub meank: f64,
    /// Of the mode readout.
    pub mode: f64,
}

/// Measures of one frame.
#[derive(Debug, Clone)]
pub(crate) struct FrameMeasures {
    /// Its drive.
    pub drive: u32,
    /// Whether a slot is a spike.
    pub spike: bool,
    /// Whether all slots are flat.
    pub flat: bool,
    /// Per slot, whether it is flat and whether it is a spike.
    pub slots: Vec<(bool, bool)>,
    /// Whether the draws have two modes.
    pub bimodal: bool,
    /// Width of the gap between them.
    pub separation: f64,
    /// Errors of the readouts on steering.
    pub errors: FrameErrors,
    /// Chunk-mean steering of truth and readouts.
    pub signatures: Signatures,
    /// |error| `[rows, H, R]`: expected over the draws, means of the first k draws for each count, mode.
    pub slot_errors: Vec<f64>,
}

/// Measures a frame whose truth and draws are finite.
pub(crate) fn measure(
    truth: &[f32],
    frame: FrameDraws,
    drive: u32,
    counts: &[usize],
    config: &PanelConfig,
) -> FrameMeasures {
    let (channels, steering) = (frame.channels(), config.steering());
    let truth = widen(truth);
    let slots: Vec<(bool, bool)> = truth
        .iter()
        .skip(steering)
        .step_by(channels)
        .map(|value| (value.abs() < config.flat, value.abs() > config.spike))
        .collect();
    let chunk_error = |chunk: &[f64]| mean_channel_error(chunk, &truth, channels, steering);
    let signature = |chunk: &[f64]| mean_channel(chunk, channels, steering);

    let split = ModeSplit::of(frame, &config.mode);
    let (mode, medoid) = mode_chunks(frame, &split);
    let meank = mean_of_first(frame, frame.draws());
    let draw_errors: Vec<f64> = frame
        .iter()
        .map(|chunk| chunk_error(&widen(chunk)))
        .collect();
    let mode_error = chunk_error(&mode);
    let errors = FrameErrors {
        single: draw_errors.iter().sum::<f64>() / draw_errors.len() as f64,
        meank: chunk_error(&meank),
        mode: mode_error,
        mode_medoid: medoid
            .and_then(|draw| draw_errors.get(draw).copied())
            .unwrap_or(mode_error),
        oracle_mode: if split.bimodal {
            let side = |left: bool| {
                let members = split.left.iter().map(move |&below| below == left);
                chunk_error(&mean_of_members(frame, members))
            };
            side(true).min(side(false))
        } else {
            mode_error
        },
        best_draw: draw_errors.iter().copied().fold(f64::INFINITY, f64::min),
    };
    let signatures = Signatures {
        truth: signature(&truth),
        draw0: frame
            .iter()
            .next()
            .map_or(f64::NAN, |chunk| channel_mean(chunk, channels, steering)),
        meank: signature(&meank),
        mode: signature(&mode),
    };
    FrameMeasures {
        drive,
        spike: slots.iter().any(|&(_, spike)| spike),
        flat: slots.iter().all(|&(flat, _)| flat),
        slots,
        bimodal: split.bimodal,
        separation: split.separation.unwrap_or(0.0),
        errors,
        signatures,
        slot_errors: slot_errors(&truth, frame, counts, &mode),
    }
}

fn mean_channel(chunk: &[f64], channels: usize, channel: usize) -> f64 {
    let sum: f64 = chunk.iter().skip(channel).step_by(channels).sum();
    sum / (chunk.len() / channels) as f64
}

fn mean_channel_error(chunk: &[f64], truth: &[f64], channels: usize, channel: usize) -> f64 {
    let sum: f64 = chunk
        .iter()
        .zip(truth)
        .skip(channel)
        .step_by(channels)
        .map(|(value, truth)| (value - truth).abs())
        .sum();
    sum / (chunk.len() / channels) as f64
}

fn slot_errors(truth: &[f64], frame: FrameDraws, counts: &[usize], mode: &[f64]) -> Vec<f64> {
    let mut single = vec![0.0; truth.len()];
    for chunk in frame.iter() {
        for ((sum, &value), truth) in single.iter_mut().zip(chunk).zip(truth) {
            *sum += (f64::from(value) - truth).abs();
        }
    }
    let draws = frame.draws() as f64;
    single.iter_mut().for_each(|sum| *sum /= draws);
    let error = |chunk: &[f64]| -> Vec<f64> {
        let pairs = chunk.iter().zip(truth);
        pairs.map(|(value, truth)| (value - truth).abs()).collect()
    };
    let mut rows = single;
    for &count in counts {
        rows.extend(error(&mean_of_first(frame, count)));
    }
    rows.extend(error(mode));
    rows
}
