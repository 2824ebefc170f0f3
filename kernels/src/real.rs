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
    + crate::ode_ensemble::Integrate
    + crate::tangent_ensemble::Propagate
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

/// Added to a number of moderate size, it leaves the nearest integer in the low bits of the mantissa:
/// 1.5 * 2^23. (`as i32` saturates, and so would keep loops from vectorising.)
const ROUND: f32 = 12_582_912.0;

/// (m, n) with e^x = m 2^n for |x| under 105: range reduction by ln 2 in two parts, then the degree-6
/// polynomial of the Cephes library (Moshier, 1989).
#[inline(always)]
fn exp_parts(x: f32) -> (f32, i32) {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let mut p = 1.987_569_1e-4f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.500_000_06);
    let m = p.mul_add(r * r, r + 1.0);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    (m, n)
}

/// 2^k for a normal result.
#[inline(always)]
fn power_of_two(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) << 23) as u32)
}

/// e^x for single precision; saturates to 0 and infinity.
#[inline(always)]
fn exp_f32(x: f32) -> f32 {
    let (m, n) = exp_parts(x.clamp(-104.0, 88.73));
    // Two factors, because 2^n alone overflows or is subnormal at the ends of the range.
    let half = n >> 1;
    let value = m * power_of_two(half) * power_of_two(n - half);
    let value = if x > 88.722_84 { f32::INFINITY } else { value };
    if x.is_nan() { x } else { value }
}

/// erf for single precision: 1 - e^p with a polynomial p fitted to ln erfc on [0, 4] (weighted least
/// squares, iterated to the smallest largest error of erf); beyond 4 erf is 1 to working precision.
#[inline(always)]
fn erf_f32(x: f32) -> f32 {
    let t = x.abs().min(4.0);
    let mut p = -3.144_179_6e-5f32;
    p = p.mul_add(t, 3.088_138_5e-4);
    p = p.mul_add(t, -1.032_434_3e-3);
    p = p.mul_add(t, -5.368_876e-4);
    p = p.mul_add(t, 1.958_392_6e-2);
    p = p.mul_add(t, -1.029_196e-1);
    p = p.mul_add(t, -6.365_977_5e-1);
    p = p.mul_add(t, -1.128_380_3);
    // p t lies in [-19, 0]: no overflow, no subnormal.
    let (m, n) = exp_parts(p * t);
    let value = (1.0 - m * power_of_two(n)).copysign(x);
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
