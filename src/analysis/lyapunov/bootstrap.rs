//! Error bars of time averages of correlated numbers.

use super::Sum;
use super::error::{LyapunovError, shape};
use super::logs::Logs;
use attractor_kernels::philox::philox4x32;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Tells these random numbers from all others of a seed.
const STREAM: u32 = 0xb007_57a9;

/// How error bars are made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BootstrapOptions {
    /// Resamples, at least 2.
    pub replicates: usize,
    /// Probability that an interval shall hold, between 0 and 1.
    pub level: f64,
    /// Events of a block; none for the length that [`block_length`] gives.
    pub block: Option<usize>,
    /// Seed of the resampling.
    pub seed: u64,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self {
            replicates: 1000,
            level: 0.95,
            block: None,
            seed: 0,
        }
    }
}

/// A number with its error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number, of the events as they are.
    pub value: f64,
    /// Standard deviation over the resamples.
    pub standard_error: f64,
    /// Lower end of the percentile interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// Spectra of resampled events.
///
/// The circular block bootstrap (Politis, Romano, 1992): blocks of successive events, the last followed
/// by the first, are drawn with replacement until there are as many events again. All columns are
/// resampled together, so that functions of the whole spectrum have their error bars too.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// Events of a block.
    pub block: usize,
    level: f64,
    exponents: Vec<f64>,
    /// `[replicates, columns]`
    replicates: Vec<f64>,
}

impl Bootstrap {
    /// Resamples the events of a window.
    ///
    /// # Errors
    /// [`LyapunovError`] for a window out of range or of fewer than 2 events, or an option out of range.
    pub fn new(
        logs: &Logs,
        window: Range<usize>,
        options: &BootstrapOptions,
    ) -> Result<Self, LyapunovError> {
        let (columns, part) = (logs.columns(), logs.window(window.clone())?);
        let events = part.len() / columns;
        check(events, options)?;
        let exponents = logs.exponents(window)?;
        let of_column = |c: usize| -> Vec<f64> {
            let values = part.iter().skip(c).step_by(columns);
            values.map(|value| value / logs.event_time()).collect()
        };
        let block = match options.block {
            Some(block) => block.min(events),
            None => {
                let lengths = (0..columns).map(|c| block_length(&of_column(c)));
                lengths.max().unwrap_or(1)
            }
        };
        let sums: Vec<Vec<f64>> = exponents
            .iter()
            .enumerate()
            .map(|(c, mean)| sums_about(&of_column(c), *mean))
            .collect();
        let mut replicates = Vec::with_capacity(options.replicates * columns);
        for replicate in 0..options.replicates {
            let starts = Starts::new(options.seed, replicate, events);
            replicates.extend(resample(&sums, &exponents, starts, events, block));
        }
        Ok(Self {
            block,
            level: options.level,
            exponents,
            replicates,
        })
    }

    /// Exponents with their errors.
    pub fn exponents(&self) -> Vec<Estimate> {
        let columns = self.exponents.len();
        let values = self.exponents.iter().enumerate();
        values
            .map(|(c, value)| {
                let replicates = self.replicates.iter().skip(c).step_by(columns);
                estimate(*value, replicates.copied().collect(), self.level)
            })
            .collect()
    }

    /// A function of the spectrum with its error; none where it is not finite for every resample.
    pub fn of(&self, function: impl Fn(&[f64]) -> f64) -> Option<Estimate> {
        let value = function(&self.exponents);
        let replicates = self.replicates.chunks(self.exponents.len());
        let replicates: Vec<f64> = replicates.map(&function).collect();
        let finite = value.is_finite() && replicates.iter().all(|value| value.is_finite());
        finite.then(|| estimate(value, replicates, self.level))
    }
}

fn check(events: usize, options: &BootstrapOptions) -> Result<(), LyapunovError> {
    if events < 2 || u32::try_from(events).is_err() {
        return Err(shape("events to resample", "2 to 4294967295", events));
    }
    if options.replicates < 2 || u32::try_from(options.replicates).is_err() {
        return Err(shape("replicates", "2 to 4294967295", options.replicates));
    }
    if !(options.level > 0.0 && options.level < 1.0) {
        return Err(shape("level", "between 0 and 1", options.level));
    }
    if options.block == Some(0) {
        return Err(shape("events of a block", "at least 1", 0));
    }
    Ok(())
}

/// Sums of the first 0, 1, ..., n deviations from the mean.
fn sums_about(values: &[f64], mean: f64) -> Vec<f64> {
    let mut sum = Sum::default();
    let mut sums = vec![0.0];
    for value in values {
        sum.add(value - mean);
        sums.push(sum.get());
    }
    sums
}

/// The first events of the blocks of one resample.
struct Starts {
    key: [u32; 2],
    replicate: u32,
    events: u64,
    words: [u32; 4],
    drawn: u32,
}

impl Starts {
    fn new(seed: u64, replicate: usize, events: usize) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            replicate: replicate as u32,
            events: events as u64,
            words: [0; 4],
            drawn: 0,
        }
    }
}

impl Iterator for Starts {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let place = self.drawn % 4;
        if place == 0 {
            let counter = [self.drawn / 4, self.replicate, 0, STREAM];
            self.words = philox4x32(counter, self.key);
        }
        self.drawn += 1;
        let word = self.words.get(place as usize).copied()?;
        // Uniform but for at most events / 2^32.
        Some(((u64::from(word) * self.events) >> 32) as usize)
    }
}

/// Means of one resample, one a column.
fn resample(
    sums: &[Vec<f64>],
    exponents: &[f64],
    starts: Starts,
    events: usize,
    block: usize,
) -> Vec<f64> {
    let mut totals = vec![0.0; sums.len()];
    let mut missing = events;
    for start in starts {
        let end = start + block.min(missing);
        for (total, sums) in totals.iter_mut().zip(sums) {
            let until = |event: usize| sums.get(event).copied().unwrap_or(0.0);
            // All deviations together are zero, but for rounding; the circle closes.
            let around = if end > events { until(events) } else { 0.0 };
            let last = if end > events { end - events } else { end };
            *total += around + until(last) - until(start);
        }
        missing -= block.min(missing);
        if missing == 0 {
            break;
        }
    }
    let means = totals.iter().zip(exponents);
    means
        .map(|(total, mean)| mean + total / events as f64)
        .collect()
}

fn estimate(value: f64, mut replicates: Vec<f64>, level: f64) -> Estimate {
    let count = replicates.len() as f64;
    let mean = replicates.iter().copied().collect::<Sum>().get() / count;
    let squares = replicates.iter().map(|value| (value - mean).powi(2));
    let variance = squares.collect::<Sum>().get() / (count - 1.0);
    replicates.sort_by(f64::total_cmp);
    let quantile = |p: f64| {
        let place = p * (count - 1.0);
        let at = |place: f64| replicates.get(place as usize).copied().unwrap_or(f64::NAN);
        let (low, high) = (at(place.floor()), at(place.ceil()));
        low + (high - low) * place.fract()
    };
    Estimate {
        value,
        standard_error: variance.sqrt(),
        lower: quantile((1.0 - level) / 2.0),
        upper: quantile((1.0 + level) / 2.0),
    }
}

/// Autocovariances of a series at lag 0, 1, ... as they are asked for.
struct Covariances {
    deviations: Vec<f64>,
}

impl Covariances {
    fn new(values: &[f64]) -> Self {
        let mean = values.iter().copied().collect::<Sum>().get() / values.len().max(1) as f64;
        Self {
            deviations: values.iter().map(|value| value - mean).collect(),
        }
    }

    fn at(&self, lag: usize) -> f64 {
        let later = self.deviations.iter().skip(lag);
        let products = self.deviations.iter().zip(later).map(|(a, b)| a * b);
        products.sum::<f64>() / self.deviations.len().max(1) as f64
    }
}

/// Integrated autocorrelation time of a series in events, `1 + 2 sum_k rho_k`, summed up to the first lag
/// that is at least five times the sum (Sokal, 1997), and at least 5. A mean of n such numbers has the
/// error of one of n over this many independent ones. 1 for a series that does not vary.
pub fn autocorrelation_time(values: &[f64]) -> f64 {
    let covariances = Covariances::new(values);
    let variance = covariances.at(0);
    if !(variance > 0.0 && variance.is_finite()) {
        return 1.0;
    }
    let mut time = 1.0;
    for lag in 1..values.len() / 2 {
        time += 2.0 * covariances.at(lag) / variance;
        if lag as f64 >= 5.0 * time.max(1.0) {
            break;
        }
    }
    // A series that swings around its mean averages faster than independent numbers do.
    time.max(1.0 / values.len().max(1) as f64)
}

/// The block length that makes the circular block bootstrap's error of a mean best (Politis, White, 2004,
/// with the correction of Patton, Politis, White, 2009); at least 1, at most a third of the series.
pub fn block_length(values: &[f64]) -> usize {
    let count = values.len();
    let covariances = Covariances::new(values);
    let variance = covariances.at(0);
    if count < 3 || !(variance > 0.0 && variance.is_finite()) {
        return 1;
    }
    let n = count as f64;
    let most = (3.0 * n.sqrt()).min(n / 3.0).ceil();
    // The lag after which correlations are those of noise.
    let noise = 2.0 * (n.log10() / n).sqrt();
    let quiet_lags = (n.log10().sqrt().ceil() as usize).max(5);
    let last_lag = (n.sqrt().ceil() as usize + quiet_lags).min(count - 1);
    let mut quiet = 0;
    let mut significant = 0;
    let mut known = vec![variance];
    for lag in 1..=last_lag {
        let covariance = covariances.at(lag);
        known.push(covariance);
        if covariance.abs() < noise * variance {
            quiet += 1;
            if quiet == quiet_lags {
                break;
            }
        } else {
            (quiet, significant) = (0, lag);
        }
    }
    let window = (2 * significant.max(1)).min(count - 1);
    let (mut spectrum, mut slope) = (variance, 0.0);
    for lag in 1..=window {
        let covariance = known.get(lag).copied();
        let covariance = covariance.unwrap_or_else(|| covariances.at(lag));
        // The flat-top window.
        let weight = (2.0 * (1.0 - lag as f64 / window as f64)).min(1.0);
        spectrum += 2.0 * weight * covariance;
        slope += 2.0 * weight * lag as f64 * covariance;
    }
    let length = (1.5 * (slope / spectrum).powi(2) * n).cbrt();
    match length.is_finite() {
        true => length.ceil().clamp(1.0, most) as usize,
        false => most as usize,
    }
}

/// Standard error of the mean of a series from the means of `batches` batches of successive numbers;
/// what remains after equal batches is left out. None for fewer than 2 batches, or more than numbers.
pub fn batch_means_error(values: &[f64], batches: usize) -> Option<f64> {
    let size = values.len().checked_div(batches)?;
    if batches < 2 || size == 0 {
        return None;
    }
    let means = values.chunks_exact(size).take(batches);
    let means: Vec<f64> = means
        .map(|batch| batch.iter().copied().collect::<Sum>().get() / size as f64)
        .collect();
    let count = means.len() as f64;
    let mean = means.iter().copied().collect::<Sum>().get() / count;
    let squares = means.iter().map(|value| (value - mean).powi(2));
    let variance = squares.collect::<Sum>().get() / (count - 1.0);
    Some((variance / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x' = rho x + noise` with normal noise of unit variance, started in its stationary state.
    fn autoregressive(rho: f64, count: usize, seed: u32) -> Vec<f64> {
        let uniform = |word: u32| (f64::from(word) + 0.5) / 4_294_967_296.0;
        let normal = |i: u32| {
            let words = philox4x32([i, 0, 0, 0], [seed, 77]);
            let radius = (-2.0 * uniform(words[0]).ln()).sqrt();
            radius * (std::f64::consts::TAU * uniform(words[1])).cos()
        };
        let mut x = normal(u32::MAX) / (1.0 - rho * rho).sqrt();
        (0..count as u32)
            .map(|i| {
                x = rho * x + normal(i);
                x
            })
            .collect()
    }

    #[test]
    fn correlation_times_are_those_of_the_process() {
        for (rho, low, high) in [
            (0.0, 0.9, 1.1),
            (0.5, 2.6, 3.4),
            (0.8, 7.5, 10.5),
            (-0.5, 0.2, 0.5),
        ] {
            let time = autocorrelation_time(&autoregressive(rho, 40_000, 3));
            assert!(time > low && time < high, "{rho}: {time}");
        }
        assert_eq!(autocorrelation_time(&[2.0; 50]), 1.0);
        assert_eq!(autocorrelation_time(&[]), 1.0);
    }

    #[test]
    fn block_lengths_follow_the_formula() {
        // (1.5 (2 rho / (1 - rho^2))^2 n)^(1/3)
        for (rho, expected) in [(0.5_f64, 38.0), (0.8, 76.0)] {
            let length = block_length(&autoregressive(rho, 20_000, 5)) as f64;
            assert!((length / expected - 1.0).abs() < 0.35, "{rho}: {length}");
        }
        assert!(block_length(&autoregressive(0.0, 20_000, 5)) < 12);
        assert_eq!(block_length(&[1.0; 9]), 1);
        assert_eq!(block_length(&[1.0, 2.0]), 1);
        let ramp: Vec<f64> = (0..300).map(f64::from).collect();
        // A series that does not forget is cut at three roots of its length.
        let length = block_length(&ramp);
        assert!((40..=52).contains(&length), "{length}");
    }

    #[test]
    fn intervals_cover_the_mean_as_often_as_they_say() {
        let options = BootstrapOptions {
            replicates: 300,
            ..BootstrapOptions::default()
        };
        let (mut covered, mut error, mut batch_error) = (0, 0.0, 0.0);
        let (runs, count, rho) = (300, 1500, 0.7);
        for run in 0..runs {
            let values = autoregressive(rho, count, run);
            batch_error += batch_means_error(&values, 30).unwrap();
            let logs = Logs::new(values, 1, 1.0).unwrap();
            let bootstrap = Bootstrap::new(&logs, 0..count, &options).unwrap();
            let estimate = bootstrap.exponents()[0];
            covered += u32::from(estimate.lower <= 0.0 && estimate.upper >= 0.0);
            error += estimate.standard_error;
        }
        let share = f64::from(covered) / f64::from(runs);
        assert!(share > 0.89 && share < 0.985, "{share}");
        // 1 / (1 - rho) / sqrt(n)
        let expected = 1.0 / (1.0 - rho) / (count as f64).sqrt();
        let error = error / f64::from(runs);
        assert!((error / expected - 1.0).abs() < 0.15, "{error} {expected}");
        let error = batch_error / f64::from(runs);
        assert!((error / expected - 1.0).abs() < 0.15, "{error} {expected}");
        // Resampling one by one would say less than half of it.
        let logs = Logs::new(autoregressive(rho, count, 0), 1, 1.0).unwrap();
        let block = Some(1);
        let naive = Bootstrap::new(&logs, 0..count, &BootstrapOptions { block, ..options });
        assert!(naive.unwrap().exponents()[0].standard_error < 0.6 * expected);
    }

    #[test]
    fn functions_of_the_spectrum_keep_correlations_of_columns() {
        let values = autoregressive(0.5, 4000, 9);
        // The columns always sum to -1, as in a map of constant contraction.
        let rows = values.iter().flat_map(|v| [*v, -1.0 - v]).collect();
        let logs = Logs::new(rows, 2, 2.0).unwrap();
        let options = BootstrapOptions::default();
        let bootstrap = Bootstrap::new(&logs, 0..4000, &options).unwrap();
        let sum = bootstrap.of(|spectrum| spectrum.iter().sum()).unwrap();
        assert!((sum.value + 0.5).abs() < 1e-12 && sum.standard_error < 1e-12);
        let [first, second] = bootstrap.exponents()[..] else {
            panic!("two columns");
        };
        assert!((first.standard_error / second.standard_error - 1.0).abs() < 1e-9);
        assert!(first.lower < first.value && first.value < first.upper);
        assert_eq!(bootstrap.of(|_| f64::NAN), None);
        assert_eq!(bootstrap, Bootstrap::new(&logs, 0..4000, &options).unwrap());
        let seed = 1;
        let other = Bootstrap::new(&logs, 0..4000, &BootstrapOptions { seed, ..options });
        assert_ne!(bootstrap, other.unwrap());
    }

    #[test]
    fn bad_options_are_refused() {
        let logs = Logs::new(vec![1.0, 2.0, 3.0], 1, 1.0).unwrap();
        let good = BootstrapOptions::default();
        let refuses = |window, options: BootstrapOptions| {
            Bootstrap::new(&logs, window, &options).unwrap_err();
        };
        refuses(0..1, good);
        refuses(0..4, good);
        for replicates in [0, 1] {
            refuses(0..3, BootstrapOptions { replicates, ..good });
        }
        for level in [0.0, 1.0, f64::NAN] {
            refuses(0..3, BootstrapOptions { level, ..good });
        }
        let block = Some(0);
        refuses(0..3, BootstrapOptions { block, ..good });
        let block = Some(usize::MAX);
        let whole = Bootstrap::new(&logs, 0..3, &BootstrapOptions { block, ..good }).unwrap();
        // A circle as a whole has one mean.
        assert!(whole.exponents()[0].standard_error < 1e-15);
        assert_eq!(batch_means_error(&[1.0, 2.0], 3), None);
        assert_eq!(batch_means_error(&[1.0, 2.0], 0), None);
        assert_eq!(batch_means_error(&[1.0, 2.0], 1), None);
        assert_eq!(batch_means_error(&[1.0, 3.0, 9.0], 2), Some(1.0));
        assert_eq!(batch_means_error(&[1.0, 1.0, 3.0, 3.0, 9.0], 2), Some(1.0));
    }
}
