//! Tall matrices through the Cholesky factor of `W' W` in double precision: `Q = W R^-1`.
//!
//! One pass leaves Q orthogonal within about 1e-16 times the square of the condition number, two do so
//! within working precision (Yamamoto, Nakatsukasa, Yanagisawa, Fukaya, "Roundoff error analysis of the
//! CholeskyQR2 algorithm", ETNA 44, 2015). Badly conditioned matrices are left to reflections.

use super::factors::Factors;
use super::gram::{PAD, add_gram, multiply};
use super::pieces::{Axis, Piece};
use super::rows::{Block, Rows};
use crate::{Real, simd};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Blocks of rows that a thread takes, whose sums are then added in order.
const BLOCKS: usize = 16;
/// Largest square of the Frobenius norm of the inverse of R with columns of length one.
const WORST: f64 = 1e6;

/// What one thread works with.
pub(super) struct Room<T> {
    block: Block<T>,
    product: Block<T>,
    /// `W' W` of some rows.
    part: Vec<f64>,
    /// `W' W`, then R.
    gram: Vec<f64>,
    /// Of R.
    inverse: Vec<f64>,
    /// Squares of the lengths of columns, and inverses of R's diagonal.
    squares: Vec<[f64; 2]>,
}

impl<T: Real> Room<T> {
    pub fn new(rows: Rows) -> Self {
        let square = rows.padded * rows.padded;
        Self {
            block: Block::new(rows),
            product: Block::new(rows),
            part: vec![0.0; square],
            gram: vec![0.0; square],
            inverse: vec![0.0; square],
            squares: vec![[0.0; 2]; rows.k],
        }
    }
}

/// `y += factor x`, whole registers of numbers.
#[inline(always)]
fn add_multiple(y: &mut [f64], factor: f64, x: &[f64]) {
    let (y, x) = (y.as_chunks_mut::<PAD>().0, x.as_chunks::<PAD>().0);
    for (y, x) in y.iter_mut().zip(x) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x.mul_add(factor, *y);
        }
    }
}

#[inline(always)]
fn scale(y: &mut [f64], factor: f64) {
    y.iter_mut().for_each(|y| *y *= factor);
}

/// R in the place of `W' W`, and its inverse; false if W is too near to being dependent, or not finite.
#[inline(always)]
fn cholesky(
    gram: &mut [f64],
    inverse: &mut [f64],
    squares: &mut [[f64; 2]],
    padded: usize,
) -> bool {
    let k = squares.len();
    for (j, square) in squares.iter_mut().enumerate() {
        square[0] = gram[j * padded + j];
    }
    for j in 0..k {
        let (above, below) = gram.split_at_mut((j + 1) * padded);
        let row = &mut above[j * padded..];
        let (square, whole) = (row[j], squares[j][0]);
        // False for NaN as well.
        if !(square > whole / WORST && square.is_finite()) {
            return false;
        }
        let length = square.sqrt();
        let by = 1.0 / length;
        squares[j][1] = by;
        scale(row, by);
        row[..j].fill(0.0);
        row[j] = length;
        for (i, later) in (j + 1..k).zip(below.chunks_exact_mut(padded)) {
            add_multiple(later, -row[i], row);
        }
    }
    let mut size = 0.0;
    for i in (0..k).rev() {
        let (before, later) = inverse.split_at_mut((i + 1) * padded);
        let row = &mut before[i * padded..];
        row.fill(0.0);
        row[i] = 1.0;
        for (l, later) in (i + 1..k).zip(later.chunks_exact(padded)) {
            add_multiple(row, -gram[i * padded + l], later);
        }
        scale(row, squares[i][1]);
        size += squares[i][0] * row.iter().map(|v| v * v).sum::<f64>();
    }
    size <= WORST
}

/// Keeps the product of this pass's R with that of the pass before.
fn keep(factors: &mut Factors, r: &[f64], pass: usize, padded: usize) {
    let k = factors.found.len();
    let rows = r.chunks_exact(padded);
    if pass == 0 {
        for (place, row) in factors.r.chunks_exact_mut(k).zip(rows) {
            place.copy_from_slice(&row[..k]);
        }
    } else {
        for j in 0..k {
            for (i, row) in rows.clone().enumerate().take(j + 1) {
                let product = (i..=j).map(|l| row[l] * factors.r[l * k + j]);
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

/// Adds `W' W` of some rows to `room.part`.
struct Sum<'t, 'a, T> {
    rows: Rows,
    place: (&'t Piece<'a, T>, usize),
    range: Range<usize>,
    exponents: &'t [i32],
    room: &'t mut Room<T>,
}

impl<T: Real> WithSimd for Sum<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Room { block, part, .. } = self.room;
        part.fill(0.0);
        for range in self.rows.blocks(self.range) {
            block.gather(self.place, self.rows, &range, self.exponents);
            let numbers = &block.numbers[..range.len() * self.rows.padded];
            add_gram(simd, numbers, self.rows.width(), part);
        }
    }
}

/// Multiplies some rows by the inverse of R.
struct Product<'t, 'a, T> {
    rows: Rows,
    place: (&'t mut Piece<'a, T>, usize),
    range: Range<usize>,
    exponents: &'t [i32],
    /// Whether the rows are still in the block.
    kept: bool,
    inverse: &'t [f64],
    block: &'t mut Block<T>,
    product: &'t mut Block<T>,
}

impl<T: Real> WithSimd for Product<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, block, .. } = self;
        let (piece, base) = self.place;
        for range in rows.blocks(self.range) {
            if !self.kept {
                block.gather((piece, base), rows, &range, self.exponents);
            }
            let count = range.len() * rows.padded;
            let parts = (&block.numbers[..count], &mut self.product.numbers[..count]);
            multiply(simd, parts, self.inverse, rows.width());
            self.product.scatter((piece, base), rows, &range);
        }
    }
}

/// One matrix, the first element of which is number `base` of its piece.
pub(super) struct Tall<'t, 'a, T> {
    pub rows: Rows,
    pub piece: &'t mut Piece<'a, T>,
    pub base: usize,
    /// Whether threads may share the rows. Sums are added in the order of the rows all the same.
    pub parallel: bool,
}

impl<T: Real> Tall<'_, '_, T> {
    /// Rows of a thread.
    fn chunk(&self) -> usize {
        self.rows.block * BLOCKS
    }

    fn is_shared(&self) -> bool {
        self.parallel && self.rows.count > self.chunk()
    }

    fn chunks(&self) -> impl Iterator<Item = Range<usize>> {
        let (count, chunk) = (self.rows.count, self.chunk());
        (0..count)
            .step_by(chunk)
            .map(move |start| start..(start + chunk).min(count))
    }

    fn sum(&self, range: Range<usize>, exponents: &[i32], room: &mut Room<T>) {
        pulp::Arch::new().dispatch(Sum {
            rows: self.rows,
            place: (&*self.piece, self.base),
            range,
            exponents,
            room,
        });
    }

    /// `W' W` in `room.gram`.
    fn gram(&self, exponents: &[i32], room: &mut Room<T>) {
        room.gram.fill(0.0);
        let add = |gram: &mut [f64], part: &[f64]| {
            gram.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
        };
        if self.is_shared() {
            let chunks: Vec<Range<usize>> = self.chunks().collect();
            let part = |range: Range<usize>| {
                let mut own = Room::new(self.rows);
                self.sum(range, exponents, &mut own);
                own.part
            };
            let parts: Vec<Vec<f64>> = chunks.into_par_iter().map(part).collect();
            parts.iter().for_each(|part| add(&mut room.gram, part));
        } else {
            for range in self.chunks() {
                self.sum(range, exponents, room);
                add(&mut room.gram, &room.part);
            }
        }
    }

    /// Q in the place of W.
    fn apply(&mut self, exponents: &[i32], room: &mut Room<T>) {
        let (rows, base, chunk) = (self.rows, self.base, self.chunk());
        let inverse = &room.inverse;
        let shared = self.is_shared();
        let whole = |piece: &mut Piece<'_, T>, base, rows: Rows, blocks: [&mut Block<T>; 2]| {
            let [block, product] = blocks;
            pulp::Arch::new().dispatch(Product {
                rows,
                place: (piece, base),
                range: 0..rows.count,
                exponents,
                kept: !shared && rows.count <= rows.block,
                inverse,
                block,
                product,
            });
        };
        if !shared {
            let blocks = [&mut room.block, &mut room.product];
            return whole(self.piece, base, rows, blocks);
        }
        let axis = Axis {
            count: rows.count,
            stride: rows.stride,
            span: 1,
        };
        let pieces = self.piece.reborrow_from(base).split(axis, chunk);
        let each = if pieces.len() == 1 { rows.count } else { chunk };
        let part = |(index, mut piece): (usize, Piece<'_, T>)| {
            let count = each.min(rows.count - index * each);
            let mut blocks = [Block::new(rows), Block::new(rows)];
            let [block, product] = &mut blocks;
            whole(&mut piece, 0, rows.first(count), [block, product]);
        };
        pieces.into_par_iter().enumerate().for_each(part);
    }

    /// Factors the matrix; false, with nothing changed, if it is badly conditioned or not finite.
    pub fn factor(&mut self, factors: &mut Factors, room: &mut Room<T>) -> bool {
        let padded = self.rows.padded;
        // One pass is enough for the rounding of single precision.
        let passes = if size_of::<T>() == 4 { 1 } else { 2 };
        for pass in 0..passes {
            let zeros = [0; 64];
            let exponents = if pass == 0 {
                &factors.exponents[..]
            } else {
                &zeros
            };
            self.gram(exponents, room);
            let conditioned = simd(
                #[inline(always)]
                || {
                    let (gram, inverse) = (&mut room.gram[..], &mut room.inverse[..]);
                    if padded == PAD {
                        // A width that the compiler knows.
                        cholesky(gram, inverse, &mut room.squares, PAD)
                    } else {
                        cholesky(gram, inverse, &mut room.squares, padded)
                    }
                },
            );
            // The second pass, over columns that are nearly orthonormal, cannot fail.
            if !conditioned {
                return false;
            }
            self.apply(exponents, room);
            keep(factors, &room.gram, pass, padded);
        }
        true
    }
}
