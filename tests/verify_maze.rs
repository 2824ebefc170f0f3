//! Goldens of the maze: those of the reference pass, changed ones fail where they were changed.

use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Case, Verdict, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/worldmodel/maze");
/// The first cells of the file.
const FEW: [&str; 2] = ["e8_s0_h32", "e16_s1_h32"];
const CELLS: &str = "maze_cells";

/// A folder of its own with some of the files.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str, files: &[&str]) -> Self {
        let name = format!("attractor-maze-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        for file in files {
            std::fs::copy(Path::new(DATA).join(file), path.join(file)).unwrap();
        }
        Self(path)
    }

    /// The cases of the maze; those of training are checked elsewhere.
    fn cases(&self, device: &Device) -> Vec<Case> {
        let report = run(&self.0, device).unwrap();
        report
            .cases
            .into_iter()
            .filter(|case| case.kind == "maze")
            .collect()
    }

    /// Leaves only the two cells that take least training.
    fn with_few_cells(self) -> Self {
        self.change("maze_cells.json", |index| {
            index["cells"].as_array_mut().unwrap().truncate(2);
        });
        if self.0.join("maze_success_reference.json").exists() {
            self.change("maze_success_reference.json", |index| {
                let few = |name: &str| FEW.contains(&name);
                index["cells"]
                    .as_object_mut()
                    .unwrap()
                    .retain(|name, _| few(name));
            });
        }
        self
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.0.join(file);
        let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(path, value.to_string()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn all_pass(cases: &[Case], expected: usize) {
    let lines: Vec<_> = cases
        .iter()
        .map(|c| (&c.name, c.verdict, &c.reason))
        .collect();
    assert_eq!(cases.len(), expected, "{lines:#?}");
    assert!(
        cases.iter().all(|c| c.verdict == Verdict::Pass),
        "{lines:#?}"
    );
}

fn fails(cases: &[Case], what: &str) {
    let count = cases.iter().filter(|c| c.verdict == Verdict::Fail).count();
    assert!(count > 0, "{what}: nothing fails of {}", cases.len());
}

const ALL: [&str; 5] = [
    "maze_env.json",
    "maze_planner_traces.json",
    "maze_cells.json",
    "maze_cells.safetensors",
    "maze_success_reference.json",
];

#[test]
fn goldens_of_the_reference_pass() {
    let folder = Folder::new("pass", &ALL);
    // A maze, six traces, a training batch with four cells, four references.
    all_pass(&folder.cases(&Device::cpu()), 1 + 6 + 5 + 4);
    all_pass(&folder.cases(&Device::cpu_f64()), 1 + 6 + 5 + 4);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn goldens_of_the_reference_pass_on_a_gpu() {
    let folder = Folder::new("gpu", &ALL);
    all_pass(
        &folder.cases(&Device::wgpu("").expect("an adapter")),
        1 + 6 + 5 + 4,
    );
}

/// Every number and truth value of a JSON value, by its way; the first and last of long lists.
fn leaves(value: &Value, way: &str, all: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            let ends = [0, items.len().saturating_sub(1)];
            let mut ends: Vec<usize> = ends.into_iter().filter(|i| *i < items.len()).collect();
            ends.dedup();
            for index in ends {
                if let Some(item) = items.get(index) {
                    leaves(item, &format!("{way}/{index}"), all);
                }
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                leaves(value, &format!("{way}/{key}"), all);
            }
        }
        Value::Number(_) | Value::Bool(_) => all.push(way.to_string()),
        Value::Null | Value::String(_) => {}
    }
}

fn disturb(value: &mut Value, way: &str) {
    let leaf = value.pointer_mut(way).unwrap();
    *leaf = match &*leaf {
        Value::Bool(flag) => json!(!flag),
        number if number.is_i64() => json!(number.as_i64().unwrap() + 1),
        number => json!(number.as_f64().unwrap() + 0.05),
    };
}

fn every_change_fails(folder: &Folder, file: &str, skip: &[&str]) {
    let bytes = std::fs::read(folder.0.join(file)).unwrap();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let mut ways = Vec::new();
    leaves(&value, "", &mut ways);
    ways.retain(|way| !skip.iter().any(|part| way.contains(part)));
    assert!(ways.len() > 10, "{ways:?}");
    for way in ways {
        let mut changed = value.clone();
        disturb(&mut changed, &way);
        std::fs::write(folder.0.join(file), changed.to_string()).unwrap();
        fails(&folder.cases(&Device::cpu()), &way);
    }
}

#[test]
fn a_changed_maze_fails() {
    let file = "maze_env.json";
    every_change_fails(&Folder::new("env", &[file]), file, &[]);
}

#[test]
fn a_changed_trace_fails() {
    let file = "maze_planner_traces.json";
    every_change_fails(&Folder::new("traces", &[file]), file, &[]);
}

#[test]
fn a_changed_cell_fails() {
    let files = ["maze_cells.json", "maze_cells.safetensors"];
    let folder = Folder::new("cells", &files).with_few_cells();
    // What belongs to training is compared there.
    every_change_fails(&folder, files[0], &["final_loss", "f64_train"]);
}

#[test]
fn a_changed_reference_fails() {
    let folder = Folder::new("reference", &ALL[2..]).with_few_cells();
    every_change_fails(&folder, "maze_success_reference.json", &[]);
}

#[test]
fn another_tensor_fails() {
    let file = format!("{CELLS}.safetensors");
    let arrays = load_arrays(Path::new(DATA).join(&file)).unwrap();
    let folder = Folder::new("tensors", &["maze_cells.json"]).with_few_cells();
    let ours = |name: &&str| {
        let of_few = FEW.contains(&name.split('.').next().unwrap_or_default());
        (of_few || name.starts_with("train_"))
            && [".pred", ".grid", "train_", ".final."]
                .iter()
                .any(|part| name.contains(part))
    };
    for changed_name in arrays.names().filter(ours) {
        let mut changed = ArrayMap::new("cells");
        for (name, array) in arrays.iter() {
            let mut array = array.clone();
            if name == changed_name {
                let ArrayData::F32(mut values) = array.data().clone() else {
                    panic!("{name}: not of single precision");
                };
                let last = values.len() - 1;
                values[last] += 1e-2;
                array = Array::new(array.shape(), values).unwrap();
            }
            changed.insert(name, array).unwrap();
        }
        safetensors::save(folder.0.join(&file), &changed).unwrap();
        fails(&folder.cases(&Device::cpu()), changed_name);
    }
}

#[test]
fn what_is_not_there_or_not_known_fails() {
    let folder = Folder::new("missing", &ALL);
    folder.change("maze_env.json", |v| v["envs"][0]["more"] = json!(1));
    folder.change("maze_cells.json", |v| v["cells"][1]["more"] = json!(1));
    folder.change("maze_success_reference.json", |v| {
        v["cells"]["e9_s9_h9"] = v["cells"]["e8_s0_h32"].clone();
    });
    let failed = |case: &Case| case.verdict == Verdict::Fail;
    let cases = folder.cases(&Device::cpu());
    let names: Vec<&str> = cases
        .iter()
        .filter(|c| failed(c))
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    std::fs::remove_file(folder.0.join("maze_cells.safetensors")).unwrap();
    fails(&folder.cases(&Device::cpu()), "a missing file");
}
