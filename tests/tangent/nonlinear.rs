//! Cases of the kernels whose derivative depends on the values.

use crate::support::Case;
use attractor::graph::TensorKind;
use attractor_kernels::Activation;
use attractor_kernels::activation::Activate;
use attractor_kernels::attention::Attention;
use attractor_kernels::control_step::{ControlStep, ControlSystem};
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::gated_activation::GatedActivation;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::reduce::{Reduce, Reduction};
use attractor_kernels::rms_norm::RmsNorm;
use attractor_kernels::sim_norm::SimNorm;
use attractor_kernels::softmax::Softmax;
use attractor_kernels::time_features::TimeFeatures;
use attractor_kernels::{AnyKernel, Kernel};

type Refusal = (Case, Vec<&'static str>);

/// A kernel with one operand in and one out, both a seed, just large enough or larger.
fn one_to_one(name: &str, kernel: impl Into<AnyKernel>, spare: usize) -> Case {
    let kernel = kernel.into();
    let mut case = Case::new(format!("{name}, {spare} to spare"));
    let extents = kernel.extents();
    let (x, y) = (
        case.seed(&[extents[0] + spare]),
        case.seed(&[extents[1] + spare]),
    );
    case.node(kernel, &[x, y]);
    case
}

pub fn activations() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, activation) in Activation::ALL {
        for (count, spare) in [(1, 0), (65, 0), (13, 3)] {
            let kernel = Activate {
                x_offset: spare,
                y_offset: 2 * spare,
                scale: 1.5,
                ..Activate::of(*activation, count)
            };
            all.push(one_to_one(name, kernel, spare as usize));
        }
    }
    all
}

pub fn gated_activations() -> Vec<Case> {
    let mut all = Vec::new();
    for activation in [Activation::SILU, Activation::GELU, Activation::IDENTITY] {
        for (rows, width) in [(1, 1), (5, 13), (3, 65)] {
            let kernel = GatedActivation::halves(rows, width, activation);
            all.push(one_to_one("gated", kernel, 0));
            let apart = GatedActivation {
                x_offset: 3,
                x_row_stride: 2 * width + 5,
                out_offset: 2,
                out_row_stride: width + 1,
                ..kernel
            };
            all.push(one_to_one("gated apart", apart, 4));
        }
    }
    all
}

pub fn softmaxes() -> Vec<Case> {
    let mut all = Vec::new();
    for (rows, width) in [(1, 1), (5, 13), (2, 257)] {
        let kernel = Softmax {
            temperature: 0.75,
            ..Softmax::contiguous(rows, width)
        };
        let apart = Softmax {
            x_offset: 3,
            x_row_stride: width + 5,
            y_offset: 2,
            y_row_stride: width + 1,
            ..kernel
        };
        all.push(one_to_one("softmax", kernel, 0));
        all.push(one_to_one("softmax apart", apart, 4));
    }
    // A row of one element does not move; its output keeps a tangent of zero.
    all.retain(|case| case.graph.tensors()[1].len() > 1);
    all
}

pub fn sim_norms() -> Vec<Case> {
    let mut all = Vec::new();
    for (rows, width, group) in [(1, 2, 2), (5, 21, 7), (3, 65, 13)] {
        let kernel = SimNorm::contiguous(rows, width, group);
        let apart = SimNorm {
            x_offset: 3,
            x_row_stride: width + 5,
            y_offset: 2,
            y_row_stride: width + 1,
            ..kernel
        };
        all.push(one_to_one("groups", kernel, 0));
        all.push(one_to_one("groups apart", apart, 4));
    }
    all
}

pub fn reductions() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, operation) in [
        ("sum", Reduction::SUM),
        ("mean", Reduction::MEAN),
        ("max", Reduction::MAX),
        ("min", Reduction::MIN),
    ] {
        for (outer, length, inner) in [(1, 1, 1), (3, 7, 5), (2, 65, 1), (1, 130, 33)] {
            let kernel = Reduce::middle(operation, outer, length, inner);
            let apart = Reduce {
                x_offset: 3,
                y_offset: 2,
                ..kernel
            };
            all.push(one_to_one(name, kernel, 0));
            all.push(one_to_one(name, apart, 4));
        }
    }
    all
}

/// Every task; a seed in the state, the action, or both.
pub fn control_steps() -> Vec<Case> {
    let mut all = Vec::new();
    for &system in ControlSystem::ALL {
        for (rows, moved) in [
            (1u32, [true, true]),
            (7, [true, false]),
            (65, [false, true]),
        ] {
            let kernel = ControlStep {
                obs_row_stride: system.observation() + 1,
                ..ControlStep::contiguous(system, rows)
            };
            let mut case = Case::new(format!("{system:?}, {rows} rows, {moved:?}"));
            let extents = kernel.extents();
            let mut given = |place: usize| match moved[place] {
                true => case.seed(&[extents[place]]),
                false => case.given(&[extents[place] + 1]),
            };
            let operands = [given(0), given(1)];
            let out = case.out(&[extents[2]]);
            case.node(kernel, &[operands[0], operands[1], out]);
            all.push(case);
        }
    }
    all
}

pub fn elementwise() -> Vec<Case> {
    let mut all = Vec::new();
    for operation in [
        Operation::ADD,
        Operation::SUBTRACT,
        Operation::MULTIPLY,
        Operation::DIVIDE,
    ] {
        for (shape, a, b) in [
            ([1, 1, 1, 1], [0; 4], [0; 4]),
            ([1, 1, 1, 65], [0, 0, 0, 1], [0, 0, 0, 1]),
            ([1, 3, 5, 7], [0, 35, 7, 1], [0, 0, 0, 1]),
            ([2, 3, 5, 7], [105, 35, 7, 1], [0, 7, 0, 1]),
            ([2, 3, 2, 7], [100, 33, 9, 1], [70, 23, 8, 1]),
        ] {
            for (moves_a, moves_b) in [(true, true), (true, false), (false, true)] {
                for (factors, spare) in [((1.0, 1.0), 0), ((1.5, -0.5), 0), ((1.5, -0.5), 3)] {
                    let kernel = Elementwise {
                        a_offset: spare,
                        b_offset: 2 * spare,
                        out_offset: spare,
                        alpha: factors.0,
                        beta: factors.1,
                        ..Elementwise::broadcast(operation, shape, a, b)
                    };
                    all.push(arithmetic(kernel, [moves_a, moves_b], spare as usize));
                }
            }
        }
    }
    let square = Elementwise {
        alpha: 0.5,
        ..Elementwise::contiguous(Operation::MULTIPLY, 13)
    };
    let mut case = Case::new("square");
    let (x, out) = (case.seed(&[13]), case.out(&[13]));
    case.node(square, &[x, x, out]);
    all.push(case);
    all
}

fn arithmetic(kernel: Elementwise, moving: [bool; 2], spare: usize) -> Case {
    let name = format!("{:?} {moving:?}, {spare} to spare", kernel.operation);
    let mut case = Case::new(name);
    let extents = kernel.extents();
    let inputs = [0, 1].map(|side| match moving[side] {
        true => case.seed(&[extents[side] + spare]),
        false => case.given(&[extents[side] + spare]),
    });
    // A divisor away from zero, so that differences are good.
    case.map(inputs[1], |x| x + if x < 0.0 { -0.5 } else { 0.5 });
    let out = case.seed(&[extents[2] + spare]);
    case.node(kernel, &[inputs[0], inputs[1], out]);
    case
}

/// A norm under flags, with given operands a seed: x, scale, shift.
fn norm(name: &str, kernel: impl Into<AnyKernel>, moving: [bool; 3], steps: u32) -> Case {
    let kernel = kernel.into();
    let mut case = Case::new(format!("{name} {moving:?}"));
    case.steps = steps;
    case.tolerance = 1e-4;
    let extents = kernel.at_step(steps - 1).extents();
    let mut operands = Vec::new();
    for (index, extent) in extents.iter().take(5).enumerate() {
        let moves = match index {
            0 => moving[0],
            3 => moving[1],
            4 => moving[2],
            _ => false,
        };
        operands.push(match (*extent, moves) {
            (0, _) => None,
            (extent, true) => Some(case.seed(&[extent])),
            (extent, false) => Some(case.given(&[extent])),
        });
    }
    operands.push(Some(case.seed(&[extents[5] + 1])));
    case.push(kernel, &operands);
    case
}

macro_rules! norms {
    ($function:ident, $kernel:ident, $name:literal) => {
        pub fn $function() -> Vec<Case> {
            let mut all = Vec::new();
            for (batch, rows, width) in [(1, 1, 2), (3, 5, 13), (2, 1, 65)] {
                for flags in 0..8 {
                    let plain = $kernel::contiguous(batch, rows, width, 1e-5, flags);
                    let by_step = $kernel {
                        x_offset: 2,
                        x_row_stride: width + 3,
                        x_batch_stride: rows * (width + 3),
                        scale_step_stride: batch * width,
                        shift_row_stride: width,
                        shift_batch_stride: rows * width,
                        shift_step_stride: batch * rows * width,
                        ..plain
                    };
                    all.push(norm($name, plain, [true, false, false], 1));
                    if flags >= 4 {
                        for moving in [[true; 3], [true, true, false], [false, false, true]] {
                            all.push(norm($name, plain, moving, 1));
                            all.push(norm($name, by_step, moving, 3));
                        }
                    }
                }
            }
            all
        }
    };
}

norms!(layer_norms, LayerNorm, "layer norm");
norms!(rms_norms, RmsNorm, "root mean square norm");

pub fn moving_weight() -> Refusal {
    let mut case = Case::new("layer norm with a weight that moves");
    let (x, weight, out) = (case.seed(&[3, 5]), case.seed(&[5]), case.out(&[3, 5]));
    let kernel = LayerNorm::contiguous(1, 3, 5, 1e-5, LayerNorm::WEIGHT);
    case.push(
        kernel,
        &[Some(x), Some(weight), None, None, None, Some(out)],
    );
    (case, vec!["n0 layer_norm", "operand weight = t1"])
}

pub fn activated_norm() -> Refusal {
    let mut case = Case::new("layer norm with an activation");
    let (x, out) = (case.seed(&[3, 5]), case.out(&[3, 5]));
    let kernel = LayerNorm {
        activation: Activation::MISH,
        ..LayerNorm::contiguous(1, 3, 5, 1e-5, 0)
    };
    case.push(kernel, &[Some(x), None, None, None, None, Some(out)]);
    (case, vec!["n0 layer_norm", "mish"])
}

pub fn attentions() -> Vec<Case> {
    let mut all = Vec::new();
    let grouped = Attention {
        kv_heads: 2,
        k_row_stride: 10,
        k_batch_stride: 70,
        v_row_stride: 10,
        v_batch_stride: 70,
        ..Attention::contiguous(3, 5, 7, 4, 5)
    };
    let masked = Attention {
        flags: Attention::MASK,
        mask_batch_stride: 35,
        ..grouped
    };
    for (name, kernel) in [
        ("one", Attention::contiguous(1, 1, 1, 1, 1)),
        ("heads", Attention::contiguous(2, 17, 13, 3, 7)),
        ("groups", grouped),
        ("masked groups", masked),
    ] {
        for bits in 1..8u32 {
            let mut case = Case::new(format!("attention of {name} {bits:03b}"));
            case.tolerance = 1e-4;
            let extents = kernel.extents();
            let mut operands: Vec<_> = (0..3)
                .map(|d| match bits >> d & 1 {
                    1 => Some(case.seed(&[extents[d]])),
                    _ => Some(case.given(&[extents[d]])),
                })
                .collect();
            operands.push((extents[3] > 0).then(|| case.given(&[extents[3]])));
            operands.push(Some(case.seed(&[extents[4] + 3])));
            case.push(kernel, &operands);
            all.push(case);
        }
    }
    for (batch, rows) in [(1usize, 5usize), (3, 13)] {
        let mut case = Case::new(format!("attention of a projection of {rows}"));
        case.tolerance = 1e-4;
        let kernel = Attention::fused(batch as u32, rows as u32, 2, 6);
        let (qkv, out) = (
            case.seed(&[batch * rows * 36]),
            case.out(&[batch * rows * 12]),
        );
        case.push(kernel, &[Some(qkv), Some(qkv), Some(qkv), None, Some(out)]);
        all.push(case);
    }
    all
}

pub fn moving_mask() -> Refusal {
    let mut case = Case::new("attention with a mask that moves");
    let kernel = Attention {
        flags: Attention::MASK,
        ..Attention::contiguous(1, 3, 5, 1, 2)
    };
    let (q, k, v) = (case.seed(&[6]), case.given(&[10]), case.given(&[10]));
    let (mask, out) = (case.seed(&[15]), case.out(&[6]));
    case.node(kernel, &[q, k, v, mask, out]);
    (case, vec!["n0 attention", "operand mask = t3"])
}

pub fn time_features() -> Vec<Case> {
    let mut all = Vec::new();
    let stage = TimeFeatures::new(5, 14).at_stage((1, 3));
    for (name, kernel, moving) in [
        ("of a time", TimeFeatures::new(1, 2), [true, false]),
        ("of times", TimeFeatures::new(5, 14), [true, false]),
        (
            "reversed",
            TimeFeatures::new(3, 66).reversed(),
            [true, false],
        ),
        ("of stages", stage, [true, true]),
        ("of stage steps", stage.reversed(), [false, true]),
    ] {
        let mut case = Case::new(format!("features {name}"));
        // Features turn a thousand times in a unit of time.
        case.distance = 1e-7;
        case.tolerance = 1e-4;
        let rows = kernel.rows as usize;
        let times = |moves: bool, case: &mut Case| {
            let id = match moves {
                true => case.seed(&[rows]),
                false => case.given(&[rows]),
            };
            case.map(id, |x| 0.4 + 0.3 * x);
            id
        };
        let time = times(moving[0], &mut case);
        let step = kernel
            .has(TimeFeatures::STAGE)
            .then(|| times(moving[1], &mut case));
        let words = TimeFeatures::frequencies(kernel.width);
        let words = case.words(words, TensorKind::Input);
        let out = case.seed(&[rows * kernel.width as usize + 1]);
        case.push(kernel, &[Some(time), step, Some(words), Some(out)]);
        all.push(case);
    }
    all
}
