//! Label-distribution smoothing (Yang et al., ICML 2021, arXiv:2102.09554): rare labels weigh more.
//!
//! A chunk's label in a model channel is the largest magnitude of its slots, in physical units (pedals
//! merged, not Gaussianized). The weight of a chunk in a channel is the smoothed frequency of its label's
//! bin to the power of minus alpha, capped, with mean 1 over the data.

/// Smallest frequency and smallest mean weight that are divided by.
const SMALLEST: f64 = 1e-8;
/// More bins than any use has.
const MOST_BINS: usize = 1 << 16;

/// What can be wrong with label statistics or the data for them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LabelError {
    /// No labels to fit to.
    #[error("label smoothing: expected labels, found none")]
    Empty,
    /// Labels that are all the same have no distribution.
    #[error("label smoothing, channel {channel}: all {count} labels are {value}")]
    Constant {
        /// Index of the model channel.
        channel: usize,
        /// Labels seen.
        count: usize,
        /// Their common value.
        value: f64,
    },
    /// A label that is no finite number from 0.
    #[error("label smoothing, channel {channel}: label {index} is {value}")]
    Label {
        /// Index of the model channel.
        channel: usize,
        /// Which label.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A number of values that does not fit.
    #[error("label smoothing, {what}: expected {expected}, found {found}")]
    Length {
        /// Which values.
        what: &'static str,
        /// What would fit.
        expected: String,
        /// Values given.
        found: usize,
    },
    /// A table that holds a value it cannot hold.
    #[error("label smoothing, {what}: expected {expected} at index {index}, found {found}")]
    Table {
        /// Which table.
        what: &'static str,
        /// What it must hold.
        expected: &'static str,
        /// Where.
        index: usize,
        /// What it holds.
        found: f64,
    },
    /// A setting outside its range.
    #[error("label smoothing, {setting}: expected {expected}, found {found}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value given.
        found: f64,
    },
}

/// The labels `[N, A]` of chunks `[N, H, A]` of physical values. A slot that is not finite makes its
/// label so.
///
/// # Errors
/// [`LabelError::Length`] unless the values are whole chunks.
pub fn labels(physical: &[f64], horizon: usize, channels: usize) -> Result<Vec<f64>, LabelError> {
    let chunk = horizon.saturating_mul(channels);
    if chunk == 0 || !physical.len().is_multiple_of(chunk) {
        let expected = format!("chunks of {horizon} slots and {channels} channels");
        return Err(LabelError::Length {
            what: "values",
            expected,
            found: physical.len(),
        });
    }
    let largest = |chunk: &[f64], channel: usize| {
        let slots = chunk.iter().skip(channel).step_by(channels);
        // f64::max would drop NaN.
        slots.fold(0.0, |most: f64, value| {
            if value.is_nan() || value.abs() > most {
                value.abs()
            } else {
                most
            }
        })
    };
    let chunks = physical.chunks_exact(chunk);
    Ok(chunks
        .flat_map(|chunk| (0..channels).map(move |channel| largest(chunk, channel)))
        .collect())
}

/// The distribution of one channel's labels in equal bins.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelDistribution {
    edges: Vec<f64>,
    emp: Vec<f64>,
    smooth: Vec<f64>,
}

impl LabelDistribution {
    /// Takes tables as a file has them: `bins + 1` edges, `bins` frequencies, as many smoothed ones.
    ///
    /// # Errors
    /// [`LabelError`] for tables of other lengths, edges that do not increase, frequencies below zero,
    /// anything not finite.
    pub fn new(edges: Vec<f64>, emp: Vec<f64>, smooth: Vec<f64>) -> Result<Self, LabelError> {
        let bins = edges.len().saturating_sub(1);
        if bins == 0 {
            let (expected, found) = ("at least 2".to_string(), edges.len());
            return Err(LabelError::Length {
                what: "edges",
                expected,
                found,
            });
        }
        let falls =
            |pair: &[f64]| !matches!(pair, [a, b] if a.is_finite() && b.is_finite() && a < b);
        if let Some(index) = edges.windows(2).position(falls) {
            let found = edges.get(index + 1).copied().unwrap_or(f64::NAN);
            let expected = "a finite number above the one before";
            return Err(LabelError::Table {
                what: "edges",
                expected,
                index: index + 1,
                found,
            });
        }
        for (what, table) in [("emp", &emp), ("smooth", &smooth)] {
            if table.len() != bins {
                let expected = format!("{bins}, one less than edges");
                return Err(LabelError::Length {
                    what,
                    expected,
                    found: table.len(),
                });
            }
            let bad = |value: &f64| !(value.is_finite() && *value >= 0.0);
            if let Some(index) = table.iter().position(bad) {
                let found = table.get(index).copied().unwrap_or(f64::NAN);
                let expected = "a finite number from 0";
                return Err(LabelError::Table {
                    what,
                    expected,
                    index,
                    found,
                });
            }
        }
        Ok(Self { edges, emp, smooth })
    }

    /// Bin edges, one more than bins.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Share of the labels in each bin.
    pub fn emp(&self) -> &[f64] {
        &self.emp
    }

    /// The shares smoothed by a Gaussian.
    pub fn smooth(&self) -> &[f64] {
        &self.smooth
    }

    /// The weight of each bin: `min((1 / max(smooth, 1e-8))^alpha, cap)`, over its mean under `emp`.
    ///
    /// # Errors
    /// [`LabelError::Setting`] for an alpha below zero, a cap that is not above zero, or NaN.
    pub fn weights(&self, alpha: f64, cap: f64) -> Result<LabelWeights, LabelError> {
        let refuse = |setting, expected, found| {
            Err(LabelError::Setting {
                setting,
                expected,
                found,
            })
        };
        if !(alpha.is_finite() && alpha >= 0.0) {
            return refuse("alpha", "a finite number from 0", alpha);
        }
        if cap.is_nan() || cap <= 0.0 {
            return refuse("cap", "a number above 0", cap);
        }
        let bare = |share: &f64| (1.0 / share.max(SMALLEST)).powf(alpha).min(cap);
        let mut table: Vec<f64> = self.smooth.iter().map(bare).collect();
        let mean: f64 = table
            .iter()
            .zip(&self.emp)
            .map(|(weight, share)| weight * share)
            .sum();
        table
            .iter_mut()
            .for_each(|weight| *weight /= mean.max(SMALLEST));
        let interior = self
            .edges
            .get(1..self.edges.len() - 1)
            .unwrap_or(&[])
            .to_vec();
        Ok(LabelWeights { interior, table })
    }
}

/// How labels are binned and smoothed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelSettings {
    /// Equal bins from 0 to the largest label.
    pub bins: usize,
    /// Standard deviation of the Gaussian, in bins.
    pub sigma: f64,
}

impl Default for LabelSettings {
    fn default() -> Self {
        Self {
            bins: 64,
            sigma: 2.0,
        }
    }
}

/// Widest smoothing, in bins: the work is the number of bins times that.
const MOST_SIGMA: f64 = 1024.0;

impl LabelSettings {
    fn check(&self) -> Result<(), LabelError> {
        let refuse = |setting, expected, found| {
            Err(LabelError::Setting {
                setting,
                expected,
                found,
            })
        };
        if !(1..=MOST_BINS).contains(&self.bins) {
            return refuse("bins", "1 to 65536", self.bins as f64);
        }
        if !(self.sigma > 0.0 && self.sigma <= (self.bins as f64).min(MOST_SIGMA)) {
            let expected = "above 0, at most the number of bins and 1024";
            return refuse("sigma", expected, self.sigma);
        }
        Ok(())
    }

    /// Fits the distribution of each channel to labels `[N, channels]`.
    ///
    /// # Errors
    /// [`LabelError`] for no labels, a label that is not finite, labels that are all the same, and
    /// settings out of range.
    pub fn fit(
        &self,
        labels: &[f64],
        channels: usize,
    ) -> Result<Vec<LabelDistribution>, LabelError> {
        self.check()?;
        if channels == 0 || !labels.len().is_multiple_of(channels) {
            let expected = format!("a multiple of {channels} channels");
            return Err(LabelError::Length {
                what: "labels",
                expected,
                found: labels.len(),
            });
        }
        let column = |channel: usize| labels.iter().copied().skip(channel).step_by(channels);
        (0..channels)
            .map(|channel| self.fit_channel(channel, column(channel)))
            .collect()
    }

    fn fit_channel(
        &self,
        channel: usize,
        labels: impl Iterator<Item = f64> + Clone,
    ) -> Result<LabelDistribution, LabelError> {
        let (mut least, mut most, mut count) = (f64::INFINITY, 0.0_f64, 0);
        for (index, value) in labels.clone().enumerate() {
            if !(value.is_finite() && value >= 0.0) {
                return Err(LabelError::Label {
                    channel,
                    index,
                    value,
                });
            }
            (least, most, count) = (least.min(value), most.max(value), index + 1);
        }
        if count == 0 {
            return Err(LabelError::Empty);
        }
        if least == most {
            return Err(LabelError::Constant {
                channel,
                count,
                value: most,
            });
        }
        let width = most / self.bins as f64;
        let mut edges: Vec<f64> = (0..self.bins).map(|edge| edge as f64 * width).collect();
        edges.push(most);
        let mut counts = vec![0_u64; self.bins];
        for label in labels {
            // Bins are half-open; the last one holds its upper edge too.
            let bin = edges.partition_point(|&edge| edge <= label);
            if let Some(place) = counts.get_mut(bin.clamp(1, self.bins) - 1) {
                *place += 1;
            }
        }
        let emp: Vec<f64> = counts.iter().map(|&n| n as f64 / count as f64).collect();
        let smooth = smoothed(&emp, self.sigma);
        LabelDistribution::new(edges, emp, smooth)
    }
}

/// Convolution with a normalised Gaussian of `2 round(3 sigma) + 1` taps; beyond its ends the table
/// goes on as it ended.
fn smoothed(table: &[f64], sigma: f64) -> Vec<f64> {
    let reach = (3.0 * sigma).round() as i64;
    let tap = |offset: i64| (-0.5 * (offset as f64 / sigma).powi(2)).exp();
    let total: f64 = (-reach..=reach).map(tap).sum();
    let last = table.len() as i64 - 1;
    let at = |index: i64| {
        table
            .get(index.clamp(0, last.max(0)) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    let around = |index: i64| {
        (-reach..=reach)
            .map(|o| tap(o) / total * at(index + o))
            .sum()
    };
    (0..=last).map(around).collect()
}

/// The weights of one channel's labels.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelWeights {
    interior: Vec<f64>,
    table: Vec<f64>,
}

impl LabelWeights {
    /// The weight of each bin.
    pub fn table(&self) -> &[f64] {
        &self.table
    }

    /// The weight of a label: of the bin numbered by how many interior edges lie strictly below it. A
    /// label equal to an edge so takes the lower bin, while the histogram counted it in the upper one;
    /// the original does this, and its weights are to be reproduced. NaN stays NaN.
    pub fn weight(&self, label: f64) -> f64 {
        if label.is_nan() {
            return label;
        }
        let bin = self.interior.partition_point(|&edge| edge < label);
        self.table.get(bin).copied().unwrap_or(f64::NAN)
    }
}

/// The weights `[N, A]` of labels `[N, A]`, one table a channel.
///
/// # Errors
/// [`LabelError::Length`] unless the labels are whole rows.
pub fn weights(tables: &[LabelWeights], labels: &[f64]) -> Result<Vec<f64>, LabelError> {
    if tables.is_empty() || !labels.len().is_multiple_of(tables.len()) {
        let expected = format!("a multiple of {} channels", tables.len());
        return Err(LabelError::Length {
            what: "labels",
            expected,
            found: labels.len(),
        });
    }
    let of_row = |(table, &label): (&LabelWeights, &f64)| table.weight(label);
    Ok(tables.iter().cycle().zip(labels).map(of_row).collect())
}
