//! Every entry point of every registered kernel against the twin: no variant that only some devices
//! choose goes untested. A new kernel does not compile here until it has a case.

mod common;

use attractor::device::Device;
use attractor_kernels::activation::Activate;
use attractor_kernels::activation_tangent::ActivateTangent;
use attractor_kernels::adaptive_average_pool::AdaptiveAveragePool;
use attractor_kernels::adaptive_step::AdaptiveStep;
use attractor_kernels::argmax::ArgMax;
use attractor_kernels::attention::Attention;
use attractor_kernels::attention_tangent::AttentionTangent;
use attractor_kernels::categorical::{Categorical, TokenMode};
use attractor_kernels::compensated_sum::CompensatedSum;
use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::copy::{CopyFloats, CopyWords};
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::elementwise_tangent::ElementwiseTangent;
use attractor_kernels::embedding::Embedding;
use attractor_kernels::gated_activation::GatedActivation;
use attractor_kernels::gated_activation_tangent::GatedActivationTangent;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::layer_norm_tangent::LayerNormTangent;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod};
use attractor_kernels::philox::{Philox, RandomKind};
use attractor_kernels::physics_override::PhysicsOverride;
use attractor_kernels::qr::Qr;
use attractor_kernels::reduce::{Reduce, Reduction};
use attractor_kernels::reduce_tangent::ReduceTangent;
use attractor_kernels::remask_bernoulli::RemaskBernoulli;
use attractor_kernels::rms_norm::RmsNorm;
use attractor_kernels::rms_norm_tangent::RmsNormTangent;
use attractor_kernels::roofline_copy::RooflineCopy;
use attractor_kernels::roofline_fma::RooflineFma;
use attractor_kernels::rotary::{Rotary, RotaryPairs};
use attractor_kernels::runge_kutta::{DORMAND_PRINCE, RungeKutta};
use attractor_kernels::sim_norm::SimNorm;
use attractor_kernels::sim_norm_tangent::SimNormTangent;
use attractor_kernels::softmax::Softmax;
use attractor_kernels::softmax_tangent::SoftmaxTangent;
use attractor_kernels::tangent_ensemble::{DynamicalSystem, TangentEnsemble};
use attractor_kernels::time_features::TimeFeatures;
use attractor_kernels::time_features_tangent::TimeFeaturesTangent;
use attractor_kernels::unmask_top::{RemaskStrategy, UnmaskTop};
use attractor_kernels::{
    Access, Activation, AnyKernel, Capabilities, Element, Kernel, KernelId, SOFTWARE_ITERATIONS,
};
use common::variants::{against_single_twin, dispatch, launches};
use common::{Array, assert_close, gpu, run, values};
use std::collections::BTreeSet;

fn convolution() -> Conv2d {
    Conv2d {
        batch: 3,
        height: 7,
        width: 5,
        in_channels: 3,
        out_channels: 67,
        kernel_h: 3,
        kernel_w: 2,
        stride_h: 1,
        stride_w: 2,
        padding_h: 1,
        padding_w: 1,
        activation: Activation::SILU,
        flags: Conv2d::BIAS,
    }
}

/// A kernel of a small odd size, with what it leaves out by default left in.
fn case(id: KernelId) -> AnyKernel {
    match id {
        KernelId::Activate => Activate::of(Activation::MISH, 333).into(),
        KernelId::ActivateTangent => {
            ActivateTangent::new(Activate::of(Activation::MISH, 333), 3, 335, 334).into()
        }
        KernelId::AdaptiveAveragePool => AdaptiveAveragePool {
            batch: 2,
            height: 9,
            width: 7,
            channels: 5,
            out_height: 4,
            out_width: 3,
        }
        .into(),
        KernelId::AdaptiveStep => AdaptiveStep::dormand_prince(67, 5, 0.01, 0.01).into(),
        KernelId::ArgMax => ArgMax::middle(5, 333, 3).into(),
        KernelId::Attention => Attention {
            flags: Attention::MASK,
            ..Attention::contiguous(2, 19, 35, 3, 70)
        }
        .into(),
        KernelId::AttentionTangent => {
            let primal = Attention {
                flags: Attention::MASK,
                ..Attention::contiguous(2, 19, 35, 3, 70)
            };
            let (queries, keys) = (2 * 19 * 210, 2 * 35 * 210);
            let inputs = [Some(queries), Some(keys), Some(keys + 3)];
            AttentionTangent::new(primal, 5, inputs, queries + 1).into()
        }
        KernelId::Categorical => Categorical {
            top_k: 7,
            flags: Categorical::PROBABILITIES,
            ..Categorical::sample(67, 13, 0.7, TokenMode::SAMPLE_FILTERED_CONFIDENCE)
        }
        .into(),
        KernelId::CompensatedSum => CompensatedSum {
            x_step_stride: 70,
            ..CompensatedSum::new(67)
        }
        .at_step(2)
        .into(),
        KernelId::Conv2d => convolution().into(),
        KernelId::CopyFloats => CopyFloats::contiguous(333).into(),
        KernelId::CopyWords => CopyWords::contiguous(333).into(),
        KernelId::Elementwise => Elementwise::contiguous(Operation::MULTIPLY, 333).into(),
        KernelId::ElementwiseTangent => {
            let primal = Elementwise::contiguous(Operation::MULTIPLY, 333);
            ElementwiseTangent::new(primal, 3, 335, 334, 333).into()
        }
        KernelId::Embedding => Embedding {
            time_rows: 7,
            time_step_stride: 3,
            time_batch_stride: 1,
            flags: Embedding::TIME | Embedding::POSITION,
            ..Embedding::lookup(3, 5, 11, 7)
        }
        .into(),
        KernelId::GatedActivation => GatedActivation::halves(67, 37, Activation::GELU).into(),
        KernelId::GatedActivationTangent => {
            let primal = GatedActivation::halves(67, 37, Activation::GELU);
            GatedActivationTangent::new(primal, 3, 67 * 74 + 1, 67 * 37 + 2).into()
        }
        KernelId::LayerNorm => LayerNorm {
            scale_row_stride: 37,
            shift_step_stride: 11,
            ..LayerNorm::contiguous(3, 5, 37, 1e-5, 7)
        }
        .at_step(2)
        .into(),
        KernelId::LayerNormTangent => {
            let primal = LayerNorm {
                scale_row_stride: 37,
                shift_step_stride: 11,
                ..LayerNorm::contiguous(3, 5, 37, 1e-5, 7)
            };
            let kernel = LayerNormTangent::new(primal, 3, 555, [Some(300), Some(111)], 560);
            kernel.at_step(2).into()
        }
        KernelId::MatMul => MatMul {
            activation: Activation::SILU,
            ..MatMul::linear(67, 35, 69)
        }
        .into(),
        KernelId::OdeEnsemble => {
            OdeEnsemble::fixed(OdeField::LORENZ63, OdeMethod::RK4, 67, 0.01, 9)
                .with_clock(0.1, 0.3)
                .into()
        }
        KernelId::Philox => Philox::new(RandomKind::UNIFORM, 67, 13, 5, 3).into(),
        KernelId::PhysicsOverride => PhysicsOverride::minihack(67, 13).into(),
        KernelId::Qr => Qr::contiguous(67, 5, 3).into(),
        KernelId::Reduce => Reduce::middle(Reduction::SUM, 5, 333, 3).into(),
        KernelId::ReduceTangent => {
            let primal = Reduce::middle(Reduction::MAX, 5, 333, 3);
            ReduceTangent::new(primal, 3, 5 * 333 * 3 + 1, 17).into()
        }
        KernelId::RemaskBernoulli => RemaskBernoulli {
            flags: RemaskBernoulli::LOCKED | RemaskBernoulli::TRACE,
            ..RemaskBernoulli::new(5, 67, 3, 1, RemaskStrategy::CONFIDENCE)
        }
        .into(),
        KernelId::RmsNorm => RmsNorm::contiguous(3, 5, 37, 1e-5, 7).into(),
        KernelId::RmsNormTangent => {
            let primal = RmsNorm::contiguous(3, 5, 37, 1e-5, 7);
            RmsNormTangent::new(primal, 3, 555, [Some(111), None], 555).into()
        }
        KernelId::RooflineCopy => RooflineCopy { count: 332 }.into(),
        KernelId::RooflineFma => RooflineFma::new(67, 13).into(),
        KernelId::Rotary => Rotary::fused(3, 5, 3, 14, RotaryPairs::INTERLEAVED).into(),
        KernelId::RungeKutta => RungeKutta::combination(67, 5, DORMAND_PRINCE.weights, 3)
            .per_row()
            .into(),
        KernelId::SimNorm => SimNorm::contiguous(67, 21, 7).into(),
        KernelId::SimNormTangent => {
            SimNormTangent::new(SimNorm::contiguous(67, 21, 7), 3, 67 * 21, 67 * 21 + 1).into()
        }
        KernelId::Softmax => Softmax::contiguous(67, 37).into(),
        KernelId::TangentEnsemble => TangentEnsemble {
            transient: 2,
            reorthonormalise_every: 2,
            record_every: 2,
            state_every: 4,
            ..TangentEnsemble::of_flow(DynamicalSystem::LORENZ63, OdeMethod::RK4, (67, 2), 0.01, 10)
                .with_clock(0.1, 0.3)
        }
        .into(),
        KernelId::SoftmaxTangent => {
            SoftmaxTangent::new(Softmax::contiguous(67, 37), 3, 67 * 37, 67 * 37 + 1).into()
        }
        KernelId::TimeFeatures => TimeFeatures::new(67, 10).at_stage((8, 9)).into(),
        KernelId::TimeFeaturesTangent => {
            let primal = TimeFeatures::new(67, 10).at_stage((8, 9));
            TimeFeaturesTangent::new(primal, 3, 68, 67, 671).into()
        }
        KernelId::UnmaskTop => {
            let kernel = UnmaskTop::greedy(5, 67, 3, 1).with_remasking(RemaskStrategy::CONFIDENCE);
            let extra = UnmaskTop::LOCKED | UnmaskTop::DECISION | UnmaskTop::REMASK_PROBABILITY;
            UnmaskTop {
                flags: kernel.flags | extra,
                ..kernel
            }
            .into()
        }
    }
}

/// Kernels that between them choose every entry point.
fn variants(id: KernelId) -> Vec<AnyKernel> {
    if id == KernelId::Qr {
        // One invocation, one workgroup with and without its memory; elements as strides have them.
        let tangents = Qr {
            flags: 7,
            offset: 3,
            ..Qr::tangents(5, 67, 9)
        };
        let sizes = [
            (67, 5, 3),
            (3, 8, 8),
            (3, 1, 1),
            (5, 33, 7),
            (2, 64, 64),
            (3, 4099, 3),
        ];
        let sizes = sizes.map(|(batch, rows, columns)| Qr::contiguous(batch, rows, columns));
        return sizes
            .iter()
            .chain([&tangents])
            .map(|qr| (*qr).into())
            .collect();
    }
    let one = match case(id) {
        AnyKernel::OdeEnsemble(one) => one,
        AnyKernel::TangentEnsemble(one) => return systems(one),
        other => return vec![other],
    };
    // An entry point for each field, and another for its many stages.
    let methods = OdeMethod::ALL.iter().map(|(_, method)| *method);
    let fields = OdeField::ALL.iter().copied();
    fields
        .flat_map(|field| methods.clone().map(move |method| (field, method)))
        .map(|(field, method)| match method.is_adaptive() {
            // Tolerances so wide that every step grows by the largest factor: other precisions would
            // choose other steps otherwise.
            true => OdeEnsemble {
                relative_tolerance: 100.0,
                absolute_tolerance: 100.0,
                ..OdeEnsemble::adaptive(field, 67, 0.1, 0.01, 40).with_clock(0.1, 0.3)
            },
            false => OdeEnsemble {
                field,
                method,
                record_every: 4,
                flags: OdeEnsemble::EACH,
                ..one
            },
        })
        .map(AnyKernel::from)
        .collect()
}

/// Every textbook system by every method that it has, by both layouts.
fn systems(one: TangentEnsemble) -> Vec<AnyKernel> {
    let methods = [
        OdeMethod::EULER,
        OdeMethod::MIDPOINT,
        OdeMethod::HEUN,
        OdeMethod::RK4,
    ];
    let all = DynamicalSystem::ALL.iter().copied();
    let all = all.flat_map(|system| methods.map(|method| (system, method)));
    all.filter(|(system, method)| system.is_flow() || *method == OdeMethod::EULER)
        .map(|(system, method)| {
            // Chaos parts the precisions soon, and from most of these starts Henon's map runs off.
            let one = match !system.is_flow() {
                true => TangentEnsemble {
                    steps: 4,
                    total_steps: 4,
                    transient: 0,
                    ..one
                },
                false => one,
            };
            let kernel = TangentEnsemble {
                system,
                method,
                tangents: system.dimension(),
                component_stride: one.trajectories,
                tangent_stride: system.dimension() * one.trajectories,
                ..one
            };
            match method == OdeMethod::HEUN || system == DynamicalSystem::CAT {
                true => kernel.by_example(),
                false => TangentEnsemble {
                    flags: TangentEnsemble::EACH,
                    ..kernel
                },
            }
        })
        .map(AnyKernel::from)
        .collect()
}

/// Tangents that lean a little from the axes, far from linear dependence.
fn leaning(kernel: &AnyKernel, mut values: Vec<f32>) -> Vec<f32> {
    values.iter_mut().for_each(|value| *value *= 0.2);
    if let AnyKernel::TangentEnsemble(kernel) = kernel {
        for (i, j) in
            (0..kernel.trajectories).flat_map(|i| (0..kernel.tangents).map(move |j| (i, j)))
        {
            let axis = j * kernel.component_stride + i * kernel.example_stride;
            values[(axis + j * kernel.tangent_stride) as usize] += 1.0;
        }
    }
    values
}

/// Operands as long as the kernel asks for: floats in `[0, 1)`, words below 7, nines where it only writes.
fn operands(kernel: &AnyKernel) -> Vec<Array> {
    let table = kernel.id().operands().iter();
    let is_ensemble = [KernelId::OdeEnsemble, KernelId::TangentEnsemble].contains(&kernel.id());
    let given = table.zip(kernel.extents()).enumerate();
    let mut given: Vec<Array> = given
        .map(|(salt, (operand, count))| {
            let unit = values(count, salt as u64).into_iter();
            let unit = unit.map(|v| 0.5 * v + 0.5);
            match (operand.element, operand.access) {
                _ if count == 0 => Array::Absent,
                // So far from zero that no system loses a direction.
                (Element::Float, _) if operand.name == "parameters" && is_ensemble => {
                    Array::Float(unit.map(|v| 0.5 + 0.5 * v).collect())
                }
                (Element::Float, _) if operand.name == "tangent" && is_ensemble => {
                    Array::Float(leaning(kernel, unit.collect()))
                }
                // Where a run under step control must begin.
                (Element::Float, _) if operand.name == "control" => Array::Float(vec![0.0; count]),
                (Element::Word, _) if is_ensemble => Array::Word(vec![0; count]),
                (Element::Float, Access::Write) => Array::Float(vec![9.0; count]),
                (Element::Word, Access::Write) => Array::Word(vec![9; count]),
                (Element::Float, _) => Array::Float(unit.collect()),
                (Element::Word, _) => Array::Word(unit.map(|v| (v * 7.0) as u32).collect()),
            }
        })
        .collect();
    if let (AnyKernel::TangentEnsemble(one), Some(Array::Float(x))) = (kernel, given.first_mut())
        && one.system == DynamicalSystem::LOGISTIC
    {
        // Zero stays where it is, which is told as a cycle: at once, or at the next QR.
        x.iter_mut().for_each(|x| *x = 0.1 + 0.8 * *x);
    }
    if let (AnyKernel::Qr(qr), Some(Array::Float(w))) = (kernel, given.first_mut()) {
        // So heavy on the diagonal that rounding turns no column by much more than itself.
        for b in 0..qr.batch {
            for i in 0..qr.columns {
                let at = qr.offset + b * qr.batch_stride + i * (qr.row_stride + qr.column_stride);
                w[at as usize] += 40.0;
            }
        }
    }
    given
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn every_entry_point_of_every_kernel_agrees_with_its_twin() {
    let gpu = gpu();
    for &id in KernelId::ALL {
        let kernels = variants(id);
        let chosen = kernels.iter().flat_map(launches).map(|l| l.entry_point);
        let chosen: BTreeSet<_> = chosen.collect();
        let all: BTreeSet<_> = id.entry_points().iter().copied().collect();
        assert_eq!(chosen, all, "{}: variants that its case meets", id.name());
        for kernel in kernels {
            against_single_twin(&gpu, "odd sizes", kernel, &operands(&kernel), 2e-5);
        }
    }
}

/// The contract of the products: one chain of multiply-adds with k ascending, whatever the tile. So both
/// variants give the same bits, and a row the same ones in any batch.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn variants_of_the_products_agree_bit_for_bit() {
    let gpu = gpu();
    let gpu = gpu.gpu().expect("a GPU device");
    let alone = Conv2d {
        batch: 1,
        ..convolution()
    };
    let (many, one) = (AnyKernel::from(convolution()), AnyKernel::from(alone));
    let data = operands(&many);
    let mut first = data.clone();
    for (array, count) in first.iter_mut().zip(one.extents()) {
        *array = match &*array {
            Array::Float(values) => Array::Float(values[..count].to_vec()),
            other => other.clone(),
        };
    }
    let product = case(KernelId::MatMul);
    let mut products = Vec::new();
    let mut images = Vec::new();
    for launch in launches(&product) {
        products.push(dispatch(gpu, &product, &launch, &operands(&product)).pop());
    }
    for launch in launches(&many) {
        images.push(dispatch(gpu, &many, &launch, &data).pop());
    }
    assert_eq!(products[0], products[1]);
    assert_eq!(images[0], images[1]);
    for launch in launches(&one) {
        let found = dispatch(gpu, &one, &launch, &first);
        let all = images[0].as_ref().expect("an output").floats();
        let own = found[3].floats();
        assert_eq!(own, &all[..own.len()], "{}", launch.entry_point);
    }
}

/// Kernels with a loop as long as their size, at a size.
fn long_loops() -> Vec<fn(u32) -> AnyKernel> {
    vec![
        |k| MatMul::linear(3, k, 2).into(),
        |keys| Attention::contiguous(1, 2, keys, 1, 70).into(),
        |keys| {
            let primal = Attention::contiguous(1, 2, keys, 1, 70);
            let stride = keys.saturating_mul(70);
            let inputs = [Some(140), Some(stride), Some(stride)];
            AttentionTangent::new(primal, 2, inputs, 140).into()
        },
        |channels| {
            Conv2d {
                batch: 1,
                in_channels: channels,
                out_channels: 3,
                ..convolution()
            }
            .into()
        },
        |width| LayerNorm::contiguous(1, 2, width, 1e-5, 0).into(),
        |width| RmsNorm::contiguous(1, 2, width, 1e-5, 0).into(),
        |width| {
            let primal = LayerNorm::contiguous(1, 2, width, 1e-5, 0);
            let stride = width.saturating_mul(2);
            LayerNormTangent::new(primal, 2, stride, [None; 2], stride).into()
        },
        |width| {
            let primal = RmsNorm::contiguous(1, 2, width, 1e-5, 0);
            let stride = width.saturating_mul(2);
            RmsNormTangent::new(primal, 2, stride, [None; 2], stride).into()
        },
        |steps| OdeEnsemble::fixed(OdeField::OSCILLATOR, OdeMethod::RK4, 2, 1e-5, steps).into(),
        |steps| {
            // Chaos would part the precisions.
            let system = DynamicalSystem::OSCILLATOR;
            TangentEnsemble::of_flow(system, OdeMethod::EULER, (2, 2), 1e-5, steps).into()
        },
        |width| Softmax::contiguous(2, width).into(),
        |width| SoftmaxTangent::new(Softmax::contiguous(2, width), 3, 2 * width, 2 * width).into(),
        |group| SimNorm::contiguous(2, group, group).into(),
        |rows| Qr::contiguous(1, rows.max(64), 64).into(),
        |rows| Qr::contiguous(1, rows.max(8), 8).into(),
        |group| {
            SimNormTangent::new(
                SimNorm::contiguous(2, group, group),
                3,
                2 * group,
                2 * group,
            )
            .into()
        },
        |length| Reduce::middle(Reduction::MEAN, 2, length, 1).into(),
        |length| {
            let primal = Reduce::middle(Reduction::MIN, 2, length, 1);
            ReduceTangent::new(primal, 3, 2 * length, 2).into()
        },
        |height| {
            AdaptiveAveragePool {
                batch: 1,
                height,
                width: 7,
                channels: 3,
                out_height: 2,
                out_width: 1,
            }
            .into()
        },
    ]
}

/// What the kernels say of their loops is no less than what software adapters count, which give wrong
/// results without a word beyond their limit.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn the_longest_loops_that_software_adapters_are_given_end() {
    let device = gpu();
    let software = Capabilities {
        software: true,
        ..Capabilities::default()
    };
    for at in long_loops() {
        let (mut fits, mut too_long) = (1, 1 << 18);
        while too_long - fits > 1 {
            let middle = (fits + too_long) / 2;
            if at(middle).software_iterations() > SOFTWARE_ITERATIONS {
                too_long = middle;
            } else {
                fits = middle;
            }
        }
        let kernel = at(fits);
        let operands = operands(&kernel);
        let exact = run(&Device::cpu_f64(), kernel, &operands);
        let gpu = device.gpu().expect("a GPU device");
        let found = dispatch(gpu, &kernel, &kernel.launch(&software), &operands);
        let written = kernel.id().operands().iter().position(|operand| {
            operand.access != Access::Read && operand.element == Element::Float && !operand.optional
        });
        let written = written.expect("a float that is written");
        let (found, exact) = (&found[written], &exact[written]);
        let largest = exact.floats().iter().fold(0f32, |m, v| m.max(v.abs()));
        let scaled = |array: &Array| -> Vec<f32> {
            let values = array.floats().iter();
            values.map(|v| v / largest).collect()
        };
        assert_close(&format!("{kernel:?}"), &scaled(found), &scaled(exact), 4e-4);
    }
}
