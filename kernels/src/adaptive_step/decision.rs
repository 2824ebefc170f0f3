//! What becomes of one row's step.

use super::AdaptiveStep;
use crate::Real;

/// Smallest error whose power is taken: the factor is the largest long before.
const SMALLEST_ERROR: f64 = 1e-30;

/// What a row keeps beside its state and status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<T> {
    pub time: T,
    pub step_size: T,
}

impl AdaptiveStep {
    /// Norm of a row's error for `states` before and after the step; none where anything is not finite.
    #[inline(always)]
    pub(super) fn error_norm<T: Real>(
        &self,
        row: usize,
        step_size: T,
        (before, after): (&[T], &[T]),
        stages: &[(T, &[T])],
    ) -> Option<T> {
        let absolute = T::from_f32(self.absolute_tolerance);
        let relative = T::from_f32(self.relative_tolerance);
        let first = row * before.len();
        let mut sum = T::ZERO;
        let mut sound = true;
        for (column, (before, after)) in before.iter().zip(after).enumerate() {
            let terms = stages.iter();
            let error = terms.fold(T::ZERO, |sum, (coefficient, k)| {
                coefficient.mul_add(k[first + column], sum)
            });
            let error = step_size * error;
            sound &= after.is_finite() && error.is_finite();
            let size = before.abs().maximum(after.abs());
            let ratio = error / relative.mul_add(size, absolute);
            sum = ratio.mul_add(ratio, sum);
        }
        let norm = (sum / T::from_f64(self.width.into())).sqrt();
        (sound && norm.is_finite()).then_some(norm)
    }

    fn factor<T: Real>(&self, error: Option<T>) -> T {
        let smallest = T::from_f32(self.smallest_factor);
        let Some(error) = error else { return smallest };
        let logarithm = error.maximum(T::from_f64(SMALLEST_ERROR)).ln();
        let power = (T::from_f64(-0.2) * logarithm).exp();
        let factor = T::from_f32(self.safety) * power;
        factor
            .maximum(smallest)
            .minimum(T::from_f32(self.largest_factor))
    }

    /// Updates a running row's time, step size and status words; true if the step is accepted.
    pub(super) fn decide<T: Real>(
        &self,
        error: Option<T>,
        row: &mut Row<T>,
        status: &mut [u32],
    ) -> bool {
        let [accepted, rejected, state, after_rejection] = status else {
            return false;
        };
        let end = T::from_f32(self.end_time);
        let mut factor = self.factor(error);
        let accept = error.is_some_and(|error| error <= T::ONE);
        if accept {
            if *after_rejection != 0 {
                factor = factor.minimum(T::ONE);
            }
            // What was left was taken as the step, so this holds exactly when the interval closes.
            if row.step_size >= end - row.time {
                row.time = end;
                *state = Self::DONE;
            } else {
                row.time += row.step_size;
            }
            *accepted = accepted.wrapping_add(1);
        } else {
            *rejected = rejected.wrapping_add(1);
        }
        *after_rejection = u32::from(!accept);

        let rest = end - row.time;
        let wanted = factor * row.step_size;
        let mut next = wanted.minimum(T::from_f32(self.maximum_step));
        if !wanted.is_finite() {
            *state = Self::FAILED;
        } else if next >= T::from_f64(0.99) * rest {
            next = rest;
        } else if next < T::from_f32(self.minimum_step) {
            *state = Self::FAILED;
        }
        row.step_size = match *state {
            Self::RUNNING => next,
            _ => T::ZERO,
        };
        accept
    }
}
