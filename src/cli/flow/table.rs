//! Chunks of a source as a table of predictions.

use super::source::Source;
use anyhow::Result;
use attractor::formats::predictions::{ChannelPredictions, Frames, PredictionTable};

/// One row a frame of the source; `chunks` are `[N, H, R]`, `keys` the R channels. Where the source has no
/// truth, truth and scores are NaN.
pub fn prediction_table(
    source: &Source,
    chunks: &[f32],
    (horizon, keys): (usize, &[String]),
) -> Result<PredictionTable> {
    let last_of = |steps: usize| source.time_stamp.chunks_exact(steps.max(1));
    let frames = Frames {
        frame_idx: (0..source.len())
            .filter_map(|row| source.frame(row))
            .collect(),
        time_stamp: last_of(source.history_steps)
            .filter_map(|history| history.last().copied())
            .collect(),
        input_id: source
            .input_id
            .iter()
            .map(|name| recording(name).to_owned())
            .collect(),
    };
    let column = |values: &[f32], channel: usize| -> Vec<f32> {
        let channels = keys.len().max(1);
        values
            .iter()
            .skip(channel)
            .step_by(channels)
            .copied()
            .collect()
    };
    let channel = |(channel, key): (usize, &String)| -> Result<ChannelPredictions> {
        let predicted = column(chunks, channel);
        let truth = match &source.truth {
            Some(truth) => column(&truth.values, channel),
            None => vec![f32::NAN; predicted.len()],
        };
        Ok(ChannelPredictions::scored(key.clone(), truth, predicted)?)
    };
    let channels = keys.iter().enumerate().map(channel);
    let channels = channels.collect::<Result<Vec<_>>>()?;
    Ok(PredictionTable::new(frames, horizon, channels)?)
}

/// The recording that a row named by recording and number (`drive-24/000123`) belongs to; another name is a
/// recording's own.
pub fn recording(name: &str) -> &str {
    match name.rsplit_once('/') {
        Some((recording, number))
            if !recording.is_empty()
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            recording
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::recording;

    #[test]
    fn rows_of_a_recording_share_its_name() {
        for (name, expected) in [
            ("drive-24/000123", "drive-24"),
            ("a/b", "a/b"),
            ("a/b/12", "a/b"),
            ("/12", "/12"),
            ("a/", "a/"),
            ("lonely", "lonely"),
        ] {
            assert_eq!(recording(name), expected);
        }
    }
}
