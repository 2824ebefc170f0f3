//! A case of every kernel.

use attractor_kernels::activation::Activate;
use attractor_kernels::activation_tangent::ActivateTangent;
use attractor_kernels::adam::{Adam, AdamSettings};
use attractor_kernels::adaptive_average_pool::AdaptiveAveragePool;
use attractor_kernels::adaptive_step::AdaptiveStep;
use attractor_kernels::argmax::ArgMax;
use attractor_kernels::attention::Attention;
use attractor_kernels::attention_tangent::AttentionTangent;
use attractor_kernels::categorical::{Categorical, TokenMode};
use attractor_kernels::compensated_sum::CompensatedSum;
use attractor_kernels::control_step::{ControlStep, ControlSystem};
use attractor_kernels::control_step_tangent::ControlStepTangent;
use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::copy::{CopyFloats, CopyWords};
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::elementwise_tangent::ElementwiseTangent;
use attractor_kernels::embedding::Embedding;
use attractor_kernels::gated_activation::GatedActivation;
use attractor_kernels::gated_activation_tangent::GatedActivationTangent;
use attractor_kernels::gaussian_policy::GaussianPolicy;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::layer_norm_tangent::LayerNormTangent;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::maze_rollout::MazeRollout;
use attractor_kernels::maze_select::MazeSelect;
use attractor_kernels::mean_squared_error::MeanSquaredError;
use attractor_kernels::mppi_choose::MppiChoose;
use attractor_kernels::mppi_return::MppiReturn;
use attractor_kernels::mppi_sample::MppiSample;
use attractor_kernels::mppi_update::MppiUpdate;
use attractor_kernels::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod};
use attractor_kernels::philox::{Philox, RandomKind};
use attractor_kernels::physics_override::PhysicsOverride;
use attractor_kernels::plan_draw::PlanDraw;
use attractor_kernels::plan_refit::PlanRefit;
use attractor_kernels::plan_select::PlanSelect;
use attractor_kernels::plan_track::{PlanScore, PlanTrack};
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
use attractor_kernels::two_hot::TwoHot;
use attractor_kernels::two_hot_encode::TwoHotEncode;
use attractor_kernels::unmask_top::{RemaskStrategy, UnmaskTop};
use attractor_kernels::{Activation, AnyKernel, Kernel, KernelId};

pub fn convolution() -> Conv2d {
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
pub fn case(id: KernelId) -> AnyKernel {
    match id {
        KernelId::Activate => Activate::of(Activation::MISH, 333).into(),
        KernelId::ActivateTangent => {
            ActivateTangent::new(Activate::of(Activation::MISH, 333), 3, 335, 334).into()
        }
        KernelId::Adam => Adam::new(333, AdamSettings::new(0.01)).at_step(3).into(),
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
        KernelId::ControlStep => ControlStep::contiguous(ControlSystem::REACHER, 67).into(),
        KernelId::ControlStepTangent => {
            let primal = ControlStep::contiguous(ControlSystem::ACROBOT, 67);
            ControlStepTangent::new(primal, 5, [67 * 6 + 1, 67], 67 * 6 + 2).into()
        }
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
        KernelId::GaussianPolicy => GaussianPolicy {
            eps_step_stride: 11,
            action_row_stride: 5,
            flags: 31,
            ..GaussianPolicy::sample(67, 3)
        }
        .at_step(2)
        .into(),
        KernelId::LayerNorm => LayerNorm {
            activation: Activation::MISH,
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
        KernelId::MazeRollout => MazeRollout {
            batch: 5,
            tables: 2,
            states: 37,
            actions: 3,
            candidates: 13,
            horizon: 11,
            step: 1,
            flags: MazeRollout::DRAW | MazeRollout::WEIGHTED,
        }
        .into(),
        KernelId::MazeSelect => MazeSelect::best(5, 67, 11, 3).with_refit(7, 0.1).into(),
        KernelId::MppiChoose => MppiChoose {
            environments: 67,
            candidates: 11,
            elites: 5,
            length: 6,
            width: 2,
            flags: MppiChoose::NOISE,
        }
        .into(),
        // Words of the test are below 7, and so are members.
        KernelId::MppiReturn => MppiReturn {
            rows: 67,
            horizon: 3,
            members: 7,
            step: 0,
            discount: 0.9,
            flags: MppiReturn::TERMINATION,
        }
        .at_step(2)
        .into(),
        KernelId::MppiSample => MppiSample {
            environments: 3,
            candidates: 67,
            policies: 5,
            length: 7,
        }
        .into(),
        KernelId::MppiUpdate => MppiUpdate {
            environments: 3,
            candidates: 259,
            elites: 33,
            length: 7,
            temperature: 0.5,
            least: 0.05,
            most: 2.0,
        }
        .into(),
        KernelId::MeanSquaredError => MeanSquaredError {
            flags: 7,
            ..MeanSquaredError::losses(5, 333)
        }
        .into(),
        KernelId::OdeEnsemble => {
            OdeEnsemble::fixed(OdeField::LORENZ63, OdeMethod::RK4, 67, 0.01, 9)
                .with_clock(0.1, 0.3)
                .into()
        }
        KernelId::Philox => Philox::new(RandomKind::UNIFORM, 67, 13, 5, 3).into(),
        KernelId::PhysicsOverride => PhysicsOverride::minihack(67, 13).into(),
        KernelId::PlanDraw => PlanDraw::uniform([3, 7, 5], 4, 9)
            .by_elites(5, 0.1)
            .at_step(2)
            .into(),
        KernelId::PlanRefit => PlanRefit {
            environments: 3,
            candidates: 67,
            horizon: 5,
            actions: 7,
            elites: 9,
        }
        .into(),
        KernelId::PlanSelect => PlanSelect::new(3, 67, 5).at_step(1).into(),
        KernelId::PlanTrack => PlanTrack {
            step: 3,
            flags: PlanTrack::LENGTHS,
            ..PlanTrack::new(201, 67, 5, (PlanScore::MANHATTAN, 0b10110))
        }
        .into(),
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
        KernelId::RmsNorm => RmsNorm {
            activation: Activation::SILU,
            ..RmsNorm::contiguous(3, 5, 37, 1e-5, 7)
        }
        .into(),
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
        KernelId::TwoHot => TwoHot {
            weight: 0.7,
            flags: TwoHot::BASE | TwoHot::ALIVE,
            ..TwoHot::decode(67, 37, -3.0, 2.0).of_members(3)
        }
        .into(),
        KernelId::TwoHotEncode => TwoHotEncode::new(67, 5, -0.5, 0.5).into(),
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
