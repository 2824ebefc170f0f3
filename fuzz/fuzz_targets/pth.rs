//! Any bytes as a PyTorch checkpoint, and as the pickle in a sound one (a checksum over the
//! members keeps plain mutation out of the pickle machine).
//! Run with `cargo +nightly fuzz run pth -- -rss_limit_mb=1024`.
#![no_main]

use std::path::Path;

use attractor::formats::Limits;
use attractor::formats::torch::{Checkpoint, StateDict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (file, limits) = (Path::new("fuzz.pth"), Limits::default());
    for archive in [
        bytes,
        &attractor_fuzz::stored_zip("archive/data.pkl", bytes),
    ] {
        if let Ok(checkpoint) = Checkpoint::parse(file, archive, &limits) {
            checkpoint.root().describe();
            if let Ok(map) = checkpoint.state_dict(&StateDict::default()) {
                map.content_hash();
            }
        }
    }
});
