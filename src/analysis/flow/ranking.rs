//! What the scores of a draw ranker are worth: its readouts against the plain ones, on steering.

use rayon::prelude::*;
use serde::Serialize;

use super::draws::{FlowDataError, FrameDraws};
use super::panel::{BySubset, PanelConfig, PanelInput};
use super::readouts::{
    ModeSplit, Readout, best_scored, check_scores, mean_of_first, mean_of_members, softmax, widen,
};
use super::statistics::{Mean, median};

/// How the scores are used.
#[derive(Debug, Clone, PartialEq)]
pub struct RankingConfig {
    /// Divides the scores before the softmax; above 0.
    pub temperature: f64,
    /// Sizes M of the top-M means.
    pub top: Vec<usize>,
}

impl Default for RankingConfig {
    fn default() -> Self {
        Self {
            temperature: 4.0,
            top: vec![1, 2, 4, 8],
        }
    }
}

/// Mean steering chunk-L1 of a ranker's readouts, over every frame, flat frames and spike frames.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankedReadouts {
    /// Mean weighted by the softmax of the scores.
    pub ranker: BySubset<Option<f64>>,
    /// Top-M means, by M; M beyond the number of draws means all of them.
    pub top: Vec<(usize, BySubset<Option<f64>>)>,
    /// Mean of the mode that holds more softmax mass (the one below the gap on ties); of all draws where there
    /// is one mode.
    pub mode_pick: BySubset<Option<f64>>,
    /// Mean of all draws, for comparison.
    pub meank: BySubset<Option<f64>>,
    /// Median over the frames of the true rank of the best-scored draw (1 = the best of the draws).
    pub median_oracle_rank: BySubset<Option<f64>>,
}

/// Errors of one frame, in the order ranker, mode pick, mean, top-M.
struct FrameRanking {
    spike: bool,
    flat: bool,
    errors: Vec<f64>,
    oracle_rank: f64,
}

/// Judges the scores `[frames, K]` of a ranker on the frames of a panel, those that are not finite left out.
///
/// # Errors
/// [`FlowDataError`] for sizes that disagree, scores that are not finite, a temperature that is not above 0, or
/// M = 0.
pub fn rank_readouts(
    input: &PanelInput,
    scores: &[f32],
    config: &PanelConfig,
    ranking: &RankingConfig,
) -> Result<RankedReadouts, FlowDataError> {
    input.truth.check_draws(&input.draws)?;
    config.mode.check(input.truth.channels())?;
    check_scores(scores, &input.draws)?;
    if !(ranking.temperature.is_finite() && ranking.temperature > 0.0) {
        return Err(FlowDataError::Setting {
            setting: "temperature of the ranker",
            expected: "a finite number above 0",
            found: ranking.temperature.to_string(),
        });
    }
    if ranking.top.contains(&0) {
        return Err(FlowDataError::Setting {
            setting: "M of top",
            expected: "at least 1",
            found: "0".to_owned(),
        });
    }
    let kept = input.finite_frames();
    let frames: Vec<(&[f32], FrameDraws, &[f32])> = input
        .truth
        .iter()
        .zip(input.draws.iter())
        .zip(scores.chunks_exact(input.draws.draws()))
        .zip(&kept)
        .filter(|(_, kept)| **kept)
        .map(|(((truth, draws), scores), _)| (truth, draws, scores))
        .collect();
    let rankings: Vec<FrameRanking> = frames
        .par_iter()
        .map(|&(truth, draws, scores)| rank_frame(truth, draws, scores, config, ranking))
        .collect();
    let mean = |row: usize| {
        by_subset(&rankings, |frames| {
            let errors = frames.filter_map(|frame| frame.errors.get(row).copied());
            errors.collect::<Mean>().get()
        })
    };
    Ok(RankedReadouts {
        ranker: mean(0),
        mode_pick: mean(1),
        meank: mean(2),
        top: ranking
            .top
            .iter()
            .enumerate()
            .map(|(index, &count)| (count, mean(3 + index)))
            .collect(),
        median_oracle_rank: by_subset(&rankings, |frames| {
            median(frames.map(|frame| frame.oracle_rank).collect())
        }),
    })
}

fn by_subset(
    frames: &[FrameRanking],
    measure: impl Fn(&mut dyn Iterator<Item = &FrameRanking>) -> Option<f64>,
) -> BySubset<Option<f64>> {
    BySubset {
        all: measure(&mut frames.iter()),
        flat: measure(&mut frames.iter().filter(|frame| frame.flat)),
        spike: measure(&mut frames.iter().filter(|frame| frame.spike)),
    }
}

fn rank_frame(
    truth: &[f32],
    frame: FrameDraws,
    scores: &[f32],
    config: &PanelConfig,
    ranking: &RankingConfig,
) -> FrameRanking {
    let (channels, steering) = (frame.channels(), config.steering());
    let truth = widen(truth);
    let steering_truth = || truth.iter().skip(steering).step_by(channels);
    let error = |chunk: &[f64]| {
        let pairs = chunk.iter().skip(steering).step_by(channels);
        let errors = pairs.zip(steering_truth()).map(|(a, b)| (a - b).abs());
        errors.collect::<Mean>().get().unwrap_or(0.0)
    };
    let ranker = Readout::Ranker {
        temperature: ranking.temperature,
    };
    let mut errors = vec![
        error(&ranker.apply(frame, scores, &config.mode)),
        error(&picked_mode(frame, scores, config, ranking.temperature)),
        error(&mean_of_first(frame, frame.draws())),
    ];
    for &count in &ranking.top {
        errors.push(error(&mean_of_members(frame, best_scored(scores, count))));
    }
    let draw_errors: Vec<f64> = frame.iter().map(|chunk| error(&widen(chunk))).collect();
    let pick = best_scored(scores, 1).iter().position(|&best| best);
    let picked = pick.and_then(|pick| draw_errors.get(pick)).copied();
    let better = draw_errors
        .iter()
        .filter(|&&error| picked.is_some_and(|picked| error < picked))
        .count();
    FrameRanking {
        spike: steering_truth().any(|value| value.abs() > config.spike),
        flat: steering_truth().all(|value| value.abs() < config.flat),
        errors,
        oracle_rank: (better + 1) as f64,
    }
}

/// Mean of the mode that holds more softmax mass.
fn picked_mode(
    frame: FrameDraws,
    scores: &[f32],
    config: &PanelConfig,
    temperature: f64,
) -> Vec<f64> {
    let split = ModeSplit::of(frame, &config.mode);
    if !split.bimodal {
        return mean_of_first(frame, frame.draws());
    }
    let weights = softmax(scores, temperature);
    let mass = |side: bool| -> f64 {
        let members = weights.iter().zip(&split.left);
        let members = members.filter(|(_, left)| **left == side);
        members.map(|(weight, _)| weight).sum()
    };
    let left = mass(true) >= mass(false);
    mean_of_members(frame, split.left.iter().map(|&below| below == left))
}
