//! `attractor stage2`: with nothing there, with results alone, with checkpoints good and bad.

use crate::support::{attractor, good, refused, scratch};
use attractor::formats::{ArrayMap, load_arrays, safetensors};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/worldmodel");

fn fresh(name: &str) -> PathBuf {
    let path = scratch(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn stage2(folder: &Path, more: &[&str]) -> std::process::Output {
    let [results, checkpoints] = ["results", "checkpoints"].map(|name| folder.join(name));
    let out = folder.join("out.json");
    let start = [
        "stage2",
        "--results",
        results.to_str().unwrap(),
        "--checkpoints",
        checkpoints.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    attractor(start.iter().chain(more))
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("out.json")).unwrap()).unwrap()
}

/// The gap of cart-pole's first cell, nested as results are.
fn result(folder: &Path, gap: Value) {
    let place = folder.join("results/dmc_cartpole");
    std::fs::create_dir_all(&place).unwrap();
    let result = json!({"config": {"training_steps": 1_000_000}, "result": {
        "gap": gap, "verdict": "INCONCLUSIVE", "oracle_success_rate": 1.0,
        "learned_success_rate": 0.7}});
    std::fs::write(place.join("tdmpc2_cpg.json"), result.to_string()).unwrap();
}

/// A fitted adapter of cart-pole as that cell's checkpoint.
fn checkpoint(folder: &Path, change: impl FnOnce(&mut Value)) {
    checkpoint_as(folder, "tdmpc2_cartpole", change);
}

/// The same under the name of any cell's.
fn checkpoint_as(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let text = std::fs::read(format!("{DATA}/stage2_mini.json")).unwrap();
    let index: Value = serde_json::from_slice(&text).unwrap();
    let cell = &index["cells"][1];
    let prefix = format!("{}.w.", cell["key"].as_str().unwrap());
    let all = load_arrays(format!("{DATA}/stage2_mini.safetensors")).unwrap();
    let place = folder.join("checkpoints");
    std::fs::create_dir_all(&place).unwrap();
    let mut map = ArrayMap::new(format!("{name}.safetensors"));
    for (tensor, array) in all.iter() {
        if let Some(own) = tensor.strip_prefix(&prefix) {
            map.insert(own, array.clone()).unwrap();
        }
    }
    safetensors::save(place.join(format!("{name}.safetensors")), &map).unwrap();
    let mut beside = json!({"arch": cell["arch"], "action_levels": [-1.0, -0.5, 0.0, 0.5, 1.0]});
    change(&mut beside);
    let beside = beside.to_string();
    std::fs::write(place.join(format!("{name}.json")), beside).unwrap();
}

#[test]
fn with_nothing_there_all_cells_are_skipped() {
    let folder = fresh("stage2_nothing");
    let output = stage2(&folder, &[]);
    let text = good(&output);
    assert!(text.contains("0 cells, 10 skipped"), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint"));
    let report = report(&folder);
    assert_eq!(report["metric"], "tdmpc2_offline_downstream_sweep");
    assert_eq!(report["cells"], json!([]));
    assert_eq!(report["within_env_correlation"], json!({}));
    assert_eq!(
        report["config"],
        json!({"n_states": 150, "k_steps": 10, "state_sample_seed": 0})
    );
    let skipped = report["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 10);
    assert_eq!(skipped[0]["cell"], "dmc_reacher/tdmpc2_cpg.json");
    let reason = skipped[0]["reason"].as_str().unwrap();
    assert!(reason.contains("missing result JSON"), "{reason}");
    refused(&stage2(&folder, &[]), 2, &["out.json", "--force"]);
}

#[test]
fn a_missing_checkpoint_carries_the_gap() {
    let folder = fresh("stage2_results");
    std::fs::copy(
        format!("{DATA}/tdmpc2_cpg_extract.json"),
        folder.join("results"),
    )
    .unwrap();
    good(&stage2(&folder, &["--format", "json"]));
    let report = report(&folder);
    let skipped = report["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 10);
    for cell in skipped {
        assert!(
            cell["reason"]
                .as_str()
                .unwrap()
                .contains("missing checkpoint")
        );
        assert!(cell["gap"].is_number(), "{cell}");
        assert!(cell["path"].as_str().unwrap().ends_with(".pt"), "{cell}");
    }
    assert_eq!(skipped[4]["gap"], 0.8);
}

#[test]
fn a_cell_is_measured() {
    let folder = fresh("stage2_cell");
    result(&folder, json!(0.3));
    checkpoint(&folder, |_| ());
    let csv = good(&stage2(&folder, &["--format", "csv"]));
    // The cell, and the nine that were skipped, both under their titles.
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 13, "{csv}");
    assert!(lines[1].starts_with("dmc_cartpole,1,0,0.22"), "{csv}");
    assert_eq!((lines[2], lines[3]), ("", "skipped,gap,reason"));
    let report = report(&folder);
    let cell = &report["cells"][0];
    // The row that the original program gave for this adapter.
    let close = |key: &str, expected: f64| {
        let found = cell[key].as_f64().unwrap();
        assert!(
            (found - expected).abs() <= 1e-4 * expected.abs(),
            "{key}: {found}"
        );
    };
    close("m1_l2_onestep", 0.225087);
    close("m2_l2_kstep", 1.094655);
    close("m3_action_agreement", -0.156);
    assert_eq!(cell["context"]["training_steps"], 1_000_000);
    assert_eq!(cell["gap"], 0.3);
    for key in [
        "m3_held_action_agreement",
        "m4_exponent_difference",
        "m4_exponent_distance",
    ] {
        assert!(cell[key].is_number(), "{key}: {cell}");
    }
    assert_eq!(report["skipped"].as_array().unwrap().len(), 9);
}

#[test]
fn cells_that_cannot_be_used_are_skipped() {
    let folder = fresh("stage2_bad");
    let reason = || {
        good(&stage2(&folder, &["--smoke", "--force"]));
        let report = report(&folder);
        assert_eq!(report["cells"], json!([]));
        report["skipped"][3]["reason"].as_str().unwrap().to_owned()
    };
    checkpoint(&folder, |_| ());
    for gap in [json!(null), json!("NaN")] {
        result(&folder, gap);
        let found = reason();
        assert!(found.contains("gap: expected a finite number"), "{found}");
    }
    result(&folder, json!(0.3));
    checkpoint(&folder, |beside| beside["arch"]["enc_dim"] = json!(63));
    assert!(reason().contains("encoder.0.weight"), "{}", reason());
    checkpoint(&folder, |beside| {
        beside["action_levels"] = json!([0.0, 1.0])
    });
    assert!(reason().contains("action_set"), "{}", reason());
    checkpoint(&folder, |beside| beside["arch"] = json!(null));
    assert!(reason().contains("arch"), "{}", reason());
    std::fs::write(folder.join("results/dmc_cartpole/tdmpc2_cpg.json"), "{").unwrap();
    assert!(reason().contains("not JSON"), "{}", reason());
}

#[test]
fn gaps_are_measured_anew() {
    let folder = fresh("stage2_gap");
    result(&folder, json!(0.3));
    checkpoint(&folder, |_| ());
    good(&stage2(&folder, &["--smoke", "--episodes", "2"]));
    let measured = report(&folder)["cells"][0]["measured"].clone();
    assert_eq!(measured["n_episodes_oracle"], 2);
    assert_eq!(measured["n_episodes_learned"], 2);
    let low = measured["gap_ci_low"].as_f64().unwrap();
    assert!(low < measured["gap_ci_high"].as_f64().unwrap());
}

/// The list of all gaps, with one of them given as text.
fn list(folder: &Path, file: &str, gap: &str) {
    let text = std::fs::read(format!("{DATA}/tdmpc2_cpg_extract.json")).unwrap();
    let mut list: Value = serde_json::from_slice(&text).unwrap();
    let cells = list["cells"].as_array_mut().unwrap();
    let cell = cells.iter_mut().find(|cell| cell["file"] == file).unwrap();
    cell["gap"] = json!("its gap");
    let text = list.to_string().replace("\"its gap\"", gap);
    std::fs::write(folder.join("results"), text).unwrap();
}

#[test]
fn a_checkpoint_of_another_task_costs_its_own_cell_alone() {
    let folder = fresh("stage2_other_task");
    std::fs::copy(
        format!("{DATA}/tdmpc2_cpg_extract.json"),
        folder.join("results"),
    )
    .unwrap();
    for seed in ["", "_seed1", "_seed2"] {
        checkpoint_as(&folder, &format!("tdmpc2_cartpole{seed}"), |_| ());
    }
    checkpoint_as(&folder, "tdmpc2_acrobot", |_| ());
    let text = good(&stage2(&folder, &["--smoke"]));
    assert!(text.contains("3 cells, 7 skipped"), "{text}");
    let report = report(&folder);
    let skipped = report["skipped"].as_array().unwrap();
    let acrobot = skipped.iter().find(|cell| cell["env"] == "dmc_acrobot");
    let acrobot = acrobot.unwrap();
    let reason = acrobot["reason"].as_str().unwrap();
    assert!(reason.contains("obs_dim: expected 6"), "{reason}");
    assert!(reason.contains("found 5"), "{reason}");
    assert!(acrobot["gap"].is_number(), "{acrobot}");
    assert!(text.contains(reason), "{text}");
    // Three cells are enough for correlations: the published ones, and all of them beside the settings.
    let count = |block: &Value| {
        let metrics = &block["within_env_correlation"]["dmc_cartpole"]["metrics"];
        metrics.as_object().map(|metrics| metrics.len())
    };
    assert_eq!(count(&report), Some(3));
    assert_eq!(count(&report["attractor"]), Some(6));
    for metric in ["m3_held_action_agreement", "m4_exponent_difference"] {
        assert!(text.contains(metric), "{text}");
    }
    assert_eq!(report["wmel_version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_gap_that_is_no_number_costs_its_own_cell_alone() {
    let folder = fresh("stage2_nan");
    list(&folder, "results/dmc_cartpole/tdmpc2_cpg.json", "NaN");
    checkpoint(&folder, |_| ());
    checkpoint_as(&folder, "tdmpc2_cartpole_seed1", |_| ());
    let text = good(&stage2(&folder, &["--smoke"]));
    assert!(text.contains("1 cells, 9 skipped"), "{text}");
    let report = report(&folder);
    assert_eq!(report["cells"][0]["seed"], 1);
    let skipped = report["skipped"].as_array().unwrap();
    let file = "dmc_cartpole/tdmpc2_cpg.json";
    let cell = skipped.iter().find(|cell| cell["cell"] == file).unwrap();
    let reason = cell["reason"].as_str().unwrap();
    assert!(reason.contains("gap: expected a finite number"), "{reason}");
    assert!(cell.get("gap").is_none(), "{cell}");
}
