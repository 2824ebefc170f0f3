//! Golden folders of flow matching: those of the reference pass under any names, changed ones fail where
//! they were changed, and what is not compared says so.

use std::path::{Path, PathBuf};

use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Report, Verdict, run};
use serde_json::{Value, json};

/// Cases whose tensors other tests have too.
const SHARED: [&str; 4] = ["readouts", "ranker", "evaluation", "benchmark"];

/// Trajectories that are quick enough to be repeated.
const QUICK: [&str; 4] = [
    "out.euler.4",
    "out.midpoint.2",
    "out.rk4.1",
    "out.heun.32.temperature2",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn file_of(case: &str) -> String {
    format!("{case}.safetensors")
}

/// A folder of every case there is.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("attractor-flow-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let data = root().join("tests/data/flow");
        let copy = |from: &Path, name: &str| {
            std::fs::copy(from.join(name), path.join(name)).unwrap();
        };
        for file in std::fs::read_dir(data.join("verify")).unwrap() {
            let name = file.unwrap().file_name();
            copy(&data.join("verify"), name.to_str().unwrap());
        }
        for case in SHARED {
            copy(&data, &file_of(case));
        }
        // The trajectories are those of the decoder that is shipped.
        let mut trajectories = load_arrays(data.join("trajectories.safetensors")).unwrap();
        let weights = load_arrays(root().join("assets/drivechunk_decoder.safetensors")).unwrap();
        for (name, array) in weights.iter() {
            let name = format!("w.{name}");
            trajectories.insert(name, array.clone()).unwrap();
        }
        safetensors::save(path.join("trajectories.safetensors"), &trajectories).unwrap();
        Self(path)
    }

    /// As [`Folder::new`], with the quick trajectories alone.
    fn quick(test: &str) -> Self {
        let folder = Self::new(test);
        folder.retain("trajectories", |name| {
            !name.starts_with("out.") || QUICK.contains(&name)
        });
        folder
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.0.join("index.json")).unwrap()).unwrap()
    }

    fn change_index(&self, change: impl FnOnce(&mut Value)) {
        let mut index = self.index();
        change(&mut index);
        std::fs::write(self.0.join("index.json"), index.to_string()).unwrap();
    }

    fn arrays(&self, case: &str) -> ArrayMap {
        load_arrays(self.0.join(file_of(case))).unwrap()
    }

    /// Outputs of a case.
    fn outputs(&self, case: &str) -> Vec<String> {
        let arrays = self.arrays(case);
        let outputs = arrays.names().filter(|name| name.starts_with("out."));
        outputs.map(str::to_owned).collect()
    }

    fn save(&self, case: &str, arrays: &ArrayMap) {
        safetensors::save(self.0.join(file_of(case)), arrays).unwrap();
    }

    /// Keeps some tensors of a case, in its file and in the index.
    fn retain(&self, case: &str, keep: impl Fn(&str) -> bool) {
        let mut kept = ArrayMap::new(case);
        for (name, array) in self.arrays(case).iter().filter(|(name, _)| keep(name)) {
            kept.insert(name, array.clone()).unwrap();
        }
        self.save(case, &kept);
        self.change_index(|index| {
            let tensors = index[case]["tensors"].as_object_mut().unwrap();
            tensors.retain(|name, _| keep(name));
        });
    }

    /// Verifies with some tensors of a case changed or, where `change` gives none, left out; the file is
    /// put back.
    fn with(&self, case: &str, change: impl Fn(&str, ArrayData) -> Option<ArrayData>) -> Report {
        let original = self.arrays(case);
        let mut changed = ArrayMap::new(case);
        for (name, array) in original.iter() {
            if let Some(values) = change(name, array.data().clone()) {
                let new = Array::new(array.shape(), values).unwrap();
                changed.insert(name, new).unwrap();
            }
        }
        self.save(case, &changed);
        let report = self.verify();
        self.save(case, &original);
        report
    }

    /// Keeps one case of the index, and the weights that losses refer to.
    fn alone(&self, case: &str) -> Value {
        let whole = self.index();
        self.change_index(|index| {
            let entries = index.as_object_mut().unwrap();
            entries.retain(|name, _| name == case || (case == "losses" && name == "training"));
        });
        whole
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

/// Moves one finite number by a part of the largest.
fn disturb(values: &mut ArrayData, part: f64) {
    fn at<T: Copy>(values: &[T], finite: impl Fn(T) -> f64) -> (usize, f64) {
        let magnitudes = values.iter().map(|&v| finite(v).abs());
        let largest = magnitudes.filter(|m| m.is_finite()).fold(0.0, f64::max);
        let middle = values.len() / 2;
        let places = (middle..values.len()).chain(0..middle);
        let place = places.into_iter().find(|&i| finite(values[i]).is_finite());
        (place.unwrap(), if largest > 0.0 { largest } else { 1.0 })
    }
    match values {
        ArrayData::F32(values) => {
            let (place, largest) = at(values, f64::from);
            values[place] += (part * largest) as f32;
        }
        ArrayData::F64(values) => {
            let (place, largest) = at(values, |v| v);
            values[place] += part * largest;
        }
        ArrayData::I32(values) => values[0] += 1,
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

/// The only failure of a report, and why.
fn failure(report: &Report, case: &str) -> String {
    assert_eq!(
        names(report, Verdict::Fail),
        [case],
        "{:#?}",
        report.lines()
    );
    let failed = report.cases.iter().find(|c| c.verdict == Verdict::Fail);
    failed.unwrap().reason.clone().unwrap()
}

fn kinds(report: &Report, verdict: Verdict) -> Vec<&str> {
    let cases = report.cases.iter();
    let mut kinds: Vec<&str> = cases
        .filter(|case| case.verdict == verdict)
        .map(|case| case.kind.as_str())
        .collect();
    kinds.sort_unstable();
    kinds
}

const KINDS: [&str; 13] = [
    "benchmark",
    "evaluation",
    "flow-time",
    "lds",
    "loss",
    "procedural",
    "ranker",
    "readouts",
    "regression",
    "trajectories",
    "trajectories",
    "transform",
    "velocity",
];

fn check_goldens(folder: &Folder, device: &Device) {
    let report = run(&folder.0, device).unwrap();
    let failed = names(&report, Verdict::Fail);
    assert!(failed.is_empty(), "{:#?}", report.lines());
    assert_eq!(names(&report, Verdict::Unsupported), ["training"]);
    assert_eq!(kinds(&report, Verdict::Pass), KINDS);
    let last = report.lines().pop().unwrap();
    assert_eq!(last, "13 passed, 0 failed, 1 unsupported");
    for case in report.cases.iter().filter(|c| c.kind != "training") {
        assert!(case.compared > 0 && case.worst_error.is_some(), "{case:?}");
    }
}

#[test]
fn goldens_of_the_reference_pass() {
    let folder = Folder::new("pass");
    check_goldens(&folder, &Device::cpu());
    check_goldens(&folder, &Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn goldens_of_the_reference_pass_on_a_gpu() {
    let gpu = Device::wgpu("").expect("an adapter; ./scripts/test installs a software one");
    check_goldens(&Folder::quick("gpu"), &gpu);
}

#[test]
#[ignore = "needs the whole set: set ATTRACTOR_GOLDENS to the folder that holds flow/"]
fn the_whole_set_passes() {
    let folder = std::env::var("ATTRACTOR_GOLDENS").expect("ATTRACTOR_GOLDENS is not set");
    for device in [Device::cpu(), Device::cpu_f64()] {
        let report = run(&Path::new(&folder).join("flow"), &device).unwrap();
        assert_eq!(report.count(Verdict::Fail), 0, "{:#?}", report.lines());
        let unsupported = kinds(&report, Verdict::Unsupported);
        assert_eq!(unsupported, ["gradient", "gradient", "training"]);
    }
}

#[test]
fn names_of_cases_do_not_matter() {
    let folder = Folder::quick("renamed");
    let new_name = |name: &str| format!("case_{}", name.len() * 31 + name.as_bytes()[1] as usize);
    folder.change_index(|index| {
        let mut renamed = serde_json::Map::new();
        for (name, mut entry) in index.as_object().unwrap().clone() {
            std::fs::rename(
                folder.0.join(file_of(&name)),
                folder.0.join(file_of(&new_name(&name))),
            )
            .unwrap();
            if let Some(weights) = entry["config"].get_mut("weights") {
                *weights = json!(new_name(weights.as_str().unwrap()));
            }
            assert!(renamed.insert(new_name(&name), entry).is_none(), "{name}");
        }
        *index = Value::Object(renamed);
    });
    let report = folder.verify();
    assert_eq!(
        kinds(&report, Verdict::Pass),
        KINDS,
        "{:#?}",
        report.lines()
    );
    assert_eq!(kinds(&report, Verdict::Unsupported), ["training"]);
    assert_eq!(report.count(Verdict::Fail), 0);
}

#[test]
fn every_changed_or_missing_output_fails_its_case() {
    let folder = Folder::quick("outputs");
    let mut tensors = 0;
    for case in folder.index().as_object().unwrap().keys() {
        if case == "training" {
            continue;
        }
        let whole = folder.alone(case);
        for output in folder.outputs(case) {
            let report = folder.with(case, |name, mut values| {
                if name == output {
                    disturb(&mut values, 1e-3);
                }
                Some(values)
            });
            let reason = failure(&report, case);
            assert!(reason.contains(&output), "{output}: {reason}");
            tensors += 1;
        }
        if let Some(output) = folder.outputs(case).last() {
            let report = folder.with(case, |name, values| (name != output).then_some(values));
            let reason = failure(&report, case);
            assert!(reason.contains(output), "{output}: {reason}");
        }
        folder.change_index(|index| *index = whole);
    }
    assert_eq!(tensors, 49);
}

#[test]
fn changed_inputs_and_weights_fail_their_case() {
    let folder = Folder::quick("inputs");
    for (case, tensor) in [
        ("decoder_norope", "w.decoder.layers.0.mlp.l2.bias"),
        ("decoder_full", "in.cond"),
        ("flow_time", "in.u"),
        ("lds", "in.smooth"),
        ("transform", "in.knots"),
        ("regression", "w.slot_queries.weight"),
        ("losses", "in.weight"),
        ("ranker", "in.l1"),
        ("evaluation", "in.constant_draws"),
        ("readouts", "in.draws"),
        ("trajectories", "in.noise"),
    ] {
        let whole = folder.alone(case);
        let report = folder.with(case, |name, mut values| {
            if name == tensor {
                disturb(&mut values, 0.5);
            }
            Some(values)
        });
        failure(&report, case);
        let report = folder.with(case, |name, values| (name != tensor).then_some(values));
        assert!(failure(&report, case).contains(tensor), "{case}");
        folder.change_index(|index| *index = whole);
    }
}

#[test]
fn changed_numbers_of_the_index_fail_their_case() {
    let folder = Folder::quick("scalars");
    for (case, place, value) in [
        ("decoder_norope", "/config/heads", json!(2)),
        ("decoder_norope", "/config/layers", json!(2)),
        ("decoder_norope", "/config/mult", json!(1)),
        ("decoder_full", "/config/philox_key", json!(8)),
        ("decoder_full", "/config/parameters", json!(5_100_803)),
        ("decoder_full", "/config/sha256_all", json!("cb7c")),
        ("lds", "/config/sigma", json!(2.5)),
        ("lds", "/config/drives/1", json!(9)),
        ("transform", "/config/drives/0", json!(9)),
        ("transform", "/config/merge", json!(false)),
        ("losses", "/config/delta_weight", json!(9.0)),
        ("losses", "/config/scalars/lds_delta/loss", json!(15.0)),
        ("losses", "/config/scalars/plain/flow_mse", json!(3.85)),
        ("losses", "/config/weights", json!("nothing")),
        ("ranker", "/config/loss", json!(2.73)),
        ("ranker", "/config/loss_flat", json!(2.757)),
        ("ranker", "/config/loss_tau_0.1", json!(2.85)),
        ("ranker", "/config/tau", json!(0.03)),
        ("ranker", "/config/width", json!(64)),
        ("readouts", "/config/gap", json!(0.1)),
        ("readouts", "/config/info/unimodal/minority", json!(2)),
        ("readouts", "/config/info/unimodal/separation", json!(0.01)),
        (
            "readouts",
            "/config/info/non_finite_draw/separation",
            json!(1),
        ),
        ("evaluation", "/config/fan_pad", json!(7)),
        ("evaluation", "/config/frames", json!(599)),
        (
            "evaluation",
            "/config/expected/census/flat/separation",
            json!(0.0),
        ),
        ("evaluation", "/config/expected/fan/lag_profile/5", json!(1)),
        (
            "evaluation",
            "/config/expected/fan_constant_chunk/hit/0.1/all",
            json!(0.8434),
        ),
        ("benchmark", "/config/drive", json!(1)),
        ("benchmark", "/config/z12/3/value", json!(0.625)),
        ("benchmark", "/config/philox/1/out/2", json!("a20bc7c7")),
        ("benchmark", "/config/drives/27/spike", json!(255)),
        ("benchmark", "/config/drives/0/cond", json!("460c")),
        ("regression", "/config/heads", json!(8)),
        ("trajectories", "/config/draws", json!(3)),
        ("trajectories", "/config/rope", json!(false)),
    ] {
        let whole = folder.alone(case);
        folder.change_index(|index| {
            let entry = index[case].pointer_mut(place);
            let entry = entry.unwrap_or_else(|| panic!("{case}{place}"));
            assert_ne!(*entry, value, "{place}");
            *entry = value;
        });
        let report = folder.verify();
        assert!(report.count(Verdict::Fail) > 0, "{case}{place}");
        folder.change_index(|index| *index = whole);
    }
}

#[test]
fn what_is_not_compared_has_a_line() {
    let folder = Folder::quick("unknown");
    folder.change_index(|index| {
        let entries = index.as_object_mut().unwrap();
        entries.retain(|name, _| name == "decoder_norope" || name == "evaluation");
        index["evaluation"]["config"]["expected"]["novelty"] = json!(1.0);
        index["novelty"] = json!({"config": {}, "tensors": {"out.novelty": ["float32", [1]]}});
        index["nowhere"] =
            json!({"config": {}, "tensors": {"out.features.8": ["float32", [1, 8]]}});
        index["list"] = json!([1]);
    });
    let mut arrays = folder.arrays("decoder_norope");
    for name in ["out.novelty", "out.plain.grad.output_projection.bias"] {
        arrays
            .insert(name, Array::new(&[1], vec![0.0_f32]).unwrap())
            .unwrap();
    }
    folder.save("decoder_norope", &arrays);
    let report = folder.verify();
    assert!(failure(&report, "nowhere").contains("nowhere.safetensors"));
    let mut unsupported = names(&report, Verdict::Unsupported);
    unsupported.sort_unstable();
    let expected = [
        "decoder_norope.gradients",
        "decoder_norope.out.novelty",
        "evaluation.expected.novelty",
        "list",
        "novelty",
    ];
    assert_eq!(unsupported, expected);
    assert_eq!(
        names(&report, Verdict::Pass),
        ["decoder_norope", "evaluation"]
    );
}
