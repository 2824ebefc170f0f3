//! Goldens of statistics: those of the reference pass, and a change of any number of them fails.

use attractor::device::Device;
use attractor::verify::{Report, Verdict, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A folder with copies of some goldens.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str, files: &[&str]) -> Self {
        let name = format!("attractor-statistics-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("published")).unwrap();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/worldmodel");
        for file in files {
            std::fs::copy(data.join(file), path.join(file)).unwrap();
        }
        Self(path)
    }

    fn read(&self, file: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.0.join(file)).unwrap()).unwrap()
    }

    fn verify(&self) -> Report {
        run(&self.0, &Device::cpu()).unwrap()
    }

    /// Verifies with one value changed, and puts the file back.
    fn with(&self, file: &str, pointer: &str, value: Value) -> Report {
        let original = self.read(file);
        let mut changed = original.clone();
        *changed
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{file}: {pointer}")) = value;
        std::fs::write(self.0.join(file), changed.to_string()).unwrap();
        let report = self.verify();
        std::fs::write(self.0.join(file), original.to_string()).unwrap();
        report
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const STATISTICS: [&str; 4] = [
    "python_random_vectors.json",
    "stats_primitives.json",
    "correlate_bundles.json",
    "within_env.json",
];
const PUBLISHED: [&str; 4] = [
    "published/maze_offline_scores.json",
    "published/offline_vs_downstream.json",
    "published/paired_vs_ac.json",
    "published/tdmpc2_cpg_extract.json",
];

fn failed(report: &Report) -> bool {
    report.count(Verdict::Fail) > 0
}

#[test]
fn goldens_of_the_reference_pass() {
    let folder = Folder::new("pass", &[&STATISTICS[..], &PUBLISHED[..]].concat());
    let report = folder.verify();
    assert!(!failed(&report), "{:#?}", report.lines());
    // Streams; columns, arms, powers, numbers of episodes, Holm; bundles; environments.
    let statistics = 5 + 24 + (8 + 18 + 12 + 1) + 8 + 1;
    let here = |kind: &[&str]| {
        let cases = report.cases.iter();
        let own = cases.filter(|case| kind.contains(&case.kind.as_str()));
        own.filter(|case| case.verdict == Verdict::Pass).count()
    };
    let kinds = ["random", "statistics", "correlate", "within-env"];
    assert_eq!(here(&kinds), statistics, "{:#?}", report.lines());
    // Correlation and sweep; six audited cells, their head and their p-values; thirteen gaps.
    assert_eq!(here(&["published"]), 2 + 8 + 13, "{:#?}", report.lines());
    assert_eq!(report.count(Verdict::Unsupported), 0);
}

/// Every number below a value, by pointer.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let key = key.replace('~', "~0").replace('/', "~1");
                numbers(value, &format!("{path}/{key}"), found);
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                numbers(value, &format!("{path}/{at}"), found);
            }
        }
        Value::Number(_) | Value::Bool(_) => found.push(path.to_owned()),
        _ => {}
    }
}

/// A value that differs by more than rounding.
fn other(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) if number.is_u64() || number.is_i64() => {
            json!(number.as_i64().unwrap() + 1)
        }
        number => json!(number.as_f64().unwrap() + 1e-3),
    }
}

/// Changes every result of a file, or every `step`-th of them, and expects a failure each time.
fn every_change_fails(folder: &Folder, file: &str, step: usize, is_result: impl Fn(&str) -> bool) {
    let golden = folder.read(file);
    let mut pointers = Vec::new();
    numbers(&golden, "", &mut pointers);
    let results: Vec<_> = pointers
        .into_iter()
        .filter(|pointer| is_result(pointer))
        .collect();
    assert!(results.len() > 10, "{file}: {} results", results.len());
    for pointer in results.iter().step_by(step) {
        let value = other(golden.pointer(pointer).unwrap());
        let report = folder.with(file, pointer, value.clone());
        assert!(failed(&report), "{file}: {pointer} = {value} passes");
    }
}

/// Whether a pointer ends in one of these entries, or is inside one of them.
fn is_in(pointer: &str, entries: &[&str]) -> bool {
    pointer.split('/').any(|part| entries.contains(&part))
}

#[test]
fn a_changed_draw_fails() {
    let folder = Folder::new("random", &STATISTICS[..1]);
    every_change_fails(&folder, STATISTICS[0], 37, |pointer| {
        !pointer.ends_with("/seed")
    });
    let report = folder.with(STATISTICS[0], "/0/seed", json!(12345));
    assert!(failed(&report));
}

#[test]
fn a_changed_statistic_fails() {
    let folder = Folder::new("statistics", &STATISTICS[1..2]);
    let inputs = ["x", "y", "oracle", "learned", "po", "pl", "hw"];
    every_change_fails(&folder, STATISTICS[1], 3, |pointer| {
        let power_episodes = pointer.contains("/power/") && pointer.ends_with("/n");
        !is_in(pointer, &inputs) && !power_episodes
    });
    let correlations = folder.read(STATISTICS[1])["correlations"].clone();
    let constant = correlations
        .as_array()
        .unwrap()
        .iter()
        .position(|c| c["spearman"].is_null());
    let place = format!("/correlations/{}", constant.unwrap());
    for (entry, value) in [
        ("spearman", json!(0.5)),
        ("spearman_error", json!("other words")),
        ("kendall_error", json!("other words")),
    ] {
        let report = folder.with(STATISTICS[1], &format!("{place}/{entry}"), value);
        assert!(failed(&report), "{entry}");
    }
    let report = folder.with(
        STATISTICS[1],
        "/cpg/cases/0/verdict",
        json!("MODEL BOTTLENECK"),
    );
    assert!(failed(&report));
}

#[test]
fn a_changed_correlation_fails() {
    let folder = Folder::new("correlate", &STATISTICS[2..3]);
    every_change_fails(&folder, STATISTICS[2], 5, |pointer| {
        is_in(pointer, &["result"])
    });
    for (pointer, value) in [
        ("/0/result/comparability_note", json!("another note")),
        ("/0/result/metrics/0/metric", json!("m9")),
        ("/4/result/metrics/1/skipped", json!("other words")),
        ("/0/seed", json!(1)),
        ("/0/alpha", json!(0.1)),
        ("/1/method", json!("spearman")),
    ] {
        assert!(
            failed(&folder.with(STATISTICS[2], pointer, value)),
            "{pointer}"
        );
    }
}

#[test]
fn a_changed_environment_fails() {
    let folder = Folder::new("within", &STATISTICS[3..]);
    every_change_fails(&folder, STATISTICS[3], 1, |pointer| {
        is_in(pointer, &["within_env_correlation"])
    });
    assert!(failed(&folder.with(
        STATISTICS[3],
        "/rows/0/gap",
        json!(0.9)
    )));
}

/// Some of the published files, in a folder of their own.
fn published(test: &str, files: &[usize]) -> Folder {
    let files: Vec<&str> = files.iter().map(|at| PUBLISHED[*at]).collect();
    // A folder is told by one of the files that every set of this family has.
    Folder::new(test, &[&files[..], &STATISTICS[..1]].concat())
}

fn these_fail(folder: &Folder, changes: &[(&str, &str, Value)]) {
    for (file, pointer, value) in changes {
        let report = folder.with(file, pointer, value.clone());
        assert!(failed(&report), "{file}: {pointer}");
    }
}

#[test]
fn a_changed_published_correlation_or_sweep_fails() {
    let folder = published("sweep", &[0, 1]);
    // Each time the sweep is made again; that every number is compared is seen with the bundles above.
    every_change_fails(&folder, PUBLISHED[1], 7, |_| true);
    these_fail(
        &folder,
        &[
            (PUBLISHED[0], "/cells/20/success_rate", json!(0.95)),
            (PUBLISHED[0], "/cells/6/m3_action_agreement", json!(0.7469)),
            (PUBLISHED[0], "/cells/0/m3_action_agreement", json!(0.5)),
            (PUBLISHED[0], "/config/num_candidates", json!(90)),
            (PUBLISHED[0], "/cells/20/success_rate", json!(0.36)),
            (PUBLISHED[0], "/cells/3/m1_mismatch", json!(0.46881)),
            (PUBLISHED[0], "/cells/3/seed", json!(2)),
            (PUBLISHED[0], "/cells/3/m2_kstep_divergence", json!(-1.0)),
            (PUBLISHED[0], "/schema_version", json!("2.0")),
            (PUBLISHED[0], "/metric", json!("other")),
            (PUBLISHED[0], "/env", json!("dmc_reacher")),
            (PUBLISHED[1], "/schema_version", json!("1.1")),
            (PUBLISHED[1], "/metric", json!("other")),
        ],
    );
}

/// Tables are what an audit starts from, but must fit to the rest.
#[test]
fn a_changed_published_audit_fails() {
    let folder = published("audit", &[2, 3]);
    every_change_fails(&folder, PUBLISHED[2], 1, |_| true);
    these_fail(
        &folder,
        &[
            (PUBLISHED[2], "/cells/0/verdict", json!("INCONCLUSIVE")),
            (PUBLISHED[2], "/schema_version", json!("1.1")),
            (PUBLISHED[2], "/metric", json!("other")),
        ],
    );
}

#[test]
fn a_changed_published_gap_fails() {
    let folder = published("gaps", &[3]);
    let inputs = ["decoder_full_mse", "config"];
    every_change_fails(&folder, PUBLISHED[3], 1, |pointer| {
        let inside = is_in(pointer, &["oracle_steps", "learned_steps"]);
        !is_in(pointer, &inputs) && !inside
    });
    these_fail(
        &folder,
        &[
            (PUBLISHED[3], "/cells/0/verdict", json!("MODEL BOTTLENECK")),
            (PUBLISHED[3], "/cells/0/learned_steps/5", json!(499)),
            (PUBLISHED[3], "/cells/0/oracle_steps/0", json!(501)),
            (
                PUBLISHED[3],
                "/cells/0/config/benchmark_episodes",
                json!(11),
            ),
            (
                PUBLISHED[3],
                "/cells/0/file",
                json!("results/dmc_reacher/tdmpc2_cpg_seed1.json"),
            ),
            (PUBLISHED[3], "/cells/0/env", json!("dmc_cartpole")),
            (PUBLISHED[3], "/cells/0/varied_init", json!(null)),
            (PUBLISHED[3], "/cells/3/seed", json!(0)),
            (PUBLISHED[3], "/cells/3/training_steps", json!(500_001)),
            (PUBLISHED[3], "/cells/3/varied_init", json!(false)),
        ],
    );
}

/// A copy of the gaps of one model, with what `change` makes of it.
fn changed_gaps(folder: &Folder, change: impl Fn(&mut Vec<Value>)) -> Report {
    let golden = folder.read(PUBLISHED[3]);
    // Without an oracle arm to run again: the oracle is told by its flags alone.
    let mut cells = golden["cells"].as_array().unwrap()[..4].to_vec();
    for cell in &mut cells {
        cell.as_object_mut().unwrap().remove("oracle_steps");
    }
    change(&mut cells);
    std::fs::write(
        folder.0.join(PUBLISHED[3]),
        json!({ "cells": cells }).to_string(),
    )
    .unwrap();
    let report = folder.verify();
    std::fs::write(folder.0.join(PUBLISHED[3]), golden.to_string()).unwrap();
    report
}

/// Gives the last of the cells the episodes of those before it.
fn list_episodes(cells: &mut [Value]) {
    let (pool, seeds) = cells.split_last_mut().unwrap();
    for key in ["oracle_success", "learned_success", "learned_steps"] {
        let lists = seeds.iter().flat_map(|cell| cell[key].as_array().unwrap());
        pool[key] = lists.cloned().collect();
    }
}

#[test]
fn steps_and_pools_hold_together() {
    let folder = published("steps", &[3]);
    assert!(!failed(&changed_gaps(&folder, |cells| list_episodes(
        cells
    ))));
    let first = |cells: &[Value], success: bool| {
        let flags = cells[0]["learned_success"].as_array().unwrap();
        flags
            .iter()
            .position(|flag| *flag == json!(success))
            .unwrap()
    };
    for (success, steps) in [(true, 501), (true, 0), (false, 499), (false, 501)] {
        let with_horizon = changed_gaps(&folder, |cells| {
            let at = first(cells, success);
            cells[0]["learned_steps"][at] = json!(steps);
        });
        assert!(failed(&with_horizon), "{success} {steps}");
    }
    // Failures tell the horizon where the settings do not.
    let alone = |steps: Option<u64>| {
        changed_gaps(&folder, |cells| {
            cells[0].as_object_mut().unwrap().remove("config");
            let at = first(cells, true);
            if let Some(steps) = steps {
                cells[0]["learned_steps"][at] = json!(steps);
            }
        })
    };
    assert!(!failed(&alone(None)));
    assert!(failed(&alone(Some(501))));
    // A pool repeats its cells, and one that does not fails in steps, in flags and in length.
    for key in ["learned_steps", "learned_success", "oracle_success"] {
        let report = changed_gaps(&folder, |cells| {
            list_episodes(cells);
            let list = cells[3][key].as_array_mut().unwrap();
            let at = list.iter().position(|value| *value != list[0]);
            match at {
                Some(at) => list.swap(0, at),
                None => drop(list.pop()),
            }
        });
        assert!(failed(&report), "{key}");
    }
}

#[test]
fn other_files_of_the_same_layout_are_not_judged_by_the_registry() {
    let folder = published("other", &[3]);
    let report = changed_gaps(&folder, |cells| {
        cells.truncate(1);
        cells[0]["file"] = json!("runs/mine.json");
        cells[0]["varied_init"] = json!(false);
        cells[0]["seed"] = json!(17);
    });
    assert!(!failed(&report), "{:#?}", report.lines());
    let lines = format!("{:#?}", report.lines());
    assert!(lines.contains("not of the published study"), "{lines}");
}
