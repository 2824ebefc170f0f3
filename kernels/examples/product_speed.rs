//! Speed of the matrix product's twin at the sizes of small transformers, against the machine's
//! multiply-add peak: `cargo run --release -p attractor-kernels --example product_speed [THREADS]`.

use attractor_kernels::matmul::MatMul;
use attractor_kernels::{AnyKernel, Kernel, KernelError, Operands, View, simd};
use std::hint::black_box;
use std::time::Instant;

const ROWS: [u32; 4] = [1, 41, 328, 2624];
const SIZES: [(u32, u32); 6] = [
    (128, 384),
    (128, 128),
    (128, 512),
    (512, 128),
    (256, 1024),
    (1024, 256),
];

/// Seconds of one call: the fastest of seven timings, each long enough to trust.
fn seconds(mut call: impl FnMut()) -> f64 {
    call();
    let start = Instant::now();
    call();
    let once = start.elapsed().as_secs_f64().max(1e-7);
    let repeats = (0.02 / once).clamp(1.0, 1e6) as usize;
    (0..7)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..repeats {
                call();
            }
            start.elapsed().as_secs_f64() / repeats as f64
        })
        .fold(f64::INFINITY, f64::min)
}

/// Multiply-adds that depend on nothing but registers: what one core can do at most, in GFLOP/s.
fn peak() -> f64 {
    const LANES: usize = 16;
    const STEPS: usize = 20_000;
    let factors = black_box([0.999f32; LANES]);
    let chain = |mut sums: [f32; LANES]| {
        for j in 0..LANES {
            sums[j] = sums[j].mul_add(factors[j], 1e-3);
        }
        sums
    };
    let time = seconds(|| {
        let sums = simd(
            #[inline(always)]
            || {
                // Ten chains hide the latency of two multiply-adds a cycle; named, they stay in registers.
                let [mut a, mut b, mut c, mut d, mut e] = [[1f32; LANES]; 5];
                let [mut f, mut g, mut h, mut i, mut j] = [[2f32; LANES]; 5];
                for _ in 0..STEPS {
                    (a, b, c, d, e) = (chain(a), chain(b), chain(c), chain(d), chain(e));
                    (f, g, h, i, j) = (chain(f), chain(g), chain(h), chain(i), chain(j));
                }
                [a, b, c, d, e, f, g, h, i, j]
            },
        );
        black_box(sums);
    });
    (2 * LANES * 10 * STEPS) as f64 / time * 1e-9
}

fn product(rows: u32, k: u32, n: u32, parallel: bool, packed: bool) -> Result<f64, KernelError> {
    let kernel = MatMul::linear(rows, k, n);
    let fill =
        |count: u32| -> Vec<f32> { (0..count).map(|i| (i % 251) as f32 * 0.01 - 1.25).collect() };
    let (a, b, bias) = (fill(rows * k), fill(n * k), fill(n));
    let mut c = vec![0f32; (rows * n) as usize];
    let panels = if packed { kernel.pack(1, &b) } else { None };
    let any = AnyKernel::from(kernel);
    let mut failure = None;
    let mut call = || {
        let views = vec![
            View::Float(&a),
            View::Float(&b),
            View::Float(&bias),
            View::Absent,
            View::Absent,
            View::FloatMut(&mut c),
        ];
        let mut operands = Operands::new(MatMul::NAME, MatMul::OPERANDS, views, parallel)
            .with_packed(vec![None, panels.as_deref()]);
        failure = any.twin(&mut operands).err().or(failure.take());
    };
    // A caller inside the pool works itself instead of waking two sleepers.
    let time = if parallel {
        rayon::scope(|_| seconds(&mut call))
    } else {
        seconds(&mut call)
    };
    black_box(&c);
    match failure {
        Some(error) => Err(error),
        None => Ok(2.0 * f64::from(rows) * f64::from(k) * f64::from(n) / time * 1e-9),
    }
}

fn main() -> Result<(), KernelError> {
    let peak = peak();
    println!("multiply-add peak of one core: {peak:.1} GFLOP/s");
    println!("GFLOP/s             one thread (share of peak)     all threads   one, B not packed");
    for rows in ROWS {
        for (k, n) in SIZES {
            let one = product(rows, k, n, false, true)?;
            let all = product(rows, k, n, true, true)?;
            let bare = product(rows, k, n, false, false)?;
            let share = 100.0 * one / peak;
            println!(
                "M {rows:5} K {k:5} N {n:5}  {one:7.1} ({share:3.0} %)  {all:7.1}  {bare:7.1}"
            );
        }
    }
    Ok(())
}
