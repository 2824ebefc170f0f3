//! `attractor flow sample`.

use crate::support::{attractor, good, refused, scratch};
use attractor::formats::{Array, ArrayMap, npz, safetensors};
use attractor::worlds::driving::{CONDITION_VALUES, Drive};
use std::path::{Path, PathBuf};
use std::process::Output;

const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/assets/drivechunk_decoder.safetensors"
);
const STATISTICS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/assets/drivechunk_statistics.json"
);
const SMALL: [&str; 4] = ["--draws", "3", "--steps", "2"];
pub const DRIVE: [&str; 4] = ["--drives", "24", "--frames", "5"];

pub fn flow(parts: &[&[&str]]) -> Output {
    attractor([&["flow"][..], &parts.concat()].concat())
}

pub fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn file_of(name: &str, arrays: &[(&str, &[usize], Vec<f32>)]) -> PathBuf {
    let file = scratch(name);
    let mut map = ArrayMap::new(&file);
    for (array, shape, values) in arrays {
        map.insert(*array, Array::new(shape, values.clone()).unwrap())
            .unwrap();
    }
    npz::save(&file, &map).unwrap();
    file
}

/// Draws to a file, and what is in it.
fn sampled(name: &str, parts: &[&[&str]]) -> ArrayMap {
    let file = scratch(name);
    let to = ["--force", "--out", word(&file)];
    let all = [&[&["sample"][..], &to][..], parts].concat();
    assert_eq!(good(&flow(&all)), "");
    npz::load(&file).unwrap()
}

fn run_of(map: &ArrayMap) -> serde_json::Value {
    let text = map.expect_strings("run", &[]).unwrap();
    serde_json::from_str(&text[0]).unwrap()
}

#[test]
fn draws_of_drives_are_written_raw_and_in_model_space() {
    let map = sampled("flow_draws.npz", &[&DRIVE, &SMALL, &["--record"]]);
    let drive = Drive::generate(24, 5);
    let raw = map.expect_finite_f32("draws", &[5, 3, 6, 3]).unwrap();
    let model = map.expect_finite_f32("draws_model", &[5, 3, 6, 2]).unwrap();
    // Gas and brake are never pressed together, and steering stays within the fitted range.
    for action in raw.chunks_exact(3) {
        assert!(action[0] == 0.0 || action[1] == 0.0, "{action:?}");
        assert!(action[2].abs() <= 1.0);
    }
    assert_eq!(map.expect_f32("truth", &[5, 6, 3]).unwrap(), drive.targets);
    assert_eq!(map.expect_i64("row", &[5]).unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(map.expect_i32("frame", &[5]).unwrap(), [5, 6, 7, 8, 9]);
    assert_eq!(
        map.expect_strings("input_id", &[5]).unwrap()[4],
        "drive-24/000004"
    );
    assert_eq!(map.expect_f64("times", &[3]).unwrap(), [0.0, 0.5, 1.0]);
    let states = map.expect_f32("trajectories", &[5, 3, 3, 6, 2]).unwrap();
    for (path, end) in states.chunks_exact(36).zip(model.chunks_exact(12)) {
        assert_eq!(&path[24..], end);
    }
    let run = run_of(&map);
    assert_eq!(run["weights"], "assets/drivechunk_decoder.safetensors");
    assert_eq!(run["sampler"]["solver"]["fixed"]["method"], "heun");
    assert_eq!(
        run["sampler"]["statistics"],
        "assets/drivechunk_statistics.json"
    );
    for key in ["version", "device", "driver", "seed", "weights_hash"] {
        assert!(!run[key].is_null(), "{key}");
    }
}

#[test]
fn sources_weights_and_shards_give_the_same_draws() {
    let all = sampled("flow_all.npz", &[&DRIVE, &SMALL]);
    // The same weights and statistics as files.
    let files = ["--weights", WEIGHTS, "--statistics", STATISTICS];
    let again = sampled("flow_files.npz", &[&DRIVE, &SMALL, &files]);
    assert_eq!(all.get("draws").unwrap(), again.get("draws").unwrap());
    // The same conditions as a cache and as plain arrays.
    let cache = scratch("flow_cache.safetensors");
    let generate = [
        "drive",
        "generate",
        "--force",
        "--precision",
        "f32",
        "--out",
        word(&cache),
    ];
    good(&attractor([&generate[..], &DRIVE].concat()));
    let drive = Drive::generate(24, 5);
    let plain = file_of(
        "flow_plain.npz",
        &[("cond", &[5, 12, 16], drive.conditions.clone())],
    );
    for (index, file) in [&cache, &plain].into_iter().enumerate() {
        let map = sampled(
            &format!("flow_source_{index}.npz"),
            &[&[word(file)], &SMALL],
        );
        assert_eq!(all.get("draws").unwrap(), map.get("draws").unwrap());
        assert_eq!(map.contains("truth"), index == 0);
    }
    for array in ["draws", "draws_model", "truth"] {
        let part = |shard: &str| {
            let name = format!("flow_shard_{}.npz", shard.replace('/', "_"));
            let map = sampled(&name, &[&DRIVE, &SMALL, &["--shard", shard]]);
            map.get(array).unwrap().to_f32().unwrap()
        };
        let union = [part("1/3"), part("2/3"), part("3/3")].concat();
        assert_eq!(all.get(array).unwrap().to_f32().unwrap(), union, "{array}");
    }
    // More parts than frames: some are empty.
    let empty = sampled("flow_empty.npz", &[&DRIVE, &SMALL, &["--shard", "1/6"]]);
    assert_eq!(empty.get("draws").unwrap().shape(), [0, 3, 6, 3]);
    // A part of the rows keeps its draws where its numbers are the same.
    let other = sampled("flow_seed.npz", &[&DRIVE, &SMALL, &["--seed", "1"]]);
    assert_ne!(all.get("draws").unwrap(), other.get("draws").unwrap());
}

#[test]
fn recorded_noise_is_replayed() {
    let conditions = Drive::generate(24, 2).conditions;
    let data = file_of("flow_noise_data.npz", &[("cond", &[2, 12, 16], conditions)]);
    let noise: Vec<f32> = (0..2 * 3 * 12).map(|i| (i as f32 * 0.37).sin()).collect();
    let file = file_of("flow_noise.npz", &[("noise", &[2, 3, 6, 2], noise.clone())]);
    let flags = [word(&data), "--noise", word(&file), "--record"];
    let map = sampled("flow_replayed.npz", &[&flags, &SMALL]);
    let states = map.expect_f32("trajectories", &[2, 3, 3, 6, 2]).unwrap();
    for (path, start) in states.chunks_exact(36).zip(noise.chunks_exact(12)) {
        assert_eq!(&path[..12], start);
    }
    assert_eq!(run_of(&map)["sampler"]["noise"], word(&file));
    // Shards and strides take their own rows of it.
    let second = sampled(
        "flow_replayed_2.npz",
        &[&flags, &SMALL, &["--shard", "2/2"]],
    );
    let of = |map: &ArrayMap| map.get("draws").unwrap().to_f32().unwrap();
    assert_eq!(of(&map)[54..], of(&second));

    let wrong = file_of(
        "flow_noise_wrong.npz",
        &[("noise", &[2, 4, 6, 2], vec![0.0; 96])],
    );
    let flags = [word(&data), "--noise", word(&wrong)];
    refused(
        &flow(&[&["sample"], &flags, &SMALL]),
        2,
        &[word(&wrong), "noise", "[2, 3, 6, 2]", "[2, 4, 6, 2]"],
    );
    refused(
        &flow(&[&["sample"], &flags, &["--seed", "1"]]),
        2,
        &["--seed", "--noise"],
    );
}

#[test]
fn rows_that_are_not_finite_are_dropped_and_counted() {
    let drive = Drive::generate(24, 4);
    let (mut conditions, mut actions) = (drive.conditions, drive.targets);
    conditions[CONDITION_VALUES] = f32::NAN;
    actions[2 * 18] = f32::INFINITY;
    let shape: &[usize] = &[4, 12, 16];
    let file = file_of(
        "flow_nan.npz",
        &[
            ("cond", shape, conditions),
            ("target_actions", &[4, 6, 3], actions),
        ],
    );
    let output = flow(&[&["sample", word(&file), "--format", "json"], &SMALL]);
    let json: serde_json::Value = serde_json::from_str(&good(&output)).unwrap();
    assert_eq!(json["run"]["sampler"]["dropped"], 2);
    let rows: Vec<_> = json["frames"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["row"].clone())
        .collect();
    assert_eq!(rows, [0, 3]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("dropped  2 of 4 rows"), "{said}");

    let nothing = file_of(
        "flow_nothing.npz",
        &[("cond", shape, vec![f32::NAN; 4 * CONDITION_VALUES])],
    );
    let output = flow(&[&["sample", word(&nothing)], &SMALL]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("expected rows of finite numbers")
    );
}

#[test]
fn draws_are_printed() {
    let table = good(&flow(&[&["sample"], &DRIVE, &SMALL]));
    assert!(
        table.contains("steering, mean") && table.contains("drive-24/000004"),
        "{table}"
    );
    let output = flow(&[
        &["sample", "--explain", "--model-space", "--format", "jsonl"],
        &DRIVE,
        &SMALL,
    ]);
    let lines = good(&output);
    assert_eq!(lines.lines().count(), 5);
    for line in lines.lines() {
        let frame: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(frame["space"], "model");
        assert_eq!(frame["draws"].as_array().unwrap().len(), 3);
        assert_eq!(frame["draws"][2][5].as_array().unwrap().len(), 2);
        assert!(frame["run"]["sampler"]["statistics"].is_null());
    }
    let said = String::from_utf8(output.stderr).unwrap();
    for words in [
        "model space (no --statistics)",
        "a solver step",
        "us of the host a dispatch",
        "4.0 evaluations a draw",
        "bytes of working memory",
        "output_projection",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let output = flow(&[&["sample", "--solver", "adaptive", "--draws", "2"], &DRIVE]);
    good(&output);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("steps accepted")
    );
}

#[test]
fn numbers_and_files_that_do_not_fit_are_refused() {
    let cases: [(&[&str], &[&str]); 12] = [
        (&["--draws", "0"], &["--draws", "at least 1"]),
        (&["--steps", "0"], &["steps", "found 0"]),
        (&["--steps", "-1"], &["--steps", "-1"]),
        (&["--rtol", "1e-3"], &["--rtol", "adaptive", "heun"]),
        (
            &["--solver", "adaptive", "--steps", "3"],
            &["--steps", "equal steps"],
        ),
        (
            &["--solver", "adaptive", "--atol", "-1"],
            &["absolute tolerance", "-1"],
        ),
        (&["--solver", "leapfrog"], &["leapfrog", "dormand_prince5"]),
        (&["--temperature", "nan"], &["--temperature", "NaN"]),
        (&["--frame-stride", "0"], &["--frame-stride", "at least 1"]),
        (
            &["--statistics", "/no/such.json"],
            &["/no/such.json", "cannot open"],
        ),
        (&["--tokens", "11"], &["cond", "[N, 11, 16]", "[5, 12, 16]"]),
        (&["--heads", "3"], &["heads = 3", "64"]),
    ];
    for (flags, words) in cases {
        refused(&flow(&[&["sample"], &DRIVE, flags]), 2, words);
    }
    let never = [
        "sample",
        "--frames",
        "5",
        "--solver",
        "adaptive",
        "--max-steps",
        "1",
        "--drives",
        "24",
    ];
    let output = flow(&[&never]);
    assert_eq!(output.status.code(), Some(5));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("attempts were used up")
    );
    refused(&flow(&[&["sample"]]), 2, &["--drives"]);

    let wide = file_of("flow_wide.npz", &[("cond", &[1, 12, 17], vec![0.0; 204])]);
    refused(
        &flow(&[&["sample", word(&wide)]]),
        2,
        &[word(&wide), "[N, 12, 16]", "[1, 12, 17]"],
    );
    let flat = file_of("flow_flat.npz", &[("cond", &[1, 204], vec![0.0; 204])]);
    refused(
        &flow(&[&["sample", word(&flat)]]),
        2,
        &[word(&flat), "[N, S, Dc]"],
    );
    let short: &[(&str, &[usize], Vec<f32>)] = &[
        ("cond", &[1, 12, 16], vec![0.0; 192]),
        ("target_actions", &[1, 4, 3], vec![0.0; 12]),
    ];
    let short = file_of("flow_short.npz", short);
    refused(
        &flow(&[&["sample", word(&short)]]),
        2,
        &[word(&short), "target_actions", "[N, 6, 3]"],
    );
    let old: &[(&str, &[usize], Vec<f32>)] = &[
        ("cond", &[1, 12, 16], vec![0.0; 192]),
        ("frame_idx", &[1, 6], vec![0.0; 6]),
    ];
    let old = file_of("flow_old.npz", old);
    refused(
        &flow(&[&["sample", word(&old)]]),
        2,
        &[word(&old), "stale", "schema 1"],
    );
}

#[test]
fn files_are_kept_unless_forced() {
    let file = scratch("flow_kept.npz");
    std::fs::write(&file, b"mine").unwrap();
    let to = ["--out", word(&file)];
    for command in ["sample", "advise", "field"] {
        let words = [word(&file), "exists", "--force"];
        refused(&flow(&[&[command], &DRIVE, &to]), 2, &words);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    good(&flow(&[&["sample", "--force"], &DRIVE, &SMALL, &to]));
    assert!(npz::load(&file).unwrap().contains("draws"));
}

#[test]
fn shapes_come_from_the_weights_and_heads_from_somewhere() {
    let weights = scratch("flow_alone.safetensors");
    std::fs::copy(WEIGHTS, &weights).unwrap();
    let beside = weights.with_extension("json");
    let _ = std::fs::remove_file(&beside);
    let flags = ["--weights", word(&weights)];
    let command = |more: &[&str]| {
        flow(&[
            &["sample", "--format", "json"],
            &DRIVE,
            &SMALL,
            &flags,
            more,
        ])
    };
    refused(
        &command(&[]),
        2,
        &[word(&weights), "attention heads", "--heads"],
    );
    let draws = |output: &Output| -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_str(&good(output)).unwrap();
        json["frames"][0]["draws"].clone()
    };
    let told = draws(&command(&["--heads", "4"]));
    assert_eq!(told, draws(&command(&["--heads", "4", "--tokens", "12"])));
    assert_ne!(told, draws(&command(&["--heads", "2"])));
    assert_ne!(
        told,
        draws(&command(&[
            "--heads",
            "4",
            "--time-direction",
            "noise-at-one"
        ]))
    );
    std::fs::write(&beside, r#"{"config": {"heads": 4, "layers": 2}}"#).unwrap();
    assert_eq!(told, draws(&command(&[])));
    std::fs::write(&beside, r#"{"config": {"heads": 4, "layers": 3}}"#).unwrap();
    refused(
        &command(&[]),
        2,
        &[word(&beside), "layers", "expected 2", "found 3"],
    );
    std::fs::write(&beside, r#"{"layers": 2}"#).unwrap();
    refused(&command(&[]), 2, &["attention heads", "no key 'heads'"]);
    std::fs::remove_file(&beside).unwrap();

    let head = scratch("flow_head.safetensors");
    let mut map = safetensors::load(WEIGHTS).unwrap();
    let queries = Array::new(&[6, 64], vec![0.0f32; 6 * 64]).unwrap();
    map.insert("slot_queries.weight", queries).unwrap();
    safetensors::save(&head, &map).unwrap();
    let flags = ["sample", "--weights", word(&head), "--heads", "4"];
    refused(
        &flow(&[&flags, &DRIVE]),
        2,
        &[word(&head), "regression head"],
    );
}

/// Noise goes by the number of a row in its source: rows left out change no other draw.
#[test]
fn draws_do_not_depend_on_the_rows_around_them() {
    let folder = scratch("flow_rows");
    std::fs::create_dir_all(&folder).unwrap();
    let sampled = |name: &str, more: &[&str]| {
        let out = folder.join(name);
        let _ = std::fs::remove_file(&out);
        let out_text = out.to_str().unwrap();
        let base = [
            "flow", "sample", "--device", "cpu", "--drives", "24", "--frames", "21", "--draws",
            "3", "--solver", "euler", "--steps", "2", "--out", out_text,
        ];
        good(&attractor(base.iter().chain(more)));
        let arrays = attractor::formats::load_arrays(&out).unwrap();
        let draws = arrays.get("draws_model").unwrap();
        let width: usize = draws.shape()[1..].iter().product();
        (draws.to_f32().unwrap(), width)
    };
    let (all, width) = sampled("all.npz", &[]);
    let (some, _) = sampled("some.npz", &["--frame-stride", "10"]);
    assert_eq!(some.len(), 3 * width);
    for (place, row) in [0, 10, 20].into_iter().enumerate() {
        let found = &some[place * width..(place + 1) * width];
        assert_eq!(found, &all[row * width..(row + 1) * width], "row {row}");
    }
}

/// Sizes that no memory holds are refused before the work.
#[test]
fn hostile_sizes_are_refused() {
    let folder = scratch("flow_hostile");
    std::fs::create_dir_all(&folder).unwrap();
    let out = folder.join("out.npz");
    let out = out.to_str().unwrap();
    for draws in ["4000000000", "18446744073709551615"] {
        for command in ["sample", "predict"] {
            let arguments = [
                "flow", command, "--drives", "24", "--frames", "2", "--draws", draws, "--out", out,
            ];
            refused(&attractor(arguments), 2, &["--draws", "at most"]);
        }
    }
    let recorded = [
        "flow", "sample", "--drives", "24", "--frames", "2", "--draws", "4096", "--steps",
        "100000", "--record", "--out", out,
    ];
    let output = attractor(recorded);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(
        complaint.contains("record: expected at most"),
        "{complaint}"
    );
    let fit = folder.join("fit.json");
    let fit = fit.to_str().unwrap();
    for levels in ["4000000000", "18446744073709551615"] {
        let arguments = [
            "flow", "fit", "--drives", "24", "--levels", levels, "--out", fit,
        ];
        refused(&attractor(arguments), 2, &["levels", "2 to 1048576"]);
    }
}
