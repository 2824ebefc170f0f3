//! Keeping only the models that look best offline: how much success is lost?

use super::ranks::Levels;
use serde::Serialize;

/// What keeping the best cells by a metric keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Screen {
    /// Cells kept.
    pub kept: usize,
    /// Their share of all.
    pub share: f64,
    /// Mean target of the cells kept; where cells at the cut are equal, the mean over all ways to choose.
    pub mean: f64,
    /// Mean target of as many cells that are truly best.
    pub ideal: f64,
    /// `ideal - mean`, turned so that it is positive: what screening by this metric costs.
    pub lost: f64,
}

/// Screens cells of `metric` by their target, `[n]` each, for every number kept from 1 to `n`.
/// `metric_rises` says that higher values of the metric promise better cells, `target_rises` that higher
/// targets are better (success, not a gap).
pub fn screen(
    metric: &[f64],
    target: &[f64],
    metric_rises: bool,
    target_rises: bool,
) -> Vec<Screen> {
    let turned = |values: &[f64], rises: bool| -> Vec<f64> {
        let turn = |value: &f64| if rises { -value } else { *value };
        values.iter().map(turn).collect()
    };
    let by_metric = running_means(&turned(metric, metric_rises), target);
    let by_target = running_means(&turned(target, target_rises), target);
    let both = by_metric.into_iter().zip(by_target).enumerate();
    both.map(|(at, (mean, ideal))| Screen {
        kept: at + 1,
        share: (at + 1) as f64 / target.len() as f64,
        mean,
        ideal,
        lost: if target_rises {
            ideal - mean
        } else {
            mean - ideal
        },
    })
    .collect()
}

/// Mean target of the first 1, 2, ... cells in ascending order of `key`; cells of equal key count alike.
fn running_means(key: &[f64], target: &[f64]) -> Vec<f64> {
    let levels = Levels::new(key);
    let mut sums = vec![(0_usize, 0.0_f64); levels.count];
    for (level, target) in levels.of.iter().zip(target) {
        if let Some((count, sum)) = sums.get_mut(*level as usize) {
            *count += 1;
            *sum += target;
        }
    }
    let (mut before, mut sum_before) = (0, 0.0);
    let mut means = Vec::with_capacity(target.len());
    for (count, sum) in sums {
        for taken in 1..=count {
            let part = sum * (taken as f64 / count as f64);
            means.push((sum_before + part) / (before + taken) as f64);
        }
        before += count;
        sum_before += sum;
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_metric_loses_nothing() {
        let success = [0.0, 0.2, 0.9, 0.5];
        let error = [4.0, 3.0, 1.0, 2.0];
        let found = screen(&error, &success, false, true);
        assert!(found.iter().all(|screen| screen.lost == 0.0));
        assert_eq!(found[0].mean, 0.9);
        assert_eq!((found[3].share, found[3].kept), (1.0, 4));
        assert!((found[3].mean - 0.4).abs() < 1e-15);
    }

    #[test]
    fn the_opposite_metric_loses_most_and_gaps_are_turned() {
        let gap = [0.0, 0.2, 0.9, 0.5];
        let found = screen(&gap, &gap, true, false);
        assert_eq!(
            (found[0].mean, found[0].ideal, found[0].lost),
            (0.9, 0.0, 0.9)
        );
        assert!(found[3].lost.abs() < 1e-15);
    }

    #[test]
    fn ties_at_the_cut_count_alike() {
        let found = screen(&[1.0, 1.0, 1.0, 0.0], &[1.0, 0.0, 0.5, 0.0], true, true);
        let means: Vec<f64> = found.iter().map(|screen| screen.mean).collect();
        let expected = [0.5, 0.5, 0.5, 0.375];
        let pairs = means.iter().zip(expected);
        assert!(
            pairs
                .clone()
                .all(|(mean, expected)| (mean - expected).abs() < 1e-15)
        );
        assert_eq!(pairs.count(), means.len());
    }
}
