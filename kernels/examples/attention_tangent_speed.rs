//! Speed of the twin of attention's tangents at the sizes of recursive reasoners:
//! `cargo run --release -p attractor-kernels --example attention_tangent_speed`.

use attractor_kernels::attention::Attention;
use attractor_kernels::attention_tangent::AttentionTangent;
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

/// GFLOP/s, counting the products only: one for the scores, four a tangent.
fn speed(kernel: AttentionTangent, parallel: bool) -> Result<f64, KernelError> {
    let operands: Vec<Vec<f32>> = kernel
        .extents()
        .into_iter()
        .map(|count| (0..count).map(|i| (i % 251) as f32 * 0.01 - 1.25).collect())
        .collect();
    let mut out = operands[7].clone();
    let any = AnyKernel::from(kernel);
    let mut failure = None;
    let mut call = || {
        let mut views: Vec<_> = operands[..7]
            .iter()
            .map(|operand| match operand.is_empty() {
                true => View::Absent,
                false => View::Float(operand),
            })
            .collect();
        views.push(View::FloatMut(&mut out));
        let table = AttentionTangent::OPERANDS;
        let mut operands = Operands::new(AttentionTangent::NAME, table, views, parallel);
        failure = any.twin(&mut operands).err().or(failure.take());
    };
    let time = if parallel {
        rayon::scope(|_| seconds(&mut call))
    } else {
        seconds(&mut call)
    };
    black_box(&out);
    let scores = [kernel.batch, kernel.heads, kernel.q_rows, kernel.k_rows];
    let scores: f64 = scores.iter().map(|n| f64::from(*n)).product();
    let products = 1.0 + 4.0 * f64::from(kernel.tangents);
    match failure {
        Some(error) => Err(error),
        None => Ok(scores * products * 2.0 * f64::from(kernel.head_dim) / time * 1e-9),
    }
}

fn main() -> Result<(), KernelError> {
    println!("GFLOP/s                                          one thread   all threads");
    for (batch, rows, heads, head_dim, tangents) in [
        (16, 20, 4, 16, 8),
        (1, 97, 8, 64, 8),
        (1, 916, 8, 64, 8),
        (1, 97, 8, 64, 64),
    ] {
        let primal = Attention::fused(batch, rows, heads, head_dim);
        let width = heads * head_dim;
        let kernel = AttentionTangent::new(
            primal,
            tangents,
            [Some(3 * batch * rows * width); 3],
            batch * rows * width,
        );
        let (one, all) = (speed(kernel, false)?, speed(kernel, true)?);
        println!(
            "batch {batch:3} rows {rows:4} heads {heads:2} of {head_dim:3}, {tangents:2} tangents   {one:8.1}     {all:8.1}"
        );
    }
    Ok(())
}
