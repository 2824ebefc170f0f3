//! Shaders that work element by element (activations, arithmetic, copies, the rooflines) against their
//! twins.

mod common;

use attractor_kernels::activation::Activate;
use attractor_kernels::copy::{CopyFloats, CopyWords};
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::roofline_copy::RooflineCopy;
use attractor_kernels::roofline_fma::RooflineFma;
use attractor_kernels::{Activation, Kernel};
use common::variants::against_twin;
use common::{Array, gpu, values};

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn every_activation() {
    let gpu = gpu();
    for &(name, activation) in Activation::ALL {
        for count in [1u32, 255, 257, 2053] {
            let kernel = Activate {
                x_offset: 2,
                y_offset: 1,
                scale: -8.5,
                ..Activate::of(activation, count)
            };
            let mut x = values(count as usize + 2, 3);
            x[2] = f32::NAN;
            let y = Array::Float(vec![9.0; count as usize + 1]);
            against_twin(&gpu, name, kernel, &[Array::Float(x), y], 4e-6);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn arithmetic_under_any_strides() {
    let gpu = gpu();
    let cases = [
        ([1, 1, 1, 1], [0; 4], [0; 4]),
        ([1, 1, 1, 9001], [0, 0, 0, 1], [0, 0, 0, 1]),
        ([2, 3, 5, 7], [105, 35, 7, 1], [0, 0, 0, 1]),
        ([2, 3, 5, 7], [0, 7, 0, 1], [15, 5, 1, 0]),
        ([3, 1, 11, 4], [1, 0, 12, 3], [44, 44, 4, 1]),
    ];
    let operations = [
        Operation::ADD,
        Operation::SUBTRACT,
        Operation::MULTIPLY,
        Operation::DIVIDE,
    ];
    for (shape, a_strides, b_strides) in cases {
        for operation in operations {
            let kernel = Elementwise {
                a_offset: 2,
                b_offset: 1,
                out_offset: 3,
                alpha: 1.5,
                beta: -0.5,
                ..Elementwise::broadcast(operation, shape, a_strides, b_strides)
            };
            let extents = kernel.extents();
            let b = values(extents[1], 2).iter().map(|v| v + 3.0).collect();
            let operands = [
                Array::Float(values(extents[0], 1)),
                Array::Float(b),
                Array::Float(vec![9.0; extents[2]]),
            ];
            let what = format!("{operation:?} over {shape:?}");
            against_twin(&gpu, &what, kernel, &operands, 6e-7);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn copies_at_any_step() {
    let gpu = gpu();
    let cases = [
        ([1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]),
        ([1, 1, 1, 20_011], [0, 0, 0, 1], [0, 0, 0, 1]),
        ([2, 3, 5, 7], [105, 35, 7, 1], [200, 50, 8, 1]),
        ([2, 3, 5, 7], [105, 35, 7, 1], [1, 2, 6, 30]),
        ([1, 170, 1, 130], [0, 0, 0, 1], [0, 131, 0, 1]),
    ];
    for (shape, src_strides, dst_strides) in cases {
        for step in [0, 3] {
            let words = CopyWords {
                src_offset: 2,
                dst_offset: 5,
                src_step_stride: 11,
                dst_step_stride: 400,
                ..CopyWords::strided(shape, src_strides, dst_strides)
            }
            .at_step(step);
            let what = format!("{shape:?} at step {step}");
            let extents = words.extents();
            let src = (0..extents[0] as u32).map(|i| i.wrapping_mul(0x9E37_79B9));
            let operands = [Array::Word(src.collect()), Array::Word(vec![1; extents[1]])];
            against_twin(&gpu, &what, words, &operands, 0.0);
            let floats: CopyFloats = bytemuck::cast(words);
            let operands = [
                Array::Float(values(extents[0], 1)),
                Array::Float(vec![9.0; extents[1]]),
            ];
            against_twin(&gpu, &what, floats, &operands, 0.0);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn rooflines() {
    let gpu = gpu();
    for count in [4u32, 1028, 20_004] {
        let operands = [
            Array::Float(values(count as usize, 4)),
            Array::Float(vec![9.0; count as usize]),
        ];
        against_twin(&gpu, "copy", RooflineCopy { count }, &operands, 0.0);
    }
    for (count, iterations) in [(1u32, 1u32), (65, 40), (130, 1000)] {
        let kernel = RooflineFma {
            multiplier: 0.75,
            addend: 0.125,
            ..RooflineFma::new(count, iterations)
        };
        let operands = [Array::Float(vec![0.0; count as usize])];
        against_twin(&gpu, "multiply-adds", kernel, &operands, 1e-6);
    }
}
