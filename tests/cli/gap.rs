//! `attractor analyze gap`: committed gaps come out, and what is no arm is refused.

use crate::support::{attractor, good, refused, scratch};
use serde_json::Value;

const EXTRACT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/worldmodel/published/tdmpc2_cpg_extract.json"
);

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn committed_gaps_and_verdicts_come_out() {
    let out = scratch("gap.json");
    let _ = std::fs::remove_file(&out);
    let file = out.to_string_lossy().into_owned();
    let arguments = [
        "analyze", "gap", EXTRACT, "--pool", "--out", &file, "--format", "json",
    ];
    let printed = good(&attractor(arguments));
    assert_eq!(printed, std::fs::read_to_string(&out).unwrap());
    let found = json(&printed);
    let expected = json(&std::fs::read_to_string(EXTRACT).unwrap());
    let (found, expected) = (
        found["cells"].as_array().unwrap(),
        expected["cells"].as_array().unwrap(),
    );
    // Three models of three seeds each are pooled.
    assert_eq!(found.len(), expected.len() + 3);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found["verdict"], expected["verdict"]);
        for entry in ["gap", "gap_ci_low", "gap_ci_high"] {
            let [found, expected] = [found, expected].map(|cell| cell[entry].as_f64().unwrap());
            assert!(
                (found - expected).abs() < 1e-12,
                "{entry}: {found} {expected}"
            );
        }
    }
    let pooled = &found[expected.len()];
    assert_eq!(pooled["cell"], "dmc_reacher | model_size 1 (pooled over 3)");
    assert_eq!(pooled["paired"]["table"]["oracle_only"], 6);
    assert_eq!(pooled["paired"]["p_value"], 0.03125);
    assert!(found[3]["paired"].is_null());
    // Pools are a family of their own: three tests, and single cells are as without pools.
    let pools = &found[expected.len()..];
    let p = |row: &Value, entry: &str| row["paired"][entry].as_f64().unwrap();
    let least = pools.iter().map(|row| p(row, "p_value"));
    let least = least.fold(f64::INFINITY, f64::min);
    let adjusted = pools.iter().map(|row| p(row, "p_holm"));
    assert_eq!(adjusted.fold(f64::INFINITY, f64::min), 3.0 * least);
    let alone = json(&good(&attractor([
        "analyze", "gap", EXTRACT, "--format", "json",
    ])));
    let alone = alone["cells"].as_array().unwrap();
    assert_eq!(&found[..expected.len()], &alone[..]);
    refused(&attractor(arguments), 2, &["gap.json", "--force"]);
}

#[test]
fn tables_of_all_kinds() {
    let table = good(&attractor(["analyze", "gap", EXTRACT]));
    assert_eq!(table.lines().count(), 14);
    assert!(
        table.contains("[-0.124, +0.457]") && table.contains("MODEL BOTTLENECK"),
        "{table}"
    );
    let csv = good(&attractor(["analyze", "gap", EXTRACT, "--format", "csv"]));
    assert!(csv.contains("\"[-0.124, +0.457]\""), "{csv}");
    let md = good(&attractor([
        "analyze",
        "gap",
        EXTRACT,
        "--format",
        "md",
        "--half-width",
        "0.05",
    ]));
    assert!(
        md.starts_with("| cell | n |") && md.contains("n for +-0.05"),
        "{md}"
    );
}

#[test]
fn what_is_no_arm_is_refused() {
    let file = scratch("arms.json");
    let path = file.to_string_lossy().into_owned();
    for (text, words) in [
        ("[]", &["arms.json", "cells", "found none"][..]),
        (
            "{\"cells\": [{\"gap\": 1}]}",
            &["cells[0]", "n_episodes_oracle"],
        ),
        (
            "{\"cells\": [{\"cell\": \"c\", \"oracle_success\": [], \"learned_success\": []}]}",
            &["c: oracle arm", "found none"],
        ),
        (
            "{\"cells\": [{\"oracle_success\": [true, 3], \"learned_success\": [true]}]}",
            &["oracle_success", "[true,3]"],
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        refused(&attractor(["analyze", "gap", &path]), 2, words);
    }
    refused(
        &attractor(["analyze", "gap", "nowhere.json"]),
        1,
        &["nowhere.json"],
    );
    refused(
        &attractor(["analyze", "gap", EXTRACT, "--half-width", "0"]),
        2,
        &["half width"],
    );
}

#[test]
fn the_same_cell_twice_is_refused() {
    let file = scratch("gap_twice.json");
    let path = file.to_string_lossy().into_owned();
    let mut study = json(&std::fs::read_to_string(EXTRACT).unwrap());
    let cells = study["cells"].as_array_mut().unwrap();
    let again = cells[1].clone();
    cells.push(again);
    std::fs::write(&file, study.to_string()).unwrap();
    refused(
        &attractor(["analyze", "gap", &path, "--pool"]),
        2,
        &[
            "cells 1 and 13",
            "tdmpc2_cpg_seed1.json",
            "--allow-duplicates",
        ],
    );
    let table = good(&attractor(["analyze", "gap", &path, "--allow-duplicates"]));
    assert_eq!(table.lines().count(), 15);
}

#[test]
fn the_input_is_not_written_over() {
    let file = scratch("gap_itself.json");
    std::fs::copy(EXTRACT, &file).unwrap();
    let path = file.to_string_lossy().into_owned();
    refused(
        &attractor(["analyze", "gap", &path, "--out", &path, "--force"]),
        2,
        &["gap_itself.json", "another file than the input"],
    );
    assert_eq!(
        std::fs::read(&file).unwrap(),
        std::fs::read(EXTRACT).unwrap()
    );
}
