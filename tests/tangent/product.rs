//! Cases of the matrix product and its epilogue.

use crate::support::Case;
use attractor::graph::TensorId;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::{Activation, Kernel};

/// Which operands have tangents: a, b, bias, residual, gate.
type Moving = [bool; 5];

const A: Moving = [true, false, false, false, false];
const B: Moving = [false, true, false, false, false];

/// A product whose operands are just large enough, or a few elements larger.
fn product(name: &str, kernel: MatMul, moving: Moving, spare: usize) -> Case {
    let mut case = Case::new(format!("product {name} {moving:?}, {spare} to spare"));
    case.tolerance = 5e-5;
    let extents = kernel.extents();
    let mut operands: Vec<Option<TensorId>> = Vec::new();
    for (extent, moves) in extents.iter().zip(moving) {
        operands.push(match (*extent, moves) {
            (0, _) => None,
            (extent, true) => Some(case.seed(&[extent + spare])),
            (extent, false) => Some(case.given(&[extent + spare])),
        });
    }
    operands.push(Some(case.seed(&[extents[5] + spare])));
    case.push(kernel, &operands);
    case
}

fn linear(m: u32, k: u32, n: u32, flags: u32, activation: Activation) -> MatMul {
    MatMul {
        flags,
        activation,
        gate_column_stride: 1,
        scale: 0.5,
        ..MatMul::linear(m, k, n)
    }
}

pub fn products() -> Vec<Case> {
    let mut all = layouts();
    all.extend(epilogues());
    all.extend(constant_weights());
    all
}

fn layouts() -> Vec<Case> {
    let none = Activation::IDENTITY;
    let mut all = Vec::new();
    let both = [true, true, false, false, false];
    for (m, k, n) in [(1, 1, 1), (7, 13, 5), (65, 17, 66)] {
        for moving in [A, B, both] {
            for spare in [0, 3] {
                let kernel = linear(m, k, n, MatMul::BIAS, none);
                all.push(product(&format!("{m} x {k} x {n}"), kernel, moving, spare));
            }
        }
    }
    for transposes in [(false, false), (true, false), (false, true), (true, true)] {
        for moving in [A, B, both] {
            let kernel = MatMul::batched(3, 5, 7, 11, transposes);
            all.push(product(&format!("batch {transposes:?}"), kernel, moving, 0));
            all.push(product(&format!("batch {transposes:?}"), kernel, moving, 2));
        }
    }
    // One matrix on the left for the whole batch, as when tokens are mixed.
    let mixing = MatMul {
        a_batch_stride: 0,
        ..MatMul::batched(3, 5, 7, 11, (false, false))
    };
    // Rows 2..5 of 6 of every example on both sides.
    let span = MatMul {
        batch: 3,
        a_offset: 14,
        a_batch_stride: 42,
        c_offset: 22,
        c_batch_stride: 66,
        ..MatMul::linear(3, 7, 11)
    };
    let columns = MatMul {
        a_offset: 2,
        a_row_stride: 9,
        c_offset: 1,
        c_row_stride: 13,
        ..MatMul::linear(4, 7, 11)
    };
    for moving in [A, B, both] {
        all.push(product("with one left matrix", mixing, moving, 0));
        all.push(product("of spans", span, moving, 0));
        all.push(product("of spans", MatMul { flags: 0, ..span }, moving, 22));
        all.push(product("of columns", columns, moving, 0));
    }
    all
}

fn epilogues() -> Vec<Case> {
    let mut all = Vec::new();
    let every = MatMul::BIAS | MatMul::RESIDUAL | MatMul::GATE;
    for activation in [Activation::IDENTITY, Activation::GELU, Activation::TANH] {
        for bits in 1..32u32 {
            let moving: Moving = std::array::from_fn(|d| bits >> d & 1 == 1);
            let kernel = linear(5, 3, 7, every, activation);
            let spare = (bits % 3) as usize;
            all.push(product(activation.name(), kernel, moving, spare));
        }
    }
    for (batches, columns) in [(0, 0), (7, 1), (1, 0)] {
        let gated = MatMul {
            gate_batch_stride: batches,
            gate_column_stride: columns,
            flags: every,
            ..MatMul::batched(3, 5, 4, 7, (false, false))
        };
        let name = format!("gated by {batches}, {columns}");
        for moving in [A, [true; 5], [false, false, false, false, true]] {
            all.push(product(&name, gated, moving, 0));
        }
    }
    all
}

/// Constant weights have packed copies on the CPU device.
fn constant_weights() -> Vec<Case> {
    let mut all = Vec::new();
    for activation in [Activation::IDENTITY, Activation::SILU] {
        let mut case = Case::new(format!("layer {}", activation.name()));
        let kernel = linear(13, 17, 31, MatMul::BIAS, activation);
        let x = case.seed(&[13, 17]);
        let (weight, bias) = (case.constant(&[31, 17]), case.constant(&[31]));
        let out = case.out(&[13, 31]);
        let operands = [Some(x), Some(weight), Some(bias), None, None, Some(out)];
        case.push(kernel, &operands);
        all.push(case);
    }
    all
}
