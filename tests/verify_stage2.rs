//! Goldens of stage 2: those of the reference pass, and a change anywhere in them fails.

use attractor::device::Device;
use attractor::formats::{Array, ArrayMap, load_arrays, safetensors};
use attractor::verify::{Report, Verdict, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The cell that is kept where one is enough.
const CELL: &str = "dmc_cartpole.steps200_s2";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/worldmodel")
        .join(name)
}

/// A folder of its own for a test.
fn folder(test: &str) -> PathBuf {
    let name = format!("attractor-stage2-{test}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn index() -> Value {
    serde_json::from_slice(&std::fs::read(data("stage2_mini.json")).unwrap()).unwrap()
}

/// One cell alone, under another name; an environment of one cell has no correlations.
fn single() -> (Value, ArrayMap) {
    let mut index = index();
    let cells = index["cells"].as_array_mut().unwrap();
    cells.retain(|cell| cell["key"] == CELL);
    index["within_env_correlation_vs_committed_gap"] = json!({});
    index["within_env_correlation_vs_measured_gap"] = json!({});
    let all = load_arrays(data("stage2_mini.safetensors")).unwrap();
    let mut arrays = ArrayMap::new("single.safetensors");
    for (name, array) in all.iter() {
        if name.starts_with(CELL) || !name.contains("steps") {
            arrays.insert(name, array.clone()).unwrap();
        }
    }
    (index, arrays)
}

fn verify(path: &Path, (index, arrays): &(Value, ArrayMap)) -> Report {
    std::fs::write(path.join("single.json"), index.to_string()).unwrap();
    safetensors::save(path.join("single.safetensors"), arrays).unwrap();
    run(path, &Device::cpu()).unwrap()
}

fn failures(report: &Report) -> Vec<String> {
    let failed = report
        .cases
        .iter()
        .filter(|case| case.verdict == Verdict::Fail);
    failed
        .map(|case| format!("{}: {:?}", case.name, case.reason))
        .collect()
}

#[test]
fn all_cells_pass() {
    let path = folder("all");
    for name in ["stage2_mini.json", "stage2_mini.safetensors"] {
        std::fs::copy(data(name), path.join(name)).unwrap();
    }
    for device in [Device::cpu(), Device::cpu_f64()] {
        let report = run(&path, &device).unwrap();
        assert_eq!(failures(&report), Vec::<String>::new());
        assert!(
            report
                .cases
                .iter()
                .all(|case| case.verdict == Verdict::Pass)
        );
        assert_eq!(report.cases.len(), 1 + 3 + 4 * 5 + 1);
    }
}

/// Something else of the same kind.
fn changed(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) if number.is_f64() => json!(number.as_f64().unwrap() + 0.01),
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        Value::String(text) => json!(format!("{text}x")),
        _ => json!(3),
    }
}

#[test]
fn a_changed_entry_fails() {
    let path = folder("entries");
    let good = single();
    assert_eq!(failures(&verify(&path, &good)), Vec::<String>::new());
    let row = "/cells/0/row";
    let call = "/cells/0/plan_calls/1";
    let places = [
        format!("{row}/m1_l2_onestep"),
        format!("{row}/m2_l2_kstep"),
        format!("{row}/m3_action_agreement"),
        format!("{row}/gap"),
        format!("{row}/verdict"),
        format!("{row}/seed"),
        format!("{row}/context/downstream_json"),
        format!("{row}/context/training_steps"),
        format!("{row}/context/n_states"),
        "/cells/0/committed_gap".into(),
        "/cells/0/measured_cpg/gap_ci_low".into(),
        "/cells/0/measured_cpg/verdict".into(),
        "/cells/0/mcnemar/neither".into(),
        "/cells/0/newcombe/1".into(),
        "/cells/0/episodes/1/0".into(),
        "/cells/0/episodes/1/2".into(),
        format!("{call}/scores/5"),
        format!("{call}/best_step/5"),
        format!("{call}/best_candidate"),
        format!("{call}/plan/1"),
        format!("{call}/first_candidate/3"),
        format!("{call}/best_minus_second"),
        "/oracle/dmc_cartpole/episodes/2/1".into(),
        "/oracle/dmc_cartpole/plan_calls/2/scores/0".into(),
        "/oracle/dmc_cartpole/actions/0/0".into(),
    ];
    for place in &places {
        let mut bad = good.clone();
        let value = bad.0.pointer_mut(place).expect(place);
        *value = changed(value);
        assert!(!failures(&verify(&path, &bad)).is_empty(), "{place}");
    }
    let mut bad = good;
    bad.0["surprise"] = json!(1);
    assert!(!failures(&verify(&path, &bad)).is_empty());
}

#[test]
fn a_changed_tensor_fails() {
    let path = folder("tensors");
    let good = single();
    let names = [
        format!("{CELL}.pred"),
        format!("{CELL}.w.encoder.0.weight"),
        format!("{CELL}.w.decoder.4.bias"),
        "dmc_cartpole.oracle_pred".into(),
        "dmc_cartpole.states".into(),
    ];
    for name in &names {
        let mut arrays = ArrayMap::new("single.safetensors");
        for (own, array) in good.1.iter() {
            let mut array = array.clone();
            if own == name {
                let mut values = array.to_f32().unwrap();
                values[0] += 0.1;
                array = Array::new(array.shape(), values).unwrap();
            }
            arrays.insert(own, array).unwrap();
        }
        let bad = (good.0.clone(), arrays);
        assert!(!failures(&verify(&path, &bad)).is_empty(), "{name}");
    }
}

#[test]
fn changed_oracle_arms_fail() {
    let path = folder("arms");
    let text = std::fs::read(data("tdmpc2_cpg_extract.json")).unwrap();
    let mut extract: Value = serde_json::from_slice(&text).unwrap();
    let cells = extract["cells"].as_array_mut().unwrap();
    cells.truncate(1);
    let oracle = |extract: &Value| {
        std::fs::write(path.join("extract.json"), extract.to_string()).unwrap();
        let report = run(&path, &Device::cpu()).unwrap();
        let arm = report
            .cases
            .into_iter()
            .find(|case| case.name.ends_with(".oracle"));
        arm.expect("a case of the arm").verdict
    };
    assert_eq!(oracle(&extract), Verdict::Pass);
    let mut bad = extract.clone();
    bad["cells"][0]["oracle_steps"][7] = json!(3);
    assert_eq!(oracle(&bad), Verdict::Fail);
    let mut bad = extract;
    bad["cells"][0]["oracle_success"][2] = json!(false);
    assert_eq!(oracle(&bad), Verdict::Fail);
}
