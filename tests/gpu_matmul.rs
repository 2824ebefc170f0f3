//! The matrix product's shader against its twin.

mod common;

use attractor::device::Device;
use attractor_kernels::Activation;
use attractor_kernels::matmul::MatMul;
use common::variants::against_twin;
use common::{Array, assert_close, gpu, run, values};

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn linear_layers_of_odd_sizes() {
    let gpu = gpu();
    for (index, (m, k, n)) in [
        (1, 1, 1),
        (1, 7, 33),
        (65, 17, 31),
        (64, 64, 64),
        (97, 129, 65),
        (7, 300, 12),
    ]
    .into_iter()
    .enumerate()
    {
        for &(name, activation) in Activation::ALL {
            let mut kernel = MatMul::linear(m, k, n);
            kernel.activation = activation;
            kernel.flags |= MatMul::RESIDUAL | MatMul::GATE;
            kernel.gate_column_stride = 1;
            kernel.scale = 0.75;
            let (m, k, n) = (m as usize, k as usize, n as usize);
            let salt = index as u64 * 10;
            let operands = [
                Array::Float(values(m * k, salt)),
                Array::Float(values(n * k, salt + 1)),
                Array::Float(values(n, salt + 2)),
                Array::Float(values(m * n, salt + 3)),
                Array::Float(values(n, salt + 4)),
                Array::Float(vec![9.0; m * n]),
            ];
            let exact = run(&Device::cpu_f64(), kernel, &operands);
            let tolerance = 4e-7 * (k as f32).sqrt() * 4.0 + 1e-6;
            against_twin(
                &gpu,
                &format!("{m}x{k}x{n} {name}"),
                kernel,
                &operands,
                tolerance,
            );
            for device in [&Device::cpu(), &gpu] {
                let found = run(device, kernel, &operands);
                let what = format!("{m}x{k}x{n} {name} on {}", device.info().name);
                assert_close(&what, found[5].floats(), exact[5].floats(), tolerance);
            }
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn batched_products_with_transposes() {
    let gpu = gpu();
    for (batch, m, k, n) in [(1, 3, 5, 2), (3, 13, 7, 37), (5, 66, 19, 33)] {
        for transposes in [(false, false), (true, false), (false, true), (true, true)] {
            let kernel = MatMul::batched(batch, m, k, n, transposes);
            let count = |a: u32, b: u32| (batch * a * b) as usize;
            let operands = [
                Array::Float(values(count(m, k), 1)),
                Array::Float(values(count(k, n), 2)),
                Array::Absent,
                Array::Absent,
                Array::Absent,
                Array::Float(vec![0.0; count(m, n)]),
            ];
            let exact = run(&Device::cpu_f64(), kernel, &operands);
            let what = format!("{batch}x{m}x{k}x{n} {transposes:?}");
            against_twin(&gpu, &what, kernel, &operands, 1e-5);
            for device in [&Device::cpu(), &gpu] {
                let found = run(device, kernel, &operands);
                let what = format!(
                    "{batch}x{m}x{k}x{n} {transposes:?} on {}",
                    device.info().name
                );
                assert_close(&what, found[5].floats(), exact[5].floats(), 1e-5);
            }
        }
    }
}
