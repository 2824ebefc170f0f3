//! Bounded reading of zip archives: what npz files and PyTorch checkpoints are.

use std::io::{Cursor, Read};
use std::path::Path;

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::io::{check_limit, reserve};
use super::{FileKind, FormatError, Limits};

/// Deflate cannot do better than 258 bytes for 2 bits.
const DEFLATE_MAX_RATIO: u64 = 1_032;

/// An open archive, with a budget of bytes that may still be decompressed.
pub(super) struct Archive<'a> {
    file: &'a Path,
    zip: ZipArchive<Cursor<&'a [u8]>>,
    names: Vec<String>,
    limits: Limits,
    budget: u64,
}

impl<'a> Archive<'a> {
    /// Reads the directory of the archive, and none of its members.
    pub(super) fn open(
        file: &'a Path,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Archive<'a>, FormatError> {
        check_limit(
            file,
            "file size in bytes",
            limits.file_bytes,
            bytes.len() as u64,
        )?;
        check_claimed_entries(file, bytes, limits)?;
        // Nothing lies before these archives. Left to guess, the crate takes the second entry of a directory for the
        // first where that has 76 bytes, as PyTorch writes it for names of 21 letters.
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let zip = ZipArchive::with_config(config, Cursor::new(bytes)).map_err(|error| {
            corrupt(
                file,
                "zip directory",
                "a whole zip archive",
                error.to_string(),
            )
        })?;
        check_limit(file, "zip members", limits.entries as u64, zip.len() as u64)?;
        if zip.has_duplicate_names() {
            return Err(corrupt(
                file,
                "zip directory",
                "members of different names",
                "two of the same name".to_owned(),
            ));
        }
        let names = zip
            .file_names()
            .map(|name| name.map(|name| name.into_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| corrupt(file, "zip directory", "readable names", error.to_string()))?;
        Ok(Archive {
            file,
            zip,
            names,
            limits: *limits,
            budget: limits.content_bytes(bytes.len()),
        })
    }

    /// The members, in the order of the directory.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// True when there is a member of that name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    /// Decompresses one member of at most `limit` bytes, and checks its checksum.
    pub(super) fn read(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, FormatError> {
        let file = self.file;
        let place = format!("zip member '{name}'");
        let broken = |found: String| corrupt(file, &place, "a readable member", found);
        let member = self
            .zip
            .by_name(name)
            .map_err(|error| broken(error.to_string()))?;
        if member.encrypted() {
            return Err(broken("an encrypted one".to_owned()));
        }
        let size = member.size();
        let possible = match member.compression() {
            CompressionMethod::Stored => member.compressed_size(),
            CompressionMethod::Deflated => {
                member.compressed_size().saturating_mul(DEFLATE_MAX_RATIO)
            }
            other => return Err(broken(format!("compression method {other:?}"))),
        };
        check_limit(
            file,
            format!("{place}: size in bytes"),
            limit.min(self.limits.entry_bytes),
            size,
        )?;
        check_limit(
            file,
            format!("{place}: bytes decompressed from this file so far"),
            self.budget,
            size,
        )?;
        check_limit(
            file,
            format!(
                "{place}: size for its {} compressed bytes",
                member.compressed_size()
            ),
            possible,
            size,
        )?;
        self.budget -= size;
        let mut content = reserve(file, &place, size as usize)?;
        // One byte more than declared, to notice a member that goes on.
        member
            .take(size + 1)
            .read_to_end(&mut content)
            .map_err(|error| broken(error.to_string()))?;
        if content.len() as u64 != size {
            return Err(corrupt(
                file,
                &place,
                &format!("{size} bytes as declared"),
                format!("{} bytes or more", content.len()),
            ));
        }
        Ok(content)
    }
}

fn corrupt(file: &Path, place: &str, expected: &str, found: String) -> FormatError {
    FormatError::Corrupt {
        file: file.to_path_buf(),
        place: place.to_owned(),
        expected: expected.to_owned(),
        found,
    }
}

/// Refuses a zip64 end record that claims too many members. The zip crate allocates for the
/// number claimed, so the claim is looked at first: in every place where such a record could
/// be, as a broken one makes the crate try others.
fn check_claimed_entries(file: &Path, bytes: &[u8], limits: &Limits) -> Result<(), FormatError> {
    const SIGNATURE: &[u8] = b"PK\x06\x06";
    /// Record size, versions, disk numbers, two member counts, directory size and offset.
    const RECORD: usize = 56;
    let number = |record: &[u8], at: usize| {
        record
            .get(at..)
            .and_then(|rest| rest.first_chunk::<8>())
            .map_or(0, |raw| u64::from_le_bytes(*raw))
    };
    let length = bytes.len() as u64;
    for record in bytes.windows(RECORD) {
        // Tensor data may hold the signature by chance, but then hardly a size that fits.
        if record.starts_with(SIGNATURE) && number(record, 4) <= length {
            let claimed = number(record, 32);
            check_limit(
                file,
                "zip members claimed by the zip64 end record",
                limits.entries as u64,
                claimed,
            )?;
        }
    }
    Ok(())
}

/// Tells a PyTorch checkpoint from an npz file by the names of its members.
pub(super) fn kind_of_zip(
    file: &Path,
    bytes: &[u8],
    limits: &Limits,
) -> Result<FileKind, FormatError> {
    let archive = Archive::open(file, bytes, limits)?;
    let names = archive.names();
    if names
        .iter()
        .any(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
    {
        return Ok(FileKind::Torch);
    }
    if names.iter().any(|name| name.ends_with(".npy")) {
        return Ok(FileKind::Npz);
    }
    Err(FormatError::UnknownKind {
        file: file.to_path_buf(),
        found: format!(
            "a zip archive of {} members, none of them data.pkl or an .npy",
            names.len()
        ),
    })
}
