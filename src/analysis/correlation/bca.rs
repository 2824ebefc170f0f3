//! The bootstrap interval corrected for bias and skewness.

use super::bootstrap::{ascending, checked_pairs, resampled};
use super::special::{normal, normal_quantile};
use super::{BootstrapOptions, CorrelationError, Method};
use serde::Serialize;

/// A bias-corrected and accelerated interval (Efron 1987).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bca {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// `z0`: the normal quantile of the share of resamples below the coefficient, ties as halves.
    pub bias: f64,
    /// `a`: a sixth of the skewness of the coefficients that leave out one pair each.
    pub acceleration: f64,
    /// Whether the interval lies on one side of zero.
    pub clears_zero: bool,
}

/// The interval of a coefficient, from the resamples of [`bootstrap`](super::bootstrap).
///
/// # Errors
/// As [`bootstrap`](super::bootstrap); [`CorrelationError::Undefined`] where all resamples lie on one side
/// of the coefficient, or leaving out a pair leaves a column constant.
pub fn bca(
    method: Method,
    x: &[f64],
    y: &[f64],
    options: &BootstrapOptions,
) -> Result<Bca, CorrelationError> {
    options.check()?;
    let rho = method.of(x, y)?;
    let pairs = checked_pairs(method, x, y)?;
    let values = ascending(resampled(x.len(), options, |drawn, scratch| {
        pairs.of(drawn, scratch)
    }));
    let found = values.len();
    if found < 2 {
        return Err(CorrelationError::Resamples { found });
    }
    let below = values.partition_point(|value| *value < rho);
    let upto = values.partition_point(|value| *value <= rho);
    let bias = normal_quantile((below + upto) as f64 / (2.0 * found as f64));
    if bias.is_infinite() {
        let reason = "all resamples lie on one side of the coefficient";
        return Err(undefined(reason));
    }
    let acceleration = acceleration(method, x, y)?;
    let [low, high] = [options.alpha / 2.0, 1.0 - options.alpha / 2.0].map(|share| {
        let shifted = bias + normal_quantile(share);
        normal(bias + shifted / (1.0 - acceleration * shifted))
    });
    let count = found as f64;
    let at = |place: f64| {
        let place = place.clamp(0.0, count - 1.0) as usize;
        values.get(place).copied().unwrap_or(rho)
    };
    let (low, high) = (at((low * count).floor()), at((high * count).floor() - 1.0));
    Ok(Bca {
        low,
        high,
        bias,
        acceleration,
        clears_zero: low > 0.0 || high < 0.0,
    })
}

fn undefined(reason: &'static str) -> CorrelationError {
    let what = "BCa interval";
    CorrelationError::Undefined { what, reason }
}

/// From the coefficients of all but one pair.
fn acceleration(method: Method, x: &[f64], y: &[f64]) -> Result<f64, CorrelationError> {
    let without = |column: &[f64], left_out: usize| -> Vec<f64> {
        let kept = column.iter().enumerate().filter(|(at, _)| *at != left_out);
        kept.map(|(_, value)| *value).collect()
    };
    let left: Result<Vec<f64>, _> = (0..x.len())
        .map(|at| method.of(&without(x, at), &without(y, at)))
        .collect();
    let left = left.map_err(|_| undefined("a column is constant without one of its pairs"))?;
    let mean = left.iter().fold(0.0, |sum, value| sum + value) / left.len() as f64;
    let power = |exponent: i32| {
        let powers = left.iter().map(|value| (mean - value).powi(exponent));
        powers.fold(0.0, |sum, value| sum + value)
    };
    let spread = 6.0 * power(2).powf(1.5);
    // Coefficients that all agree have no skewness.
    Ok(if spread > 0.0 { power(3) / spread } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap;
    use super::*;

    /// Noise around a line.
    fn sample(count: u32, noise: f64, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let mut random = crate::orbit::PythonRandom::new(seed);
        let x: Vec<f64> = (0..count).map(f64::from).collect();
        let y = x.iter().map(|x| x + noise * (random.uniform() - 0.5));
        let y = y.collect();
        (x, y)
    }

    #[test]
    fn corrections_move_the_interval_of_a_high_correlation_down() {
        let (x, y) = sample(30, 20.0, 4);
        let options = BootstrapOptions::default();
        let plain = bootstrap(Method::Spearman, &x, &y, &options).unwrap();
        let found = bca(Method::Spearman, &x, &y, &options).unwrap();
        assert!(found.bias.abs() < 1.0 && found.acceleration != 0.0);
        assert!((found.low - plain.low).abs() < 0.2 && (found.high - plain.high).abs() < 0.2);
        assert!(found.low < plain.rho && plain.rho < found.high && found.clears_zero);
        // Resampling adds ties, which pulls coefficients down: the bias is positive, the interval moves up.
        assert!(found.bias > 0.0 && found.high >= plain.high);
    }

    #[test]
    fn coverage_is_about_as_promised() {
        // Independent columns: the true coefficient is 0.
        let covered = (0..200_u64).filter(|trial| {
            let mut random = crate::orbit::PythonRandom::new(1_000 + trial);
            let mut column = || (0..25).map(|_| random.uniform()).collect::<Vec<f64>>();
            let (x, y) = (column(), column());
            let options = BootstrapOptions {
                resamples: 400,
                seed: *trial,
                ..BootstrapOptions::default()
            };
            let found = bca(Method::Spearman, &x, &y, &options).unwrap();
            !found.clears_zero
        });
        let share = covered.count() as f64 / 200.0;
        assert!((0.87..=0.99).contains(&share), "{share}");
    }

    #[test]
    fn perfect_order_has_no_such_interval() {
        let x: Vec<f64> = (0..6).map(f64::from).collect();
        let options = BootstrapOptions::default();
        match bca(Method::Kendall, &x, &x, &options) {
            // Every resample is perfect too.
            Ok(found) => assert_eq!((found.low, found.high, found.acceleration), (1.0, 1.0, 0.0)),
            Err(error) => panic!("{error}"),
        }
        let y = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let error = bca(Method::Kendall, &x, &y, &options).unwrap_err();
        assert!(error.to_string().contains("constant without"), "{error}");
    }
}
