//! The table in memory: columns that are known to fit together.

use super::{INPUT_ID, Kind, PredictionError, TIME_STAMP};

/// Longest channel key, bytes: keys become names of archive members.
const LONGEST_KEY: usize = 200;
/// Longest name of a recording, as feature caches have them.
const LONGEST_NAME: usize = 1024;

/// Which frames the rows are about, one entry a row in each column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frames {
    /// Number of the frame in its recording.
    pub frame_idx: Vec<i32>,
    /// Time of the frame; the unit is the recorder's.
    pub time_stamp: Vec<i64>,
    /// Name of the recording (the drive).
    pub input_id: Vec<String>,
}

/// One action channel: three columns of `[rows, horizon]` values each, row by row. Values may be
/// NaN or infinite.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelPredictions {
    /// Name of the channel, such as `steering`.
    pub key: String,
    /// What was done.
    pub ground_truth: Vec<f32>,
    /// What the policy said.
    pub prediction_value: Vec<f32>,
    /// How far apart the two are.
    pub score_l1: Vec<f32>,
}

impl ChannelPredictions {
    /// A channel whose scores are the absolute differences of its two other columns.
    ///
    /// # Errors
    /// [`PredictionError::Length`] when the columns differ in length.
    pub fn scored(
        key: impl Into<String>,
        ground_truth: Vec<f32>,
        prediction_value: Vec<f32>,
    ) -> Result<Self, PredictionError> {
        let key = key.into();
        if ground_truth.len() != prediction_value.len() {
            return Err(PredictionError::Length {
                column: Kind::Prediction.column(&key),
                expected: ground_truth.len(),
                found: prediction_value.len(),
            });
        }
        let pairs = ground_truth.iter().zip(&prediction_value);
        let score_l1 = pairs.map(|(truth, value)| (value - truth).abs()).collect();
        Ok(Self {
            key,
            ground_truth,
            prediction_value,
            score_l1,
        })
    }

    /// The three columns.
    pub(super) fn columns(&self) -> [(Kind, &[f32]); 3] {
        [
            (Kind::Truth, &self.ground_truth),
            (Kind::Prediction, &self.prediction_value),
            (Kind::Score, &self.score_l1),
        ]
    }
}

/// Predictions of a policy, one row a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionTable {
    horizon: usize,
    frames: Frames,
    channels: Vec<ChannelPredictions>,
}

impl PredictionTable {
    /// A table of these columns, checked against each other.
    ///
    /// # Errors
    /// [`PredictionError::Empty`] for no rows, no channels or `horizon` 0,
    /// [`PredictionError::Length`] for a column of another length than the rows need,
    /// [`PredictionError::Duplicate`] for two channels of one key, and [`PredictionError::Text`]
    /// for a key or a recording name that a container cannot hold.
    pub fn new(
        frames: Frames,
        horizon: usize,
        channels: Vec<ChannelPredictions>,
    ) -> Result<Self, PredictionError> {
        let rows = frames.frame_idx.len();
        for (what, count) in [
            ("row", rows),
            ("slot", horizon),
            ("channel", channels.len()),
        ] {
            if count == 0 {
                return Err(PredictionError::Empty { what });
            }
        }
        check_length(TIME_STAMP, rows, frames.time_stamp.len())?;
        check_length(INPUT_ID, rows, frames.input_id.len())?;
        let values = rows.saturating_mul(horizon);
        for (index, channel) in channels.iter().enumerate() {
            check_text("channel key", &channel.key)?;
            let mut earlier = channels.iter().take(index);
            if earlier.any(|other| other.key == channel.key) {
                return Err(PredictionError::Duplicate {
                    key: channel.key.clone(),
                });
            }
            for (kind, column) in channel.columns() {
                check_length(&kind.column(&channel.key), values, column.len())?;
            }
        }
        let is_name =
            |name: &String| name.len() <= LONGEST_NAME && !name.chars().any(char::is_control);
        if let Some(name) = frames.input_id.iter().find(|name| !is_name(name)) {
            return Err(PredictionError::Text {
                what: INPUT_ID,
                text: name.chars().take(LONGEST_KEY).collect(),
                expected: "at most 1024 bytes without control characters",
            });
        }
        Ok(Self {
            horizon,
            frames,
            channels,
        })
    }

    /// Number of rows, at least 1.
    pub fn rows(&self) -> usize {
        self.frames.frame_idx.len()
    }

    /// Number of predicted steps a row, at least 1.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// The frames of the rows.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// The channels, at least one, keys distinct.
    pub fn channels(&self) -> &[ChannelPredictions] {
        &self.channels
    }

    /// The channel of this key.
    pub fn channel(&self, key: &str) -> Option<&ChannelPredictions> {
        self.channels.iter().find(|channel| channel.key == key)
    }
}

fn check_length(column: &str, expected: usize, found: usize) -> Result<(), PredictionError> {
    if expected == found {
        return Ok(());
    }
    Err(PredictionError::Length {
        column: column.to_owned(),
        expected,
        found,
    })
}

/// A zero character would be lost at the end of fixed-width text, other control characters would
/// garble messages.
fn check_text(what: &'static str, text: &str) -> Result<(), PredictionError> {
    if !text.is_empty() && text.len() <= LONGEST_KEY && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(PredictionError::Text {
        what,
        text: text.chars().take(LONGEST_KEY).collect(),
        expected: "1 to 200 bytes without control characters",
    })
}
