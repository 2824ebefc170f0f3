//! What training data say of actions, as one JSON file: knots of the action transform, label
//! distributions, and the thresholds beyond which an action is a maneuver.
//!
//! `{"action_keys": [R names], "merge": bool, "grid": [M], "knots": [A][M],
//!   "lds": {"edges": [A][bins + 1], "emp": [A][bins], "smooth": [A][bins], "model_keys": [A names]},
//!   "thresholds": [R]}`; grid and knots are null where channels are not Gaussianized; lds and thresholds
//! may be left out. Like all files it is untrusted.

use super::flow_losses::FiniteRows;
use super::label_smoothing::{LabelDistribution, LabelError, LabelSettings, LabelWeights, labels};
use super::losses::LossError;
use crate::formats::{FormatError, Limits, read_file, write_atomic};
use crate::models::flow::actions::{ActionTransform, Pedals};
use crate::models::flow::knots::{Knots, TransformError, quantile_of_sorted};
use serde::{Deserialize, Deserializer, Serialize};
use std::path::{Path, PathBuf};

/// Magnitude from which an action is active, where a channel rests more often than its quantile.
const ACTIVE: f64 = 1e-3;
/// Largest file that is read, bytes.
const MOST_BYTES: u64 = 64 << 20;

/// What is wrong with a file of statistics.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsFileError {
    /// Not readable, or not writable.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// No JSON, or without a key that it must have.
    #[error("{}: {source}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A field of another length, or with a value that it cannot have.
    #[error("{}, {field}: expected {expected}, found {found}", file.display())]
    Field {
        /// The file.
        file: PathBuf,
        /// The field.
        field: &'static str,
        /// What would fit.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Knots or keys that make no transform.
    #[error("{}: {source}", file.display())]
    Transform {
        /// The file.
        file: PathBuf,
        /// Why.
        source: TransformError,
    },
    /// Tables that make no label distribution.
    #[error("{}: {source}", file.display())]
    Labels {
        /// The file.
        file: PathBuf,
        /// Why.
        source: LabelError,
    },
}

/// Why statistics cannot be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatisticsFitError {
    /// The knots.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// The label distributions.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// Chunks that are not whole.
    #[error(transparent)]
    Chunks(#[from] LossError),
}

/// What to fit, and how finely.
#[derive(Debug, Clone, PartialEq)]
pub struct FitSettings {
    /// Names of the raw channels.
    pub action_keys: Vec<String>,
    /// Whether gas and brake are merged to one channel.
    pub merge: bool,
    /// Slots of a chunk, H.
    pub horizon: usize,
    /// Knots of each channel, M.
    pub levels: usize,
    /// Bins and smoothing of the labels.
    pub labels: LabelSettings,
    /// Share of the actions that are no maneuver.
    pub quantile: f64,
}

impl FitSettings {
    /// The original's settings: 256 knots, 64 bins smoothed by 2, the 0.9 quantile.
    pub fn new(action_keys: Vec<String>, merge: bool, horizon: usize) -> Self {
        let labels = LabelSettings::default();
        Self {
            action_keys,
            merge,
            horizon,
            levels: 256,
            labels,
            quantile: 0.9,
        }
    }
}

/// Statistics of the actions of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionStatistics {
    /// From raw actions to the space of the model.
    pub transform: ActionTransform,
    /// The label distribution of each model channel.
    pub labels: Option<Vec<LabelDistribution>>,
    /// The magnitude beyond which an action is a maneuver, of each raw channel.
    pub thresholds: Option<Vec<f64>>,
}

impl ActionStatistics {
    /// Fits to raw chunks `[N, H, R]`: knots and thresholds to every slot of every chunk. Chunks that
    /// are not finite are left out; the second value is how many.
    ///
    /// # Errors
    /// [`StatisticsFitError`] for no data, parts of chunks, a channel that never varies, and settings out
    /// of range.
    pub fn fit(raw: &[f32], settings: &FitSettings) -> Result<(Self, usize), StatisticsFitError> {
        if !(0.0..=1.0).contains(&settings.quantile) {
            let (setting, expected) = ("quantile", "0 to 1");
            let found = settings.quantile;
            return Err(TransformError::Setting {
                setting,
                expected,
                found,
            }
            .into());
        }
        let channels = settings.action_keys.len();
        let chunk = settings.horizon.saturating_mul(channels);
        if raw.is_empty() {
            return Err(TransformError::Empty {
                what: "action statistics",
            }
            .into());
        }
        if chunk == 0 || !raw.len().is_multiple_of(chunk) {
            let (what, found) = ("chunks of actions", raw.len());
            return Err(TransformError::Length {
                what,
                channels: chunk,
                found,
            }
            .into());
        }
        let rows = FiniteRows::of(raw.len() / chunk, &[("actions", raw)])?;
        let raw = rows.take(raw);
        let pedals = settings
            .merge
            .then(|| Pedals::of_keys(&settings.action_keys))
            .transpose()?;
        let keys = settings.action_keys.clone();
        let transform = ActionTransform::fit(keys, pedals, &raw, settings.levels)?;
        let model_channels = transform.model_channels();
        let labels = labels(
            &transform.to_physical(&raw)?,
            settings.horizon,
            model_channels,
        )?;
        let labels = settings.labels.fit(&labels, model_channels)?;
        let threshold = |channel| {
            let column = raw.iter().skip(channel).step_by(channels);
            threshold(
                column.map(|&value| f64::from(value).abs()).collect(),
                settings.quantile,
            )
        };
        let statistics = Self {
            transform,
            labels: Some(labels),
            thresholds: Some((0..channels).map(threshold).collect()),
        };
        Ok((statistics, rows.dropped))
    }

    /// The weights of each model channel's labels; see [`LabelDistribution::weights`].
    ///
    /// # Errors
    /// [`LabelError::Empty`] without label distributions, and as [`LabelDistribution::weights`].
    pub fn label_weights(&self, alpha: f64, cap: f64) -> Result<Vec<LabelWeights>, LabelError> {
        let distributions = self.labels.as_ref().ok_or(LabelError::Empty)?;
        distributions
            .iter()
            .map(|channel| channel.weights(alpha, cap))
            .collect()
    }

    /// Reads a file of statistics.
    ///
    /// # Errors
    /// [`StatisticsFileError`] naming the file and what in it is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, StatisticsFileError> {
        let path = path.as_ref();
        let limits = Limits {
            file_bytes: MOST_BYTES,
            ..Limits::default()
        };
        Self::parse(path, &read_file(path, &limits)?)
    }

    /// [`ActionStatistics::load`] over bytes already in memory; `file` names them in errors.
    ///
    /// # Errors
    /// As [`ActionStatistics::load`], reading aside.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, StatisticsFileError> {
        let json = |source| StatisticsFileError::Json {
            file: file.to_path_buf(),
            source,
        };
        let document: Document = serde_json::from_slice(bytes).map_err(json)?;
        document.statistics(file)
    }

    /// Writes the file, atomically.
    ///
    /// # Errors
    /// [`StatisticsFileError`] when it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), StatisticsFileError> {
        let path = path.as_ref();
        let json = |source| StatisticsFileError::Json {
            file: path.to_path_buf(),
            source,
        };
        let text = serde_json::to_string(&Document::of(self)).map_err(json)? + "\n";
        Ok(write_atomic(path, text.as_bytes())?)
    }
}

/// The quantile of magnitudes; of the active ones where that is next to nothing, if any are active.
fn threshold(mut magnitudes: Vec<f64>, level: f64) -> f64 {
    magnitudes.sort_unstable_by(f64::total_cmp);
    let all = quantile_of_sorted(&magnitudes, level);
    if all >= ACTIVE {
        return all;
    }
    let first = magnitudes.partition_point(|&magnitude| magnitude < ACTIVE);
    match magnitudes.get(first..) {
        Some(active) if !active.is_empty() => quantile_of_sorted(active, level),
        _ => all,
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Document {
    action_keys: Vec<String>,
    merge: bool,
    #[serde(deserialize_with = "present")]
    grid: Option<Vec<f64>>,
    #[serde(deserialize_with = "present")]
    knots: Option<Vec<Vec<f64>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lds: Option<LabelTables>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thresholds: Option<Vec<f64>>,
}

/// A key that may be null but not absent: a file without knots by accident would otherwise pass for one
/// without them on purpose.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

#[derive(Serialize, Deserialize)]
struct LabelTables {
    edges: Vec<Vec<f64>>,
    emp: Vec<Vec<f64>>,
    smooth: Vec<Vec<f64>>,
    model_keys: Vec<String>,
}

impl Document {
    fn of(statistics: &ActionStatistics) -> Self {
        let transform = &statistics.transform;
        let tables = |channels: &Vec<LabelDistribution>| {
            let table = |of: fn(&LabelDistribution) -> &[f64]| {
                channels
                    .iter()
                    .map(|channel| of(channel).to_vec())
                    .collect()
            };
            LabelTables {
                edges: table(LabelDistribution::edges),
                emp: table(LabelDistribution::emp),
                smooth: table(LabelDistribution::smooth),
                model_keys: transform.model_keys(),
            }
        };
        Self {
            action_keys: transform.raw_keys().to_vec(),
            merge: transform.pedals().is_some(),
            grid: transform.knots().map(|knots| knots.grid().to_vec()),
            knots: transform.knots().map(|knots| knots.channels().to_vec()),
            lds: statistics.labels.as_ref().map(tables),
            thresholds: statistics.thresholds.clone(),
        }
    }

    fn statistics(self, file: &Path) -> Result<ActionStatistics, StatisticsFileError> {
        let wrong = |source| StatisticsFileError::Transform {
            file: file.to_path_buf(),
            source,
        };
        let field = |field, expected: String, found: String| StatisticsFileError::Field {
            file: file.to_path_buf(),
            field,
            expected,
            found,
        };
        let knots = match (self.grid, self.knots) {
            (Some(grid), Some(knots)) => Some(Knots::new(grid, knots).map_err(wrong)?),
            (None, None) => None,
            _ => {
                let expected = "both or neither of grid and knots".to_string();
                return Err(field("knots", expected, "one of them".into()));
            }
        };
        let keys = self.action_keys;
        let pedals = self
            .merge
            .then(|| Pedals::of_keys(&keys))
            .transpose()
            .map_err(wrong)?;
        let transform = ActionTransform::new(keys, pedals, knots).map_err(wrong)?;
        let labels = self
            .lds
            .map(|tables| tables.distributions(file, transform.model_channels()));
        if let Some(thresholds) = &self.thresholds {
            let good = thresholds.iter().all(|t| t.is_finite() && *t >= 0.0);
            let channels = transform.raw_channels();
            if thresholds.len() != channels || !good {
                let expected = format!("{channels} finite numbers from 0");
                return Err(field("thresholds", expected, format!("{thresholds:?}")));
            }
        }
        Ok(ActionStatistics {
            transform,
            labels: labels.transpose()?,
            thresholds: self.thresholds,
        })
    }
}

impl LabelTables {
    fn distributions(
        self,
        file: &Path,
        channels: usize,
    ) -> Result<Vec<LabelDistribution>, StatisticsFileError> {
        for (field, found) in [
            ("lds.edges", self.edges.len()),
            ("lds.emp", self.emp.len()),
            ("lds.smooth", self.smooth.len()),
            ("lds.model_keys", self.model_keys.len()),
        ] {
            if found != channels {
                let (expected, found) = (format!("{channels} channels"), found.to_string());
                let file = file.to_path_buf();
                return Err(StatisticsFileError::Field {
                    file,
                    field,
                    expected,
                    found,
                });
            }
        }
        let wrong = |source| StatisticsFileError::Labels {
            file: file.to_path_buf(),
            source,
        };
        let tables = self.edges.into_iter().zip(self.emp).zip(self.smooth);
        let channel = |((edges, emp), smooth)| LabelDistribution::new(edges, emp, smooth);
        tables.map(channel).collect::<Result<_, _>>().map_err(wrong)
    }
}
