//! Any bytes as a safetensors file; what loads must survive a round trip.
//! Run with `cargo +nightly fuzz run safetensors -- -rss_limit_mb=1024`; good seeds are in
//! `tests/data/formats`.
#![no_main]

use std::path::Path;

use attractor::formats::{Limits, safetensors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (file, limits) = (Path::new("fuzz.safetensors"), Limits::default());
    if let Ok(map) = safetensors::parse(file, bytes, &limits) {
        let written = safetensors::to_bytes(&map).expect("what was read can be written");
        let back = safetensors::parse(file, &written, &limits).expect("and read again");
        assert_eq!(back.content_hash(), map.content_hash());
    }
});
