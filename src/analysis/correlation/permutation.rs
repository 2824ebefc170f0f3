//! Could chance do as well? The permutation test of independence.

use super::bootstrap::checked_pairs;
use super::coefficient::Scratch;
use super::{BootstrapOptions, CorrelationError, Method};
use attractor_kernels::philox::philox4x32;
use rayon::prelude::*;
use serde::Serialize;

/// Tells these random numbers from all others of a seed.
const STREAM: u32 = 0x9e27_00a7;
/// Coefficients that differ by rounding alone are equal.
const ROUNDING: f64 = 1e-12;

/// A permutation test, two-sided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Permutation {
    /// `(1 + k) / (1 + permutations)`, with `k` permutations whose coefficient is at least as far from zero
    /// (Davison and Hinkley 1997, section 4.3): never zero, and exact as a test whatever their number.
    pub p_value: f64,
    /// Permutations drawn.
    pub permutations: u32,
}

/// Tests whether a coefficient is farther from zero than those of the second column in random order.
/// Permutation `k` depends on the seed and `k` alone.
///
/// # Errors
/// [`CorrelationError`] where the coefficient does not exist.
pub fn permutation(
    method: Method,
    x: &[f64],
    y: &[f64],
    options: &BootstrapOptions,
) -> Result<Permutation, CorrelationError> {
    options.check()?;
    let far = method.of(x, y)?.abs() - ROUNDING;
    let pairs = checked_pairs(method, x, y)?;
    let as_far = |number: &u32, (order, scratch): &mut (Vec<usize>, Scratch)| {
        shuffle(order, pairs.len(), options.seed, *number);
        let shuffled = order.iter().copied().enumerate();
        let found = pairs.of_pairs(shuffled, pairs.len(), scratch);
        found.is_some_and(|rho| rho.abs() >= far)
    };
    let count: usize = (0..options.resamples)
        .into_par_iter()
        .map_init(
            || (Vec::new(), Scratch::default()),
            |room, number| usize::from(as_far(&number, room)),
        )
        .sum();
    Ok(Permutation {
        p_value: (1 + count) as f64 / (1.0 + f64::from(options.resamples)),
        permutations: options.resamples,
    })
}

/// Fisher and Yates' shuffle. A word times a range, shifted down, favours some places by less than one part
/// in 2^32 over the range.
fn shuffle(order: &mut Vec<usize>, count: usize, seed: u64, number: u32) {
    order.clear();
    order.extend(0..count);
    let key = [seed as u32, (seed >> 32) as u32];
    for at in (1..count).rev() {
        let [word, ..] = philox4x32([at as u32, number, 0, STREAM], key);
        let other = (u64::from(word) * (at as u64 + 1)) >> 32;
        order.swap(at, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(resamples: u32) -> BootstrapOptions {
        BootstrapOptions {
            resamples,
            ..BootstrapOptions::default()
        }
    }

    #[test]
    fn four_pairs_agree_with_all_their_orders() {
        // Of 24 orders, one rises and one falls throughout.
        let x = [1.0, 2.0, 3.0, 4.0];
        for method in [Method::Spearman, Method::Kendall] {
            let found = permutation(method, &x, &x, &with(40_000)).unwrap();
            assert!((found.p_value - 2.0 / 24.0).abs() < 0.006, "{found:?}");
        }
    }

    #[test]
    fn independent_columns_give_any_p_value_alike() {
        let mut small = 0;
        for trial in 0..200 {
            let mut random = crate::orbit::PythonRandom::new(trial);
            let mut column = || (0..12).map(|_| random.uniform()).collect::<Vec<f64>>();
            let (x, y) = (column(), column());
            let found = permutation(Method::Spearman, &x, &y, &with(199)).unwrap();
            small += usize::from(found.p_value <= 0.25);
        }
        // 50 are expected, with a deviation of 6.
        assert!((26..=74).contains(&small), "{small}");
    }

    #[test]
    fn every_order_occurs_as_often() {
        let mut counts = std::collections::BTreeMap::new();
        for number in 0..6_000 {
            let mut order = Vec::new();
            shuffle(&mut order, 3, 5, number);
            *counts.entry(order).or_insert(0_i32) += 1;
        }
        assert_eq!(counts.len(), 6);
        // 1,000 are expected each, with a deviation of 29.
        assert!(
            counts.values().all(|count| (count - 1_000).abs() < 150),
            "{counts:?}"
        );
    }
}
