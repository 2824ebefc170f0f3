//! Goldens of textbook maps, flows and fields: those of the reference pass, changed ones fail where they were
//! changed.

use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Report, Verdict, run};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A folder with some of the cases.
struct Folder {
    path: PathBuf,
    index: Value,
    arrays: ArrayMap,
}

impl Folder {
    fn new(test: &str, keep: impl Fn(&str) -> bool) -> Self {
        let name = format!("attractor-maps-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/ftle/classical");
        let index = std::fs::read(data.join("maps.json")).unwrap();
        let mut index: Value = serde_json::from_slice(&index).unwrap();
        index.as_object_mut().unwrap().retain(|name, _| keep(name));
        let all = load_arrays(data.join("maps.safetensors")).unwrap();
        let mut arrays = ArrayMap::new("maps");
        for (name, array) in all.iter() {
            if keep(name.split('.').next().unwrap()) {
                arrays.insert(name, array.clone()).unwrap();
            }
        }
        Self {
            path,
            index,
            arrays,
        }
    }

    fn verify_on(&self, device: &Device, index: &Value, arrays: &ArrayMap) -> Report {
        std::fs::write(self.path.join("maps.json"), index.to_string()).unwrap();
        safetensors::save(self.path.join("maps.safetensors"), arrays).unwrap();
        run(&self.path, device).unwrap()
    }

    /// As it is.
    fn report(&self, device: &Device) -> Report {
        self.verify_on(device, &self.index, &self.arrays)
    }

    /// With one number of a tensor moved.
    fn disturbed(&self, device: &Device, tensor: &str, place: f64, by: f64) -> Report {
        let mut changed = ArrayMap::new("maps");
        for (name, array) in self.arrays.iter() {
            let mut array = array.clone();
            if name == tensor {
                let ArrayData::F64(mut values) = array.data().clone() else {
                    panic!("{name}: not of double precision");
                };
                let at = ((values.len() - 1) as f64 * place) as usize;
                values[at] += by;
                array = Array::new(array.shape(), values).unwrap();
            }
            changed.insert(name, array).unwrap();
        }
        self.verify_on(device, &self.index, &changed)
    }

    fn with_index(&self, device: &Device, change: impl FnOnce(&mut Value)) -> Report {
        let mut index = self.index.clone();
        change(&mut index);
        self.verify_on(device, &index, &self.arrays)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn count(report: &Report, verdict: Verdict) -> usize {
    let cases = report.cases.iter();
    cases.filter(|case| case.verdict == verdict).count()
}

fn all_pass(report: &Report, expected: usize) {
    assert_eq!(
        count(report, Verdict::Pass),
        expected,
        "{:#?}",
        report.lines()
    );
    assert_eq!(report.cases.len(), expected, "{:#?}", report.lines());
}

fn fails(report: &Report, what: &str) {
    assert_eq!(
        count(report, Verdict::Fail),
        1,
        "{what}: {:#?}",
        report.lines()
    );
}

#[test]
fn goldens_of_the_reference_pass() {
    let folder = Folder::new("pass", |_| true);
    all_pass(&folder.report(&Device::cpu_f64()), 8);
    all_pass(&folder.report(&Device::cpu()), 8);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn goldens_of_the_reference_pass_on_a_gpu() {
    let folder = Folder::new("gpu", |_| true);
    all_pass(&folder.report(&Device::wgpu("").expect("an adapter")), 8);
}

/// Every tensor of every case, at its start, in its middle and at its end.
#[test]
fn a_changed_tensor_fails() {
    for device in [Device::cpu_f64(), Device::cpu()] {
        let folder = Folder::new(&format!("tensors-{:?}", device.precision()), |_| true);
        for (name, _) in folder.arrays.iter() {
            // Chaos hides a start behind the transient.
            if name.ends_with(".x_start") {
                continue;
            }
            let case = name.split('.').next().unwrap();
            let alone = Folder::new(&format!("tensor-{:?}", device.precision()), |n| n == case);
            for place in [0.0, 0.5, 1.0] {
                let report = alone.disturbed(&device, name, place, 1e-5);
                fails(&report, &format!("{name} at {place}"));
            }
        }
    }
}

/// Every number of the JSON that is a result, and those settings that results hang on.
#[test]
fn a_changed_number_fails() {
    let device = Device::cpu();
    let cases = [
        ("henon", vec!["lyap", "sum"]),
        ("cat", vec!["lyap", "sum", "start"]),
        ("standard_map", vec!["lyap", "sum", "K"]),
        ("logistic4", vec!["lyap", "sum", "start"]),
        ("ikeda", vec!["lyap", "sum"]),
        ("lorenz63", vec!["lyap", "sum", "h"]),
        ("rossler", vec!["lyap", "sum", "h"]),
        (
            "double_gyre_t2p5",
            vec!["max_var", "A", "eps", "omega", "t0", "domain"],
        ),
    ];
    for (case, keys) in cases {
        let folder = Folder::new("numbers", |name| name == case);
        for key in keys {
            let report = folder.with_index(&device, |index| {
                let value = &mut index[case][key];
                let value = match value.is_array() {
                    true => &mut value[0],
                    false => value,
                };
                let changed = value.as_f64().expect("a number") + 1e-4;
                *value = json!(changed);
            });
            fails(&report, &format!("{case}.{key}"));
        }
    }
}

#[test]
fn counts_are_read() {
    let device = Device::cpu();
    let folder = Folder::new("counts", |name| name == "henon");
    for (key, value) in [("k", 1), ("k", 0), ("k", 3)] {
        let report = folder.with_index(&device, |index| index["henon"][key] = json!(value));
        fails(&report, &format!("{key} {value}"));
    }
    let folder = Folder::new("grids", |name| name == "double_gyre_t2p5");
    for (key, value) in [
        ("T", json!(9.95)),
        ("nx", json!(47)),
        ("domain", json!([0, 2, 0])),
    ] {
        let report = folder.with_index(&device, |index| index["double_gyre_t2p5"][key] = value);
        fails(&report, key);
    }
}

#[test]
fn names_tell_the_system_wherever_they_stand() {
    let folder = Folder::new("names", |name| name == "lorenz63" || name == "henon");
    let mut index = json!({});
    let mut arrays = ArrayMap::new("maps");
    for (old, new) in [("lorenz63", "second_Lorenz63_b"), ("henon", "x17")] {
        index[new] = folder.index[old].clone();
        for (name, array) in folder.arrays.iter() {
            if let Some(tensor) = name.strip_prefix(&format!("{old}.")) {
                arrays
                    .insert(format!("{new}.{tensor}"), array.clone())
                    .unwrap();
            }
        }
    }
    index["x17"]["map"] = json!("Henon");
    all_pass(&folder.verify_on(&Device::cpu_f64(), &index, &arrays), 2);
    // What nothing looks at says so.
    index["x17"]["other"] = json!(3.0);
    arrays
        .insert("x17.other_tensor", Array::new(&[1], vec![1.0_f64]).unwrap())
        .unwrap();
    let report = folder.verify_on(&Device::cpu_f64(), &index, &arrays);
    assert_eq!(count(&report, Verdict::Unsupported), 1);
    let line = report
        .cases
        .iter()
        .find(|c| c.verdict == Verdict::Unsupported);
    let reason = line.unwrap().reason.clone().unwrap();
    assert!(
        reason.contains("other") && reason.contains("x17.other_tensor"),
        "{reason}"
    );
    // A system that is not there.
    index["x17"]["map"] = json!("duffing");
    let report = folder.verify_on(&Device::cpu_f64(), &index, &arrays);
    assert_eq!(count(&report, Verdict::Unsupported), 1);
}
