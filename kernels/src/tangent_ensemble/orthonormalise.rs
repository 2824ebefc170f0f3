//! W = Q R of a few columns of a few numbers, for many trajectories lane by lane.

use super::formulas::Vector;
use crate::Real;
use crate::packet::{Packet, WIDEST};
use pulp::Simd;

/// Norms under it count as nothing; the least logarithm is that of it.
pub(super) const LEAST: f64 = 1e-30;

/// Columns of a lane of which rounding has left less than this share of the longest are replaced.
fn rounding<T: Real>() -> T {
    T::from_f64(if size_of::<T>() == 4 { 1e-6 } else { 1e-14 })
}

#[inline(always)]
fn dot<S: Simd, T: Real, const D: usize>(
    a: &[Vector<S, T>; D],
    b: &[Vector<S, T>; D],
) -> Vector<S, T> {
    let mut sum = a[0] * b[0];
    for (a, b) in a.iter().zip(b).skip(1) {
        sum = a.mul_add(*b, sum);
    }
    sum
}

/// Euclidean norm; squares neither overflow nor underflow.
#[inline(always)]
fn norm<S: Simd, T: Real, const D: usize>(a: &[Vector<S, T>; D]) -> Vector<S, T> {
    let mut largest = a[0].abs();
    for a in a.iter().skip(1) {
        largest = a.abs().max(largest);
    }
    let inverse = largest.constant(1.0) / largest.max(largest.constant(LEAST));
    let mut scaled = *a;
    for scaled in &mut scaled {
        *scaled = *scaled * inverse;
    }
    largest * dot(&scaled, &scaled).sqrt()
}

/// Diagonal of R of one column, lane by lane, and which lanes were replaced or are not finite.
pub(super) struct Column<T> {
    pub diagonal: [T; WIDEST],
    pub replaced: [bool; WIDEST],
}

/// Replaces the first `k` columns of `w` by orthonormal ones in all lanes, and gives R's diagonal to `see`
/// column after column. Lanes that are not finite stay so.
#[inline(always)]
pub(super) fn orthonormalise<S: Simd, T: Real, const D: usize>(
    simd: S,
    w: &mut [[Vector<S, T>; D]; D],
    k: usize,
    used: usize,
    mut see: impl FnMut(usize, &Column<T>),
) {
    let mut longest = Packet::splat(simd, T::ZERO);
    for column in w.iter().take(k) {
        longest = norm(column).max(longest);
    }
    let bound = longest * Packet::splat(simd, rounding());
    let bound = bound.max(bound.constant(LEAST)).lanes();
    for j in 0..k {
        let mut column = w[j];
        for _ in 0..2 {
            for before in w.iter().take(j) {
                let share = -dot(before, &column);
                for (column, before) in column.iter_mut().zip(before) {
                    *column = share.mul_add(*before, *column);
                }
            }
        }
        let length = norm(&column);
        let inverse = length.constant(1.0) / length;
        for column in &mut column {
            *column = *column * inverse;
        }
        w[j] = column;
        let mut seen = Column {
            diagonal: length.lanes(),
            replaced: [false; WIDEST],
        };
        let lanes = seen.diagonal.iter().zip(&bound).zip(&mut seen.replaced);
        for ((length, bound), replaced) in lanes.take(used) {
            // NaN is no loss of rank.
            *replaced = length <= bound;
        }
        if seen.replaced.iter().take(used).any(|replaced| *replaced) {
            replace(simd, w, j, &seen.replaced);
        }
        see(j, &seen);
    }
}

/// Puts a vector orthogonal to all columns before into column `j` of some lanes: the axis that is furthest
/// from their span, without its part in it.
#[cold]
fn replace<S: Simd, T: Real, const D: usize>(
    simd: S,
    w: &mut [[Vector<S, T>; D]; D],
    j: usize,
    lanes: &[bool; WIDEST],
) {
    let mut columns = [[[T::ZERO; WIDEST]; D]; D];
    for (lanes, column) in columns.iter_mut().zip(w.iter()) {
        for (lanes, component) in lanes.iter_mut().zip(column) {
            *lanes = component.lanes();
        }
    }
    for (lane, _) in lanes.iter().enumerate().filter(|(_, replaced)| **replaced) {
        let before: Vec<[T; D]> = columns
            .iter()
            .take(j)
            .map(|column| std::array::from_fn(|d| column[d][lane]))
            .collect();
        let found = furthest_axis(&before);
        for (component, value) in columns[j].iter_mut().zip(found) {
            component[lane] = value;
        }
    }
    for (component, lanes) in w[j].iter_mut().zip(&columns[j]) {
        *component = Packet::load(simd, lanes, 0);
    }
}

/// The unit vector orthogonal to `before` that comes from the axis furthest from their span.
fn furthest_axis<T: Real, const D: usize>(before: &[[T; D]]) -> [T; D] {
    let mut best = (0, T::from_f64(-1.0));
    for axis in 0..D {
        let inside = before.iter().map(|q| q[axis] * q[axis]);
        let left = inside.fold(T::ONE, |left, square| left - square);
        if left > best.1 {
            best = (axis, left);
        }
    }
    let mut found = [T::ZERO; D];
    found[best.0] = T::ONE;
    for _ in 0..2 {
        for q in before {
            let share = (0..D).fold(T::ZERO, |sum, d| found[d].mul_add(q[d], sum));
            for (found, q) in found.iter_mut().zip(q) {
                *found -= share * *q;
            }
        }
    }
    let square = found.iter().fold(T::ZERO, |sum, v| v.mul_add(*v, sum));
    let length = square.sqrt();
    found.map(|v| v / length)
}
