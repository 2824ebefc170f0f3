//! What a spectrum says: dimension, entropy, rate of contraction.

use super::Sum;
use serde::Serialize;

/// The Kaplan-Yorke (Lyapunov) dimension.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KaplanYorke {
    /// The dimension, or what of it the known exponents show.
    pub dimension: f64,
    /// Whether there were enough exponents to know it: if not, it is at least the value.
    pub complete: bool,
}

/// `j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}|` with the largest `j` whose sum is not negative
/// (Kaplan, Yorke, 1979), from the leading exponents of a map of `dimension` numbers, in any order; none
/// where there are none, more than the dimension, or some that are not finite.
///
/// With all exponents and a sum that is not negative, the dimension is that of the space.
pub fn kaplan_yorke(exponents: &[f64], dimension: usize) -> Option<KaplanYorke> {
    let usable = !exponents.is_empty() && exponents.len() <= dimension;
    if !usable || exponents.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut sorted = exponents.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut sum = Sum::default();
    for (count, &exponent) in sorted.iter().enumerate() {
        let before = sum.get();
        sum.add(exponent);
        if sum.get() < 0.0 {
            return Some(KaplanYorke {
                dimension: count as f64 + before / exponent.abs(),
                complete: true,
            });
        }
    }
    Some(KaplanYorke {
        dimension: sorted.len() as f64,
        complete: sorted.len() == dimension,
    })
}

/// The sum of the positive exponents, which the entropy of the map does not exceed (Ruelle, 1978), in
/// nats per unit of time.
pub fn entropy_bound(exponents: &[f64]) -> f64 {
    let positive = exponents.iter().copied().filter(|value| *value > 0.0);
    positive.collect::<Sum>().get()
}

/// The sum of all exponents against the mean rate at which volumes change, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SumRule {
    /// Sum of the exponents.
    pub sum: f64,
    /// Mean of `ln |det DF|`, or of the divergence of a flow.
    pub expected: f64,
    /// Difference allowed.
    pub tolerance: f64,
}

impl SumRule {
    /// The rule for all exponents of a map.
    pub fn new(exponents: &[f64], expected: f64, tolerance: f64) -> Self {
        Self {
            sum: exponents.iter().copied().collect::<Sum>().get(),
            expected,
            tolerance,
        }
    }

    /// Whether it holds; not if anything is NaN.
    pub fn holds(&self) -> bool {
        (self.sum - self.expected).abs() <= self.tolerance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_of_known_spectra() {
        let lorenz = kaplan_yorke(&[0.9056, 0.0, -14.5723], 3).unwrap();
        assert!((lorenz.dimension - 2.06215).abs() < 1e-5 && lorenz.complete);
        let mixed = kaplan_yorke(&[-14.5723, 0.9056, 0.0], 3).unwrap();
        assert_eq!(mixed, lorenz);
        let sink = kaplan_yorke(&[-0.1, -0.5], 2).unwrap();
        assert_eq!((sink.dimension, sink.complete), (0.0, true));
        let conservative = kaplan_yorke(&[0.96, -0.96], 2).unwrap();
        assert_eq!((conservative.dimension, conservative.complete), (2.0, true));
        let leading = kaplan_yorke(&[0.5, 0.1], 9).unwrap();
        assert_eq!((leading.dimension, leading.complete), (2.0, false));
        assert_eq!(kaplan_yorke(&[], 3), None);
        assert_eq!(kaplan_yorke(&[1.0; 4], 3), None);
        assert_eq!(kaplan_yorke(&[f64::NAN], 3), None);
    }

    #[test]
    fn entropy_and_sum_rule() {
        assert_eq!(entropy_bound(&[0.5, -1.0, 0.25, 0.0]), 0.75);
        assert_eq!(entropy_bound(&[-1.0]), 0.0);
        let henon = [0.41922, -1.62319];
        assert!(SumRule::new(&henon, 0.3_f64.ln(), 1e-4).holds());
        assert!(!SumRule::new(&henon, 0.31_f64.ln(), 1e-4).holds());
        assert!(!SumRule::new(&[f64::NAN], 0.0, 1.0).holds());
    }
}
