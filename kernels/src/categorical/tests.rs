use super::*;
use crate::philox::{Philox, RandomKind};
use crate::{AnyKernel, Scalar, View};

struct Outcome<T> {
    token: Vec<u32>,
    confidence: Vec<T>,
    probabilities: Vec<T>,
}

fn run<T: Scalar>(kernel: Categorical, logits: &[T], uniforms: &[T]) -> Outcome<T> {
    let rows = kernel.rows as usize;
    let mut token = vec![7; rows];
    let mut confidence = vec![T::ZERO; rows];
    let mut probabilities = vec![T::ONE; kernel.extents()[4]];
    let views = vec![
        View::Float(logits),
        if uniforms.is_empty() {
            View::Absent
        } else {
            View::Float(uniforms)
        },
        View::WordMut(&mut token),
        View::FloatMut(&mut confidence),
        if probabilities.is_empty() {
            View::Absent
        } else {
            View::FloatMut(&mut probabilities)
        },
    ];
    let mut operands = Operands::new(Categorical::NAME, Categorical::OPERANDS, views, true);
    AnyKernel::from(kernel).twin(&mut operands).unwrap();
    Outcome {
        token,
        confidence,
        probabilities,
    }
}

fn fill<T: Scalar>(kernel: Philox) -> Vec<T> {
    let mut out = vec![T::ZERO; kernel.extents()[0]];
    let views = vec![View::FloatMut(&mut out)];
    let mut operands = Operands::new(Philox::NAME, Philox::OPERANDS, views, true);
    AnyKernel::from(kernel).twin(&mut operands).unwrap();
    out
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|x| (x - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// Filtered probabilities of one row by the textbook: -infinity for what is dropped, softmax again.
fn reference(kernel: &Categorical, logits: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = logits[..kernel.limit as usize]
        .iter()
        .map(|x| x / f64::from(kernel.temperature))
        .collect();
    let mut descending: Vec<usize> = (0..x.len()).collect();
    descending.sort_by(|&a, &b| x[b].total_cmp(&x[a]));
    if kernel.top_k > 0 && (kernel.top_k as usize) < x.len() {
        let kth = x[descending[kernel.top_k as usize - 1]];
        for value in &mut x {
            if *value < kth {
                *value = f64::NEG_INFINITY;
            }
        }
    }
    if kernel.top_p < 1.0 {
        let p = softmax(&x);
        let mut gone = 0.0;
        for (rank, &i) in descending.iter().enumerate() {
            if rank > 0 && gone >= f64::from(kernel.top_p) {
                x[i] = f64::NEG_INFINITY;
            }
            gone += p[i];
        }
    }
    let mut p = softmax(&x);
    p.resize(kernel.vocabulary as usize, 0.0);
    p
}

/// The contract: the argument of exp is rounded twice, so its error grows with it. The argument is the
/// logarithm of the ratio to the largest probability, which is at most 1.
fn tolerance(probability: f64) -> f64 {
    if probability == 0.0 {
        return 0.0;
    }
    probability * (5e-7 - 1.3e-7 * probability.ln())
}

fn random_logits(rows: u32, vocabulary: u32, seed: u64) -> Vec<f32> {
    let normals = fill::<f32>(Philox::new(RandomKind::NORMAL, rows, vocabulary, seed, 0));
    normals.iter().map(|x| 2.5 * x).collect()
}

#[test]
fn matches_the_textbook_on_odd_sizes() {
    let mut compared = 0;
    for (rows, vocabulary, limit) in [
        (1, 1, 1),
        (5, 2, 2),
        (67, 12, 12),
        (9, 65, 61),
        (3, 521, 521),
    ] {
        for (top_k, top_p) in [(0, 1.0), (4, 1.0), (0, 0.9), (7, 0.6), (0, 0.0), (1, 1.0)] {
            for mode in [
                TokenMode::SAMPLE_FILTERED_CONFIDENCE,
                TokenMode::SAMPLE_RAW_CONFIDENCE,
            ] {
                let kernel = Categorical {
                    limit,
                    top_k,
                    top_p,
                    flags: Categorical::PROBABILITIES,
                    ..Categorical::sample(rows, vocabulary, 0.7, mode)
                };
                let logits = random_logits(rows, vocabulary, 1);
                let pair = Philox::new(RandomKind::UNIFORM_PAIR, rows, 1, 2, 1);
                let uniforms = fill::<f32>(pair);
                let found = run(kernel, &logits, &uniforms);
                for row in 0..rows as usize {
                    let wide: Vec<f64> = logits[row * vocabulary as usize..][..vocabulary as usize]
                        .iter()
                        .map(|&x| f64::from(x))
                        .collect();
                    let p = reference(&kernel, &wide);
                    for (i, &exact) in p.iter().enumerate() {
                        let p = f64::from(found.probabilities[row * vocabulary as usize + i]);
                        assert!((p - exact).abs() <= tolerance(exact), "{p} {exact}");
                    }
                    let u = f64::from(uniforms[2 * row]) + f64::from(uniforms[2 * row + 1]);
                    let token = found.token[row] as usize;
                    let below: f64 = p[..token].iter().sum();
                    assert!(below <= u + 1e-6 && u < below + p[token] + 1e-6);
                    assert!(p[token] > 0.0);
                    let exact = if mode == TokenMode::SAMPLE_RAW_CONFIDENCE {
                        softmax(&wide[..limit as usize])[token]
                    } else {
                        p[token]
                    };
                    let confidence = f64::from(found.confidence[row]);
                    assert!((confidence - exact).abs() <= tolerance(exact), "{exact}");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 85 * 12);
}

#[test]
fn both_precisions_agree() {
    let kernel = Categorical {
        top_p: 0.9,
        ..Categorical::sample(64, 12, 0.5, TokenMode::SAMPLE_RAW_CONFIDENCE)
    };
    let logits = random_logits(64, 12, 3);
    let pair = Philox::new(RandomKind::UNIFORM_PAIR, 64, 1, 9, 1);
    let wide: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
    let single = run(kernel, &logits, &fill::<f32>(pair));
    let double = run(kernel, &wide, &fill::<f64>(pair));
    assert_eq!(single.token, double.token);
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let logits = random_logits(700, 12, 5);
    let uniforms = fill::<f32>(Philox::new(RandomKind::UNIFORM_PAIR, 700, 1, 6, 1));
    let kernel = |rows| Categorical {
        top_k: 5,
        ..Categorical::sample(rows, 12, 1.5, TokenMode::SAMPLE_FILTERED_CONFIDENCE)
    };
    let whole = run(kernel(700), &logits, &uniforms);
    for row in 0..700 {
        let alone = run(
            kernel(1),
            &logits[row * 12..][..12],
            &uniforms[row * 2..][..2],
        );
        assert_eq!(alone.token[0], whole.token[row]);
        assert_eq!(
            alone.confidence[0].to_bits(),
            whole.confidence[row].to_bits()
        );
    }
}

#[test]
fn greedy_takes_the_first_of_equals() {
    let logits = [1.0f32, 3.0, 3.0, f32::NEG_INFINITY, 9.0];
    let kernel = Categorical {
        limit: 4,
        flags: Categorical::PROBABILITIES,
        ..Categorical::greedy(1, 5)
    };
    let found = run(kernel, &logits, &[]);
    let exact = 1.0 / (2.0 + (-2.0f32).exp());
    assert_eq!(found.token, [1]);
    assert!((found.confidence[0] - exact).abs() < 1e-6);
    assert_eq!(found.probabilities[3], 0.0);
    assert_eq!(found.probabilities[4], 0.0);
    assert_eq!(found.confidence[0], found.probabilities[1]);
}

#[test]
fn ties_at_the_cuts() {
    let logits = [0.0f32, 1.0, 1.0, 1.0, -1.0];
    let kept = |top_k, top_p| {
        let kernel = Categorical {
            top_k,
            top_p,
            flags: Categorical::PROBABILITIES,
            ..Categorical::sample(1, 5, 1.0, TokenMode::SAMPLE_FILTERED_CONFIDENCE)
        };
        let p = run(kernel, &logits, &[0.0, 0.0]).probabilities;
        p.iter().map(|&p| p > 0.0).collect::<Vec<_>>()
    };
    // Equal to the k-th largest stays, however many there are.
    assert_eq!(kept(1, 1.0), [false, true, true, true, false]);
    assert_eq!(kept(4, 1.0), [true, true, true, true, false]);
    // Equal entries go by index under top_p: each holds about 0.28 of the mass.
    assert_eq!(kept(0, 0.5), [false, true, true, false, false]);
    assert_eq!(kept(0, 0.0), [false, true, false, false, false]);
    // top_k first: the three that stay hold a third each.
    assert_eq!(kept(1, 0.34), [false, true, true, false, false]);
}

#[test]
fn rows_without_a_choice_are_marked() {
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for (place, &x) in bad.iter().enumerate() {
        let mut logits = vec![0.5f32; 6];
        logits[4] = x;
        if place == 2 {
            logits[3..].fill(x);
        }
        for mode in [TokenMode::GREEDY, TokenMode::SAMPLE_RAW_CONFIDENCE] {
            let kernel = Categorical {
                flags: Categorical::PROBABILITIES,
                ..Categorical::sample(2, 3, 1.0, mode)
            };
            let uniforms = [0.5, 0.0, 0.5, 0.0];
            let uniforms = if mode == TokenMode::GREEDY {
                &[][..]
            } else {
                &uniforms[..]
            };
            let found = run(kernel, &logits, uniforms);
            assert_ne!(found.token[0], NO_TOKEN);
            assert_eq!(found.token[1], NO_TOKEN);
            assert!(found.confidence[1].is_nan() && !found.confidence[0].is_nan());
            assert!(found.probabilities[3..].iter().all(|p| p.is_nan()));
        }
    }
    // Beyond the limit nothing matters.
    let kernel = Categorical {
        limit: 2,
        ..Categorical::greedy(1, 3)
    };
    assert_eq!(run(kernel, &[0.0, 1.0, f32::NAN], &[]).token, [1]);
}

/// Rare tokens at probabilities from 1e-4 to 1e-3 among common ones: Pearson's statistic over all
/// cells, and each rare cell by itself, against their exact distribution.
#[test]
fn rare_tokens_come_at_their_rate() {
    let rates = [1e-4, 0.3, 2e-4, 5e-4, 0.45, 1e-3, 3e-4];
    let common = 1.0 - rates.iter().sum::<f64>();
    let exact: Vec<f64> = rates.iter().copied().chain([common]).collect();
    let draws = 2_000_000u32;
    let logits: Vec<f32> = exact.iter().map(|p| p.ln() as f32).collect();
    let rows: Vec<f32> = logits
        .iter()
        .copied()
        .cycle()
        .take(8 * draws as usize)
        .collect();
    let uniforms = fill::<f32>(Philox::new(RandomKind::UNIFORM_PAIR, draws, 1, 2024, 3));
    let kernel = Categorical::sample(draws, 8, 1.0, TokenMode::SAMPLE_RAW_CONFIDENCE);
    let found = run(kernel, &rows, &uniforms);
    let mut counts = [0.0f64; 8];
    for token in found.token {
        counts[token as usize] += 1.0;
    }
    let mut statistic = 0.0;
    for (count, p) in counts.iter().zip(&exact) {
        let expected = p * f64::from(draws);
        assert!(
            (count - expected).abs() < 4.5 * expected.sqrt(),
            "{counts:?}"
        );
        statistic += (count - expected).powi(2) / expected;
    }
    // Seven degrees of freedom: the upper 1e-4 quantile is 29.9.
    assert!(statistic < 29.9, "{statistic}: {counts:?}");
}

/// What 24 bits cannot do: a token of probability 1e-9 occupies its own slice of [0, 1), also at the
/// far end, where floats near one are 6e-8 apart.
#[test]
fn tokens_of_one_in_a_billion_have_their_slice() {
    let rare = 1e-9f64;
    let logits = [0.0f32, rare.ln() as f32];
    let kernel = Categorical::sample(1, 2, 1.0, TokenMode::SAMPLE_RAW_CONFIDENCE);
    let choose = |u: f64| {
        let high = (u * 16_777_216.0).floor() / 16_777_216.0;
        run(kernel, &logits, &[high as f32, (u - high) as f32]).token[0]
    };
    let edge = 1.0 / (1.0 + f64::from(f32::exp(logits[1])));
    assert_eq!(choose(edge - 1e-3 * rare), 0);
    assert_eq!(choose(edge + 1e-3 * rare), 1);
    assert_eq!(choose(1.0 - 1e-3 * rare), 1);
}

#[test]
fn refuses_what_it_is_not_defined_for() {
    let good = Categorical::sample(2, 12, 0.5, TokenMode::SAMPLE_RAW_CONFIDENCE);
    assert!(good.check().is_ok());
    for bad in [
        Categorical { rows: 0, ..good },
        Categorical {
            vocabulary: 0,
            ..good
        },
        Categorical {
            vocabulary: 10_912,
            ..good
        },
        Categorical {
            rows: u32::MAX,
            ..good
        },
        Categorical { limit: 0, ..good },
        Categorical { limit: 13, ..good },
        Categorical {
            temperature: 0.0,
            ..good
        },
        Categorical {
            temperature: f32::NAN,
            ..good
        },
        Categorical {
            temperature: f32::INFINITY,
            ..good
        },
        Categorical {
            top_p: -0.1,
            ..good
        },
        Categorical {
            top_p: f32::NAN,
            ..good
        },
        Categorical {
            mode: TokenMode(3),
            ..good
        },
        Categorical { flags: 2, ..good },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}
