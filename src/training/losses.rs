//! Forward masking, the three masked-diffusion losses and the goal loss, each with its analytic
//! gradient. Inputs and gradients are f32; all arithmetic between is f64.

use rayon::prelude::*;

use crate::samplers::schedule::NoiseSchedule;

/// Distance that training times keep from 0 and 1.
pub const TIME_MARGIN: f64 = 1e-5;

/// What is wrong with the inputs of a loss.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LossError {
    /// A slice does not have the number of elements that its shape needs.
    #[error("{tensor}: expected {expected} elements, found {found}")]
    Length {
        /// Which input.
        tensor: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// A token that is neither an action nor allowed where it stands.
    #[error("{tensor}, sample {sample}, position {position}: token {found} is out of range")]
    Token {
        /// Which input.
        tensor: &'static str,
        /// Sample index.
        sample: usize,
        /// Position in the sequence.
        position: usize,
        /// The token.
        found: i32,
    },
    /// A setting outside its range.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value given.
        found: f64,
    },
    /// A logit, prediction or time that is not a number, or a loss that came out so.
    #[error("{tensor}, sample {sample}: not a finite number")]
    NotFinite {
        /// Which tensor.
        tensor: &'static str,
        /// Sample index.
        sample: usize,
    },
}

/// Sizes of a batch of action sequences. Actions are tokens `0..actions`, MASK is `actions` and PAD is
/// `actions + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceShape {
    /// Samples, B.
    pub batch: usize,
    /// Sequence length, L.
    pub length: usize,
    /// Number of actions, A.
    pub actions: usize,
}

impl SequenceShape {
    /// The MASK token.
    pub fn mask(&self) -> i32 {
        self.actions as i32
    }

    /// The PAD token.
    pub fn pad(&self) -> i32 {
        self.actions as i32 + 1
    }

    fn check(
        &self,
        tensor: &'static str,
        found: usize,
        per_sample: usize,
    ) -> Result<(), LossError> {
        let expected = self.batch.saturating_mul(per_sample);
        if found == expected {
            Ok(())
        } else {
            Err(LossError::Length {
                tensor,
                expected,
                found,
            })
        }
    }

    /// Checks a `[B, L]` tensor of tokens: actions and PAD, and MASK where `masked` says so.
    fn check_tokens(
        &self,
        tensor: &'static str,
        tokens: &[i32],
        masked: bool,
    ) -> Result<(), LossError> {
        self.check(tensor, tokens.len(), self.length)?;
        let valid = |token: i32| {
            (0..self.mask()).contains(&token)
                || token == self.pad()
                || (masked && token == self.mask())
        };
        match tokens.iter().position(|&token| !valid(token)) {
            None => Ok(()),
            Some(index) => Err(LossError::Token {
                tensor,
                sample: index / self.length,
                position: index % self.length,
                found: tokens.get(index).copied().unwrap_or_default(),
            }),
        }
    }
}

/// A uniform draw as a training time: clamped to `[1e-5, 1 - 1e-5]`.
pub fn training_time(uniform: f32) -> f32 {
    uniform.clamp(TIME_MARGIN as f32, (1.0 - TIME_MARGIN) as f32)
}

/// The forward process: a token becomes MASK where its uniform draw is below `1 - alpha(t)`, PAD
/// never does. `x0` and `uniforms` are `[B, L]`, `times` is `[B]`; the threshold is evaluated in f32.
///
/// # Errors
/// [`LossError`] for wrong lengths, tokens that are neither actions nor PAD, and times that are not
/// finite.
pub fn forward_mask(
    shape: SequenceShape,
    schedule: NoiseSchedule,
    x0: &[i32],
    times: &[f32],
    uniforms: &[f32],
) -> Result<Vec<i32>, LossError> {
    shape.check_tokens("x0", x0, false)?;
    shape.check("u_mask", uniforms.len(), shape.length)?;
    shape.check("t", times.len(), 1)?;
    check_finite("t", times, 1)?;
    if shape.length == 0 {
        return Ok(Vec::new());
    }
    let rows = x0.chunks(shape.length).zip(uniforms.chunks(shape.length));
    let masked = rows.zip(times).flat_map(|((tokens, draws), &time)| {
        let threshold = 1.0 - schedule.alpha_f32(time);
        tokens.iter().zip(draws).map(move |(&token, &draw)| {
            let hit = draw < threshold && token != shape.pad();
            if hit { shape.mask() } else { token }
        })
    });
    Ok(masked.collect())
}

fn check_finite(tensor: &'static str, values: &[f32], width: usize) -> Result<(), LossError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(LossError::NotFinite {
            tensor,
            sample: index / width.max(1),
        }),
    }
}

/// How the weight of the SUBS loss takes the schedule's derivative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlphaPrime {
    /// The exact derivative.
    Analytic,
    /// The first recipe's f32 difference quotient, to reproduce its numbers.
    DifferenceF32,
}

/// Which loss. CE below is the cross entropy at masked positions, 0 elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffusionLoss {
    /// First recipe's default: the sum of CE over the batch by the number of masked tokens (at least 1).
    Flat,
    /// First recipe with importance weights: the batch mean of `w(t)` times the sample's mean CE,
    /// `w = clamp(-alpha' / (1 - alpha + 1e-8), 0, clip)`.
    Subs(AlphaPrime),
    /// Second recipe, the weighted bound: the batch mean of `w(t)` times the sample's sum of CE by the
    /// full length with PAD, `w = min(-alpha' / max(1 - alpha, 1e-5), clip)`.
    Nelbo,
}

/// Settings of a diffusion loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossConfig {
    /// Which loss.
    pub loss: DiffusionLoss,
    /// Noise schedule, for the weights.
    pub schedule: NoiseSchedule,
    /// Share `e` of the target that is spread over all actions, 0 to 1.
    pub label_smoothing: f64,
    /// Largest weight.
    pub weight_clip: f64,
}

/// A batch for a diffusion loss.
#[derive(Debug, Clone, Copy)]
pub struct DiffusionBatch<'a> {
    /// Sizes.
    pub shape: SequenceShape,
    /// Network output `[B, L, A]`.
    pub logits: &'a [f32],
    /// Clean tokens `[B, L]`.
    pub x0: &'a [i32],
    /// Masked tokens `[B, L]`.
    pub zt: &'a [i32],
    /// Times `[B]`.
    pub times: &'a [f32],
}

/// A loss and its gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffusionLossOutput {
    /// The scalar loss; exactly 0 when nothing is masked.
    pub value: f64,
    /// Per sample `[B]`, with the loss as its mean.
    pub per_sample: Vec<f64>,
    /// Gradient with respect to the logits, `[B, L, A]`.
    pub gradient: Vec<f32>,
    /// Number of masked tokens in the batch.
    pub masked: usize,
}

/// The weight `w(t)` of a sample.
pub fn loss_weight(config: &LossConfig, time: f32) -> f64 {
    let t = f64::from(time);
    let schedule = config.schedule;
    match config.loss {
        DiffusionLoss::Flat => 1.0,
        DiffusionLoss::Subs(derivative) => {
            let (alpha, alpha_prime) = match derivative {
                AlphaPrime::Analytic => (schedule.alpha(t), schedule.alpha_prime(t)),
                AlphaPrime::DifferenceF32 => (
                    f64::from(schedule.alpha_f32(time)),
                    f64::from(schedule.alpha_prime_difference_f32(time)),
                ),
            };
            let weight = -alpha_prime / (1.0 - alpha + 1e-8);
            weight.max(0.0).min(config.weight_clip)
        }
        DiffusionLoss::Nelbo => {
            let weight = -schedule.alpha_prime(t) / (1.0 - schedule.alpha(t)).max(1e-5);
            weight.min(config.weight_clip)
        }
    }
}

/// A diffusion loss with its gradient.
///
/// All three losses are `sum_b c_b S_b`, where `S_b` is a sample's sum of CE over its masked positions:
/// they differ in the factor `c_b` only. With label smoothing `e`, CE is
/// `(1 - e)(-log p_target) + (e / A) sum_c(-log p_c)`, and its gradient `p - (1 - e) onehot - e / A`.
///
/// # Errors
/// [`LossError`] for wrong lengths, tokens or settings, and for logits that give no finite loss.
pub fn diffusion_loss(
    config: &LossConfig,
    batch: &DiffusionBatch<'_>,
) -> Result<DiffusionLossOutput, LossError> {
    check_batch(config, batch)?;
    let shape = batch.shape;
    let row = shape.length.max(1);
    let is_masked = |zt: i32, x0: i32| zt == shape.mask() && x0 != shape.pad();
    let counts: Vec<usize> = (batch.zt.chunks(row).zip(batch.x0.chunks(row)))
        .map(|(zt, x0)| {
            zt.iter()
                .zip(x0)
                .filter(|&(&z, &x)| is_masked(z, x))
                .count()
        })
        .chain(std::iter::repeat(0))
        .take(shape.batch)
        .collect();
    let masked: usize = counts.iter().sum();
    let factor = |sample: usize, time: f32| {
        let own = counts.get(sample).copied().unwrap_or(0).max(1) as f64;
        let samples = shape.batch as f64;
        match config.loss {
            DiffusionLoss::Flat => 1.0 / masked.max(1) as f64,
            DiffusionLoss::Subs(_) => loss_weight(config, time) / (own * samples),
            DiffusionLoss::Nelbo => loss_weight(config, time) / (row as f64 * samples),
        }
    };

    let mut gradient = vec![0.0_f32; batch.logits.len()];
    let width = (shape.length * shape.actions).max(1);
    let mut per_sample: Vec<f64> = gradient
        .par_chunks_mut(width)
        .zip(batch.logits.par_chunks(width))
        .zip(batch.zt.par_chunks(row).zip(batch.x0.par_chunks(row)))
        .zip(batch.times)
        .enumerate()
        .map(|(sample, (((gradient, logits), (zt, x0)), &time))| {
            let scale = factor(sample, time);
            let positions = gradient
                .chunks_mut(shape.actions)
                .zip(logits.chunks(shape.actions))
                .zip(zt.iter().zip(x0))
                .filter(|&(_, (&z, &x))| is_masked(z, x));
            let sum: f64 = positions
                .map(|((gradient, logits), (_, &target))| {
                    let target = target as usize;
                    cross_entropy(logits, target, config.label_smoothing, scale, gradient)
                })
                .sum();
            shape.batch as f64 * scale * sum
        })
        .collect();
    // Sequences of length zero have no chunks.
    per_sample.resize(shape.batch, 0.0);
    if let Some(sample) = per_sample.iter().position(|loss| !loss.is_finite()) {
        return Err(LossError::NotFinite {
            tensor: "loss",
            sample,
        });
    }
    let value = per_sample.iter().sum::<f64>() / shape.batch.max(1) as f64;
    Ok(DiffusionLossOutput {
        value,
        per_sample,
        gradient,
        masked,
    })
}

fn check_batch(config: &LossConfig, batch: &DiffusionBatch<'_>) -> Result<(), LossError> {
    let shape = batch.shape;
    let setting = |setting, expected, found| {
        Err(LossError::Setting {
            setting,
            expected,
            found,
        })
    };
    if shape.actions == 0 {
        return setting("action_dim", "at least 1", 0.0);
    }
    if !(0.0..=1.0).contains(&config.label_smoothing) {
        return setting("label_smoothing", "0 to 1", config.label_smoothing);
    }
    if config.weight_clip.is_nan() || config.weight_clip < 0.0 {
        return setting("loss_weight_clip", "a number from 0", config.weight_clip);
    }
    shape.check(
        "logits",
        batch.logits.len(),
        shape.length.saturating_mul(shape.actions),
    )?;
    shape.check_tokens("x0", batch.x0, false)?;
    shape.check_tokens("zt", batch.zt, true)?;
    shape.check("t", batch.times.len(), 1)?;
    check_finite("t", batch.times, 1)
}

/// Smoothed cross entropy of one position; writes `scale` times its gradient.
fn cross_entropy(
    logits: &[f32],
    target: usize,
    smoothing: f64,
    scale: f64,
    gradient: &mut [f32],
) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted = |logit: f32| f64::from(logit) - f64::from(largest);
    let log_sum = logits
        .iter()
        .map(|&logit| shifted(logit).exp())
        .sum::<f64>()
        .ln();
    let spread = smoothing / logits.len() as f64;
    let mut loss = 0.0;
    for (action, (&logit, slope)) in logits.iter().zip(gradient).enumerate() {
        let log_p = shifted(logit) - log_sum;
        let share = spread
            + if action == target {
                1.0 - smoothing
            } else {
                0.0
            };
        // A forbidden action (probability 0) without a share in the target costs nothing.
        if share > 0.0 {
            loss -= share * log_p;
        }
        *slope = (scale * (log_p.exp() - share)) as f32;
    }
    loss
}

/// The auxiliary loss of the goal head and its gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalLossOutput {
    /// Mean squared error over visible samples and both coordinates; 0 when none is visible.
    pub value: f64,
    /// Gradient with respect to the predictions, `[B, 2]`.
    pub gradient: Vec<f32>,
}

/// Mean squared error of predicted staircase positions `[B, 2]` against targets (one a sample, `None`
/// where no staircase is visible; those samples do not count).
///
/// # Errors
/// [`LossError`] when the lengths disagree or a visible sample's prediction or target is not finite.
pub fn goal_loss(
    predictions: &[f32],
    targets: &[Option<[f32; 2]>],
) -> Result<GoalLossOutput, LossError> {
    if predictions.len() != 2 * targets.len() {
        return Err(LossError::Length {
            tensor: "goal_pred",
            expected: 2 * targets.len(),
            found: predictions.len(),
        });
    }
    let terms = 2 * targets.iter().flatten().count().max(1);
    let mut gradient = vec![0.0_f32; predictions.len()];
    let mut sum = 0.0;
    let rows = predictions.chunks(2).zip(gradient.chunks_mut(2));
    for (sample, ((prediction, slope), target)) in rows.zip(targets).enumerate() {
        let Some(target) = target else {
            continue;
        };
        for ((&predicted, slope), &wanted) in prediction.iter().zip(slope).zip(target) {
            let error = f64::from(predicted) - f64::from(wanted);
            if !error.is_finite() {
                return Err(LossError::NotFinite {
                    tensor: "goal_pred",
                    sample,
                });
            }
            sum += error * error;
            *slope = (2.0 * error / terms as f64) as f32;
        }
    }
    Ok(GoalLossOutput {
        value: sum / terms as f64,
        gradient,
    })
}
