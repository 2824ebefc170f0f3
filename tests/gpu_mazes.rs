//! The shaders that plan through tables against their twins on odd sizes.

mod common;

use attractor_kernels::Kernel;
use attractor_kernels::maze_rollout::{MazeRollout, NOWHERE, ROW_WORDS};
use attractor_kernels::maze_select::MazeSelect;
use common::variants::against_single_twin;
use common::{Array, gpu};

/// Reproducible words below a bound.
fn words(count: usize, salt: u32, bound: u32) -> Vec<u32> {
    let mixed = |i: u32| {
        let z = (i ^ salt.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
        (z ^ (z >> 15)).wrapping_mul(0xC2B2_AE35) >> 7
    };
    (0..count as u32).map(|i| mixed(i) % bound).collect()
}

/// Rows that begin anywhere, of any length; every fifth breaks a bound.
fn rows(kernel: &MazeRollout) -> Vec<u32> {
    let row = |call: u32| {
        let bad = call % 5 == 4;
        let start = if bad {
            kernel.states
        } else {
            call * 7 % kernel.states
        };
        let length = call % (kernel.horizon + 1);
        [
            call % kernel.tables,
            start,
            length,
            3 * call,
            11 + call,
            call % 3,
            call,
            99,
        ]
    };
    (0..kernel.batch).flat_map(row).collect()
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn rollouts() {
    let gpu = gpu();
    for (batch, candidates, horizon, actions) in [
        (1, 1, 1, 1),
        (3, 7, 5, 4),
        (13, 65, 20, 3),
        (2, 129, 33, 9),
        (64, 2, 64, 4),
    ] {
        for flags in [
            0,
            MazeRollout::DRAW,
            MazeRollout::DRAW | MazeRollout::WEIGHTED,
        ] {
            for step in [0, 1] {
                let kernel = MazeRollout {
                    batch,
                    tables: 2,
                    states: 37,
                    actions,
                    candidates,
                    horizon,
                    step,
                    flags,
                };
                let extents = kernel.extents();
                let weights = words(extents[3], 4, 1000);
                let operands = [
                    // One state in forty is none.
                    Array::Word(words(extents[0], 1, 38)),
                    Array::Word(words(extents[1], 2, 19)),
                    Array::Word(rows(&kernel)),
                    if weights.is_empty() {
                        Array::Absent
                    } else {
                        Array::Word(weights)
                    },
                    Array::Word(words(extents[4], 5, actions)),
                    Array::Word(vec![9; extents[5]]),
                ];
                assert_eq!(extents[2], batch as usize * ROW_WORDS);
                against_single_twin(&gpu, &format!("{kernel:?}"), kernel, &operands, 0.0);
            }
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn choices_and_weights() {
    let gpu = gpu();
    for (batch, candidates, horizon, actions, elites) in [
        (1, 1, 1, 1, 0),
        (1, 1, 1, 1, 1),
        (3, 7, 5, 4, 3),
        (5, 65, 20, 3, 64),
        (2, 1000, 67, 4, 256),
    ] {
        let plain = MazeSelect::best(batch, candidates, horizon, actions);
        let kernel = if elites > 0 {
            plain.with_refit(elites, 0.1)
        } else {
            plain
        };
        let extents = kernel.extents();
        let lengths = (0..batch).flat_map(|row| {
            let length = (row + horizon - 1) % (horizon + 1);
            [0, 0, length, 0, 0, 0, 0, 0]
        });
        let mut outcome = words(extents[0], 1, 11);
        // Some have no score, and in the last row none has.
        outcome
            .iter_mut()
            .step_by(6)
            .for_each(|score| *score = NOWHERE);
        let last = outcome.len() - 2 * candidates as usize;
        if batch > 3 {
            outcome[last..]
                .iter_mut()
                .step_by(2)
                .for_each(|score| *score = NOWHERE);
        }
        let operands = [
            Array::Word(outcome),
            Array::Word(words(extents[1], 2, actions + 1)),
            Array::Word(lengths.collect()),
            Array::Word(words(extents[3], 3, 4)),
            if elites > 0 {
                Array::Word(vec![7; extents[4]])
            } else {
                Array::Absent
            },
        ];
        for step in [0, 1] {
            let kernel = kernel.at_step(step);
            against_single_twin(&gpu, &format!("{kernel:?}"), kernel, &operands, 0.0);
        }
    }
    // More plans than one invocation may compare: chosen without ranks.
    let kernel = MazeSelect::best(2, 100_003, 1, 2);
    let extents = kernel.extents();
    let operands = [
        Array::Word(words(extents[0], 1, u32::MAX)),
        Array::Word(words(extents[1], 2, 2)),
        Array::Word(vec![1; extents[2]]),
        Array::Word(vec![7; extents[3]]),
        Array::Absent,
    ];
    against_single_twin(&gpu, "many", kernel, &operands, 0.0);
}
