//! Medians, percentiles, ranks: each as NumPy and SciPy define it.

/// The middle value, or the mean of the middle two; NaN for none. Values must not be NaN.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

pub(super) fn median_of_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    if sorted.len() % 2 == 1 {
        at(middle)
    } else {
        (at(middle.wrapping_sub(1)) + at(middle)) / 2.0
    }
}

/// [`median`] of f32, whose middle two are averaged in f32.
pub(super) fn median_f32(values: &[f32]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f32::NAN);
    let median = if sorted.len() % 2 == 1 {
        at(middle)
    } else {
        (at(middle.wrapping_sub(1)) + at(middle)) / 2.0
    };
    f64::from(median)
}

/// The percentile at position `(n - 1) percent / 100`, linear between its neighbours (Hyndman and Fan's
/// seventh definition); NaN for none.
pub(super) fn percentile_of_sorted(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = last as f64 * (percent / 100.0);
    let below = place.floor();
    let share = place - below;
    let at = |index: usize| sorted.get(index.min(last)).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(below as usize), at(below as usize + 1));
    let span = high - low;
    if share < 0.5 {
        low + span * share
    } else {
        high - span * (1.0 - share)
    }
}

/// The mean; NaN for none. Summed in pairs of blocks, eight at a time, in the order of NumPy, so that the
/// last digit agrees.
pub(super) fn mean(values: &[f64]) -> f64 {
    pairwise_sum(values) / values.len() as f64
}

/// Longest block that is summed without being halved.
const BLOCK: usize = 128;

fn pairwise_sum(values: &[f64]) -> f64 {
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % 8);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let (groups, rest) = values.as_chunks::<8>();
    let Some((first, more)) = groups.split_first() else {
        return rest.iter().fold(0.0, |sum, value| sum + value);
    };
    let mut sums = *first;
    for group in more {
        for (sum, value) in sums.iter_mut().zip(group) {
            *sum += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    rest.iter().fold(sum, |sum, value| sum + value)
}

/// Pearson's correlation; NaN where a side does not vary.
pub(super) fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    // Clamping keeps NaN.
    (xy / xx.sqrt() / yy.sqrt()).clamp(-1.0, 1.0)
}

/// Area under the curve of true against false positives: the share of pairs, one of label 1 and one of
/// label 0, whose scores are in that order; a tie is half a pair. Other labels are ignored; NaN where
/// either label is missing.
pub(super) fn area_under_curve(scores: &[f64], labels: &[i64]) -> f64 {
    let labelled = scores.iter().zip(labels);
    let mut ranked: Vec<(f64, bool)> = labelled
        .filter(|(_, label)| (0..=1).contains(*label))
        // Adding zero makes minus zero equal to zero in the total order.
        .map(|(score, label)| (score + 0.0, *label == 1))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = ranked.iter().filter(|(_, positive)| *positive).count() as f64;
    let negatives = ranked.len() as f64 - positives;
    let (mut before, mut sum) = (0.0, 0.0);
    for ties in ranked.chunk_by(|a, b| a.0 == b.0) {
        let rank = before + (ties.len() as f64 + 1.0) / 2.0;
        sum += rank * ties.iter().filter(|(_, positive)| *positive).count() as f64;
        before += ties.len() as f64;
    }
    (sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_of_four_numbers() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(percentile_of_sorted(&sorted, 0.0), 1.0);
        assert_eq!(percentile_of_sorted(&sorted, 50.0), 3.0);
        assert_eq!(percentile_of_sorted(&sorted, 25.0), 1.75);
        assert_eq!(percentile_of_sorted(&sorted, 100.0), 8.0);
        assert!(percentile_of_sorted(&[], 50.0).is_nan());
    }

    #[test]
    fn what_is_missing_is_nan() {
        assert!(median(&[]).is_nan() && median_f32(&[]).is_nan() && mean(&[]).is_nan());
        assert!(area_under_curve(&[1.0, 2.0], &[1, 1]).is_nan());
        assert!(area_under_curve(&[1.0, 2.0], &[1, 7]).is_nan());
        assert!(pearson(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn f32_medians_average_in_f32() {
        let pair = [1.0_f32, 1.0 + f32::EPSILON];
        assert_eq!(median_f32(&pair), 1.0);
        assert_eq!(median_f32(&[3.0, 1.0, 2.0]), 2.0);
    }

    proptest! {
        #[test]
        fn area_is_the_share_of_ordered_pairs(
            cases in prop::collection::vec((-3_i8..3, 0_i64..3), 2..40)
        ) {
            let scores: Vec<f64> = cases.iter().map(|(score, _)| f64::from(*score) * 0.5).collect();
            let labels: Vec<i64> = cases.iter().map(|(_, label)| *label).collect();
            let (mut pairs, mut ordered) = (0.0, 0.0);
            for (high, _) in scores.iter().zip(&labels).filter(|(_, label)| **label == 1) {
                for (low, _) in scores.iter().zip(&labels).filter(|(_, label)| **label == 0) {
                    pairs += 1.0;
                    ordered += if high > low { 1.0 } else if high == low { 0.5 } else { 0.0 };
                }
            }
            let area = area_under_curve(&scores, &labels);
            if pairs == 0.0 {
                prop_assert!(area.is_nan());
            } else {
                prop_assert!((area - ordered / pairs).abs() < 1e-12);
            }
        }

        #[test]
        fn minus_zero_is_zero(negative in any::<bool>()) {
            let zero = if negative { -0.0 } else { 0.0 };
            prop_assert_eq!(area_under_curve(&[zero, 0.0], &[1, 0]), 0.5);
        }

        #[test]
        fn sums_are_those_of_a_plain_loop(values in prop::collection::vec(-1.0_f64..1.0, 1..2000)) {
            let plain: f64 = values.iter().sum();
            prop_assert!((pairwise_sum(&values) - plain).abs() < 1e-11);
        }

        #[test]
        fn medians_split_in_half(values in prop::collection::vec(-9.0_f64..9.0, 1..50)) {
            let middle = median(&values);
            let below = values.iter().filter(|value| **value < middle).count();
            let above = values.iter().filter(|value| **value > middle).count();
            prop_assert!(2 * below <= values.len() && 2 * above <= values.len());
        }
    }
}
