//! Files in and out: safetensors, npz and PyTorch zip checkpoints.
//!
//! All input is untrusted. Every reader checks sizes before it allocates, keeps to the
//! bounds of a [`Limits`], executes nothing, and reports what it found with the name of the
//! file and of the array concerned.
//!
//! [`load_arrays`] takes any of the three kinds; the kind is read off the first bytes, never
//! off the file's extension.

mod archive;
mod array;
mod convert;
mod error;
pub mod feature_cache;
mod io;
mod map;
mod npy;
pub mod npz;
pub mod pickle;
pub mod predictions;
pub mod safetensors;
pub mod torch;
pub mod yaml;

pub use array::{Array, ArrayData, DType};
pub use error::{ArrayError, FormatError};
pub use io::{Limits, check_writable, read_file, write_atomic};
pub use map::ArrayMap;

use std::path::Path;

/// The kinds of file that [`load_arrays`] tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// An 8-byte header length, a JSON header, raw tensors.
    Safetensors,
    /// A zip archive of `.npy` members.
    Npz,
    /// A zip archive with a `data.pkl` member, as `torch.save` writes since PyTorch 1.6.
    Torch,
}

/// First bytes of a local file header of a zip archive.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// `torch.save` before 1.6 starts with this integer, pickled on its own (protocol 2).
const LEGACY_TORCH_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Tells the kind of a file from its bytes; `file` is used in the error only.
///
/// # Errors
/// [`FormatError::UnknownKind`] when the bytes are none of the three kinds, and any error of
/// listing the members of a zip archive.
pub fn sniff(file: &Path, bytes: &[u8]) -> Result<FileKind, FormatError> {
    if bytes.starts_with(ZIP_MAGIC) {
        return archive::kind_of_zip(file, bytes, &Limits::default());
    }
    if bytes.get(8) == Some(&b'{') {
        return Ok(FileKind::Safetensors);
    }
    let found = if bytes.starts_with(LEGACY_TORCH_MAGIC) {
        "a legacy PyTorch checkpoint (older than PyTorch 1.6); save it again with a newer PyTorch"
            .to_owned()
    } else if bytes.first() == Some(&0x80) && matches!(bytes.get(1), Some(2..=5)) {
        "a bare pickle".to_owned()
    } else if bytes.starts_with(npy::MAGIC) {
        "a single .npy array; put it in an .npz".to_owned()
    } else if bytes.is_empty() {
        "an empty file".to_owned()
    } else {
        let head: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("a file that starts with bytes {}", head.join(" "))
    };
    Err(FormatError::UnknownKind {
        file: file.to_path_buf(),
        found,
    })
}

/// Loads all arrays of a safetensors file, an npz file, or the state dictionary of a PyTorch
/// zip checkpoint (chosen by [`torch::StateDict::default`]).
///
/// # Errors
/// [`FormatError`]: not readable, over a limit, none of the three kinds, or corrupt.
pub fn load_arrays(path: impl AsRef<Path>) -> Result<ArrayMap, FormatError> {
    let path = path.as_ref();
    let limits = Limits::default();
    parse_arrays(path, &read_file(path, &limits)?, &limits)
}

/// Loads one `.npy` array, named after its file.
///
/// # Errors
/// [`FormatError`]: not readable, over a limit, or no such file.
pub fn load_npy(path: impl AsRef<Path>) -> Result<Array, FormatError> {
    let path = path.as_ref();
    let limits = Limits::default();
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut strings_left = npy::MAX_STRINGS;
    let bytes = read_file(path, &limits)?;
    npy::parse(path, &name, &bytes, &limits, &mut strings_left)
}

/// [`load_arrays`] over bytes already in memory; `file` names them in errors.
///
/// # Errors
/// As [`load_arrays`], reading aside.
pub fn parse_arrays(file: &Path, bytes: &[u8], limits: &Limits) -> Result<ArrayMap, FormatError> {
    match sniff(file, bytes)? {
        FileKind::Safetensors => safetensors::parse(file, bytes, limits),
        FileKind::Npz => npz::parse(file, bytes, limits),
        FileKind::Torch => {
            torch::Checkpoint::parse(file, bytes, limits)?.state_dict(&torch::StateDict::default())
        }
    }
}
