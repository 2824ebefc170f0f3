//! Numbers that the formulas are evaluated in: plain ones, and dual ones that carry tangents.

use crate::Real;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A real number, or one with tangents beside it.
pub trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// What it is made of.
    type Plain: Real;

    /// A constant.
    fn constant(value: f64) -> Self;
    /// Its value, tangents left out.
    fn value(self) -> Self::Plain;
    /// Times a constant.
    #[must_use]
    fn scaled(self, factor: Self::Plain) -> Self;
    /// Square root.
    #[must_use]
    fn root(self) -> Self;
    /// Sine and cosine of it in radians.
    fn sine_cosine(self) -> (Self, Self);

    /// Times a constant.
    #[must_use]
    #[inline(always)]
    fn by(self, factor: f64) -> Self {
        self.scaled(Self::Plain::from_f64(factor))
    }
}

impl<T: Real> Number for T {
    type Plain = T;

    #[inline(always)]
    fn constant(value: f64) -> Self {
        T::from_f64(value)
    }
    #[inline(always)]
    fn value(self) -> T {
        self
    }
    #[inline(always)]
    fn scaled(self, factor: T) -> Self {
        self * factor
    }
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn sine_cosine(self) -> (Self, Self) {
        (self.sin(), self.cos())
    }
}

/// A number with `N` tangents: `f(a + b e) = f(a) + f'(a) b e`. Every tangent moves on its own, so that it
/// has the same bits whatever the others are.
#[derive(Debug, Clone, Copy)]
pub struct Dual<T, const N: usize> {
    /// The number.
    pub value: T,
    /// Its tangents.
    pub slopes: [T; N],
}

impl<T: Real, const N: usize> Dual<T, N> {
    #[inline(always)]
    fn map(self, value: T, slope: impl Fn(T) -> T) -> Self {
        Self {
            value,
            slopes: self.slopes.map(slope),
        }
    }

    #[inline(always)]
    fn join(self, other: Self, value: T, slope: impl Fn(T, T) -> T) -> Self {
        let mut slopes = self.slopes;
        for (own, other) in slopes.iter_mut().zip(other.slopes) {
            *own = slope(*own, other);
        }
        Self { value, slopes }
    }
}

/// Of the rule for products.
#[inline(always)]
fn sum_of_products<T: Real>([a, b]: [T; 2], [c, d]: [T; 2]) -> T {
    a * b + c * d
}

impl<T: Real, const N: usize> Add for Dual<T, N> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.join(other, self.value + other.value, |a, b| a + b)
    }
}

impl<T: Real, const N: usize> Sub for Dual<T, N> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.join(other, self.value - other.value, |a, b| a - b)
    }
}

impl<T: Real, const N: usize> Mul for Dual<T, N> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let (a, b) = (self.value, other.value);
        self.join(other, a * b, |da, db| sum_of_products([da, b], [a, db]))
    }
}

impl<T: Real, const N: usize> Div for Dual<T, N> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let quotient = self.value / other.value;
        let inverse = T::ONE / other.value;
        self.join(other, quotient, |da, db| (da - quotient * db) * inverse)
    }
}

impl<T: Real, const N: usize> Neg for Dual<T, N> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.map(-self.value, |slope| -slope)
    }
}

impl<T: Real, const N: usize> Number for Dual<T, N> {
    type Plain = T;

    #[inline(always)]
    fn constant(value: f64) -> Self {
        Self {
            value: T::from_f64(value),
            slopes: [T::ZERO; N],
        }
    }
    #[inline(always)]
    fn value(self) -> T {
        self.value
    }
    #[inline(always)]
    fn scaled(self, factor: T) -> Self {
        self.map(self.value * factor, |slope| slope * factor)
    }
    #[inline(always)]
    fn root(self) -> Self {
        let root = self.value.sqrt();
        let twice = root + root;
        self.map(root, |slope| slope / twice)
    }
    #[inline(always)]
    fn sine_cosine(self) -> (Self, Self) {
        let (sine, cosine) = (self.value.sin(), self.value.cos());
        let moved = self.map(sine, |slope| slope * cosine);
        (moved, self.map(cosine, |slope| -(slope * sine)))
    }
}
