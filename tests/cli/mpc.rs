//! `attractor mpc`.

use crate::support::{attractor, good, refused, scratch, text};
use attractor::formats::{Array, ArrayMap, load_arrays, npz, safetensors};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/worldmodel/tdmpc2_tiny"
);

/// A model of random weights with its configuration beside it.
fn model(name: &str) -> PathBuf {
    let file = scratch(&format!("{name}.safetensors"));
    let mut map = ArrayMap::new(&file);
    let all = load_arrays(format!("{GOLDEN}.safetensors")).unwrap();
    for (name, array) in all.iter() {
        if let Some(name) = name.strip_prefix("w.") {
            map.insert(name, array.clone()).unwrap();
        }
    }
    safetensors::save(&file, &map).unwrap();
    std::fs::copy(format!("{GOLDEN}.json"), file.with_extension("json")).unwrap();
    file
}

/// A file of observations `[count, width]`.
fn observations(name: &str, shape: [usize; 2], change: impl Fn(&mut [f32])) -> PathBuf {
    let file = scratch(name);
    let count = shape[0] * shape[1];
    let mut values: Vec<f32> = (0..count).map(|at| (at as f32 * 0.37).sin()).collect();
    change(&mut values);
    let mut map = ArrayMap::new(&file);
    map.insert("obs", Array::new(&shape, values).unwrap())
        .unwrap();
    npz::save(&file, &map).unwrap();
    file
}

fn mpc(weights: &Path, obs: &Path, more: &[&str]) -> Output {
    let files = [weights, obs].map(|path| path.to_str().unwrap());
    let words = ["mpc", "--weights", files[0], "--obs", files[1]];
    attractor([&words[..], more].concat())
}

#[test]
fn formats_say_the_same() {
    let model = model("mpc_formats");
    let obs = observations("mpc_formats.npz", [3, 5], |_| ());
    let with = |format: &str| good(&mpc(&model, &obs, &["--eval", "--format", format]));
    let json: Value = serde_json::from_str(&with("json")).unwrap();
    let csv = with("csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "environment,action_0,value,best,candidate");
    assert_eq!(lines.len(), 4);
    let number = |cell: &str| cell.parse::<f64>().unwrap();
    for (plan, line) in json["plans"].as_array().unwrap().iter().zip(&lines[1..]) {
        let cells: Vec<&str> = line.split(',').collect();
        let action = number(cells[1]);
        assert_eq!(plan["action"][0].as_f64().unwrap(), action);
        assert!((-1.0..=1.0).contains(&action), "{line}");
        assert_eq!(plan["value"].as_f64().unwrap(), number(cells[2]));
        assert!(number(cells[2]) <= number(cells[3]), "{line}");
        assert_eq!(plan["candidate"], cells[4].parse::<u64>().unwrap());
        assert_eq!(plan["mean"].as_array().unwrap().len(), 3);
    }
    assert_eq!(json["run"]["sampler"]["planner"]["samples"], 64);
    assert_eq!(json["report"]["runs"], 3);
    let table = with("table");
    assert!(
        table.contains("action_0") && table.contains("latency of 1 calls"),
        "{table}"
    );
    assert!(with("md").starts_with("| environment |"));
}

#[test]
fn calls_follow_each_other_and_seeds_repeat() {
    let model = model("mpc_steps");
    let obs = observations("mpc_steps.npz", [2, 5], |_| ());
    let run = |name: &str, more: &[&str]| {
        let out = scratch(name);
        let _ = std::fs::remove_file(&out);
        let words = [more, &["--out", out.to_str().unwrap()]].concat();
        assert_eq!(good(&mpc(&model, &obs, &words)), "");
        load_arrays(&out).unwrap()
    };
    let actions =
        |arrays: &ArrayMap, count: usize| arrays.expect_f32("actions", &[count, 1]).unwrap();
    let one = run("mpc_one.npz", &["--seed", "3"]);
    assert_eq!(
        actions(&one, 2),
        actions(&run("mpc_again.npz", &["--seed", "3"]), 2)
    );
    assert_ne!(
        actions(&one, 2),
        actions(&run("mpc_other.npz", &["--seed", "4"]), 2)
    );
    let batch = run("mpc_batch.npz", &["--seed", "3", "--batch", "2"]);
    assert_eq!(actions(&one, 2), actions(&batch, 2));
    let three = run("mpc_three.npz", &["--seed", "3", "--steps", "3"]);
    assert_ne!(actions(&one, 2), actions(&three, 2));
    assert_eq!(three.expect_f64("seconds", &[3]).unwrap().len(), 3);
    let many = run("mpc_many.npz", &["--seed", "3", "--environments", "5"]);
    assert_eq!(actions(&many, 5)[..2], actions(&one, 2)[..]);
    assert_eq!(many.expect_f32("means", &[5, 3, 1]).unwrap().len(), 15);
    let text = text(&mpc(&model, &obs, &["--steps", "4"]));
    assert_eq!(text.matches(" ms ").count(), 10, "{text}");
}

/// Cartpole hanging down under random weights: every reward is known to lie between 0 and 1.
#[test]
fn episodes_are_closed_loops() {
    let model = model("mpc_episodes");
    let model = model.to_str().unwrap();
    let run = |more: &[&str]| {
        let words = ["mpc", "--weights", model, "--env", "dmc_cartpole"];
        attractor([&words[..], more].concat())
    };
    let csv = |more: &[&str]| good(&run(&[more, &["--format", "csv"]].concat()));
    let two = csv(&["--environments", "2", "--steps", "5", "--seed", "1"]);
    let lines: Vec<&str> = two.lines().collect();
    assert!(
        lines[0].ends_with("candidate,return,last_reward,solved"),
        "{two}"
    );
    for line in &lines[1..] {
        let sum: f64 = line.split(',').nth(5).unwrap().parse().unwrap();
        assert!((0.0..=5.0).contains(&sum), "{line}");
    }
    // An episode does not depend on those beside it.
    let one = csv(&["--environments", "1", "--steps", "5", "--seed", "1"]);
    assert_eq!(one.lines().nth(1), Some(lines[1]));
    assert_ne!(lines[1].split_once(','), lines[2].split_once(','));
    refused(&run(&["--steps", "1001"]), 2, &["--steps", "1000"]);
    refused(&run(&["--seed", "4294967296"]), 2, &["--seed", "32 bits"]);
    let words = ["mpc", "--weights", model, "--env"];
    let of = |task: &str| attractor([&words[..], &[task]].concat());
    refused(
        &of("dmc_reacher"),
        2,
        &["dmc_reacher", "obs_dim 6", "found 5"],
    );
    refused(&of("hopper"), 2, &["hopper", "dmc_acrobot"]);
}

#[test]
fn the_graph_is_explained() {
    let model = model("mpc_explain");
    let obs = observations("mpc_explain.npz", [1, 5], |_| ());
    let shown = good(&mpc(&model, &obs, &["--explain"]));
    for part in ["mppi_update", "member4.", "encoder."] {
        assert!(shown.contains(part), "{shown}");
    }
}

/// Numbers that single precision holds, and whose products it does not: no candidate has a value.
#[test]
fn an_environment_without_finite_values_is_a_numeric_failure() {
    let model = model("mpc_overflow");
    let huge = observations("mpc_huge.npz", [3, 5], |values| values[5..10].fill(3e38));
    for batch in ["1", "2", "3"] {
        // The header of the run stands before the error.
        let output = mpc(&model, &huge, &["--batch", batch]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{complaint}");
        let words = ["error: environment 1: iteration 0", "finite values"];
        let last = complaint.lines().last().unwrap();
        assert!(words.iter().all(|word| last.contains(word)), "{complaint}");
        assert!(output.stdout.is_empty());
    }
    let file = scratch("mpc_double.npz");
    let mut map = ArrayMap::new(&file);
    let values = vec![0.0, 0.0, 1e39, 0.0, 0.0];
    map.insert("obs", Array::new(&[1, 5], values).unwrap())
        .unwrap();
    npz::save(&file, &map).unwrap();
    let words = ["mpc_double.npz", "obs[2]", "single precision"];
    refused(&mpc(&model, &file, &[]), 2, &words);
}

#[test]
fn the_width_of_a_bin_must_follow_from_the_range() {
    let model = model("mpc_bins");
    let obs = observations("mpc_bins.npz", [1, 5], |_| ());
    let file = model.with_extension("json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["config"]["bin_size"], 0.2);
    json["config"]["bin_size"] = 0.5.into();
    std::fs::write(&file, json.to_string()).unwrap();
    let words = ["mpc_bins.json", "bin_size", "0.2", "found 0.5"];
    refused(&mpc(&model, &obs, &[]), 2, &words);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let model = model("mpc_bad");
    let obs = observations("mpc_bad.npz", [2, 5], |_| ());
    let nan = observations("mpc_nan.npz", [2, 5], |values| values[7] = f32::NAN);
    refused(
        &mpc(&model, &nan, &[]),
        2,
        &["mpc_nan.npz", "obs[7]", "NaN"],
    );
    let wide = observations("mpc_wide.npz", [2, 6], |_| ());
    refused(
        &mpc(&model, &wide, &[]),
        2,
        &["mpc_wide.npz", "[N, 5]", "[2, 6]"],
    );
    let with = |more: &[&str], words: &[&str]| refused(&mpc(&model, &obs, more), 2, words);
    with(&["--samples", "0"], &["samples", "at least 1"]);
    with(
        &["--elites", "65"],
        &["elites", "at most samples = 64", "65"],
    );
    with(&["--policies", "65"], &["policy trajectories", "65"]);
    with(&["--iterations", "0"], &["iterations"]);
    with(&["--horizon", "0"], &["horizon"]);
    with(&["--steps", "0"], &["--steps"]);
    with(&["--environments", "0"], &["--environments"]);
    with(&["--task", "1"], &["task"]);
    with(&["--config", "/nowhere.json"], &["/nowhere.json"]);
    let config = scratch("mpc_config.json");
    std::fs::write(&config, "{\"obs_dim\": 5}").unwrap();
    with(&["--config", config.to_str().unwrap()], &["action_dim"]);
    std::fs::write(&config, "{").unwrap();
    with(&["--config", config.to_str().unwrap()], &["JSON"]);
    let out = scratch("mpc_there.npz");
    std::fs::write(&out, "x").unwrap();
    with(&["--out", out.to_str().unwrap()], &["--force"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"x");
}
