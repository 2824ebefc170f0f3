//! Otsu's threshold (N. Otsu, "A threshold selection method from gray-level histograms", 1979).

use std::ops::{Add, Div, Mul, Sub};

/// Bins of the histogram.
const BINS: usize = 256;

/// A precision in which drifts are cut.
pub(super) trait Precision:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Into<f64>
{
    /// The number in this precision.
    fn of(value: f32) -> Self;
    /// The next lower whole number, from 0 to [`BINS`].
    fn bin(self) -> usize;
    /// The decimal logarithm of the number or of 1e-12, whichever is more.
    fn log10_above_floor(self) -> Self;
}

/// Drifts below this are those of a latent that stands still.
const FLOOR: f64 = 1e-12;

impl Precision for f64 {
    fn of(value: f32) -> Self {
        value.into()
    }

    fn bin(self) -> usize {
        (self as usize).min(BINS)
    }

    fn log10_above_floor(self) -> Self {
        self.max(FLOOR).log10()
    }
}

impl Precision for f32 {
    fn of(value: f32) -> Self {
        value
    }

    fn bin(self) -> usize {
        (self as usize).min(BINS)
    }

    fn log10_above_floor(self) -> Self {
        super::log10::log10_f32(self.max(FLOOR as f32))
    }
}

/// Where the threshold is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OtsuRule {
    /// At the centre of the last bin of the lower class, as published. Part of that bin then counts as
    /// not converged.
    #[default]
    BinCentre,
    /// Half-way between the largest value of the lower class and the smallest of the upper one.
    MidGap,
}

/// The threshold of finite values; none where all values are alike or there is none.
pub(super) fn threshold<T: Precision>(values: &[T], rule: OtsuRule) -> Option<T> {
    let histogram = Histogram::of(values)?;
    let lower = histogram.best_cut(values.len())?;
    let [from, to] = [histogram.edge(lower), histogram.edge(lower + 1)];
    let centre = (from + to) / T::of(2.0);
    if rule == OtsuRule::BinCentre {
        return Some(centre);
    }
    let below = values
        .iter()
        .filter(|value| histogram.bin_of(**value) <= lower);
    let above = values
        .iter()
        .filter(|value| histogram.bin_of(**value) > lower);
    let most = below.copied().reduce(|a, b| if b > a { b } else { a });
    let least = above.copied().reduce(|a, b| if b < a { b } else { a });
    match (most, least) {
        (Some(most), Some(least)) => Some((most + least) / T::of(2.0)),
        _ => Some(centre),
    }
}

/// Equal bins from the least to the largest value; half-open but for the last.
struct Histogram<T> {
    first: T,
    last: T,
    step: T,
    counts: [usize; BINS],
}

impl<T: Precision> Histogram<T> {
    fn of(values: &[T]) -> Option<Self> {
        let mut first = *values.first()?;
        let mut last = first;
        for value in values {
            first = if *value < first { *value } else { first };
            last = if *value > last { *value } else { last };
        }
        if first == last {
            first = first - T::of(0.5);
            last = last + T::of(0.5);
        }
        let mut histogram = Self {
            first,
            last,
            step: (last - first) / T::of(BINS as f32),
            counts: [0; BINS],
        };
        for value in values {
            let bin = histogram.bin_of(*value);
            if let Some(count) = histogram.counts.get_mut(bin) {
                *count += 1;
            }
        }
        Some(histogram)
    }

    fn edge(&self, index: usize) -> T {
        if index >= BINS {
            self.last
        } else {
            T::of(index as f32) * self.step + self.first
        }
    }

    /// The bin by division, set right by one where rounding put it beyond an edge.
    fn bin_of(&self, value: T) -> usize {
        let share = (value - self.first) / (self.last - self.first);
        let bin = (share * T::of(BINS as f32)).bin().min(BINS - 1);
        if value < self.edge(bin) {
            bin.saturating_sub(1)
        } else if bin + 1 < BINS && value >= self.edge(bin + 1) {
            bin + 1
        } else {
            bin
        }
    }

    /// The last bin of the lower class: the first of all cuts with the largest variance between the
    /// classes. The sums run from the left without compensation: their last digit decides ties as
    /// published.
    fn best_cut(&self, total: usize) -> Option<usize> {
        let (mut weight, mut moment) = (0.0, 0.0);
        let mut sums = [(0.0, 0.0); BINS];
        for (index, (sum, count)) in sums.iter_mut().zip(self.counts).enumerate() {
            let share = count as f64 / total as f64;
            let centre = (self.edge(index) + self.edge(index + 1)) / T::of(2.0);
            weight += share;
            moment += share * centre.into();
            *sum = (weight, moment);
        }
        let mean = moment;
        let mut best: Option<(f64, usize)> = None;
        for (index, (weight, moment)) in sums.into_iter().enumerate() {
            let denominator = weight * (1.0 - weight);
            if denominator > 0.0 {
                let difference: f64 = mean * weight - moment;
                let variance = difference * difference / denominator;
                if best.is_none_or(|(most, _)| variance > most) {
                    best = Some((variance, index));
                }
            }
        }
        best.map(|(_, index)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_threshold_is_in_the_last_bin_of_the_low_mode() {
        let values: [f64; 7] = [0.0, 0.1, 0.2, 5.0, 5.1, 5.2, 10.0 * 0.52];
        let cut = threshold(&values, OtsuRule::BinCentre).unwrap();
        assert!((0.19..0.22).contains(&cut), "{cut}");
        let middle: f64 = threshold(&values, OtsuRule::MidGap).unwrap();
        assert!((middle - 2.6).abs() < 1e-12, "{middle}");
    }

    #[test]
    fn values_alike_have_no_threshold() {
        assert_eq!(threshold(&[2.5_f64; 9], OtsuRule::BinCentre), None);
        assert_eq!(threshold(&[0.0_f32; 2], OtsuRule::MidGap), None);
        assert_eq!(threshold::<f64>(&[], OtsuRule::BinCentre), None);
    }

    /// Every cut tried, classes compared by their own means.
    fn naive(values: &[f64]) -> Vec<(f64, f64)> {
        let histogram = Histogram::of(values).unwrap();
        let centre = |bin: usize| (histogram.edge(bin) + histogram.edge(bin + 1)) / 2.0;
        let cuts = (0..BINS - 1).filter_map(|cut| {
            let side = |low: bool| {
                let bins = (0..BINS).filter(|bin| (*bin <= cut) == low);
                let pairs = bins.map(|bin| (histogram.counts[bin] as f64, centre(bin)));
                pairs.fold((0.0, 0.0), |(n, s), (count, centre)| {
                    (n + count, s + count * centre)
                })
            };
            let ((low, low_sum), (high, high_sum)) = (side(true), side(false));
            let apart = low_sum / low - high_sum / high;
            let total = values.len() as f64;
            (low > 0.0 && high > 0.0)
                .then(|| (low / total * (high / total) * apart * apart, centre(cut)))
        });
        cuts.collect()
    }

    proptest! {
        #[test]
        fn no_other_cut_is_better(values in prop::collection::vec(-3.0_f64..3.0, 2..200)) {
            prop_assume!(values.iter().any(|value| *value != values[0]));
            let cuts = naive(&values);
            let best = cuts.iter().map(|cut| cut.0).fold(0.0, f64::max);
            let found = threshold(&values, OtsuRule::BinCentre).unwrap();
            let own = cuts.iter().find(|cut| cut.1 == found).unwrap().0;
            prop_assert!(own >= best * (1.0 - 1e-9), "{own} {best}");
        }

        #[test]
        fn every_value_is_in_the_bin_of_its_edges(values in prop::collection::vec(-1.0_f32..1.0, 2..300)) {
            let histogram = Histogram::of(&values).unwrap();
            for value in &values {
                let bin = histogram.bin_of(*value);
                prop_assert!(*value >= histogram.edge(bin));
                prop_assert!(*value < histogram.edge(bin + 1) || bin == BINS - 1);
            }
            prop_assert_eq!(histogram.counts.iter().sum::<usize>(), values.len());
        }

        #[test]
        fn the_middle_of_the_gap_parts_the_same_classes(
            low in prop::collection::vec(0.0_f64..1.0, 1..40),
            high in prop::collection::vec(8.0_f64..9.0, 1..40),
        ) {
            let values: Vec<f64> = low.iter().chain(&high).copied().collect();
            let cut = threshold(&values, OtsuRule::MidGap).unwrap();
            prop_assert!(low.iter().all(|value| *value < cut));
            prop_assert!(high.iter().all(|value| *value > cut));
        }
    }
}
