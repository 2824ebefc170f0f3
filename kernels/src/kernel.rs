use crate::{KernelError, Operands, Real};
use bytemuck::Pod;
use serde::Serialize;

/// What one element of an operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Element {
    /// A real number: `f32` on a GPU, `f32` or `f64` in the twin.
    Float,
    /// An unsigned 32-bit word: a token, an index, a flag or random bits.
    Word,
}

/// How a kernel touches an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Access {
    /// Only read.
    Read,
    /// Written; elements that the parameters leave out keep their value.
    Write,
    /// Read and written in place.
    ReadWrite,
}

/// One operand of a kernel, in the order of the shader's bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Operand {
    /// Name, the same in the shader.
    pub name: &'static str,
    /// Element kind.
    pub element: Element,
    /// Access.
    pub access: Access,
    /// Whether the operand may be left out.
    pub optional: bool,
}

impl Operand {
    /// A real-valued input.
    pub const fn input(name: &'static str) -> Self {
        Self::new(name, Element::Float, Access::Read)
    }

    /// A real-valued output.
    pub const fn output(name: &'static str) -> Self {
        Self::new(name, Element::Float, Access::Write)
    }

    /// An operand of any kind.
    pub const fn new(name: &'static str, element: Element, access: Access) -> Self {
        Self {
            name,
            element,
            access,
            optional: false,
        }
    }

    /// The same operand of [`Element::Word`].
    pub const fn words(mut self) -> Self {
        self.element = Element::Word;
        self
    }

    /// The same operand, read and written in place.
    pub const fn in_place(mut self) -> Self {
        self.access = Access::ReadWrite;
        self
    }

    /// The same operand, which may be left out.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// Work of one launch: what must be computed and moved at least once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts two.
    pub flops: u64,
    /// Bytes read and written, every operand once, four bytes an element.
    pub bytes: u64,
}

impl std::ops::Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            flops: self.flops.saturating_add(other.flops),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |a, b| a + b)
    }
}

/// What a GPU offers that a kernel's choice of variant may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The adapter is a CPU driver (lavapipe, WARP): workgroup memory is slow there.
    pub software: bool,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Invocations in one workgroup.
    pub workgroup_invocations: u32,
    /// Workgroups in one dimension of a dispatch.
    pub workgroups_per_dimension: u32,
}

impl Default for Capabilities {
    /// WebGPU's guaranteed minimum on hardware.
    fn default() -> Self {
        Self {
            software: false,
            workgroup_memory: 16_384,
            workgroup_invocations: 256,
            workgroups_per_dimension: 65_535,
        }
    }
}

/// Loop iterations after which Mesa's software driver abandons an invocation, without a word.
pub const SOFTWARE_ITERATIONS: u64 = 65_535;

/// How a shader is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Launch {
    /// Entry point; one of [`Kernel::ENTRY_POINTS`].
    pub entry_point: &'static str,
    /// Workgroup counts.
    pub workgroups: [u32; 3],
}

/// A kernel: its parameter block, which is plain data laid out exactly like `struct Params` of the
/// shader (four-byte members only, the same names in the same order), and all that can be said of it
/// without a device.
pub trait Kernel: Pod + std::fmt::Debug + PartialEq + Serialize + Send + Sync {
    /// Name; the shader is `shaders/NAME.wgsl`.
    const NAME: &'static str;
    /// WGSL source; `//#import` lines are resolved by [`crate::compose`].
    const SHADER: &'static str;
    /// Entry points, the variants of the kernel.
    const ENTRY_POINTS: &'static [&'static str] = &["main"];
    /// Operands in binding order.
    const OPERANDS: &'static [Operand];

    /// Checks the parameters themselves.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the first parameter out of range.
    fn check(&self) -> Result<(), KernelError>;

    /// Smallest element count of every operand, in binding order; 0 for one that is left out.
    fn extents(&self) -> Vec<usize>;

    /// Work of one launch.
    fn cost(&self) -> Cost;

    /// Variant and workgroup counts for a device.
    fn launch(&self, capabilities: &Capabilities) -> Launch;

    /// Most loop iterations, those of all loops together, that one invocation makes on a software
    /// adapter, leaving a loop counted as one more; 0 for so few that it never matters. Such drivers
    /// stop an invocation silently after [`SOFTWARE_ITERATIONS`].
    fn software_iterations(&self) -> u64 {
        0
    }

    /// The parameters of iteration `step` of an orbit; most kernels do the same at every step.
    #[must_use]
    fn at_step(&self, _step: u32) -> Self {
        *self
    }

    /// The parameters under a seed, where the first example of the operands is number
    /// `first_example` of the whole job; kernels that draw no random numbers ignore both.
    #[must_use]
    fn with_seed(&self, _seed: u64, _first_example: u32) -> Self {
        *self
    }

    /// A copy of a constant operand laid out for the twin, if the twin prefers one.
    /// The twin finds it under [`Operands::packed`].
    fn pack<T: Real>(&self, _operand: usize, _data: &[T]) -> Option<Vec<T>> {
        None
    }

    /// The same function as the shader, over slices.
    ///
    /// # Errors
    /// [`KernelError::Operand`] when an operand is absent or of the wrong kind; lengths have been
    /// checked against [`Kernel::extents`] by [`crate::AnyKernel::twin`].
    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError>;
}

/// Product of dimensions as an element count; saturates, so that an absurd shape is refused by the
/// length check rather than wrapped.
pub fn element_count(dimensions: &[u32]) -> usize {
    dimensions
        .iter()
        .fold(1usize, |count, &d| count.saturating_mul(d as usize))
}
