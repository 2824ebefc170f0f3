//! What `plan` and `info` put out.

use crate::support::{OBSERVATIONS, WEIGHTS, attractor, good, plan_shipped, scratch};
use attractor::formats::{Array, ArrayMap, DType, npz};
use serde_json::Value;
use std::process::{Command, Stdio};

/// Plans of the shipped observations as an npz file of this name.
fn planned(name: &str, more: &[&str]) -> ArrayMap {
    let file = scratch(name);
    let _ = std::fs::remove_file(&file);
    let mut flags = vec!["--out", file.to_str().unwrap()];
    flags.extend(more);
    assert_eq!(good(&attractor(plan_shipped(&flags))), "");
    npz::load(&file).unwrap()
}

fn tokens(map: &ArrayMap) -> Vec<i32> {
    map.get("plans").unwrap().to_i32().unwrap()
}

#[test]
fn the_file_holds_plans_goals_examples_and_the_run() {
    let map = planned("file.npz", &["--limit", "3", "--seed", "5"]);
    let plans = map.get("plans").unwrap();
    assert_eq!((plans.dtype(), plans.shape()), (DType::I8, &[3, 32][..]));
    assert!(tokens(&map).iter().all(|token| (0..12).contains(token)));
    let goal = map.expect_f32("goal", &[3, 2]).unwrap();
    assert!(goal.iter().all(|share| share.is_finite()));
    assert_eq!(map.expect_i64("example", &[3]).unwrap(), [0, 1, 2]);
    let run = map.expect_strings("run", &[]).unwrap();
    let run: Value = serde_json::from_str(&run[0]).unwrap();
    assert_eq!(run["seed"], 5);
    assert_eq!(run["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(run["weights_hash"].as_str().unwrap().len(), 16);
    assert_eq!(run["sampler"]["sampler"], "remdm_bernoulli");
    // From the configuration beside the weights.
    assert_eq!(run["sampler"]["steps"], 10);
    assert_eq!(run["sampler"]["top_p"], 0.9);
}

#[test]
fn formats_agree() {
    let expected = tokens(&planned("formats.npz", &["--limit", "3"]));
    let printed = |format| {
        good(&attractor(plan_shipped(&[
            "--limit", "3", "--format", format,
        ])))
    };
    let row = |plan: &Value| -> Vec<i32> { serde_json::from_value(plan["plan"].clone()).unwrap() };

    let json: Value = serde_json::from_str(&printed("json")).unwrap();
    let rows = json["plans"].as_array().unwrap();
    assert_eq!(rows.iter().flat_map(row).collect::<Vec<_>>(), expected);
    assert!(json["run"]["driver"].is_string() && json["run"]["device"].is_string());

    let lines: Vec<Value> = printed("jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.iter().flat_map(row).collect::<Vec<_>>(), expected);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line["example"], number);
        for key in [
            "version",
            "device",
            "driver",
            "seed",
            "weights_hash",
            "sampler",
        ] {
            assert!(!line["run"][key].is_null(), "{key}");
        }
    }

    let table = printed("table");
    assert_eq!(table.lines().count(), 4, "{table}");
    let last: Vec<i32> = (table.lines().last().unwrap().split_whitespace().rev())
        .take(32)
        .map(|word| word.parse().unwrap())
        .collect();
    assert!(last.iter().rev().eq(&expected[64..]));
}

#[test]
fn shards_together_are_the_whole() {
    let whole = planned("whole.npz", &["--limit", "10", "--seed", "9"]);
    let (mut plans, mut goals, mut examples) = (Vec::new(), Vec::new(), Vec::new());
    for shard in ["1/3", "2/3", "3/3"] {
        let name = format!("shard_{}.npz", shard.replace('/', "_of_"));
        let flags = ["--limit", "10", "--seed", "9", "--shard", shard];
        let part = planned(&name, &flags);
        plans.extend(tokens(&part));
        goals.extend(part.get("goal").unwrap().to_f32().unwrap());
        examples.extend(part.get("example").unwrap().to_i64().unwrap());
    }
    assert_eq!(plans, tokens(&whole));
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(
        bits(goals),
        bits(whole.get("goal").unwrap().to_f32().unwrap())
    );
    assert_eq!(examples, (0..10).collect::<Vec<i64>>());
}

#[test]
fn more_shards_than_observations_are_the_whole_too() {
    let whole = planned("few.npz", &["--limit", "2"]);
    let mut plans = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let name = format!("few_{}.npz", shard.replace('/', "_of_"));
        let part = planned(&name, &["--limit", "2", "--shard", shard]);
        let count = part.get("example").unwrap().len();
        // An empty part has the arrays of the others.
        part.expect_f32("goal", &[count, 2]).unwrap();
        plans.extend(tokens(&part));
    }
    assert_eq!(plans, tokens(&whole));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes = |name: &str, seed: &str| {
        planned(name, &["--limit", "9", "--seed", seed]);
        std::fs::read(scratch(name)).unwrap()
    };
    let first = bytes("seed_a.npz", "3");
    assert_eq!(first, bytes("seed_b.npz", "3"));
    assert_ne!(first, bytes("seed_c.npz", "4"));
}

#[test]
fn every_sampler_strategy_and_schedule_plans() {
    for flags in [
        &["--sampler", "greedy"][..],
        &["--sampler", "maskgit_remask", "--strategy", "rescale"],
        &[
            "--sampler",
            "maskgit_remask",
            "--strategy",
            "cap",
            "--noise-schedule",
            "cosine",
        ],
        &[
            "--sampler",
            "maskgit_remask",
            "--strategy",
            "conf",
            "--top-k",
            "2",
        ],
        &[
            "--sampler",
            "remdm_bernoulli",
            "--strategy",
            "rescale",
            "--eta",
            "0.4",
        ],
        &[
            "--sampler",
            "remdm_bernoulli",
            "--strategy",
            "cap",
            "--noise-schedule",
            "cosine_sq",
        ],
        &[
            "--sampler",
            "remdm_bernoulli",
            "--strategy",
            "loop",
            "--steps",
            "20",
        ],
        &["--physics-aware", "--blind-global"],
        &["--device", "cpu-f64"],
    ] {
        let mut all = vec!["--limit", "2", "--format", "json"];
        all.extend(flags);
        let json: Value = serde_json::from_str(&good(&attractor(plan_shipped(&all)))).unwrap();
        let plans = json["plans"].as_array().unwrap();
        let committed = plans
            .iter()
            .flat_map(|plan| plan["plan"].as_array().unwrap())
            .all(|token| token.as_i64().is_some_and(|token| (0..12).contains(&token)));
        assert!(plans.len() == 2 && committed, "{flags:?}");
    }
}

#[test]
fn replayed_numbers_decide_the_plan() {
    let draws = |name: &str, value: f32| {
        let file = scratch(name);
        let mut map = ArrayMap::new(&file);
        for array in ["u_cat", "u_unmask", "u_remask"] {
            let shape = [10, 350, 32];
            let values = vec![value; shape.iter().product()];
            map.insert(array, Array::new(&shape, values).unwrap())
                .unwrap();
        }
        npz::save(&file, &map).unwrap();
        file
    };
    let (low, high) = (draws("draws_low.npz", 0.1), draws("draws_high.npz", 0.9));
    let with = |name: &str, file: &std::path::Path, seed: &str| {
        let file = file.to_str().unwrap();
        tokens(&planned(
            name,
            &["--limit", "4", "--draws", file, "--seed", seed],
        ))
    };
    let first = with("replay_a.npz", &low, "1");
    assert_eq!(
        first,
        with("replay_b.npz", &low, "2"),
        "the seed plays no part"
    );
    assert_ne!(first, with("replay_c.npz", &high, "1"));
    let flags = [
        "--limit",
        "4",
        "--draws",
        low.to_str().unwrap(),
        "--shard",
        "2/2",
    ];
    assert_eq!(first[2 * 32..], tokens(&planned("replay_d.npz", &flags)));
}

#[test]
fn explaining_needs_no_run() {
    let graph = scratch("graph.json");
    let flags = [
        "--explain",
        "--dry-run",
        "--limit",
        "4",
        "--graph",
        graph.to_str().unwrap(),
    ];
    let printed = good(&attractor(plan_shipped(&flags)));
    for word in ["matmul", "attention", "dispatches", "peak working memory"] {
        assert!(printed.contains(word), "{word}");
    }
    let json: Value = serde_json::from_slice(&std::fs::read(&graph).unwrap()).unwrap();
    assert!(json["summary"]["working_bytes"].as_u64().unwrap() > 0);
    assert!(!json["graph"]["nodes"].as_array().unwrap().is_empty());
}

#[test]
fn peak_memory_is_known_before_the_run() {
    let output = attractor(plan_shipped(&["--limit", "20"]));
    good(&output);
    let notes = String::from_utf8(output.stderr).unwrap();
    let bytes = |end: &str| -> u64 {
        let line = notes.lines().find(|line| line.ends_with(end)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(bytes("memory needed"), bytes("memory used"), "{notes}");
}

#[test]
fn info_tests_every_device() {
    let json: Value = serde_json::from_str(&good(&attractor(["info", "--json"]))).unwrap();
    let devices = json["devices"].as_array().unwrap();
    assert_eq!(devices.last().unwrap()["kind"], "cpu");
    for device in devices.iter().filter(|device| device["usable"] == true) {
        assert_eq!(device["self_test"]["passed"], true, "{device}");
    }
    assert!(good(&attractor(["info"])).contains("self-test"));
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_attractor"))
        .args(["plan", "--weights", WEIGHTS, "--obs", OBSERVATIONS])
        .args(["--limit", "2", "--device", "cpu", "--format", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{complaint}");
    assert!(
        !complaint.contains("panicked") && !complaint.contains("error"),
        "{complaint}"
    );
}
