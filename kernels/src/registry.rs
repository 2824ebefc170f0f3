//! The one table of kernels. A new kernel is one line here.

use crate::{Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real};
use serde::Serialize;

macro_rules! registry {
    ($($name:ident = $kernel:ty,)*) => {
        /// Identity of a kernel.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub enum KernelId {
            $(#[doc = concat!("[`", stringify!($kernel), "`].")] $name,)*
        }

        impl KernelId {
            /// Every kernel there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Name; the shader is `shaders/NAME.wgsl`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => <$kernel>::NAME,)* }
            }

            /// WGSL source, imports unresolved.
            pub fn shader(self) -> &'static str {
                match self { $(Self::$name => <$kernel>::SHADER,)* }
            }

            /// Variants.
            pub fn entry_points(self) -> &'static [&'static str] {
                match self { $(Self::$name => <$kernel>::ENTRY_POINTS,)* }
            }

            /// Operands in binding order.
            pub fn operands(self) -> &'static [Operand] {
                match self { $(Self::$name => <$kernel>::OPERANDS,)* }
            }

            /// The kernel with an all-zero parameter block, whose fields tell its layout.
            pub fn zeroed(self) -> AnyKernel {
                match self { $(Self::$name => AnyKernel::$name(bytemuck::Zeroable::zeroed()),)* }
            }

            /// Bytes of the parameter block.
            pub fn parameter_size(self) -> usize {
                match self { $(Self::$name => size_of::<$kernel>(),)* }
            }
        }

        /// A kernel with its parameters.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
        #[serde(tag = "kernel")]
        pub enum AnyKernel {
            $(#[doc = concat!("[`", stringify!($kernel), "`].")] $name($kernel),)*
        }

        $(impl From<$kernel> for AnyKernel {
            fn from(kernel: $kernel) -> Self { Self::$name(kernel) }
        })*

        impl AnyKernel {
            /// Which kernel this is.
            pub fn id(&self) -> KernelId {
                match self { $(Self::$name(_) => KernelId::$name,)* }
            }

            /// The parameter block, as the shader's immediates.
            pub fn parameters(&self) -> &[u8] {
                match self { $(Self::$name(k) => bytemuck::bytes_of(k),)* }
            }

            /// See [`Kernel::check`].
            ///
            /// # Errors
            /// As [`Kernel::check`].
            pub fn check(&self) -> Result<(), KernelError> {
                match self { $(Self::$name(k) => k.check(),)* }
            }

            /// See [`Kernel::extents`].
            pub fn extents(&self) -> Vec<usize> {
                match self { $(Self::$name(k) => k.extents(),)* }
            }

            /// See [`Kernel::cost`].
            pub fn cost(&self) -> Cost {
                match self { $(Self::$name(k) => k.cost(),)* }
            }

            /// See [`Kernel::launch`].
            pub fn launch(&self, capabilities: &Capabilities) -> Launch {
                match self { $(Self::$name(k) => k.launch(capabilities),)* }
            }

            /// See [`Kernel::software_iterations`].
            pub fn software_iterations(&self) -> u64 {
                match self { $(Self::$name(k) => k.software_iterations(),)* }
            }

            /// See [`Kernel::at_step`].
            #[must_use]
            pub fn at_step(&self, step: u32) -> Self {
                match self { $(Self::$name(k) => Self::$name(k.at_step(step)),)* }
            }

            /// See [`Kernel::with_seed`].
            #[must_use]
            pub fn with_seed(&self, seed: u64, first_example: u32) -> Self {
                match self { $(Self::$name(k) => Self::$name(k.with_seed(seed, first_example)),)* }
            }

            /// See [`Kernel::pack`].
            pub fn pack<T: Scalar>(&self, operand: usize, data: &[T]) -> Option<Vec<T>> {
                T::pack(self, operand, data)
            }

            fn packed<T: Real>(&self, operand: usize, data: &[T]) -> Option<Vec<T>> {
                match self { $(Self::$name(k) => k.pack(operand, data),)* }
            }

            /// Checks parameters and operands, then runs the twin.
            ///
            /// # Errors
            /// [`KernelError`] naming the parameter or operand that does not fit.
            pub fn twin<T: Scalar>(
                &self,
                operands: &mut Operands<'_, T>,
            ) -> Result<(), KernelError> {
                self.check()?;
                operands.check(&self.extents())?;
                T::twin(self, operands)
            }

            fn run<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
                match self { $(Self::$name(k) => k.twin(operands),)* }
            }
        }
    };
}

/// A number that the twins are compiled for, here and once: generic functions would be compiled again in
/// every crate that calls them.
pub trait Scalar: Real {
    /// Runs the twin of a kernel whose parameters and operands have been checked.
    ///
    /// # Errors
    /// As [`Kernel::twin`].
    fn twin(kernel: &AnyKernel, operands: &mut Operands<'_, Self>) -> Result<(), KernelError>;

    /// See [`Kernel::pack`].
    fn pack(kernel: &AnyKernel, operand: usize, data: &[Self]) -> Option<Vec<Self>>;
}

macro_rules! scalar {
    ($($number:ty),*) => {$(
        impl Scalar for $number {
            #[inline(never)]
            fn twin(
                kernel: &AnyKernel,
                operands: &mut Operands<'_, Self>,
            ) -> Result<(), KernelError> {
                kernel.run(operands)
            }

            #[inline(never)]
            fn pack(kernel: &AnyKernel, operand: usize, data: &[Self]) -> Option<Vec<Self>> {
                kernel.packed(operand, data)
            }
        }
    )*};
}

scalar!(f32, f64);

registry! {
    Activate = crate::activation::Activate,
    ActivateTangent = crate::activation_tangent::ActivateTangent,
    Adam = crate::adam::Adam,
    AdaptiveAveragePool = crate::adaptive_average_pool::AdaptiveAveragePool,
    AdaptiveStep = crate::adaptive_step::AdaptiveStep,
    ArgMax = crate::argmax::ArgMax,
    Attention = crate::attention::Attention,
    AttentionTangent = crate::attention_tangent::AttentionTangent,
    Categorical = crate::categorical::Categorical,
    CompensatedSum = crate::compensated_sum::CompensatedSum,
    ControlStep = crate::control_step::ControlStep,
    ControlStepTangent = crate::control_step_tangent::ControlStepTangent,
    Conv2d = crate::conv2d::Conv2d,
    CopyFloats = crate::copy::CopyFloats,
    CopyWords = crate::copy::CopyWords,
    Elementwise = crate::elementwise::Elementwise,
    ElementwiseTangent = crate::elementwise_tangent::ElementwiseTangent,
    Embedding = crate::embedding::Embedding,
    GatedActivation = crate::gated_activation::GatedActivation,
    GatedActivationTangent = crate::gated_activation_tangent::GatedActivationTangent,
    GaussianPolicy = crate::gaussian_policy::GaussianPolicy,
    LayerNorm = crate::layer_norm::LayerNorm,
    LayerNormTangent = crate::layer_norm_tangent::LayerNormTangent,
    MatMul = crate::matmul::MatMul,
    MazeRollout = crate::maze_rollout::MazeRollout,
    MazeSelect = crate::maze_select::MazeSelect,
    MeanSquaredError = crate::mean_squared_error::MeanSquaredError,
    MppiChoose = crate::mppi_choose::MppiChoose,
    MppiReturn = crate::mppi_return::MppiReturn,
    MppiSample = crate::mppi_sample::MppiSample,
    MppiUpdate = crate::mppi_update::MppiUpdate,
    OdeEnsemble = crate::ode_ensemble::OdeEnsemble,
    Philox = crate::philox::Philox,
    PhysicsOverride = crate::physics_override::PhysicsOverride,
    PlanDraw = crate::plan_draw::PlanDraw,
    PlanRefit = crate::plan_refit::PlanRefit,
    PlanSelect = crate::plan_select::PlanSelect,
    PlanTrack = crate::plan_track::PlanTrack,
    Qr = crate::qr::Qr,
    Reduce = crate::reduce::Reduce,
    ReduceTangent = crate::reduce_tangent::ReduceTangent,
    RemaskBernoulli = crate::remask_bernoulli::RemaskBernoulli,
    RmsNorm = crate::rms_norm::RmsNorm,
    RmsNormTangent = crate::rms_norm_tangent::RmsNormTangent,
    RooflineCopy = crate::roofline_copy::RooflineCopy,
    RooflineFma = crate::roofline_fma::RooflineFma,
    Rotary = crate::rotary::Rotary,
    RungeKutta = crate::runge_kutta::RungeKutta,
    SimNorm = crate::sim_norm::SimNorm,
    SimNormTangent = crate::sim_norm_tangent::SimNormTangent,
    Softmax = crate::softmax::Softmax,
    SoftmaxTangent = crate::softmax_tangent::SoftmaxTangent,
    TangentEnsemble = crate::tangent_ensemble::TangentEnsemble,
    TimeFeatures = crate::time_features::TimeFeatures,
    TimeFeaturesTangent = crate::time_features_tangent::TimeFeaturesTangent,
    TwoHot = crate::two_hot::TwoHot,
    TwoHotEncode = crate::two_hot_encode::TwoHotEncode,
    UnmaskTop = crate::unmask_top::UnmaskTop,
}
