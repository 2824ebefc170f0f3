//! The bench from the outside: what its records hold, and what it refuses.

use crate::support::{attractor, good, refused};
use serde_json::Value;

/// Runs the bench and gives its report.
fn report(arguments: &[&str]) -> Value {
    let all = ["bench", "--json", "--quick", "--repetitions", "1"];
    let printed = good(&attractor(all.iter().chain(arguments)));
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn planner_records_say_what_was_measured() {
    let report = report(&["planner", "--batches", "1,3", "--sampler", "greedy"]);
    assert_eq!(report["correct"], true);
    assert!(report["roofline"]["gflops"].as_f64().unwrap() > 0.0);
    assert!(report["header"]["threads"].as_u64().unwrap() > 0);
    let records = report["records"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    for (record, batch) in records.iter().zip([1, 3]) {
        for key in [
            "device",
            "driver",
            "version",
            "weights_hash",
            "threads",
            "quartiles",
            "dispatches",
            "submissions",
            "host_microseconds_per_dispatch",
        ] {
            assert!(record.get(key).is_some(), "no {key} in {record}");
        }
        assert_eq!(record["name"], "planner");
        assert_eq!(record["sampler"], "greedy");
        assert_eq!(record["steps"], 10);
        assert_eq!(record["batch"], batch);
        assert_eq!(record["correct"], true);
        assert_eq!(record["peak_bytes_planned"], record["peak_bytes_used"]);
        assert!(record["seed"].is_u64() && record["driver"].is_string());
        assert_eq!(record["weights_hash"].as_str().map(str::len), Some(16));
        assert!(record["checksum_equal_share"].as_f64().unwrap() >= 0.95);
        for positive in [
            "median_seconds",
            "plans_per_second",
            "gflops",
            "roofline_share",
        ] {
            assert!(
                record[positive].as_f64().unwrap() > 0.0,
                "{positive} in {record}"
            );
        }
    }
}

#[test]
fn a_filter_chooses_kernels() {
    let report = report(&["rms_norm"]);
    let records = report["records"].as_array().unwrap();
    assert!(!records.is_empty());
    for record in records {
        let kernel = record["kernel"].as_str().unwrap();
        assert!(
            ["rms_norm", "rms_norm_tangent"].contains(&kernel),
            "{kernel}"
        );
        assert_eq!(record["correct"], true);
        assert!(record["seconds"]["median"].as_f64().unwrap() > 0.0);
    }
    assert!(report["control"].is_null());
}

#[test]
fn ensembles_are_held_against_the_multiply_adds() {
    let report = report(&["ensemble"]);
    assert_eq!(report["correct"], true);
    let records = report["records"].as_array().unwrap();
    let record = records
        .iter()
        .find(|r| r["field"] == "lorenz63" && r["method"] == "rk4")
        .unwrap();
    for positive in [
        "gflops",
        "roofline_share",
        "trajectory_steps_per_second",
        "steps",
    ] {
        assert!(record[positive].as_f64().unwrap() > 0.0, "{positive}");
    }
    assert_eq!(record["working_bytes"][0], record["working_bytes"][1]);
}

#[test]
fn the_table_begins_with_device_and_ceilings() {
    let printed = good(&attractor(["bench", "control", "--quick"]));
    for word in [
        "attractor ",
        "device ",
        "features ",
        "threads ",
        "roofline ",
        "control ",
    ] {
        assert!(printed.contains(word), "no \"{word}\" in {printed}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    refused(&attractor(["bench", "nonsense"]), 2, &["filter nonsense"]);
    refused(
        &attractor(["bench", "--batches", "0"]),
        2,
        &["--batches", "0"],
    );
    refused(
        &attractor(["bench", "--repetitions", "0"]),
        2,
        &["--repetitions"],
    );
    let config = ["bench", "--config", "x.json"];
    refused(&attractor(config), 2, &["--weights"]);
    let obs = ["bench", "--obs", "no-such-file.npz"];
    refused(&attractor(obs), 2, &["no-such-file.npz"]);
}
