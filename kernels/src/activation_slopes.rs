//! Derivatives of the activations, each beside the value that shares its exponential.

use crate::{Activation, Real};

/// 1 / sqrt(2 pi).
const NORMAL_DENSITY: f64 = 0.398_942_280_401_432_7;
/// sqrt(2 / pi) and the cubic coefficient of GELU's tanh approximation.
const GELU_TANH: (f64, f64) = (0.797_884_560_802_865_4, 0.044_715);
/// Beyond this distance from zero every slope is its limit to working precision, in f64 too; holding
/// arguments within it keeps powers of them finite.
const FAR: f64 = 40.0;

/// An expression with a function from x to (value, slope) under a name; a branch on the activation
/// around it.
macro_rules! with_slope {
    ($activation:expr, $f:ident => $body:expr) => {
        with_slope!($activation, $f => $body;
            RELU = relu, GELU = gelu, GELU_TANH = gelu_tanh, SILU = silu, MISH = mish,
            SIGMOID = sigmoid, TANH = tanh)
    };
    ($activation:expr, $f:ident => $body:expr; $($name:ident = $function:path),*) => {
        match $activation {
            $(Activation::$name => {
                let $f = $function;
                $body
            })*
            _ => {
                let $f = identity;
                $body
            }
        }
    };
}

impl Activation {
    /// Value and derivative at x. ReLU has slope 0 at 0, as in PyTorch; where x is not finite there is
    /// no slope, and it is NaN.
    #[inline(always)]
    pub fn with_slope<T: Real>(self, x: T) -> (T, T) {
        with_slope!(self, f => finite_slope(x, f))
    }

    /// `slopes = scale * activation'(scale * x)`, the branch outside the loop.
    #[inline(always)]
    pub(crate) fn slope_slice<T: Real>(self, scale: T, x: &[T], slopes: &mut [T]) {
        let elements = slopes.iter_mut().zip(x);
        with_slope!(self, f => elements.for_each(|(slope, x)| {
            *slope = scale * finite_slope(scale * *x, f).1;
        }));
    }

    /// The two partial derivatives of `activation(x) * gate`: `slopes = activation'(x) * gate` and
    /// `values = activation(x)`.
    #[inline(always)]
    pub(crate) fn gated_slopes<T: Real>(
        self,
        (x, gate): (&[T], &[T]),
        slopes: &mut [T],
        values: &mut [T],
    ) {
        let partials = slopes.iter_mut().zip(values);
        let elements = partials.zip(x.iter().zip(gate));
        with_slope!(self, f => elements.for_each(|((slope, value), (x, gate))| {
            let (own, derivative) = finite_slope(*x, f);
            (*value, *slope) = (own, derivative * *gate);
        }));
    }
}

#[inline(always)]
fn finite_slope<T: Real>(x: T, f: impl Fn(T) -> (T, T)) -> (T, T) {
    let (value, slope) = f(x);
    (value, if x.is_finite() { slope } else { T::NAN })
}

#[inline(always)]
fn held<T: Real>(x: T) -> T {
    let far = T::from_f64(FAR);
    x.maximum(-far).minimum(far)
}

/// 4 e / (1 + e)^2 with e = exp(-2 |x|): the square of the hyperbolic secant, without the cancellation
/// of 1 - tanh^2.
#[inline(always)]
fn sech_squared<T: Real>(x: T) -> T {
    let e = (T::from_f64(-2.0) * x.abs()).exp();
    let whole = T::ONE + e;
    T::from_f64(4.0) * e / (whole * whole)
}

#[inline(always)]
fn identity<T: Real>(x: T) -> (T, T) {
    (x, T::ONE)
}

#[inline(always)]
fn relu<T: Real>(x: T) -> (T, T) {
    (
        if x < T::ZERO { T::ZERO } else { x },
        if x > T::ZERO { T::ONE } else { T::ZERO },
    )
}

/// With e = exp(-|x|) nothing overflows, and e / (1 + e)^2 keeps its digits on both sides.
#[inline(always)]
fn sigmoid<T: Real>(x: T) -> (T, T) {
    let e = (-x.abs()).exp();
    let part = T::ONE / (T::ONE + e);
    let numerator = if x < T::ZERO { e } else { T::ONE };
    (numerator * part, e * part * part)
}

#[inline(always)]
fn silu<T: Real>(x: T) -> (T, T) {
    let (value, slope) = sigmoid(x);
    (x * value, x.mul_add(slope, value))
}

#[inline(always)]
fn tanh<T: Real>(x: T) -> (T, T) {
    (x.tanh(), sech_squared(x))
}

/// Phi(x) + x phi(x), the normal distribution and its density.
#[inline(always)]
fn gelu<T: Real>(x: T) -> (T, T) {
    let half = T::from_f64(0.5);
    let erf = (x * T::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf();
    let distribution = half * (T::ONE + erf);
    let near = held(x);
    let density = T::from_f64(NORMAL_DENSITY) * (-half * near * near).exp();
    (x * distribution, near.mul_add(density, distribution))
}

#[inline(always)]
fn gelu_tanh<T: Real>(x: T) -> (T, T) {
    let (factor, cubic) = (T::from_f64(GELU_TANH.0), T::from_f64(GELU_TANH.1));
    let half = T::from_f64(0.5);
    let near = held(x);
    let square = near * near;
    // Beyond `FAR` tanh is 1 in any case.
    let inner = factor * near * (T::ONE + cubic * square);
    let share = half * (T::ONE + inner.tanh());
    let inner_slope = factor * (T::ONE + T::from_f64(3.0) * cubic * square);
    let bend = half * near * sech_squared(inner) * inner_slope;
    (x * share, share + bend)
}

/// With e = exp(x), n = e (e + 2) and w = tanh(softplus(x)) = n / (n + 2), whose slope is
/// (1 - w)(1 + w) sigmoid(x); 1 - w = 2 / (n + 2) without cancellation.
#[inline(always)]
fn mish<T: Real>(x: T) -> (T, T) {
    let two = T::from_f64(2.0);
    let near = x.minimum(T::from_f64(30.0));
    let e = near.exp();
    let n = e * (e + two);
    let part = T::ONE / (n + two);
    let share = n * part;
    let bend = near * (two * part) * (T::ONE + share) * (e / (T::ONE + e));
    (x * share, share + bend)
}

#[cfg(test)]
mod tests {
    use crate::Activation;

    /// Central differences of the function itself, in double precision.
    #[test]
    fn slopes_are_those_of_the_functions() {
        let h = 1e-6;
        for (name, activation) in Activation::ALL {
            for i in -4000..4000 {
                let x = (f64::from(i) + 0.5) * 0.01;
                let (value, slope) = activation.with_slope(x);
                let expected = (activation.apply(x + h) - activation.apply(x - h)) / (2.0 * h);
                // The difference of two values of size x keeps x 2^-53 / h.
                let tolerance = 1e-7 * (1.0 + expected.abs()) + 1e-9 * x.abs();
                assert!((slope - expected).abs() < tolerance, "{name} at {x}");
                let own = activation.apply(x);
                assert!((value - own).abs() <= 1e-12 * (1.0 + own.abs()), "{name}");
            }
        }
    }

    #[test]
    fn single_precision_follows_double() {
        for (name, activation) in Activation::ALL {
            for i in -90_000..90_000 {
                let x = (i as f32 + 0.5) * 1e-3;
                let (value, slope) = activation.with_slope(x);
                let exact = activation.with_slope(f64::from(x));
                for (found, exact) in [(value, exact.0), (slope, exact.1)] {
                    let error = (f64::from(found) - exact).abs();
                    assert!(error < 2e-6 * (1.0 + exact.abs()), "{name} at {x}: {error}");
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        for (name, activation) in Activation::ALL {
            for x in [
                f32::MAX,
                1e20,
                200.0,
                1e-40,
                0.0,
                -1e-40,
                -200.0,
                -1e20,
                f32::MIN,
            ] {
                let slope = activation.with_slope(x).1;
                assert!(
                    slope.is_finite() && slope.abs() <= 1.2,
                    "{name} at {x}: {slope}"
                );
                let wide = activation.with_slope(f64::from(x) * 1e200).1;
                assert!(wide.is_finite() && wide.abs() <= 1.2, "{name}: {wide}");
            }
            for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert!(activation.with_slope(x).1.is_nan(), "{name} at {x}");
            }
        }
        assert_eq!(Activation::RELU.with_slope(0.0f64), (0.0, 0.0));
    }
}
