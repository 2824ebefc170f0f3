//! The planners' shaders against their twins on odd sizes, with ties and numbers that are none.

mod common;

use attractor_kernels::plan_draw::PlanDraw;
use attractor_kernels::plan_refit::PlanRefit;
use attractor_kernels::plan_select::PlanSelect;
use attractor_kernels::plan_track::{PlanScore, PlanTrack};
use attractor_kernels::{AnyKernel, Kernel};
use common::variants::against_single_twin;
use common::{Array, gpu, values};

/// Few distinct numbers, so that ties abound, and some that are none.
fn coarse(count: usize, seed: u64) -> Array {
    let numbers = values(count, seed).into_iter().enumerate();
    let coarse = numbers.map(|(at, v)| match at % 13 {
        5 => f32::NAN,
        7 => f32::NEG_INFINITY,
        _ => (4.0 * v).round(),
    });
    Array::Float(coarse.collect())
}

fn words(count: usize, below: u32, seed: u64) -> Array {
    let numbers = values(count, seed).into_iter();
    let word = |v: f32| ((0.5 * v + 0.5) * below as f32) as u32 % below;
    Array::Word(numbers.map(word).collect())
}

fn check(kernel: impl Into<AnyKernel>, operands: &[Array]) {
    let kernel = kernel.into();
    against_single_twin(&gpu(), &format!("{kernel:?}"), kernel, operands, 1e-6);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn tracked_plans() {
    let scores = [
        PlanScore::MANHATTAN,
        PlanScore::NEGATIVE_SUM,
        PlanScore::NORM,
    ];
    for (environments, candidates, width) in [(1, 1, 1), (3, 23, 5), (5, 13, 33), (1, 65, 2)] {
        let rows = environments * candidates;
        for (score, step) in scores
            .into_iter()
            .flat_map(|score| [(score, 0), (score, 6)])
        {
            let columns = 0b1011_0101 & ((1u64 << width) - 1) as u32;
            let mut kernel =
                PlanTrack::new(rows, candidates, width, (score, columns)).at_step(step);
            kernel.flags = u32::from(width > 2);
            let extents = kernel.extents();
            let goal = match extents[1] {
                0 => Array::Absent,
                count => coarse(count, 2),
            };
            let state = coarse(extents[0], 1);
            let (value, cut) = (coarse(extents[2], 3), words(extents[3], 6, 4));
            let lengths = match extents[4] {
                0 => Array::Absent,
                count => words(count, 12, 5),
            };
            check(kernel, &[state, goal, value, cut, lengths]);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn selected_plans() {
    for (environments, candidates, horizon) in [(1, 1, 1), (7, 63, 3), (2, 65, 67), (130, 131, 15)]
    {
        for round in [0, 2] {
            let kernel = PlanSelect::new(environments, candidates, horizon).at_step(round);
            let extents = kernel.extents();
            let operands = [
                coarse(extents[0], 1),
                words(extents[1], 16, 2),
                words(extents[2], 9, 3),
                coarse(extents[3], 4),
                words(extents[4], 9, 5),
            ];
            check(kernel, &operands);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn refitted_plans() {
    let sizes = [(1, 1, 1, 1, 1), (3, 24, 15, 5, 6), (2, 300, 7, 9, 256)];
    for (environments, candidates, horizon, actions, elites) in sizes {
        let kernel = PlanRefit {
            environments,
            candidates,
            horizon,
            actions,
            elites,
        };
        let extents = kernel.extents();
        let operands = [
            coarse(extents[0], 1),
            words(extents[1], actions, 2),
            Array::Word(vec![9; extents[2]]),
        ];
        check(kernel, &operands);
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn drawn_plans() {
    for (sizes, actions, elites) in [
        ([1, 1, 1], 1, 1),
        ([3, 23, 15], 5, 0),
        ([3, 23, 15], 9, 6),
        ([67, 131, 7], 4, 240),
    ] {
        for round in [0, 1] {
            let kernel = PlanDraw::uniform(sizes, actions, 8)
                .by_elites(elites, 0.1)
                .with_seed(0x1234_5678_9abc, 0)
                .at_step(round);
            let extents = kernel.extents();
            let counts = match extents[1] {
                0 => Array::Absent,
                count => words(count, elites / actions + 1, 6),
            };
            let identity = words(extents[0], 1000, 5);
            check(
                kernel,
                &[identity, counts, Array::Word(vec![9; extents[2]])],
            );
        }
    }
}
