//! Conditions that a case of a decoder is about.

use super::super::checks::CaseError;
use super::case::{Case, engine};
use crate::samplers::flow::FlowSampler;

/// Conditions of a case and how many frames there are.
pub(super) struct Conditions {
    pub frames: usize,
    pub values: Vec<f32>,
}

impl Conditions {
    pub fn read(case: &Case<'_>, sampler: &FlowSampler) -> Result<Self, CaseError> {
        let config = sampler.config();
        let (frames, values) = case.rows("in.cond", &[config.tokens, config.cond_dim])?;
        Ok(Self { frames, values })
    }

    /// Draws a frame, of so many rows in all.
    pub fn draws(&self, name: &str, rows: usize) -> Result<usize, CaseError> {
        if self.frames > 0 && rows > 0 && rows.is_multiple_of(self.frames) {
            return Ok(rows / self.frames);
        }
        let expected = self.frames;
        Err(engine(format!(
            "{name}: expected a multiple of {expected} frames, at least one, found {rows} rows"
        )))
    }
}
