//! Any bytes as an npz file, and as the npy member of a sound one (a checksum over the
//! members keeps plain mutation out of the npy parser).
//! Run with `cargo +nightly fuzz run npz -- -rss_limit_mb=1024`.
#![no_main]

use std::path::Path;

use attractor::formats::{Limits, npz};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (file, limits) = (Path::new("fuzz.npz"), Limits::default());
    for archive in [bytes, &attractor_fuzz::stored_zip("x.npy", bytes)] {
        if let Ok(map) = npz::parse(file, archive, &limits) {
            let written = npz::to_bytes(&map).expect("what was read can be written");
            let back = npz::parse(file, &written, &limits).expect("and read again");
            assert_eq!(back.content_hash(), map.content_hash());
        }
    }
});
