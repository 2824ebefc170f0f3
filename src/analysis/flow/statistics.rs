//! Means of subsets, correlation, runs of a drive.

use std::ops::Range;

/// A mean being gathered; none while nothing was added.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    /// Takes a value in.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// Values taken in.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Their mean.
    pub fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl FromIterator<f64> for Mean {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut mean = Self::default();
        values.into_iter().for_each(|value| mean.add(value));
        mean
    }
}

/// Median of finite values: the middle one, or the mean of the middle two.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *values.get(middle.checked_sub(1)?)?;
    Some((lower + upper) / 2.0)
}

/// Pearson correlation of pairs; none for fewer than two pairs or where a side does not vary.
pub fn pearson(pairs: &[(f64, f64)]) -> Option<f64> {
    let mean_x = pairs.iter().map(|pair| pair.0).collect::<Mean>().get()?;
    let mean_y = pairs.iter().map(|pair| pair.1).collect::<Mean>().get()?;
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for &(x, y) in pairs {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let correlation = xy / (xx.sqrt() * yy.sqrt());
    correlation.is_finite().then_some(correlation)
}

/// Ranges of neighbouring frames that belong to the same drive; `drives` names the drive of each frame.
pub fn drive_runs(drives: &[u32]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    for run in drives.chunk_by(|a, b| a == b) {
        runs.push(start..start + run.len());
        start += run.len();
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_empty_sets() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(Mean::default().get(), None);
    }

    #[test]
    fn correlation_of_lines_and_constants() {
        let line: Vec<(f64, f64)> = (0..5)
            .map(|i| (f64::from(i), -2.0 * f64::from(i)))
            .collect();
        assert!((pearson(&line).unwrap() + 1.0).abs() < 1e-15);
        assert_eq!(pearson(&[(1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(pearson(&[]), None);
    }

    #[test]
    fn runs_of_a_drive() {
        assert_eq!(drive_runs(&[7, 7, 3, 7]), [0..2, 2..3, 3..4]);
        assert!(drive_runs(&[]).is_empty());
    }
}
