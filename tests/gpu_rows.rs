//! Shaders that work row by row (norms, softmax, SimNorm, reductions) against their twins.

mod common;

use attractor_kernels::argmax::ArgMax;
use attractor_kernels::gated_activation::GatedActivation;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::reduce::{Reduce, Reduction};
use attractor_kernels::rms_norm::RmsNorm;
use attractor_kernels::rotary::{Rotary, RotaryPairs};
use attractor_kernels::sim_norm::SimNorm;
use attractor_kernels::softmax::Softmax;
use attractor_kernels::{Activation, AnyKernel, Kernel, Launch};
use common::variants::{against_twin, dispatch, launches};
use common::{Array, gpu, values};

const LOW: f32 = f32::NEG_INFINITY;

/// Operands of a norm with all stages: inputs of the lengths it asks for, output of nines.
fn norm_operands(extents: &[usize]) -> Vec<Array> {
    let last = extents.len() - 1;
    (0..extents.len())
        .map(|i| match extents[i] {
            0 => Array::Absent,
            n if i == last => Array::Float(vec![9.0; n]),
            n => Array::Float(values(n, i as u64)),
        })
        .collect()
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn norms_of_odd_sizes() {
    let gpu = gpu();
    for (batch, rows, width) in [(1, 1, 1), (2, 3, 31), (3, 5, 33), (2, 37, 130), (1, 5, 257)] {
        for flags in [0, 1, 3, 4, 7] {
            let layer = LayerNorm {
                x_offset: 3,
                x_row_stride: width + 2,
                x_batch_stride: rows * (width + 2) + 1,
                y_offset: 1,
                y_row_stride: batch * width + 1,
                y_batch_stride: width,
                scale_offset: 2,
                scale_batch_stride: 2 * width,
                scale_step_stride: 5,
                shift_batch_stride: 0,
                shift_row_stride: width + 3,
                shift_step_stride: 1,
                ..LayerNorm::contiguous(batch, rows, width, 1e-5, flags)
            }
            .at_step(4);
            let what = format!("{batch}x{rows}x{width}, flags {flags}");
            let operands = norm_operands(&layer.extents());
            against_twin(&gpu, &what, layer, &operands, 1e-5);
            let rms: RmsNorm = bytemuck::cast(layer);
            against_twin(&gpu, &what, rms, &operands, 1e-5);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn softmax_of_odd_sizes_and_infinities() {
    let gpu = gpu();
    for (rows, width, temperature) in [(1, 1, 1.0), (5, 31, 0.5), (67, 33, 2.0), (2, 300, 0.1)] {
        let kernel = Softmax {
            x_offset: 1,
            x_row_stride: width + 3,
            y_row_stride: width + 1,
            temperature,
            ..Softmax::contiguous(rows, width)
        };
        let extents = kernel.extents();
        let x = values(extents[0], 5).iter().map(|v| 9.0 * v).collect();
        let operands = [Array::Float(x), Array::Float(vec![9.0; extents[1]])];
        against_twin(&gpu, &format!("{rows}x{width}"), kernel, &operands, 4e-6);
    }
    let rows = [
        [LOW, LOW, LOW],
        [LOW, 4.0, LOW],
        [LOW, f32::NAN, LOW],
        [f32::INFINITY, 0.0, 1.0],
        [3e38, 3e38, -3e38],
        [f32::NAN, 1.0, 2.0],
    ];
    let operands = [Array::Float(rows.concat()), Array::Float(vec![9.0; 18])];
    against_twin(
        &gpu,
        "infinities",
        Softmax::contiguous(6, 3),
        &operands,
        1e-6,
    );
    against_twin(
        &gpu,
        "infinities",
        SimNorm::contiguous(2, 9, 3),
        &operands,
        1e-6,
    );
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn sim_norm_of_odd_sizes() {
    let gpu = gpu();
    for (rows, groups, group) in [(1, 1, 1), (3, 5, 8), (65, 7, 3), (5, 1, 37)] {
        let width = groups * group;
        let kernel = SimNorm {
            x_offset: 2,
            x_row_stride: width + 1,
            y_offset: 1,
            ..SimNorm::contiguous(rows, width, group)
        };
        let extents = kernel.extents();
        let x = values(extents[0], 5).iter().map(|v| 9.0 * v).collect();
        let operands = [Array::Float(x), Array::Float(vec![9.0; extents[1]])];
        against_twin(
            &gpu,
            &format!("{rows}x{width}/{group}"),
            kernel,
            &operands,
            4e-6,
        );
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn gated_activations_of_odd_sizes() {
    let gpu = gpu();
    for (rows, width) in [(1, 1), (3, 31), (67, 101), (2, 3001)] {
        for (name, activation) in Activation::ALL {
            let kernel = GatedActivation {
                x_offset: 2,
                x_row_stride: 2 * width + 7,
                gate_offset: width + 3,
                out_offset: 1,
                out_row_stride: width + 2,
                ..GatedActivation::halves(rows, width, *activation)
            };
            let extents = kernel.extents();
            let mut x: Vec<f32> = values(extents[0], 5).iter().map(|v| 4.0 * v).collect();
            x[2] = f32::NAN;
            x[2 + 2 * width as usize + 2] = f32::NAN;
            let operands = [Array::Float(x), Array::Float(vec![9.0; extents[1]])];
            let what = format!("{rows}x{width}, {name}");
            against_twin(&gpu, &what, kernel, &operands, 1e-5);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn rotations_of_odd_sizes() {
    let gpu = gpu();
    for (batch, rows, heads, head_dim) in [(1, 1, 1, 2), (2, 5, 3, 14), (3, 7, 2, 66)] {
        for pairs in [RotaryPairs::INTERLEAVED, RotaryPairs::HALVES] {
            let width = heads * head_dim;
            let kernel = Rotary {
                x_offset: 4,
                x_batch_stride: width + 1,
                x_row_stride: batch * (width + 1) + 2,
                first_position: 3,
                ..Rotary::contiguous(batch, rows, heads, head_dim, pairs)
            };
            let lengths = kernel.extents().into_iter().zip(1..);
            let operands: Vec<_> = lengths
                .map(|(n, salt)| Array::Float(values(n, salt)))
                .collect();
            let what = format!("{batch}x{rows}x{heads}x{head_dim}, {pairs:?}");
            against_twin(&gpu, &what, kernel, &operands, 4e-7);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn reductions_of_odd_sizes() {
    let gpu = gpu();
    let shapes = [
        (1, 1, 1),
        (3, 33, 1),
        (5, 300, 1),
        (2, 65, 31),
        (1, 19, 97),
        (70, 64, 3),
        (1, 40_001, 1),
        (2, 70_001, 1),
    ];
    for (outer, length, inner) in shapes {
        let what = format!("{outer}x{length}x{inner}");
        let count = (outer * length * inner) as usize;
        let outputs = (outer * inner) as usize;
        for operation in [
            Reduction::SUM,
            Reduction::MEAN,
            Reduction::MAX,
            Reduction::MIN,
        ] {
            let kernel = Reduce {
                x_offset: 2,
                y_offset: 1,
                ..Reduce::middle(operation, outer, length, inner)
            };
            for with_nan in [false, true] {
                let mut x = values(count + 2, 7);
                if with_nan {
                    x[1 + count] = f32::NAN;
                }
                let operands = [Array::Float(x), Array::Float(vec![9.0; outputs + 1])];
                against_twin(&gpu, &what, kernel, &operands, 3e-7);
            }
        }
        for with_nan in [false, true] {
            // Few distinct values: ties abound.
            let mut x: Vec<f32> = values(count, 7).iter().map(|v| (v * 3.0).round()).collect();
            if with_nan {
                x.iter_mut().skip(2).step_by(11).for_each(|v| *v = f32::NAN);
            }
            let operands = [Array::Float(x), Array::Word(vec![9; outputs])];
            let kernel = ArgMax::middle(outer, length, inner);
            against_twin(&gpu, &what, kernel, &operands, 0.0);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn sums_stay_compensated() {
    let gpu = gpu();
    for inner in [1u32, 5] {
        let n = inner as usize;
        let mut x = vec![1.0f32; n];
        x.extend(vec![2e-8; 30_000 * n]);
        x.extend(vec![-1.0; n]);
        let operands = [Array::Float(x), Array::Float(vec![0.0; n])];
        let kernel = Reduce::middle(Reduction::SUM, 1, 30_002, inner);
        // The sum is 6e-4; without compensation the columns would lose all of it.
        against_twin(&gpu, "compensation", kernel, &operands, 2e-6);
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_row_does_not_depend_on_its_batch() {
    let gpu = gpu();
    let gpu = gpu.gpu().expect("a GPU device");
    let (rows, width) = (67u32, 77u32);
    let kernels = |rows: u32| -> [AnyKernel; 3] {
        [
            LayerNorm::contiguous(1, rows, width, 1e-5, 0).into(),
            Softmax::contiguous(rows, width).into(),
            Reduce::middle(Reduction::SUM, rows, width, 1).into(),
        ]
    };
    let x = values((rows * width) as usize, 5);
    for (all, one) in kernels(rows).into_iter().zip(kernels(1)) {
        for (all_launch, one_launch) in launches(&all).iter().zip(launches(&one)) {
            let run = |kernel: &AnyKernel, launch: &Launch, x: &[f32]| {
                let extents = kernel.extents();
                let last = extents.len() - 1;
                let mut operands = vec![Array::Absent; extents.len()];
                operands[0] = Array::Float(x.to_vec());
                operands[last] = Array::Float(vec![0.0; extents[last]]);
                dispatch(gpu, kernel, launch, &operands)[last]
                    .floats()
                    .to_vec()
            };
            let together = run(&all, all_launch, &x);
            let outputs = together.len() / rows as usize;
            for (x, y) in x.chunks(width as usize).zip(together.chunks(outputs)) {
                assert_eq!(run(&one, &one_launch, x), y, "{:?}", one_launch);
            }
        }
    }
}
