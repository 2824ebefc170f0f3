//! Token choice from logits: argmax or exact sampling.

use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups, simd,
};
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;
use serde::Serialize;

mod row;
#[cfg(test)]
mod tests;

/// The token that [`Categorical`] writes for a row it cannot choose from.
pub const NO_TOKEN: u32 = u32::MAX;

/// How [`Categorical`] chooses and what it reports, as a word that the shader branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct TokenMode(u32);

impl TokenMode {
    /// The first largest logit; the confidence is its softmax probability. Temperature and filters
    /// are ignored.
    pub const GREEDY: Self = Self(0);
    /// A sample; the confidence is its probability after temperature and filters.
    pub const SAMPLE_FILTERED_CONFIDENCE: Self = Self(1);
    /// A sample; the confidence is its softmax probability before temperature and filters.
    pub const SAMPLE_RAW_CONFIDENCE: Self = Self(2);
}

/// Chooses one token for every row of `logits` `[rows, vocabulary]`.
///
/// Operands: `logits`; `uniforms` `[rows, 2]` (only to sample), the halves `(high, low)` of
/// `u = high + low` in `[0, 1)`, see [`crate::philox::RandomKind::UNIFORM_PAIR`], used to 48 bits; outputs `token`
/// `[rows]`, `confidence` `[rows]` and, with [`Categorical::PROBABILITIES`], `probabilities`
/// `[rows, vocabulary]`, zero where excluded.
///
/// Weights are `exp((logit - largest) / temperature)`. Of those, top_k drops logits strictly below the
/// k-th largest (ties stay); then top_p goes through the rest in descending order, lower index first
/// among equals, and drops every entry before which at least `top_p` of their mass has gone; the first
/// always stays. The sample is the first index whose cumulative weight exceeds `u` times the total.
/// Sums are 64-bit integers, hence exact and the same on every device: a rare token comes at its rate.
///
/// A row with a NaN or an infinite logit among the first `limit` (minus infinity excludes a token), or
/// with none finite, gives [`NO_TOKEN`] and NaN for its confidence and probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Categorical {
    /// Rows.
    pub rows: u32,
    /// Columns; the shader's passes over them (4, with 2 more for the raw confidence, 32 for top_k and
    /// 33 for top_p) may come to 65,471 column visits, so that 900 columns go with any options.
    pub vocabulary: u32,
    /// Columns that may be chosen: the first so many.
    pub limit: u32,
    /// Tokens kept by count; 0, or `limit` and more, keeps all.
    pub top_k: u32,
    /// Divides the logits; positive.
    pub temperature: f32,
    /// Mass kept; 1 and more keeps all.
    pub top_p: f32,
    /// How to choose, what to report.
    pub mode: TokenMode,
    /// Bit set of [`Categorical::PROBABILITIES`].
    pub flags: u32,
}

/// Visits of a column that the shader may make in one row: software Vulkan silently stops an invocation
/// after 65,535 loop iterations, of which the bisections need 64 for themselves.
const MOST_VISITS: u32 = 65_535 - 64;

impl Categorical {
    /// Flag: write the probabilities that the token was chosen by (greedy: the softmax).
    pub const PROBABILITIES: u32 = 1;

    /// Argmax over all columns.
    pub fn greedy(rows: u32, vocabulary: u32) -> Self {
        Self {
            rows,
            vocabulary,
            limit: vocabulary,
            top_k: 0,
            temperature: 1.0,
            top_p: 1.0,
            mode: TokenMode::GREEDY,
            flags: 0,
        }
    }

    /// A sample over all columns, unfiltered; set `top_k`, `top_p` and `limit` as wanted.
    pub fn sample(rows: u32, vocabulary: u32, temperature: f32, mode: TokenMode) -> Self {
        Self {
            temperature,
            mode,
            ..Self::greedy(rows, vocabulary)
        }
    }

    fn samples(&self) -> bool {
        self.mode != TokenMode::GREEDY
    }

    fn cuts_by_count(&self) -> bool {
        self.samples() && self.top_k != 0 && self.top_k < self.limit
    }

    fn cuts_by_mass(&self) -> bool {
        self.samples() && self.top_p < 1.0
    }

    /// Passes of the shader over a row: largest logit, scale, total, choice; the raw confidence; the
    /// bisections of the filters.
    fn passes(&self) -> u32 {
        let raw = u32::from(self.mode == TokenMode::SAMPLE_RAW_CONFIDENCE);
        4 + 2 * raw + 32 * u32::from(self.cuts_by_count()) + 33 * u32::from(self.cuts_by_mass())
    }

    fn reports(&self) -> bool {
        self.flags & Self::PROBABILITIES != 0
    }
}

/// Rows of one task of the thread pool and their outputs.
struct Block<'a, T> {
    first: usize,
    token: &'a mut [u32],
    confidence: &'a mut [T],
    probabilities: &'a mut [T],
}

impl Kernel for Categorical {
    const NAME: &'static str = "categorical";
    const SHADER: &'static str = include_str!("../../shaders/categorical.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("logits"),
        Operand::input("uniforms").optional(),
        Operand::output("token").words(),
        Operand::output("confidence"),
        Operand::output("probabilities").optional(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let refuse = |parameter, expected: String, found: String| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        if self.rows == 0 {
            return refuse("rows", "at least 1".into(), "0".into());
        }
        let largest = MOST_VISITS / self.passes();
        if self.vocabulary == 0 || self.vocabulary > largest {
            let expected = format!("1..={largest} with these options");
            return refuse("vocabulary", expected, self.vocabulary.to_string());
        }
        if element_count(&[self.rows, self.vocabulary]) > u32::MAX as usize {
            let expected = "at most 2^32 - 1 logits in all".into();
            return refuse("rows", expected, self.rows.to_string());
        }
        if self.limit == 0 || self.limit > self.vocabulary {
            let expected = format!("1..=vocabulary = {}", self.vocabulary);
            return refuse("limit", expected, self.limit.to_string());
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let expected = "positive and finite".into();
            return refuse("temperature", expected, self.temperature.to_string());
        }
        if self.top_p.is_nan() || self.top_p < 0.0 {
            return refuse("top_p", "at least 0".into(), self.top_p.to_string());
        }
        if self.mode.0 > TokenMode::SAMPLE_RAW_CONFIDENCE.0 {
            return refuse("mode", "0..=2".into(), self.mode.0.to_string());
        }
        if self.flags > Self::PROBABILITIES {
            return refuse("flags", "0..=1".into(), self.flags.to_string());
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let rows = self.rows as usize;
        let logits = element_count(&[self.rows, self.vocabulary]);
        vec![
            logits,
            if self.samples() {
                rows.saturating_mul(2)
            } else {
                0
            },
            rows,
            rows,
            if self.reports() { logits } else { 0 },
        ]
    }

    fn cost(&self) -> Cost {
        // A weight is about 16 operations; the passes are those that every implementation needs:
        // the sum, the choice, and one for each filter and for the raw confidence.
        let raw = u64::from(self.mode == TokenMode::SAMPLE_RAW_CONFIDENCE);
        let passes = 2 + raw + u64::from(self.cuts_by_count()) + u64::from(self.cuts_by_mass());
        let candidates = element_count(&[self.rows, self.limit]) as u64;
        let elements: usize = self.extents().iter().sum();
        Cost {
            flops: candidates.saturating_mul(16 * passes),
            bytes: (elements as u64).saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.rows as usize, 64),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let (rows, vocabulary) = (self.rows as usize, self.vocabulary as usize);
        let logits = operands.float(0)?;
        let uniforms = operands.float_or_empty(1)?;
        let token = operands.words_mut(2)?;
        let confidence = operands.float_mut(3)?;
        let probabilities = if self.reports() {
            operands.float_mut(4)?
        } else {
            &mut []
        };
        let blocks_wanted = if operands.parallel {
            (rows.saturating_mul(vocabulary) / 4096).clamp(1, rayon::current_num_threads() * 4)
        } else {
            1
        };
        let block_rows = rows.div_ceil(blocks_wanted).max(1);
        let mut reports = probabilities.chunks_mut(block_rows.saturating_mul(vocabulary));
        let blocks: Vec<Block<'_, T>> = token
            .get_mut(..rows)
            .unwrap_or_default()
            .chunks_mut(block_rows)
            .zip(confidence.chunks_mut(block_rows))
            .enumerate()
            .map(|(index, (token, confidence))| Block {
                first: index * block_rows,
                token,
                confidence,
                probabilities: reports.next().unwrap_or_default(),
            })
            .collect();
        if blocks_wanted == 1 {
            blocks
                .into_iter()
                .for_each(|block| self.block(logits, uniforms, block));
        } else {
            blocks
                .into_par_iter()
                .for_each(|block| self.block(logits, uniforms, block));
        }
        Ok(())
    }
}

impl Categorical {
    fn block<T: Real>(&self, logits: &[T], uniforms: &[T], block: Block<'_, T>) {
        let vocabulary = self.vocabulary as usize;
        let mut scratch = row::Scratch::new(vocabulary);
        let mut reports = block.probabilities.chunks_mut(vocabulary);
        let rows = logits.chunks(vocabulary).skip(block.first);
        let mut draws = uniforms.chunks(2).skip(block.first);
        simd(
            #[inline(always)]
            || {
                let outputs = block.token.iter_mut().zip(block.confidence.iter_mut());
                for ((token, confidence), row) in outputs.zip(rows) {
                    let draw = draws.next().unwrap_or_default();
                    let report = reports.next().unwrap_or_default();
                    let choice = self.row(row, draw, report, &mut scratch);
                    *token = choice.token;
                    *confidence = choice.confidence;
                }
            },
        );
    }
}
