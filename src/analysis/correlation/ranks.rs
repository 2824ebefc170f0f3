//! Ranks of a column.

/// A column as the numbers of its distinct values in ascending order: ranks of any resample follow from
/// counts of levels, without a sort.
#[derive(Debug, Clone)]
pub(super) struct Levels {
    /// Level of every value.
    pub of: Vec<u32>,
    /// Distinct values.
    pub count: usize,
}

impl Levels {
    /// The levels of finite values; the two zeros are one.
    pub fn new(values: &[f64]) -> Self {
        let mut order: Vec<(f64, usize)> = values
            .iter()
            .enumerate()
            .map(|(at, value)| (value + 0.0, at))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut of = vec![0; values.len()];
        let mut count = 0;
        for ties in order.chunk_by(|a, b| a.0 == b.0) {
            for (_, at) in ties {
                if let Some(level) = of.get_mut(*at) {
                    *level = count as u32;
                }
            }
            count += 1;
        }
        Self { of, count }
    }

    /// The level of one value; those beyond the end do not occur.
    pub fn at(&self, index: usize) -> usize {
        self.of.get(index).map_or(0, |level| *level as usize)
    }
}

/// Ranks from 1, where equal values share the mean of theirs. `[n]` to `[n]`.
pub fn average_ranks(values: &[f64]) -> Vec<f64> {
    let levels = Levels::new(values);
    let mut counts = vec![0_u32; levels.count];
    for level in &levels.of {
        if let Some(count) = counts.get_mut(*level as usize) {
            *count += 1;
        }
    }
    let ranks = rank_of_levels(&counts);
    let rank = |level: &u32| ranks.get(*level as usize).copied().unwrap_or(0.0);
    levels.of.iter().map(rank).collect()
}

/// The shared rank of every level, from how often the levels occur.
fn rank_of_levels(counts: &[u32]) -> Vec<f64> {
    let mut before = 0.0;
    let shared = |count: &u32| {
        let count = f64::from(*count);
        let rank = before + (count + 1.0) / 2.0;
        before += count;
        rank
    };
    counts.iter().map(shared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_share_the_mean_rank() {
        assert_eq!(average_ranks(&[0.75, 0.5, 0.5]), [3.0, 1.5, 1.5]);
        assert_eq!(average_ranks(&[0.0, -0.0, -1.0, 0.0]), [3.0, 3.0, 1.0, 3.0]);
        assert!(average_ranks(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn a_rank_counts_what_is_below_and_beside(values in prop::collection::vec(-4_i8..4, 1..40)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let ranks = average_ranks(&values);
            for (value, rank) in values.iter().zip(&ranks) {
                let below = values.iter().filter(|other| *other < value).count() as f64;
                let equal = values.iter().filter(|other| *other == value).count() as f64;
                prop_assert_eq!(*rank, below + (equal + 1.0) / 2.0);
            }
        }
    }
}
