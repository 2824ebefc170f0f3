//! What can be wrong with a file, and with an array in it.

use std::path::PathBuf;

use super::DType;

/// Why a file could not be read or written. One line each; every one names the file.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", file.display())]
    Io {
        /// The file concerned.
        file: PathBuf,
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The reason given.
        source: std::io::Error,
    },
    /// None of the kinds that can be loaded.
    #[error("{}: not a safetensors, npz or PyTorch zip checkpoint: found {found}", file.display())]
    UnknownKind {
        /// The file concerned.
        file: PathBuf,
        /// What the first bytes look like.
        found: String,
    },
    /// Larger than this program is willing to read.
    #[error("{}: {}: expected at most {limit}, found {found}", file.display(), shown(what))]
    Limit {
        /// The file concerned.
        file: PathBuf,
        /// The quantity, with its unit.
        what: String,
        /// The bound.
        limit: u64,
        /// What the file holds or claims.
        found: u64,
    },
    /// The container itself is broken.
    #[error("{}: {}: expected {}, found {}", file.display(), shown(place), shown(expected), shown(found))]
    Corrupt {
        /// The file concerned.
        file: PathBuf,
        /// The part of the file.
        place: String,
        /// What a valid file holds there.
        expected: String,
        /// What this file holds there.
        found: String,
    },
    /// One array is broken or not as required.
    #[error("{}: array '{}': {source}", file.display(), shown(array))]
    Array {
        /// The file concerned.
        file: PathBuf,
        /// The name of the array.
        array: String,
        /// What is wrong with it.
        source: ArrayError,
    },
    /// No array of that name.
    #[error("{}: array '{}': expected in the file, found none of that name{}", file.display(), shown(array), near_names(near, *count))]
    Missing {
        /// The file concerned.
        file: PathBuf,
        /// The name asked for.
        array: String,
        /// The names of the file that are most like it, best first.
        near: Vec<String>,
        /// How many arrays the file has.
        count: usize,
    },
    /// A pickle asks for a call to something that is not plain data.
    #[error("{}: {place}: refuses to call `{}`: expected tensors and plain data only", file.display(), shown(callable))]
    RefusedCall {
        /// The file concerned.
        file: PathBuf,
        /// The member of the archive and the byte in it.
        place: String,
        /// Module and name of the callable.
        callable: String,
    },
    /// Valid, but of a kind that this program does not read.
    #[error("{}: {} is not supported", file.display(), shown(what))]
    Unsupported {
        /// The file concerned.
        file: PathBuf,
        /// The feature met.
        what: String,
    },
}

/// What is wrong with one array, apart from where it came from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// The product of the dimensions does not fit.
    #[error("expected a shape whose size in bytes fits in memory, found {shape:?}")]
    TooLarge {
        /// The shape claimed.
        shape: Vec<usize>,
    },
    /// Shape and data disagree.
    #[error("expected {expected} elements for shape {shape:?}, found {found}")]
    Count {
        /// The shape claimed.
        shape: Vec<usize>,
        /// The product of its dimensions.
        expected: usize,
        /// The number of elements at hand.
        found: usize,
    },
    /// Another shape than required.
    #[error("expected shape {expected:?}, found {found:?}")]
    Shape {
        /// The shape required.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// Another element type than required.
    #[error("expected {expected}, found {found}")]
    Kind {
        /// The type or family of types required.
        expected: &'static str,
        /// The type in the file.
        found: DType,
    },
    /// An element outside the range of the type it is converted to.
    #[error("expected values in the range of {target}, found {value} at index {index}")]
    Range {
        /// Flat index of the first such element, C order.
        index: usize,
        /// Its value.
        value: String,
        /// The type converted to.
        target: DType,
    },
    /// Anything else, in words.
    #[error("expected {}, found {}", shown(expected), shown(found))]
    Invalid {
        /// What a valid array has.
        expected: String,
        /// What this one has.
        found: String,
    },
}

fn near_names(near: &[String], count: usize) -> String {
    if near.is_empty() {
        return format!(" ({count} arrays in all)");
    }
    let quoted: Vec<String> = near
        .iter()
        .map(|name| format!("'{}'", shown(name)))
        .collect();
    format!(" (of {count} the nearest: {})", quoted.join(", "))
}

/// Text from a file, fit for one line of a terminal: no control characters, bounded length.
pub(super) fn shown(text: &str) -> String {
    const LENGTH: usize = 400;
    let mut line: String = text
        .chars()
        .take(LENGTH)
        .flat_map(|c| {
            let control = c.is_control();
            let escaped = control.then(|| c.escape_default()).into_iter().flatten();
            escaped.chain((!control).then_some(c))
        })
        .collect();
    if text.chars().nth(LENGTH).is_some() {
        line.push_str("...");
    }
    line
}
