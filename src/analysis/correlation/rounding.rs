//! Rounding as Python does.

/// The number with that many decimals that is nearest to the exact value, ties to even digits; then the
/// nearest double. Python's `round(value, decimals)`. Numbers that are not finite stay as they are.
pub fn round_to(value: f64, decimals: usize) -> f64 {
    if !value.is_finite() {
        return value;
    }
    // Formatting is exact and rounds halves to even, as `round` does.
    format!("{value:.decimals$}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_the_exact_value_go_to_even() {
        // Both are exact halves.
        assert_eq!(round_to(0.125, 2), 0.12);
        assert_eq!(round_to(0.375, 2), 0.38);
        // 2.675 is a little less as a double, 1.005 too; 0.00015 is a little less, 0.00025 a little more.
        assert_eq!(round_to(2.675, 2), 2.67);
        assert_eq!(round_to(1.005, 2), 1.0);
        assert_eq!(round_to(0.00015, 4), 0.0001);
        assert_eq!(round_to(-0.72599, 4), -0.726);
        assert_eq!(round_to(-0.00001, 4).to_bits(), (-0.0_f64).to_bits());
        assert!(round_to(f64::NAN, 4).is_nan());
        assert_eq!(round_to(f64::INFINITY, 4), f64::INFINITY);
    }
}
