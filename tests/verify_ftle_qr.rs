//! Goldens of the QR factorisation: those of the reference pass on every device and under any names,
//! changed ones fail.

mod common;

use std::path::{Path, PathBuf};

use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Report, Verdict, run};
use serde_json::{Value, json};

/// A folder with one file of goldens.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("attractor-ftle-qr-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ftle/qr");
        for file in ["qr.json", "qr.safetensors"] {
            std::fs::copy(data.join(file), path.join(file)).unwrap();
        }
        Self(path)
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.0.join("qr.json")).unwrap()).unwrap()
    }

    fn write_index(&self, index: &Value) {
        std::fs::write(self.0.join("qr.json"), index.to_string()).unwrap();
    }

    fn arrays(&self) -> ArrayMap {
        load_arrays(self.0.join("qr.safetensors")).unwrap()
    }

    fn save(&self, arrays: &ArrayMap) {
        safetensors::save(self.0.join("qr.safetensors"), arrays).unwrap();
    }

    fn verify(&self) -> Report {
        run(&self.0, &Device::cpu()).unwrap()
    }

    /// Verifies with one tensor changed, or left out.
    fn with(&self, tensor: &str, change: impl Fn(&mut [f64]) -> bool) -> Report {
        let original = self.arrays();
        let mut changed = ArrayMap::new("changed");
        for (name, array) in original.iter() {
            if name != tensor {
                changed.insert(name, array.clone()).unwrap();
                continue;
            }
            let mut values = array.to_f64().unwrap();
            if change(&mut values) {
                let is_single = matches!(array.data(), ArrayData::F32(_));
                let single = values.iter().map(|v| *v as f32).collect::<Vec<_>>();
                let data = if is_single {
                    ArrayData::from(single)
                } else {
                    values.into()
                };
                let array = Array::new(array.shape(), data).unwrap();
                changed.insert(name, array).unwrap();
            }
        }
        self.save(&changed);
        let report = self.verify();
        self.save(&original);
        report
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn failed(report: &Report) -> Vec<&str> {
    let cases = report.cases.iter();
    let failed = cases.filter(|case| case.verdict == Verdict::Fail);
    failed.map(|case| case.name.as_str()).collect()
}

fn assert_all_pass(report: &Report, count: usize) {
    assert_eq!(report.cases.len(), count);
    for case in &report.cases {
        assert_eq!(case.verdict, Verdict::Pass, "{case:?}");
    }
}

#[test]
fn goldens_pass_on_the_processor_in_both_precisions() {
    let folder = Folder::new("cpu");
    assert_all_pass(&folder.verify(), 7);
    assert_all_pass(&run(&folder.0, &Device::cpu_f64()).unwrap(), 7);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn goldens_pass_on_the_gpu() {
    let folder = Folder::new("gpu");
    assert_all_pass(&run(&folder.0, &common::gpu()).unwrap(), 7);
}

#[test]
fn names_do_not_matter() {
    let folder = Folder::new("names");
    let mut index = serde_json::Map::new();
    let mut arrays = ArrayMap::new("renamed");
    for (number, (name, entry)) in folder.index().as_object().unwrap().iter().enumerate() {
        index.insert(format!("case {number}"), entry.clone());
        for (tensor, array) in folder.arrays().iter() {
            if let Some(rest) = tensor.strip_prefix(&format!("{name}.")) {
                let tensor = format!("case {number}.{rest}");
                arrays.insert(tensor, array.clone()).unwrap();
            }
        }
    }
    folder.write_index(&index.into());
    folder.save(&arrays);
    assert_all_pass(&folder.verify(), 7);
}

#[test]
fn changed_tensors_fail() {
    let folder = Folder::new("tensors");
    for tensor in folder.arrays().names() {
        let case = tensor.rsplit_once('.').unwrap().0;
        let is_rank = case.starts_with("rankdef");
        for place in [0usize, 4, 7] {
            let report = folder.with(tensor, |values| {
                let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                // Of the matrices of lesser rank, one of the columns that depend on each other.
                let at = if is_rank {
                    8 * place + 4
                } else {
                    place % values.len()
                };
                // A number of about the size of others, in whose column it shows.
                let size = if values[at] == 0.0 {
                    largest
                } else {
                    values[at]
                };
                values[at] += 0.01 * size;
                true
            });
            assert_eq!(failed(&report), [case], "{tensor} at {place}");
        }
        let report = folder.with(tensor, |values| {
            values[1] = f64::NAN;
            true
        });
        assert_eq!(failed(&report), [case], "{tensor} with NaN");
        let report = folder.with(tensor, |_| false);
        assert_eq!(failed(&report), [case], "{tensor} left out");
    }
}

#[test]
fn changed_entries_fail() {
    let folder = Folder::new("entries");
    let original = folder.index();
    let mut changes: Vec<(String, String, Value)> = Vec::new();
    for (name, entry) in original.as_object().unwrap() {
        for (key, value) in entry.as_object().unwrap() {
            let changed = match value {
                Value::Number(number) if number.is_u64() => {
                    vec![json!(number.as_u64().unwrap() + 1)]
                }
                Value::Number(number) => {
                    let number = number.as_f64().unwrap();
                    vec![json!(number * 10.0), json!(number / 10.0), json!(-number)]
                }
                Value::Array(ranks) => {
                    let mut other = ranks.clone();
                    other[5] = json!(ranks[5].as_u64().unwrap() - 1);
                    vec![Value::Array(other), Value::Array(ranks[1..].to_vec())]
                }
                // A note for people.
                _ => continue,
            };
            let changed = changed.into_iter();
            changes.extend(changed.map(|value| (name.clone(), key.clone(), value)));
        }
    }
    assert!(changes.len() > 20);
    for (name, key, value) in changes {
        let mut index = original.clone();
        index[&name][&key] = value.clone();
        folder.write_index(&index);
        assert_eq!(failed(&folder.verify()), [&name], "{name}.{key} = {value}");
    }
}

#[test]
fn what_is_not_compared_says_so() {
    let folder = Folder::new("others");
    let mut arrays = folder.arrays();
    let one = Array::new(&[1], vec![1.0f32]).unwrap();
    arrays.insert("stray", one.clone()).unwrap();
    arrays.insert("random_2x2.extra", one).unwrap();
    folder.save(&arrays);
    let report = folder.verify();
    for name in ["stray", "random_2x2"] {
        let case = report.cases.iter().find(|case| case.name == name).unwrap();
        assert_eq!(case.verdict, Verdict::Unsupported, "{case:?}");
    }
    assert!(failed(&report).is_empty());
}
