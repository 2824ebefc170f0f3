//! Shaders of ODE solvers against their twins and against formulas in double precision.

mod common;

use attractor_kernels::adaptive_step::AdaptiveStep;
use attractor_kernels::runge_kutta::{RungeKutta, TABLEAUS};
use attractor_kernels::time_features::{TimeFeatures, flow_time_features};
use attractor_kernels::{AnyKernel, Kernel, SOFTWARE_ITERATIONS};
use common::variants::{against_single_twin, against_twin, dispatch, launches};
use common::{Array, gpu, values};

/// Floats of an operand, none if the kernel asks for none.
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
fn sums_of_stages_leave_unused_stages_unread() {
    let gpu = gpu();
    for tableau in TABLEAUS {
        let lines = tableau.stages.iter().copied().filter(|row| !row.is_empty());
        for line in lines.chain([tableau.weights]) {
            for (rows, width, flags) in [(1, 1, 1), (3, 7, 0), (5, 65, 2), (67, 13, 3)] {
                let kernel = RungeKutta::combination(rows, width, line, 7);
                let stride = kernel.stage_stride + 3;
                let kernel = RungeKutta {
                    stage_stride: stride,
                    flags,
                    ..kernel
                };
                let extents = kernel.extents();
                let mut k = values(extents[1], 2);
                for (stage, (numerator, _)) in line.iter().enumerate() {
                    if *numerator == 0 {
                        let first = stage * stride as usize;
                        k[first..first + extents[3]].fill(f32::NAN);
                    }
                }
                let operands = [
                    floats(extents[0], 1),
                    Array::Float(k),
                    floats(extents[2], 3),
                    floats(extents[3], 4),
                ];
                against_twin(&gpu, tableau.name, kernel, &operands, 2e-6);
            }
        }
    }
}

/// Times that need all 24 bits, both ends, and tiny ones.
fn times() -> Vec<f32> {
    let inner = values(300, 5).into_iter().map(|v| 0.5 * v + 0.5);
    let rest = [0.0, 1.0, 1e-7, 3e-7, 1e-5, 0.5, 1.0 - 6e-8, 1.0 - 1e-6];
    inner.chain(rest).collect()
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn time_features_are_exact_to_a_millionth() {
    let gpu = gpu();
    let gpu = gpu.gpu().expect("a GPU device");
    let times = times();
    let steps: Vec<f32> = times
        .iter()
        .enumerate()
        .map(|(row, t)| (1.0 - t) / (1 + row % 9) as f32)
        .collect();
    let rows = times.len() as u32;
    for width in [2u32, 4, 64, 250] {
        let plain = TimeFeatures::new(rows, width);
        let nodes = [(0, 1), (1, 5), (8, 9), (1, 1)].map(|node| plain.at_stage(node));
        for kernel in nodes.into_iter().chain([plain]) {
            for kernel in [kernel, kernel.reversed()] {
                let staged = kernel.has(TimeFeatures::STAGE);
                let operands = [
                    Array::Float(times.clone()),
                    match staged {
                        true => Array::Float(steps.clone()),
                        false => Array::Absent,
                    },
                    Array::Word(TimeFeatures::frequencies(width)),
                    Array::Float(vec![9.0; kernel.extents()[3]]),
                ];
                let any = AnyKernel::from(kernel);
                for launch in launches(&any) {
                    let found = dispatch(gpu, &any, &launch, &operands);
                    let rows = found[3].floats().chunks(width as usize);
                    for ((row, t), h) in rows.zip(&times).zip(&steps) {
                        let node = f64::from(kernel.numerator) / f64::from(kernel.denominator);
                        let mut time = f64::from(*t);
                        if staged {
                            time += node * f64::from(*h);
                        }
                        if kernel.has(TimeFeatures::REVERSED) {
                            time = 1.0 - time;
                        }
                        let exact = flow_time_features(time.clamp(0.0, 1.0), width);
                        for (entry, (found, exact)) in row.iter().zip(exact).enumerate() {
                            let error = (f64::from(*found) - exact).abs();
                            assert!(
                                error < 1e-6,
                                "{kernel:?}, t {t}, h {h}, entry {entry}: {error:e}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// One attempt of rows of which some are done or failed, some meet what is not finite, and the others
/// have errors from zero to far beyond the tolerance.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn steps_are_controlled_as_by_the_twin() {
    let gpu = gpu();
    // The last one has the longest loops that software adapters carry through.
    for (rows, width) in [(1, 1), (67, 7), (130, 33), (2, 32_766)] {
        let kernel = AdaptiveStep::dormand_prince(rows, width, 0.02, 0.01);
        assert!(kernel.software_iterations() <= SOFTWARE_ITERATIONS);
        let kernel = AdaptiveStep {
            stage_stride: kernel.stage_stride + 3,
            minimum_step: 0.02,
            ..kernel
        };
        let extents = kernel.extents();
        let (mut candidate, mut k) = (values(extents[1], 2), values(extents[2], 3));
        for stage in 0..7 {
            let first = stage * kernel.stage_stride as usize;
            let stage = &mut k[first..first + extents[0]];
            for (row, velocity) in stage.chunks_mut(width as usize).enumerate() {
                let scale = [1.0, 0.0, 1e-8, 0.3, 3.0, 1e3, 1e38][row % 7];
                velocity.iter_mut().for_each(|v| *v *= scale);
            }
        }
        if rows > 20 {
            candidate[11 * width as usize] = f32::NAN;
            candidate[15 * width as usize] = f32::INFINITY;
            k[3 * width as usize] = f32::NAN;
            k[6 * kernel.stage_stride as usize + 17 * width as usize] = f32::NEG_INFINITY;
        }
        let per_row = |f: fn(f32) -> f32| values(rows as usize, 6).into_iter().map(f).collect();
        let status = (0..rows).flat_map(|r| [r, 2 * r, [0, 0, 0, 1, 2][r as usize % 5], r % 2]);
        let operands = [
            Array::Float(values(extents[0], 1)),
            Array::Float(candidate),
            Array::Float(k),
            Array::Float(per_row(|v| 0.4 + 0.4 * v)),
            Array::Float(per_row(|v| 0.1 + 0.09 * v)),
            Array::Word(status.collect()),
        ];
        let what = format!("{rows} rows of {width}");
        against_single_twin(&gpu, &what, kernel, &operands, 1e-6);
    }
}
