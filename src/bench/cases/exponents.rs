//! The kernels that exponents are measured with.

use super::{Case, EXAMPLES, Fill};
use attractor_kernels::compensated_sum::CompensatedSum;
use attractor_kernels::qr::Qr;
use attractor_kernels::{AnyKernel, Kernel, KernelId};

/// Matrices of small maps, of networks, and the joint latent state of a published reasoner with 97 tokens;
/// larger batches of the last two where a GPU is to be filled.
const SHAPES: [(u32, u32, u32); 3] = [(65_536, 8, 8), (4096, 256, 8), (1, 99_328, 8)];
const LARGE_SHAPES: [(u32, u32, u32); 2] = [(65_536, 256, 8), (64, 99_328, 8)];

pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let is_small = batch == EXAMPLES;
    if id == KernelId::CompensatedSum {
        let count = if is_small { 65_536 } else { 1 << 24 };
        let kernel = AnyKernel::from(CompensatedSum::new(count).at_step(0));
        return vec![Case::new(format!("{count} sums"), 2, kernel)];
    }
    let shapes: &[_] = if is_small { &SHAPES } else { &LARGE_SHAPES };
    let case = |&(batch, rows, columns): &(u32, u32, u32)| {
        let kernel = Qr {
            flags: Qr::R,
            ..Qr::contiguous(batch, rows, columns)
        };
        let fill = Fill::Dominant(columns as usize, rows as usize);
        Case::new(format!("{batch} x [{rows}, {columns}]"), rows, kernel).fill(0, fill)
    };
    shapes.iter().map(case).collect()
}
