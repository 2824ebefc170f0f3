//! ReMDM's sampling step.

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

/// One step of the ReMDM sampler (Wang, Schiff, Sahoo, Kuleshov, "Remasking discrete diffusion models
/// with inference-time scaling", arXiv 2503.00307, algorithm 1) on token sequences `[batch, length]`.
///
/// A masked position takes its prediction with probability `p_l`, and remembers in `psi` how probable
/// it was when decoded. A position that held a token before the step is masked again with probability
/// `sigma_l`, and forgets. Positions of the locked prefix are left as they are, whatever they hold.
///
/// `sigma_l` is the schedule's sigma, or, under [`RemaskStrategy::CONFIDENCE`], sigma times the softmax
/// of `-psi` over the committed, unlocked positions of the row (those of finite psi), 0 elsewhere; it
/// is 0 where locked. `p_l = clamp(base + gain sigma_l, 0, 1)`, see [`RemaskBernoulli::schedule_row`].
///
/// Operands: `tokens` words and `psi` in place, `prediction` words, `decode_probability`, all
/// `[batch, length]`; psi starts as +infinity everywhere. `uniforms` `[batch, 2, length]` on `[0, 1)`:
/// for each example those that unmask, then those that remask, hence one fill of
/// [`crate::philox::Philox`] with twice the length. `schedule` `[steps, 3]`. `locked` words `[batch]`,
/// lengths of the prefixes that are kept. `trace` `[3, batch, length]` out: sigma, p, and the decision
/// (0 none, 1 committed, 2 remasked).
///
/// A masked position whose prediction is [`NO_TOKEN`] or whose decode probability is NaN stays masked.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct RemaskBernoulli {
    /// Examples.
    pub batch: u32,
    /// Positions of one example, at most 2^20.
    pub length: u32,
    /// The token that means masked.
    pub mask_token: u32,
    /// Iteration, the row of the schedule to use; set by [`Kernel::at_step`].
    pub step: u32,
    /// Rows of the schedule.
    pub steps: u32,
    /// How sigma is spread over the positions.
    pub strategy: RemaskStrategy,
    /// Bit set of [`RemaskBernoulli::LOCKED`], [`RemaskBernoulli::TRACE`].
    pub flags: u32,
}

/// Partial sums of the softmax, one an invocation of the shader's workgroup.
const LANES: usize = 64;

/// Each of the shader's 64 invocations visits its positions twice; software Vulkan stops an invocation
/// after 65,535 loop iterations.
const LONGEST: u32 = 1 << 20;

impl RemaskBernoulli {
    /// Flag: there are locked prefixes.
    pub const LOCKED: u32 = 1;
    /// Flag: write the trace.
    pub const TRACE: u32 = 2;

    /// Parameters for step 0, without locks or trace.
    pub fn new(
        batch: u32,
        length: u32,
        mask_token: u32,
        steps: u32,
        strategy: RemaskStrategy,
    ) -> Self {
        Self {
            batch,
            length,
            mask_token,
            step: 0,
            steps,
            strategy,
            flags: 0,
        }
    }

    /// Row `(base, gain, sigma)` of the schedule for a step from `alpha_t` to `alpha_s`, the
    /// probabilities that a token is unmasked before and after it.
    ///
    /// With `d = max(1 - alpha_t, 1e-8)`, base is `(alpha_s - alpha_t) / d` and gain `alpha_t / d`, so
    /// that `base + gain sigma = (alpha_s - (1 - sigma) alpha_t) / d`, the paper's probability, without
    /// its cancellation in single precision. With `sigma_max = min(1, (1 - alpha_s) / alpha_t)`
    /// ([`RemaskBernoulli::largest_sigma`]), `sigma` is `eta sigma_max` (rescale, conf),
    /// `min(eta, sigma_max)` (cap), or `eta` on the plateau of `loop`.
    pub fn schedule_row(alpha_t: f64, alpha_s: f64, sigma: f64) -> [f32; 3] {
        let masked = (1.0 - alpha_t).max(1e-8);
        [
            ((alpha_s - alpha_t) / masked) as f32,
            (alpha_t / masked) as f32,
            sigma as f32,
        ]
    }

    /// Largest sigma that keeps the marginals of the masking process:
    /// `min(1, (1 - alpha_s) / max(alpha_t, 1e-8))`.
    pub fn largest_sigma(alpha_t: f64, alpha_s: f64) -> f64 {
        ((1.0 - alpha_s) / alpha_t.max(1e-8)).min(1.0)
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

    /// exp(-psi) of the positions that share in the softmax, 0 elsewhere.
    fn doubts<T: Real>(&self, row: &Row<'_, T>, locked: usize) -> Vec<T> {
        let held = row.tokens.iter().zip(row.psi.iter()).enumerate();
        held.map(|(i, (&token, &psi))| {
            if i < locked || token == self.mask_token || !psi.is_finite() {
                T::ZERO
            } else {
                (-psi).exp()
            }
        })
        .collect()
    }

    fn row<T: Real>(&self, schedule: [T; 3], inputs: &Inputs<'_, T>, row: Row<'_, T>) {
        let [base, gain, strength] = schedule;
        let by_confidence = self.strategy == RemaskStrategy::CONFIDENCE;
        let doubts = if by_confidence {
            self.doubts(&row, inputs.locked)
        } else {
            Vec::new()
        };
        let total = interleaved_sum(&doubts);
        let mut doubts = doubts.into_iter();
        let [mut sigmas, mut chances, mut decisions] = row.trace.map(<[T]>::iter_mut);
        let held = row.tokens.iter_mut().zip(row.psi);
        let drawn = inputs.unmask_uniforms.iter().zip(inputs.remask_uniforms);
        let given = inputs.prediction.iter().zip(inputs.decode_probability);
        for (i, (((token, psi), (&u1, &u2)), (&predicted, &sure))) in
            held.zip(drawn).zip(given).enumerate()
        {
            let free = i >= inputs.locked;
            let sigma = match doubts.next() {
                Some(doubt) if doubt > T::ZERO => strength * (doubt / total),
                None if free => strength,
                _ => T::ZERO,
            };
            let chance = gain.mul_add(sigma, base).maximum(T::ZERO).minimum(T::ONE);
            let mut decision = T::ZERO;
            if free && *token == self.mask_token {
                if predicted != NO_TOKEN && !sure.is_nan() && u1 < chance {
                    (*token, *psi, decision) = (predicted, sure, T::ONE);
                }
            } else if free && u2 < sigma {
                (*token, *psi) = (self.mask_token, T::INFINITY);
                decision = T::from_f32(2.0);
            }
            let reports = [&mut sigmas, &mut chances, &mut decisions];
            for (report, value) in reports.into_iter().zip([sigma, chance, decision]) {
                if let Some(place) = report.next() {
                    *place = value;
                }
            }
        }
    }
}

/// The shader's sum: lane j adds elements j, j + 64, ..., then the upper half of the lanes is added to
/// the lower until one is left.
fn interleaved_sum<T: Real>(values: &[T]) -> T {
    let mut lanes = [T::ZERO; LANES];
    for line in values.chunks(LANES) {
        for (lane, &value) in lanes.iter_mut().zip(line) {
            *lane += value;
        }
    }
    let mut live = &mut lanes[..];
    while live.len() > 1 {
        let (low, high) = live.split_at_mut(live.len() / 2);
        for (a, &b) in low.iter_mut().zip(high.iter()) {
            *a += b;
        }
        live = low;
    }
    live.first().copied().unwrap_or(T::ZERO)
}

/// What a row reads.
struct Inputs<'a, T> {
    prediction: &'a [u32],
    decode_probability: &'a [T],
    unmask_uniforms: &'a [T],
    remask_uniforms: &'a [T],
    locked: usize,
}

/// What a row writes; the planes of the trace may be empty.
struct Row<'a, T> {
    tokens: &'a mut [u32],
    psi: &'a mut [T],
    trace: [&'a mut [T]; 3],
}

impl Kernel for RemaskBernoulli {
    const NAME: &'static str = "remask_bernoulli";
    const SHADER: &'static str = include_str!("../../shaders/remask_bernoulli.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::output("tokens").words().in_place(),
        Operand::output("psi").in_place(),
        Operand::input("prediction").words(),
        Operand::input("decode_probability"),
        Operand::input("uniforms"),
        Operand::input("schedule"),
        Operand::input("locked").words().optional(),
        Operand::output("trace").optional(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let shared = self.shared();
        shared.check(LONGEST, 3, 3)?;
        if self.mask_token == NO_TOKEN {
            return shared.refuse("mask_token", "below 2^32 - 1", self.mask_token);
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
            elements,
            elements.saturating_mul(2),
            element_count(&[self.steps, 3]),
            optional(Self::LOCKED, self.batch as usize),
            optional(Self::TRACE, elements.saturating_mul(3)),
        ]
    }

    fn cost(&self) -> Cost {
        let positions = element_count(&[self.batch, self.length]) as u64;
        // Tokens and psi go both ways; prediction, decode probability and two uniforms come in.
        let mut words = positions.saturating_mul(8).saturating_add(3);
        if self.has(Self::LOCKED) {
            words = words.saturating_add(u64::from(self.batch));
        }
        if self.has(Self::TRACE) {
            words = words.saturating_add(positions.saturating_mul(3));
        }
        let softmax = u64::from(self.strategy == RemaskStrategy::CONFIDENCE) * 20;
        Cost {
            flops: positions.saturating_mul(4 + softmax),
            bytes: words.saturating_mul(4),
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
        let psi = operands.float_mut(1)?;
        let prediction = operands.words(2)?;
        let decode_probability = operands.float(3)?;
        let uniforms = operands.float(4)?;
        let schedule = operands.float(5)?;
        let locked = operands.words_or_empty(6)?;
        let trace = if self.has(Self::TRACE) {
            operands.float_mut(7)?
        } else {
            &mut []
        };
        let schedule = match schedule.chunks_exact(3).nth(self.step as usize) {
            Some(&[base, gain, sigma]) => [base, gain, sigma],
            _ => [T::ZERO; 3],
        };
        let plane = element_count(&[self.batch, self.length]).max(1);
        let mut planes = trace.chunks_mut(plane);
        let mut planes: [_; 3] =
            std::array::from_fn(|_| planes.next().unwrap_or_default().chunks_mut(length));
        let held = tokens.chunks_mut(length).zip(psi.chunks_mut(length));
        let given = prediction
            .chunks(length)
            .zip(decode_probability.chunks(length))
            .zip(uniforms.chunks(length.saturating_mul(2)));
        let rows = held.zip(given).take(self.batch as usize).enumerate();
        for (row, ((tokens, psi), ((prediction, decode_probability), uniforms))) in rows {
            let (unmask_uniforms, remask_uniforms) = uniforms.split_at(length.min(uniforms.len()));
            let inputs = Inputs {
                prediction,
                decode_probability,
                unmask_uniforms,
                remask_uniforms,
                locked: locked.get(row).map_or(0, |&l| l as usize),
            };
            let outputs = Row {
                tokens,
                psi,
                trace: planes
                    .each_mut()
                    .map(|plane| plane.next().unwrap_or_default()),
            };
            self.row(schedule, &inputs, outputs);
        }
        Ok(())
    }
}
