//! Drives as a feature cache: the conditions of the benchmark in the place of an encoder's.

use super::{CHANNELS, CONDITION_DIM, Drive, HISTORY, HORIZON, TOKENS, frame_of_sample};
use crate::formats::ArrayError;
use crate::formats::feature_cache::{CacheMeta, Conditions, FeatureCache};

/// The encoder named in caches of the benchmark.
pub const MODEL_ARTIFACT: &str = "DriveChunk-1";
/// The encoder named in caches whose conditions have their action history set to zero.
pub const MODEL_ARTIFACT_WITHOUT_HISTORY: &str = "DriveChunk-1/history-zeroed";

/// Names of the condition tokens, in order.
pub const CONDITION_TOKENS: [&str; TOKENS] = [
    "observation_summary",
    "observation_history",
    "waypoint_0",
    "waypoint_1",
    "waypoint_2",
    "waypoint_3",
    "waypoint_4",
    "waypoint_5",
    "waypoint_6",
    "waypoint_7",
    "waypoint_8",
    "waypoint_9",
];

/// How drives become a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheForm {
    /// Set the action history of the conditions to zero.
    pub history_zeroed: bool,
    /// Keep the conditions in f32, which is what they are; the schema asks for f16.
    pub single_precision: bool,
}

/// The drives one after another, one row a sample. The name of a row is `drive-24/000123`: drive and
/// sample. The benchmark has no clock, so the times are the frame numbers.
///
/// # Errors
/// [`ArrayError::Range`] for a condition that f16 cannot hold; no drive has one.
pub fn feature_cache<'a>(
    drives: impl IntoIterator<Item = &'a Drive>,
    form: CacheForm,
) -> Result<FeatureCache, ArrayError> {
    let mut conditions = Vec::new();
    let mut target_actions = Vec::new();
    let mut frame_idx = Vec::new();
    let mut input_id = Vec::new();
    for drive in drives {
        if form.history_zeroed {
            conditions.extend(drive.conditions_without_history());
        } else {
            conditions.extend_from_slice(&drive.conditions);
        }
        target_actions.extend_from_slice(&drive.targets);
        for sample in 0..drive.frames {
            let last = frame_of_sample(sample);
            frame_idx.extend((last + 1 - HISTORY..=last).map(|frame| frame as i32));
            input_id.push(format!("drive-{}/{sample:06}", drive.number));
        }
    }
    let artifact = if form.history_zeroed {
        MODEL_ARTIFACT_WITHOUT_HISTORY
    } else {
        MODEL_ARTIFACT
    };
    Ok(FeatureCache {
        meta: CacheMeta {
            model_artifact: artifact.to_owned(),
            condition_tokens: CONDITION_TOKENS.map(str::to_owned).to_vec(),
            history_steps: HISTORY,
            action_keys: CHANNELS.map(str::to_owned).to_vec(),
        },
        condition_dim: CONDITION_DIM,
        horizon: HORIZON,
        conditions: if form.single_precision {
            Conditions::Single(conditions)
        } else {
            Conditions::halved(&conditions)?
        },
        target_actions,
        time_stamp: frame_idx.iter().map(|&frame| i64::from(frame)).collect(),
        frame_idx,
        input_id,
    })
}
