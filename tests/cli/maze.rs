//! `attractor maze`: bundle, formats, what is refused.

use crate::support::{attractor, good, refused, scratch};
use attractor::formats::{Array, ArrayMap, safetensors};
use serde_json::Value;

fn path(name: &str) -> String {
    scratch(name).to_str().unwrap().to_string()
}

#[test]
fn a_smoke_run_writes_a_bundle_once() {
    let out = path("maze_smoke.json");
    let _ = std::fs::remove_file(&out);
    let run = |more: &[&str]| {
        let start = ["maze", "sweep", "--smoke", "--out", &out];
        attractor(start.iter().chain(more))
    };
    let table = good(&run(&[]));
    assert!(table.starts_with("epochs"), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("{\n  \"schema_version\": \"1.0\",\n") && text.ends_with("}\n"));
    let bundle: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bundle["config"]["episodes"], 3);
    assert_eq!(bundle["config"]["episode_horizon"], 20);
    let keys: Vec<&String> = bundle["cells"][0].as_object().unwrap().keys().collect();
    assert!(!keys.iter().any(|key| key.starts_with("m4")), "{keys:?}");
    refused(&run(&[]), 2, &["maze_smoke.json", "--force"]);
    let csv = good(&run(&["--force", "--extra", "--format", "csv"]));
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let bundle: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert!(bundle["cells"][1]["m4_growth_mismatch"].is_number());
    assert_eq!(bundle["cells"][1]["spread"]["episodes"], 3);
}

#[test]
fn figures_and_another_planner() {
    let (out, figure) = (path("maze_cem.json"), path("maze_cem"));
    let arguments = [
        "maze",
        "sweep",
        "--epochs=3,1",
        "--seeds=5",
        "--hidden=5",
        "--episodes=4",
        "--planner=cem",
        "--rng=philox",
        "--force",
        "--format=json",
        "--out",
        &out,
        "--figure",
        &figure,
    ];
    let text = good(&attractor(arguments));
    assert_eq!(text, std::fs::read_to_string(&out).unwrap());
    let bundle: Value = serde_json::from_str(&text).unwrap();
    let cells = bundle["cells"].as_array().unwrap();
    let epochs: Vec<&Value> = cells.iter().map(|cell| &cell["epochs"]).collect();
    assert_eq!(epochs, [3, 1]);
    assert_eq!(bundle["config"]["num_candidates"], 24);
    for end in [".svg", ".png"] {
        assert!(std::fs::metadata(figure.clone() + end).unwrap().len() > 1000);
    }
}

/// Of two models one leaps a hundred cells a step: the other is kept, as it is alone.
#[test]
fn a_model_that_runs_off_fails_alone() {
    let init = scratch("maze_runs_off.safetensors");
    let mut map = ArrayMap::new(&init);
    for (layer, [outputs, inputs]) in [(0, [5, 6]), (2, [5, 5]), (4, [2, 5])] {
        let bias = if layer == 4 { 100.0f32 } else { 0.0 };
        let tensors = [
            (
                "weight",
                vec![outputs, inputs],
                vec![0.0f32; outputs * inputs],
            ),
            ("bias", vec![outputs], vec![bias; outputs]),
        ];
        for (end, shape, values) in tensors {
            let name = format!("init_s7_h5.net.{layer}.{end}");
            map.insert(&name, Array::new(&shape, values).unwrap())
                .unwrap();
        }
    }
    safetensors::save(&init, &map).unwrap();
    let run = |name: &str, seeds: &str| {
        let out = path(name);
        let init = init.to_str().unwrap();
        let words = [
            "maze",
            "sweep",
            "--force",
            "--extra",
            "--epochs=1",
            "--hidden=5",
            "--episodes=2",
        ];
        let files = ["--seeds", seeds, "--init", init, "--out", &out];
        let output = attractor([&words[..], &files[..]].concat());
        let text = std::fs::read(&out).unwrap_or_default();
        (
            output,
            serde_json::from_slice::<Value>(&text).unwrap_or_default(),
        )
    };
    let (alone, expected) = run("maze_kept.json", "8");
    good(&alone);
    let (both, found) = run("maze_partial.json", "7,8");
    let complaint = String::from_utf8(both.stderr).unwrap();
    assert_eq!(both.status.code(), Some(6), "{complaint}");
    assert!(
        complaint.contains("failed   model of seed 7 after 1 epochs"),
        "{complaint}"
    );
    assert_eq!(found["cells"][1], expected["cells"][0]);
    assert!(found["cells"][1]["success_rate"].is_number());
    for key in [
        "m1_mismatch",
        "m2_kstep_divergence",
        "m3_action_agreement",
        "success_rate",
    ] {
        assert!(found["cells"][0][key].is_null(), "{key}");
    }
    assert_eq!(
        found["attractor"]["initial_weights_hash"]
            .as_str()
            .unwrap()
            .len(),
        16
    );
    let _ = std::fs::remove_file(path("maze_lost.json"));
    assert_eq!(run("maze_lost.json", "7").0.status.code(), Some(5));
    assert!(!std::path::Path::new(&path("maze_lost.json")).exists());
}

#[test]
fn the_maze_is_drawn() {
    let text = good(&attractor(["maze", "show", "--seed", "1"]));
    assert!(
        text.starts_with("7 x 7, 16 free cells; shortest way 14 moves"),
        "{text}"
    );
    assert!(
        text.contains("plan 1 from (1, 5), 50 moves left:"),
        "{text}"
    );
    assert!(text.contains("goal reached after"), "{text}");
}

#[test]
fn mistakes_are_named() {
    let out = path("maze_never.json");
    let sweep = |more: &[&str]| {
        let start = ["maze", "sweep", "--out", &out];
        attractor(start.iter().chain(more))
    };
    let layout = |name: &str, text: &str| {
        let file = path(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let far = layout("maze_far.txt", "S#G\n");
    refused(
        &sweep(&["--layout", &far]),
        2,
        &["maze_far.txt", "a way from S at (0, 0)"],
    );
    let odd = layout("maze_odd.txt", "S.x\n..G\n");
    refused(
        &sweep(&["--layout", &odd]),
        2,
        &["maze_odd.txt: row 1, column 3", "'x'"],
    );
    refused(&sweep(&["--epochs=2,2"]), 2, &["epochs", "each one once"]);
    refused(&sweep(&["--episodes=0"]), 2, &["episodes: expected 1 to"]);
    for prefix in ["/", "/tmp/"] {
        refused(
            &sweep(&["--smoke", "--figure", prefix]),
            2,
            &["--figure: expected the start of a file's name"],
        );
    }
    for count in ["0", "4097", "18446744073709551615"] {
        refused(
            &sweep(&["--smoke", "--extra", "--sequences", count]),
            2,
            &["sequences: expected 1 to 4096", count],
        );
    }
    refused(
        &sweep(&["--candidates=0"]),
        2,
        &["candidates: expected 1 to"],
    );
    refused(
        &sweep(&["--planner=cem", "--elites=99"]),
        2,
        &["elites: expected 1 to 24, found 99"],
    );
    let init = layout("maze_init.safetensors", "nothing");
    refused(&sweep(&["--init", &init]), 2, &["maze_init.safetensors"]);
    assert!(!std::path::Path::new(&out).exists());
}
