//! The two coefficients, of a sample and of any resample of it.

use super::ranks::Levels;
use super::{CorrelationError, check_pairs};
use serde::{Deserialize, Serialize};

/// A coefficient of rank correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Spearman's rho: Pearson's coefficient of average ranks.
    #[default]
    Spearman,
    /// Kendall's tau-b, which corrects for ties in either column.
    Kendall,
}

impl Method {
    /// The coefficient of two columns, `[n]` each, from -1 to 1 (Spearman's up to rounding).
    ///
    /// # Errors
    /// [`CorrelationError`] for columns of unequal length, fewer than two pairs, values that are not
    /// finite, or a constant column.
    pub fn of(self, x: &[f64], y: &[f64]) -> Result<f64, CorrelationError> {
        check_pairs(x, y)?;
        let pairs = Pairs::new(self, x, y);
        let all: Vec<u32> = (0..x.len() as u32).collect();
        let coefficient = pairs.of(&all, &mut Scratch::default());
        coefficient.ok_or(self.undefined())
    }

    /// The error of a constant column.
    pub(super) fn undefined(self) -> CorrelationError {
        match self {
            Self::Spearman => CorrelationError::ZeroVariance,
            Self::Kendall => CorrelationError::Constant,
        }
    }

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spearman => "spearman",
            Self::Kendall => "kendall",
        }
    }
}

/// Two columns of equal length, ready to be resampled.
#[derive(Debug)]
pub(super) struct Pairs {
    method: Method,
    x: Levels,
    y: Levels,
}

/// What one coefficient needs room for.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    x: Vec<u32>,
    y: Vec<u32>,
    x_ranks: Vec<f64>,
    y_ranks: Vec<f64>,
    keys: Vec<u64>,
}

impl Pairs {
    pub fn new(method: Method, x: &[f64], y: &[f64]) -> Self {
        Self {
            method,
            x: Levels::new(x),
            y: Levels::new(y),
        }
    }

    /// Pairs there are.
    pub fn len(&self) -> usize {
        self.x.of.len()
    }

    /// The coefficient of the pairs at `indices`, in that order; none where a column is constant.
    pub fn of(&self, indices: &[u32], scratch: &mut Scratch) -> Option<f64> {
        let pairs = indices.iter().map(|at| (*at as usize, *at as usize));
        self.of_pairs(pairs, indices.len(), scratch)
    }

    /// [`Pairs::of`] where the value of the second column comes from another pair than that of the first.
    pub fn of_pairs(
        &self,
        indices: impl Iterator<Item = (usize, usize)> + Clone,
        count: usize,
        scratch: &mut Scratch,
    ) -> Option<f64> {
        let levels = indices.map(|(x, y)| (self.x.at(x), self.y.at(y)));
        tally(&mut scratch.x, self.x.count, levels.clone().map(|l| l.0));
        tally(&mut scratch.y, self.y.count, levels.clone().map(|l| l.1));
        match self.method {
            Method::Spearman => spearman(levels, count, scratch),
            Method::Kendall => kendall(levels, count, scratch),
        }
    }
}

/// How often each level occurs.
fn tally(counts: &mut Vec<u32>, levels: usize, of: impl Iterator<Item = usize>) {
    counts.clear();
    counts.resize(levels, 0);
    for level in of {
        if let Some(count) = counts.get_mut(level) {
            *count += 1;
        }
    }
}

/// Ranks less their mean, which is `(n + 1) / 2` whatever the ties.
fn centred_ranks(counts: &[u32], count: usize, ranks: &mut Vec<f64>) {
    let mean = (count as f64 + 1.0) / 2.0;
    let mut before = 0.0;
    ranks.clear();
    ranks.extend(counts.iter().map(|count| {
        let count = f64::from(*count);
        let rank = before + (count + 1.0) / 2.0;
        before += count;
        rank - mean
    }));
}

/// Sums run over the pairs in their order, as in the published program.
fn spearman(
    levels: impl Iterator<Item = (usize, usize)>,
    count: usize,
    scratch: &mut Scratch,
) -> Option<f64> {
    centred_ranks(&scratch.x, count, &mut scratch.x_ranks);
    centred_ranks(&scratch.y, count, &mut scratch.y_ranks);
    let (mut xx, mut yy, mut xy) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (x, y) in levels {
        let (Some(x), Some(y)) = (scratch.x_ranks.get(x), scratch.y_ranks.get(y)) else {
            continue;
        };
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx.sqrt() * yy.sqrt()))
}

/// Pairs of `count` things.
fn pairs_of(count: u64) -> u64 {
    count * count.saturating_sub(1) / 2
}

/// Knight's way (1966): after a sort by the first column the discordant pairs are inversions of the second,
/// counted with a tree of partial sums. All counts are exact.
fn kendall(
    levels: impl Iterator<Item = (usize, usize)>,
    count: usize,
    scratch: &mut Scratch,
) -> Option<f64> {
    let keys = &mut scratch.keys;
    keys.clear();
    keys.extend(levels.map(|(x, y)| ((x as u64) << 32) | y as u64));
    keys.sort_unstable();
    let ties = |counts: &[u32]| -> u64 { counts.iter().map(|c| pairs_of(u64::from(*c))).sum() };
    let (all, x_ties, y_ties) = (pairs_of(count as u64), ties(&scratch.x), ties(&scratch.y));
    if x_ties == all || y_ties == all {
        return None;
    }
    let both_ties: u64 = keys
        .chunk_by(|a, b| a == b)
        .map(|run| pairs_of(run.len() as u64))
        .sum();
    // The tree takes the place of the counts, which are no longer needed.
    scratch.y.fill(0);
    let discordant = inversions(keys, &mut scratch.y);
    // Concordant pairs are what remains.
    let untied = (all + both_ties) as i128 - (x_ties + y_ties) as i128;
    let excess = untied - 2 * i128::from(discordant);
    let product = u128::from(all - x_ties) * u128::from(all - y_ties);
    Some(excess as f64 / (product as f64).sqrt())
}

/// Pairs that the second half of the sorted keys orders against the first.
fn inversions(keys: &[u64], tree: &mut [u32]) -> u64 {
    let mut discordant = 0_u64;
    let mut inserted = 0_u64;
    for group in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
        for key in group {
            let level = (*key & u64::from(u32::MAX)) as usize;
            discordant += inserted - at_most(tree, level);
        }
        for key in group {
            insert(tree, (*key & u64::from(u32::MAX)) as usize);
        }
        inserted += group.len() as u64;
    }
    discordant
}

/// Values inserted so far that are at most `level` (Fenwick 1994).
fn at_most(tree: &[u32], level: usize) -> u64 {
    let mut node = level + 1;
    let mut sum = 0;
    while node > 0 {
        sum += tree.get(node - 1).map_or(0, |count| u64::from(*count));
        node &= node - 1;
    }
    sum
}

fn insert(tree: &mut [u32], level: usize) {
    let mut node = level + 1;
    while let Some(count) = tree.get_mut(node - 1) {
        *count += 1;
        node += node & node.wrapping_neg();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the definition, pair by pair.
    fn kendall_by_pairs(x: &[f64], y: &[f64]) -> Option<f64> {
        let (mut excess, mut x_varies, mut y_varies) = (0_i64, 0_i64, 0_i64);
        for i in 0..x.len() {
            for j in 0..i {
                let sign = |a: f64, b: f64| i64::from(a > b) - i64::from(a < b);
                let (sx, sy) = (sign(x[i], x[j]), sign(y[i], y[j]));
                excess += sx * sy;
                x_varies += sx.abs();
                y_varies += sy.abs();
            }
        }
        let product = x_varies * y_varies;
        (product > 0).then(|| excess as f64 / (product as f64).sqrt())
    }

    #[test]
    fn published_words_for_constants() {
        let (flat, rising) = ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]);
        for (x, y) in [(flat, rising), (rising, flat)] {
            let error = Method::Spearman.of(&x, &y).unwrap_err().to_string();
            assert_eq!(error, "correlation undefined: zero variance in an input");
            let error = Method::Kendall.of(&x, &y).unwrap_err().to_string();
            assert_eq!(error, "Kendall tau-b undefined: a constant input");
        }
    }

    #[test]
    fn what_has_no_order_is_refused() {
        for method in [Method::Spearman, Method::Kendall] {
            let of = |x: &[f64], y: &[f64]| method.of(x, y).unwrap_err();
            assert_eq!(of(&[1.0], &[1.0]), CorrelationError::TooFew { found: 1 });
            let lengths = CorrelationError::Lengths { x: 2, y: 3 };
            assert_eq!(of(&[1.0, 2.0], &[1.0, 2.0, 3.0]), lengths);
            let infinite = of(&[1.0, 2.0], &[1.0, f64::INFINITY]).to_string();
            assert!(infinite.contains("inf at pair 1"), "{infinite}");
        }
    }

    #[test]
    fn square_roots_are_taken_before_the_product() {
        // sqrt(2) * sqrt(2) is more than 2.
        let found = Method::Spearman.of(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]);
        assert_eq!(found, Ok(0.999_999_999_999_999_8));
    }

    proptest! {
        #[test]
        fn kendall_is_that_of_the_definition(
            pairs in prop::collection::vec((-3_i8..3, -4_i8..4), 2..60)
        ) {
            let x: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.0)).collect();
            let y: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.1)).collect();
            prop_assert_eq!(Method::Kendall.of(&x, &y).ok(), kendall_by_pairs(&x, &y));
        }

        #[test]
        fn a_rising_map_changes_nothing_and_a_falling_one_the_sign(
            pairs in prop::collection::vec((-9_i8..9, -9_i8..9), 3..40)
        ) {
            let x: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.0)).collect();
            let y: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.1)).collect();
            let cubes: Vec<f64> = x.iter().map(|x| x * x * x - 7.0).collect();
            let falling: Vec<f64> = x.iter().map(|x| -x).collect();
            for method in [Method::Spearman, Method::Kendall] {
                let found = method.of(&x, &y).ok();
                prop_assert_eq!(method.of(&cubes, &y).ok(), found);
                prop_assert_eq!(method.of(&falling, &y).ok(), found.map(|rho| 0.0 - rho));
            }
        }
    }
}
