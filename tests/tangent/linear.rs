//! Cases of the linear kernels.

use crate::support::Case;
use attractor_kernels::Activation;
use attractor_kernels::adaptive_average_pool::AdaptiveAveragePool;
use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::roofline_copy::RooflineCopy;
use attractor_kernels::rotary::{Rotary, RotaryPairs};
use attractor_kernels::runge_kutta::{DORMAND_PRINCE, RungeKutta};

type Refusal = (Case, Vec<&'static str>);

pub fn pools() -> Vec<Case> {
    let kernel = |batch| AdaptiveAveragePool {
        batch,
        height: 5,
        width: 7,
        channels: 3,
        out_height: 2,
        out_width: 3,
    };
    let mut all = Vec::new();
    for (batch, spare) in [(1usize, 0), (3, 0), (2, 11)] {
        let mut case = Case::new(format!("pool of {batch}, {spare} to spare"));
        let x = case.seed(&[batch * 105 + spare]);
        let out = case.seed(&[batch * 18 + spare]);
        case.node(kernel(batch as u32), &[x, out]);
        all.push(case);
    }
    all
}

fn convolution(batch: usize, activation: Activation) -> (Case, Conv2d) {
    let kernel = Conv2d {
        batch: batch as u32,
        height: 5,
        width: 7,
        in_channels: 3,
        out_channels: 5,
        kernel_h: 3,
        kernel_w: 2,
        stride_h: 2,
        stride_w: 1,
        padding_h: 1,
        padding_w: 0,
        activation,
        flags: Conv2d::BIAS,
    };
    let name = format!("convolution of {batch} {}", activation.name());
    (Case::new(name), kernel)
}

pub fn convolutions() -> Vec<Case> {
    let mut all = Vec::new();
    let plain = Activation::IDENTITY;
    for (batch, activation, spare) in [
        (1, plain, 0),
        (3, plain, 0),
        (2, plain, 5),
        (2, Activation::GELU, 0),
        (1, Activation::TANH, 3),
    ] {
        let (mut case, kernel) = convolution(batch, activation);
        let x = case.seed(&[batch * 105 + spare]);
        let (weight, bias) = (case.constant(&[5, 18]), case.constant(&[5]));
        let pixels = (kernel.out_h() * kernel.out_w()) as usize;
        let out = case.seed(&[batch * pixels * 5 + spare]);
        case.node(kernel, &[x, weight, bias, out]);
        all.push(case);
    }
    all
}

pub fn moving_filters() -> Refusal {
    let (mut case, kernel) = convolution(1, Activation::IDENTITY);
    let (x, weight, bias) = (case.given(&[105]), case.seed(&[5, 18]), case.constant(&[5]));
    let out = case.out(&[(kernel.out_h() * kernel.out_w() * 5) as usize]);
    case.node(kernel, &[x, weight, bias, out]);
    (case, vec!["node n0 conv2d (conv2d)", "operand weight = t1"])
}

pub fn copies() -> Vec<Case> {
    let mut all = Vec::new();
    let strided = |shape, from, to| CopyFloats {
        src_offset: 1,
        dst_offset: 2,
        ..CopyFloats::strided(shape, from, to)
    };
    for (name, kernel, src, dst) in [
        ("one", CopyFloats::contiguous(1), 1, 1),
        ("65", CopyFloats::contiguous(65), 65, 65),
        (
            "rows of a part",
            strided([1, 3, 2, 5], [0, 20, 5, 1], [0, 13, 5, 1]),
            67,
            53,
        ),
        (
            "a transpose",
            strided([1, 2, 3, 5], [0, 15, 5, 1], [0, 1, 2, 6]),
            31,
            32,
        ),
        (
            "four dimensions apart",
            strided([2, 3, 2, 3], [100, 30, 11, 2], [90, 29, 13, 3]),
            200,
            190,
        ),
        (
            "a repetition",
            strided([2, 2, 3, 5], [0, 9, 0, 1], [60, 20, 6, 1]),
            19,
            120,
        ),
    ] {
        let mut case = Case::new(format!("copy of {name}"));
        let (src, dst) = (case.seed(&[src]), case.seed(&[dst]));
        case.node(kernel, &[src, dst]);
        all.push(case);
    }
    all.push(history());
    all
}

/// A state that is recorded at every step, and tables that are read by step.
fn history() -> Case {
    let mut case = Case::new("copy by steps");
    case.steps = 3;
    let table = case.seed(&[3, 7]);
    let state = case.seed(&[7]);
    let history = case.out(&[3, 7]);
    let now = case.middle(&[7]);
    let read = CopyFloats {
        src_step_stride: 7,
        ..CopyFloats::contiguous(7)
    };
    let write = CopyFloats {
        dst_step_stride: 7,
        ..CopyFloats::contiguous(7)
    };
    use attractor_kernels::elementwise::{Elementwise, Operation};
    let sum = Elementwise {
        alpha: 0.75,
        ..Elementwise::contiguous(Operation::ADD, 7)
    };
    let next = case.middle(&[7]);
    case.node(read, &[table, now]);
    case.node(sum, &[state, now, next]);
    case.node(CopyFloats::contiguous(7), &[next, state]);
    case.node(write, &[state, history]);
    case
}

pub fn roofline_copies() -> Vec<Case> {
    let mut all = Vec::new();
    for (count, spare) in [(4, 0), (68, 0), (8, 3)] {
        let mut case = Case::new(format!("roofline copy of {count}"));
        let (src, dst) = (case.seed(&[count + spare]), case.seed(&[count + spare]));
        case.node(
            RooflineCopy {
                count: count as u32,
            },
            &[src, dst],
        );
        all.push(case);
    }
    all
}

pub fn rotary() -> Vec<Case> {
    let mut all = Vec::new();
    for pairs in [RotaryPairs::INTERLEAVED, RotaryPairs::HALVES] {
        let part = Rotary {
            x_offset: 6,
            x_batch_stride: 70,
            first_position: 2,
            ..Rotary::fused(3, 5, 1, 4, pairs)
        };
        for (name, kernel, count) in [
            ("one", Rotary::contiguous(1, 1, 1, 2, pairs), 2),
            ("a batch", Rotary::contiguous(3, 5, 2, 6, pairs), 180),
            ("a fused projection", Rotary::fused(2, 7, 3, 4, pairs), 504),
            ("a part", part, 217),
            ("a part of one", Rotary { batch: 1, ..part }, 77),
        ] {
            let mut case = Case::new(format!("rotary of {name} {pairs:?}"));
            let x = case.seed(&[count]);
            let rows = (kernel.first_position + kernel.rows) as usize;
            let table = [rows, kernel.head_dim as usize / 2];
            let (cosine, sine) = (case.constant(&table), case.constant(&table));
            case.node(kernel, &[x, cosine, sine]);
            all.push(case);
        }
    }
    all
}

pub fn moving_table() -> Refusal {
    let mut case = Case::new("rotary with a table that moves");
    let x = case.seed(&[12]);
    let (cosine, sine) = (case.seed(&[3, 2]), case.constant(&[3, 2]));
    let kernel = Rotary::contiguous(1, 3, 1, 4, RotaryPairs::HALVES);
    case.node(kernel, &[x, cosine, sine]);
    (case, vec!["n0 rotary", "operand cosine = t1"])
}

pub fn runge_kutta() -> Vec<Case> {
    let mut all = Vec::new();
    let weights = DORMAND_PRINCE.weights;
    let one: &[_] = &[(1, 3)];
    for (rows, width) in [(1usize, 1usize), (3, 7), (5, 13)] {
        for coefficients in [one, weights] {
            let full = RungeKutta::combination(rows as u32, width as u32, coefficients, 4);
            let (count, stages) = (rows * width, coefficients.len());
            for (name, kernel, spare) in [
                ("", full, 0),
                (" in place", full.in_place(), 0),
                (" by row", full.per_row(), 0),
                (" by row, to spare", full.per_row(), 2),
                (" in place, to spare", full.in_place(), 3),
            ] {
                let own = kernel.has(RungeKutta::X);
                for (moves_x, moves_k) in [(true, true), (true, false), (false, true)] {
                    let name =
                        format!("{stages} stages of {rows} x {width}{name} {moves_x} {moves_k}");
                    let mut case = Case::new(name);
                    let pick = |case: &mut Case, moves: bool, count: usize| match moves {
                        true => case.seed(&[count]),
                        false => case.given(&[count]),
                    };
                    let x = own.then(|| pick(&mut case, moves_x, count + spare));
                    let k = pick(&mut case, moves_k, stages * count + spare);
                    let sizes = kernel.has(RungeKutta::PER_ROW).then(|| case.given(&[rows]));
                    let out = case.seed(&[count + spare]);
                    case.push(kernel, &[x, Some(k), sizes, Some(out)]);
                    all.push(case);
                }
            }
        }
    }
    all
}

pub fn moving_step_size() -> Refusal {
    let mut case = Case::new("step sizes that move");
    let kernel = RungeKutta::combination(3, 5, &[(1, 1)], 1).per_row();
    let (x, k, sizes) = (case.seed(&[15]), case.seed(&[15]), case.seed(&[3]));
    let out = case.out(&[15]);
    case.node(kernel, &[x, k, sizes, out]);
    (case, vec!["n0 runge_kutta", "operand step_size = t2"])
}
