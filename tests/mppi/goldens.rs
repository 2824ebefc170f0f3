//! Recorded planning calls of the reference pass; copies with one number changed fail.

use crate::common::gpu;
use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Report, Verdict, run};
use serde_json::{Value, json};
use std::path::PathBuf;

struct Folder {
    path: PathBuf,
    stem: &'static str,
    index: Value,
    arrays: ArrayMap,
}

impl Folder {
    fn new(test: &str, stem: &'static str) -> Self {
        let name = format!("attractor-mppi-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/worldmodel");
        let index = std::fs::read(data.join(format!("{stem}.json"))).unwrap();
        Self {
            path,
            stem,
            index: serde_json::from_slice(&index).unwrap(),
            arrays: load_arrays(data.join(format!("{stem}.safetensors"))).unwrap(),
        }
    }

    /// The planning cases of a changed copy, under a name that tells nothing.
    fn verify(&self, device: &Device, index: &Value, arrays: &ArrayMap) -> Report {
        std::fs::write(self.path.join("tdmpc2_x.json"), index.to_string()).unwrap();
        safetensors::save(self.path.join("tdmpc2_x.safetensors"), arrays).unwrap();
        let mut report = run(&self.path, device).unwrap();
        report.cases.retain(|case| case.kind == "planning");
        report
    }

    fn report(&self, device: &Device) -> Report {
        self.verify(device, &self.index, &self.arrays)
    }

    /// With the last number of a tensor moved.
    fn disturbed(&self, tensor: &str, by: f64) -> Report {
        let mut changed = ArrayMap::new("x");
        let mut met = false;
        for (name, array) in self.arrays.iter() {
            let mut array = array.clone();
            if name == tensor {
                met = true;
                let data: ArrayData = match array.data().clone() {
                    ArrayData::F32(mut values) => {
                        *values.last_mut().unwrap() += by as f32;
                        values.into()
                    }
                    ArrayData::I32(mut values) => {
                        *values.last_mut().unwrap() += by as i32;
                        values.into()
                    }
                    other => panic!("{name}: {:?}", other.dtype()),
                };
                array = Array::new(array.shape(), data).unwrap();
            }
            changed.insert(name, array).unwrap();
        }
        assert!(met, "{tensor}");
        self.verify(&Device::cpu(), &self.index, &changed)
    }

    fn with_index(&self, path: &str, value: Value) -> Report {
        let mut index = self.index.clone();
        *index.pointer_mut(path).unwrap() = value;
        self.verify(&Device::cpu(), &index, &self.arrays)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn assert_passes(report: &Report, cases: usize) {
    assert_eq!(report.cases.len(), cases, "{:#?}", report.lines());
    let passes = report
        .cases
        .iter()
        .all(|case| case.verdict == Verdict::Pass);
    assert!(passes, "{:#?}", report.lines());
}

fn assert_fails(report: &Report, what: &str) {
    let fails = report
        .cases
        .iter()
        .filter(|case| case.verdict == Verdict::Fail);
    assert_eq!(fails.count(), 1, "{what}: {:#?}", report.lines());
}

const CASES: [(&str, usize); 2] = [("tdmpc2_tiny", 5), ("tdmpc2_tiny_nopi_deep", 3)];

#[test]
fn recorded_calls_are_replayed() {
    for (stem, cases) in CASES {
        let folder = Folder::new("pass", stem);
        assert_passes(&folder.report(&Device::cpu()), cases);
        assert_passes(&folder.report(&Device::cpu_f64()), cases);
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn recorded_calls_are_replayed_on_a_gpu() {
    for (stem, cases) in CASES {
        let folder = Folder::new("gpu", stem);
        assert_passes(&folder.report(&gpu()), cases);
    }
}

#[test]
fn changed_outputs_fail() {
    let folder = Folder::new("outputs", "tdmpc2_tiny");
    assert_eq!(folder.stem, "tdmpc2_tiny");
    for (part, by) in [
        ("value", 1e-4),
        ("elite_idx", 1.0),
        ("score", 1e-4),
        ("mean", 1e-4),
        ("std", 1e-4),
        ("actions_iter0", 1e-4),
        ("actions_last", 1e-4),
        ("action", 1e-4),
        ("prev_mean", 1e-4),
    ] {
        for call in [0, 3] {
            let tensor = format!("plan{call}.out.{part}");
            assert_fails(&folder.disturbed(&tensor, by), &tensor);
        }
    }
}

#[test]
fn changed_inputs_and_draws_fail() {
    let folder = Folder::new("inputs", "tdmpc2_tiny");
    for (tensor, by) in [
        ("plan0.obs", 0.1),
        ("plan1.prev_mean_in", 0.1),
        ("plan0.draw.pi_eps", 0.1),
        ("plan0.draw.samples", 0.1),
        ("plan0.draw.value_pi_eps", 5.0),
        ("plan0.draw.q_pair", 1.0),
        ("plan2.draw.final_eps", 0.1),
        // A draw that takes the choice from all others.
        ("plan1.draw.gumbel_exp", -1e9),
    ] {
        assert_fails(&folder.disturbed(tensor, by), tensor);
    }
}

#[test]
fn changed_entries_of_the_index_fail() {
    let folder = Folder::new("index", "tdmpc2_tiny_nopi_deep");
    for (path, value) in [
        ("/discount", json!(0.98)),
        ("/plan_variants/1/eval_mode", json!(true)),
        ("/plan_variants/1/t0", json!(true)),
        ("/elite_boundary_gap_per_iteration/0/2", json!(0.5)),
    ] {
        assert_fails(&folder.with_index(path, value), path);
    }
    // What every call depends on.
    for (path, value) in [
        ("/config/temperature", json!(0.6)),
        ("/config/min_std", json!(0.9)),
    ] {
        let report = folder.with_index(path, value);
        let fails = report
            .cases
            .iter()
            .filter(|case| case.verdict == Verdict::Fail);
        assert_eq!(fails.count(), 2, "{path}: {:#?}", report.lines());
    }
    for (path, value) in [
        ("/config/num_elites", json!(49)),
        ("/config/num_samples", json!(0)),
        ("/config/num_q", json!(1)),
    ] {
        let report = folder.with_index(path, value);
        let fails = report
            .cases
            .iter()
            .any(|case| case.verdict == Verdict::Fail);
        assert!(fails, "{path}: {:#?}", report.lines());
    }
}
