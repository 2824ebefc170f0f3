//! npz in and out: a zip archive of npy arrays, as `numpy.savez` writes.
//!
//! Numbers (integers, f16, f32, f64, either byte order), bool and fixed-width text are read,
//! Fortran order becomes C order; arrays of pickled Python objects are refused.

use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::archive::Archive;
use super::io::{read_file, write_atomic};
use super::{ArrayMap, FormatError, Limits, npy};

/// Loads an npz file.
///
/// # Errors
/// As [`parse`], and [`FormatError::Io`].
pub fn load(path: impl AsRef<Path>) -> Result<ArrayMap, FormatError> {
    let limits = Limits::default();
    let path = path.as_ref();
    parse(path, &read_file(path, &limits)?, &limits)
}

/// The arrays of an npz file in the order of its directory; `file` names it in errors.
///
/// # Errors
/// [`FormatError`] for a broken archive, a member over `limits` or that is no npy array, and
/// any array whose header and data disagree.
pub fn parse(file: &Path, bytes: &[u8], limits: &Limits) -> Result<ArrayMap, FormatError> {
    let mut archive = Archive::open(file, bytes, limits)?;
    let mut map = ArrayMap::new(file);
    let mut strings_left = npy::MAX_STRINGS;
    for member in archive.names().to_vec() {
        let Some(name) = member.strip_suffix(".npy") else {
            return Err(FormatError::Corrupt {
                file: file.to_path_buf(),
                place: format!("zip member '{member}'"),
                expected: "a name that ends in .npy".to_owned(),
                found: "another".to_owned(),
            });
        };
        let content = archive.read(&member, limits.entry_bytes)?;
        let array = npy::parse(file, name, &content, limits, &mut strings_left)?;
        map.insert(name, array)?;
    }
    Ok(map)
}

/// Writes an npz file, deflated, atomically.
///
/// # Errors
/// As [`to_bytes`], and [`FormatError::Io`].
pub fn save(path: impl AsRef<Path>, map: &ArrayMap) -> Result<(), FormatError> {
    write_atomic(path, &to_bytes(map)?)
}

/// An npz file that numpy reads, deflated; the same map always gives the same bytes.
/// Metadata is not kept: the format has no place for it.
///
/// # Errors
/// [`FormatError::Array`] for bf16, which numpy does not have.
pub fn to_bytes(map: &ArrayMap) -> Result<Vec<u8>, FormatError> {
    let file = map.file();
    let fail = |source: std::io::Error| FormatError::Io {
        file: file.to_path_buf(),
        action: "write the zip archive",
        source,
    };
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in map.iter() {
        let content = npy::to_bytes(file, name, array)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(content.len() as u64 >= u64::from(u32::MAX));
        writer
            .start_file(format!("{name}.npy"), options)
            .map_err(|error| fail(error.into()))?;
        writer.write_all(&content).map_err(fail)?;
    }
    let cursor = writer.finish().map_err(|error| fail(error.into()))?;
    Ok(cursor.into_inner())
}
