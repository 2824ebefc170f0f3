//! The systems and their Jacobians; `shaders/tangent_ensemble.wgsl` and `shaders/common/classical_maps.wgsl`
//! hold the same.
//!
//! Maps and the two chaotic attractors of flows are written without fused multiply-adds, in the order of
//! the textbooks: a chaotic orbit hangs on every rounding, and so one that was published by a plain
//! double-precision program comes out the same to the last bit.

use crate::Real;
use crate::ode_ensemble::fields::{self, Field, sine_cosine};
use crate::packet::{Packet, WIDEST};
use pulp::Simd;
use std::f64::consts::{PI, TAU};

/// One register of numbers.
pub(super) type Vector<S, T> = Packet<S, T, 1>;

/// A system of `D` numbers with `P` parameters.
pub(super) trait Dynamics<const D: usize, const P: usize> {
    /// Whether [`Dynamics::evaluate`] is a time derivative, and not the next state.
    const FLOW: bool;

    /// f(x; q, t) or F(x; q); `clock` is the time in turns.
    fn evaluate<S: Simd, T: Real>(
        simd: S,
        x: &[Vector<S, T>; D],
        q: &[Vector<S, T>; P],
        clock: Vector<S, T>,
    ) -> [Vector<S, T>; D];

    /// Its derivative; row i holds those of component i.
    fn jacobian<S: Simd, T: Real>(
        simd: S,
        x: &[Vector<S, T>; D],
        q: &[Vector<S, T>; P],
        clock: Vector<S, T>,
    ) -> [[Vector<S, T>; D]; D];
}

/// A function of one number, lane by lane.
#[inline(always)]
fn each<S: Simd, T: Real>(simd: S, x: Vector<S, T>, f: impl Fn(T) -> T) -> Vector<S, T> {
    let mut lanes = x.lanes();
    let width = Vector::<S, T>::width().min(WIDEST);
    for lane in lanes.iter_mut().take(width) {
        *lane = f(*lane);
    }
    Packet::load(simd, &lanes, 0)
}

/// x modulo `period` in [0, `period`), with one rounding.
#[inline(always)]
fn wrapped<S: Simd, T: Real>(x: Vector<S, T>, period: f64) -> Vector<S, T> {
    let period = x.constant(period);
    let turns = x / period;
    let nearest = turns.round();
    let floor = nearest.where_at_most(turns, nearest, nearest - x.constant(1.0));
    (-floor).mul_add(period, x)
}

macro_rules! flow_of_field {
    ($name:ident, $d:literal, $p:literal, |$x:ident, $q:ident, $clock:ident| $jacobian:expr) => {
        pub(super) struct $name;

        impl Dynamics<$d, $p> for $name {
            const FLOW: bool = true;

            #[inline(always)]
            fn evaluate<S: Simd, T: Real>(
                _simd: S,
                x: &[Vector<S, T>; $d],
                q: &[Vector<S, T>; $p],
                clock: Vector<S, T>,
            ) -> [Vector<S, T>; $d] {
                fields::$name::derivative(x, q, clock)
            }

            #[inline(always)]
            fn jacobian<S: Simd, T: Real>(
                _simd: S,
                $x: &[Vector<S, T>; $d],
                $q: &[Vector<S, T>; $p],
                $clock: Vector<S, T>,
            ) -> [[Vector<S, T>; $d]; $d] {
                $jacobian
            }
        }
    };
}

flow_of_field!(VanDerPol, 2, 1, |state, parameters, _clock| {
    let ([x, y], [mu]) = (state, parameters);
    let (zero, one) = (x.constant(0.0), x.constant(1.0));
    let steep = (*mu * (*x + *x)).mul_add(*y, one);
    [[zero, one], [-steep, *mu * (-*x).mul_add(*x, one)]]
});

flow_of_field!(HenonHeiles, 4, 0, |state, _parameters, _clock| {
    let [x, y, _, _] = state;
    let (zero, one) = (x.constant(0.0), x.constant(1.0));
    let (bend, twice) = (-(*x + *x), *y + *y);
    [
        [zero, zero, one, zero],
        [zero, zero, zero, one],
        [-(one + twice), bend, zero, zero],
        [bend, twice - one, zero, zero],
    ]
});

flow_of_field!(Oscillator, 2, 2, |state, parameters, _clock| {
    let ([x, _], [stiffness, damping]) = (state, parameters);
    [[x.constant(0.0), x.constant(1.0)], [-*stiffness, -*damping]]
});

flow_of_field!(DoubleGyre, 2, 2, |state, parameters, clock| {
    let ([x, y], [amplitude, epsilon]) = (state, parameters);
    let s = *epsilon * sine_cosine(clock + clock).0;
    let straight = x.constant(-2.0).mul_add(s, x.constant(1.0));
    let bent = s.mul_add(*x, straight);
    let slope = s.mul_add(*x, bent);
    let (sine_f, cosine_f) = sine_cosine(*x * bent);
    let (sine_y, cosine_y) = sine_cosine(*y);
    let scale = x.constant(PI) * *amplitude;
    let square = x.constant(PI) * scale;
    let stretch = ((square * cosine_f) * cosine_y) * slope;
    // d/dx of cos(pi f) df/dx: the second derivative of f is 2 s.
    let turn = (scale * cosine_f) * (s + s) - ((square * sine_f) * slope) * slope;
    [
        [-stretch, (square * sine_f) * sine_y],
        [turn * sine_y, stretch],
    ]
});

macro_rules! system {
    ($name:ident, $d:literal, $p:literal, $flow:literal,
     |$simd:ident, $x:ident, $q:ident| $evaluate:expr, $jacobian:expr) => {
        pub(super) struct $name;

        impl Dynamics<$d, $p> for $name {
            const FLOW: bool = $flow;

            #[inline(always)]
            fn evaluate<S: Simd, T: Real>(
                $simd: S,
                $x: &[Vector<S, T>; $d],
                $q: &[Vector<S, T>; $p],
                _clock: Vector<S, T>,
            ) -> [Vector<S, T>; $d] {
                $evaluate
            }

            #[inline(always)]
            fn jacobian<S: Simd, T: Real>(
                $simd: S,
                $x: &[Vector<S, T>; $d],
                $q: &[Vector<S, T>; $p],
                _clock: Vector<S, T>,
            ) -> [[Vector<S, T>; $d]; $d] {
                $jacobian
            }
        }
    };
}

system!(
    Lorenz63,
    3,
    3,
    true,
    |_simd, state, parameters| {
        let ([x, y, z], [sigma, rho, beta]) = (state, parameters);
        [
            *sigma * (*y - *x),
            *x * (*rho - *z) - *y,
            *x * *y - *beta * *z,
        ]
    },
    {
        let ([x, y, z], [sigma, rho, beta]) = (state, parameters);
        [
            [-*sigma, *sigma, x.constant(0.0)],
            [*rho - *z, x.constant(-1.0), -*x],
            [*y, *x, -*beta],
        ]
    }
);

system!(
    Rossler,
    3,
    3,
    true,
    |_simd, state, parameters| {
        let ([x, y, z], [a, b, c]) = (state, parameters);
        [-*y - *z, *x + *a * *y, *b + *z * (*x - *c)]
    },
    {
        let ([x, _, z], [a, _, c]) = (state, parameters);
        let (zero, one) = (x.constant(0.0), x.constant(1.0));
        [[zero, -one, -one], [one, *a, zero], [*z, zero, *x - *c]]
    }
);

system!(
    Henon,
    2,
    2,
    false,
    |_simd, state, parameters| {
        let ([x, y], [a, b]) = (state, parameters);
        [(x.constant(1.0) - *a * (*x * *x)) + *y, *b * *x]
    },
    {
        let ([x, _], [a, b]) = (state, parameters);
        let slope = (x.constant(-2.0) * *a) * *x;
        [[slope, x.constant(1.0)], [*b, x.constant(0.0)]]
    }
);

system!(
    Cat,
    2,
    0,
    false,
    |_simd, state, _parameters| {
        let [x, y] = state;
        [
            wrapped(x.constant(2.0) * *x + *y, 1.0),
            wrapped(*x + *y, 1.0),
        ]
    },
    {
        let [x, _] = state;
        let one = x.constant(1.0);
        [[x.constant(2.0), one], [one, one]]
    }
);

system!(
    StandardMap,
    2,
    1,
    false,
    |simd, state, parameters| {
        let ([x, p], [k]) = (state, parameters);
        // The angle takes the kick before it is wrapped.
        let kicked = *p + *k * each(simd, *x, T::sin);
        [wrapped(*x + kicked, TAU), wrapped(kicked, TAU)]
    },
    {
        let ([x, _], [k]) = (state, parameters);
        let one = x.constant(1.0);
        let kick = *k * each(simd, *x, T::cos);
        [[one + kick, one], [kick, one]]
    }
);

system!(
    Logistic,
    1,
    1,
    false,
    |_simd, state, parameters| {
        let ([x], [r]) = (state, parameters);
        [(*r * *x) * (x.constant(1.0) - *x)]
    },
    {
        let ([x], [r]) = (state, parameters);
        [[*r * (x.constant(1.0) - x.constant(2.0) * *x)]]
    }
);

system!(
    Ikeda,
    2,
    1,
    false,
    |simd, state, parameters| {
        let ([x, y], [u]) = (state, parameters);
        let one = x.constant(1.0);
        let t = x.constant(0.4) - x.constant(6.0) / (one + (*x * *x + *y * *y));
        let (s, c) = (each(simd, t, T::sin), each(simd, t, T::cos));
        [one + *u * (*x * c - *y * s), *u * (*x * s + *y * c)]
    },
    {
        let ([x, y], [u]) = (state, parameters);
        let radius = x.constant(1.0) + (*x * *x + *y * *y);
        let t = x.constant(0.4) - x.constant(6.0) / radius;
        let (s, c) = (each(simd, t, T::sin), each(simd, t, T::cos));
        let (across, up) = (*x * c - *y * s, *x * s + *y * c);
        // t grows by 12 x / radius^2 with x, and so with y.
        let rate = x.constant(12.0) / (radius * radius);
        let (by_x, by_y) = (rate * *x, rate * *y);
        [
            [*u * (c - up * by_x), *u * (-s - up * by_y)],
            [*u * (s + across * by_x), *u * (c + across * by_y)],
        ]
    }
);
