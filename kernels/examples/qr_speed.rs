//! Speed of the QR twin on batches of small and tall matrices:
//! `cargo run --release -p attractor-kernels --example qr_speed`.

use attractor_kernels::qr::Qr;
use attractor_kernels::{AnyKernel, Kernel, KernelError, Operands, View};
use std::time::Instant;

/// Milliseconds of the fastest of some factorisations in place, R wanted too.
fn fastest(batch: u32, rows: u32, columns: u32, parallel: bool) -> Result<f64, KernelError> {
    let kernel = Qr {
        flags: Qr::R,
        ..Qr::contiguous(batch, rows, columns)
    };
    let extents = kernel.extents();
    let mixed = |i: usize| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / 8_388_608.0 - 1.0;
    let mut w: Vec<f32> = (0..extents[0]).map(mixed).collect();
    let mut r = vec![0.0f32; extents[1]];
    let mut best = f64::INFINITY;
    for _ in 0..12 {
        // Factors of an orthonormal matrix take as long as those of any other.
        let views = vec![
            View::FloatMut(&mut w),
            View::FloatMut(&mut r),
            View::Absent,
            View::Absent,
        ];
        let mut operands = Operands::new(Qr::NAME, Qr::OPERANDS, views, parallel);
        let start = Instant::now();
        AnyKernel::from(kernel).twin(&mut operands)?;
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}

fn main() -> Result<(), KernelError> {
    for (batch, rows, columns) in [
        (65_536, 8, 8),
        (4096, 256, 8),
        (1, 99_328, 8),
        (16, 2560, 8),
    ] {
        let one = fastest(batch, rows, columns, false)?;
        let all = fastest(batch, rows, columns, true)?;
        println!("{batch} x [{rows}, {columns}]: {one:.2} ms on one thread, {all:.2} ms on all");
    }
    Ok(())
}
