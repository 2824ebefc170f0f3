//! `attractor bench flow` from the outside: its records, its draws, and what it refuses.

use crate::support::{attractor, good, refused, scratch, text};
use attractor::formats::{Array, ArrayMap, load_arrays, npz};
use serde_json::Value;
use std::path::PathBuf;

const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/assets/drivechunk_decoder.safetensors"
);
const CONFIG: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/assets/drivechunk_decoder.json"
);
const GOLDENS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/flow/trajectories.safetensors"
);

/// A quick run of the shipped decoder.
fn shipped<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["bench", "flow", "--quick", "--repetitions", "1"];
    all.extend(["--flow-weights", WEIGHTS, "--flow-config", CONFIG]);
    all.extend(more);
    all
}

#[test]
fn records_say_what_was_measured() {
    let rows = ["--solvers", "heun/2,euler/3", "--frames", "1,2"];
    let arguments = shipped(&[&rows[..], &["--draws", "3", "--json"]].concat());
    let report: Value = serde_json::from_str(&good(&attractor(arguments))).unwrap();
    assert_eq!(report["correct"], true);
    let records = report["records"].as_array().unwrap();
    let expected = [
        ("heun", 2, 1, 4),
        ("heun", 2, 2, 4),
        ("euler", 3, 1, 3),
        ("euler", 3, 2, 3),
    ];
    assert_eq!(records.len(), expected.len());
    for (record, (method, steps, frames, evaluations)) in records.iter().zip(expected) {
        assert_eq!(record["name"], "flow");
        assert_eq!(record["method"], method);
        assert_eq!(record["steps"], steps);
        assert_eq!(record["frames"], frames);
        assert_eq!(record["draws"], 3);
        assert_eq!(record["evaluations"], evaluations);
        assert_eq!(record["correct"], true);
        assert_eq!(record["same_in_any_batch"], true);
        assert_eq!(record["peak_bytes_planned"], record["peak_bytes_used"]);
        assert_eq!(record["weights_hash"].as_str().map(str::len), Some(16));
        assert!(record["checksum_error"].as_f64().unwrap() <= 2e-5);
        // Single precision against double: exact agreement would mean that it was compared with itself.
        assert!(record["checksum_error"].as_f64().unwrap() > 0.0);
        let a_step = record["dispatches_a_step"].as_u64().unwrap();
        let runs = record["runs"].as_u64().unwrap();
        assert!(record["dispatches"].as_u64().unwrap() >= a_step * steps * runs);
        let kernels = record["kernels"].as_array().unwrap();
        let share = |kernel: &Value| kernel["time_share"].as_f64().unwrap();
        let all: f64 = kernels.iter().map(share).sum();
        assert!((all - 1.0).abs() < 1e-6, "{all}");
        for positive in [
            "median_seconds",
            "draws_per_second",
            "gflops",
            "multiply_add_share",
            "roofline_share",
        ] {
            let value = record[positive].as_f64().unwrap();
            assert!(value > 0.0, "{positive} in {record}");
        }
    }
}

#[test]
fn draws_from_recorded_noise_are_written() {
    let goldens = load_arrays(GOLDENS).unwrap();
    let shaped = |name: &str, shape: &[usize]| {
        let values = goldens.get(name).unwrap().to_f32().unwrap();
        Array::new(shape, values).unwrap()
    };
    let inputs: PathBuf = scratch("bench_flow_inputs.npz");
    let mut map = ArrayMap::new(&inputs);
    map.insert("conditions", shaped("in.cond", &[6, 12, 16]))
        .unwrap();
    map.insert("noise", shaped("in.noise", &[6, 4, 6, 2]))
        .unwrap();
    npz::save(&inputs, &map).unwrap();
    let out = scratch("bench_flow_draws.npz");
    let files = [inputs.to_str().unwrap(), out.to_str().unwrap()];
    let run = |frames: &str| {
        let rows = ["--solvers", "heun/10", "--frames", frames, "--draws", "3"];
        let files = ["--flow-inputs", files[0], "--flow-out", files[1]];
        attractor(shipped(&[&rows[..], &files[..]].concat()))
    };
    let printed = good(&run("5"));
    assert!(printed.contains("heun/10"), "{printed}");
    let draws = load_arrays(&out).unwrap();
    let found = draws.expect_f64("heun.10.5x3", &[5, 3, 6, 2]).unwrap();
    let expected = goldens.get("out.heun.10").unwrap().to_f64().unwrap();
    // The row's frames and draws are the first ones of the file's.
    let expected: Vec<f64> = expected
        .chunks(4 * 12)
        .take(5)
        .flat_map(|frame| frame[..3 * 12].to_vec())
        .collect();
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() <= 2e-5 * largest, "{a} {b}");
    }
    let more = run("7");
    assert_eq!(more.status.code(), Some(2), "{}", text(&more));
    let complaint = String::from_utf8(more.stderr).unwrap();
    assert!(
        complaint.contains("noise") && complaint.contains("7 frames"),
        "{complaint}"
    );
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--frames", "0"], &["--frames", "0"]),
        (&["--draws", "0"], &["--draws", "0"]),
        (&["--solvers", "heun"], &["METHOD/STEPS", "heun"]),
        (&["--solvers", "heun/0"], &["steps", "0"]),
        (&["--solvers", "leapfrog/4"], &["euler", "leapfrog"]),
        (&["--flow-inputs", "no-such.npz"], &["no-such.npz"]),
        (&["--flow-weights", "no-such.pt"], &["no-such.pt"]),
    ];
    for (flags, words) in cases {
        let arguments = [&["bench", "flow", "--quick"], flags].concat();
        refused(&attractor(arguments), 2, words);
    }
    let filtered = ["bench", "flow midpoint", "--solvers", "heun/4"];
    refused(&attractor(filtered), 2, &["filter flow midpoint"]);
}
