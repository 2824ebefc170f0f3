//! Shaders of the pointwise and row tangents against their twins.

mod common;

use attractor_kernels::activation::Activate;
use attractor_kernels::activation_tangent::ActivateTangent;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::elementwise_tangent::ElementwiseTangent;
use attractor_kernels::gated_activation::GatedActivation;
use attractor_kernels::gated_activation_tangent::GatedActivationTangent;
use attractor_kernels::reduce::{Reduce, Reduction};
use attractor_kernels::reduce_tangent::ReduceTangent;
use attractor_kernels::sim_norm::SimNorm;
use attractor_kernels::sim_norm_tangent::SimNormTangent;
use attractor_kernels::softmax::Softmax;
use attractor_kernels::softmax_tangent::SoftmaxTangent;
use attractor_kernels::time_features::TimeFeatures;
use attractor_kernels::time_features_tangent::TimeFeaturesTangent;
use attractor_kernels::{Activation, AnyKernel, Kernel};
use common::variants::{against_twin, dispatch, launches};
use common::{Array, gpu, values};

const LOW: f32 = f32::NEG_INFINITY;
const TANGENTS: u32 = 3;

/// x, dx and an output of nines for a kernel; x in (-scale, scale).
fn operands(kernel: &impl Kernel, scale: f32) -> [Array; 3] {
    let extents = kernel.extents();
    let x = values(extents[0], 5).iter().map(|v| scale * v).collect();
    [
        Array::Float(x),
        Array::Float(values(extents[1], 6)),
        Array::Float(vec![9.0; extents[2]]),
    ]
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn activations_of_odd_sizes() {
    let gpu = gpu();
    for count in [1, 257, 3001] {
        for (name, activation) in Activation::ALL {
            let primal = Activate {
                x_offset: 3,
                y_offset: 1,
                scale: -1.5,
                ..Activate::of(*activation, count)
            };
            let kernel = ActivateTangent::new(primal, TANGENTS, count + 4, count + 2);
            let mut operands = operands(&kernel, 20.0);
            if let (Array::Float(x), true) = (&mut operands[0], count > 1) {
                x[4..8].copy_from_slice(&[f32::NAN, f32::INFINITY, LOW, 1e38]);
            }
            against_twin(&gpu, &format!("{count}, {name}"), kernel, &operands, 1e-5);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn gated_activations_of_odd_sizes() {
    let gpu = gpu();
    for (rows, width) in [(1, 1), (3, 31), (67, 101), (2, 3001)] {
        for (name, activation) in Activation::ALL {
            let primal = GatedActivation {
                x_offset: 2,
                x_row_stride: 2 * width + 7,
                gate_offset: width + 3,
                out_offset: 1,
                out_row_stride: width + 2,
                ..GatedActivation::halves(rows, width, *activation)
            };
            let [x, out] = [rows * (2 * width + 7) + 5, rows * (width + 2)];
            let kernel = GatedActivationTangent::new(primal, TANGENTS, x, out);
            let mut operands = operands(&kernel, 4.0);
            if let (Array::Float(x), true) = (&mut operands[0], width > 1) {
                x[2] = f32::NAN;
                x[2 + width as usize + 4] = f32::NAN;
            }
            let what = format!("{rows}x{width}, {name}");
            against_twin(&gpu, &what, kernel, &operands, 1e-5);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn softmax_of_odd_sizes_and_infinities() {
    let gpu = gpu();
    for (rows, width, temperature) in [(1, 1, 1.0), (5, 31, 0.5), (67, 33, 2.0), (2, 300, 0.5)] {
        let primal = Softmax {
            x_offset: 1,
            x_row_stride: width + 3,
            y_row_stride: width + 1,
            temperature,
            ..Softmax::contiguous(rows, width)
        };
        let [x, y] = [rows * (width + 3) + 1, rows * (width + 1) + 2];
        let kernel = SoftmaxTangent::new(primal, TANGENTS, x, y);
        let what = format!("{rows}x{width}");
        against_twin(&gpu, &what, kernel, &operands(&kernel, 9.0), 6e-6);
    }
    let rows = [
        [LOW, LOW, LOW],
        [LOW, 4.0, LOW],
        [LOW, f32::NAN, LOW],
        [f32::INFINITY, 0.0, 1.0],
        [3e38, 3e38, -3e38],
        [f32::NAN, 1.0, 2.0],
    ];
    let kernel = SoftmaxTangent::new(Softmax::contiguous(6, 3), TANGENTS, 18, 18);
    let mut given = operands(&kernel, 1.0);
    given[0] = Array::Float(rows.concat());
    against_twin(&gpu, "infinities", kernel, &given, 1e-6);
    let kernel = SimNormTangent::new(SimNorm::contiguous(2, 9, 3), TANGENTS, 18, 18);
    against_twin(&gpu, "infinities", kernel, &given, 1e-6);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn sim_norm_of_odd_sizes() {
    let gpu = gpu();
    for (rows, groups, group) in [(1, 1, 1), (3, 5, 8), (65, 7, 3), (5, 1, 37)] {
        let width = groups * group;
        let primal = SimNorm {
            x_offset: 2,
            x_row_stride: width + 1,
            y_offset: 1,
            ..SimNorm::contiguous(rows, width, group)
        };
        let [x, y] = [rows * (width + 1) + 2, rows * width + 1];
        let kernel = SimNormTangent::new(primal, TANGENTS, x, y);
        let what = format!("{rows}x{width}/{group}");
        against_twin(&gpu, &what, kernel, &operands(&kernel, 9.0), 4e-6);
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn extremes_of_odd_sizes() {
    let gpu = gpu();
    let shapes = [
        (1, 1, 1),
        (3, 33, 1),
        (5, 300, 1),
        (2, 65, 31),
        (70, 64, 3),
        (2, 70_001, 1),
    ];
    for (outer, length, inner) in shapes {
        for operation in [Reduction::MAX, Reduction::MIN] {
            let primal = Reduce {
                x_offset: 2,
                y_offset: 1,
                ..Reduce::middle(operation, outer, length, inner)
            };
            let [x, y] = [outer * length * inner + 3, outer * inner + 2];
            let kernel = ReduceTangent::new(primal, TANGENTS, x, y);
            let what = format!("{outer}x{length}x{inner}");
            let mut operands = operands(&kernel, 3.0);
            if let Array::Float(x) = &mut operands[0] {
                // Few distinct values: ties abound.
                x.iter_mut().for_each(|v| *v = v.round());
            }
            against_twin(&gpu, &what, kernel, &operands, 0.0);
            if let Array::Float(x) = &mut operands[0] {
                let bad = [f32::NAN, f32::INFINITY, LOW];
                let places = x.iter_mut().skip(2).step_by(41);
                places
                    .zip(bad.iter().cycle())
                    .for_each(|(v, bad)| *v = *bad);
            }
            against_twin(&gpu, &what, kernel, &operands, 0.0);
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn arithmetic_under_any_strides() {
    let gpu = gpu();
    let layouts = [
        ([1, 1, 1, 1], [0; 4], [0; 4]),
        ([2, 3, 5, 7], [105, 35, 7, 1], [0, 0, 0, 1]),
        ([2, 3, 5, 7], [0, 7, 0, 1], [15, 5, 1, 0]),
        ([3, 1, 11, 4], [1, 0, 12, 3], [44, 44, 4, 1]),
        ([1, 3, 1, 2000], [0, 1, 0, 0], [0, 2000, 0, 1]),
    ];
    let operations = [
        Operation::ADD,
        Operation::SUBTRACT,
        Operation::MULTIPLY,
        Operation::DIVIDE,
    ];
    for (shape, a, b) in layouts {
        for operation in operations {
            for active in [[true, true], [true, false], [false, true]] {
                let primal = Elementwise {
                    a_offset: 2,
                    b_offset: 1,
                    out_offset: 3,
                    alpha: 1.5,
                    beta: -0.5,
                    ..Elementwise::broadcast(operation, shape, a, b)
                };
                let lengths = primal.extents();
                let stride = |i: usize| match active[i] {
                    true => lengths[i] as u32 + 1,
                    false => 0,
                };
                let apart = lengths[2] as u32;
                let kernel = ElementwiseTangent::new(primal, TANGENTS, stride(0), stride(1), apart);
                let extents = kernel.extents();
                let given = |i: usize| match extents[i] {
                    0 => Array::Absent,
                    count => Array::Float(values(count, i as u64)),
                };
                let divisors = values(extents[1], 1).iter().map(|v| v + 3.0).collect();
                let operands = [
                    given(0),
                    Array::Float(divisors),
                    given(2),
                    given(3),
                    Array::Float(vec![9.0; extents[4]]),
                ];
                let what = format!("{shape:?}, {operation:?}, {active:?}");
                against_twin(&gpu, &what, kernel, &operands, 1e-6);
            }
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn time_features_at_stages() {
    let gpu = gpu();
    let rows = 67u32;
    for width in [2u32, 6, 64] {
        let plain = TimeFeatures::new(rows, width);
        for (primal, staged) in [
            (plain, false),
            (plain.reversed(), false),
            (plain.at_stage((3, 10)), true),
            (plain.at_stage((8, 9)).reversed(), true),
        ] {
            let apart = if staged { rows + 1 } else { 0 };
            let kernel = TimeFeaturesTangent::new(primal, TANGENTS, rows, apart, rows * width + 1);
            let extents = kernel.extents();
            let unit = |count: usize, salt: u64, most: f32| -> Array {
                let values = values(count, salt).into_iter();
                match count {
                    0 => Array::Absent,
                    _ => Array::Float(values.map(|v| most * (0.5 + 0.45 * v)).collect()),
                }
            };
            let mut times = unit(extents[0], 1, 0.7);
            if let Array::Float(times) = &mut times {
                times[..5].copy_from_slice(&[0.0, 1e-3, f32::NAN, f32::INFINITY, 1.9]);
            }
            // A thousandth: slopes of a thousand with phases of 1e-6 are not asked to 1e-6.
            let operands = [
                times,
                unit(extents[1], 2, 0.3),
                Array::Word(TimeFeatures::frequencies(width)),
                unit(extents[3], 3, 1e-3),
                unit(extents[4], 4, 1e-3),
                Array::Float(vec![9.0; extents[5]]),
            ];
            let what = format!("{width} features, {primal:?}");
            against_twin(&gpu, &what, kernel, &operands, 2e-6);
        }
    }
}

/// Every tangent has the bits that it has alone, and every row those that it has alone.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_tangent_does_not_depend_on_the_others_nor_a_row_on_its_batch() {
    let gpu = gpu();
    let gpu = gpu.gpu().expect("a GPU device");
    let (rows, width) = (67u32, 72u32);
    let kernels = |rows: u32, tangents: u32| -> [AnyKernel; 5] {
        let count = rows * width;
        let gate = GatedActivation::halves(rows, width, Activation::SILU);
        let activation = Activate::of(Activation::GELU, count);
        let [softmax, groups] = [
            SoftmaxTangent::new(Softmax::contiguous(rows, width), tangents, count, count).into(),
            SimNormTangent::new(SimNorm::contiguous(rows, width, 8), tangents, count, count).into(),
        ];
        let largest = Reduce::middle(Reduction::MAX, rows, width, 1);
        [
            GatedActivationTangent::new(gate, tangents, 2 * count, count).into(),
            ActivateTangent::new(activation, tangents, count, count).into(),
            softmax,
            groups,
            ReduceTangent::new(largest, tangents, count, rows).into(),
        ]
    };
    for (all, one) in kernels(rows, TANGENTS).into_iter().zip(kernels(1, 1)) {
        let [from, to] = [one.extents()[0], one.extents()[2]];
        let x = values(from * rows as usize, 5);
        let dx = values(TANGENTS as usize * x.len(), 6);
        for (all_launch, one_launch) in launches(&all).iter().zip(launches(&one)) {
            let run = |kernel: &AnyKernel, launch, x: &[f32], dx: &[f32]| {
                let operands = [
                    Array::Float(x.to_vec()),
                    Array::Float(dx.to_vec()),
                    Array::Float(vec![0.0; kernel.extents()[2]]),
                ];
                dispatch(gpu, kernel, launch, &operands)[2]
                    .floats()
                    .to_vec()
            };
            let together = run(&all, all_launch, &x, &dx);
            for j in 0..TANGENTS as usize {
                for row in (0..rows as usize).step_by(11) {
                    let at = j * rows as usize + row;
                    let own = &dx[at * from..][..from];
                    let alone = run(&one, &one_launch, &x[row * from..][..from], own);
                    assert_eq!(alone, together[at * to..][..to], "{one_launch:?}");
                }
            }
        }
    }
}
