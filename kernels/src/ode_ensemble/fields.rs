//! Vector fields in closed form: names, sizes, formulas. `shaders/common/ode_fields.wgsl` holds the same
//! formulas, operation by operation.

use crate::packet::Packet;
use crate::{KernelError, Real};
use bytemuck::{Pod, Zeroable};
use pulp::Simd;
use serde::Serialize;

/// A vector field dx/dt = f(x; parameters, t), as a word that shaders branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct OdeField(u32);

/// What there is to know of a field.
struct Facts {
    name: &'static str,
    dimension: u32,
    parameters: &'static [&'static str],
    flops: u64,
    entry_points: [&'static str; 2],
}

/// By the word's value.
const FACTS: [Facts; 7] = [
    Facts {
        name: "lorenz63",
        dimension: 3,
        parameters: &["sigma", "rho", "beta"],
        flops: 8,
        entry_points: ["lorenz63", "lorenz63_dormand_prince"],
    },
    Facts {
        name: "rossler",
        dimension: 3,
        parameters: &["a", "b", "c"],
        flops: 6,
        entry_points: ["rossler", "rossler_dormand_prince"],
    },
    Facts {
        name: "van_der_pol",
        dimension: 2,
        parameters: &["mu"],
        flops: 5,
        entry_points: ["van_der_pol", "van_der_pol_dormand_prince"],
    },
    Facts {
        name: "henon_heiles",
        dimension: 4,
        parameters: &[],
        flops: 7,
        entry_points: ["henon_heiles", "henon_heiles_dormand_prince"],
    },
    Facts {
        name: "double_gyre",
        dimension: 2,
        parameters: &["amplitude", "epsilon"],
        flops: 84,
        entry_points: ["double_gyre", "double_gyre_dormand_prince"],
    },
    Facts {
        name: "oscillator",
        dimension: 2,
        parameters: &["stiffness", "damping"],
        flops: 3,
        entry_points: ["oscillator", "oscillator_dormand_prince"],
    },
    Facts {
        name: "lorenz96",
        dimension: 8,
        parameters: &["forcing"],
        flops: 32,
        entry_points: ["lorenz96", "lorenz96_dormand_prince"],
    },
];

impl OdeField {
    /// Lorenz, "Deterministic nonperiodic flow" (1963): x' = sigma (y - x), y' = x (rho - z) - y,
    /// z' = x y - beta z. Parameters sigma, rho, beta.
    pub const LORENZ63: Self = Self(0);
    /// Rossler (1976): x' = -y - z, y' = x + a y, z' = b + z (x - c). Parameters a, b, c.
    pub const ROSSLER: Self = Self(1);
    /// Van der Pol (1926): x' = y, y' = mu (1 - x^2) y - x. Parameter mu.
    pub const VAN_DER_POL: Self = Self(2);
    /// Henon and Heiles (1964), state (x, y, p, q): x' = p, y' = q, p' = -x - 2 x y,
    /// q' = -y - x^2 + y^2. No parameters.
    pub const HENON_HEILES: Self = Self(3);
    /// The double gyre of Shadden, Lekien, Marsden (2005): stream function A sin(pi f) sin(pi y) with
    /// f = s x^2 + (1 - 2 s) x and s = epsilon sin(2 pi clock); x' = -dpsi/dy, y' = dpsi/dx. Parameters
    /// A and epsilon; the angular frequency is 2 pi times the rate of the ensemble's clock.
    pub const DOUBLE_GYRE: Self = Self(4);
    /// A damped harmonic oscillator: x' = v, v' = -stiffness x - damping v.
    pub const OSCILLATOR: Self = Self(5);
    /// Lorenz (1996) on a ring of eight: x_i' = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F. Parameter F.
    pub const LORENZ96: Self = Self(6);

    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::LORENZ63,
        Self::ROSSLER,
        Self::VAN_DER_POL,
        Self::HENON_HEILES,
        Self::DOUBLE_GYRE,
        Self::OSCILLATOR,
        Self::LORENZ96,
    ];

    fn facts(self) -> Option<&'static Facts> {
        FACTS.get(self.0 as usize)
    }

    /// Name; "unknown" for a word that is none of them.
    pub fn name(self) -> &'static str {
        self.facts().map_or("unknown", |f| f.name)
    }

    /// The field of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }

    /// Numbers in the state of one trajectory.
    pub fn dimension(self) -> u32 {
        self.facts().map_or(0, |f| f.dimension)
    }

    /// Names of the parameters, in order.
    pub fn parameters(self) -> &'static [&'static str] {
        self.facts().map_or(&[], |f| f.parameters)
    }

    /// Floating-point operations of one evaluation in single precision, as executed; a multiply-add
    /// counts two, a change of sign, a rounding and a choice none, nor does what hangs on the clock alone.
    pub fn flops(self) -> u64 {
        self.facts().map_or(0, |f| f.flops)
    }

    pub(super) fn entry_point(self, dormand_prince: bool) -> &'static str {
        self.facts()
            .map_or("lorenz63", |f| f.entry_points[usize::from(dormand_prince)])
    }

    pub(super) fn check(self, kernel: &'static str) -> Result<(), KernelError> {
        if self.facts().is_some() {
            return Ok(());
        }
        let expected = format!("one of the {} fields", FACTS.len());
        Err(KernelError::parameter(kernel, "field", expected, self.0))
    }
}

/// A field of `D` numbers with `P` parameters.
pub(crate) trait Field<const D: usize, const P: usize> {
    /// f(x; q, t), where `clock` is the time in turns of the ensemble's clock, reduced by whole turns.
    fn derivative<S: Simd, T: Real, const K: usize>(
        x: &[Packet<S, T, K>; D],
        q: &[Packet<S, T, K>; P],
        clock: Packet<S, T, K>,
    ) -> [Packet<S, T, K>; D];
}

pub(crate) struct Lorenz63;

impl Field<3, 3> for Lorenz63 {
    #[inline(always)]
    fn derivative<S: Simd, T: Real, const K: usize>(
        [x, y, z]: &[Packet<S, T, K>; 3],
        [sigma, rho, beta]: &[Packet<S, T, K>; 3],
        _clock: Packet<S, T, K>,
    ) -> [Packet<S, T, K>; 3] {
        [
            *sigma * (*y - *x),
            x.mul_sub(*rho - *z, *y),
            x.mul_sub(*y, *beta * *z),
        ]
    }
}

pub(crate) struct Rossler;

impl Field<3, 3> for Rossler {
    #[inline(always)]
    fn derivative<S: Simd, T: Real, const K: usize>(
        [x, y, z]: &[Packet<S, T, K>; 3],
        [a, b, c]: &[Packet<S, T, K>; 3],
        _clock: Packet<S, T, K>,
    ) -> [Packet<S, T, K>; 3] {
        [-(*y + *z), a.mul_add(*y, *x), z.mul_add(*x - *c, *b)]
    }
}

pub(crate) struct VanDerPol;

impl Field<2, 1> for VanDerPol {
    #[inline(always)]
    fn derivative<S: Simd, T: Real, const K: usize>(
        [x, y]: &[Packet<S, T, K>; 2],
        [mu]: &[Packet<S, T, K>; 1],
        _clock: Packet<S, T, K>,
    ) -> [Packet<S, T, K>; 2] {
        let well = (-*x).mul_add(*x, x.constant(1.0));
        [*y, (*mu * well).mul_sub(*y, *x)]
    }
}

pub(crate) struct HenonHeiles;

impl Field<4, 0> for HenonHeiles {
    #[inline(always)]
    fn derivative<S: Simd, T: Real, const K: usize>(
        [x, y, p, q]: &[Packet<S, T, K>; 4],
        []: &[Packet<S, T, K>; 0],
        _clock: Packet<S, T, K>,
    ) -> [Packet<S, T, K>; 4] {
        let twice = *x + *x;
        [
            *p,
            *q,
            -twice.mul_add(*y, *x),
            y.mul_sub(*y, x.mul_add(*x, *y)),
        ]
    }
}

pub(crate) struct Oscillator;

impl Field<2, 2> for Oscillator {
    #[inline(always)]
    fn derivative<S: Simd, T: Real, const K: usize>(
        [x, v]: &[Packet<S, T, K>; 2],
        [stiffness, damping]: &[Packet<S, T, K>; 2],
        _clock: Packet<S, T, K>,
    ) -> [Packet<S, T, K>; 2] {
        [*v, -stiffness.mul_add(*x, *damping * *v)]
    }
}

pub(crate) struct Lorenz96;

impl Field<8, 1> for Lorenz96 {
    #[inline(always)]
    fn derivative<S: Simd, T: Real, const K: usize>(
        x: &[Packet<S, T, K>; 8],
        [forcing]: &[Packet<S, T, K>; 1],
        _clock: Packet<S, T, K>,
    ) -> [Packet<S, T, K>; 8] {
        let mut change = *x;
        for (i, change) in change.iter_mut().enumerate() {
            let difference = x[(i + 1) % 8] - x[(i + 6) % 8];
            *change = difference.mul_add(x[(i + 7) % 8], *forcing - x[i]);
        }
        change
    }
}

pub(crate) struct DoubleGyre;

impl Field<2, 2> for DoubleGyre {
    #[inline(always)]
    fn derivative<S: Simd, T: Real, const K: usize>(
        [x, y]: &[Packet<S, T, K>; 2],
        [amplitude, epsilon]: &[Packet<S, T, K>; 2],
        clock: Packet<S, T, K>,
    ) -> [Packet<S, T, K>; 2] {
        let s = *epsilon * sine_cosine(clock + clock).0;
        // f = x (s x + (1 - 2 s)), df/dx = 2 s x + (1 - 2 s)
        let straight = x.constant(-2.0).mul_add(s, x.constant(1.0));
        let bent = s.mul_add(*x, straight);
        let slope = s.mul_add(*x, bent);
        let (sine_f, cosine_f) = sine_cosine(*x * bent);
        let (sine_y, cosine_y) = sine_cosine(*y);
        let scale = amplitude.constant(std::f64::consts::PI) * *amplitude;
        [
            -((scale * sine_f) * cosine_y),
            ((scale * cosine_f) * sine_y) * slope,
        ]
    }
}

/// Coefficients of sin(pi r) / r in powers of r^2: (-1)^k pi^(2k+1) / (2k+1)!.
const SINE: [f64; 11] = series(std::f64::consts::PI, 1);
/// Coefficients of cos(pi r) in powers of r^2: (-1)^k pi^(2k) / (2k)!.
const COSINE: [f64; 11] = series(1.0, 0);

const fn series(first: f64, mut degree: u32) -> [f64; 11] {
    let square = std::f64::consts::PI * std::f64::consts::PI;
    let mut coefficients = [first; 11];
    let mut k = 1;
    while k < 11 {
        let factorials = ((degree + 1) * (degree + 2)) as f64;
        coefficients[k] = -coefficients[k - 1] * square / factorials;
        degree += 2;
        k += 1;
    }
    coefficients
}

/// sin(pi a) and cos(pi a): the nearest integer n is taken off, the rest r lies in [-1/2, 1/2], where
/// Taylor's series ends below the precision with seven terms (single) or eleven (double); n odd turns
/// both signs. 35 operations in single precision.
#[inline(always)]
pub(crate) fn sine_cosine<S: Simd, T: Real, const K: usize>(
    a: Packet<S, T, K>,
) -> (Packet<S, T, K>, Packet<S, T, K>) {
    let n = a.round();
    let r = a - n;
    let half = n * a.constant(0.5);
    // 0 where n is even, 1 or -1 where it is odd.
    let odd = (-half.round()).mul_add(a.constant(2.0), n);
    let sign = (odd * odd).mul_add(a.constant(-2.0), a.constant(1.0));
    let square = r * r;
    let sine = (polynomial(&SINE, square) * r) * sign;
    (sine, polynomial(&COSINE, square) * sign)
}

/// The terms of a series that the precision has use for.
#[inline(always)]
fn polynomial<S: Simd, T: Real, const K: usize>(
    coefficients: &[f64; 11],
    x: Packet<S, T, K>,
) -> Packet<S, T, K> {
    let terms = if size_of::<T>() == 4 { 7 } else { 11 };
    let mut sum = x.constant(coefficients[terms - 1]);
    for k in (0..terms - 1).rev() {
        sum = sum.mul_add(x, x.constant(coefficients[k]));
    }
    sum
}
