//! Share of the multiply-add peak that ensembles of trajectories reach on the CPU.

use attractor_kernels::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod};
use attractor_kernels::roofline_fma::RooflineFma;
use attractor_kernels::{AnyKernel, Operands, View};
use std::time::Instant;

/// Shortest of several runs, in seconds.
fn fastest(kernel: AnyKernel, runs: usize) -> f64 {
    let extents = kernel.extents();
    let state: Vec<f32> = (0..extents[0])
        .map(|i| (i % 97) as f32 * 0.01 + 0.5)
        .collect();
    let parameters: Vec<f32> =
        [10.0, 28.0, 8.0 / 3.0][..extents.get(1).copied().unwrap_or(0)].into();
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let mut state = state.clone();
        let mut views = vec![View::FloatMut(&mut state)];
        let table = kernel.id().operands();
        if table.len() > 1 {
            views.push(View::Float(&parameters));
            views.resize_with(table.len(), || View::Absent);
        }
        let mut operands = Operands::new(kernel.id().name(), table, views, true);
        let start = Instant::now();
        if let Err(error) = kernel.twin(&mut operands) {
            eprintln!("{error}");
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn main() {
    let peak = AnyKernel::from(RooflineFma::new(32 << 10, 1024));
    let gflops =
        |kernel: AnyKernel, runs| kernel.cost().flops as f64 * 1e-9 / fastest(kernel, runs);
    let ceiling = gflops(peak, 40);
    println!("multiply-adds {ceiling:.1} GFLOP/s");
    let methods = [
        OdeMethod::EULER,
        OdeMethod::HEUN,
        OdeMethod::RK4,
        OdeMethod::DORMAND_PRINCE5,
    ];
    for field in [
        OdeField::LORENZ63,
        OdeField::ROSSLER,
        OdeField::HENON_HEILES,
        OdeField::DOUBLE_GYRE,
        OdeField::LORENZ96,
    ] {
        for method in methods {
            let kernel = OdeEnsemble::fixed(field, method, 100_000, 1e-3, 1000);
            let rate = gflops(kernel.into(), 5);
            println!(
                "{:<14} {:<16} {rate:8.1} GFLOP/s {:.3} of the peak",
                field.name(),
                method.name(),
                rate / ceiling
            );
        }
    }
    let million = OdeEnsemble::fixed(OdeField::LORENZ63, OdeMethod::RK4, 1_000_000, 1e-3, 1000);
    let rate = gflops(million.into(), 3);
    println!(
        "a million of lorenz63, rk4: {:.3} of the peak",
        rate / ceiling
    );
}
