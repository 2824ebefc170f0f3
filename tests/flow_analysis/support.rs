//! Reference values and small made-up draws.

use std::path::PathBuf;

use attractor::formats::{ArrayMap, safetensors};
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/flow")
        .join(name)
}

/// Configuration of a golden.
pub fn config(case: &str) -> Value {
    let text = std::fs::read_to_string(path("analysis.json")).unwrap();
    let index: Value = serde_json::from_str(&text).unwrap();
    index[case]["config"].clone()
}

/// Tensors of a golden.
pub fn tensors(case: &str) -> ArrayMap {
    safetensors::load(path(&format!("{case}.safetensors"))).unwrap()
}

/// Numbers in -1..1 that are the same on every run (a linear congruential generator of Knuth).
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
