//! Several vector registers that go through the same arithmetic side by side, so that the latency of one
//! hides behind the others.

use crate::Real;
use pulp::Simd;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// `K` registers of numbers; every operation works lane by lane.
#[derive(Clone, Copy)]
pub(crate) struct Packet<S: Simd, T: Real, const K: usize> {
    simd: S,
    registers: [T::Vector<S>; K],
}

/// Numbers that the widest packets in use may hold: four registers of sixteen.
pub(crate) const WIDEST: usize = 64;

impl<S: Simd, T: Real, const K: usize> Packet<S, T, K> {
    /// Numbers in a packet.
    #[inline(always)]
    pub fn width() -> usize {
        K * T::lanes::<S>()
    }

    /// The same number in every lane.
    #[inline(always)]
    pub fn splat(simd: S, value: T) -> Self {
        Self {
            simd,
            registers: [T::splat(simd, value); K],
        }
    }

    /// The same constant in every lane, for expressions that have a packet at hand.
    #[inline(always)]
    pub fn constant(self, value: f64) -> Self {
        Self::splat(self.simd, T::from_f64(value))
    }

    /// Numbers `start..start + width` of a slice. Lanes past its end take its first number, so that
    /// they compute something harmless and a slice of one number is the same for all.
    #[inline(always)]
    pub fn load(simd: S, slice: &[T], start: usize) -> Self {
        let mut buffer = [slice.first().copied().unwrap_or(T::ZERO); WIDEST];
        if let Some(rest) = slice.get(start..) {
            for (lane, value) in buffer.iter_mut().zip(rest.iter().take(Self::width())) {
                *lane = *value;
            }
        }
        let mut packet = Self::splat(simd, T::ZERO);
        let loaded = T::vectors::<S>(&buffer);
        for (register, value) in packet.registers.iter_mut().zip(loaded) {
            *register = *value;
        }
        packet
    }

    /// All lanes; numbers past [`Packet::width`] are zero.
    #[inline(always)]
    pub fn lanes(self) -> [T; WIDEST] {
        let mut buffer = [T::ZERO; WIDEST];
        for (place, register) in T::vectors_mut::<S>(&mut buffer)
            .iter_mut()
            .zip(self.registers)
        {
            *place = register;
        }
        buffer
    }

    /// Writes the lanes to `start..start + width` of a slice; those past its end are dropped.
    #[inline(always)]
    pub fn store(self, slice: &mut [T], start: usize) {
        let buffer = self.lanes();
        if let Some(rest) = slice.get_mut(start..) {
            for (place, value) in rest.iter_mut().zip(buffer.iter().take(Self::width())) {
                *place = *value;
            }
        }
    }

    /// The numbers at the start of a slice; those that are missing are zero.
    #[inline(always)]
    pub fn read(simd: S, slice: &[T]) -> Self {
        let mut packet = Self::splat(simd, T::ZERO);
        for (register, value) in packet.registers.iter_mut().zip(T::vectors::<S>(slice)) {
            *register = *value;
        }
        packet
    }

    /// Writes the lanes to the start of a slice, as many registers of them as it has room for.
    #[inline(always)]
    pub fn write(self, slice: &mut [T]) {
        let places = T::vectors_mut::<S>(slice).iter_mut();
        for (place, register) in places.zip(self.registers) {
            *place = register;
        }
    }

    /// Number of one lane; zero of those past [`Packet::width`].
    #[inline(always)]
    pub fn lane(self, lane: usize) -> T {
        let lanes = self.lanes();
        lanes.get(lane).copied().unwrap_or(T::ZERO)
    }

    /// Changes the number of one lane.
    #[inline(always)]
    pub fn set_lane(&mut self, lane: usize, value: T) {
        let mut lanes = self.lanes();
        if let Some(place) = lanes.get_mut(lane) {
            *place = value;
        }
        *self = Self::read(self.simd, &lanes);
    }

    #[inline(always)]
    fn each(mut self, operation: impl Fn(S, T::Vector<S>) -> T::Vector<S>) -> Self {
        for register in &mut self.registers {
            *register = operation(self.simd, *register);
        }
        self
    }

    #[inline(always)]
    fn with(
        mut self,
        other: Self,
        operation: impl Fn(S, T::Vector<S>, T::Vector<S>) -> T::Vector<S>,
    ) -> Self {
        for (register, other) in self.registers.iter_mut().zip(other.registers) {
            *register = operation(self.simd, *register, other);
        }
        self
    }

    /// `self * a + b` with one rounding.
    #[inline(always)]
    pub fn mul_add(mut self, a: Self, b: Self) -> Self {
        for ((register, a), b) in self.registers.iter_mut().zip(a.registers).zip(b.registers) {
            *register = T::multiply_add(self.simd, *register, a, b);
        }
        self
    }

    /// `self * a - b` with one rounding.
    #[inline(always)]
    pub fn mul_sub(self, a: Self, b: Self) -> Self {
        self.mul_add(a, -b)
    }

    /// Absolute value.
    #[inline(always)]
    pub fn abs(self) -> Self {
        self.each(
            #[inline(always)]
            |simd, a| T::magnitude(simd, a),
        )
    }

    /// Square root.
    #[inline(always)]
    pub fn sqrt(self) -> Self {
        self.each(
            #[inline(always)]
            |simd, a| T::square_root(simd, a),
        )
    }

    /// `yes` where `self <= bound`, else `no`; `no` where one of the two is NaN.
    #[inline(always)]
    pub fn where_at_most(self, bound: Self, yes: Self, no: Self) -> Self {
        let mut chosen = self;
        for (index, register) in chosen.registers.iter_mut().enumerate() {
            *register = T::where_at_most(
                self.simd,
                (self.registers[index], bound.registers[index]),
                yes.registers[index],
                no.registers[index],
            );
        }
        chosen
    }

    /// Larger of the two; `other` where `self` is NaN.
    #[inline(always)]
    pub fn max(self, other: Self) -> Self {
        other.where_at_most(self, self, other)
    }

    /// Smaller of the two; `other` where `self` is NaN.
    #[inline(always)]
    pub fn min(self, other: Self) -> Self {
        self.where_at_most(other, self, other)
    }

    /// Nearest integer, ties to even, for magnitudes that are far from the end of the mantissa: added to
    /// 1.5 times the number from which on all numbers are integers, the fraction is rounded away.
    #[inline(always)]
    pub fn round(self) -> Self {
        let magic = Self::splat(self.simd, T::from_f64(1.5) / T::EPSILON);
        (self + magic) - magic
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $lanes:ident) => {
        impl<S: Simd, T: Real, const K: usize> $trait for Packet<S, T, K> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.with(
                    other,
                    #[inline(always)]
                    |simd, a, b| T::$lanes(simd, a, b),
                )
            }
        }
    };
}

operator!(Add, add, plus);
operator!(Sub, sub, minus);
operator!(Mul, mul, times);
operator!(Div, div, over);

impl<S: Simd, T: Real, const K: usize> Neg for Packet<S, T, K> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.each(
            #[inline(always)]
            |simd, a| T::negate(simd, a),
        )
    }
}
