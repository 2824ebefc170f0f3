//! The published correlation of the published bundle, number for number, and how long it takes.

use attractor::analysis::correlation::{
    BootstrapOptions, Bundle, Environment, Method, correlate, usable, within_environments,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/worldmodel")
}

fn json(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(data().join(file)).unwrap()).unwrap()
}

fn published() -> Bundle {
    Bundle::read(&data().join("published/maze_offline_scores.json")).unwrap()
}

#[test]
fn the_published_result_is_reproduced_exactly() {
    let bundle = published();
    bundle.check_unique().unwrap();
    bundle.check_downstream("success_rate").unwrap();
    assert_eq!((bundle.cells.len(), bundle.episodes), (24, Some(20)));
    let options = BootstrapOptions::default();
    let found = correlate(&bundle.cells, "success_rate", Method::Spearman, &options).unwrap();
    let expected = json("published/offline_vs_downstream.json");
    assert_eq!(serde_json::to_value(&found).unwrap(), expected["result"]);
    // Entries come in the published order too.
    let whole = std::fs::read_to_string(data().join("published/offline_vs_downstream.json"));
    let (_, text) = whole
        .as_deref()
        .unwrap()
        .split_once("\"result\": ")
        .unwrap();
    let indented = serde_json::to_string_pretty(&found)
        .unwrap()
        .replace('\n', "\n  ");
    assert_eq!(format!("{indented}\n}}"), text.trim_end());
}

#[test]
fn nulls_constants_and_too_few_cells_are_those_of_the_reference() {
    for case in json("correlate_bundles.json").as_array().unwrap() {
        let bundle = Bundle::of(Path::new("case"), case).unwrap();
        let options = BootstrapOptions {
            resamples: case["n_boot"].as_u64().unwrap() as u32,
            alpha: case["alpha"].as_f64().unwrap(),
            seed: case["seed"].as_u64().unwrap(),
        };
        let method = match case["method"].as_str().unwrap() {
            "kendall" => Method::Kendall,
            _ => Method::Spearman,
        };
        let downstream = case["downstream"].as_str().unwrap();
        let found = correlate(&bundle.cells, downstream, method, &options).unwrap();
        let found = serde_json::to_value(&found).unwrap();
        assert_eq!(found, case["result"], "{}", case["name"]);
    }
}

#[test]
fn environments_are_correlated_on_their_own() {
    let golden = json("within_env.json");
    let rows = golden["rows"].as_array().unwrap();
    let cells: Vec<_> = rows
        .iter()
        .map(|row| row.as_object().unwrap().clone())
        .collect();
    let metrics = ["m1_l2_onestep", "m2_l2_kstep", "m3_action_agreement"];
    let options = BootstrapOptions::default();
    let found = within_environments(&cells, &metrics, "gap", &options).unwrap();
    let found = serde_json::to_value(Environment::block(&found)).unwrap();
    assert_eq!(found, golden["within_env_correlation"]);
}

/// 10,000 resamples of the six published rows. The bound is loose, for loaded machines and builds that are
/// not fully optimised; the time itself is printed.
#[test]
fn resampling_the_published_bundle_is_quick() {
    let bundle = published();
    let options = BootstrapOptions::default();
    let once = || {
        let start = Instant::now();
        correlate(&bundle.cells, "success_rate", Method::Spearman, &options).unwrap();
        start.elapsed()
    };
    let best = (0..5).map(|_| once()).min().unwrap();
    println!("correlate, 6 rows of 10,000 resamples: {best:.2?}");
    assert!(best < Duration::from_secs(2), "{best:?}");
}

#[test]
fn numbers_that_python_writes_and_json_lacks_are_no_values() {
    let path = data().join("published/maze_offline_scores.json");
    let text = std::fs::read_to_string(path).unwrap();
    let nan = text.replace(
        "\"m3_action_agreement\": null",
        "\"m3_action_agreement\": NaN",
    );
    assert_ne!(nan, text);
    let bundle = Bundle::parse(Path::new("nan.json"), &nan).unwrap();
    assert_eq!(bundle.replaced, 7);
    assert_eq!(bundle.cells, published().cells);
    let missing = bundle
        .cells
        .iter()
        .filter(|cell| usable(cell.get("m3_action_agreement")).is_none());
    assert_eq!(missing.count(), 7);
}
