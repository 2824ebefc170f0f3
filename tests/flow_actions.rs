//! The action space of flow policies and its losses against the reference values in `tests/data/flow`.

use attractor::formats::{ArrayMap, load_arrays};
use attractor::models::flow::actions::{ActionTransform, Pedals};
use attractor::models::flow::knots::{Knots, TransformError};
use attractor::training::flow_losses::{
    ChunkShape, FiniteRows, FlowBatch, FlowLoss, flow_loss, maneuver_errors, sample_l1,
};
use attractor::training::flow_time::{FlowTimeDraw, FlowTimeLaw};
use attractor::training::label_smoothing::{
    LabelDistribution, LabelError, LabelSettings, labels, weights,
};
use attractor::training::losses::LossError;
use serde_json::Value;
use std::path::Path;

fn goldens() -> ArrayMap {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    load_arrays(root.join("tests/data/flow/actions.safetensors")).unwrap()
}

fn metadata(goldens: &ArrayMap, key: &str) -> Value {
    serde_json::from_str(&goldens.metadata()[key]).unwrap()
}

/// Values of a tensor of any shape.
fn f64s(goldens: &ArrayMap, name: &str) -> Vec<f64> {
    let shape = goldens.get(name).unwrap().shape().to_vec();
    goldens.expect_f64(name, &shape).unwrap()
}

/// Largest difference, relative to the largest expected magnitude.
fn relative(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(0.0_f64, |most, value| most.max(value.abs()));
    let pairs = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let worst = pairs.fold(0.0_f64, |most, off| {
        if off.is_nan() || off > most {
            off
        } else {
            most
        }
    });
    worst / largest
}

fn keys() -> Vec<String> {
    ["gas", "brake", "steering"].map(String::from).to_vec()
}

const PEDALS: Pedals = Pedals { gas: 0, brake: 1 };

fn transform(goldens: &ArrayMap) -> ActionTransform {
    let knots = f64s(goldens, "transform.in.knots");
    let channels = knots.chunks(256).map(<[f64]>::to_vec).collect();
    let knots = Knots::new(f64s(goldens, "transform.in.grid"), channels).unwrap();
    ActionTransform::new(keys(), Some(PEDALS), Some(knots)).unwrap()
}

#[test]
fn actions_go_to_the_model_and_back() {
    let goldens = goldens();
    let transform = transform(&goldens);
    let raw = f64s(&goldens, "transform.in.raw");
    let merged = transform.to_physical(&raw).unwrap();
    assert!(relative(&merged, &f64s(&goldens, "transform.out.merged")) < 1e-12);
    let model = transform.to_model(&raw).unwrap();
    assert!(relative(&model, &f64s(&goldens, "transform.out.model")) < 1e-12);
    let back = transform.to_raw(&model).unwrap();
    assert!(relative(&back, &f64s(&goldens, "transform.out.roundtrip")) < 1e-12);
    let z = f64s(&goldens, "transform.in.z");
    let drawn = transform.to_raw(&z).unwrap();
    assert!(relative(&drawn, &f64s(&goldens, "transform.out.raw")) < 1e-12);
    // Single precision in and out rounds once at the end.
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let found: Vec<f64> = transform
        .to_model(&narrow(&raw))
        .unwrap()
        .into_iter()
        .map(f64::from)
        .collect();
    assert!(relative(&found, &f64s(&goldens, "transform.out.model")) < 1e-7);
}

#[test]
fn channels_keep_their_places_without_knots_and_without_pedals() {
    let names = ["steering", "Brake_pressure", "horn", "gas_pedal"]
        .map(String::from)
        .to_vec();
    let pedals = Pedals::of_keys(&names).unwrap();
    assert_eq!(pedals, Pedals { gas: 3, brake: 1 });
    let transform = ActionTransform::new(names.clone(), Some(pedals), None).unwrap();
    assert_eq!(transform.model_keys(), ["longitudinal", "steering", "horn"]);
    assert_eq!(
        [0, 1, 2, 3].map(|raw| transform.model_channel(raw)),
        [Some(1), None, Some(2), None]
    );
    let raw = [0.25_f32, 0.5, 1.0, 0.0, -0.25, 0.0, 0.0, 0.75];
    let model = transform.to_model(&raw).unwrap();
    assert_eq!(model, [-0.5, 0.25, 1.0, 0.75, -0.25, 0.0]);
    assert_eq!(transform.to_raw(&model).unwrap(), raw);
    let plain = ActionTransform::new(names, None, None).unwrap();
    assert_eq!(plain.to_model(&raw).unwrap(), raw);
    assert_eq!(plain.model_channel(3), Some(3));
}

#[test]
fn what_is_not_a_number_stays_so_and_knots_bound_the_rest() {
    let goldens = goldens();
    let transform = transform(&goldens);
    let nan = f32::NAN;
    assert!(transform.to_model(&[nan, 0.0, 0.0]).unwrap()[0].is_nan());
    let raw = transform
        .to_raw(&[nan, 9.0, f32::INFINITY, f32::NEG_INFINITY])
        .unwrap();
    assert!(raw[0].is_nan() && raw[1].is_nan());
    let steering = &f64s(&goldens, "transform.in.knots")[256..];
    let (least, most) = (steering[0] as f32, steering[255] as f32);
    assert_eq!((raw[2], raw[5]), (most, least));
    assert!(raw[3..5].iter().all(|value| value.is_finite()));
    let model = transform.to_model(&[5.0_f32, 0.0, -5.0]).unwrap();
    assert!((model[0] - 4.753_424).abs() < 1e-5 && (model[1] + 4.753_424).abs() < 1e-5);
}

#[test]
fn bad_knots_and_actions_are_named() {
    let grid = || vec![0.0, 0.5, 1.0];
    let message = |knots: Vec<f64>| Knots::new(grid(), vec![knots]).unwrap_err().to_string();
    assert!(message(vec![0.0, 0.0, 1.0]).contains("channel 0: expected strictly increasing"));
    assert!(message(vec![0.0, 1.0]).contains("expected 3 values"));
    assert!(message(vec![0.0, f64::NAN, 1.0]).contains("not, at index 1"));
    assert!(Knots::new(vec![0.0], vec![]).is_err());
    assert!(Knots::new(vec![1.0, 0.0], vec![]).is_err());
    let good = Knots::new(grid(), vec![vec![0.0, 1.0, 2.0]]).unwrap();
    let wrong = ActionTransform::new(keys(), Some(PEDALS), Some(good)).unwrap_err();
    assert!(wrong.to_string().contains("expected 2 channels, found 1"));
    let same = Pedals { gas: 1, brake: 1 };
    assert!(ActionTransform::new(keys(), Some(same), None).is_err());
    assert!(ActionTransform::new(vec![], None, None).is_err());
    assert!(Pedals::of_keys(&["gas".into(), "gas2".into(), "brake".into()]).is_err());
    let transform = ActionTransform::new(keys(), Some(PEDALS), None).unwrap();
    let length = TransformError::Length {
        what: "raw actions",
        channels: 3,
        found: 4,
    };
    assert_eq!(transform.to_model(&[0.0_f32; 4]).unwrap_err(), length);
    assert!(transform.to_raw(&[0.0_f32; 3]).is_err());
}

#[test]
fn bad_data_for_knots_is_named() {
    let fit = |raw: &[f32], levels| ActionTransform::fit(keys(), Some(PEDALS), raw, levels);
    let empty = TransformError::Empty { what: "knots" };
    assert_eq!(fit(&[], 8).unwrap_err(), empty);
    let constant = fit(&[0.5, 0.0, 0.1, 0.25, 0.0, 0.1], 8)
        .unwrap_err()
        .to_string();
    assert!(
        constant.contains("steering: all 2 values are"),
        "{constant}"
    );
    assert!(
        fit(&[0.5, 0.0, f32::NAN, 0.25, 0.0, 0.1], 8)
            .unwrap_err()
            .to_string()
            .contains("steering")
    );
    assert!(
        fit(&[0.5, 0.0, 0.1, 0.0, 0.0, 0.0], 1)
            .unwrap_err()
            .to_string()
            .contains("levels")
    );
    // Levels 0, 1/2, 1 of 0, 0, 4 and their spacing.
    let fitted = ActionTransform::fit(vec!["x".into()], None, &[4.0, 0.0, 0.0], 3).unwrap();
    let knots = &fitted.knots().unwrap().channels()[0];
    assert_eq!(knots, &[0.0, 1e-6, 4.0 + 2e-6]);
}

#[test]
fn label_weights_match_the_reference() {
    let goldens = goldens();
    let table = |name: &str, channel: usize| {
        let values = f64s(&goldens, &format!("lds.in.{name}"));
        values
            .chunks(values.len() / 2)
            .nth(channel)
            .unwrap()
            .to_vec()
    };
    let distributions = [0, 1].map(|channel| {
        LabelDistribution::new(
            table("edges", channel),
            table("emp", channel),
            table("smooth", channel),
        )
        .unwrap()
    });
    let label = f64s(&goldens, "lds.in.label");
    for (name, alpha, cap) in [
        ("0.15", 0.0, 15.0),
        ("0.5.15", 0.5, 15.0),
        ("1.15", 1.0, 15.0),
        ("0.5.2", 0.5, 2.0),
        ("1.1e+09", 1.0, 1e9),
    ] {
        let tables =
            [0, 1].map(|channel: usize| distributions[channel].weights(alpha, cap).unwrap());
        let found: Vec<f64> = tables.iter().flat_map(|t| t.table().to_vec()).collect();
        assert!(
            relative(&found, &f64s(&goldens, &format!("lds.out.table.{name}"))) < 1e-12,
            "{name}"
        );
        let found = weights(&tables, &label).unwrap();
        assert!(
            relative(&found, &f64s(&goldens, &format!("lds.out.weight.{name}"))) < 1e-12,
            "{name}"
        );
    }
}

#[test]
fn labels_are_counted_in_the_upper_bin_and_looked_up_in_the_lower() {
    let settings = LabelSettings {
        bins: 2,
        sigma: 1.0,
    };
    let fitted = &settings.fit(&[0.0, 1.0, 1.0, 2.0], 1).unwrap()[0];
    assert_eq!(fitted.edges(), [0.0, 1.0, 2.0]);
    assert_eq!(fitted.emp(), [0.25, 0.75]);
    assert!((fitted.smooth().iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let weights = fitted.weights(1.0, 15.0).unwrap();
    assert_eq!(weights.weight(1.0), weights.table()[0]);
    assert_eq!(weights.weight(1.000_001), weights.table()[1]);
    assert_eq!(weights.weight(9.0), weights.table()[1]);
    assert!(weights.weight(f64::NAN).is_nan());
    let found = labels(&[0.5, -2.0, -1.0, 0.0, 0.25, f64::NAN, 0.0, 0.0], 2, 2).unwrap();
    assert_eq!(found[..3], [1.0, 2.0, 0.25]);
    assert!(found[3].is_nan());
}

#[test]
fn bad_label_statistics_are_named() {
    let settings = LabelSettings::default();
    assert_eq!(settings.fit(&[], 1).unwrap_err(), LabelError::Empty);
    let constant = LabelError::Constant {
        channel: 1,
        count: 2,
        value: 0.0,
    };
    assert_eq!(
        settings.fit(&[0.0, 0.0, 1.0, 0.0], 2).unwrap_err(),
        constant
    );
    assert!(settings.fit(&[0.0, f64::NAN], 1).is_err());
    assert!(settings.fit(&[0.0; 3], 2).is_err());
    assert!(
        LabelSettings {
            bins: 0,
            sigma: 1.0
        }
        .fit(&[0.0, 1.0], 1)
        .is_err()
    );
    assert!(
        LabelSettings {
            bins: 4,
            sigma: 0.0
        }
        .fit(&[0.0, 1.0], 1)
        .is_err()
    );
    assert!(labels(&[0.0; 5], 2, 2).is_err());
    assert!(LabelDistribution::new(vec![0.0, 0.0], vec![1.0], vec![1.0]).is_err());
    assert!(LabelDistribution::new(vec![0.0, 1.0], vec![1.0], vec![-1.0]).is_err());
    assert!(LabelDistribution::new(vec![0.0, 1.0], vec![], vec![1.0]).is_err());
    assert!(LabelDistribution::new(vec![0.0], vec![], vec![]).is_err());
    let good = LabelDistribution::new(vec![0.0, 1.0], vec![1.0], vec![1.0]).unwrap();
    assert!(good.weights(-1.0, 15.0).is_err() && good.weights(0.5, 0.0).is_err());
    assert!(weights(&[], &[1.0]).is_err());
}

#[test]
fn flow_times_match_the_reference() {
    let goldens = goldens();
    for (name, law) in [
        ("logit_normal.0.1", FlowTimeLaw::default()),
        (
            "logit_normal.0.5.0.8",
            FlowTimeLaw::LogitNormal {
                mean: 0.5,
                std: 0.8,
            },
        ),
        ("beta.1.5.0.999", FlowTimeLaw::PI0),
        (
            "beta.3.1",
            FlowTimeLaw::Beta {
                alpha: 3.0,
                scale: 1.0,
            },
        ),
    ] {
        law.check().unwrap();
        let input = match law.draw() {
            FlowTimeDraw::Normal => "flow_time.in.z",
            FlowTimeDraw::Uniform => "flow_time.in.u",
        };
        let found: Vec<f64> = f64s(&goldens, input)
            .iter()
            .map(|&draw| law.time(draw))
            .collect();
        assert!(
            relative(&found, &f64s(&goldens, &format!("flow_time.out.{name}"))) < 1e-12,
            "{name}"
        );
    }
    assert_eq!(FlowTimeLaw::Uniform.time(0.25), 0.25);
    for bad in [
        FlowTimeLaw::LogitNormal {
            mean: f64::NAN,
            std: 1.0,
        },
        FlowTimeLaw::LogitNormal {
            mean: 0.0,
            std: 0.0,
        },
        FlowTimeLaw::Beta {
            alpha: 0.0,
            scale: 1.0,
        },
        FlowTimeLaw::Beta {
            alpha: 1.0,
            scale: 1.5,
        },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}

const BATCH: ChunkShape = ChunkShape {
    batch: 12,
    horizon: 6,
    channels: 2,
};

/// The loss of the recorded batch, with or without its weights.
fn recorded_loss(goldens: &ArrayMap, weighted: bool, delta_weight: f64) -> FlowLoss {
    let [target, noise, times, velocity, weights] =
        ["in.x1", "in.noise", "in.t", "out.velocity", "in.weight"]
            .map(|name| f64s(goldens, &format!("losses.{name}")));
    let batch = FlowBatch {
        shape: BATCH,
        target: &target,
        noise: &noise,
        times: &times,
        velocity: &velocity,
        weights: weighted.then_some(&weights[..]),
    };
    flow_loss(&batch, delta_weight).unwrap()
}

#[test]
fn flow_losses_match_the_reference() {
    let goldens = goldens();
    let scalars = metadata(&goldens, "losses");
    let close = |found: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap();
        assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
    };
    for (name, weighted, delta_weight) in [
        ("plain", false, 0.0),
        ("lds", true, 0.0),
        ("delta", false, 10.0),
        ("lds_delta", true, 10.0),
    ] {
        let found = recorded_loss(&goldens, weighted, delta_weight);
        let expected = &scalars[name];
        close(found.flow_mse, &expected["flow_mse"]);
        close(found.flow_term, &expected["flow_term"]);
        close(found.loss, &expected["loss"]);
        if delta_weight > 0.0 {
            close(found.chunk_delta_mse.unwrap(), &expected["chunk_delta_mse"]);
        }
    }
    let found = recorded_loss(&goldens, false, 0.0);
    let expected = scalars["buckets"].as_object().unwrap();
    assert_eq!(found.buckets.len(), expected.len());
    for (key, value) in found.buckets {
        close(value, &expected[key]);
    }
    assert_eq!(found.mean_weight, 1.0);
    let weights = f64s(&goldens, "losses.in.weight");
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    assert!((recorded_loss(&goldens, true, 0.0).mean_weight - mean).abs() < 1e-12);
}

#[test]
fn a_single_slot_has_no_differences() {
    let shape = ChunkShape {
        batch: 1,
        horizon: 1,
        channels: 2,
    };
    let batch = FlowBatch {
        shape,
        target: &[1.0_f32, 2.0],
        noise: &[0.0, 0.0],
        times: &[1.0],
        velocity: &[0.0, 0.0],
        weights: None,
    };
    let found = flow_loss(&batch, 10.0).unwrap();
    assert_eq!((found.loss, found.chunk_delta_mse), (2.5, None));
    assert_eq!(found.buckets, [("1.00", 2.5)]);
    let late = FlowBatch {
        times: &[1.5],
        ..batch
    };
    assert!(flow_loss(&late, 10.0).is_err());
    assert!(flow_loss(&batch, f64::NAN).is_err());
    let short = FlowBatch {
        noise: &[0.0],
        ..batch
    };
    let length = LossError::Length {
        tensor: "noise",
        expected: 2,
        found: 1,
    };
    assert_eq!(flow_loss(&short, 0.0).unwrap_err(), length);
    let broken = FlowBatch {
        velocity: &[0.0, f32::NAN],
        ..batch
    };
    let not_finite = LossError::NotFinite {
        tensor: "loss",
        sample: 0,
    };
    assert_eq!(flow_loss(&broken, 0.0).unwrap_err(), not_finite);
}

#[test]
fn rows_that_are_not_finite_are_dropped_and_counted() {
    let condition = [0.0, 1.0, f32::NAN, 3.0, 4.0, 5.0];
    let target = [1.0, 2.0, f32::INFINITY];
    let rows = FiniteRows::of(3, &[("condition", &condition), ("target", &target)]).unwrap();
    assert_eq!(
        rows,
        FiniteRows {
            kept: vec![0],
            dropped: 2
        }
    );
    assert_eq!(rows.take(&condition), [0.0, 1.0]);
    let all = FiniteRows::of(3, &[("target", &[f32::NAN; 3])]).unwrap();
    assert_eq!(
        all,
        FiniteRows {
            kept: vec![0, 1, 2],
            dropped: 0
        }
    );
    assert!(FiniteRows::of(2, &[("target", &target)]).is_err());
}

#[test]
fn draws_are_judged_as_in_the_reference() {
    let goldens = goldens();
    let shape = ChunkShape {
        batch: 600,
        horizon: 6,
        channels: 3,
    };
    let truth = f64s(&goldens, "evaluation.in.gt");
    let draw = f64s(&goldens, "evaluation.in.draw0");
    let expected = metadata(&goldens, "evaluation");
    let found = sample_l1(shape, &draw, &truth).unwrap();
    assert!((found - expected["sample_l1"].as_f64().unwrap()).abs() < 1e-12);
    let thresholds: Vec<f64> = expected["thresholds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_f64().unwrap())
        .collect();
    let found = maneuver_errors(shape, &draw, &truth, &thresholds).unwrap();
    for (channel, error) in found.iter().enumerate() {
        let expected = &expected["maneuver"][channel.to_string()];
        assert!((error.frac - expected["frac"].as_f64().unwrap()).abs() < 1e-12);
        assert!((error.l1.unwrap() - expected["l1"].as_f64().unwrap()).abs() < 1e-12);
    }
    let none = maneuver_errors(shape, &draw, &truth, &[9.0; 3]).unwrap();
    assert!(
        none.iter()
            .all(|error| error.frac == 0.0 && error.l1.is_none())
    );
    assert!(maneuver_errors(shape, &draw, &truth, &[0.5]).is_err());
    assert!(sample_l1(shape, &draw[1..], &truth).is_err());
}
