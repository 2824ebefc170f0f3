//! McNemar's exact test, and p-values of several tests.

/// Two-sided probability, under equal chances, of a split at least as uneven as `first` to `second`
/// discordant pairs: `min(1, 2 sum_{i <= min} C(n, i) / 2^n)`; 1 for none.
pub fn mcnemar(first: usize, second: usize) -> f64 {
    let (all, fewer) = (first + second, first.min(second));
    // The number is `mantissa 2^exponent`: powers of two stay exact however many pairs there are.
    let mut exponent = -(all as f64);
    let (mut term, mut sum) = (1.0_f64, 1.0_f64);
    for i in 0..fewer {
        term *= (all - i) as f64 / (i + 1) as f64;
        sum += term;
        if sum > SCALE {
            term /= SCALE;
            sum /= SCALE;
            exponent += SCALE.log2();
        }
    }
    // The exponents in two steps: the first factor alone may be too small for a double.
    let half = (exponent / 2.0).trunc();
    (2.0 * sum * half.exp2() * (exponent - half).exp2()).min(1.0)
}

/// A power of two, far from the largest double.
const SCALE: f64 = 1.157_920_892_373_162e77;

/// Step-down adjusted p-values (Holm 1979), in the order given: the k-th smallest of m, counted from 0, times
/// `m - k`, at most 1, and no less than those before it.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut running = 0.0_f64;
    for (rank, (at, p)) in order.into_iter().enumerate() {
        running = running.max(((p_values.len() - rank) as f64 * p).min(1.0));
        if let Some(place) = adjusted.get_mut(at) {
            *place = running;
        }
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_by_hand() {
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(1, 0), 1.0);
        assert_eq!(mcnemar(9, 0), 2.0 / 512.0);
        assert_eq!(mcnemar(0, 6), 0.031_25);
        assert_eq!(mcnemar(7, 2), 2.0 * (1.0 + 9.0 + 36.0) / 512.0);
        assert_eq!(mcnemar(5, 5), 1.0);
    }

    #[test]
    fn large_numbers_neither_overflow_nor_vanish() {
        assert_eq!(SCALE.log2(), 256.0);
        // The normal approximation with continuity correction: z = (600 - 500 - 0.5) / 15.81.
        let p = mcnemar(400, 600);
        assert!((p - 2.73e-10).abs() < 0.3e-10, "{p}");
        let p = mcnemar(9_900, 10_100);
        assert!((p - 0.1594).abs() < 5e-4, "{p}");
        assert_eq!(mcnemar(50_000, 50_000), 1.0);
        assert_eq!(mcnemar(0, 5_000), 0.0);
        assert_eq!(mcnemar(0, 1_060), 2.0_f64.powi(-1059));
    }

    #[test]
    fn adjusted_values_keep_their_places_and_never_fall() {
        // Three times 0.015 is more than twice 0.02.
        let expected = [0.045, 0.03, 0.045, 0.5];
        let found = holm(&[0.02, 0.0075, 0.015, 0.5]);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
