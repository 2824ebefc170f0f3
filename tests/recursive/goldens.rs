//! Recorded runs on every device, and what becomes of them when they are changed.

use super::{CASES, arrays, data};
use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, safetensors};
use attractor::verify::{Report, Verdict, run};
use std::path::{Path, PathBuf};

/// A folder of this test's own with some cases.
fn folder(name: &str, cases: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for case in cases {
        for kind in ["json", "safetensors"] {
            let file = format!("{case}.{kind}");
            std::fs::copy(data().join(&file), folder.join(&file)).unwrap();
        }
    }
    folder
}

fn verdict_of(report: &Report, case: &str) -> (Verdict, String) {
    let found = report
        .cases
        .iter()
        .find(|found| found.name == case)
        .unwrap();
    (found.verdict, format!("{found:?}"))
}

fn check_goldens(name: &str, device: &Device) {
    let report = run(&folder(name, &CASES), device).unwrap();
    for case in CASES {
        let (verdict, text) = verdict_of(&report, case);
        assert_eq!(verdict, Verdict::Pass, "{text}");
    }
    assert!(report.good());
}

#[test]
fn recorded_runs_are_repeated_on_the_cpu() {
    check_goldens("recursive-cpu", &Device::cpu());
}

#[test]
fn recorded_runs_are_repeated_in_double_precision() {
    check_goldens("recursive-f64", &Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn recorded_runs_are_repeated_on_a_gpu() {
    let gpu = Device::wgpu("").expect("an adapter; ./scripts/test installs a software one");
    check_goldens("recursive-gpu", &gpu);
}

/// Elements with one of them changed, so that no tolerance hides it.
fn changed(data: ArrayData) -> ArrayData {
    match data {
        ArrayData::F64(mut values) => {
            let last = values.len() - 1;
            values[last] += 0.5;
            values.into()
        }
        ArrayData::F32(mut values) => {
            let last = values.len() - 1;
            values[last] += 0.5;
            values.into()
        }
        ArrayData::I32(mut values) => {
            values[0] ^= 1;
            values.into()
        }
        ArrayData::I64(mut values) => {
            values[0] ^= 1;
            values.into()
        }
        ArrayData::U8(mut values) => {
            values[0] ^= 1;
            values.into()
        }
        other => panic!("{:?}", other.dtype()),
    }
}

#[test]
fn a_changed_golden_fails() {
    let read = [
        "z_H",
        "z_L",
        "logits",
        "q_halt",
        "q_continue",
        "drift_zH",
        "drift_zL",
        "halted_at",
        "preds",
        "token_acc",
        "exact_correct",
        "states",
    ];
    for case in ["hrm_learned", "trm_tiny_full"] {
        let folder = folder(&format!("recursive-changed-{case}"), &[case]);
        let original = arrays(case);
        let mut tried = 0;
        for name in original.names().filter(|name| read.contains(name)) {
            let mut map = ArrayMap::new(case);
            for (known, array) in original.iter() {
                let mut array = array.clone();
                if known == name {
                    array = Array::new(array.shape(), changed(array.data().clone())).unwrap();
                }
                map.insert(known, array).unwrap();
            }
            safetensors::save(folder.join(format!("{case}.safetensors")), &map).unwrap();
            let report = run(&folder, &Device::cpu()).unwrap();
            let (verdict, text) = verdict_of(&report, case);
            assert_eq!(verdict, Verdict::Fail, "{name}: {text}");
            tried += 1;
        }
        assert_eq!(tried, if case == "hrm_learned" { 11 } else { 1 });
    }
}

#[test]
fn an_output_that_nothing_compares_is_listed() {
    let folder = folder("recursive-unknown", &["hrm_learned"]);
    let mut map = arrays("hrm_learned");
    map.insert("entropy", Array::new(&[1], vec![0.5f64]).unwrap())
        .unwrap();
    safetensors::save(folder.join("hrm_learned.safetensors"), &map).unwrap();
    let report = run(&folder, &Device::cpu()).unwrap();
    let (verdict, _) = verdict_of(&report, "hrm_learned.entropy");
    assert_eq!(verdict, Verdict::Unsupported);
}
