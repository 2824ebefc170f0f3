//! `attractor flow advise` and `flow field`.

use crate::flow::{DRIVE, file_of, flow, word};
use crate::support::{good, refused, scratch};
use attractor::worlds::driving::Drive;

#[test]
fn solvers_are_measured_and_one_is_advised() {
    let few = [
        "advise",
        "--rows",
        "2",
        "--draws",
        "2",
        "--reference",
        "rk4/32",
    ];
    let tried = [
        "--solvers",
        "euler/4,midpoint/8,rk4/16",
        "--adaptive",
        "1e-3",
    ];
    let output = flow(&[
        &few,
        &DRIVE,
        &tried,
        &["--tolerance", "0.5", "--format", "json"],
    ]);
    let json: serde_json::Value = serde_json::from_str(&good(&output)).unwrap();
    let candidates = json["advice"]["candidates"].as_array().unwrap();
    let evaluations: Vec<f64> = candidates
        .iter()
        .map(|c| c["evaluations"].as_f64().unwrap())
        .collect();
    assert_eq!(evaluations[..3], [4.0, 16.0, 64.0]);
    assert_eq!(candidates.len(), 4);
    assert_eq!(json["rows"], serde_json::json!([0, 2]));
    let name = json["fewest_evaluations"].as_str().unwrap();
    let index = json["advice"]["fewest_evaluations"].as_u64().unwrap() as usize;
    assert_eq!(
        ["euler/4", "midpoint/8", "rk4/16", "adaptive/1e-3"][index],
        name
    );
    let error = candidates[index]["error"]["maximum"].as_f64().unwrap();
    assert!(error <= 0.5);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("fastest within 5e-1: --solver"), "{said}");

    let strict = flow(&[&few, &DRIVE, &tried, &["--tolerance", "1e-9"]]);
    assert_eq!(strict.status.code(), Some(1));
    let said = String::from_utf8(strict.stderr).unwrap();
    assert!(
        said.contains("none of 4 solvers meets it; the best: "),
        "{said}"
    );
    assert!(
        String::from_utf8(strict.stdout)
            .unwrap()
            .contains("midpoint/8")
    );
    for (flags, words) in [
        (["--tolerance", "-1"], ["tolerance", "above 0"]),
        (["--solvers", "euler"], ["METHOD/STEPS", "euler"]),
        (["--solvers", "heun/0"], ["steps", "found 0"]),
        (["--reference", "rk5/2"], ["rk5", "dormand_prince5"]),
        (["--adaptive", "-1"], ["tolerance", "-1"]),
        (["--rows", "0"], ["--rows", "at least 1"]),
        (["--repeats", "0"], ["repeats", "1..=1000"]),
    ] {
        refused(&flow(&[&["advise"], &DRIVE, &flags]), 2, &words);
    }
}

#[test]
fn the_field_is_looked_at() {
    let page = scratch("flow_field.html");
    let views = scratch("flow_field.json");
    let drive = ["--drives", "24", "--frames", "60"];
    let small = [
        "field", "--draws", "6", "--steps", "4", "--slot", "2", "--force",
    ];
    let files = ["--out", word(&page), "--views", word(&views)];
    let output = flow(&[&small, &drive, &files, &["--format", "json"]]);
    let json: serde_json::Value = serde_json::from_str(&good(&output)).unwrap();
    let found = json["views"].as_array().unwrap();
    assert_eq!(found.len(), 3);
    let truth: Vec<f64> = found
        .iter()
        .map(|view| view["truth"].as_f64().unwrap().abs())
        .collect();
    assert!(truth[2] > truth[0], "{truth:?}");
    // The ranks are those of the raw truth.
    let targets = Drive::generate(24, 60).targets;
    let size = |row: usize| targets[(row * 6 + 2) * 3 + 2].abs();
    let rows: Vec<usize> = json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r.as_u64().unwrap() as usize)
        .collect();
    for (row, rank) in rows.iter().zip([10, 30, 50]) {
        assert_eq!(
            (0..60).filter(|&other| size(other) < size(*row)).count(),
            rank
        );
    }
    for view in found {
        assert_eq!(view["space"], "model");
        assert_eq!(view["paths"].as_array().unwrap().len(), 6);
        assert_eq!(view["paths"][0].as_array().unwrap().len(), 5);
        assert_eq!(
            view["background"]["velocity"].as_array().unwrap().len(),
            25 * 41
        );
        assert_eq!(view["quivers"].as_array().unwrap().len(), 4);
        assert_eq!(
            view["quivers"][0]["velocity"].as_array().unwrap().len(),
            441
        );
    }
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains("model space") && text.contains("<svg"));
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!text.contains(outside), "{outside}");
    }
    let written: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&views).unwrap()).unwrap();
    assert_eq!(&written, &json["views"]);

    let raw = flow(&[&small, &drive, &["--space", "raw", "--format", "json"]]);
    let json: serde_json::Value = serde_json::from_str(&good(&raw)).unwrap();
    for view in json["views"].as_array().unwrap() {
        assert_eq!(view["space"], "raw");
        assert!(view["background"].is_null());
        let paths = view["paths"].as_array().unwrap().iter();
        assert!(
            paths
                .flat_map(|p| p.as_array().unwrap())
                .all(|v| v.as_f64().unwrap().abs() <= 1.0)
        );
    }
    let raw = ["--space", "raw", "--model-space"];
    refused(
        &flow(&[&small, &drive, &raw]),
        2,
        &["--space raw", "--statistics"],
    );
    refused(
        &flow(&[&["field", "--slot", "6"], &drive]),
        2,
        &["--slot", "0 to 5"],
    );
    refused(
        &flow(&[&["field", "--conditions", "0"], &drive]),
        2,
        &["--conditions", "1 to 64"],
    );
    let plain = file_of("flow_blind.npz", &[("cond", &[1, 12, 16], vec![0.0; 192])]);
    refused(
        &flow(&[&["field", word(&plain)]]),
        2,
        &[word(&plain), "target_actions"],
    );
}
