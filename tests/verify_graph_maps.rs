//! Goldens of linear maps, chaos in space and small networks: those of the reference pass, changed ones
//! fail where they were changed.

use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Case, Verdict, run};
use serde_json::{Value, json};
use std::path::PathBuf;

/// One entry with its tensors.
struct Entry {
    name: &'static str,
    folder: PathBuf,
    index: Value,
    arrays: ArrayMap,
}

impl Entry {
    fn new(test: &str, name: &'static str) -> Self {
        let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/ftle/graphs");
        let index = std::fs::read(data.join("graphs.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let mut arrays = ArrayMap::new("graphs");
        for (tensor, array) in load_arrays(data.join("graphs.safetensors")).unwrap().iter() {
            if tensor.starts_with(&format!("{name}.")) {
                arrays.insert(tensor, array.clone()).unwrap();
            }
        }
        let process = std::process::id();
        let folder = std::env::temp_dir().join(format!("attractor-graphs-{test}-{name}-{process}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            name,
            folder,
            index: index[name].clone(),
            arrays,
        }
    }

    /// The case of the entry, the only one.
    fn verify(&self, device: &Device) -> Case {
        std::fs::create_dir_all(&self.folder).unwrap();
        // Names tell nothing.
        let index = json!({"case": self.index});
        std::fs::write(self.folder.join("maps_some.json"), index.to_string()).unwrap();
        let mut renamed = ArrayMap::new("some");
        for (tensor, array) in self.arrays.iter() {
            let tensor = tensor.replacen(self.name, "case", 1);
            renamed.insert(tensor, array.clone()).unwrap();
        }
        safetensors::save(self.folder.join("maps_some.safetensors"), &renamed).unwrap();
        let mut cases = run(&self.folder, device).unwrap().cases;
        assert_eq!(cases.len(), 1, "{cases:#?}");
        cases.remove(0)
    }

    #[track_caller]
    fn passes(&self, device: &Device) {
        let case = self.verify(device);
        assert_eq!(case.verdict, Verdict::Pass, "{case:#?}");
        assert!(case.compared > 0);
    }

    #[track_caller]
    fn fails(&self, device: &Device, what: &str) {
        let case = self.verify(device);
        let reason = case.reason.clone().unwrap_or_default();
        assert_eq!(case.verdict, Verdict::Fail, "{what}: {case:#?}");
        assert!(reason.contains(what), "{what}: {reason}");
    }

    fn tensors(&self) -> Vec<String> {
        let names = self.arrays.names();
        names
            .map(|name| name[self.name.len() + 1..].to_owned())
            .collect()
    }

    /// The entry with one number of a tensor moved.
    fn disturbed(&self, tensor: &str, by: f64) -> Self {
        let full = format!("{}.{tensor}", self.name);
        let mut changed = ArrayMap::new("graphs");
        for (name, array) in self.arrays.iter() {
            let mut array = array.clone();
            if name == full {
                let middle = array.len() / 2;
                let data = match array.data().clone() {
                    ArrayData::F64(mut values) => {
                        values[middle] += by;
                        ArrayData::F64(values)
                    }
                    ArrayData::F32(mut values) => {
                        values[middle] += by as f32;
                        ArrayData::F32(values)
                    }
                    other => panic!("{other:?}"),
                };
                array = Array::new(array.shape(), data).unwrap();
            }
            changed.insert(name, array).unwrap();
        }
        Self {
            arrays: changed,
            index: self.index.clone(),
            folder: self.folder.clone(),
            name: self.name,
        }
    }

    fn with(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut index = self.index.clone();
        change(&mut index);
        Self {
            index,
            arrays: self.arrays.clone(),
            folder: self.folder.clone(),
            name: self.name,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const QUICK: [&str; 6] = [
    "linear_diag",
    "linear_sym6",
    "linear_shear",
    "linear_random8_k3",
    "flow_mlp",
    "wm",
];

#[test]
fn goldens_pass_in_both_precisions() {
    for name in QUICK {
        let entry = Entry::new("pass", name);
        entry.passes(&Device::cpu_f64());
        entry.passes(&Device::cpu());
    }
}

#[test]
fn a_changed_tensor_fails() {
    for name in QUICK {
        let entry = Entry::new("tensors", name);
        for tensor in entry.tensors() {
            let changed = entry.disturbed(&tensor, 0.01);
            changed.fails(&Device::cpu_f64(), "");
        }
    }
}

#[test]
fn a_changed_expectation_fails_under_its_name() {
    for name in ["linear_diag", "linear_random8_k3"] {
        for key in ["lyap", "log_abs_eig", "log_sv", "ftle_svd"] {
            let entry = Entry::new("lists", name);
            let changed = entry.with(|index| {
                let value = index[key][1].as_f64().unwrap();
                index[key][1] = json!(value + 1e-3);
            });
            changed.fails(&Device::cpu(), key);
        }
    }
    let dynamics = Entry::new("lists", "wm");
    let changed = dynamics.with(|index| index["lyap"][2][3] = json!(-1.0));
    changed.fails(&Device::cpu(), "lyap of example 2");
}

#[test]
fn chaos_in_space_passes_in_double_precision() {
    for name in ["lorenz96", "ks_L22"] {
        Entry::new("double", name).passes(&Device::cpu_f64());
    }
}

#[test]
fn chaos_in_space_passes_in_single_precision() {
    for name in ["lorenz96", "ks_L22"] {
        Entry::new("single", name).passes(&Device::cpu());
    }
}

#[test]
fn changed_chaos_fails() {
    for (name, state) in [("lorenz96", "x0"), ("ks_L22", "u0")] {
        let entry = Entry::new("chaos", name);
        // The averages come last; short ones are quick, and wrong.
        let short = |entry: &Entry| {
            entry.with(|index| {
                index["steps"] = json!(20);
                index["transient_steps"] = json!(5);
            })
        };
        short(&entry).fails(&Device::cpu_f64(), "");
        for tensor in [state, "logR_first64"] {
            let changed = entry.disturbed(tensor, 1e-6);
            let changed = short(&changed);
            changed.fails(&Device::cpu_f64(), "logs of event");
        }
    }
}

#[test]
fn hostile_entries_fail_by_name() {
    let linear = Entry::new("hostile", "linear_diag");
    for (key, value) in [
        ("k", json!(0)),
        ("k", json!(9)),
        ("steps", json!(0)),
        ("steps", json!(5)),
    ] {
        linear
            .with(|index| index[key] = value)
            .fails(&Device::cpu(), "");
    }
    let ring = Entry::new("hostile", "lorenz96");
    for (key, value) in [
        ("N", json!(3)),
        ("h", json!(0.0)),
        ("k", json!(21)),
        ("F", json!("x")),
    ] {
        ring.with(|index| index[key] = value)
            .fails(&Device::cpu(), "");
    }
    let network = Entry::new("hostile", "flow_mlp");
    for (key, value) in [("d", json!(7)), ("hidden", json!(47)), ("steps", json!(0))] {
        network
            .with(|index| index[key] = value)
            .fails(&Device::cpu(), "");
    }
    let dynamics = Entry::new("hostile", "wm");
    for (key, value) in [
        ("latent", json!(15)),
        ("action", json!(2)),
        ("simnorm_group", json!(0)),
        ("simnorm_group", json!(5)),
        ("k", json!(17)),
        ("horizon", json!(13)),
    ] {
        dynamics
            .with(|index| index[key] = value)
            .fails(&Device::cpu(), "");
    }
}
