//! `attractor ftle` from the outside: textbook systems, reasoners, latent dynamics; refusals.

use super::support::{attractor, good, refused, scratch};
use attractor::formats::{Array, ArrayMap, load_arrays, npz, safetensors};
use serde_json::Value;
use std::path::PathBuf;

fn ftle(more: &[&str]) -> std::process::Output {
    attractor([&["ftle"], more].concat())
}

fn json(more: &[&str]) -> Value {
    let text = good(&ftle(&[more, &["--format", "json"]].concat()));
    serde_json::from_str(&text).unwrap()
}

fn exponents(document: &Value, example: usize) -> Vec<f64> {
    let exponents = document["examples"][example]["exponents"]
        .as_array()
        .unwrap();
    exponents
        .iter()
        .map(|e| e["value"].as_f64().unwrap())
        .collect()
}

/// Weights, configuration and puzzles of a recorded reasoner as files of this test's own.
fn reasoner(case: &str, examples: usize, name: &str) -> (PathBuf, PathBuf) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ftle/models/");
    let arrays = load_arrays(format!("{folder}{case}.safetensors")).unwrap();
    let weights = scratch(&format!("{name}.safetensors"));
    let mut map = ArrayMap::new(&weights);
    for (key, array) in arrays.iter() {
        if let Some(key) = key.strip_prefix("weights.") {
            map.insert(key, array.clone()).unwrap();
        }
    }
    safetensors::save(&weights, &map).unwrap();
    std::fs::copy(
        format!("{folder}{case}.json"),
        weights.with_extension("json"),
    )
    .unwrap();
    let cells = arrays.get("inputs").unwrap().shape()[1];
    let token = |at: usize| (at * 7 + at / cells * 3) as i32 % 5;
    let tokens: Vec<i32> = (0..examples * cells).map(token).collect();
    let puzzles = scratch(&format!("{name}.npz"));
    let mut map = ArrayMap::new(&puzzles);
    let labels = tokens.iter().map(|token| token + 1).collect::<Vec<i32>>();
    map.insert("inputs", Array::new(&[examples, cells], tokens).unwrap())
        .unwrap();
    map.insert("labels", Array::new(&[examples, cells], labels).unwrap())
        .unwrap();
    npz::save(&puzzles, &map).unwrap();
    (weights, puzzles)
}

#[test]
fn textbook_systems_have_the_exponents_of_the_literature() {
    let henon = json(&["--map", "henon", "--steps", "100000", "--device", "cpu-f64"]);
    let found = exponents(&henon, 0);
    assert!(
        (found[0] - 0.41922).abs() < 1e-3 && (found[1] + 1.62319).abs() < 1e-3,
        "{found:?}"
    );
    assert!((found[0] + found[1] - 0.3f64.ln()).abs() < 1e-9);
    // The error bars cover the literature, and the sum rule holds.
    for (estimate, known) in henon["examples"][0]["exponents"]
        .as_array()
        .unwrap()
        .iter()
        .zip([0.41922, -1.62319])
    {
        let (value, error) = (
            estimate["value"].as_f64().unwrap(),
            estimate["standard_error"].as_f64().unwrap(),
        );
        assert!((value - known).abs() < 4.0 * error, "{estimate}");
        assert!(error < 2e-3, "{estimate}");
    }
    assert!(henon["sum_rule"]["expected"].as_f64().unwrap() < -1.2);
    let cat = json(&["--map", "cat", "--steps", "2000"]);
    assert!((exponents(&cat, 0)[0] - 0.962_423_65).abs() < 1e-3);
    let ring = json(&[
        "--map",
        "lorenz96",
        "--parameter",
        "N=8",
        "--steps",
        "200",
        "--k",
        "3",
    ]);
    assert_eq!(exponents(&ring, 0).len(), 3);
    assert_eq!(ring["run"]["sampler"]["dimension"], 8);
}

#[test]
fn starts_and_formats() {
    let two = json(&[
        "--map", "lorenz63", "--steps", "1000", "--starts", "3", "--seed", "4",
    ]);
    assert_eq!(two["examples"].as_array().unwrap().len(), 3);
    assert_ne!(exponents(&two, 0), exponents(&two, 1));
    let text = good(&ftle(&["--map", "lorenz63", "--steps", "1000"]));
    assert!(
        text.contains("sum rule") && text.contains("Kaplan-Yorke"),
        "{text}"
    );
    let lines = good(&ftle(&[
        "--map", "cat", "--steps", "64", "--format", "jsonl",
    ]));
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["run"]["seed"], 0);
    let csv = good(&ftle(&["--map", "cat", "--steps", "64", "--format", "csv"]));
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("example,exponent,value,"));
    let markdown = good(&ftle(&["--map", "cat", "--steps", "64", "--format", "md"]));
    assert!(markdown.starts_with('|'), "{markdown}");
    let (out, figure) = (scratch("cat.npz"), scratch("cat"));
    let (out, figure) = (out.to_str().unwrap(), figure.to_str().unwrap());
    let words = [
        "--map",
        "cat",
        "--steps",
        "64",
        "--out",
        out,
        "--history",
        "--figure",
        figure,
        "--force",
    ];
    good(&ftle(&words));
    let arrays = load_arrays(out).unwrap();
    assert_eq!(arrays.get("lyap_spec").unwrap().shape(), [1, 2]);
    assert_eq!(arrays.get("log_r").unwrap().shape()[2], 2);
    let png = std::fs::read(format!("{figure}.png")).unwrap();
    assert_eq!(&png[1..4], b"PNG");
    assert!(
        std::fs::read_to_string(format!("{figure}.svg"))
            .unwrap()
            .contains("<svg")
    );
    refused(&ftle(&words[..words.len() - 1]), 2, &["cat.npz", "--force"]);
}

#[test]
fn a_linear_map_from_a_file() {
    let file = scratch("matrix.npz");
    let mut map = ArrayMap::new(&file);
    map.insert("A", Array::new(&[2, 2], vec![2.0, 0.0, 0.0, 0.5]).unwrap())
        .unwrap();
    npz::save(&file, &map).unwrap();
    let words = [
        "--map",
        "linear",
        "--matrix",
        file.to_str().unwrap(),
        "--steps",
        "64",
    ];
    let found = exponents(&json(&[&words[..], &["--covariant"]].concat()), 0);
    assert!((found[0] - 2.0f64.ln()).abs() < 1e-6 && (found[1] + 2.0f64.ln()).abs() < 1e-6);
    let bad = scratch("matrix_bad.npz");
    let mut map = ArrayMap::new(&bad);
    map.insert("A", Array::new(&[1, 2], vec![2.0, 0.0]).unwrap())
        .unwrap();
    npz::save(&bad, &map).unwrap();
    let bad = bad.to_str().unwrap();
    refused(
        &ftle(&["--map", "linear", "--matrix", bad]),
        2,
        &["matrix_bad.npz", "square", "[1, 2]"],
    );
}

#[test]
fn diagnostics_of_a_reasoner_and_their_analysis() {
    let (weights, puzzles) = reasoner("trm_tiny_full", 5, "ftle_trm");
    let (weights, puzzles) = (weights.to_str().unwrap(), puzzles.to_str().unwrap());
    let out = scratch("diag_whole.npz");
    let words = [
        "--model",
        "trm",
        "--weights",
        weights,
        "--data",
        puzzles,
        "--k",
        "3",
        "--steps",
        "6",
        "--force",
    ];
    let with = |more: &[&str]| ftle(&[&words[..], more].concat());
    good(&with(&["--out", out.to_str().unwrap(), "--history"]));
    let whole = load_arrays(&out).unwrap();
    for (name, shape) in [
        ("drift_zH", vec![5, 6]),
        ("drift_zL", vec![5, 6]),
        ("lyap_spec", vec![5, 3]),
        ("exact_correct", vec![5]),
        ("token_acc", vec![5]),
        ("halted_at", vec![5]),
        ("q_halt", vec![5, 6]),
        ("q_continue", vec![5, 6]),
        ("idx", vec![5]),
        ("log_r", vec![5, 36, 3]),
    ] {
        assert_eq!(whole.get(name).unwrap().shape(), shape, "{name}");
    }
    // Parts give the same numbers as the whole.
    let mut parts = Vec::new();
    for shard in ["1/2", "2/2"] {
        let file = scratch(&format!("diag_{}.npz", &shard[..1]));
        good(&with(&[
            "--out",
            file.to_str().unwrap(),
            "--shard",
            shard,
            "--batch",
            "1",
        ]));
        parts.extend(
            load_arrays(&file)
                .unwrap()
                .get("lyap_spec")
                .unwrap()
                .to_f64()
                .unwrap(),
        );
    }
    assert_eq!(parts, whole.get("lyap_spec").unwrap().to_f64().unwrap());
    refused(&with(&["--k", "99"]), 2, &["--k"]);
    let (model, rest) = (&words[..2], &words[2..]);
    let other = [&["ftle"], &model[..1], &["hrm"], rest].concat();
    assert_eq!(attractor(other).status.code(), Some(2));
}

#[test]
fn latent_dynamics_under_recorded_actions() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ftle/");
    let weights = format!("{folder}tdmpc2_dynamics.safetensors");
    let arrays = load_arrays(&weights).unwrap();
    let shape = |name: &str| arrays.get(name).unwrap().shape().to_vec();
    let first = arrays
        .names()
        .find(|name| name.ends_with("_dynamics.0.weight"));
    let last = arrays
        .names()
        .filter(|name| name.ends_with(".weight") && name.contains("_dynamics"))
        .last();
    let (Some(first), Some(last)) = (first, last) else {
        panic!("{:?}", arrays.names().collect::<Vec<_>>());
    };
    let (latent, action) = (shape(last)[0], shape(first)[1] - shape(last)[0]);
    let data = scratch("rollouts.npz");
    let mut map = ArrayMap::new(&data);
    let numbers = |count: usize| {
        (0..count)
            .map(|i| (i as f64 * 0.7).sin() * 0.3)
            .collect::<Vec<f64>>()
    };
    map.insert("z0", Array::new(&[2, latent], numbers(2 * latent)).unwrap())
        .unwrap();
    map.insert(
        "actions",
        Array::new(&[2, 9, action], numbers(18 * action)).unwrap(),
    )
    .unwrap();
    npz::save(&data, &map).unwrap();
    let data = data.to_str().unwrap();
    let words = [
        "--model",
        "tdmpc2",
        "--weights",
        &weights,
        "--data",
        data,
        "--k",
        "2",
    ];
    let found = json(&words);
    assert_eq!(found["examples"].as_array().unwrap().len(), 2);
    assert!(exponents(&found, 1).iter().all(|value| value.is_finite()));
    refused(
        &ftle(&[&words[..], &["--steps", "10"]].concat()),
        2,
        &["--steps", "9"],
    );
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for (words, code, parts) in [
        (&["--map", "nothing"][..], 2, &["nothing", "henon"][..]),
        (&["--map", "henon", "--steps", "0"], 2, &["--steps"]),
        (&["--map", "henon", "--k", "3"], 2, &["--k", "1 to 2"]),
        (&["--map", "henon", "--k", "0"], 2, &["--k"]),
        (
            &["--map", "henon", "--steps", "5", "--every", "2"],
            2,
            &["--steps", "--every"],
        ),
        (&["--map", "henon", "--parameter", "q=1"], 2, &["q"]),
        (&["--map", "henon", "--parameter", "a"], 2, &["NAME=VALUE"]),
        (&["--map", "henon", "--level", "2"], 2, &["--level"]),
        (&["--map", "henon", "--start", "1"], 2, &["start"]),
        (&["--map", "lorenz96", "--parameter", "N=3"], 2, &["sites"]),
        (&["--map", "lorenz96", "--parameter", "M=3"], 2, &["N, F"]),
        (&["--map", "linear"], 2, &["--matrix"]),
        (&["--map", "henon", "--matrix", "a.npz"], 2, &["--matrix"]),
        (&["--model", "trm"], 2, &["--weights"]),
        (&[], 2, &["--map"]),
    ] {
        refused(&ftle(words), code, parts);
    }
    // From far away the map runs off: a numeric failure.
    let off = ftle(&[
        "--map",
        "henon",
        "--start",
        "1e9,0",
        "--transient",
        "0",
        "--steps",
        "64",
    ]);
    assert_eq!(off.status.code(), Some(5), "{off:?}");
}
