//! Goldens of training: the reference's pass on every device and under any names, changed ones fail.

mod common;

use std::path::{Path, PathBuf};

use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Case, Verdict, run};
use serde_json::Value;

/// Goldens of one initial state, up to some epochs: a folder of the same layout.
struct Folder(PathBuf, String);

impl Folder {
    /// The cells of one seed up to `most` epochs.
    fn new(test: &str, seed: u64, most: u64) -> Self {
        let name = format!("attractor-training-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let folder = Self(path, "some_cells".into());
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/worldmodel");
        let text = std::fs::read(data.join("maze_cells_default.json")).unwrap();
        let mut index: Value = serde_json::from_slice(&text).unwrap();
        let cells = index["cells"].as_array_mut().unwrap();
        cells.retain(|cell| cell["seed"] == seed && cell["epochs"].as_u64().unwrap() <= most);
        let kept: Vec<String> = cells
            .iter()
            .map(|cell| format!("{}.", cell["cell"].as_str().unwrap()))
            .collect();
        folder.write_index(&index);
        let all = load_arrays(data.join("maze_cells_default.safetensors")).unwrap();
        let mut arrays = ArrayMap::new("kept");
        for (name, array) in all.iter() {
            let own = kept.iter().any(|cell| name.starts_with(cell.as_str()));
            if own
                || name.starts_with("train_")
                || name.contains(&format!("_s{seed}_h32.net")) && !name.contains("final")
            {
                arrays.insert(name, array.clone()).unwrap();
            }
        }
        folder.save(&arrays);
        folder
    }

    fn file(&self, end: &str) -> PathBuf {
        self.0.join(format!("{}.{end}", self.1))
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file("json")).unwrap()).unwrap()
    }

    fn write_index(&self, index: &Value) {
        std::fs::write(self.file("json"), index.to_string()).unwrap();
    }

    fn arrays(&self) -> ArrayMap {
        load_arrays(self.file("safetensors")).unwrap()
    }

    fn save(&self, arrays: &ArrayMap) {
        safetensors::save(self.file("safetensors"), arrays).unwrap();
    }

    /// The cases of training alone.
    fn verify(&self, device: &Device) -> Vec<Case> {
        let cases = run(&self.0, device).unwrap().cases;
        let own = cases
            .into_iter()
            .filter(|case| case.kind.starts_with("training"));
        own.collect()
    }

    fn passes(&self, device: &Device) {
        let cases = self.verify(device);
        assert_eq!(cases.len(), 2);
        for case in cases {
            assert_eq!(case.verdict, Verdict::Pass, "{case:?}");
        }
    }

    fn fails(&self, what: &str) {
        let cases = self.verify(&Device::cpu());
        assert!(
            cases.iter().any(|case| case.verdict == Verdict::Fail),
            "{what}: {cases:?}"
        );
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn whole_courses_pass_on_the_processor() {
    for seed in 0..3 {
        let folder = Folder::new(&format!("whole-{seed}"), seed, 400);
        folder.passes(&Device::cpu());
        folder.passes(&Device::cpu_f64());
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn whole_courses_pass_on_the_gpu() {
    Folder::new("gpu", 1, 400).passes(&common::gpu());
}

/// Every tensor with one element moved by a hundredth of its largest, or a hundredth.
#[test]
fn every_changed_tensor_fails() {
    let folder = Folder::new("tensors", 1, 8);
    let original = folder.arrays();
    folder.passes(&Device::cpu());
    let names: Vec<String> = original.names().map(str::to_owned).collect();
    for name in names.iter().filter(|name| !name.ends_with(".grid")) {
        let mut changed = ArrayMap::new("changed");
        for (other, array) in original.iter() {
            if other != name {
                changed.insert(other, array.clone()).unwrap();
                continue;
            }
            let mut values: Vec<f32> = array.to_f64().unwrap().iter().map(|v| *v as f32).collect();
            let largest = values.iter().fold(0.0f32, |kept, v| kept.max(v.abs()));
            let middle = values.len() / 2;
            values[middle] += 0.01f32.max(0.01 * largest);
            let array = Array::new(array.shape(), ArrayData::F32(values)).unwrap();
            changed.insert(other, array).unwrap();
        }
        folder.save(&changed);
        folder.fails(name);
    }
    // One that is missing fails too.
    let mut less = original.clone();
    less.take("e4_s1_h32.pred").unwrap();
    folder.save(&less);
    folder.fails("a missing tensor");
}

#[test]
fn every_changed_number_of_the_index_fails() {
    let folder = Folder::new("index", 2, 8);
    let original = folder.index();
    for field in [
        "final_loss",
        "min_rounding_margin",
        "f64_train_max_abs_pred_diff",
    ] {
        let mut changed = original.clone();
        let value = &mut changed["cells"][1][field];
        *value = (value.as_f64().unwrap() + 1e-4).into();
        folder.write_index(&changed);
        folder.fails(field);
    }
    let mut changed = original.clone();
    changed["cells"][1]["f64_train_same_rounded_rows"][0] = 63.into();
    folder.write_index(&changed);
    folder.fails("f64_train_same_rounded_rows");
    let mut changed = original.clone();
    changed["cells"][1]["epochs"] = 5.into();
    folder.write_index(&changed);
    folder.fails("epochs");
}
