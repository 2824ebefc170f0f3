use crate::{KernelError, Real};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// An element-wise activation function, as a word that shaders branch on.
/// Shared by the matrix product's epilogue and the `activation` kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct Activation(u32);

impl Activation {
    /// x.
    pub const IDENTITY: Self = Self(0);
    /// max(x, 0).
    pub const RELU: Self = Self(1);
    /// x Phi(x) with the exact error function (Hendrycks, Gimpel 2016); PyTorch's `gelu`.
    pub const GELU: Self = Self(2);
    /// The tanh approximation of GELU; PyTorch's `gelu(approximate="tanh")`.
    pub const GELU_TANH: Self = Self(3);
    /// x sigmoid(x).
    pub const SILU: Self = Self(4);
    /// x tanh(softplus(x)) (Misra 2019).
    pub const MISH: Self = Self(5);
    /// 1 / (1 + e^-x).
    pub const SIGMOID: Self = Self(6);
    /// Hyperbolic tangent.
    pub const TANH: Self = Self(7);

    /// All of them, by name.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("identity", Self::IDENTITY),
        ("relu", Self::RELU),
        ("gelu", Self::GELU),
        ("gelu_tanh", Self::GELU_TANH),
        ("silu", Self::SILU),
        ("mish", Self::MISH),
        ("sigmoid", Self::SIGMOID),
        ("tanh", Self::TANH),
    ];

    /// Name, as in the table above.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, a)| *a == self)
            .map_or("unknown", |(name, _)| name)
    }

    /// Floating-point operations an element, by rough count.
    pub fn flops(self) -> u64 {
        match self {
            Self::IDENTITY => 0,
            Self::RELU => 1,
            _ => 20,
        }
    }

    /// Checks that the word names an activation.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] otherwise.
    pub fn check(self, kernel: &'static str) -> Result<(), KernelError> {
        if Self::ALL.iter().any(|(_, a)| *a == self) {
            return Ok(());
        }
        Err(KernelError::parameter(
            kernel,
            "activation",
            "0..=7",
            self.0,
        ))
    }

    /// The function itself.
    #[inline(always)]
    pub fn apply<T: Real>(self, x: T) -> T {
        match self {
            Self::RELU => relu(x),
            Self::GELU => gelu(x),
            Self::GELU_TANH => gelu_tanh(x),
            Self::SILU => x * sigmoid(x),
            Self::MISH => mish(x),
            Self::SIGMOID => sigmoid(x),
            Self::TANH => x.tanh(),
            _ => x,
        }
    }

    /// The function over a slice, in place; the branch is outside the loop so that each loop vectorises.
    #[inline(always)]
    pub fn apply_slice<T: Real>(self, values: &mut [T]) {
        #[inline(always)]
        fn each<T: Real>(values: &mut [T], f: impl Fn(T) -> T) {
            for v in values {
                *v = f(*v);
            }
        }
        match self {
            Self::RELU => each(values, relu),
            Self::GELU => each(values, gelu),
            Self::GELU_TANH => each(values, gelu_tanh),
            Self::SILU => each(values, |x| x * sigmoid(x)),
            Self::MISH => each(values, mish),
            Self::SIGMOID => each(values, sigmoid),
            Self::TANH => each(values, Real::tanh),
            _ => {}
        }
    }
}

#[inline(always)]
fn relu<T: Real>(x: T) -> T {
    // NaN must stay NaN: `maximum` would turn it into zero.
    if x < T::ZERO { T::ZERO } else { x }
}

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

#[inline(always)]
fn gelu<T: Real>(x: T) -> T {
    let half = T::from_f64(0.5);
    half * x * (T::ONE + (x * T::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

#[inline(always)]
fn gelu_tanh<T: Real>(x: T) -> T {
    let inner = T::from_f64(0.797_884_560_802_865_4) * (x + T::from_f64(0.044_715) * x * x * x);
    T::from_f64(0.5) * x * (T::ONE + inner.tanh())
}

/// With e = exp(x), tanh(ln(1 + e)) = e (e + 2) / (e (e + 2) + 2): no logarithm needed.
#[inline(always)]
fn mish<T: Real>(x: T) -> T {
    let two = T::from_f64(2.0);
    let e = x.minimum(T::from_f64(30.0)).exp();
    let n = e * (e + two);
    let value = x * (n / (n + two));
    if x.is_nan() { x } else { value }
}
