//! What becomes of an orbit, as the status tells it.

use super::formulas::Vector;
use crate::Real;
use pulp::Simd;

/// Looks for states that are not finite, and for orbits that have come back.
pub(super) struct Watch<S: Simd, T: Real> {
    /// Step from which on `fine` is counted.
    pub first: u32,
    /// Steps since then after which all numbers were finite.
    pub fine: Vector<S, T>,
    /// A state of a while ago; 1 until the orbit is there again, then 0; and the sum of that.
    pub saved: Vector<S, T>,
    pub away: Vector<S, T>,
    pub steps_away: Vector<S, T>,
}

impl<S: Simd, T: Real> Watch<S, T> {
    #[inline(always)]
    pub fn new(first: u32, x: Vector<S, T>) -> Self {
        let zero = x.constant(0.0);
        Self {
            first,
            fine: zero,
            saved: x,
            away: x.constant(1.0),
            steps_away: zero,
        }
    }

    /// Takes in the state after step `index` of the launch. Brent's search for cycles, in systems of one
    /// number: those of more have too many states to come back to one.
    #[inline(always)]
    pub fn see<const D: usize>(&mut self, x: &[Vector<S, T>; D], index: u32) {
        let (zero, one) = (x[0].constant(0.0), x[0].constant(1.0));
        let mut difference = zero;
        for &x in x {
            // Nothing, but NaN where the number is infinite or NaN.
            difference = difference + x * zero;
        }
        self.fine = self.fine + difference.where_at_most(zero, one, zero);
        if D == 1 {
            let apart = (x[0] - self.saved).abs();
            self.away = apart.where_at_most(zero, zero, self.away);
            self.steps_away = self.steps_away + self.away;
            if (index + 1).is_power_of_two() {
                self.saved = x[0];
            }
        }
    }

    /// Writes to the status what has been seen up to step `done`.
    #[inline(always)]
    pub fn report(&mut self, done: u32, status: &mut [u32], row: usize, start: usize, used: usize) {
        let steps = T::from_f64(f64::from(done - self.first));
        let fine = self.fine.lanes();
        let (away, steps_away) = (self.away.lanes(), self.steps_away.lanes());
        for lane in 0..used {
            let bad = &mut status[row + start + lane];
            if fine[lane] < steps && *bad == 0 {
                *bad = self.first + fine[lane].to_f64() as u32 + 1;
            }
            let back = &mut status[2 * row + start + lane];
            if away[lane] == T::ZERO && *back == 0 {
                *back = self.first + steps_away[lane].to_f64() as u32 + 1;
            }
        }
        let zero = self.fine.constant(0.0);
        (self.first, self.fine, self.steps_away) = (done, zero, zero);
    }
}
