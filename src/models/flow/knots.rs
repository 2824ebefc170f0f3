//! Knots: the distribution of each model channel as a piecewise-linear map between values and
//! probabilities.

use super::normal::{cumulative, quantile};

/// Distance that probabilities keep from 0 and 1 on the way to the model: model values stay within
/// 4.7534 of zero.
const PROBABILITY_MARGIN: f64 = 1e-6;
/// Smallest divisor of the slope of a piece of a map.
const SMALLEST_PIECE: f64 = 1e-6;
/// Added to a fitted knot for each one before it, so that point masses have width.
const KNOT_SPACING: f64 = 1e-6;

/// What can be wrong with an action transform or with values for one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TransformError {
    /// Raw channels that do not describe an action.
    #[error("action keys {keys:?}: expected {expected}")]
    Keys {
        /// The raw channels.
        keys: Vec<String>,
        /// What they must be.
        expected: &'static str,
    },
    /// Knots or grid that are no increasing sequence.
    #[error("{what}: expected {expected}, found {found}")]
    Knots {
        /// Which sequence.
        what: String,
        /// What a good one is like.
        expected: String,
        /// What this one is like.
        found: String,
    },
    /// A number of values that is no multiple of the channels.
    #[error("{what}: expected a multiple of {channels} channels, found {found} values")]
    Length {
        /// Which values.
        what: &'static str,
        /// Channels.
        channels: usize,
        /// Values given.
        found: usize,
    },
    /// Nothing to fit to.
    #[error("cannot fit {what}: expected data, found none")]
    Empty {
        /// What was to be fitted.
        what: &'static str,
    },
    /// A channel that never varies has no distribution to map to a normal one.
    #[error("cannot fit channel {channel}: all {count} values are {value}")]
    Constant {
        /// The channel.
        channel: String,
        /// Values seen.
        count: usize,
        /// Their common value.
        value: f64,
    },
    /// A value to fit to that is not a finite number.
    #[error("cannot fit channel {channel}: value {index} is {value}")]
    NotFinite {
        /// The channel.
        channel: String,
        /// Which value of the channel.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A setting outside its range.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value given.
        found: f64,
    },
}

/// Quantiles of the training values of each model channel: the map of a value to its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Knots {
    grid: Vec<f64>,
    channels: Vec<Vec<f64>>,
}

/// Most knots of a channel.
const MOST_LEVELS: usize = 1 << 20;

impl Knots {
    /// `grid` holds M probabilities, `channels` the M values they belong to, of each model channel.
    ///
    /// # Errors
    /// [`TransformError::Knots`] naming a sequence that is shorter than two, of another length than the
    /// grid, not finite or not strictly increasing.
    pub fn new(grid: Vec<f64>, channels: Vec<Vec<f64>>) -> Result<Self, TransformError> {
        check_increasing("grid", &grid, grid.len())?;
        let outside = grid.iter().find(|level| !(0.0..=1.0).contains(*level));
        if let Some(&found) = outside {
            return Err(TransformError::Setting {
                setting: "grid",
                expected: "levels in 0 to 1",
                found,
            });
        }
        for (channel, knots) in channels.iter().enumerate() {
            check_increasing(&format!("knots of channel {channel}"), knots, grid.len())?;
        }
        Ok(Self { grid, channels })
    }

    /// Fits `levels` knots a channel to `values` `[N, keys.len()]`: quantiles at equally spaced levels
    /// with linear interpolation, their running maximum, and 1e-6 more at every knot.
    ///
    /// # Errors
    /// [`TransformError`] for no data, a channel that is constant or not finite, fewer than two levels.
    pub fn fit(values: &[f64], keys: &[String], levels: usize) -> Result<Self, TransformError> {
        let channels = keys.len();
        if !(2..=MOST_LEVELS).contains(&levels) {
            let (setting, expected) = ("levels", "2 to 1048576");
            return Err(TransformError::Setting {
                setting,
                expected,
                found: levels as f64,
            });
        }
        check_length("values", values.len(), channels)?;
        let grid: Vec<f64> = (0..levels)
            .map(|i| i as f64 / (levels - 1) as f64)
            .collect();
        let knots = keys.iter().enumerate().map(|(channel, key)| {
            let column = values.iter().skip(channel).step_by(channels.max(1));
            fit_channel(column.copied().collect(), key, &grid)
        });
        let knots = knots.collect::<Result<_, _>>()?;
        Self::new(grid, knots)
    }

    /// A value of a channel as the value of the standard normal distribution at the same probability.
    pub fn gaussianize(&self, channel: usize, value: f64) -> f64 {
        let probability = self
            .channels
            .get(channel)
            .map_or(f64::NAN, |knots| interpolate(knots, &self.grid, value));
        quantile(probability.clamp(PROBABILITY_MARGIN, 1.0 - PROBABILITY_MARGIN))
    }

    /// The inverse of [`Knots::gaussianize`], within the fitted range.
    pub fn degaussianize(&self, channel: usize, value: f64) -> f64 {
        self.channels.get(channel).map_or(f64::NAN, |knots| {
            interpolate(&self.grid, knots, cumulative(value))
        })
    }

    /// The probabilities, M of them.
    pub fn grid(&self) -> &[f64] {
        &self.grid
    }

    /// The values at those probabilities, of each model channel.
    pub fn channels(&self) -> &[Vec<f64>] {
        &self.channels
    }
}

fn check_increasing(what: &str, sequence: &[f64], length: usize) -> Result<(), TransformError> {
    let wrong = |expected: String, found: String| {
        let what = what.to_string();
        Err(TransformError::Knots {
            what,
            expected,
            found,
        })
    };
    if sequence.len() < 2 || sequence.len() != length {
        let expected = format!("{} values, at least 2", length.max(2));
        return wrong(expected, format!("{}", sequence.len()));
    }
    if let Some(index) = sequence.iter().position(|value| !value.is_finite()) {
        return wrong(
            "finite values".into(),
            format!("one that is not, at index {index}"),
        );
    }
    let falls = |pair: &[f64]| matches!(pair, [a, b] if b <= a);
    if let Some(index) = sequence.windows(2).position(falls) {
        let found = format!("no increase from index {index} to {}", index + 1);
        return wrong("strictly increasing values".into(), found);
    }
    Ok(())
}

pub(super) fn check_length(
    what: &'static str,
    found: usize,
    channels: usize,
) -> Result<(), TransformError> {
    if channels > 0 && found.is_multiple_of(channels) {
        return Ok(());
    }
    Err(TransformError::Length {
        what,
        channels,
        found,
    })
}

fn fit_channel(mut values: Vec<f64>, key: &str, grid: &[f64]) -> Result<Vec<f64>, TransformError> {
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let value = values.get(index).copied().unwrap_or(f64::NAN);
        let channel = key.to_string();
        return Err(TransformError::NotFinite {
            channel,
            index,
            value,
        });
    }
    values.sort_unstable_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (values.first(), values.last()) else {
        return Err(TransformError::Empty { what: "knots" });
    };
    if least == most {
        let (channel, count) = (key.to_string(), values.len());
        return Err(TransformError::Constant {
            channel,
            count,
            value: least,
        });
    }
    let mut running = f64::NEG_INFINITY;
    let knots = grid.iter().enumerate().map(|(index, &level)| {
        running = running.max(quantile_of_sorted(&values, level));
        running + KNOT_SPACING * index as f64
    });
    Ok(knots.collect())
}

/// The quantile of sorted values at a level from 0 to 1, linear between order statistics; NaN of none.
pub fn quantile_of_sorted(sorted: &[f64], level: f64) -> f64 {
    let position = level.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let index = position.floor() as usize;
    let Some(&below) = sorted.get(index) else {
        return f64::NAN;
    };
    let above = sorted.get(index + 1).copied().unwrap_or(below);
    below + (above - below) * (position - index as f64)
}

/// The piecewise-linear map through (`from`, `to`), constant outside. `from` must have two values or more.
fn interpolate(from: &[f64], to: &[f64], x: f64) -> f64 {
    let upper = from.partition_point(|&knot| knot <= x);
    let upper = upper.clamp(1, from.len().saturating_sub(1).max(1));
    let at = |sequence: &[f64], index: usize| sequence.get(index).copied().unwrap_or(f64::NAN);
    let (x0, x1) = (at(from, upper - 1), at(from, upper));
    let (y0, y1) = (at(to, upper - 1), at(to, upper));
    let y = y0 + (x - x0) / (x1 - x0).max(SMALLEST_PIECE) * (y1 - y0);
    // Not f64::clamp, which panics on bounds that are NaN.
    let (least, most) = (at(to, 0), at(to, to.len().saturating_sub(1)));
    if y < least {
        least
    } else if y > most {
        most
    } else {
        y
    }
}
