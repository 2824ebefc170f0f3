//! Two samples of successes: could they be of one rate?

/// Natural logarithm of n! for every n up to `most`.
fn log_factorials(most: usize) -> Vec<f64> {
    let mut all = vec![0.0; most + 1];
    for n in 1..=most {
        all[n] = all[n - 1] + (n as f64).ln();
    }
    all
}

/// Fisher's exact test (1922), two-sided: the probability, were the rates equal, of a table no more likely
/// than `a` of `n` and `b` of `m` successes, given their sum.
pub(super) fn fisher((a, n): (usize, usize), (b, m): (usize, usize)) -> f64 {
    if a > n || b > m {
        return 0.0;
    }
    let sum = a + b;
    let factorials = log_factorials(n + m);
    let of = |n: usize| factorials.get(n).copied().unwrap_or(0.0);
    let choose = |n: usize, k: usize| of(n) - of(k) - of(n - k);
    let log = |k: usize| choose(n, k) + choose(m, sum - k) - choose(n + m, sum);
    let own = log(a);
    let possible = sum.saturating_sub(m)..=sum.min(n);
    let tail = possible.map(log).filter(|other| *other <= own + 1e-9);
    tail.map(f64::exp).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_tables() {
        // The lady tasting tea: three of four, one of four.
        assert!((fisher((3, 4), (1, 4)) - 34.0 / 70.0).abs() < 1e-12);
        assert!((fisher((4, 4), (0, 4)) - 2.0 / 70.0).abs() < 1e-12);
        assert_eq!(fisher((5, 4), (0, 4)), 0.0);
        assert!((fisher((0, 10), (0, 1000)) - 1.0).abs() < 1e-9);
        // The binomial limit: 12 of 20 against a rate of 0.3 that is known well.
        let p = fisher((12, 20), (30_000, 100_000));
        assert!(p > 0.004 && p < 0.006, "{p}");
    }
}
