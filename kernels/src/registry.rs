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
            pub fn pack<T: Real>(&self, operand: usize, data: &[T]) -> Option<Vec<T>> {
                match self { $(Self::$name(k) => k.pack(operand, data),)* }
            }

            /// Checks parameters and operands, then runs the twin.
            ///
            /// # Errors
            /// [`KernelError`] naming the parameter or operand that does not fit.
            pub fn twin<T: Real>(
                &self,
                operands: &mut Operands<'_, T>,
            ) -> Result<(), KernelError> {
                self.check()?;
                operands.check(&self.extents())?;
                match self { $(Self::$name(k) => k.twin(operands),)* }
            }
        }
    };
}

registry! {
    Activate = crate::activation::Activate,
    AdaptiveAveragePool = crate::adaptive_average_pool::AdaptiveAveragePool,
    AdaptiveStep = crate::adaptive_step::AdaptiveStep,
    ArgMax = crate::argmax::ArgMax,
    Attention = crate::attention::Attention,
    Categorical = crate::categorical::Categorical,
    Conv2d = crate::conv2d::Conv2d,
    CopyFloats = crate::copy::CopyFloats,
    CopyWords = crate::copy::CopyWords,
    Elementwise = crate::elementwise::Elementwise,
    Embedding = crate::embedding::Embedding,
    GatedActivation = crate::gated_activation::GatedActivation,
    LayerNorm = crate::layer_norm::LayerNorm,
    MatMul = crate::matmul::MatMul,
    OdeEnsemble = crate::ode_ensemble::OdeEnsemble,
    Philox = crate::philox::Philox,
    PhysicsOverride = crate::physics_override::PhysicsOverride,
    Reduce = crate::reduce::Reduce,
    RemaskBernoulli = crate::remask_bernoulli::RemaskBernoulli,
    RmsNorm = crate::rms_norm::RmsNorm,
    RooflineCopy = crate::roofline_copy::RooflineCopy,
    RooflineFma = crate::roofline_fma::RooflineFma,
    Rotary = crate::rotary::Rotary,
    RungeKutta = crate::runge_kutta::RungeKutta,
    SimNorm = crate::sim_norm::SimNorm,
    Softmax = crate::softmax::Softmax,
    TimeFeatures = crate::time_features::TimeFeatures,
    UnmaskTop = crate::unmask_top::UnmaskTop,
}
