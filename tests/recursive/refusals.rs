//! What weights tell, and weights, configurations and requests that do not fit.

use super::{CASES, config, reasoner, settings, solve, tokens, weights};
use attractor::device::Device;
use attractor::formats::{Array, ArrayMap};
use attractor::models::recursive::{PuzzleRows, RecursiveSettings};
use attractor::samplers::recursive::{Reasoner, ReasonerError, SolveRequest};

#[test]
fn weights_tell_what_the_configuration_leaves_out() {
    for case in CASES {
        let (full, known) = (config(case), settings(case));
        let mut least = RecursiveSettings {
            num_heads: known.num_heads,
            h_cycles: known.h_cycles,
            l_cycles: known.l_cycles,
            expansion: known.expansion,
            seq_len: known.seq_len,
            halt_max_steps: known.halt_max_steps,
            ..RecursiveSettings::default()
        };
        assert_eq!(
            least.complete("c", &weights(case, "")).unwrap(),
            full,
            "{case}"
        );
        least.num_heads = None;
        let without_heads = least.complete("c", &weights(case, ""));
        assert_eq!(without_heads.is_ok(), full.mlp_t, "{case}");
        least.l_cycles = None;
        let error = least
            .complete("c", &weights(case, ""))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected a value, which the weights do not tell"),
            "{error}"
        );
    }
    let other = RecursiveSettings {
        hidden_size: Some(64),
        ..settings("trm_mlp")
    };
    let error = other
        .complete("c", &weights("trm_mlp", ""))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("hidden_size: expected 48 as in weights.safetensors, found 64"),
        "{error}"
    );
}

/// The weights of a case with one array replaced, or left out.
fn weights_with(case: &str, name: &str, replacement: Option<Array>) -> ArrayMap {
    let mut map = ArrayMap::new("weights.safetensors");
    for (known, array) in weights(case, "").iter().filter(|(known, _)| *known != name) {
        map.insert(known, array.clone()).unwrap();
    }
    if let Some(array) = replacement {
        map.insert(name, array).unwrap();
    }
    map
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let case = "hrm_learned";
    let refused = |name: &str, replacement: Option<Array>, words: &str| {
        let weights = weights_with(case, name, replacement);
        let built = Reasoner::new(config(case), &weights, PuzzleRows::Exact, &Device::cpu());
        let text = built.unwrap_err().to_string();
        assert!(text.contains(name) && text.contains(words), "{text}");
        assert!(text.starts_with("weights.safetensors: "), "{text}");
    };
    let zeros =
        |shape: &[usize]| Some(Array::new(shape, vec![0.0f32; shape.iter().product()]).unwrap());
    refused("H_init", None, "none of that name");
    refused(
        "L_level.layers.0.mlp.down_proj.weight",
        zeros(&[32, 128]),
        "expected shape [32, 256]",
    );
    refused(
        "q_head.bias",
        Some(Array::new(&[2], vec![0.0f32, f32::NAN]).unwrap()),
        "finite",
    );
    refused(
        "L_level.layers.1.mlp.down_proj.weight",
        zeros(&[32, 256]),
        "no place",
    );
    refused(
        "puzzle_emb.weights",
        zeros(&[5, 48]),
        "expected shape [4, 48]",
    );
    refused(
        "puzzle_emb.weights",
        zeros(&[4, 47]),
        "expected shape [4, 48]",
    );
}

#[test]
fn a_table_of_other_puzzles_is_worth_its_mean() {
    let case = "hrm_learned";
    let table: Vec<f32> = (0..3 * 48).map(|i| i as f32 * 0.01).collect();
    let mean: Vec<f32> = (0..48).map(|i| ((i + 48) as f64 * 0.01) as f32).collect();
    let mut found = Vec::new();
    for (rows, values) in [(3, table), (4, mean.repeat(4))] {
        let array = Array::new(&[rows, 48], values).unwrap();
        let weights = weights_with(case, "puzzle_emb.weights", Some(array));
        let mut reasoner =
            Reasoner::new(config(case), &weights, PuzzleRows::Mean, &Device::cpu()).unwrap();
        let tokens = tokens(reasoner.config(), 4);
        found.push(solve(&mut reasoner, &tokens, (None, false)).logits);
    }
    let pairs = found[0].iter().zip(&found[1]);
    let worst = pairs.fold(0.0f64, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn requests_that_do_not_fit_are_named() {
    let mut reasoner = reasoner("hrm_learned", &Device::cpu());
    let good = tokens(reasoner.config(), 2);
    let config = reasoner.config().clone();
    let plain = SolveRequest::new(&good, &config);
    let mut refused = |request: SolveRequest<'_>, words: &str| {
        let text = reasoner.solve(&request).unwrap_err().to_string();
        assert!(text.starts_with(words), "{text}");
    };
    let (beyond, many) = (vec![7u32; 9], good.repeat(4));
    refused(
        SolveRequest {
            tokens: &[],
            ..plain
        },
        "tokens: expected puzzles of 9 cells",
    );
    refused(
        SolveRequest {
            tokens: &good[1..],
            ..plain
        },
        "tokens: expected puzzles of 9 cells",
    );
    refused(
        SolveRequest {
            tokens: &beyond,
            ..plain
        },
        "tokens: expected tokens below vocab_size = 7",
    );
    refused(
        SolveRequest {
            puzzles: &[0],
            ..plain
        },
        "puzzles: expected 2",
    );
    refused(
        SolveRequest {
            puzzles: &[0, 4],
            ..plain
        },
        "puzzles: expected identifiers below",
    );
    refused(SolveRequest { steps: 0, ..plain }, "steps: expected 1..=");
    refused(
        SolveRequest {
            batch: Some(0),
            ..plain
        },
        "batch: expected at least 1",
    );
    let endless = SolveRequest {
        tokens: &many,
        steps: 100_000,
        record: true,
        ..plain
    };
    refused(endless, "recorded states and logits: expected at most");
}

#[test]
fn latents_that_leave_the_numbers_are_reported() {
    let case = "trm_tiny_full";
    let huge = Array::new(&[16], vec![3e38f32; 16]).unwrap();
    let weights = weights_with(case, "H_init", Some(huge));
    let mut reasoner =
        Reasoner::new(config(case), &weights, PuzzleRows::Exact, &Device::cpu()).unwrap();
    let tokens = tokens(reasoner.config(), 2);
    let request = SolveRequest::new(&tokens, reasoner.config());
    let request = SolveRequest {
        steps: 3,
        ..request
    };
    let error = reasoner.solve(&request).unwrap_err();
    assert!(
        matches!(
            error,
            ReasonerError::NotFinite {
                example: 0,
                step: 1,
                ..
            }
        ),
        "{error}"
    );
}
