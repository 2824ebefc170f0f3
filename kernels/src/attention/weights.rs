//! Scores and softmax weights of some queries, transposed: a row a key, a column a query. A query is then
//! a lane of its own, sums over keys need no horizontal steps, and a column is exactly what the product
//! with the values takes as its left factor.

use super::Attention;
use super::scratch::Matrix;
use super::transpose::GROUP;
use crate::{Real, simd};

/// Numbers that a matrix of weights should have at most, to stay in the second-level cache with others.
const NEAR: usize = 64 * 1024;

/// Queries whose weights are held at a time.
pub(crate) fn block(p: &Attention, rows: usize) -> usize {
    let fits = NEAR / (p.k_rows as usize) / GROUP * GROUP;
    fits.clamp(2 * GROUP, rows.max(2 * GROUP)).min(rows)
}

/// Where the rows of one example and head start in an operand.
pub(crate) fn start(rows: &crate::rows::Rows, example: usize, row: usize, first: usize) -> usize {
    rows.offset as usize
        + example * rows.batch_stride as usize
        + row * rows.row_stride as usize
        + first
}

/// The mask of `count` queries from `row` on, transposed.
pub(crate) fn mask<T: Real>(
    p: &Attention,
    mask: &[T],
    (example, row, count): (usize, usize, usize),
    into: &mut Matrix<T>,
) {
    let keys = p.k_rows as usize;
    let from = example * p.mask_batch_stride as usize + row * keys;
    into.transpose(&mask[from..], (count, keys), keys);
}

/// Turns products of queries and keys into weights, in place: scale, mask, softmax over the keys. A query
/// without keys has weights of zero.
pub(crate) fn softmax<T: Real>(
    scores: &mut Matrix<T>,
    keys: usize,
    scale: T,
    mask: Option<&Matrix<T>>,
) {
    let stride = scores.stride;
    let rows = &mut scores.rows_mut()[..keys * stride];
    simd(
        #[inline(always)]
        || {
            for first in (0..stride).step_by(GROUP) {
                let largest = scaled(rows, (stride, first), scale, mask);
                // Minus infinity minus itself is no number: without a key, take differences from zero.
                let base = largest.map(|m| if m == T::NEG_INFINITY { T::ZERO } else { m });
                let mut totals = [T::ZERO; GROUP];
                for line in groups(rows, stride, first) {
                    for ((value, base), total) in line.iter_mut().zip(&base).zip(&mut totals) {
                        *value = (*value - *base).exp();
                        *total += *value;
                    }
                }
                let factors = totals.map(|total| {
                    if total == T::ZERO {
                        T::ZERO
                    } else {
                        T::ONE / total
                    }
                });
                for line in groups(rows, stride, first) {
                    for (value, factor) in line.iter_mut().zip(&factors) {
                        *value *= *factor;
                    }
                }
            }
        },
    );
}

/// Scales the scores of a group of queries and adds the mask; returns the largest of each query.
#[inline(always)]
fn scaled<T: Real>(
    rows: &mut [T],
    (stride, first): (usize, usize),
    scale: T,
    mask: Option<&Matrix<T>>,
) -> [T; GROUP] {
    let mut largest = [T::NEG_INFINITY; GROUP];
    if let Some(mask) = mask {
        let added = mask.rows().chunks_exact(stride);
        for (line, added) in groups(rows, stride, first).zip(added) {
            let added = &added[first..first + GROUP];
            for ((value, added), largest) in line.iter_mut().zip(added).zip(&mut largest) {
                *value = *value * scale + *added;
                *largest = value.maximum(*largest);
            }
        }
    } else {
        for line in groups(rows, stride, first) {
            for (value, largest) in line.iter_mut().zip(&mut largest) {
                *value *= scale;
                *largest = value.maximum(*largest);
            }
        }
    }
    largest
}

/// A group of columns, row by row.
#[inline(always)]
pub(crate) fn groups<T>(
    rows: &mut [T],
    stride: usize,
    first: usize,
) -> impl Iterator<Item = &mut [T; GROUP]> {
    rows.chunks_exact_mut(stride)
        .filter_map(move |row| row[first..].first_chunk_mut::<GROUP>())
}
