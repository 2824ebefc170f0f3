//! What the kernels that make up a network are measured on.

use super::{ACTIONS, Case, Fill, LENGTH, MANY, POSITIONS, WIDTH};
use attractor_kernels::adaptive_average_pool::AdaptiveAveragePool;
use attractor_kernels::attention::Attention;
use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::embedding::Embedding;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::{Activation, KernelId};

pub fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let rows = batch * POSITIONS;
    match id {
        KernelId::MatMul => {
            let linear = MatMul::linear(rows, WIDTH, 4 * WIDTH);
            let gelu = MatMul {
                activation: Activation::GELU,
                ..linear
            };
            let back = MatMul::linear(rows, 4 * WIDTH, WIDTH);
            let residual = MatMul {
                flags: back.flags | MatMul::RESIDUAL,
                ..back
            };
            let mut cases = vec![
                Case::new(format!("{rows}x128x512 bias gelu"), WIDTH, gelu).weights(&[1, 2]),
                Case::new(format!("{rows}x512x128 bias residual"), 4 * WIDTH, residual)
                    .weights(&[1, 2]),
            ];
            if batch >= MANY {
                let square = MatMul::linear(4096, 4096, 4096);
                cases.push(Case::new("4096x4096x4096", 4096, square).weights(&[1, 2]));
            }
            cases
        }
        KernelId::Attention => {
            let fused = Attention::fused(batch, POSITIONS, 4, 32);
            let name = format!("{batch} examples, 41 rows, 4 heads of 32");
            let mut cases = vec![Case::new(name, POSITIONS, fused)];
            if batch >= MANY {
                let long = Attention::contiguous(8, 1024, 1024, 8, 64);
                cases.push(Case::new(
                    "8 examples, 1024 rows, 8 heads of 64",
                    1024,
                    long,
                ));
            }
            cases
        }
        KernelId::Conv2d => {
            let kernel = Conv2d {
                batch,
                height: 21,
                width: 79,
                in_channels: 32,
                out_channels: 32,
                kernel_h: 5,
                kernel_w: 5,
                stride_h: 2,
                stride_w: 2,
                padding_h: 2,
                padding_w: 2,
                activation: Activation::GELU,
                flags: Conv2d::BIAS,
            };
            let name = format!("{batch} images 21x79x32, 5x5 to 32, stride 2, gelu");
            vec![Case::new(name, 800, kernel).weights(&[1, 2])]
        }
        KernelId::AdaptiveAveragePool => {
            let kernel = AdaptiveAveragePool {
                batch,
                height: 6,
                width: 20,
                channels: 64,
                out_height: 2,
                out_width: 4,
            };
            let name = format!("{batch} images 6x20x64 to 2x4");
            vec![Case::new(name, 15, kernel)]
        }
        KernelId::Embedding => {
            let kernel = Embedding {
                time_rows: 100,
                flags: Embedding::TIME | Embedding::POSITION,
                ..Embedding::lookup(batch, LENGTH, WIDTH, ACTIONS + 2)
            };
            let name = format!("{batch} examples, 32 rows of 128, time, position");
            let case = Case::new(name, 3, kernel).weights(&[1, 3, 4]);
            vec![
                case.fill(0, Fill::Below(ACTIONS + 2))
                    .fill(2, Fill::Below(100)),
            ]
        }
        _ => Vec::new(),
    }
}
