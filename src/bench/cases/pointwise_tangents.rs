//! The pointwise and row tangent kernels, at the shapes of a recursive reasoner: examples of 81 tokens with
//! states 512 wide, eight tangents each.

use super::{Case, Fill, unit};
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
use attractor_kernels::{Activation, KernelId};

/// Tangents of a state.
const TANGENTS: u32 = 8;
/// Rows that an example of the planner's cases stands for.
const ROWS: u32 = 10;
/// Numbers of a token's state.
const STATE: u32 = 512;
/// Outputs of a token's gated layer.
const GATED: u32 = 1536;
/// Features of a flow time.
const FEATURES: u32 = 256;

/// The cases of a tangent kernel.
pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let rows = ROWS * batch;
    let count = rows * STATE;
    let shape = format!("{rows} rows of {STATE}, {TANGENTS} tangents");
    let case = match id {
        KernelId::ActivateTangent => {
            let primal = Activate::of(Activation::SILU, count);
            let kernel = ActivateTangent::new(primal, TANGENTS, count, count);
            Case::new(format!("{shape}, silu"), 1, kernel)
        }
        KernelId::ElementwiseTangent => {
            let primal = Elementwise::contiguous(Operation::DIVIDE, count);
            let kernel = ElementwiseTangent::new(primal, TANGENTS, count, count, count);
            // Divisors away from zero.
            let divisors = (0..count as usize).map(|i| 0.5 + unit(i, 2)).collect();
            Case::new(format!("{shape}, quotients"), 1, kernel).fill(1, Fill::Exactly(divisors))
        }
        KernelId::GatedActivationTangent => {
            let primal = GatedActivation::halves(rows, GATED, Activation::SILU);
            let [x, out] = [2 * rows * GATED, rows * GATED];
            let kernel = GatedActivationTangent::new(primal, TANGENTS, x, out);
            let name = format!("{rows} rows of {GATED}, {TANGENTS} tangents, silu");
            Case::new(name, 1, kernel)
        }
        KernelId::ReduceTangent => {
            let primal = Reduce::middle(Reduction::MAX, rows, STATE, 1);
            let kernel = ReduceTangent::new(primal, TANGENTS, count, rows);
            Case::new(format!("{shape}, largest"), 1, kernel)
        }
        KernelId::SimNormTangent => {
            let primal = SimNorm::contiguous(rows, STATE, 8);
            let kernel = SimNormTangent::new(primal, TANGENTS, count, count);
            Case::new(format!("{shape}, groups of 8"), 8, kernel)
        }
        KernelId::SoftmaxTangent => {
            let kernel =
                SoftmaxTangent::new(Softmax::contiguous(rows, STATE), TANGENTS, count, count);
            Case::new(shape, STATE, kernel)
        }
        KernelId::TimeFeaturesTangent => {
            let primal = TimeFeatures::new(rows, FEATURES);
            let kernel = TimeFeaturesTangent::new(primal, TANGENTS, rows, 0, rows * FEATURES);
            let words = Fill::Words(TimeFeatures::frequencies(FEATURES));
            let name = format!("{rows} rows of {FEATURES}, {TANGENTS} tangents");
            let times = (0..rows as usize)
                .map(|r| 0.05 + 0.9 * unit(r, 1))
                .collect();
            let case = Case::new(name, 1, kernel).weights(&[2]);
            case.fill(0, Fill::Exactly(times)).fill(2, words)
        }
        _ => return Vec::new(),
    };
    vec![case]
}
