//! The draw ranker against the reference values in `tests/data/flow`.

mod common;

use attractor::device::Device;
use attractor::formats::{Array, ArrayMap, load_arrays};
use attractor::models::flow::ranker::{Ranker, RankerConfig, RankerError};
use attractor::samplers::flow::ranking::{RankingError, oracle_rank, pick, softmax_mean, top_mean};
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
        let found = softmax_mean(scores, draws, 4.0).unwrap();
        for (found, expected) in found.iter().zip(&expected[frame * chunk..][..chunk]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        // The extremes of the temperature are the best draw and the plain mean.
        let best = pick(scores).unwrap();
        let sharp = softmax_mean(scores, draws, 1e-9).unwrap();
        assert_eq!(sharp, draws[best * chunk..][..chunk]);
        assert_eq!(top_mean(scores, draws, 1).unwrap(), sharp);
        let flat = softmax_mean(scores, draws, 1e12).unwrap();
        let all = top_mean(scores, draws, DRAWS).unwrap();
        assert!(flat.iter().zip(&all).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn ties_and_ranks() {
    let scores = [0.5, 2.0, 2.0, -1.0];
    assert_eq!(pick(&scores).unwrap(), 1);
    assert_eq!(top_mean(&scores, &[1.0, 2.0, 4.0, 8.0], 2).unwrap(), [3.0]);
    assert_eq!(top_mean(&scores, &[1.0, 2.0, 4.0, 8.0], 1).unwrap(), [2.0]);
    let errors = [0.3, 0.1, 0.1, 0.2];
    assert_eq!(
        [0, 1, 2, 3, 4].map(|pick| oracle_rank(&errors, pick)),
        [Some(4), Some(1), Some(1), Some(3), None]
    );
}

#[test]
fn bad_rankings_are_named() {
    let length = RankingError::Length {
        scores: 2,
        found: 3,
    };
    assert_eq!(softmax_mean(&[0.0; 2], &[0.0; 3], 4.0).unwrap_err(), length);
    assert!(softmax_mean(&[], &[], 4.0).is_err());
    assert!(softmax_mean(&[0.0], &[0.0], 0.0).is_err());
    assert_eq!(
        pick(&[0.0, f32::NAN]).unwrap_err(),
        RankingError::NotANumber { draw: 1 }
    );
    assert!(pick(&[]).is_err());
    assert!(top_mean(&[0.0], &[0.0], 0).is_err() && top_mean(&[0.0], &[0.0], 2).is_err());
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
