//! Step control of Dormand and Prince's pair, lane by lane: every trajectory has its own time, step size
//! and verdict, and a stopped one keeps what it has while its neighbours go on.

use super::fields::Field;
use super::methods::{PLACES, dormand_prince_step};
use super::{OdeEnsemble, OdeState};
use crate::Real;
use crate::packet::Packet;
use pulp::Simd;

/// Trajectories of one packet under step control. Flags are 1 or 0; counts are exact up to 2^24.
#[derive(Clone, Copy)]
pub(super) struct Controlled<S: Simd, T: Real, const K: usize, const D: usize> {
    pub x: [Packet<S, T, K>; D],
    /// Time since the start, and what rounding took off it.
    pub time: [Packet<S, T, K>; 2],
    /// Size of the next step.
    pub step: Packet<S, T, K>,
    pub accepted: Packet<S, T, K>,
    pub rejected: Packet<S, T, K>,
    /// [`OdeState`] as a number.
    pub state: Packet<S, T, K>,
}

/// Constants of a run in every lane.
pub(super) struct Control<S: Simd, T: Real, const K: usize> {
    pub zero: Packet<S, T, K>,
    pub one: Packet<S, T, K>,
    /// Length of time in all.
    pub span: Packet<S, T, K>,
    pub absolute: Packet<S, T, K>,
    pub relative: Packet<S, T, K>,
    /// Attempts in all.
    pub attempts: Packet<S, T, K>,
    /// Clock at the start, and its turns in a unit of time.
    pub clock: [Packet<S, T, K>; 2],
}

impl<S: Simd, T: Real, const K: usize> Control<S, T, K> {
    #[inline(always)]
    pub fn new(p: &OdeEnsemble, simd: S) -> Self {
        let zero = Packet::splat(simd, T::ZERO);
        Self {
            zero,
            one: zero.constant(1.0),
            span: zero.constant(p.span()),
            absolute: zero.constant(f64::from(p.absolute_tolerance)),
            relative: zero.constant(f64::from(p.relative_tolerance)),
            attempts: zero.constant(f64::from(p.total_steps)),
            clock: [
                Packet::splat(simd, super::clock_at::<T>(p.phase())),
                zero.constant(p.rate()),
            ],
        }
    }

    /// The clock `time` after the start, reduced by whole turns.
    #[inline(always)]
    pub fn at(&self, time: Packet<S, T, K>) -> Packet<S, T, K> {
        let [start, rate] = self.clock;
        let turns = time * rate;
        start + (turns - turns.round())
    }
}

/// 1 where `a` is the state `b`, else 0.
#[inline(always)]
fn is<S: Simd, T: Real, const K: usize>(
    a: Packet<S, T, K>,
    b: u32,
    control: &Control<S, T, K>,
) -> Packet<S, T, K> {
    let same = (a - code(a, b)).abs();
    same.where_at_most(control.zero, control.one, control.zero)
}

/// An [`OdeState`] in every lane.
#[inline(always)]
fn code<S: Simd, T: Real, const K: usize>(like: Packet<S, T, K>, state: u32) -> Packet<S, T, K> {
    like.constant(f64::from(state))
}

/// (a + b, its rounding error): Knuth's two-sum.
#[inline(always)]
fn two_sum<S: Simd, T: Real, const K: usize>(
    a: Packet<S, T, K>,
    b: Packet<S, T, K>,
) -> [Packet<S, T, K>; 2] {
    let sum = a + b;
    let b_part = sum - a;
    [sum, (a - (sum - b_part)) + (b - b_part)]
}

/// x^(-1/5) for x in [2^-15, 2^15): scaled by powers of 32 into [1, 32), a parabola within 8.2 % of the
/// root there, then three rounds of Newton's iteration, each of which leaves three times the square of the
/// relative error: under 1e-5, alike on every device, which is what a step size needs.
#[inline(always)]
pub(super) fn inverse_fifth_root<S: Simd, T: Real, const K: usize>(
    x: Packet<S, T, K>,
) -> Packet<S, T, K> {
    let (mut x, mut scale) = (x, x.constant(1.0));
    for _ in 0..3 {
        let below = x.where_at_most(x.constant(BELOW_ONE), x.constant(32.0), x.constant(1.0));
        x = x * below;
        scale = below.where_at_most(x.constant(1.0), scale, scale + scale);
    }
    for _ in 0..2 {
        let within = x.where_at_most(
            x.constant(BELOW_32),
            x.constant(1.0),
            x.constant(1.0 / 32.0),
        );
        x = x * within;
        scale = within.where_at_most(x.constant(1.0 / 32.0), scale * x.constant(0.5), scale);
    }
    let mut y = x
        .constant(GUESS[2])
        .mul_add(x, x.constant(GUESS[1]))
        .mul_add(x, x.constant(GUESS[0]));
    for _ in 0..3 {
        let square = y * y;
        let fifth = (square * square) * y;
        y = y * (-x).mul_add(fifth * x.constant(0.2), x.constant(1.2));
    }
    y * scale
}

/// Just under 1 and 32 in single precision.
const BELOW_ONE: f64 = 1.0 - 1.0 / 16_777_216.0;
const BELOW_32: f64 = 32.0 * BELOW_ONE;
/// The parabola nearest to x^(-1/5) on [1, 32], by largest relative error.
const GUESS: [f64; 3] = [0.956_167_2, -3.845_775e-2, 7.961_21e-4];

/// One attempt of every trajectory that is still running; `k` is the derivative at its state.
#[inline(always)]
pub(super) fn attempt<F, S: Simd, T: Real, const K: usize, const D: usize, const P: usize>(
    c: &Control<S, T, K>,
    q: &[Packet<S, T, K>; P],
    now: &mut Controlled<S, T, K, D>,
    k: &mut [Packet<S, T, K>; D],
) where
    F: Field<D, P>,
{
    let (zero, one) = (c.zero, c.one);
    let after_rejection = is(now.state, OdeState::REJECTED, c);
    let running = is(now.state, OdeState::RUNNING, c) + after_rejection;
    let [t, t_low] = now.time;
    let left = (c.span - t) - t_low;
    // A step that would leave less than a hundredth of itself goes to the end.
    let last = left.where_at_most(now.step * one.constant(1.01), one, zero);
    let h = one.where_at_most(last, left, now.step);
    let reached = two_sum(t, h + t_low);
    let end = [
        one.where_at_most(last, c.span, reached[0]),
        one.where_at_most(last, zero, reached[1]),
    ];
    let mut places = [c.at(end[0]); 5];
    for (place, within) in places.iter_mut().zip(PLACES) {
        *place = c.at(h.mul_add(h.constant(within), t));
    }
    let made = dormand_prince_step::<F, S, T, K, D, P>(h, &now.x, q, k, places);
    let mut sum = zero;
    for i in 0..D {
        let largest = now.x[i].abs().max(made.x[i].abs());
        let share = (made.error[i] * h) / c.relative.mul_add(largest, c.absolute);
        sum = share.mul_add(share, sum);
    }
    let mean = sum * one.constant(1.0 / D as f64);
    let accepted = mean.where_at_most(one, one, zero);
    // Outside these bounds the factor is at its own; NaN counts as much too large.
    let error = mean
        .sqrt()
        .min(one.constant(4096.0))
        .max(one.constant(1e-4));
    let most = one.where_at_most(after_rejection, one, one.constant(5.0));
    let factor = inverse_fifth_root(error) * one.constant(0.9);
    let factor = factor.max(one.constant(0.2)).min(most);
    let step = h * factor;
    let take = accepted * running;
    for (old, new) in now.x.iter_mut().zip(made.x) {
        *old = one.where_at_most(take, new, *old);
    }
    for (old, new) in k.iter_mut().zip(made.k) {
        *old = one.where_at_most(take, new, *old);
    }
    now.time = [
        one.where_at_most(take, end[0], t),
        one.where_at_most(take, end[1], t_low),
    ];
    now.step = one.where_at_most(running, step, now.step);
    now.accepted = now.accepted + take;
    now.rejected = now.rejected + (running - take);
    let spent = c
        .attempts
        .where_at_most(now.accepted + now.rejected, one, zero);
    let refused = one.where_at_most(
        spent,
        code(one, OdeState::EXHAUSTED),
        code(one, OdeState::REJECTED),
    );
    // A step that no longer moves the time cannot shrink to any purpose.
    let refused = (t + step).where_at_most(t, code(one, OdeState::STALLED), refused);
    let going = one.where_at_most(
        spent,
        code(one, OdeState::EXHAUSTED),
        code(one, OdeState::RUNNING),
    );
    let arrived = one.where_at_most(last, code(one, OdeState::DONE), going);
    let state = one.where_at_most(accepted, arrived, refused);
    now.state = one.where_at_most(running, state, now.state);
}
