use crate::{KernelError, Real};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// An element-wise activation function, as a word that shaders branch on.
/// Shared by the matrix product's epilogue and the `activation` kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct Activation(u32);

/// An expression with an activation's function under a name; a branch on the activation around it.
macro_rules! with_function {
    ($activation:expr, $f:ident => $body:expr) => {
        with_function!($activation, $f => $body;
            RELU = relu, GELU = gelu, GELU_TANH = gelu_tanh, SILU = silu, MISH = mish,
            SIGMOID = sigmoid, TANH = Real::tanh)
    };
    ($activation:expr, $f:ident => $body:expr; $($name:ident = $function:path),*) => {
        match $activation {
            $(Activation::$name => {
                let $f = $function;
                $body
            })*
            _ => {
                let $f = std::convert::identity;
                $body
            }
        }
    };
}

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
        with_function!(self, f => f(x))
    }

    /// The function over a slice, in place; the branch is outside the loop so that each loop vectorises.
    #[inline(always)]
    pub fn apply_slice<T: Real>(self, values: &mut [T]) {
        if self != Self::IDENTITY {
            with_function!(self, f => values.iter_mut().for_each(|v| *v = f(*v)));
        }
    }

    /// `out = activation(x) * gate`, element by element, the branch outside the loop.
    #[inline(always)]
    pub(crate) fn gate_slice<T: Real>(self, x: &[T], gate: &[T], out: &mut [T]) {
        let elements = out.iter_mut().zip(x).zip(gate);
        with_function!(self, f => elements.for_each(|((out, x), gate)| *out = f(*x) * *gate));
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
fn silu<T: Real>(x: T) -> T {
    x * sigmoid(x)
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
