//! The sampling kernels' shaders against their twins on odd sizes.

mod common;

use attractor::device::Device;
use attractor::graph::Moment;
use attractor_kernels::Kernel;
use attractor_kernels::categorical::{Categorical, TokenMode};
use attractor_kernels::philox::{Philox, RandomKind};
use attractor_kernels::physics_override::PhysicsOverride;
use attractor_kernels::remask_bernoulli::RemaskBernoulli;
use attractor_kernels::unmask_top::{RemaskStrategy, UnmaskTop};
use common::variants::{against_single_twin, against_twin};
use common::{Array, assert_close, gpu, run_at};

const MASK: u32 = 12;

fn fill(device: &Device, kernel: Philox, step: u32, moment: Moment) -> Vec<f32> {
    let operands = [Array::Float(vec![9.0; kernel.extents()[0]])];
    run_at(device, kernel, &operands, step, moment)[0]
        .floats()
        .to_vec()
}

fn unit(count: usize, stream: u32) -> Vec<f32> {
    let kernel = Philox::new(RandomKind::UNIFORM, 1, count as u32, 0, stream);
    fill(&Device::cpu(), kernel, 0, Moment::default())
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn random_numbers() {
    let gpu = gpu();
    let moment = Moment {
        seed: 0x1234_5678_9abc_def0,
        first_example: 41,
    };
    for (rows, length) in [(1, 1), (3, 7), (65, 129), (700, 1001)] {
        for kind in [RandomKind::UNIFORM, RandomKind::UNIFORM_PAIR] {
            let kernel = Philox::new(kind, rows, length, 0, 5);
            let bits = |device| -> Vec<u32> {
                let values = fill(device, kernel, 3, moment).into_iter();
                values.map(f32::to_bits).collect()
            };
            assert_eq!(bits(&gpu), bits(&Device::cpu()), "{kernel:?}");
        }
        for kind in [RandomKind::NORMAL, RandomKind::EXPONENTIAL] {
            let kernel = Philox::new(kind, rows, length, 0, 5);
            let operands = [Array::Float(vec![9.0; kernel.extents()[0]])];
            against_twin(&gpu, "continuous draws", kernel, &operands, 1e-6);
            let exact = fill(&Device::cpu_f64(), kernel, 3, moment);
            let found = fill(&gpu, kernel, 3, moment);
            assert_close("continuous draws", &found, &exact, 1e-6);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn choice_of_tokens() {
    let gpu = gpu();
    for (rows, vocabulary, limit) in [
        (1, 1, 1),
        (5, 2, 2),
        (670, 12, 12),
        (90, 65, 61),
        (30, 521, 521),
        (2, 919, 919),
    ] {
        let count = (rows * vocabulary) as usize;
        let mut logits = unit(count, 1);
        for (i, x) in logits.iter_mut().enumerate() {
            // Ties, both zeros, and tokens excluded by minus infinity, among spread-out values; a
            // few rows end without a choice.
            *x = match i {
                i if i % 17 == 5 => f32::NEG_INFINITY,
                i if i % 29 == 3 => -0.0,
                i if i % 31 == 3 => 0.0,
                i if i % 3 == 1 => (*x * 24.0).floor() / 2.0 - 6.0,
                _ => *x * 12.0 - 6.0,
            };
        }
        if rows > 20 {
            logits[7] = f32::NAN;
            logits[count - 1 - vocabulary as usize] = f32::INFINITY;
            logits[count / vocabulary as usize / 2 * vocabulary as usize..][..vocabulary as usize]
                .fill(f32::NEG_INFINITY);
        }
        let pair = Philox::new(RandomKind::UNIFORM_PAIR, rows, 1, 0, 2);
        let uniforms = fill(&Device::cpu(), pair, 0, Moment::default());
        for (top_k, top_p) in [(0, 1.0), (4, 1.0), (0, 0.9), (7, 0.6), (0, 0.0), (1, 1.0)] {
            for mode in [
                TokenMode::GREEDY,
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
                let operands = [
                    Array::Float(logits.clone()),
                    if mode == TokenMode::GREEDY {
                        Array::Absent
                    } else {
                        Array::Float(uniforms.clone())
                    },
                    Array::Word(vec![0; rows as usize]),
                    Array::Float(vec![0.0; rows as usize]),
                    Array::Float(vec![2.0; count]),
                ];
                against_single_twin(&gpu, &format!("{kernel:?}"), kernel, &operands, 1e-6);
            }
        }
    }
}

/// About half the positions masked, the rest holding tokens.
fn half_masked(count: usize) -> Vec<u32> {
    let tokens = unit(count, 3).into_iter();
    tokens
        .map(|u| if u < 0.5 { MASK } else { (u * 12.0) as u32 })
        .collect()
}

fn predictions(count: usize) -> Vec<u32> {
    let tokens = unit(count, 4).into_iter();
    let some = tokens.map(|u| {
        if u > 0.97 {
            u32::MAX
        } else {
            (u * 12.0) as u32
        }
    });
    some.collect()
}

const SIZES: [(u32, u32); 6] = [(1, 1), (3, 7), (5, 64), (70, 65), (2, 300), (1, 1024)];

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn commitment_of_the_surest() {
    let gpu = gpu();
    for (batch, length) in SIZES {
        let count = (batch * length) as usize;
        // Coarse values give ties.
        let mut confidence = unit(count, 5);
        confidence
            .iter_mut()
            .for_each(|c| *c = (*c * 16.0).floor() / 16.0);
        confidence[count / 2] = f32::NAN;
        for strategy in [RemaskStrategy::CONSTANT, RemaskStrategy::CONFIDENCE] {
            let kernel = UnmaskTop::greedy(batch, length, MASK, 1).with_remasking(strategy);
            let flags = UnmaskTop::LOCKED | UnmaskTop::DECISION | UnmaskTop::REMASK_PROBABILITY;
            let kernel = UnmaskTop {
                flags: kernel.flags | flags,
                ..kernel
            };
            let operands = [
                Array::Word(half_masked(count)),
                Array::Word(predictions(count)),
                Array::Float(confidence.clone()),
                Array::Float(UnmaskTop::schedule_row(length / 3 + 1, 0.4).to_vec()),
                Array::Float(unit(count, 6)),
                Array::Word((0..batch).map(|b| b * 5 % (length + 1)).collect()),
                Array::Word(vec![0; count]),
                Array::Float(vec![0.0; count]),
            ];
            against_single_twin(&gpu, &format!("{kernel:?}"), kernel, &operands, 1e-7);
            let hazards = (0..batch * 4).map(|i| i * 5 % 3).collect();
            let operands = [
                Array::Word(predictions(count)),
                Array::Word(hazards),
                Array::Float(confidence.clone()),
            ];
            against_single_twin(
                &gpu,
                "hazards",
                PhysicsOverride::minihack(batch, length),
                &operands,
                0.0,
            );
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn independent_remasking() {
    let gpu = gpu();
    for (batch, length) in SIZES {
        let count = (batch * length) as usize;
        let tokens = half_masked(count);
        let psi = unit(count, 7).into_iter().zip(&tokens);
        let psi = psi.map(|(u, &t)| if t == MASK { f32::INFINITY } else { u });
        let psi: Vec<f32> = psi.collect();
        for (strategy, sigma) in [
            (RemaskStrategy::CONSTANT, 0.6),
            (RemaskStrategy::CONFIDENCE, 0.2 * f64::from(length)),
        ] {
            let kernel = RemaskBernoulli {
                flags: RemaskBernoulli::LOCKED | RemaskBernoulli::TRACE,
                ..RemaskBernoulli::new(batch, length, MASK, 1, strategy)
            };
            let operands = [
                Array::Word(tokens.clone()),
                Array::Float(psi.clone()),
                Array::Word(predictions(count)),
                Array::Float(unit(count, 8)),
                Array::Float(unit(2 * count, 9)),
                Array::Float(RemaskBernoulli::schedule_row(0.4, 0.5, sigma).to_vec()),
                Array::Word((0..batch).map(|b| b * 5 % (length + 1)).collect()),
                Array::Float(vec![0.0; 3 * count]),
            ];
            against_single_twin(&gpu, &format!("{kernel:?}"), kernel, &operands, 1e-6);
        }
    }
}
