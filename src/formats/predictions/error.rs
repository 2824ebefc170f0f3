//! What can be wrong with a prediction table.

use crate::formats::FormatError;
use std::path::PathBuf;

/// Why a prediction table could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum PredictionError {
    /// The file itself, or an array of an npz file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A column has another number of entries than the table needs.
    #[error("prediction table: column '{column}': expected {expected} values, found {found}")]
    Length {
        /// Name of the column.
        column: String,
        /// Rows, or rows times horizon for lists.
        expected: usize,
        /// Entries at hand.
        found: usize,
    },
    /// No rows, no channels, or a horizon of zero.
    #[error("prediction table: expected at least one {what}, found none")]
    Empty {
        /// What there is none of: row, channel or slot.
        what: &'static str,
    },
    /// Two channels of one key.
    #[error("prediction table: channel '{key}': expected once, found twice")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// A channel key or recording name that not every container can hold.
    #[error("prediction table: {what} {text:?}: expected {expected}")]
    Text {
        /// What the text names.
        what: &'static str,
        /// The text.
        text: String,
        /// What is allowed there.
        expected: &'static str,
    },
    /// A column that every table has is not there.
    #[error("{}: column '{column}': expected in the {place}, found none of that name", file.display())]
    Missing {
        /// The file concerned.
        file: PathBuf,
        /// Name of the column.
        column: String,
        /// The part of the file: a line of JSON Lines, or the whole table.
        place: String,
    },
    /// A part of the file is not what a table has there.
    #[error("{}: {place}: expected {expected}, found {found}", file.display())]
    Invalid {
        /// The file concerned.
        file: PathBuf,
        /// The part of the file.
        place: String,
        /// What a table has there.
        expected: String,
        /// What the file has there.
        found: String,
    },
    /// None of the containers of a table.
    #[error("{}: expected a prediction table (npz, JSON Lines or Parquet), found another kind of file", file.display())]
    UnknownKind {
        /// The file concerned.
        file: PathBuf,
    },
    /// A file name that does not say which container to write.
    #[error("{}: expected a name that ends in .npz, .jsonl or .parquet, found another", file.display())]
    Extension {
        /// The file concerned.
        file: PathBuf,
    },
    /// This build has no Parquet.
    #[error("{}: Parquet is not in this build; build with `--features parquet`, or use .npz or .jsonl", file.display())]
    NoParquet {
        /// The file concerned.
        file: PathBuf,
    },
}
