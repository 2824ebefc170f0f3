//! Bounded reading of whole files, and atomic writing.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::FormatError;

/// Bounds that every reader of this module keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file, bytes.
    pub file_bytes: u64,
    /// Size of a JSON or npy header, bytes.
    pub header_bytes: u64,
    /// Number of arrays, archive members or dictionary entries.
    pub entries: usize,
    /// Decompressed size of one member of an archive, bytes.
    pub entry_bytes: u64,
    /// Decompressed size of all members that are read, bytes.
    pub total_bytes: u64,
    /// How many times larger than the file its decompressed or expanded content may be;
    /// applies above [`Limits::ratio_free_bytes`].
    pub ratio: u64,
    /// Content up to this size is never refused for its ratio, bytes.
    pub ratio_free_bytes: u64,
    /// Number of dimensions of an array.
    pub dimensions: usize,
    /// Size of a pickle, bytes.
    pub pickle_bytes: u64,
    /// Number of opcodes in a pickle, and of parts that its calls copy.
    pub pickle_opcodes: usize,
    /// Number of values, of stack slots and of memo slots of a pickle, each.
    pub pickle_values: usize,
    /// Nesting of containers in a pickle.
    pub pickle_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            file_bytes: 16 << 30,
            header_bytes: 16 << 20,
            entries: 100_000,
            entry_bytes: 8 << 30,
            total_bytes: 16 << 30,
            ratio: 64,
            ratio_free_bytes: 256 << 20,
            dimensions: 32,
            pickle_bytes: 128 << 20,
            pickle_opcodes: 8 << 20,
            pickle_values: 2 << 20,
            pickle_depth: 64,
        }
    }
}

impl Limits {
    /// How much content may come out of a file of `file_bytes` bytes.
    pub(super) fn content_bytes(&self, file_bytes: usize) -> u64 {
        let by_ratio = (file_bytes as u64).saturating_mul(self.ratio);
        self.total_bytes.min(by_ratio.max(self.ratio_free_bytes))
    }
}

/// Checks `found` against `limit`, with the error that names both.
pub(super) fn check_limit(
    file: &Path,
    what: impl Into<String>,
    limit: u64,
    found: u64,
) -> Result<(), FormatError> {
    if found <= limit {
        return Ok(());
    }
    Err(FormatError::Limit {
        file: file.to_path_buf(),
        what: what.into(),
        limit,
        found,
    })
}

/// An empty vector with room for `count` elements, or an error where memory is short.
pub(super) fn reserve<T>(file: &Path, what: &str, count: usize) -> Result<Vec<T>, FormatError> {
    let mut room = Vec::new();
    match room.try_reserve_exact(count) {
        Ok(()) => Ok(room),
        Err(_) => Err(FormatError::Limit {
            file: file.to_path_buf(),
            what: format!("{what}: memory, in elements"),
            limit: 0,
            found: count as u64,
        }),
    }
}

fn io_error(file: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> FormatError {
    move |source| FormatError::Io {
        file: file.to_path_buf(),
        action,
        source,
    }
}

/// Reads a regular file whole.
///
/// # Errors
/// [`FormatError::Io`], [`FormatError::Unsupported`] for a folder or a device, and
/// [`FormatError::Limit`] for a file above `limits.file_bytes`.
pub fn read_file(path: &Path, limits: &Limits) -> Result<Vec<u8>, FormatError> {
    let info = fs::metadata(path).map_err(io_error(path, "open"))?;
    if !info.is_file() {
        return Err(FormatError::Unsupported {
            file: path.to_path_buf(),
            what: "a folder or device in place of a file".to_owned(),
        });
    }
    check_limit(path, "file size in bytes", limits.file_bytes, info.len())?;
    let mut bytes = reserve(path, "file", info.len() as usize)?;
    // The file may grow while it is read; the bound holds all the same.
    File::open(path)
        .map_err(io_error(path, "open"))?
        .take(limits.file_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io_error(path, "read"))?;
    check_limit(
        path,
        "file size in bytes",
        limits.file_bytes,
        bytes.len() as u64,
    )?;
    Ok(bytes)
}

/// Writes a file so that a reader sees either the old content or all of the new: into a
/// temporary file of the same folder, flushed, then renamed over `path`.
///
/// # Errors
/// [`FormatError::Io`]; the temporary file is removed then.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), FormatError> {
    let path = path.as_ref();
    let temporary = temporary_beside(path)?;
    let written = File::create_new(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|source| {
            // Best effort: the error that matters is the one already at hand.
            let _ = fs::remove_file(&temporary);
            FormatError::Io {
                file: path.to_path_buf(),
                action: "write",
                source,
            }
        })
}

/// Whether [`write_atomic`] could write this path now: its folder takes a new file, and the path itself
/// is no folder. Leaves nothing behind.
///
/// # Errors
/// [`FormatError::Io`] as [`write_atomic`].
pub fn check_writable(path: impl AsRef<Path>) -> Result<(), FormatError> {
    let path = path.as_ref();
    if path.is_dir() {
        return Err(io_error(path, "write")(
            std::io::ErrorKind::IsADirectory.into(),
        ));
    }
    let temporary = temporary_beside(path)?;
    File::create_new(&temporary)
        .and_then(|_| fs::remove_file(&temporary))
        .map_err(io_error(path, "write"))
}

fn temporary_beside(path: &Path) -> Result<PathBuf, FormatError> {
    // Two threads may write the same path at once.
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(FormatError::Unsupported {
            file: path.to_path_buf(),
            what: "a path without a file name".to_owned(),
        });
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let serial = COUNTER.fetch_add(1, Ordering::Relaxed);
    hidden.push(format!(".{}.{serial}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}
