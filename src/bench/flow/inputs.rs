//! What the measured sampler draws from.

use super::FlowRow;
use crate::bench::BenchError;
use crate::formats::{ArrayMap, FormatError};
use crate::models::flow::DecoderConfig;
use crate::samplers::flow::fill_noise;

/// Conditions, and noise where it is not drawn.
#[derive(Debug, Clone)]
pub struct FlowInputs {
    /// `[frames, S, Dc]`, at least one frame.
    conditions: Vec<f32>,
    /// Frames and draws of the noise, and the noise `[frames, draws, H, A]`.
    noise: Option<(usize, usize, Vec<f32>)>,
}

impl FlowInputs {
    /// Standard normal conditions of `frames` frames; noise is drawn.
    pub fn stand_in(config: &DecoderConfig, frames: usize) -> Self {
        let width = config.tokens * config.cond_dim;
        let mut conditions = vec![0.0; frames.max(1) * width];
        for (frame, values) in (0u32..).zip(conditions.chunks_mut(width.max(1))) {
            // A stream of its own: noise has the first.
            fill_noise(values, (super::FlowBench::SEED, 1), (frame, 0), 1.0);
        }
        Self {
            conditions,
            noise: None,
        }
    }

    /// `conditions` `[N, S, Dc]` and, where it is there, `noise` `[frames, draws, H, A]` of a file.
    ///
    /// # Errors
    /// [`BenchError`] naming the array that is missing, misshapen, empty or not finite.
    pub fn from_arrays(config: &DecoderConfig, arrays: &ArrayMap) -> Result<Self, BenchError> {
        let first = |name: &str, axis: usize| -> Result<usize, FormatError> {
            Ok(arrays.get(name)?.shape().get(axis).copied().unwrap_or(0))
        };
        let frames = first("conditions", 0)?;
        let shape = [frames, config.tokens, config.cond_dim];
        let conditions = arrays.expect_finite_f32("conditions", &shape)?;
        let noise = if arrays.contains("noise") {
            let (frames, draws) = (first("noise", 0)?, first("noise", 1)?);
            let shape = [frames, draws, config.horizon, config.action_dim];
            Some((frames, draws, arrays.expect_finite_f32("noise", &shape)?))
        } else {
            None
        };
        if frames == 0 {
            return Err(BenchError::Nothing {
                what: "conditions",
                expected: "at least 1 frame".into(),
                found: "0".into(),
            });
        }
        Ok(Self { conditions, noise })
    }

    /// Conditions of `frames` frames, from the first on and over again.
    pub(super) fn conditions(&self, config: &DecoderConfig, frames: usize) -> Vec<f32> {
        let count = frames * config.tokens * config.cond_dim;
        self.conditions
            .iter()
            .copied()
            .cycle()
            .take(count)
            .collect()
    }

    /// Recorded noise of a row's draws.
    pub(super) fn noise(
        &self,
        config: &DecoderConfig,
        row: &FlowRow,
    ) -> Result<Option<Vec<f32>>, BenchError> {
        let Some((frames, draws, values)) = &self.noise else {
            return Ok(None);
        };
        if row.frames > *frames || row.draws > *draws {
            return Err(BenchError::Nothing {
                what: "noise",
                expected: format!("{} frames of {} draws", row.frames, row.draws),
                found: format!("{frames} frames of {draws} draws"),
            });
        }
        let chunk = config.chunk();
        let all = values.chunks_exact((draws * chunk).max(1));
        Ok(Some(
            all.take(row.frames)
                .flat_map(|frame| frame.iter().take(row.draws * chunk))
                .copied()
                .collect(),
        ))
    }
}
