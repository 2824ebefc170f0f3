//! Files of no known kind, and safetensors and npz files that lie.

use std::path::Path;

use attractor::formats::{FormatError, Limits, load_arrays, npz, parse_arrays, safetensors};
use zip::CompressionMethod;

use crate::support::{f32_bytes, npy_of, safetensors_of, scratch, zip_of};

const FILE: &str = "hostile.bin";

/// The error of loading `bytes`, which must be one line that names the file and has `parts`.
fn refused(bytes: &[u8], parts: &[&str]) {
    let error = parse_arrays(Path::new(FILE), bytes, &Limits::default())
        .expect_err(&format!("must be refused: {parts:?}"));
    check(&error, parts);
}

fn check(error: &FormatError, parts: &[&str]) {
    let text = error.to_string();
    assert!(text.starts_with(&format!("{FILE}: ")), "{text}");
    assert!(!text.contains('\n'), "{text}");
    for part in parts {
        assert!(text.contains(part), "expected '{part}' in: {text}");
    }
}

#[test]
fn other_kinds_of_file() {
    let not = "not a safetensors, npz or PyTorch zip checkpoint";
    refused(b"", &[not, "an empty file"]);
    refused(b"hello, this is text", &[not, "68 65 6c 6c 6f"]);
    refused(b"\x80\x02}q\x00.", &[not, "a bare pickle"]);
    refused(
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.",
        &[not, "a legacy PyTorch checkpoint", "save it again"],
    );
    refused(
        &npy_of(
            "{'descr': '<f4', 'fortran_order': False, 'shape': ()}",
            &[0; 4],
        ),
        &[not, "a single .npy array"],
    );
    refused(
        &zip_of(&[("readme.txt", b"hi")], CompressionMethod::Stored),
        &[not, "a zip archive of 1 members"],
    );
}

#[test]
fn paths_that_are_no_files() {
    let folder = scratch("paths");
    let error = load_arrays(&folder).expect_err("a folder").to_string();
    assert!(error.contains("a folder or device"), "{error}");
    let error = load_arrays(folder.join("absent.npz"))
        .expect_err("absent")
        .to_string();
    assert!(error.contains("absent.npz: cannot open"), "{error}");
    let path = folder.join("large.bin");
    std::fs::write(&path, [0; 100]).expect("write");
    let limits = Limits {
        file_bytes: 99,
        ..Limits::default()
    };
    let error = attractor::formats::read_file(&path, &limits)
        .expect_err("large")
        .to_string();
    assert!(error.contains("expected at most 99, found 100"), "{error}");
}

#[test]
fn safetensors_headers_that_lie() {
    let one = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let good = safetensors_of(one, &f32_bytes(&[1.0, 2.0]));
    assert!(parse_arrays(Path::new(FILE), &good, &Limits::default()).is_ok());

    refused(
        &good[..good.len() - 1],
        &["array 'w'", "up to byte 8", "7 bytes"],
    );
    refused(
        &good[..20],
        &["safetensors header", "54 bytes as declared", "12 bytes"],
    );
    let longer = [good.as_slice(), b"more"].concat();
    refused(
        &longer,
        &["tensor data", "expected 8 bytes", "found 12 bytes"],
    );
    let mut long_header = good.clone();
    long_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(
        &long_header,
        &["header size", "at most 16777216", "18446744073709551615"],
    );
    refused(&safetensors_of("{\"w\":", &[]), &["array 'w'", "EOF"]);
    refused(
        &safetensors_of("{} x", &[]),
        &["safetensors header", "trailing"],
    );
    refused(
        &safetensors_of(
            r#"{"w":{"dtype":"F31","shape":[],"data_offsets":[0,4]}}"#,
            &[0; 4],
        ),
        &["array 'w'", "F31"],
    );
    refused(
        &safetensors_of(
            r#"{"w":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[0,4]}}"#,
            &[0; 4],
        ),
        &["array 'w'", "found F8_E5M2"],
    );
    refused(
        &safetensors_of(
            r#"{"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#,
            &[1, 2],
        ),
        &["array 'w'", "0 or 1", "index 1"],
    );
}

#[test]
fn safetensors_shapes_and_offsets_that_lie() {
    let entry = |shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    refused(
        &safetensors_of(&entry("[3]", "[0,8]"), &[0; 8]),
        &[
            "array 'w'",
            "expected 12 bytes for F32 [3]",
            "data_offsets 0 to 8",
        ],
    );
    refused(
        &safetensors_of(&entry("[4294967296,4294967296]", "[0,8]"), &[0; 8]),
        &["array 'w'", "fits in memory", "[4294967296, 4294967296]"],
    );
    refused(
        &safetensors_of(&entry("[1]", "[4,8]"), &[0; 8]),
        &["array 'w'", "from byte 0", "from byte 4"],
    );
    refused(
        &safetensors_of(&entry("[1]", "[4,0]"), &[0; 8]),
        &["array 'w'"],
    );
    refused(
        &safetensors_of(&entry("[-1]", "[0,4]"), &[0; 4]),
        &["array 'w'", "-1"],
    );
    let deep = format!("[{}1]", "1,".repeat(32));
    refused(
        &safetensors_of(&entry(&deep, "[0,4]"), &[0; 4]),
        &["array 'w'", "at most 32 dimensions", "found 33"],
    );
    // Sound among themselves, and close enough to 2^64 for careless sums to wrap.
    let wrapping = r#"{"a":{"dtype":"U8","shape":[1152921504606846975],"data_offsets":[0,1152921504606846975]},"b":{"dtype":"U64","shape":[1152921504606846975],"data_offsets":[1152921504606846975,10376293541461622775]}}"#;
    refused(
        &safetensors_of(wrapping, &[0; 8]),
        &["array 'a'", "a file with 8 bytes"],
    );
    let pair = |second: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{second}}}}}"#
        )
    };
    refused(
        &safetensors_of(&pair("[2,6]"), &[0; 6]),
        &["array 'b'", "from byte 4", "found data from byte 2"],
    );
    refused(
        &safetensors_of(&pair("[5,9]"), &[0; 9]),
        &["array 'b'", "from byte 4", "found data from byte 5"],
    );
    refused(
        &safetensors_of(&pair("[4,8]").replace("\"b\"", "\"a\""), &[0; 8]),
        &["array 'a'", "a second entry of that name"],
    );
}

#[test]
fn safetensors_with_too_many_entries() {
    let entries: Vec<String> = (0..11)
        .map(|i| format!(r#""t{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    let bytes = safetensors_of(&format!("{{{}}}", entries.join(",")), &[]);
    let limits = Limits {
        entries: 10,
        ..Limits::default()
    };
    let error = safetensors::parse(Path::new(FILE), &bytes, &limits).expect_err("11 entries");
    check(&error, &["array 't10'", "more than 10 entries"]);
}

/// An npz of one array `x`.
fn npz_of(npy: &[u8]) -> Vec<u8> {
    zip_of(&[("x.npy", npy)], CompressionMethod::Deflated)
}

#[test]
fn npy_members_that_lie() {
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
    };
    let good = npy_of(&header("<f4", "(2,)"), &[0; 8]);
    assert!(parse_arrays(Path::new(FILE), &npz_of(&good), &Limits::default()).is_ok());
    let cases: [(Vec<u8>, &[&str]); 13] = [
        (
            npy_of(&header("<f4", "(3,)"), &[0; 8]),
            &["12 bytes for '<f4' [3]", "found 8 bytes"],
        ),
        (
            npy_of(&header("<f4", "(1,)"), &[0; 8]),
            &["4 bytes for '<f4' [1]", "found 8 bytes"],
        ),
        (
            good[..good.len() - 1].to_vec(),
            &["8 bytes for '<f4' [2]", "found 7 bytes"],
        ),
        (good[..40].to_vec(), &["an npy header of", "found 30"]),
        (good[..7].to_vec(), &["a whole npy header", "found 7 bytes"]),
        (b"hello".to_vec(), &["npy data"]),
        (
            npy_of(&header("|O", "(2,)"), &[0; 8]),
            &["pickled Python objects"],
        ),
        (npy_of(&header("<c8", "(1,)"), &[0; 8]), &["found '<c8'"]),
        (
            npy_of(&header("<f8", "(4294967296, 4294967296)"), &[]),
            &["fits in memory", "[4294967296, 4294967296]"],
        ),
        (
            npy_of(
                "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
                &[0; 8],
            ),
            &["no structured types"],
        ),
        (
            npy_of(&"(".repeat(60_000), &[]),
            &["expected '{' in the npy header"],
        ),
        (
            npy_of(&header("<U0", "(1000000000000,)"), &[]),
            &["text of width 1 or more"],
        ),
        (
            npy_of(&header("<U1", "(1,)"), &[0, 0, 0x11, 0]),
            &["code point 0x110000"],
        ),
    ];
    for (npy, parts) in &cases {
        let all: Vec<&str> = [&["array 'x'", "expected", "found"], *parts].concat();
        refused(&npz_of(npy), &all);
    }
    let mut version = good;
    version[6] = 9;
    refused(&npz_of(&version), &["array 'x'", "npy version", "9.0"]);
}

#[test]
fn zip_archives_that_lie() {
    let npy = npy_of(
        "{'descr': '|u1', 'fortran_order': False, 'shape': (64,)}",
        &[7; 64],
    );
    let stored = zip_of(&[("x.npy", &npy)], CompressionMethod::Stored);
    refused(&stored[..stored.len() - 10], &["zip directory"]);
    let mut flipped = stored.clone();
    let at = stored.windows(8).position(|w| w == [7; 8]).expect("data");
    flipped[at] = 8;
    refused(&flipped, &["zip member 'x.npy'", "hecksum"]);
    refused(
        &zip_of(
            &[("x.npy", &npy), ("notes.txt", b"hi")],
            CompressionMethod::Stored,
        ),
        &["zip member 'notes.txt'", "a name that ends in .npy"],
    );
    // A zip64 end record that claims 2^32 members.
    let mut record = b"PK\x06\x06".to_vec();
    record.extend(44_u64.to_le_bytes());
    record.extend([0; 12]);
    record.extend((1_u64 << 32).to_le_bytes());
    record.extend((1_u64 << 32).to_le_bytes());
    record.extend([0; 16]);
    let mut claiming = stored;
    claiming.splice(0..0, [b"PK\x03\x04", record.as_slice()].concat());
    refused(
        &claiming,
        &["zip64 end record", "at most 100000", "found 4294967296"],
    );
}

#[test]
fn zip_bombs() {
    // Deflated zeros, a thousandth of their size.
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (300000000,)}";
    let bomb = npz_of(&npy_of(header, &vec![0; 300_000_000]));
    assert!(bomb.len() < 1_000_000);
    refused(
        &bomb,
        &[
            "zip member 'x.npy'",
            "decompressed from this file",
            "at most 268435456",
        ],
    );
    let limits = Limits {
        entry_bytes: 1_000,
        ..Limits::default()
    };
    let error = npz::parse(Path::new(FILE), &bomb, &limits).expect_err("over the limit");
    check(
        &error,
        &["zip member 'x.npy'", "at most 1000", "found 3000000"],
    );
    // The same, claiming to be small in the directory (its 32-bit size field).
    let mut lying = bomb;
    let real = (300_000_000_u32 + 10 + header.len() as u32).to_le_bytes();
    let places: Vec<usize> = (0..lying.len() - 4)
        .filter(|at| lying[*at..at + 4] == real)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        lying[at..at + 4].copy_from_slice(&500_u32.to_le_bytes());
    }
    refused(
        &lying,
        &["zip member 'x.npy'", "expected a readable member"],
    );
}

#[test]
fn names_from_files_cannot_break_the_line() {
    let header = r#"{"a\nb\u001b[31m":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#;
    refused(
        &safetensors_of(header, &[0; 4]),
        &[r"array 'a\nb\u{1b}[31m'"],
    );
    let long = format!(r#"{{"{}":3}}"#, "n".repeat(100_000));
    let error = parse_arrays(
        Path::new(FILE),
        &safetensors_of(&long, &[]),
        &Limits::default(),
    )
    .expect_err("no tensor")
    .to_string();
    assert!(error.len() < 2_000, "{}", error.len());
}
