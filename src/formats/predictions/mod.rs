//! Prediction tables: what a policy answered, one row a frame, beside the truth.
//!
//! Columns: `frame_idx` (i32), `time_stamp` (i64), `input_id` (text) and, for every channel key,
//! `policy/{ground_truth,prediction_value,score_l1}/value/continuous/<key>`, lists of as many f32
//! as the horizon. Further columns are left unread.
//!
//! Three containers: npz (lists as `[rows, horizon]`), JSON Lines (one object a row; NaN is `null`,
//! infinities are `"Infinity"` and `"-Infinity"`) and, with the feature `parquet`, Apache Parquet.

mod error;
mod lines;
mod npz;
#[cfg(feature = "parquet")]
mod parquet;
mod table;

pub use error::PredictionError;
pub use table::{ChannelPredictions, Frames, PredictionTable};

use super::{Limits, read_file, write_atomic};
use std::path::Path;

/// Name of the column of frame numbers.
const FRAME_IDX: &str = "frame_idx";
/// Name of the column of time stamps.
const TIME_STAMP: &str = "time_stamp";
/// Name of the column of recordings.
const INPUT_ID: &str = "input_id";

/// The three list columns of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Truth,
    Prediction,
    Score,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Truth, Kind::Prediction, Kind::Score];

    fn prefix(self) -> &'static str {
        match self {
            Kind::Truth => "policy/ground_truth/value/continuous/",
            Kind::Prediction => "policy/prediction_value/value/continuous/",
            Kind::Score => "policy/score_l1/value/continuous/",
        }
    }

    /// Name of this column for a channel key.
    fn column(self, key: &str) -> String {
        format!("{}{key}", self.prefix())
    }
}

/// The channel keys that any list column of `names` belongs to, in order of first appearance.
fn keys_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut keys = Vec::new();
    for name in names {
        let key = Kind::ALL
            .iter()
            .find_map(|kind| name.strip_prefix(kind.prefix()));
        if let Some(key) = key.filter(|key| !keys.contains(key)) {
            keys.push(key);
        }
    }
    keys
}

/// The containers of a prediction table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// A zip archive of npy arrays (`.npz`).
    Npz,
    /// One JSON object a line (`.jsonl`).
    JsonLines,
    /// Apache Parquet (`.parquet`); needs the feature `parquet`.
    Parquet,
}

impl TableKind {
    /// The kind that a file name asks for by its extension: `npz`, `jsonl` or `ndjson`, `parquet`.
    ///
    /// # Errors
    /// [`PredictionError::Extension`] for any other.
    pub fn of_path(path: &Path) -> Result<Self, PredictionError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match extension.to_ascii_lowercase().as_str() {
            "npz" => Ok(Self::Npz),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "parquet" => Ok(Self::Parquet),
            _ => Err(PredictionError::Extension {
                file: path.to_path_buf(),
            }),
        }
    }

    /// [`TableKind::of_path`], where this build can write that kind: asked before the work.
    ///
    /// # Errors
    /// [`PredictionError::Extension`], [`PredictionError::NoParquet`].
    pub fn to_write(path: &Path) -> Result<Self, PredictionError> {
        let kind = Self::of_path(path)?;
        if kind == Self::Parquet && !cfg!(feature = "parquet") {
            return Err(PredictionError::NoParquet {
                file: path.to_path_buf(),
            });
        }
        Ok(kind)
    }

    /// The kind of a file from its first bytes.
    ///
    /// # Errors
    /// [`PredictionError::UnknownKind`].
    pub fn of_bytes(file: &Path, bytes: &[u8]) -> Result<Self, PredictionError> {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if bytes.starts_with(b"PK") {
            Ok(Self::Npz)
        } else if bytes.starts_with(b"PAR1") {
            Ok(Self::Parquet)
        } else if first == Some(&b'{') {
            Ok(Self::JsonLines)
        } else {
            Err(PredictionError::UnknownKind {
                file: file.to_path_buf(),
            })
        }
    }
}

impl PredictionTable {
    /// Loads a table of any kind; the kind is read off the first bytes.
    ///
    /// # Errors
    /// [`PredictionError`]: not readable, of no known kind, a column missing or not as described in
    /// [the module](self).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, PredictionError> {
        let limits = Limits::default();
        let path = path.as_ref();
        Self::parse(path, &read_file(path, &limits)?, &limits)
    }

    /// [`PredictionTable::load`] over bytes already in memory; `file` names them in errors.
    ///
    /// # Errors
    /// As [`PredictionTable::load`], reading aside.
    pub fn parse(file: &Path, bytes: &[u8], limits: &Limits) -> Result<Self, PredictionError> {
        match TableKind::of_bytes(file, bytes)? {
            TableKind::Npz => npz::parse(file, bytes, limits),
            TableKind::JsonLines => lines::parse(file, bytes),
            #[cfg(feature = "parquet")]
            TableKind::Parquet => parquet::parse(file, bytes, limits),
            #[cfg(not(feature = "parquet"))]
            TableKind::Parquet => Err(PredictionError::NoParquet {
                file: file.to_path_buf(),
            }),
        }
    }

    /// Writes the table atomically, in the kind that the extension of `path` names.
    ///
    /// # Errors
    /// As [`PredictionTable::to_bytes`], [`PredictionError::Extension`], and the file cannot be
    /// written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PredictionError> {
        let path = path.as_ref();
        let bytes = self.to_bytes(path, TableKind::of_path(path)?)?;
        Ok(write_atomic(path, &bytes)?)
    }

    /// The table as a file of this kind; the same table always gives the same bytes. `file` is
    /// used in errors.
    ///
    /// # Errors
    /// [`PredictionError::NoParquet`] without the feature, and failures of the encoders.
    pub fn to_bytes(&self, file: &Path, kind: TableKind) -> Result<Vec<u8>, PredictionError> {
        match kind {
            TableKind::Npz => npz::to_bytes(file, self),
            TableKind::JsonLines => lines::to_bytes(file, self),
            #[cfg(feature = "parquet")]
            TableKind::Parquet => parquet::to_bytes(file, self),
            #[cfg(not(feature = "parquet"))]
            TableKind::Parquet => Err(PredictionError::NoParquet {
                file: file.to_path_buf(),
            }),
        }
    }
}
