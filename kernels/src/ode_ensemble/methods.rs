//! One step of each method, with the state in registers. `shaders/common/ode_methods.wgsl` holds the same
//! formulas, operation by operation.

use super::fields::Field;
use crate::packet::Packet;
use crate::runge_kutta::{DORMAND_PRINCE, Rational};
use crate::{KernelError, Real};
use bytemuck::{Pod, Zeroable};
use pulp::Simd;
use serde::Serialize;

/// A Runge-Kutta method, as a word that shaders branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct OdeMethod(u32);

impl OdeMethod {
    /// Euler's, of order 1.
    pub const EULER: Self = Self(0);
    /// The explicit midpoint rule, of order 2.
    pub const MIDPOINT: Self = Self(1);
    /// Heun's, the explicit trapezoidal rule, of order 2.
    pub const HEUN: Self = Self(2);
    /// The classic method of order 4 (Kutta, 1901).
    pub const RK4: Self = Self(3);
    /// The weights of order 5 of Dormand and Prince (1980) under a fixed step.
    pub const DORMAND_PRINCE5: Self = Self(4);
    /// Dormand and Prince's pair 5(4), each trajectory under a step size of its own.
    pub const DORMAND_PRINCE54: Self = Self(5);

    /// All of them, by name.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("euler", Self::EULER),
        ("midpoint", Self::MIDPOINT),
        ("heun", Self::HEUN),
        ("rk4", Self::RK4),
        ("dormand_prince5", Self::DORMAND_PRINCE5),
        ("dormand_prince54", Self::DORMAND_PRINCE54),
    ];

    /// Name, as in the table above; "unknown" for a word that is none of them.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, method)| *method == self)
            .map_or("unknown", |(name, _)| name)
    }

    /// The method of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        let named = Self::ALL.iter().find(|(known, _)| *known == name);
        named.map(|(_, method)| *method)
    }

    /// Order of the error at a fixed time; 5 for both of Dormand and Prince.
    pub fn order(self) -> u32 {
        match self {
            Self::EULER => 1,
            Self::MIDPOINT | Self::HEUN => 2,
            Self::RK4 => 4,
            _ => 5,
        }
    }

    /// Whether each trajectory chooses its steps.
    pub fn is_adaptive(self) -> bool {
        self == Self::DORMAND_PRINCE54
    }

    pub(super) fn is_dormand_prince(self) -> bool {
        matches!(self, Self::DORMAND_PRINCE5 | Self::DORMAND_PRINCE54)
    }

    /// Operations of one step, or one attempt, of a trajectory: evaluations of a field that costs
    /// `field`, and the sums over stages in each of `dimension` numbers.
    pub(super) fn flops(self, field: u64, dimension: u64) -> u64 {
        let (evaluations, sums, control) = match self {
            Self::EULER => (1, 2, 0),
            Self::MIDPOINT => (2, 4, 0),
            Self::HEUN => (2, 5, 0),
            Self::RK4 => (4, 6 + 7, 0),
            // A sum of m stages is a product, m - 1 multiply-adds and one more onto the state.
            Self::DORMAND_PRINCE5 => (6, 3 + 5 + 7 + 9 + 11 + 11, 0),
            // The error of six stages and its share of the tolerance; sums of time, root, new step.
            _ => (6, 46 + 11 + 6, 50),
        };
        evaluations * field + sums * dimension + control
    }

    pub(super) fn check(self, kernel: &'static str) -> Result<(), KernelError> {
        if Self::ALL.iter().any(|(_, method)| *method == self) {
            return Ok(());
        }
        let expected = format!("one of the {} methods", Self::ALL.len());
        Err(KernelError::parameter(kernel, "method", expected, self.0))
    }
}

/// `x + h k`.
#[inline(always)]
pub(super) fn along<S: Simd, T: Real, const K: usize, const D: usize>(
    h: Packet<S, T, K>,
    k: &[Packet<S, T, K>; D],
    x: &[Packet<S, T, K>; D],
) -> [Packet<S, T, K>; D] {
    let mut moved = *x;
    for (moved, k) in moved.iter_mut().zip(k) {
        *moved = k.mul_add(h, *moved);
    }
    moved
}

/// The clock at the start, in the middle and at the end of a fixed step.
pub(super) struct Moments<S: Simd, T: Real, const K: usize> {
    pub start: Packet<S, T, K>,
    pub middle: Packet<S, T, K>,
    pub end: Packet<S, T, K>,
}

/// A step of Euler's (`METHOD` 0), the midpoint (1), Heun's (2) or the classic method.
#[inline(always)]
pub(super) fn classic_step<
    F,
    S,
    T,
    const METHOD: u32,
    const K: usize,
    const D: usize,
    const P: usize,
>(
    simd: S,
    h: T,
    x: &[Packet<S, T, K>; D],
    q: &[Packet<S, T, K>; P],
    at: &Moments<S, T, K>,
) -> [Packet<S, T, K>; D]
where
    F: Field<D, P>,
    S: Simd,
    T: Real,
{
    let half = Packet::splat(simd, h * T::from_f64(0.5));
    let whole = Packet::splat(simd, h);
    let k1 = F::derivative(x, q, at.start);
    match METHOD {
        0 => along(whole, &k1, x),
        1 => {
            let k2 = F::derivative(&along(half, &k1, x), q, at.middle);
            along(whole, &k2, x)
        }
        2 => {
            let mut sum = F::derivative(&along(whole, &k1, x), q, at.end);
            for (sum, k1) in sum.iter_mut().zip(k1) {
                *sum = k1 + *sum;
            }
            along(half, &sum, x)
        }
        _ => {
            let two = Packet::splat(simd, T::from_f64(2.0));
            let sixth = Packet::splat(simd, h / T::from_f64(6.0));
            let k2 = F::derivative(&along(half, &k1, x), q, at.middle);
            let mut sum = along(two, &k2, &k1);
            let k3 = F::derivative(&along(half, &k2, x), q, at.middle);
            sum = along(two, &k3, &sum);
            let k4 = F::derivative(&along(whole, &k3, x), q, at.end);
            for (sum, k4) in sum.iter_mut().zip(k4) {
                *sum = *sum + k4;
            }
            along(sixth, &sum, x)
        }
    }
}

/// The coefficients of a line of Dormand and Prince's table, those that are not 0.
const fn line<const N: usize>(ratios: &[Rational]) -> [f64; N] {
    let mut coefficients = [0.0; N];
    let (mut from, mut to) = (0, 0);
    while from < ratios.len() {
        let (numerator, denominator) = ratios[from];
        if numerator != 0 {
            coefficients[to] = numerator as f64 / denominator as f64;
            to += 1;
        }
        from += 1;
    }
    coefficients
}

const STAGE_2: [f64; 1] = line(DORMAND_PRINCE.stages[1]);
const STAGE_3: [f64; 2] = line(DORMAND_PRINCE.stages[2]);
const STAGE_4: [f64; 3] = line(DORMAND_PRINCE.stages[3]);
const STAGE_5: [f64; 4] = line(DORMAND_PRINCE.stages[4]);
const STAGE_6: [f64; 5] = line(DORMAND_PRINCE.stages[5]);
const RESULT: [f64; 5] = line(DORMAND_PRINCE.weights);
const ERROR: [f64; 6] = match DORMAND_PRINCE.error {
    Some(error) => line(error),
    None => [0.0; 6],
};
/// Where in the step the stages two to five lie.
pub(super) const PLACES: [f64; 4] = match DORMAND_PRINCE.nodes {
    [_, nodes @ .., _, _] => line(nodes),
    _ => [0.0; 4],
};

/// The weighted sum of stages.
#[inline(always)]
fn weighted<S: Simd, T: Real, const K: usize, const D: usize, const M: usize>(
    weights: &[f64; M],
    stages: [&[Packet<S, T, K>; D]; M],
) -> [Packet<S, T, K>; D] {
    let mut sum = *stages[0];
    for (sum, k) in sum.iter_mut().zip(stages[0]) {
        *sum = *k * k.constant(weights[0]);
    }
    for (weight, stage) in weights.iter().zip(stages).skip(1) {
        for (sum, k) in sum.iter_mut().zip(stage) {
            *sum = k.mul_add(k.constant(*weight), *sum);
        }
    }
    sum
}

/// What a step of Dormand and Prince gives.
pub(super) struct Attempt<S: Simd, T: Real, const K: usize, const D: usize> {
    /// State at the end.
    pub x: [Packet<S, T, K>; D],
    /// Derivative there: the first stage of the next step.
    pub k: [Packet<S, T, K>; D],
    /// Estimate of the error over the step size.
    pub error: [Packet<S, T, K>; D],
}

/// A step of Dormand and Prince from `x` with derivative `k1`; `places` is the clock at [`PLACES`], then
/// at the end of the step.
#[inline(always)]
pub(super) fn dormand_prince_step<F, S, T, const K: usize, const D: usize, const P: usize>(
    h: Packet<S, T, K>,
    x: &[Packet<S, T, K>; D],
    q: &[Packet<S, T, K>; P],
    k1: &[Packet<S, T, K>; D],
    places: [Packet<S, T, K>; 5],
) -> Attempt<S, T, K, D>
where
    F: Field<D, P>,
    S: Simd,
    T: Real,
{
    let [second, third, fourth, fifth, end] = places;
    let sum = weighted(&STAGE_2, [k1]);
    let k2 = F::derivative(&along(h, &sum, x), q, second);
    let sum = weighted(&STAGE_3, [k1, &k2]);
    let k3 = F::derivative(&along(h, &sum, x), q, third);
    let sum = weighted(&STAGE_4, [k1, &k2, &k3]);
    let k4 = F::derivative(&along(h, &sum, x), q, fourth);
    let sum = weighted(&STAGE_5, [k1, &k2, &k3, &k4]);
    let k5 = F::derivative(&along(h, &sum, x), q, fifth);
    let sum = weighted(&STAGE_6, [k1, &k2, &k3, &k4, &k5]);
    let k6 = F::derivative(&along(h, &sum, x), q, end);
    let sum = weighted(&RESULT, [k1, &k3, &k4, &k5, &k6]);
    let next = along(h, &sum, x);
    let k7 = F::derivative(&next, q, end);
    let error = weighted(&ERROR, [k1, &k3, &k4, &k5, &k6, &k7]);
    Attempt {
        x: next,
        k: k7,
        error,
    }
}
