//! Golden folders: those of the original pass, changed ones fail where they were changed.

use std::path::{Path, PathBuf};

use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Report, Verdict, VerifyError, run};
use serde_json::{Value, json};

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/remdm")
}

/// A copy of the goldens at hand, with an index that lists no others.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("attractor-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        for file in std::fs::read_dir(data()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), path.join(file.file_name())).unwrap();
        }
        let folder = Self(path);
        folder.change_index(|index| {
            let index = index.as_object_mut().unwrap();
            let there = |entry: &Value| match entry.get("file") {
                Some(Value::String(file)) => data().join(file).exists(),
                _ => true,
            };
            index.retain(|_, entry| there(entry));
            let traces = index.get_mut("traces").unwrap().as_array_mut().unwrap();
            traces.retain(there);
            // Values of a model that is not here.
            index.remove("procedural_check");
        });
        folder
    }

    /// Keeps one entry of the index alone, and the model.
    fn keep(&self, key: &str) {
        self.change_index(|index| {
            let index = index.as_object_mut().unwrap();
            index.retain(|entry, _| entry == key || entry == "model");
        });
    }

    fn change_index(&self, change: impl FnOnce(&mut Value)) {
        let path = self.0.join("index.json");
        let mut index = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut index);
        std::fs::write(path, index.to_string()).unwrap();
    }

    /// Replaces one array of a file.
    fn change(&self, file: &str, array: &str, change: impl Fn(&mut ArrayData)) {
        let path = self.0.join(file);
        let arrays = load_arrays(&path).unwrap();
        let mut changed = ArrayMap::new(&path);
        for (name, old) in arrays.iter() {
            let mut values = old.data().clone();
            if name == array {
                change(&mut values);
                assert_ne!(&values, old.data());
            }
            let new = Array::new(old.shape(), values).unwrap();
            changed.insert(name, new).unwrap();
        }
        assert!(arrays.contains(array));
        safetensors::save(&path, &changed).unwrap();
    }

    fn verify(&self) -> Report {
        run(&self.0, &Device::cpu()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn add(amount: f32, at: usize) -> impl Fn(&mut ArrayData) {
    move |values| match values {
        ArrayData::F32(values) => values[at] += amount,
        ArrayData::F64(values) => values[at] += f64::from(amount),
        ArrayData::I32(values) => values[at] += amount as i32,
        ArrayData::I16(values) => values[at] += amount as i16,
        ArrayData::U8(values) => values[at] ^= 1,
        other => panic!("{other:?}"),
    }
}

fn names(report: &Report, verdict: Verdict) -> Vec<&str> {
    let cases = report.cases.iter();
    cases
        .filter(|case| case.verdict == verdict)
        .map(|case| case.name.as_str())
        .collect()
}

fn count_of(report: &Report, kind: &str) -> usize {
    let cases = report.cases.iter();
    cases.filter(|case| case.kind == kind).count()
}

fn check_goldens(folder: &Folder, device: &Device) {
    let report = run(&folder.0, device).unwrap();
    let failed = names(&report, Verdict::Fail);
    assert!(failed.is_empty(), "{:#?}", report.lines());
    assert_eq!(
        names(&report, Verdict::Unsupported),
        ["train_r1.safetensors", "train_r2.safetensors"]
    );
    for (kind, count) in [
        ("model", 1),
        ("forward", 1),
        ("procedural", 1),
        ("trace", 4),
        ("loss", 37),
        ("loss-gradient", 32),
        ("masking", 5),
        ("goal-loss", 2),
        ("schedule", 5),
        ("reward-trace", 7),
        ("oracle", 2),
        ("bfs", 2),
        ("crop", 2),
        ("staircase", 1),
        ("buffer", 1),
        ("windows", 1),
        ("curriculum", 1),
        ("efficiency", 1),
        ("seeds", 1),
    ] {
        assert_eq!(count_of(&report, kind), count, "{kind}");
    }
    let last = report.lines().pop().unwrap();
    let passed = report.cases.len() - 2;
    assert_eq!(last, format!("{passed} passed, 0 failed, 2 unsupported"));
}

#[test]
fn goldens_of_the_original_pass() {
    let folder = Folder::new("pass");
    check_goldens(&folder, &Device::cpu());
    check_goldens(&folder, &Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn goldens_of_the_original_pass_on_a_gpu() {
    let gpu = Device::wgpu("").expect("an adapter; ./scripts/test installs a software one");
    check_goldens(&Folder::new("gpu"), &gpu);
}

#[test]
fn a_changed_number_fails_its_case() {
    let folder = Folder::new("changed");
    let (strong, history) = (
        "trace_r1_remdm_conf_strong.safetensors",
        "trace_r2_remdm_conf_hist.safetensors",
    );
    let greedy = "trace_r2_greedy_k10_hist.safetensors";
    let physics = "trace_r1_remdm_conf_physics.safetensors";
    let forward = "forward_local_only_procedural.safetensors";
    folder.change(strong, "step8.do_remask", add(1.0, 17));
    folder.change(history, "step4.sigma", add(2e-4, 70));
    folder.change(greedy, "step3.logits", add(-2e-4, 1000));
    folder.change(physics, "step9.preds", add(1.0, 3));
    folder.change(forward, "act.block0.out", add(2e-4, 5));
    folder.change("loss_r2.safetensors", "aux.grad", add(1e-2, 0));
    let gradient = "cosine.flat.ls0.1.clip1000";
    folder.change(
        "loss_r1.safetensors",
        &format!("{gradient}.grad"),
        |values| {
            // A masked position: elsewhere the gradient is zero.
            let ArrayData::F32(values) = values else {
                panic!("{values:?}");
            };
            let largest = values.iter_mut().max_by(|a, b| a.total_cmp(b)).unwrap();
            *largest *= 1.001;
        },
    );
    folder.change("schedules_r2.safetensors", "cosine.alpha", add(3e-6, 50));
    folder.change("env_oracle.safetensors", "synth.bfs_dist", add(1.0, 9));
    folder.change_index(|index| {
        let traces = index["env"]["reward_traces"].as_object_mut().unwrap();
        let trace = &mut traces["MiniHack-Room-Random-5x5-v0"];
        trace["rewards"][2] = json!(0.55);
        index["env"]["efficiency_filter"][0]["add"] = json!(false);
    });
    let report = folder.verify();
    let mut failed = names(&report, Verdict::Fail);
    failed.sort_unstable();
    let mut expected = [
        "env.efficiency_filter",
        "env.oracle.synth.bfs_dist",
        "env.reward_traces.MiniHack-Room-Random-5x5-v0",
        "forward_local_only_procedural",
        "losses.0.R1.cosine.flat.ls0.1.clip1000",
        "losses.1.R2.aux",
        "schedules.r2.cosine",
        strong,
        history,
        greedy,
        physics,
    ];
    expected.sort_unstable();
    assert_eq!(failed, expected);
    let kinds = report
        .cases
        .iter()
        .filter(|case| case.name.ends_with(gradient));
    let verdicts: Vec<_> = kinds.map(|case| (&*case.kind, case.verdict)).collect();
    assert!(verdicts.contains(&("loss", Verdict::Pass)), "{verdicts:?}");
    assert!(
        verdicts.contains(&("loss-gradient", Verdict::Fail)),
        "{verdicts:?}"
    );
    assert!(!report.good());
}

#[test]
fn a_changed_draw_or_weight_fails_the_run() {
    let folder = Folder::new("draws");
    folder.keep("traces");
    let history = "trace_r2_remdm_conf_hist.safetensors";
    // Nearly nothing is committed in the first step then.
    folder.change(history, "step0.u_unmask", |values| {
        *values = ArrayData::F32(vec![0.999; values.len()]);
    });
    let report = folder.verify();
    assert_eq!(names(&report, Verdict::Fail), [history]);
    folder.change("model_small.safetensors", "head.bias", add(0.5, 3));
    let report = folder.verify();
    assert_eq!(count_of(&report, "trace"), 4);
    assert_eq!(report.count(Verdict::Fail), 4);
}

fn reason_of(folder: &Folder, name: &str) -> String {
    let report = folder.verify();
    let case = report.cases.iter().find(|case| case.name == name);
    let case = case.unwrap_or_else(|| panic!("{:#?}", report.lines()));
    assert_eq!(case.verdict, Verdict::Fail, "{case:?}");
    case.reason.clone().unwrap()
}

#[test]
fn what_is_missing_is_named() {
    let trace = "trace_r2_remdm_conf_hist.safetensors";
    let folder = Folder::new("missing");
    folder.keep("traces");
    folder.change_index(|index| {
        let traces = index["traces"].as_array_mut().unwrap();
        traces.retain(|entry| entry["file"] == trace);
    });
    let whole = index_of(&folder);
    for (change, expected) in [
        (
            json!({"file": "nowhere.safetensors"}),
            "nowhere.safetensors: cannot",
        ),
        (
            json!({"file": "../index.json"}),
            "the name of a file in this folder",
        ),
        (json!({"file": 7}), "traces.0.file: expected text, found 7"),
        (
            json!({"model": "other.safetensors"}),
            "no model with the file",
        ),
        (
            json!({"cfg": null}),
            "traces.0.cfg: expected an entry, found none",
        ),
    ] {
        folder.change_index(|index| {
            *index = whole.clone();
            let entry = index["traces"][0].as_object_mut().unwrap();
            entry.extend(change.as_object().unwrap().clone());
        });
        let name = index_of(&folder)["traces"][0]["file"].clone();
        let name = name.as_str().unwrap_or("traces.0").to_owned();
        let reason = reason_of(&folder, &name);
        assert!(reason.contains(expected), "{reason}");
    }
    folder.change_index(|index| *index = whole.clone());
    folder.change_index(|index| index["traces"][0]["sampler"] = json!("novel"));
    let report = folder.verify();
    assert_eq!(names(&report, Verdict::Unsupported), [trace]);
    folder.change_index(|index| *index = whole.clone());
    std::fs::write(folder.0.join("model_small.safetensors"), b"broken").unwrap();
    let reason = reason_of(&folder, trace);
    assert!(reason.contains("model_small.safetensors"), "{reason}");
}

fn index_of(folder: &Folder) -> Value {
    serde_json::from_slice(&std::fs::read(folder.0.join("index.json")).unwrap()).unwrap()
}

#[test]
fn a_missing_tensor_is_named() {
    let folder = Folder::new("tensor");
    folder.keep("forward_local_only_procedural");
    folder.change_index(|index| {
        let tensors = index["forward_local_only_procedural"]["tensors"].as_object_mut();
        tensors.unwrap().insert("act.unheard_of".into(), json!({}));
    });
    let reason = reason_of(&folder, "forward_local_only_procedural");
    assert!(reason.contains("act.unheard_of"), "{reason}");
}

#[test]
fn unknown_kinds_never_pass() {
    let folder = Folder::new("unknown");
    folder.keep("model");
    folder.change_index(|index| {
        index["novelty"] = json!({"file": "x.safetensors"});
        index["env"] = json!({"novelty": [1, 2]});
        index["losses"] = json!([{"recipe": "R3", "loss": {
            "file": "loss_r1.safetensors", "B": 6, "L": 64, "action_dim": 12, "values": {}}}]);
    });
    let report = folder.verify();
    let unsupported = names(&report, Verdict::Unsupported);
    assert_eq!(unsupported, ["env.novelty", "losses.0.R3", "novelty"]);
    assert_eq!(names(&report, Verdict::Pass), ["model"]);
}

#[test]
fn folders_are_walked_and_others_refused() {
    let folder = Folder::new("walk");
    folder.keep("schedules");
    let inner = |name: &str| {
        let path = folder.0.join("below").join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let planner = inner("remdm");
    for entry in std::fs::read_dir(&folder.0).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::rename(&path, planner.join(path.file_name().unwrap())).unwrap();
        }
    }
    let flow = json!({"decoder_base": {"file": "a"}, "transform": {}, "losses": {}});
    std::fs::write(inner("flow").join("index.json"), flow.to_string()).unwrap();
    std::fs::write(inner("ftle/maps").join("maps.json"), "{}").unwrap();
    std::fs::write(inner("worldmodel").join("maze_env.json"), "{}").unwrap();
    let report = folder.verify();
    let below = [
        "flow/decoder_base",
        "flow/losses",
        "flow/transform",
        "ftle/maps/maps",
    ];
    let unsupported = names(&report, Verdict::Unsupported);
    for name in below.into_iter().chain(["worldmodel/maze_env"]) {
        assert!(unsupported.contains(&&*format!("below/{name}")), "{name}");
    }
    assert_eq!(unsupported.len(), 5);
    let passed = names(&report, Verdict::Pass);
    assert_eq!(passed.len(), 6);
    assert!(
        passed.contains(&"below/remdm/schedules.r2.cosine_sq"),
        "{passed:?}"
    );

    let refused = |path: &Path| run(path, &Device::cpu()).unwrap_err();
    let empty = inner("empty");
    assert!(matches!(refused(&empty), VerifyError::NotGolden { .. }));
    std::fs::write(empty.join("index.json"), "{\"version\": 1}").unwrap();
    assert!(matches!(refused(&empty), VerifyError::NotGolden { .. }));
    std::fs::write(empty.join("index.json"), "{").unwrap();
    assert!(matches!(refused(&empty), VerifyError::Read { .. }));
    let nowhere = empty.join("nowhere");
    assert!(matches!(refused(&nowhere), VerifyError::Read { .. }));
}
