//! The feature cache, schema 2: what a frozen encoder made of every frame, with the actions to predict,
//! so that a policy can be trained and evaluated without the encoder.
//!
//! A safetensors file. N rows, S condition tokens of width Dc, H actions of R channels, T steps of
//! history:
//!
//! | array | type | shape | content |
//! |---|---|---|---|
//! | `cond` | F16 | N, S, Dc | condition tokens |
//! | `target_actions` | F32 | N, H, R | the actions to predict, raw channels |
//! | `frame_idx` | I32 | N, T | frame numbers of the history, oldest first |
//! | `time_stamp` | I64 | N, T | their times |
//! | `input_id` | U8 | N, width | names of the recordings: UTF-8, filled up with zero bytes |
//!
//! The header entry `meta` is a JSON object `{schema, model_artifact, condition_tokens, history_steps,
//! action_keys}`; S, T and R are the lengths that it gives. A cache is good only for the encoder and the
//! condition tokens that it was made with, so a reader states what it expects.
//!
//! `cond` may also be F32, for conditions that were computed in that precision and must not lose bits;
//! the type of the array in the header is what marks such a file, and nothing else differs. A reader that
//! knows F16 alone refuses it by its type.

mod error;
mod file;

pub use error::FeatureCacheError;

use half::f16;
use serde::{Deserialize, Serialize};

use super::{ArrayError, DType};

/// The version of the layout.
pub const SCHEMA: u64 = 2;
/// Longest name of a recording, bytes.
pub const INPUT_ID_BYTES: usize = 1024;

/// What the rows of a cache are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMeta {
    /// The encoder that the conditions come from.
    pub model_artifact: String,
    /// Names of the S condition tokens, in order.
    pub condition_tokens: Vec<String>,
    /// Steps of history T, the current one included.
    pub history_steps: usize,
    /// Names of the R action channels, in order.
    pub action_keys: Vec<String>,
}

/// What a reader goes with; `None` accepts anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheExpectation<'a> {
    /// The encoder.
    pub model_artifact: Option<&'a str>,
    /// The condition tokens, in order.
    pub condition_tokens: Option<&'a [&'a str]>,
    /// The action channels, in order.
    pub action_keys: Option<&'a [&'a str]>,
}

/// Condition tokens `[N, S, Dc]` in the precision of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Conditions {
    /// What the schema asks for.
    Half(Vec<f16>),
    /// Conditions that were computed in f32.
    Single(Vec<f32>),
}

impl Conditions {
    /// Conditions rounded to f16, to nearest, ties to even. NaN and infinities stay what they are.
    ///
    /// # Errors
    /// [`ArrayError::Range`] for a finite value that f16 cannot hold.
    pub fn halved(values: &[f32]) -> Result<Self, ArrayError> {
        let halves: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
        let overflow = |(value, half): (&f32, &f16)| value.is_finite() && !half.is_finite();
        match values.iter().zip(&halves).position(overflow) {
            None => Ok(Self::Half(halves)),
            Some(index) => Err(ArrayError::Range {
                index,
                value: values.get(index).copied().unwrap_or_default().to_string(),
                target: DType::F16,
            }),
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Half(values) => values.len(),
            Self::Single(values) => values.len(),
        }
    }

    /// True when there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type in the file.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Half(_) => DType::F16,
            Self::Single(_) => DType::F32,
        }
    }

    /// The values of a range as f32; `None` where it goes beyond the end.
    pub fn range(&self, range: std::ops::Range<usize>) -> Option<Vec<f32>> {
        match self {
            Self::Half(values) => {
                let halves = values.get(range)?;
                Some(halves.iter().map(|half| half.to_f32()).collect())
            }
            Self::Single(values) => values.get(range).map(<[f32]>::to_vec),
        }
    }

    /// Whether each run of `width` values is finite.
    fn finite_rows(&self, width: usize) -> Vec<bool> {
        match self {
            Self::Half(values) => finite_rows(values, width, |half| half.is_finite()),
            Self::Single(values) => finite_rows(values, width, |value| value.is_finite()),
        }
    }
}

/// A feature cache in memory. The lengths of the vectors follow from [`FeatureCache::meta`],
/// [`FeatureCache::condition_dim`], [`FeatureCache::horizon`] and the number of rows N.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureCache {
    /// What the rows are.
    pub meta: CacheMeta,
    /// Width of a condition token, Dc.
    pub condition_dim: usize,
    /// Actions of a row, H.
    pub horizon: usize,
    /// Condition tokens `[N, S, Dc]`.
    pub conditions: Conditions,
    /// Actions to predict `[N, H, R]`, raw channels.
    pub target_actions: Vec<f32>,
    /// Frame numbers of the history `[N, T]`, oldest first.
    pub frame_idx: Vec<i32>,
    /// Times of the history `[N, T]`, in the unit of the recording.
    pub time_stamp: Vec<i64>,
    /// Names of the recordings `[N]`.
    pub input_id: Vec<String>,
}

impl FeatureCache {
    /// Number of rows N.
    pub fn rows(&self) -> usize {
        self.input_id.len()
    }

    /// Values of one condition, S Dc.
    pub fn condition_values(&self) -> usize {
        let tokens = self.meta.condition_tokens.len();
        tokens.saturating_mul(self.condition_dim)
    }

    /// Values of one target, H R.
    pub fn target_values(&self) -> usize {
        self.horizon.saturating_mul(self.meta.action_keys.len())
    }

    /// The condition of a row `[S, Dc]`, as f32.
    pub fn condition(&self, row: usize) -> Option<Vec<f32>> {
        let width = self.condition_values();
        let start = row.checked_mul(width)?;
        self.conditions.range(start..start.checked_add(width)?)
    }

    /// The target of a row `[H, R]`.
    pub fn target(&self, row: usize) -> Option<&[f32]> {
        let width = self.target_values();
        let start = row.checked_mul(width)?;
        self.target_actions.get(start..start.checked_add(width)?)
    }

    /// The frame that a row is about: the last of its history.
    pub fn frame(&self, row: usize) -> Option<i32> {
        let last = row.checked_add(1)?.checked_mul(self.meta.history_steps)?;
        self.frame_idx.get(last.checked_sub(1)?).copied()
    }

    /// Whether the condition and the target of each row are free of NaN and infinities, `[N]`. Rows that
    /// are not are to be dropped, and counted, by whoever uses the cache.
    pub fn rows_finite(&self) -> Vec<bool> {
        let conditions = self.conditions.finite_rows(self.condition_values());
        let targets = finite_rows(&self.target_actions, self.target_values(), |v| {
            v.is_finite()
        });
        let rows = conditions.into_iter().zip(targets);
        rows.map(|(condition, target)| condition && target)
            .collect()
    }
}

fn finite_rows<T>(values: &[T], width: usize, is_finite: impl Fn(&T) -> bool) -> Vec<bool> {
    let rows = values.chunks_exact(width.max(1));
    rows.map(|row| row.iter().all(&is_finite)).collect()
}
