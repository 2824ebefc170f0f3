//! Commitment of the surest tokens, and remasking.

use crate::categorical::NO_TOKEN;
pub use crate::sequence_step::RemaskStrategy;
use crate::sequence_step::SequenceStep;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

#[cfg(test)]
mod tests;

/// One step of the MaskGIT sampler with remasking, on token sequences `[batch, length]` in place.
///
/// Among the masked positions of a row the `count` with the highest confidence take their prediction;
/// ties go to the lower index. Then, with [`UnmaskTop::REMASK`], every position that holds a token, one
/// committed just now included, is masked again if its uniform is below its remask probability, save
/// the locked prefix of the row. With a count only, this is the greedy sampler.
///
/// Operands: `tokens` words in place; `prediction` words and `confidence`, all `[batch, length]`;
/// `schedule` `[steps, 2]`, see [`UnmaskTop::schedule_row`]; `remask_uniforms` `[batch, length]` on
/// `[0, 1)`; `locked` words `[batch]`, the length of the prefix that is never remasked; outputs
/// `decision` words `[batch, length]` = bit 0 committed, bit 1 remasked, bits 8 to 31 the token between
/// the two; `remask_probability` `[batch, length]`.
///
/// A position whose prediction is [`NO_TOKEN`] or whose confidence is NaN stays masked, and a
/// confidence of NaN remasks nothing under [`RemaskStrategy::CONFIDENCE`].
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct UnmaskTop {
    /// Examples.
    pub batch: u32,
    /// Positions of one example, at most 1024.
    pub length: u32,
    /// The token that means masked, below 2^24.
    pub mask_token: u32,
    /// Iteration, the row of the schedule to use; set by [`Kernel::at_step`].
    pub step: u32,
    /// Rows of the schedule.
    pub steps: u32,
    /// Remask probability from the scale: the scale, or the scale times one minus the confidence.
    pub strategy: RemaskStrategy,
    /// Bit set of [`UnmaskTop::REMASK`], [`UnmaskTop::LOCKED`], [`UnmaskTop::DECISION`],
    /// [`UnmaskTop::REMASK_PROBABILITY`].
    pub flags: u32,
}

/// Each of the shader's 64 invocations compares its positions with all others; software Vulkan stops
/// an invocation after 65,535 loop iterations.
const LONGEST: u32 = 1024;
const COMMITTED: u32 = 1;
const REMASKED: u32 = 2;

impl UnmaskTop {
    /// Flag: remask after committing.
    pub const REMASK: u32 = 1;
    /// Flag: there are locked prefixes.
    pub const LOCKED: u32 = 2;
    /// Flag: write the decisions.
    pub const DECISION: u32 = 4;
    /// Flag: write the remask probabilities; needs [`UnmaskTop::REMASK`].
    pub const REMASK_PROBABILITY: u32 = 8;

    /// The greedy sampler's commitment: counts only.
    pub fn greedy(batch: u32, length: u32, mask_token: u32, steps: u32) -> Self {
        Self {
            batch,
            length,
            mask_token,
            step: 0,
            steps,
            strategy: RemaskStrategy::CONSTANT,
            flags: 0,
        }
    }

    /// The same with remasking.
    #[must_use]
    pub fn with_remasking(self, strategy: RemaskStrategy) -> Self {
        Self {
            strategy,
            flags: self.flags | Self::REMASK,
            ..self
        }
    }

    /// Row of the schedule: how many positions of each example to commit, and the remask scale.
    ///
    /// With `r = k / K` at step `k` of `K` and `sigma_max = 1 - alpha(r)`, the scale is
    /// `eta sigma_max` (rescale, conf) or `min(eta, sigma_max)` (cap). The last step commits the
    /// whole length and has scale 0.
    pub fn schedule_row(count: u32, scale: f64) -> [f32; 2] {
        [count as f32, scale as f32]
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn shared(&self) -> SequenceStep {
        SequenceStep {
            kernel: Self::NAME,
            batch: self.batch,
            length: self.length,
            step: self.step,
            steps: self.steps,
            strategy: self.strategy,
            flags: self.flags,
        }
    }

    fn row<T: Real>(&self, schedule: (usize, T), inputs: &Inputs<'_, T>, row: Row<'_, T>) {
        let mut candidates: Vec<usize> = (0..row.tokens.len())
            .filter(|&i| {
                let masked = row.tokens.get(i) == Some(&self.mask_token);
                let predicted = inputs.prediction.get(i).is_some_and(|&t| t != NO_TOKEN);
                masked && predicted && inputs.confidence.get(i).is_some_and(|c| !c.is_nan())
            })
            .collect();
        candidates.sort_by(|&a, &b| {
            let (a, b) = (inputs.confidence.get(a), inputs.confidence.get(b));
            b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal)
        });
        let mut commits = vec![false; row.tokens.len()];
        for &i in candidates.iter().take(schedule.0) {
            if let Some(commit) = commits.get_mut(i) {
                *commit = true;
            }
        }
        let mut decisions = row.decision.iter_mut();
        let mut reports = row.probability.iter_mut();
        let mut uniforms = inputs.uniforms.iter();
        let fields = row.tokens.iter_mut().zip(commits);
        let fields = fields.zip(inputs.prediction.iter().zip(inputs.confidence));
        for (i, ((token, commit), (&prediction, &confidence))) in fields.enumerate() {
            let unmasked = if commit { prediction } else { *token };
            let mut now = unmasked;
            let mut what = if commit { COMMITTED } else { 0 };
            if self.has(Self::REMASK) {
                let chance = self.probability(schedule.1, confidence);
                let below = uniforms.next().is_some_and(|&u| u < chance);
                if now != self.mask_token && i >= inputs.locked && below {
                    now = self.mask_token;
                    what |= REMASKED;
                }
                if let Some(report) = reports.next() {
                    *report = chance;
                }
            }
            *token = now;
            if let Some(decision) = decisions.next() {
                *decision = what | (unmasked << 8);
            }
        }
    }

    fn probability<T: Real>(&self, scale: T, confidence: T) -> T {
        if self.strategy != RemaskStrategy::CONFIDENCE {
            scale
        } else if confidence.is_nan() {
            T::ZERO
        } else {
            scale * (T::ONE - confidence)
        }
    }
}

/// What a row reads.
struct Inputs<'a, T> {
    prediction: &'a [u32],
    confidence: &'a [T],
    uniforms: &'a [T],
    locked: usize,
}

/// What a row writes; the reports may be empty.
struct Row<'a, T> {
    tokens: &'a mut [u32],
    decision: &'a mut [u32],
    probability: &'a mut [T],
}

impl Kernel for UnmaskTop {
    const NAME: &'static str = "unmask_top";
    const SHADER: &'static str = include_str!("../../shaders/unmask_top.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::output("tokens").words().in_place(),
        Operand::input("prediction").words(),
        Operand::input("confidence"),
        Operand::input("schedule"),
        Operand::input("remask_uniforms").optional(),
        Operand::input("locked").words().optional(),
        Operand::output("decision").words().optional(),
        Operand::output("remask_probability").optional(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let shared = self.shared();
        shared.check(LONGEST, 1, 15)?;
        if self.mask_token >= 1 << 24 {
            return shared.refuse("mask_token", "below 2^24", self.mask_token);
        }
        if self.has(Self::REMASK_PROBABILITY) && !self.has(Self::REMASK) {
            return shared.refuse("flags", "REMASK with REMASK_PROBABILITY", self.flags);
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let elements = element_count(&[self.batch, self.length]);
        let optional = |flag, extent| if self.has(flag) { extent } else { 0 };
        vec![
            elements,
            elements,
            elements,
            element_count(&[self.steps, 2]),
            optional(Self::REMASK, elements),
            optional(Self::LOCKED, self.batch as usize),
            optional(Self::DECISION, elements),
            optional(Self::REMASK_PROBABILITY, elements),
        ]
    }

    fn cost(&self) -> Cost {
        let elements: usize = self.extents().iter().sum();
        let positions = element_count(&[self.batch, self.length]) as u64;
        let schedule = element_count(&[self.steps, 2]);
        Cost {
            flops: positions.saturating_mul(2),
            // Tokens are read and written; of the schedule one row is read.
            bytes: ((elements - schedule + 2) as u64)
                .saturating_add(positions)
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        self.shared().launch()
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let length = self.length as usize;
        let tokens = operands.words_mut(0)?;
        let prediction = operands.words(1)?;
        let confidence = operands.float(2)?;
        let schedule = operands.float(3)?;
        let uniforms = operands.float_or_empty(4)?;
        let locked = operands.words_or_empty(5)?;
        let decision = if self.has(Self::DECISION) {
            operands.words_mut(6)?
        } else {
            &mut []
        };
        let probability = if self.has(Self::REMASK_PROBABILITY) {
            operands.float_mut(7)?
        } else {
            &mut []
        };
        let [count, scale] = match schedule.chunks_exact(2).nth(self.step as usize) {
            Some(&[count, scale]) => [count, scale],
            _ => [T::ZERO; 2],
        };
        // A count is a whole number that f32 holds; the cast saturates at both ends.
        let wanted = count.to_f64() as usize;
        let mut decisions = decision.chunks_mut(length);
        let mut probabilities = probability.chunks_mut(length);
        let mut draws = uniforms.chunks(length);
        let rows = tokens.chunks_mut(length).take(self.batch as usize);
        let given = prediction.chunks(length).zip(confidence.chunks(length));
        for (row, (tokens, (prediction, confidence))) in rows.zip(given).enumerate() {
            let inputs = Inputs {
                prediction,
                confidence,
                uniforms: draws.next().unwrap_or_default(),
                locked: locked.get(row).map_or(0, |&l| l as usize),
            };
            let outputs = Row {
                tokens,
                decision: decisions.next().unwrap_or_default(),
                probability: probabilities.next().unwrap_or_default(),
            };
            self.row((wanted, scale), &inputs, outputs);
        }
        Ok(())
    }
}
