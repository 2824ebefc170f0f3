//! What the fuzz targets share.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A zip archive with one stored member and the right checksum.
pub fn stored_zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file(name, options).expect("a new member");
    writer.write_all(content).expect("memory to write to");
    writer.finish().expect("an archive").into_inner()
}
