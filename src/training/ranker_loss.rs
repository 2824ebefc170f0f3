//! The loss of the draw ranker: it learns which of a frame's draws is near the truth.

use super::losses::LossError;
use attractor_kernels::Real;

/// Temperature of the labels in the original.
pub const TAU: f64 = 0.02;

/// The listwise loss of scores `[frames, K]` against the errors `[frames, K]` of the same draws: cross
/// entropy of `softmax(score)` under `softmax(-error / tau)`, each frame weighted by the standard
/// deviation (K - 1) of its errors over their mean in the batch.
///
/// A batch whose frames all have one error for all draws has nothing to rank; its frames count alike.
///
/// # Errors
/// [`LossError`] for lengths that do not fit, fewer than two draws, a tau that is not above zero, and a
/// frame without a finite loss.
pub fn ranker_loss<T: Real>(
    scores: &[T],
    errors: &[T],
    draws: usize,
    tau: f64,
) -> Result<f64, LossError> {
    let setting = |setting, expected, found| {
        Err(LossError::Setting {
            setting,
            expected,
            found,
        })
    };
    if draws < 2 {
        return setting("draws", "at least 2", draws as f64);
    }
    if !(tau.is_finite() && tau > 0.0) {
        return setting("tau", "a finite number above 0", tau);
    }
    if scores.is_empty() || !scores.len().is_multiple_of(draws) {
        let expected = scores.len().next_multiple_of(draws).max(draws);
        return Err(LossError::Length {
            tensor: "scores",
            expected,
            found: scores.len(),
        });
    }
    if errors.len() != scores.len() {
        let (expected, found) = (scores.len(), errors.len());
        return Err(LossError::Length {
            tensor: "errors",
            expected,
            found,
        });
    }
    let (mut sum, mut plain, mut spreads) = (0.0, 0.0, 0.0);
    let frames = scores.chunks(draws).zip(errors.chunks(draws)).enumerate();
    for (sample, (scores, errors)) in frames {
        let entropy = cross_entropy(scores, errors, tau);
        let spread = standard_deviation(errors);
        if !(entropy + spread).is_finite() {
            return Err(LossError::NotFinite {
                tensor: "loss",
                sample,
            });
        }
        sum += spread * entropy;
        plain += entropy;
        spreads += spread;
    }
    let frames = (scores.len() / draws) as f64;
    Ok(if spreads > 0.0 {
        sum / spreads
    } else {
        plain / frames
    })
}

fn cross_entropy<T: Real>(scores: &[T], errors: &[T], tau: f64) -> f64 {
    let scores: Vec<f64> = scores.iter().map(|score| score.to_f64()).collect();
    let labels: Vec<f64> = errors.iter().map(|error| -error.to_f64() / tau).collect();
    let log_total = |logits: &[f64]| {
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + logits
            .iter()
            .map(|logit| (logit - most).exp())
            .sum::<f64>()
            .ln()
    };
    let (of_scores, of_labels) = (log_total(&scores), log_total(&labels));
    let term = |(score, label): (&f64, &f64)| (label - of_labels).exp() * (of_scores - score);
    scores.iter().zip(&labels).map(term).sum()
}

/// With K - 1 in the denominator.
fn standard_deviation<T: Real>(values: &[T]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| value.to_f64()).sum::<f64>() / count;
    let squares = values
        .iter()
        .map(|value| (value.to_f64() - mean).powi(2))
        .sum::<f64>();
    (squares / (count - 1.0)).sqrt()
}
