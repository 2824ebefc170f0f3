//! Readouts of ranked draws: K raw chunks of a frame and their scores become one chunk.

/// Softmax temperature of the weights in the original.
pub const TEMPERATURE: f64 = 4.0;

/// Scores and draws that do not go together, or a setting out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RankingError {
    /// The draws are not one chunk of the same size for each score.
    #[error(
        "ranked draws: expected {scores} chunks of one size for as many scores, found {found} values"
    )]
    Length {
        /// Scores.
        scores: usize,
        /// Values of the draws.
        found: usize,
    },
    /// A score that is NaN cannot be ranked.
    #[error("ranked draws: the score of draw {draw} is not a number")]
    NotANumber {
        /// Draw, from 0.
        draw: usize,
    },
    /// A setting outside its range.
    #[error("ranked draws, {setting}: expected {expected}, found {found}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its range.
        expected: String,
        /// The value given.
        found: f64,
    },
}

/// The mean of raw draws `[K, H, R]` weighted by `softmax(score / temperature)`.
///
/// # Errors
/// [`RankingError`] for lengths that do not fit, a score that is NaN, a temperature that is not above 0.
pub fn softmax_mean(
    scores: &[f32],
    draws: &[f32],
    temperature: f64,
) -> Result<Vec<f32>, RankingError> {
    check(scores, draws)?;
    if !(temperature.is_finite() && temperature > 0.0) {
        let (setting, expected) = ("temperature", "a finite number above 0".to_string());
        return Err(RankingError::Setting {
            setting,
            expected,
            found: temperature,
        });
    }
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |score: &f32| ((f64::from(*score) - f64::from(best)) / temperature).exp();
    let weights: Vec<f64> = scores.iter().map(weight).collect();
    let total: f64 = weights.iter().sum();
    let chunk = draws.len() / scores.len();
    let weighted = weights.iter().zip(draws.chunks_exact(chunk));
    Ok(sum_of(
        chunk,
        weighted.map(|(weight, draw)| (weight / total, draw)),
    ))
}

/// The plain mean of the `count` draws of the highest scores, the first on ties.
///
/// # Errors
/// [`RankingError`] for lengths that do not fit, a score that is NaN, a count outside 1 to K.
pub fn top_mean(scores: &[f32], draws: &[f32], count: usize) -> Result<Vec<f32>, RankingError> {
    check(scores, draws)?;
    if !(1..=scores.len()).contains(&count) {
        let (setting, expected) = ("top draws", format!("1 to {}", scores.len()));
        return Err(RankingError::Setting {
            setting,
            expected,
            found: count as f64,
        });
    }
    let chunk = draws.len() / scores.len();
    let mut ranked: Vec<(&f32, &[f32])> = scores.iter().zip(draws.chunks_exact(chunk)).collect();
    // Stable, so ties keep their order.
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let share = 1.0 / count as f64;
    Ok(sum_of(
        chunk,
        ranked
            .into_iter()
            .take(count)
            .map(|(_, draw)| (share, draw)),
    ))
}

/// The draw of the highest score, the first on ties.
///
/// # Errors
/// [`RankingError`] for no scores and for one that is NaN.
pub fn pick(scores: &[f32]) -> Result<usize, RankingError> {
    check(scores, scores)?;
    let better = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
    let numbered = scores.iter().copied().enumerate();
    Ok(numbered.reduce(better).map_or(0, |(draw, _)| draw))
}

/// The rank of a pick by the true errors of the draws: 1 is the best draw there is; draws of the same
/// error share the better rank. None for a pick that is no draw.
pub fn oracle_rank(errors: &[f32], pick: usize) -> Option<usize> {
    let own = errors.get(pick)?;
    Some(1 + errors.iter().filter(|error| *error < own).count())
}

fn check(scores: &[f32], draws: &[f32]) -> Result<(), RankingError> {
    if scores.is_empty() || draws.is_empty() || !draws.len().is_multiple_of(scores.len()) {
        return Err(RankingError::Length {
            scores: scores.len(),
            found: draws.len(),
        });
    }
    match scores.iter().position(|score| score.is_nan()) {
        Some(draw) => Err(RankingError::NotANumber { draw }),
        None => Ok(()),
    }
}

fn sum_of<'a>(chunk: usize, weighted: impl Iterator<Item = (f64, &'a [f32])>) -> Vec<f32> {
    let mut sums = vec![0.0_f64; chunk];
    for (weight, draw) in weighted {
        for (sum, &value) in sums.iter_mut().zip(draw) {
            *sum += weight * f64::from(value);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}
