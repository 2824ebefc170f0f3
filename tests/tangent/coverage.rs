//! Every kernel has cases of its own, on every device.

use crate::support::{Case, check, refuse};
use crate::{adjoint, linear, mppi, nonlinear, plans, product, words};
use attractor::device::Device;
use attractor_kernels::KernelId;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is expected of a kernel in a graph with tangents.
pub enum Kind {
    /// Tangents that agree with differences.
    Cases(Vec<Case>),
    /// A refusal that names these.
    Refused(Vec<(Case, Vec<&'static str>)>),
    /// Both, in this order.
    Both(Vec<Case>, Vec<(Case, Vec<&'static str>)>),
}

fn kind(id: KernelId) -> Kind {
    use Kind::{Both, Cases, Refused};
    match id {
        KernelId::Activate => Cases(nonlinear::activations()),
        KernelId::Adam => Refused(vec![adjoint::step_of_adam()]),
        KernelId::AdaptiveAveragePool => Cases(linear::pools()),
        KernelId::AdaptiveStep => Refused(vec![words::adaptive_step()]),
        KernelId::ArgMax => Cases(words::arg_max()),
        KernelId::Attention => Both(nonlinear::attentions(), vec![nonlinear::moving_mask()]),
        KernelId::Categorical => Both(words::categorical(), vec![words::kept_confidence()]),
        KernelId::CompensatedSum => Both(words::sums(), vec![words::sums_with_gaps()]),
        KernelId::Conv2d => Both(linear::convolutions(), vec![linear::moving_filters()]),
        KernelId::ControlStep => Cases(nonlinear::control_steps()),
        KernelId::CopyFloats => Cases(linear::copies()),
        KernelId::CopyWords => Cases(words::copy_words()),
        KernelId::Elementwise => Cases(nonlinear::elementwise()),
        KernelId::Embedding => Cases(words::embeddings()),
        KernelId::GatedActivation => Cases(nonlinear::gated_activations()),
        KernelId::GaussianPolicy => Refused(vec![words::gaussian_policy()]),
        KernelId::LayerNorm => Both(
            nonlinear::layer_norms(),
            vec![nonlinear::moving_weight(), nonlinear::activated_norm()],
        ),
        KernelId::MatMul => Cases(product::products()),
        KernelId::MazeRollout => Cases(words::maze_rollout()),
        KernelId::MazeSelect => Cases(words::maze_select()),
        KernelId::MppiChoose => Refused(vec![mppi::chosen()]),
        KernelId::MppiReturn => Refused(vec![mppi::returned()]),
        KernelId::MppiSample => Refused(vec![mppi::sampled()]),
        KernelId::MppiUpdate => Refused(vec![mppi::updated()]),
        KernelId::MeanSquaredError => Cases(adjoint::loss_tangents()),
        KernelId::OdeEnsemble => Both(words::ensembles(), vec![words::ode_ensemble()]),
        KernelId::Philox => Cases(words::noise()),
        KernelId::PhysicsOverride => Cases(words::physics_override()),
        KernelId::PlanDraw => Cases(plans::drawn()),
        KernelId::PlanRefit => Cases(plans::refitted()),
        KernelId::PlanSelect => Refused(vec![plans::selected()]),
        KernelId::PlanTrack => Refused(vec![plans::tracked()]),
        KernelId::Reduce => Cases(nonlinear::reductions()),
        KernelId::RemaskBernoulli => Refused(vec![words::remask_bernoulli()]),
        KernelId::RmsNorm => Cases(nonlinear::rms_norms()),
        KernelId::RooflineCopy => Cases(linear::roofline_copies()),
        KernelId::RooflineFma => Cases(words::roofline_fma()),
        KernelId::Rotary => Both(linear::rotary(), vec![linear::moving_table()]),
        KernelId::RungeKutta => Both(linear::runge_kutta(), vec![linear::moving_step_size()]),
        KernelId::SimNorm => Cases(nonlinear::sim_norms()),
        KernelId::Softmax => Cases(nonlinear::softmaxes()),
        KernelId::TimeFeatures => Cases(nonlinear::time_features()),
        KernelId::ActivateTangent => second(KernelId::Activate, id),
        KernelId::AttentionTangent => second(KernelId::Attention, id),
        KernelId::ControlStepTangent => second(KernelId::ControlStep, id),
        KernelId::LayerNormTangent => second(KernelId::LayerNorm, id),
        KernelId::RmsNormTangent => second(KernelId::RmsNorm, id),
        KernelId::ElementwiseTangent => second(KernelId::Elementwise, id),
        KernelId::GatedActivationTangent => second(KernelId::GatedActivation, id),
        KernelId::ReduceTangent => second(KernelId::Reduce, id),
        KernelId::SimNormTangent => second(KernelId::SimNorm, id),
        KernelId::SoftmaxTangent => second(KernelId::Softmax, id),
        KernelId::TimeFeaturesTangent => second(KernelId::TimeFeatures, id),
        KernelId::Qr => Refused(vec![words::factors()]),
        KernelId::TangentEnsemble => second(KernelId::OdeEnsemble, id),
        KernelId::TwoHot => Refused(vec![words::two_hot()]),
        KernelId::TwoHotEncode => Refused(vec![words::two_hot_encode()]),
        KernelId::UnmaskTop => Both(words::unmask_top(), vec![words::kept_probability()]),
    }
}

/// A graph that has tangents by a tangent kernel of its own: those would have to move in turn.
fn second(primal: KernelId, tangent: KernelId) -> Kind {
    let graphs = parts(kind(primal)).0.into_iter().map(|mut case| {
        case.graph = case.tangent(2).expect("tangents").finish();
        case
    });
    let uses = |case: &Case| case.graph.nodes().iter().any(|n| n.kernel.id() == tangent);
    // The tangent of a norm of which the shift alone moves does not hang on what moves.
    let still = |case: &Case| case.name.ends_with("[false, false, true]");
    let refused: Vec<_> = graphs
        .filter(|case| uses(case) && !still(case))
        .map(|case| (case, vec![tangent.name()]))
        .collect();
    Kind::Refused(refused)
}

fn parts(kind: Kind) -> (Vec<Case>, Vec<(Case, Vec<&'static str>)>) {
    match kind {
        Kind::Cases(cases) => (cases, Vec::new()),
        Kind::Refused(refused) => (Vec::new(), refused),
        Kind::Both(cases, refused) => (cases, refused),
    }
}

/// Runs the cases of every kernel on devices of single precision, each with a factor on the tolerance;
/// all that fail are told.
fn check_all(devices: &[(&Device, f64)]) {
    let mut failures = Vec::new();
    let mut attempt = |name: &str, work: &dyn Fn()| {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(work)) {
            let said = cause.downcast_ref::<String>().cloned();
            failures.push(said.unwrap_or_else(|| format!("{name}: failed without a text")));
        }
    };
    for id in KernelId::ALL {
        let (cases, refused) = parts(kind(*id));
        assert!(
            !cases.is_empty() || !refused.is_empty(),
            "{id:?} has no case"
        );
        for case in &cases {
            let mut nodes = case.graph.nodes().iter();
            assert!(nodes.any(|node| node.kernel.id() == *id), "{}", case.name);
            attempt(&case.name, &|| check(case, devices));
        }
        for (case, parts) in &refused {
            attempt(&case.name, &|| refuse(case, parts));
        }
    }
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} cases fail:\n{}",
        failures.join("\n")
    );
}

#[test]
fn every_kernel_agrees_with_differences() {
    check_all(&[(&Device::cpu(), 1.0)]);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn every_kernel_agrees_on_a_gpu() {
    check_all(&[(&crate::common::gpu(), 2.0)]);
}
