//! `attractor verify` from the outside.

use crate::support::{attractor, good, refused, scratch, text};
use serde_json::Value;

const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/remdm");

/// A folder with the schedules of the goldens alone.
fn schedules(name: &str) -> std::path::PathBuf {
    let folder = scratch(name);
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["schedules_r1.safetensors", "schedules_r2.safetensors"] {
        let golden = std::path::Path::new(GOLDENS).join(file);
        std::fs::copy(golden, folder.join(file)).unwrap();
    }
    let index = r#"{"conventions": {}, "novelty": {}, "schedules":
        {"r1": "schedules_r1.safetensors", "r2": "schedules_r2.safetensors"}}"#;
    std::fs::write(folder.join("index.json"), index).unwrap();
    folder
}

#[test]
fn one_line_a_case_and_the_counts() {
    let folder = schedules("verify_lines");
    let lines = good(&attractor(["verify", folder.to_str().unwrap()]));
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert!(lines[0].starts_with("novelty") && lines[0].contains("UNSUPPORTED"));
    assert!(lines[1..6].iter().all(|line| line.ends_with("PASS")));
    assert_eq!(lines[6], "5 passed, 0 failed, 1 unsupported");
}

#[test]
fn the_same_as_data() {
    let folder = schedules("verify_json");
    let json = good(&attractor(["verify", "--json", folder.to_str().unwrap()]));
    let report: Value = serde_json::from_str(&json).unwrap();
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(
        [count("passed"), count("failed"), count("unsupported")],
        [5, 0, 1]
    );
    assert_eq!(report["cases"][1]["verdict"], "PASS");
    assert_eq!(report["cases"][1]["kind"], "schedule");
    assert!(report["cases"][1]["worst_error"].as_f64() < report["cases"][1]["tolerance"].as_f64());
    assert!(report["device"].as_str().unwrap().contains("CPU"));
}

#[test]
fn a_failed_case_is_exit_code_one() {
    let folder = schedules("verify_failed");
    std::fs::remove_file(folder.join("schedules_r2.safetensors")).unwrap();
    let output = attractor(["verify", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let lines = text(&output);
    assert!(
        lines.contains("FAIL") && lines.contains("schedules_r2.safetensors"),
        "{lines}"
    );
    assert!(
        lines.ends_with("2 passed, 1 failed, 1 unsupported\n"),
        "{lines}"
    );
}

#[test]
fn a_folder_without_goldens_is_refused() {
    let folder = scratch("verify_empty");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.to_str().unwrap();
    refused(&attractor(["verify", path]), 2, &[path, "golden"]);
    let nowhere = format!("{path}/nowhere");
    refused(&attractor(["verify", &nowhere]), 2, &[&nowhere]);
}
