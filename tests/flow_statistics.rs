//! Statistics of actions: fitted to drives of the benchmark against the reference values in
//! `tests/data/flow`, written, and read back.

use attractor::formats::{ArrayMap, load_arrays};
use attractor::training::action_statistics::{
    ActionStatistics, FitSettings, StatisticsFileError, StatisticsFitError,
};
use attractor::training::label_smoothing::LabelError;
use attractor::worlds::driving::{CHANNELS, Drive, FRAMES, HORIZON, TRAINING_DRIVES};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn settings() -> FitSettings {
    FitSettings::new(CHANNELS.map(String::from).to_vec(), true, HORIZON)
}

fn fit(drives: impl Iterator<Item = u32>) -> ActionStatistics {
    let targets: Vec<Vec<f32>> = drives
        .map(|drive| Drive::generate(drive, FRAMES).targets)
        .collect();
    let (statistics, dropped) = ActionStatistics::fit(&targets.concat(), &settings()).unwrap();
    assert_eq!(dropped, 0);
    statistics
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Asserts that channels, one after the other, are those of a golden to 1e-6.
fn assert_golden<'a>(goldens: &ArrayMap, name: &str, channels: impl Iterator<Item = &'a [f64]>) {
    let expected = goldens.get(name).unwrap().to_f64().unwrap();
    let found: Vec<f64> = channels.flatten().copied().collect();
    assert_eq!(found.len(), expected.len(), "{name}");
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() < 1e-6,
            "{name}[{index}]: {found} {expected}"
        );
    }
}

#[test]
fn fits_of_four_drives_match_the_reference() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let goldens = load_arrays(root.join("tests/data/flow/actions.safetensors")).unwrap();
    let statistics = fit(0..4);
    let knots = statistics.transform.knots().unwrap();
    assert_golden(
        &goldens,
        "transform.in.knots",
        knots.channels().iter().map(|knots| &knots[..]),
    );
    assert_golden(&goldens, "transform.in.grid", std::iter::once(knots.grid()));
    let labels = statistics.labels.as_ref().unwrap();
    assert_golden(
        &goldens,
        "lds.in.edges",
        labels.iter().map(|labels| labels.edges()),
    );
    assert_golden(
        &goldens,
        "lds.in.emp",
        labels.iter().map(|labels| labels.emp()),
    );
    assert_golden(
        &goldens,
        "lds.in.smooth",
        labels.iter().map(|labels| labels.smooth()),
    );
    // Weights have mean 1 over the data that they were fitted to.
    for (weights, labels) in statistics
        .label_weights(0.5, 15.0)
        .unwrap()
        .iter()
        .zip(labels)
    {
        let pairs = weights.table().iter().zip(labels.emp());
        assert!((pairs.map(|(weight, share)| weight * share).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}

#[test]
fn shipped_statistics_are_those_of_the_training_drives() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = ActionStatistics::load(root.join("assets/drivechunk_statistics.json")).unwrap();
    assert_eq!(shipped, fit(TRAINING_DRIVES));
}

#[test]
fn thresholds_are_quantiles_of_what_is_active() {
    // Gas: 9 of 10 rest. Brake: never. Steering: 1 to 10.
    let raw: Vec<f32> = (0..10)
        .flat_map(|i| [if i == 3 { 0.5 } else { 0.0 }, 0.0, -(i as f32 + 1.0)])
        .collect();
    let settings = FitSettings {
        horizon: 1,
        quantile: 0.8,
        ..settings()
    };
    let (statistics, _) = ActionStatistics::fit(&raw, &settings).unwrap();
    let thresholds = statistics.thresholds.unwrap();
    assert_eq!(thresholds[..2], [0.5, 0.0]);
    assert!((thresholds[2] - 8.2).abs() < 1e-12);
    // A chunk that is not finite is left out.
    let mut broken = raw.clone();
    broken.extend([f32::NAN, 0.0, 100.0]);
    let (kept, dropped) = ActionStatistics::fit(&broken, &settings).unwrap();
    assert_eq!(dropped, 1);
    assert_eq!(kept.thresholds.unwrap(), thresholds);
}

#[test]
fn data_that_cannot_be_fitted_are_named() {
    let refusal = |raw: &[f32], settings: &FitSettings| {
        ActionStatistics::fit(raw, settings)
            .unwrap_err()
            .to_string()
    };
    let settings = FitSettings {
        horizon: 2,
        ..settings()
    };
    assert!(refusal(&[], &settings).contains("found none"));
    assert!(refusal(&[0.0; 7], &settings).contains("multiple of 6"));
    assert!(refusal(&[0.0; 12], &settings).contains("longitudinal: all 4 values are 0"));
    let nan = refusal(&[f32::NAN; 6], &settings);
    assert!(nan.contains("longitudinal: value 0 is NaN"), "{nan}");
    let outside = FitSettings {
        quantile: 1.5,
        ..settings.clone()
    };
    assert!(refusal(&[0.0; 6], &outside).contains("quantile"));
    let strange = FitSettings {
        action_keys: vec!["a".into(), "b".into(), "c".into()],
        ..settings.clone()
    };
    assert!(refusal(&[0.0; 6], &strange).contains("gas"));
    // Slots that vary, in chunks whose largest magnitudes do not.
    let same = [0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0];
    let error = ActionStatistics::fit(&same, &settings).unwrap_err();
    let expected = LabelError::Constant {
        channel: 0,
        count: 2,
        value: 0.5,
    };
    assert_eq!(error, StatisticsFitError::Labels(expected));
}

#[test]
fn files_are_read_as_they_were_written() {
    let statistics = fit(24..25);
    let file = scratch("statistics.json");
    statistics.save(&file).unwrap();
    assert_eq!(ActionStatistics::load(&file).unwrap(), statistics);
    let bare = json!({"action_keys": ["x"], "merge": false, "grid": null, "knots": null});
    let read = ActionStatistics::parse(&file, bare.to_string().as_bytes()).unwrap();
    assert!(read.transform.knots().is_none() && read.thresholds.is_none());
    assert_eq!(
        read.label_weights(0.5, 15.0).unwrap_err(),
        LabelError::Empty
    );
}

#[test]
fn bad_files_are_named() {
    let good = json!({
        "action_keys": ["gas", "brake", "steering"],
        "merge": true,
        "grid": [0.0, 1.0],
        "knots": [[-1.0, 1.0], [-1.0, 1.0]],
        "lds": {
            "edges": [[0.0, 1.0], [0.0, 1.0]],
            "emp": [[1.0], [1.0]],
            "smooth": [[1.0], [1.0]],
            "model_keys": ["longitudinal", "steering"],
        },
        "thresholds": [0.1, 0.1, 0.1],
    });
    let parse = |value: &Value| {
        ActionStatistics::parse(Path::new("stats.json"), value.to_string().as_bytes())
    };
    parse(&good).unwrap();
    for (pointer, value, word) in [
        ("/action_keys", json!(["gas", "steering"]), "brake"),
        ("/action_keys", json!("gas"), "expected a sequence"),
        ("/grid", json!(null), "grid and knots"),
        ("/grid", json!([0.0, 0.5, 1.0]), "knots of channel 0"),
        ("/knots/1", json!([1.0, 1.0]), "strictly increasing"),
        ("/knots", json!([[-1.0, 1.0]]), "2 channels"),
        ("/lds/edges", json!([[0.0, 1.0]]), "lds.edges"),
        ("/lds/emp/0", json!([0.5, 0.5]), "emp"),
        ("/lds/edges/1", json!([1.0, 0.0]), "edges"),
        ("/thresholds", json!([0.1]), "thresholds"),
        ("/thresholds/0", json!(-0.1), "thresholds"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let error = parse(&bad).unwrap_err().to_string();
        assert!(
            error.starts_with("stats.json") && error.contains(word),
            "{pointer}: {error}"
        );
    }
    for key in ["action_keys", "merge", "grid", "knots"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(key);
        let error = parse(&bad).unwrap_err().to_string();
        // The parser says what is missing, or where it broke off.
        assert!(error.contains(key), "{key}: {error}");
    }
    for text in ["", "[]", "{", "{\"grid\": [NaN]}"] {
        let error = ActionStatistics::parse(Path::new("stats.json"), text.as_bytes()).unwrap_err();
        assert!(matches!(error, StatisticsFileError::Json { .. }), "{error}");
    }
    assert!(ActionStatistics::load(scratch("no_statistics.json")).is_err());
}
