//! Why a feature cache is refused.

use std::path::PathBuf;

use super::SCHEMA;
use crate::formats::FormatError;
use crate::formats::error::shown;

/// Why a feature cache could not be read or written. One line each.
#[derive(Debug, thiserror::Error)]
pub enum FeatureCacheError {
    /// The file, or one of its arrays.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Written by another version of the layout. A cache without `time_stamp` is of schema 1.
    #[error("{}: stale feature cache: expected schema {SCHEMA}, found schema {found}; write the cache again", file.display())]
    Schema {
        /// The file concerned.
        file: PathBuf,
        /// The schema of the file.
        found: u64,
    },
    /// The description in the header is missing or broken.
    #[error("{}: header entry 'meta': expected {}, found {}", file.display(), shown(expected), shown(found))]
    Meta {
        /// The file concerned.
        file: PathBuf,
        /// What a valid description has.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// Conditions of another encoder than the caller's.
    #[error("{}: conditions of another encoder: expected '{}', found '{}'", file.display(), shown(expected), shown(found))]
    Encoder {
        /// The file concerned.
        file: PathBuf,
        /// The encoder that the caller goes with.
        expected: String,
        /// The encoder that wrote the file.
        found: String,
    },
    /// Condition tokens or action channels other than the caller's.
    #[error("{}: {what}: expected {} ({}), found {} ({})", file.display(), expected.len(), shown(&expected.join(", ")), found.len(), shown(&found.join(", ")))]
    Names {
        /// The file concerned.
        file: PathBuf,
        /// Which list: `condition_tokens` or `action_keys`.
        what: &'static str,
        /// The names that the caller goes with, in order.
        expected: Vec<String>,
        /// The names of the file.
        found: Vec<String>,
    },
}
