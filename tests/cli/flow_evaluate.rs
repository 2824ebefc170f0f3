//! `attractor flow predict` and `attractor flow evaluate`.

use crate::support::{attractor, good, refused, scratch};
use attractor::analysis::flow::{
    Chunks, Draws, ModeRule, PanelConfig, PanelInput, Readout, evaluate, read_out,
};
use attractor::device::Device;
use attractor::formats::feature_cache::{Conditions, FeatureCache};
use attractor::formats::predictions::PredictionTable;
use attractor::formats::{Array, ArrayMap, load_arrays, npz, safetensors};
use attractor::models::flow::DecoderConfig;
use attractor::samplers::flow::{FlowRequest, FlowSampler, Method, Noise, Solver};
use attractor::training::action_statistics::ActionStatistics;
use attractor::worlds::driving::{CHANNELS, CacheForm, Drive, feature_cache};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

const FRAMES: usize = 40;
const DRAWS: usize = 8;
/// Few and coarse steps.
const QUICK: [&str; 6] = ["--draws", "8", "--solver", "heun", "--steps", "4"];
const DRIVES: [&str; 4] = ["--drives", "24,25", "--frames", "40"];

fn flow(command: &str, arguments: &[&str], out: &Path) -> Output {
    let out = out.to_str().unwrap();
    attractor([&["flow", command, "--out", out], &QUICK[..], arguments].concat())
}

/// A folder that is not there yet.
fn fresh(name: &str) -> PathBuf {
    let folder = scratch(name);
    let _ = std::fs::remove_dir_all(&folder);
    let _ = std::fs::remove_file(&folder);
    folder
}

fn json(file: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Raw draws `[frames, K, H, R]` of the shipped decoder for the two drives, without the program.
fn draws_of(drives: &[Drive]) -> Vec<f32> {
    let text = std::fs::read_to_string("assets/drivechunk_decoder.json").unwrap();
    let config = DecoderConfig::from_json("decoder", &text).unwrap();
    let weights = load_arrays("assets/drivechunk_decoder.safetensors").unwrap();
    let statistics = ActionStatistics::load("assets/drivechunk_statistics.json").unwrap();
    let mut sampler = FlowSampler::new(config, &weights, &Device::cpu()).unwrap();
    let conditions: Vec<f32> = drives.iter().flat_map(|d| d.conditions.clone()).collect();
    let request = FlowRequest {
        conditions: &conditions,
        frames: drives.len() * FRAMES,
        first_frame: 0,
        draws: DRAWS,
        noise: Noise::Seeded {
            seed: 3,
            stream: 0,
            temperature: 1.0,
        },
        solver: Solver::Fixed {
            method: Method::Heun,
            steps: 4,
        },
        record: false,
    };
    let draws = sampler.sample(&request).unwrap();
    statistics.transform.to_raw(&draws.values).unwrap()
}

/// A cache of drive 24 after `change`.
fn cache_with(name: &str, change: impl FnOnce(&mut FeatureCache)) -> String {
    let form = CacheForm {
        history_zeroed: false,
        single_precision: true,
    };
    let mut cache = feature_cache(&[Drive::generate(24, FRAMES)], form).unwrap();
    change(&mut cache);
    let file = scratch(name);
    cache.save(&file).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn panel_and_table_hold_what_the_library_measures() {
    let (folder, table) = (fresh("evaluate_1"), fresh("evaluate_1.jsonl"));
    let seed = ["--seed", "3"];
    let said = good(&flow("evaluate", &[&DRIVES[..], &seed].concat(), &folder));
    for title in [
        "Panel",
        "Steering chunk-L1 by frame",
        "junctions",
        "whole route",
    ] {
        assert!(said.contains(title), "{said}");
    }
    good(&flow("predict", &[&DRIVES[..], &seed].concat(), &table));

    let drives = [24, 25].map(|number| Drive::generate(number, FRAMES));
    let draws = draws_of(&drives);
    let truth: Vec<f32> = drives.iter().flat_map(|d| d.targets.clone()).collect();
    let frames = 2 * FRAMES;
    let numbers: Vec<u32> = drives.iter().flat_map(|d| [d.number; FRAMES]).collect();
    let input = PanelInput {
        truth: Chunks::new(&truth, frames, 6, 3).unwrap(),
        draws: Draws::new(&draws, frames, DRAWS, 6, 3).unwrap(),
        drives: &numbers,
    };
    let statistics = ActionStatistics::load("assets/drivechunk_statistics.json").unwrap();
    let mut config = PanelConfig::new(2, statistics.thresholds.unwrap());
    config.fan_pad = 6;
    let expected = serde_json::to_value(evaluate(&input, &config).unwrap()).unwrap();
    let own = folder.join("runs/drivechunk_decoder");
    let panel = json(own.join("panel.json"));
    assert_eq!(panel["panel"], expected);
    for (pointer, expected) in [
        ("/run/seed", Value::from(3)),
        ("/run/sampler/draws", DRAWS.into()),
        ("/run/sampler/readout", "mode".into()),
        ("/run/sampler/dropped", 0.into()),
        ("/run/sampler/fan_pad", 6.into()),
        ("/run/sampler/recordings/1/1", "drive-25".into()),
    ] {
        assert_eq!(panel.pointer(pointer), Some(&expected), "{pointer}");
    }
    for pointer in [
        "/run/weights_hash",
        "/run/version",
        "/run/device",
        "/calibration/junction/rows",
        "/route/all_joints/selector/slope",
    ] {
        assert!(panel.pointer(pointer).is_some(), "{pointer}");
    }
    assert!(panel.get("rollout").is_none() && panel.get("ranking").is_none());

    let rule = ModeRule::on_channel(2);
    let chunks = read_out(Readout::Mode, &input.draws, None, &rule).unwrap();
    let steering: Vec<f32> = chunks
        .iter()
        .skip(2)
        .step_by(3)
        .map(|v| *v as f32)
        .collect();
    let (table, evaluated) = (
        PredictionTable::load(table).unwrap(),
        PredictionTable::load(own.join("predictions.npz")).unwrap(),
    );
    assert_eq!(table, evaluated);
    let channel = table.channel("steering").unwrap();
    assert_eq!(channel.prediction_value, steering);
    let first: Vec<f32> = drives[0].targets[..18]
        .iter()
        .skip(2)
        .step_by(3)
        .copied()
        .collect();
    assert_eq!(channel.ground_truth[..6], first);
    assert_eq!(
        channel.score_l1[7],
        (steering[7] - channel.ground_truth[7]).abs()
    );
    assert_eq!(table.frames().frame_idx[..2], [5, 6]);
    assert_eq!(table.frames().input_id[FRAMES], "drive-25");
}

#[test]
fn runs_share_a_page_and_one_of_the_same_name_is_replaced() {
    let folder = fresh("evaluate_2");
    let frames = ["--drives", "26", "--frames", "24"];
    let run = |more: &[&str]| flow("evaluate", &[&frames[..], more].concat(), &folder);
    good(&run(&[
        "--name",
        "first",
        "--verdict",
        "baseline",
        "--tags",
        "heun,small",
    ]));
    let text = good(&run(&[
        "--name",
        "other (x)",
        "--readout",
        "meank",
        "--format",
        "json",
        "--notes",
        "a <note>",
    ]));
    let printed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(printed, json(folder.join("runs/other (x)/panel.json")));
    good(&run(&["--name", "first", "--link", "https://a.example/"]));
    good(&run(&[
        "--name",
        "other (x)",
        "--notes",
        "a <note>",
        "--field",
    ]));
    let views = json(folder.join("runs/other (x)/fields.json"));
    assert_eq!(views.as_array().unwrap().len(), 3);
    assert_eq!(views[0]["run"], "other (x)");
    assert_eq!(views[2]["paths"].as_array().unwrap().len(), 200);
    let manifest = json(folder.join("manifest.json"));
    let runs = manifest["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["name"], "first");
    assert_eq!(runs[0]["link"], "https://a.example/");
    assert!(
        runs[0].get("verdict").is_none(),
        "the whole run is replaced"
    );
    assert!(runs[0]["metrics"]["flat frames, single"].is_number());
    let notes = runs[1]["notes"].as_str().unwrap();
    assert!(
        notes.starts_with("a <note> \u{2014} heun, 4 steps; 8 draws"),
        "{notes}"
    );
    assert!(notes.contains("seed 0; weights "), "{notes}");
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    for word in [
        "first",
        "other (x)",
        "a &lt;note&gt;",
        "drive-26",
        "2 runs",
        "Velocity field",
    ] {
        assert!(page.contains(word), "{word}");
    }
    for (name, word) in [("../up", "--name"), ("", "--name"), ("a/b", "--name")] {
        refused(&run(&["--name", name]), 2, &[word]);
    }
    std::fs::write(folder.join("manifest.json"), b"{}").unwrap();
    refused(&run(&["--name", "third"]), 2, &["manifest.json", "title"]);
}

#[test]
fn feedback_is_rolled_out_where_there_are_chains() {
    let folder = fresh("evaluate_3");
    let run = |more: &[&str]| {
        let quick = [
            "--rollout",
            "--drives",
            "27",
            "--draws",
            "2",
            "--steps",
            "2",
        ];
        let out = folder.to_str().unwrap();
        attractor(
            [
                &["flow", "evaluate", "--out", out, "--name", "r"],
                &quick[..],
                more,
            ]
            .concat(),
        )
    };
    let said = good(&run(&["--frames", "70"]));
    assert!(said.contains("Action feedback"), "{said}");
    let panel = json(folder.join("runs/r/panel.json"));
    let rollout = &panel["rollout"];
    assert_eq!(rollout["chains"], 1);
    assert_eq!(rollout["frames_left_over"], 6);
    // Frame d of a chain has min(d, 6) own actions in its history.
    assert_eq!(rollout["substitutions"], 15 + 58 * 6);
    assert_eq!(rollout["dead_substitutions"], 0);
    assert!(rollout["prediction_change"].as_f64().unwrap() > 0.0);
    assert_eq!(rollout["depths"][0]["frames"], 4);
    for (arguments, word) in [
        (&["--frames", "63"][..], "64 samples"),
        (&["--frames", "200", "--frame-stride", "2"], "64 samples"),
        (&["--frames", "70", "--history-zeroed"], "action history"),
    ] {
        refused(&run(arguments), 2, &["--rollout", word]);
    }
}

#[test]
fn caches_are_evaluated_without_the_rows_that_are_not_finite() {
    let (folder, out) = (fresh("evaluate_4"), fresh("evaluate_4.npz"));
    let whole = cache_with("evaluate_whole.safetensors", |_| {});
    let holes = cache_with("evaluate_holes.safetensors", |cache| {
        if let Conditions::Single(values) = &mut cache.conditions {
            values[5 * 192 + 7] = f32::NAN;
        }
        cache.target_actions[9 * 18 + 1] = f32::INFINITY;
    });
    good(&flow("evaluate", &[&whole, "--name", "whole"], &folder));
    let output = flow("evaluate", &[&holes, "--name", "holes"], &folder);
    good(&output);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("dropped  2 of 40 rows"), "{complaint}");
    let panel = json(folder.join("runs/holes/panel.json"));
    assert_eq!(panel["panel"]["frames"], FRAMES - 2);
    assert_eq!(panel["panel"]["dropped"], 2);
    assert_eq!(panel["run"]["sampler"]["dropped"], 2);
    // A cache of the benchmark is known for what it is.
    assert!(panel["calibration"]["junction"].is_object());
    // The rows that are left draw as they do in the whole.
    let table = |run: &str| {
        PredictionTable::load(folder.join("runs").join(run).join("predictions.npz")).unwrap()
    };
    let (whole_table, holes_table) = (table("whole"), table("holes"));
    let values = |table: &PredictionTable| table.channel("gas").unwrap().prediction_value.clone();
    let mut expected = values(&whole_table);
    expected.drain(9 * 6..10 * 6);
    expected.drain(5 * 6..6 * 6);
    assert_eq!(values(&holes_table), expected);
    good(&flow("predict", &[&holes], &out));
    assert_eq!(PredictionTable::load(&out).unwrap(), holes_table);
}

#[test]
fn data_that_do_not_fit_are_refused() {
    let folder = fresh("evaluate_5");
    let whole = cache_with("evaluate_5.safetensors", |_| {});
    let bytes = std::fs::read(&whole).unwrap();
    let cut = scratch("evaluate_cut.safetensors");
    std::fs::write(&cut, &bytes[..bytes.len() - 100]).unwrap();
    let array = |name: &str, conditions: [usize; 3], targets: Option<[usize; 3]>| {
        let file = scratch(name);
        let mut map = ArrayMap::new(&file);
        let mut put = |name: &str, shape: &[usize]| {
            let values = vec![0.25_f32; shape.iter().product()];
            map.insert(name, Array::new(shape, values).unwrap())
                .unwrap();
        };
        put("cond", &conditions);
        if let Some(shape) = targets {
            put("target_actions", &shape);
        }
        npz::save(&file, &map).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let tokens = array("evaluate_tokens.npz", [4, 11, 16], Some([4, 6, 3]));
    let horizon = array("evaluate_horizon.npz", [4, 12, 16], Some([4, 5, 3]));
    let blind = array("evaluate_blind.npz", [4, 12, 16], None);
    let renamed = cache_with("evaluate_renamed.safetensors", |cache| {
        cache.meta.action_keys = ["gas", "brake", "wheel"].map(str::to_owned).to_vec();
    });
    let cut = cut.to_str().unwrap();
    for (arguments, words) in [
        (&[cut][..], &["evaluate_cut.safetensors"][..]),
        (&[&tokens], &["evaluate_tokens.npz", "[N, 12, 16]", "11"]),
        (
            &[&horizon],
            &["evaluate_horizon.npz", "target_actions", "5"],
        ),
        (&[&blind], &["evaluate_blind.npz", "target_actions", "none"]),
        (&[&renamed], &["steering", "wheel"]),
        (
            &[&whole, "--thresholds", "0.1,0.2"],
            &["--thresholds", "steering", "2"],
        ),
        (
            &[&whole, "--readout", "ranker"],
            &["--readout ranker:4", "--ranker"],
        ),
        (&[&whole, "--readout", "best"], &["best", "mode_medoid"]),
        (&[&whole, "--link", "javascript:x"], &["--link", "http"]),
    ] {
        refused(&flow("evaluate", arguments, &folder), 2, words);
    }
    for flags in [["--draws", "0"], ["--steps", "0"]] {
        let out = folder.to_str().unwrap();
        let arguments = ["flow", "evaluate", &whole, "--out", out];
        refused(
            &attractor([&arguments[..], &flags].concat()),
            2,
            &[flags[0].trim_matches('-')],
        );
    }
    assert!(!folder.exists());
    // No truth is no hindrance to a prediction.
    let out = fresh("evaluate_blind_out.jsonl");
    good(&flow("predict", &[&blind], &out));
    let table = PredictionTable::load(&out).unwrap();
    let steering = table.channel("steering").unwrap();
    assert!(
        steering
            .ground_truth
            .iter()
            .chain(&steering.score_l1)
            .all(|v| v.is_nan())
    );
    assert!(steering.prediction_value.iter().all(|v| v.is_finite()));
    refused(&flow("predict", &[&blind], &out), 2, &["exists", "--force"]);
    refused(
        &flow("predict", &[&blind], &scratch("p.txt")),
        2,
        &["p.txt", ".npz"],
    );
}

#[test]
fn a_ranker_weighs_the_draws() {
    let golden = load_arrays("tests/data/flow/ranker.safetensors").unwrap();
    let file = scratch("evaluate_ranker.safetensors");
    let mut weights = ArrayMap::new(&file);
    for (name, array) in golden.iter() {
        if let Some(name) = name.strip_prefix("w.") {
            weights.insert(name, array.clone()).unwrap();
        }
    }
    safetensors::save(&file, &weights).unwrap();
    let ranker = file.to_str().unwrap();
    let predict = |readout: &str| {
        let out = fresh("evaluate_ranked.npz");
        let flags = ["--ranker", ranker, "--readout", readout];
        good(&flow("predict", &[&DRIVES[..], &flags].concat(), &out));
        let table = PredictionTable::load(out).unwrap();
        table.channel("steering").unwrap().prediction_value.clone()
    };
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    let mean = predict("meank");
    assert!(near(&predict("top:8"), &mean));
    assert!(near(&predict("ranker:1e9"), &mean));
    let (sharp, best) = (predict("ranker:1e-9"), predict("top:1"));
    assert!(near(&sharp, &best) && !near(&best, &mean));
    let folder = fresh("evaluate_6");
    good(&flow(
        "evaluate",
        &[&DRIVES[..], &["--ranker", ranker]].concat(),
        &folder,
    ));
    let panel = json(folder.join("runs/drivechunk_decoder/panel.json"));
    assert!(panel["ranking"]["ranker"]["all"].is_number());
    let decoder = "assets/drivechunk_decoder.safetensors";
    let arguments = [&DRIVES[..], &["--ranker", decoder]].concat();
    refused(
        &flow("evaluate", &arguments, &folder),
        2,
        &["drivechunk_decoder"],
    );
}

/// A regression head with the blocks of the shipped decoder.
fn regression_head() -> PathBuf {
    let shipped = load_arrays("assets/drivechunk_decoder.safetensors").unwrap();
    let file = scratch("evaluate_head.safetensors");
    let mut head = ArrayMap::new(&file);
    for (name, array) in shipped.iter() {
        let foreign = ["time_mlp", "action_projection", "adaLN_modulation"];
        if foreign.iter().any(|part| name.contains(part)) {
            continue;
        }
        let name = name
            .replace("self_attn.qkv_proj.", "self_attn.in_proj_")
            .replace("position_embedding", "slot_queries");
        head.insert(&name, array.clone()).unwrap();
    }
    for layer in 0..2 {
        for norm in ["cross_attn_norm", "self_attn_norm", "mlp_norm"] {
            for (part, value) in [("weight", 1.0_f32), ("bias", 0.0)] {
                let name = format!("decoder.layers.{layer}.{norm}.{part}");
                let array = Array::new(&[64], vec![value; 64]).unwrap();
                head.insert(&name, array).unwrap();
            }
        }
    }
    safetensors::save(&file, &head).unwrap();
    file
}

#[test]
fn a_regression_head_says_one_thing() {
    let head = regression_head();
    let model = [
        "--weights",
        head.to_str().unwrap(),
        "--heads",
        "4",
        "--statistics",
        "assets/drivechunk_statistics.json",
    ];
    let arguments = [&DRIVES[..], &model].concat();
    let predict = |readout: &str| {
        let out = fresh("evaluate_head.npz");
        good(&flow(
            "predict",
            &[&arguments[..], &["--readout", readout]].concat(),
            &out,
        ));
        PredictionTable::load(out).unwrap()
    };
    let single = predict("single");
    assert_eq!(single, predict("mode"));
    let folder = fresh("evaluate_7");
    let field = [&arguments[..], &["--field"]].concat();
    refused(
        &flow("evaluate", &field, &folder),
        2,
        &["--field", "regression"],
    );
    assert!(!folder.exists());
    good(&flow("evaluate", &arguments, &folder));
    let panel = json(folder.join("runs/evaluate_head/panel.json"));
    assert_eq!(panel["run"]["sampler"]["draws"], 1);
    assert_eq!(panel["panel"]["draws"], 1);
    let all = &panel["panel"]["decomposition_all"];
    assert_eq!(all["single"], all["best_draw"]);
    let steering = single.channel("steering").unwrap();
    let sum: f64 = steering.score_l1.iter().map(|v| f64::from(*v)).sum();
    let mean = sum / steering.score_l1.len() as f64;
    assert!((mean - all["single"].as_f64().unwrap()).abs() < 1e-6);
    assert_eq!(single.channels().len(), CHANNELS.len());
}
