//! Tall matrices through the Cholesky factor of `W' W` in double precision: `Q = W R^-1`.
//!
//! One pass leaves Q orthogonal within about 1e-16 times the square of the condition number, two do so
//! within working precision (Yamamoto, Nakatsukasa, Yanagisawa, Fukaya, "Roundoff error analysis of the
//! CholeskyQR2 algorithm", ETNA 44, 2015). Badly conditioned matrices are left to reflections.

use super::householder::add_multiple;
use super::pieces::{Axis, Piece};
use super::twin::{Factors, Shape};
use crate::{Real, simd};
use rayon::prelude::*;

/// Rows that are summed together, then blocks in order.
const BLOCK: usize = 256;
/// Blocks that a thread takes, whose sums are then added in order.
const BLOCKS: usize = 16;
/// Largest square of the Frobenius norm of the inverse of R with columns of length one.
const WORST: f64 = 1e6;
/// Lanes of a sum: element i belongs to lane i modulo so many.
const LANES: usize = 16;

/// Sums of products of one column with `C` others, of equal length.
#[inline(always)]
fn dots<const C: usize>(x: &[f64], others: [&[f64]; C]) -> [f64; C] {
    let mut lanes = [[0.0f64; LANES]; C];
    let whole = x.len() - x.len() % LANES;
    let mut at = 0;
    while at < whole {
        let x = &x[at..at + LANES];
        for c in 0..C {
            let y = &others[c][at..at + LANES];
            for t in 0..LANES {
                lanes[c][t] = x[t].mul_add(y[t], lanes[c][t]);
            }
        }
        at += LANES;
    }
    for i in whole..x.len() {
        for c in 0..C {
            let lane = &mut lanes[c][i - whole];
            *lane = x[i].mul_add(others[c][i], *lane);
        }
    }
    lanes.map(|mut lanes| {
        for half in [8, 4, 2, 1] {
            for t in 0..half {
                lanes[t] += lanes[t + half];
            }
        }
        lanes[0]
    })
}

/// Adds the upper triangle of `W' W` over some rows of columns that are `stride` apart.
#[inline(always)]
fn add_gram(a: &[f64], stride: usize, rows: std::ops::Range<usize>, gram: &mut [f64], k: usize) {
    let column = |j: usize| &a[j * stride + rows.start..j * stride + rows.end];
    for i in 0..k {
        let mut j = i;
        while j + 4 <= k {
            let others = [column(j), column(j + 1), column(j + 2), column(j + 3)];
            for (c, sum) in dots(column(i), others).into_iter().enumerate() {
                gram[i * k + j + c] += sum;
            }
            j += 4;
        }
        while j < k {
            let [sum] = dots(column(i), [column(j)]);
            gram[i * k + j] += sum;
            j += 1;
        }
    }
}

/// Multiplies some rows by an upper triangular matrix from the right, in place.
#[inline(always)]
fn multiply(a: &mut [f64], stride: usize, rows: std::ops::Range<usize>, upper: &[f64], k: usize) {
    let length = rows.len();
    for j in (0..k).rev() {
        let (before, rest) = a.split_at_mut(j * stride);
        let before = &*before;
        let column = &mut rest[rows.start..rows.end];
        let own = upper[j * k + j];
        column.iter_mut().for_each(|v| *v *= own);
        let mut l = 0;
        while l + 4 <= j {
            let part = |c: usize| &before[(l + c) * stride + rows.start..][..length];
            let (w, x, y, z) = (part(0), part(1), part(2), part(3));
            let [f, g, h, m]: [f64; 4] = std::array::from_fn(|c| upper[(l + c) * k + j]);
            for i in 0..length.min(column.len()) {
                let sum = x[i].mul_add(g, w[i].mul_add(f, column[i]));
                column[i] = z[i].mul_add(m, y[i].mul_add(h, sum));
            }
            l += 4;
        }
        while l < j {
            add_multiple(
                column,
                upper[l * k + j],
                &before[l * stride + rows.start..][..length],
            );
            l += 1;
        }
    }
}

/// R and its inverse from the upper triangle of `W' W`; none if W is too near to being dependent.
#[inline(always)]
fn cholesky(gram: &[f64], k: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let mut r = vec![0.0; k * k];
    let mut inverse = vec![0.0; k * k];
    let mut size = 0.0;
    for j in 0..k {
        for i in 0..j {
            let sum: f64 = (0..i).map(|l| r[l * k + i] * r[l * k + j]).sum();
            r[i * k + j] = (gram[i * k + j] - sum) / r[i * k + i];
        }
        let whole = gram[j * k + j];
        let square = whole - (0..j).map(|l| r[l * k + j] * r[l * k + j]).sum::<f64>();
        // False for NaN as well.
        if !(square > whole / WORST && square.is_finite()) {
            return None;
        }
        r[j * k + j] = square.sqrt();
        inverse[j * k + j] = 1.0 / r[j * k + j];
        for i in 0..j {
            let sum: f64 = (i..j).map(|l| inverse[i * k + l] * r[l * k + j]).sum();
            inverse[i * k + j] = -sum / r[j * k + j];
        }
        let column = (0..=j).map(|l| gram[l * k + l] * inverse[l * k + j] * inverse[l * k + j]);
        size += column.sum::<f64>();
    }
    (size <= WORST).then_some((r, inverse))
}

/// Keeps the product of this pass's R with that of the pass before.
#[inline(always)]
fn keep(factors: &mut Factors, r: &[f64], pass: usize, k: usize) {
    if pass == 0 {
        factors.r.copy_from_slice(r);
    } else {
        for j in 0..k {
            for i in 0..=j {
                let product = (i..=j).map(|l| r[i * k + l] * factors.r[l * k + j]);
                // Row i of the old R is not needed by the rows below.
                factors.r[i * k + j] = product.sum();
            }
        }
    }
    for j in 0..k {
        factors.found[j] = factors.r[j * k + j];
    }
    factors.replaced = 0;
}

/// Passes that working precision takes.
fn passes<T>() -> usize {
    if size_of::<T>() == 4 { 1 } else { 2 }
}

/// Factors the matrix in `a`, column after column; false, with `a` as it was, if it is badly conditioned.
#[inline(always)]
pub(super) fn factor<T>(a: &mut [f64], shape: Shape, factors: &mut Factors) -> bool {
    let Shape { n, k, .. } = shape;
    let blocks = || {
        (0..n)
            .step_by(BLOCK)
            .map(|start| start..(start + BLOCK).min(n))
    };
    for pass in 0..passes::<T>() {
        let mut gram = vec![0.0; k * k];
        for rows in blocks() {
            add_gram(a, n, rows, &mut gram, k);
        }
        // The second pass, over columns that are nearly orthonormal, cannot fail.
        let Some((r, inverse)) = cholesky(&gram, k) else {
            return false;
        };
        for rows in blocks() {
            multiply(a, n, rows, &inverse, k);
        }
        keep(factors, &r, pass, k);
    }
    true
}

/// Where the rows of one matrix lie in its piece, which begins with its first element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub count: usize,
    pub stride: usize,
}

impl Rows {
    /// Copies rows of all columns and divides these by powers of two.
    #[inline(always)]
    fn gather<T: Real>(
        self,
        piece: &Piece<'_, T>,
        rows: &std::ops::Range<usize>,
        block: &mut [f64],
        exponents: &[i32],
    ) {
        for (j, (column, exponent)) in block.chunks_exact_mut(BLOCK).zip(exponents).enumerate() {
            let factor = super::twin::power_of_two(-exponent);
            let source = piece.column(j).get(rows.start * self.stride..);
            let source = source
                .unwrap_or_default()
                .iter()
                .step_by(self.stride.max(1));
            for (place, value) in column.iter_mut().zip(source).take(rows.len()) {
                *place = value.to_f64() * factor;
            }
        }
    }

    #[inline(always)]
    fn scatter<T: Real>(
        self,
        piece: &mut Piece<'_, T>,
        rows: &std::ops::Range<usize>,
        block: &[f64],
    ) {
        for (j, column) in block.chunks_exact(BLOCK).enumerate() {
            let target = piece.column_mut(j).get_mut(rows.start * self.stride..);
            let target = target
                .unwrap_or_default()
                .iter_mut()
                .step_by(self.stride.max(1));
            for (place, value) in target.zip(column).take(rows.len()) {
                *place = T::from_f64(*value);
            }
        }
    }
}

/// Factors a matrix where it lies, some rows at a time; false, with nothing changed, if it is badly
/// conditioned. Threads share the rows, but sums are added in the order of the rows.
pub(super) fn stream<T: Real>(
    mut piece: Piece<'_, T>,
    rows: Rows,
    shape: Shape,
    factors: &mut Factors,
    parallel: bool,
) -> bool {
    let Shape { n, k, .. } = shape;
    let chunk = BLOCK * BLOCKS;
    let chunks = n.div_ceil(chunk);
    for pass in 0..passes::<T>() {
        let exponents = if pass == 0 {
            factors.exponents.clone()
        } else {
            vec![0; k]
        };
        let sums = |index: usize| {
            let mut gram = vec![0.0; k * k];
            let mut block = vec![0.0; k * BLOCK];
            let end = ((index + 1) * chunk).min(n);
            simd(
                #[inline(always)]
                || {
                    for start in (index * chunk..end).step_by(BLOCK) {
                        let own = start..(start + BLOCK).min(end);
                        rows.gather(&piece, &own, &mut block, &exponents);
                        add_gram(&block, BLOCK, 0..own.len(), &mut gram, k);
                    }
                },
            );
            gram
        };
        let grams: Vec<Vec<f64>> = if parallel {
            (0..chunks).into_par_iter().map(sums).collect()
        } else {
            (0..chunks).map(sums).collect()
        };
        let mut gram = vec![0.0; k * k];
        for part in grams {
            gram.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| *sum += part);
        }
        let Some((r, inverse)) = cholesky(&gram, k) else {
            return false;
        };
        let axis = Axis {
            count: n,
            stride: rows.stride,
            span: 1,
        };
        let pieces = piece.reborrow().split(axis, chunk);
        let each = if pieces.len() == 1 { n } else { chunk };
        let apply = |(index, mut piece): (usize, Piece<'_, T>)| {
            let count = each.min(n - index * each);
            let mut block = vec![0.0; k * BLOCK];
            simd(
                #[inline(always)]
                || {
                    for start in (0..count).step_by(BLOCK) {
                        let own = start..(start + BLOCK).min(count);
                        rows.gather(&piece, &own, &mut block, &exponents);
                        multiply(&mut block, BLOCK, 0..own.len(), &inverse, k);
                        rows.scatter(&mut piece, &own, &block);
                    }
                },
            );
        };
        if parallel {
            pieces.into_par_iter().enumerate().for_each(apply);
        } else {
            pieces.into_iter().enumerate().for_each(apply);
        }
        keep(factors, &r, pass, k);
    }
    true
}
