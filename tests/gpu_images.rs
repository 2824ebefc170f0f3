//! The shaders of convolution, adaptive pooling and embedding against their twins.

mod common;

use attractor::device::Device;
use attractor_kernels::adaptive_average_pool::AdaptiveAveragePool;
use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::embedding::Embedding;
use attractor_kernels::{Activation, Kernel};
use common::variants::against_twin;
use common::{Array, assert_close, gpu, run, run_at, values};

fn floats(count: usize, salt: u64) -> Array {
    match count {
        0 => Array::Absent,
        _ => Array::Float(values(count, salt)),
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn convolutions() {
    let gpu = gpu();
    let square = Conv2d {
        batch: 2,
        height: 9,
        width: 9,
        in_channels: 4,
        out_channels: 33,
        kernel_h: 3,
        kernel_w: 3,
        stride_h: 1,
        stride_w: 1,
        padding_h: 1,
        padding_w: 1,
        activation: Activation::RELU,
        flags: Conv2d::BIAS,
    };
    for kernel in [
        square,
        Conv2d {
            height: 1,
            width: 1,
            out_channels: 1,
            ..square
        },
        Conv2d {
            height: 21,
            width: 79,
            in_channels: 5,
            stride_w: 2,
            padding_h: 0,
            ..square
        },
        Conv2d {
            kernel_h: 2,
            kernel_w: 5,
            stride_h: 3,
            padding_h: 4,
            padding_w: 7,
            activation: Activation::MISH,
            flags: 0,
            ..square
        },
    ] {
        let extents = kernel.extents();
        let operands: Vec<Array> = extents
            .iter()
            .zip(1..)
            .map(|(n, s)| floats(*n, s))
            .collect();
        let exact = run(&Device::cpu_f64(), kernel, &operands);
        let depth = (extents[1] / kernel.out_channels as usize) as f32;
        let tolerance = 4e-7 * depth.sqrt() * 4.0 + 1e-6;
        against_twin(&gpu, &format!("{kernel:?}"), kernel, &operands, tolerance);
        for device in [&Device::cpu(), &gpu] {
            let found = run(device, kernel, &operands);
            let what = format!("{kernel:?} on {}", device.info().name);
            assert_close(&what, found[3].floats(), exact[3].floats(), tolerance);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn adaptive_average_pools() {
    let gpu = gpu();
    for (batch, height, width, channels, out_height, out_width) in [
        (1, 1, 1, 1, 1, 1),
        (2, 9, 7, 3, 4, 3),
        (2, 3, 2, 4, 7, 5),
        (3, 21, 79, 33, 5, 8),
    ] {
        let kernel = AdaptiveAveragePool {
            batch,
            height,
            width,
            channels,
            out_height,
            out_width,
        };
        let operands: Vec<Array> = kernel.extents().into_iter().map(|n| floats(n, 3)).collect();
        let exact = run(&Device::cpu_f64(), kernel, &operands);
        against_twin(&gpu, &format!("{kernel:?}"), kernel, &operands, 4e-6);
        for device in [&Device::cpu(), &gpu] {
            let found = run(device, kernel, &operands);
            let what = format!("{kernel:?} on {}", device.info().name);
            assert_close(&what, found[1].floats(), exact[1].floats(), 4e-6);
        }
    }
}

/// Look-ups and two additions in a fixed order: bit for bit.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn embeddings() {
    let gpu = gpu();
    for flags in 0..4 {
        let kernel = Embedding {
            out_offset: 2,
            out_batch_stride: 80,
            out_row_stride: 11,
            time_rows: 6,
            time_step_stride: 3,
            time_batch_stride: 1,
            flags,
            ..Embedding::lookup(3, 7, 10, 13)
        };
        let timed = flags & Embedding::TIME != 0;
        let extents = kernel.at_step(2).extents();
        let operands = [
            Array::Word((0..21).map(|i| i * 5 % 13).collect()),
            floats(extents[1], 1),
            match timed {
                true => Array::Word((0..9).map(|i| i * 5 % 6).collect()),
                false => Array::Absent,
            },
            floats(extents[3], 2),
            floats(extents[4], 3),
            floats(extents[5], 4),
        ];
        let timed_step = kernel.at_step(2);
        against_twin(&gpu, &format!("{kernel:?}"), timed_step, &operands, 3e-7);
        let twin = run_at(&Device::cpu(), kernel, &operands, 2, Default::default());
        let found = run_at(&gpu, kernel, &operands, 2, Default::default());
        assert_eq!(found[5], twin[5], "{kernel:?}");
    }
}
