//! `attractor analyze correlate`: the published object comes out, and what cannot be used is refused.

use crate::support::{attractor, good, refused, scratch};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const BUNDLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/worldmodel/published/maze_offline_scores.json"
);
const RESULT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/worldmodel/published/offline_vs_downstream.json"
);

fn folder(name: &str) -> PathBuf {
    let folder = scratch(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn json_of(file: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn correlate(bundle: &str, out: &Path, more: &[&str]) -> std::process::Output {
    let out = out.to_string_lossy().into_owned();
    let mut all = vec!["analyze", "correlate", bundle, "--out", &out];
    all.extend(more);
    attractor(all)
}

#[test]
fn the_published_file_comes_out_with_more_beside_it() {
    let folder = folder("correlate");
    let out = folder.join("result.json");
    let prefix = folder.join("fig").to_string_lossy().into_owned();
    let printed = good(&correlate(BUNDLE, &out, &["--figure", &prefix]));
    assert!(
        printed.contains("m1_mismatch          n=24  rho=-0.726 CI [-0.928, -0.336] -> RESOLVED"),
        "{printed}"
    );
    assert_eq!(printed.matches("RESOLVED").count(), 6);
    for words in [
        "BCa",
        "clusters of seed",
        "rho given epochs",
        "Williams t",
        "zero (0)",
    ] {
        assert!(printed.contains(words), "no \"{words}\" in: {printed}");
    }
    let (found, expected) = (json_of(&out), json_of(RESULT));
    for entry in ["result", "schema_version", "metric"] {
        assert_eq!(found[entry], expected[entry], "{entry}");
    }
    for entry in expected.as_object().unwrap().keys() {
        assert!(found.get(entry).is_some(), "{entry}");
    }
    assert_eq!(found["source_bundle"], BUNDLE);
    let beyond = &found["beyond"];
    assert_eq!(beyond["metrics"].as_array().unwrap().len(), 3);
    assert_eq!(beyond["metrics"][0]["clustered"]["clusters"], 3);
    assert_eq!(beyond["comparisons"].as_array().unwrap().len(), 3);
    assert_eq!(beyond["imputation"][0]["metric"], "m3_action_agreement");
    assert_eq!(beyond["imputation"][0]["rules"][0]["replaced"], 7);
    for figure in ["scatter", "screening"] {
        for kind in ["png", "svg"] {
            let file = folder.join(format!("fig_{figure}.{kind}"));
            assert!(file.metadata().unwrap().len() > 1_000, "{}", file.display());
        }
    }
}

#[test]
fn formats_and_settings() {
    let folder = folder("correlate_formats");
    let out = folder.join("result.json");
    let with = |more: &[&str]| {
        let settings = ["--force", "--n-boot", "200", "--no-beyond"];
        good(&correlate(BUNDLE, &out, &[&settings[..], more].concat()))
    };
    let csv = with(&["--format", "csv"]);
    assert!(
        csv.starts_with(
            "cells,metric,n,rho,ci_low,ci_high,clears_zero,skipped\nown,m1_mismatch,24,-0.726,"
        ),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 7);
    assert!(with(&["--format", "md"]).starts_with("| cells | metric |"));
    let printed: Value =
        serde_json::from_str(&with(&["--format", "json", "--method", "kendall"])).unwrap();
    assert_eq!(printed, json_of(&out));
    assert_eq!(printed["result"]["method"], "kendall");
    assert_eq!(printed["result"]["metrics"][0]["n_boot"], 200);
    assert!(printed.get("beyond").is_none());
}

#[test]
fn a_missing_bundle_is_a_failed_check() {
    let out = folder("correlate_missing").join("result.json");
    refused(
        &correlate("nowhere.json", &out, &[]),
        1,
        &["nowhere.json", "no such file"],
    );
    assert!(!out.exists());
}

#[test]
fn results_are_not_written_over() {
    let folder = folder("correlate_twice");
    let out = folder.join("result.json");
    good(&correlate(BUNDLE, &out, &["--no-beyond"]));
    refused(
        &correlate(BUNDLE, &out, &["--no-beyond"]),
        2,
        &["result.json", "--force"],
    );
    good(&correlate(BUNDLE, &out, &["--no-beyond", "--force"]));
    std::fs::write(folder.join("f_screening.svg"), "x").unwrap();
    let prefix = folder.join("f").to_string_lossy().into_owned();
    let other = folder.join("other.json");
    refused(
        &correlate(BUNDLE, &other, &["--figure", &prefix]),
        2,
        &["f_screening.svg"],
    );
    assert!(!other.exists());
}

#[test]
fn bundles_that_cannot_be_used_are_refused() {
    let folder = folder("correlate_bad");
    let out = folder.join("result.json");
    let file = folder.join("bundle.json");
    let bundle = file.to_string_lossy().into_owned();
    let cells = |cells: Value| json!({ "cells": cells }).to_string();
    let twice = json!([{"seed": 0, "epochs": 2, "m": 1, "gap": 1}, {"seed": 0, "epochs": 2, "m": 2, "gap": 2}]);
    for (text, more, words) in [
        ("{", &[][..], &["bundle.json", "expected JSON"][..]),
        ("{\"result\": 1}", &[], &["cells", "list", "found none"]),
        (
            "{\"schema_version\": \"2.0\", \"cells\": []}",
            &[],
            &["bundle.json", "schema_version", "version 1", "\"2.0\""],
        ),
        ("{\"cells\": [1]}", &[], &["cells[0]", "found 1"]),
        (
            &cells(twice.clone()),
            &["--downstream", "gap"],
            &["cells 0 and 1", "seed 0", "--allow-duplicates"],
        ),
        (
            &cells(twice.clone()),
            &["--allow-duplicates"],
            &["\"success_rate\"", "gap", "m"],
        ),
        (
            &cells(json!([{"gap": 1}])),
            &["--downstream", "gap", "--alpha", "2"],
            &["alpha", "between 0 and 1"],
        ),
        (&cells(json!([])), &["--n-boot", "0"], &["--n-boot"]),
    ] {
        std::fs::write(&file, text).unwrap();
        refused(&correlate(&bundle, &out, more), 2, words);
        assert!(!out.exists(), "{text}");
    }
    // Too few cells are said to be too few.
    std::fs::write(&file, cells(twice)).unwrap();
    let more = ["--downstream", "gap", "--allow-duplicates"];
    let printed = good(&correlate(&bundle, &out, &more));
    assert!(
        printed.contains("skipped: fewer than 3 usable cells"),
        "{printed}"
    );
    // NaN of Python is no value.
    let text = "{\"cells\": [{\"m\": 1, \"gap\": 1}, {\"m\": 2, \"gap\": 3}, {\"m\": 3, \"gap\": 2}, {\"m\": 4, \"gap\": NaN}]}";
    std::fs::write(&file, text).unwrap();
    good(&correlate(
        &bundle,
        &out,
        &["--downstream", "gap", "--force"],
    ));
    assert_eq!(json_of(&out)["result"]["metrics"][0]["n"], 3);
}

#[test]
fn a_bundle_of_another_kind_is_told() {
    let folder = folder("correlate_metric");
    let mut bundle = json_of(BUNDLE);
    for (metric, told) in [
        ("tdmpc2_whatever", true),
        ("tdmpc2_offline_downstream_sweep", false),
    ] {
        bundle["metric"] = json!(metric);
        let file = folder.join("bundle.json");
        std::fs::write(&file, bundle.to_string()).unwrap();
        let out = folder.join("result.json");
        let more = ["--no-beyond", "--force", "--n-boot", "50"];
        let output = correlate(&file.to_string_lossy(), &out, &more);
        good(&output);
        let notes = String::from_utf8(output.stderr).unwrap();
        assert_eq!(notes.contains("found tdmpc2_whatever"), told, "{notes}");
    }
}

#[test]
fn the_bundle_is_not_written_over() {
    let folder = folder("correlate_itself");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    let file = folder.join("bundle.json");
    std::fs::copy(BUNDLE, &file).unwrap();
    let path = file.to_string_lossy().into_owned();
    for out in [file.clone(), folder.join("sub/../bundle.json")] {
        refused(
            &correlate(&path, &out, &["--force"]),
            2,
            &["bundle.json", "another file than the input"],
        );
    }
    assert_eq!(json_of(&file), json_of(BUNDLE));
}

#[test]
fn small_p_values_are_not_printed_as_zero() {
    let folder = folder("correlate_p");
    let file = folder.join("bundle.json");
    // Nearly the same order of two metrics, and a third of another.
    let cell = |at: u32| {
        let at = f64::from(at);
        json!({"seed": at, "a": at, "b": (at * 2.4).sin(), "success_rate": at + (at * 1.7).sin()})
    };
    let cells: Vec<Value> = (0..60).map(cell).collect();
    std::fs::write(&file, json!({ "cells": cells }).to_string()).unwrap();
    let out = folder.join("result.json");
    let printed = good(&correlate(
        &file.to_string_lossy(),
        &out,
        &["--n-boot", "200"],
    ));
    assert!(printed.contains("<0.0001"), "{printed}");
    assert!(!printed.contains(" 0.0000"), "{printed}");
}
