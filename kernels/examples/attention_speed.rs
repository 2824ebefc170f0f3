//! Speed of attention's twin at the sizes of small transformers:
//! `cargo run --release -p attractor-kernels --example attention_speed`.

use attractor_kernels::attention::Attention;
use attractor_kernels::{AnyKernel, Kernel, KernelError, Operands, View};
use std::hint::black_box;
use std::time::Instant;

/// Seconds of one call: the fastest of many timings, each short enough to fall between interruptions.
fn seconds(mut call: impl FnMut()) -> f64 {
    call();
    let start = Instant::now();
    call();
    let once = start.elapsed().as_secs_f64().max(1e-7);
    let repeats = (0.002 / once).clamp(1.0, 1e6) as usize;
    (0..60)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..repeats {
                call();
            }
            start.elapsed().as_secs_f64() / repeats as f64
        })
        .fold(f64::INFINITY, f64::min)
}

/// GFLOP/s, counting the two products only.
fn attention(kernel: Attention, parallel: bool) -> Result<f64, KernelError> {
    let extents = kernel.extents();
    let fill =
        |count: usize| -> Vec<f32> { (0..count).map(|i| (i % 251) as f32 * 0.01 - 1.25).collect() };
    let (q, k, v) = (fill(extents[0]), fill(extents[1]), fill(extents[2]));
    let mut out = vec![0f32; extents[4]];
    let any = AnyKernel::from(kernel);
    let mut failure = None;
    let mut call = || {
        let views = vec![
            View::Float(&q),
            View::Float(&k),
            View::Float(&v),
            View::Absent,
            View::FloatMut(&mut out),
        ];
        let mut operands = Operands::new(Attention::NAME, Attention::OPERANDS, views, parallel);
        failure = any.twin(&mut operands).err().or(failure.take());
    };
    // A caller inside the pool works itself instead of waking two sleepers.
    let time = if parallel {
        rayon::scope(|_| seconds(&mut call))
    } else {
        seconds(&mut call)
    };
    black_box(&out);
    let scores = [kernel.batch, kernel.heads, kernel.q_rows, kernel.k_rows];
    let flops: f64 = scores.iter().map(|n| f64::from(*n)).product::<f64>();
    match failure {
        Some(error) => Err(error),
        None => Ok(flops * 4.0 * f64::from(kernel.head_dim) / time * 1e-9),
    }
}

fn main() -> Result<(), KernelError> {
    println!("GFLOP/s                            one thread   all threads");
    for (batch, rows, heads, head_dim) in [
        (1, 41, 4, 32),
        (8, 41, 4, 32),
        (8, 41, 4, 64),
        (8, 73, 4, 32),
        (8, 73, 4, 64),
        (64, 41, 4, 32),
        (1, 1024, 8, 64),
    ] {
        let kernel = Attention::fused(batch, rows, heads, head_dim);
        let (one, all) = (attention(kernel, false)?, attention(kernel, true)?);
        println!(
            "batch {batch:3} rows {rows:5} heads {heads:2} of {head_dim:3}   {one:8.1}     {all:8.1}"
        );
    }
    Ok(())
}
