//! Logarithms of lengths, summed and recorded.

use super::orthonormalise::{Column, LEAST};
use crate::Real;

/// Where logarithms go.
pub(super) struct Ledger<'a, T> {
    pub sums: &'a mut [T],
    /// Records, and the row of the one that is due.
    pub logs: Option<(&'a mut Vec<T>, usize)>,
    pub status: &'a mut [u32],
    pub row: usize,
    pub start: usize,
    pub k: usize,
    pub done: u32,
}

impl<T: Real> Ledger<'_, T> {
    /// Enters column `j` of the lanes in use.
    #[inline(always)]
    pub fn enter(&mut self, j: usize, column: &Column<T>, used: usize, summed: bool) {
        let (row, k) = (self.row, self.k);
        for lane in 0..used {
            let at = self.start + lane;
            let length = column.diagonal[lane];
            let bad = &mut self.status[row + at];
            if !length.is_finite() && *bad == 0 {
                *bad = self.done;
            }
            let bad = *bad != 0;
            if column.replaced[lane] {
                self.status[at] = self.status[at].saturating_add(1);
            }
            if !summed {
                continue;
            }
            if !bad {
                let log = length.maximum(T::from_f64(LEAST)).ln();
                add(self.sums, [j, k + j].map(|r| r * row + at), log);
                add(self.sums, [2 * k + j, 3 * k + j].map(|r| r * row + at), log);
            }
            if let Some((logs, first)) = &mut self.logs {
                let places = [2 * k + j, 3 * k + j].map(|r| r * row + at);
                logs[(*first + j) * row + at] = self.sums[places[0]] + self.sums[places[1]];
                for place in places {
                    self.sums[place] = T::ZERO;
                }
            }
        }
    }
}

/// Adds a number to a sum and what rounding leaves out of it (Knuth, TAOCP 2, 4.2.2, theorem B).
#[inline(always)]
pub(super) fn add<T: Real>(sums: &mut [T], [high, low]: [usize; 2], value: T) {
    let before = sums[high];
    let sum = before + value;
    let part = sum - before;
    sums[high] = sum;
    sums[low] += (before - (sum - part)) + (value - part);
}
