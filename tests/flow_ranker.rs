//! The draw ranker against the reference values in `tests/data/flow`.

mod common;

use attractor::analysis::flow::{Draws, ModeRule, Readout, ReadoutError, read_out};
use attractor::device::Device;
use attractor::formats::{Array, ArrayMap, load_arrays};
use attractor::models::flow::ranker::{Ranker, RankerConfig, RankerError};
use attractor::training::losses::LossError;
use attractor::training::ranker_loss::{TAU, ranker_loss};
use serde_json::Value;
use std::path::Path;

const FRAMES: usize = 10;
const DRAWS: usize = 16;

fn goldens() -> ArrayMap {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    load_arrays(root.join("tests/data/flow/ranker.safetensors")).unwrap()
}

fn values(goldens: &ArrayMap, name: &str) -> Vec<f32> {
    goldens.get(name).unwrap().to_f32().unwrap()
}

/// The weights of the golden as a state dict.
fn state_dict(goldens: &ArrayMap) -> ArrayMap {
    let mut map = ArrayMap::new("ranker");
    for (name, array) in goldens.iter() {
        if let Some(name) = name.strip_prefix("w.") {
            map.insert(name, array.clone()).unwrap();
        }
    }
    map
}

fn ranker() -> Ranker {
    Ranker::from_arrays(&state_dict(&goldens())).unwrap()
}

fn check_scores(device: &Device) {
    let goldens = goldens();
    let (conditions, draws) = (values(&goldens, "in.cond"), values(&goldens, "in.draws"));
    let expected = values(&goldens, "out.scores");
    let largest = expected
        .iter()
        .fold(0.0_f32, |most, score| most.max(score.abs()));
    let ranker = ranker();
    let scores = |frames| {
        let mut compiled = ranker.compile(device, DRAWS, frames).unwrap();
        let first = compiled.scores(&conditions, &draws).unwrap();
        assert_eq!(
            compiled.scores(&conditions, &draws).unwrap(),
            first,
            "a second call"
        );
        first
    };
    let found = scores(FRAMES);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            (found - expected).abs() <= 1e-5 * largest,
            "{found} {expected}"
        );
    }
    // In several runs, the last one not full, bit by bit the same.
    assert_eq!(scores(4), found);
    assert_eq!(scores(1), found);
}

#[test]
fn scores_on_the_cpu() {
    check_scores(&Device::cpu());
    check_scores(&Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn scores_on_a_gpu() {
    check_scores(&common::gpu());
}

#[test]
fn sizes_are_read_off_the_weights() {
    let ranker = ranker();
    let expected = RankerConfig {
        condition: 192,
        chunk: 12,
        width: 32,
    };
    assert_eq!(ranker.config(), expected);
    let elements = state_dict(&goldens())
        .iter()
        .map(|(_, array)| array.len())
        .sum::<usize>();
    assert_eq!(ranker.parameters(), elements);
}

#[test]
fn bad_weights_and_sizes_are_named() {
    let goldens = goldens();
    let whole = state_dict(&goldens);
    let without = |left_out: &str, instead: Option<Array>| {
        let mut map = ArrayMap::new("ranker");
        for (name, array) in whole.iter().filter(|(name, _)| *name != left_out) {
            map.insert(name, array.clone()).unwrap();
        }
        if let Some(array) = instead {
            map.insert(left_out, array).unwrap();
        }
        Ranker::from_arrays(&map).unwrap_err().to_string()
    };
    assert!(without("head.2.bias", None).contains("head.2.bias"));
    assert!(without("cond_net.1.weight", None).contains("cond_net.1.weight"));
    let vector = Array::new(&[2], vec![0.0_f32; 2]).unwrap();
    assert!(without("draw_net.0.weight", Some(vector.clone())).contains("draw_net.0.weight"));
    assert!(without("surplus", Some(vector)).contains("surplus"));
    let ranker = ranker();
    assert!(ranker.compile(&Device::cpu(), 0, 1).is_err());
    assert!(ranker.compile(&Device::cpu(), 1, 0).is_err());
    let mut compiled = ranker.compile(&Device::cpu(), 2, 3).unwrap();
    let condition = vec![0.0; 192];
    assert!(compiled.scores(&condition[1..], &[0.0; 24]).is_err());
    let error = compiled
        .scores(&condition, &[0.0; 12])
        .unwrap_err()
        .to_string();
    assert!(error.contains("1 frames of 24 elements"), "{error}");
    assert!(compiled.scores(&[], &[]).unwrap().is_empty());
    let mut draws = [0.0; 24];
    draws[13] = f32::NAN;
    let error = compiled.scores(&condition, &draws).unwrap_err();
    assert!(
        matches!(error, RankerError::NotFinite { frame: 0, draw: 1 }),
        "{error}"
    );
}

/// One frame's readout of draws of one number a channel.
fn read(readout: Readout, scores: &[f32], draws: &[f32]) -> Result<Vec<f64>, ReadoutError> {
    let chunk = draws.len() / scores.len();
    let draws = Draws::new(draws, 1, scores.len(), 1, chunk)?;
    read_out(readout, &draws, Some(scores), &ModeRule::on_channel(0))
}

#[test]
fn weighted_means_match_the_reference() {
    let goldens = goldens();
    let (scores, draws) = (
        values(&goldens, "out.scores"),
        values(&goldens, "in.raw_draws"),
    );
    let expected = values(&goldens, "out.readout.t4");
    let chunk = draws.len() / scores.len();
    for frame in 0..FRAMES {
        let scores = &scores[frame * DRAWS..][..DRAWS];
        let draws = &draws[frame * DRAWS * chunk..][..DRAWS * chunk];
        let ranked = |temperature| read(Readout::Ranker { temperature }, scores, draws).unwrap();
        for (found, expected) in ranked(4.0).iter().zip(&expected[frame * chunk..][..chunk]) {
            assert!(
                (found - f64::from(*expected)).abs() < 1e-6,
                "{found} {expected}"
            );
        }
        // The extremes of the temperature are the best draw and the plain mean.
        let best = (0..DRAWS).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let best: Vec<f64> = draws[best.unwrap() * chunk..][..chunk]
            .iter()
            .map(|&v| v.into())
            .collect();
        assert_eq!(ranked(1e-9), best);
        assert_eq!(read(Readout::TopM(1), scores, draws).unwrap(), best);
        let all = read(Readout::TopM(DRAWS), scores, draws).unwrap();
        assert!(
            ranked(1e12)
                .iter()
                .zip(&all)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
    }
}

#[test]
fn ties_go_to_the_first_draw() {
    let (scores, draws) = ([0.5, 2.0, 2.0, -1.0], [1.0, 2.0, 4.0, 8.0]);
    assert_eq!(read(Readout::TopM(2), &scores, &draws).unwrap(), [3.0]);
    assert_eq!(read(Readout::TopM(1), &scores, &draws).unwrap(), [2.0]);
    // More than there are is all of them.
    assert_eq!(read(Readout::TopM(9), &scores, &draws).unwrap(), [3.75]);
}

#[test]
fn bad_readouts_are_named() {
    let sharp = Readout::Ranker { temperature: 0.0 };
    assert!(read(sharp, &[0.0], &[0.0]).is_err());
    assert!(read(Readout::TopM(0), &[0.0], &[0.0]).is_err());
    let error = read(Readout::TopM(1), &[0.0, f32::NAN], &[0.0, 1.0]).unwrap_err();
    assert!(error.to_string().contains("scores"), "{error}");
    let draws = Draws::new(&[0.0, 1.0], 1, 2, 1, 1).unwrap();
    let rule = ModeRule::on_channel(0);
    assert!(read_out(Readout::TopM(1), &draws, None, &rule).is_err());
    assert!(read_out(Readout::TopM(1), &draws, Some(&[0.0]), &rule).is_err());
}

#[test]
fn losses_match_the_reference() {
    let goldens = goldens();
    let config: Value = serde_json::from_str(&goldens.metadata()["config"]).unwrap();
    let scores = goldens.get("out.scores").unwrap().to_f64().unwrap();
    let errors = goldens.get("in.l1").unwrap().to_f64().unwrap();
    for (key, tau) in [("loss", TAU), ("loss_tau_0.1", 0.1)] {
        let found = ranker_loss(&scores, &errors, DRAWS, tau).unwrap();
        let expected = config[key].as_f64().unwrap();
        // The reference divides the errors by tau in single precision.
        assert!((found / expected - 1.0).abs() < 1e-8, "{found} {expected}");
    }
    // Nothing to rank: the entropy of a uniform label, here under uniform scores.
    let same = ranker_loss(&[1.0; 4], &[0.5; 4], 4, TAU).unwrap();
    assert!((same - 4.0_f64.ln()).abs() < 1e-12);
    assert!(ranker_loss(&scores, &errors[1..], DRAWS, TAU).is_err());
    assert!(ranker_loss(&scores, &errors, 3, TAU).is_err());
    assert!(ranker_loss(&scores, &errors, DRAWS, 0.0).is_err());
    assert!(ranker_loss(&[0.0; 1], &[0.0; 1], 1, TAU).is_err());
    let broken = ranker_loss(&[0.0, f64::NAN], &[0.0, 1.0], 2, TAU).unwrap_err();
    assert_eq!(
        broken,
        LossError::NotFinite {
            tensor: "loss",
            sample: 0
        }
    );
}
