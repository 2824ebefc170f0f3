//! Kernels whose loops grow with their size.

use crate::cases::convolution;
use attractor_kernels::AnyKernel;
use attractor_kernels::adaptive_average_pool::AdaptiveAveragePool;
use attractor_kernels::attention::Attention;
use attractor_kernels::attention_tangent::AttentionTangent;
use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::gaussian_policy::GaussianPolicy;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::layer_norm_tangent::LayerNormTangent;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::mppi_choose::MppiChoose;
use attractor_kernels::mppi_return::MppiReturn;
use attractor_kernels::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod};
use attractor_kernels::qr::Qr;
use attractor_kernels::reduce::{Reduce, Reduction};
use attractor_kernels::reduce_tangent::ReduceTangent;
use attractor_kernels::rms_norm::RmsNorm;
use attractor_kernels::rms_norm_tangent::RmsNormTangent;
use attractor_kernels::sim_norm::SimNorm;
use attractor_kernels::sim_norm_tangent::SimNormTangent;
use attractor_kernels::softmax::Softmax;
use attractor_kernels::softmax_tangent::SoftmaxTangent;
use attractor_kernels::tangent_ensemble::{DynamicalSystem, TangentEnsemble};
use attractor_kernels::two_hot::TwoHot;

/// Kernels with a loop as long as their size, at a size.
pub fn long_loops() -> Vec<fn(u32) -> AnyKernel> {
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
        |bins| TwoHot::decode(2, bins, -10.0, 10.0).into(),
        |actions| GaussianPolicy::sample(2, actions).into(),
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
        |horizon| {
            MppiReturn {
                rows: 2,
                horizon,
                members: 7,
                step: 0,
                discount: 0.9999,
                flags: 0,
            }
            .into()
        },
        |elites| {
            MppiChoose {
                environments: 2,
                candidates: 7,
                elites,
                length: 1,
                width: 1,
                flags: 0,
            }
            .into()
        },
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
