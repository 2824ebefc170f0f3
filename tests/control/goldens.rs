//! Goldens of the simulator pass, and changed ones fail.

use crate::common;
use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Report, Verdict, run};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Cases of one file: six of each task.
const CASES: usize = 18;

struct Golden {
    path: PathBuf,
    index: Value,
    arrays: ArrayMap,
}

impl Golden {
    fn new(test: &str) -> Self {
        let name = format!("attractor-control-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/worldmodel/oracles");
        let index = std::fs::read(data.join("dmc_oracles.json")).unwrap();
        Self {
            path,
            index: serde_json::from_slice(&index).unwrap(),
            arrays: load_arrays(data.join("dmc_oracles.safetensors")).unwrap(),
        }
    }

    fn verify(&self, device: &Device, index: &Value, arrays: &ArrayMap) -> Report {
        // Under another name: contents tell what a file is.
        std::fs::write(self.path.join("tasks.json"), index.to_string()).unwrap();
        safetensors::save(self.path.join("tasks.safetensors"), arrays).unwrap();
        run(&self.path, device).unwrap()
    }

    fn disturbed(&self, tensor: &str, place: f64) -> Report {
        let mut changed = ArrayMap::new("tasks");
        for (name, array) in self.arrays.iter() {
            let mut array = array.clone();
            if name == tensor {
                let at = ((array.len() - 1) as f64 * place) as usize;
                array = match array.data().clone() {
                    ArrayData::F64(mut values) => {
                        values[at] += 1e-10;
                        Array::new(array.shape(), values).unwrap()
                    }
                    ArrayData::I64(mut values) => {
                        values[at] = if values[at] == 0 { 1 } else { values[at] - 1 };
                        Array::new(array.shape(), values).unwrap()
                    }
                    other => panic!("{name}: {other:?}"),
                };
            }
            changed.insert(name, array).unwrap();
        }
        self.verify(&Device::cpu_f64(), &self.index, &changed)
    }
}

impl Drop for Golden {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn all_pass(report: &Report) {
    assert_eq!(report.count(Verdict::Pass), CASES, "{:#?}", report.lines());
    assert_eq!(report.cases.len(), CASES, "{:#?}", report.lines());
}

#[test]
fn goldens_of_the_simulator_pass() {
    let golden = Golden::new("pass");
    for device in [Device::cpu_f64(), Device::cpu()] {
        all_pass(&golden.verify(&device, &golden.index, &golden.arrays));
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn goldens_of_the_simulator_pass_on_a_gpu() {
    let golden = Golden::new("gpu");
    all_pass(&golden.verify(&common::gpu(), &golden.index, &golden.arrays));
}

#[test]
fn a_changed_tensor_fails() {
    let golden = Golden::new("tensor");
    for (name, _) in golden.arrays.iter() {
        for place in [0.0, 0.37, 1.0] {
            let report = golden.disturbed(name, place);
            let failed = report.count(Verdict::Fail);
            assert!(failed >= 1, "{name} at {place}: {:#?}", report.lines());
        }
    }
    let mut more = golden.arrays.clone();
    let stray = Array::new(&[1], vec![1.0f64]).unwrap();
    more.insert("reacher.unheard_of", stray).unwrap();
    let report = golden.verify(&Device::cpu_f64(), &golden.index, &more);
    assert_eq!(report.count(Verdict::Fail), 1, "{:#?}", report.lines());
}

/// Every number and every text of an index, by its way there.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                leaves(value, &format!("{path}/{key}"), found);
            }
        }
        Value::Array(list) => {
            for (place, value) in list.iter().enumerate() {
                leaves(value, &format!("{path}/{place}"), found);
            }
        }
        _ => found.push(path.to_string()),
    }
}

#[test]
fn a_changed_constant_fails() {
    let golden = Golden::new("constant");
    let mut all = Vec::new();
    leaves(&golden.index, "", &mut all);
    assert!(all.len() > 250, "{}", all.len());
    // A seventh of them in turn: they are compared alike.
    for path in all.iter().step_by(7) {
        let mut index = golden.index.clone();
        let place = index.pointer_mut(path).unwrap();
        *place = match &*place {
            Value::Number(number) => json!(number.as_f64().unwrap() * (1.0 + 1e-12) + 1e-13),
            _ => json!("another"),
        };
        let report = golden.verify(&Device::cpu_f64(), &index, &golden.arrays);
        assert!(report.count(Verdict::Fail) >= 1, "{path}");
    }
    let mut less = golden.index.clone();
    less["acrobot"]["constants"]
        .as_object_mut()
        .unwrap()
        .remove("dof_damping");
    let report = golden.verify(&Device::cpu_f64(), &less, &golden.arrays);
    assert_eq!(report.count(Verdict::Fail), 1, "{:#?}", report.lines());
}
