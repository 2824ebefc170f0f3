use bytemuck::Pod;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// The real numbers that twins compute in: `f32`, as a GPU does, or `f64`, as a reference.
///
/// The `f32` transcendental functions are branch-free polynomials, so that loops over them vectorise;
/// the `f64` ones are the platform's.
pub trait Real:
    Pod
    + crate::Lanes
    + Debug
    + Display
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Negative infinity.
    const NEG_INFINITY: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Not a number.
    const NAN: Self;
    /// Distance from one to the next larger number.
    const EPSILON: Self;
    /// Elements in one packed column panel of the matrix product (see `matmul`).
    const PANEL: usize;

    /// Nearest number to `x`.
    fn from_f64(x: f64) -> Self;
    /// Nearest number to `x`.
    fn from_f32(x: f32) -> Self;
    /// The same number in double precision.
    fn to_f64(self) -> f64;
    /// Nearest single-precision number.
    fn to_f32(self) -> f32;
    /// `self * a + b` with one rounding.
    #[must_use]
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Absolute value.
    #[must_use]
    fn abs(self) -> Self;
    /// Square root.
    #[must_use]
    fn sqrt(self) -> Self;
    /// Larger of the two.
    #[must_use]
    fn maximum(self, other: Self) -> Self;
    /// Smaller of the two.
    #[must_use]
    fn minimum(self, other: Self) -> Self;
    /// Exponential function; relative error under 2 units in the last place for `f32`.
    #[must_use]
    fn exp(self) -> Self;
    /// Natural logarithm.
    #[must_use]
    fn ln(self) -> Self;
    /// Logarithm of one plus the argument.
    #[must_use]
    fn ln_1p(self) -> Self;
    /// Hyperbolic tangent.
    #[must_use]
    fn tanh(self) -> Self;
    /// Sine.
    #[must_use]
    fn sin(self) -> Self;
    /// Cosine.
    #[must_use]
    fn cos(self) -> Self;
    /// Error function; absolute error under 2e-7 for `f32`.
    #[must_use]
    fn erf(self) -> Self;
    /// Whether the number is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// Whether the number is NaN.
    fn is_nan(self) -> bool;
}

/// e^x for single precision: range reduction by ln 2 in two parts, then the degree-6 Taylor-Remez
/// polynomial of the Cephes library (Moshier, 1989); saturates to 0 and infinity.
#[inline(always)]
fn exp_f32(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-104.0, 88.73);
    let n = (clamped * LOG2_E + 0.5).floor();
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, clamped));
    let mut p = 1.987_569_1e-4f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.500_000_06);
    let y = p.mul_add(r * r, r + 1.0);
    // Two factors, because 2^n alone overflows or is subnormal at the ends of the range.
    // The integer is read off the mantissa of n + 1.5 * 2^23: `as i32` saturates, and so would keep
    // loops from vectorising.
    const SHIFT: f32 = 12_582_912.0;
    let n = ((n + SHIFT).to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32);
    let half = n >> 1;
    let scale = |k: i32| f32::from_bits((k.wrapping_add(127) << 23) as u32);
    let value = y * scale(half) * scale(n - half);
    let value = if x > 88.722_84 { f32::INFINITY } else { value };
    if x.is_nan() { x } else { value }
}

/// erf for single precision: an odd polynomial below 0.93 and 1 - e^(polynomial) above (coefficients
/// of N. Juffa's minimax fits); both sides are computed, so that loops vectorise.
#[inline(always)]
fn erf_f32(x: f32) -> f32 {
    let t = x.abs().min(4.0);
    let s = t * t;
    let high = (-1.728_534_7e-5f32).mul_add(t, 3.831_972e-4);
    let low = (-3.883_964_4e-3f32).mul_add(t, 2.425_462_2e-2);
    let mut far = high.mul_add(s, low);
    far = far.mul_add(t, -1.067_778_8e-1);
    far = far.mul_add(t, -6.348_467e-1);
    far = far.mul_add(t, -1.287_175_1e-1);
    far = 1.0 - exp_f32(far.mul_add(t, -t));
    let mut near = -5.967_617e-4f32;
    near = near.mul_add(s, 4.991_194_4e-3);
    near = near.mul_add(s, -2.676_813_5e-2);
    near = near.mul_add(s, 1.128_199_2e-1);
    near = near.mul_add(s, -3.761_253_4e-1);
    near = near.mul_add(s, 1.283_791_7e-1);
    near = near.mul_add(t, t);
    let magnitude = if t > 0.927_734_4 { far } else { near };
    let value = magnitude.copysign(x);
    if x.is_nan() { x } else { value }
}

/// tanh for single precision through e^(-2|x|), and the odd Taylor polynomial near zero where that
/// difference would cancel.
#[inline(always)]
fn tanh_f32(x: f32) -> f32 {
    let a = x.abs();
    let e = exp_f32(-2.0 * a);
    let far = (1.0 - e) / (1.0 + e);
    let s = x * x;
    let mut p = 2.186_949e-2f32;
    p = p.mul_add(s, -5.396_825_5e-2);
    p = p.mul_add(s, 1.333_333_4e-1);
    p = p.mul_add(s, -3.333_333_4e-1);
    let near = (a * s).mul_add(p, a);
    let magnitude = if a < 0.3 { near } else { far };
    let value = magnitude.copysign(x);
    if x.is_nan() { x } else { value }
}

macro_rules! real {
    ($t:ty, $panel:expr, $exp:expr, $erf:expr, $tanh:expr) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = <$t>::NEG_INFINITY;
            const INFINITY: Self = <$t>::INFINITY;
            const NAN: Self = <$t>::NAN;
            const EPSILON: Self = <$t>::EPSILON;
            const PANEL: usize = $panel;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                <$t>::mul_add(self, a, b)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$t>::abs(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
            #[inline(always)]
            fn maximum(self, other: Self) -> Self {
                if self > other { self } else { other }
            }
            #[inline(always)]
            fn minimum(self, other: Self) -> Self {
                if self < other { self } else { other }
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                <$t>::ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                <$t>::ln_1p(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            fn sin(self) -> Self {
                <$t>::sin(self)
            }
            #[inline(always)]
            fn cos(self) -> Self {
                <$t>::cos(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                <$t>::is_finite(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }
        }
    };
}

real!(f32, 32, exp_f32, erf_f32, tanh_f32);
real!(f64, 16, f64::exp, libm::erf, f64::tanh);

#[cfg(test)]
mod tests {
    use super::Real;

    fn grid() -> impl Iterator<Item = f32> {
        (-120_000..=120_000).map(|i| i as f32 * 1e-3)
    }

    #[test]
    fn single_precision_functions_match_double() {
        for x in grid() {
            let wide = f64::from(x);
            let exact = wide.exp();
            if exact < f64::from(f32::MAX) && exact > 1e-37 {
                let error = (f64::from(Real::exp(x)) - exact).abs() / exact;
                assert!(error < 2.4e-7, "exp({x}): {error:e}");
            }
            let error = (f64::from(Real::erf(x)) - libm::erf(wide)).abs();
            assert!(error < 2e-7, "erf({x}): {error:e}");
            let exact = wide.tanh();
            let error = (f64::from(Real::tanh(x)) - exact).abs();
            assert!(error < 3e-7 * exact.abs() + 1e-12, "tanh({x}): {error:e}");
        }
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(Real::exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(Real::exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(Real::exp(0.0f32), 1.0);
        assert!(Real::exp(f32::NAN).is_nan());
        assert!(Real::tanh(f32::NAN).is_nan());
        assert_eq!(Real::tanh(50.0f32), 1.0);
        assert_eq!(Real::erf(-9.0f32), -1.0);
    }
}
