//! Products of rows in double precision, padded to a multiple of [`PAD`] numbers with zeros.

use crate::Lanes;
use pulp::Simd;

/// Numbers of a row are padded to a multiple of this.
pub(super) const PAD: usize = 8;

/// How rows lie in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Width {
    /// Numbers of a row.
    pub k: usize,
    /// The same with the zeros behind them.
    pub padded: usize,
}

/// Adds a tile of `W' W`: rows `first..first + ROWS` of the columns that a register holds.
#[inline(always)]
fn add_tile<S: Simd, const ROWS: usize>(
    simd: S,
    (block, padded): (&[f64], usize),
    (first, column): (usize, usize),
    gram: &mut [f64],
) {
    let vectors = padded / f64::lanes::<S>();
    let rights = f64::vectors::<S>(block)
        .iter()
        .skip(column)
        .step_by(vectors);
    let mut sums = [simd.splat_f64s(0.0); ROWS];
    for (row, right) in block.chunks_exact(padded).zip(rights) {
        let Some(lefts) = row.get(first..).and_then(|row| row.first_chunk::<ROWS>()) else {
            return;
        };
        for (sum, left) in sums.iter_mut().zip(lefts) {
            *sum = simd.mul_add_f64s(simd.splat_f64s(*left), *right, *sum);
        }
    }
    let places = f64::vectors_mut::<S>(gram).iter_mut();
    let places = places.skip(first * vectors + column).step_by(vectors);
    for (place, sum) in places.zip(sums) {
        *place = simd.add_f64s(*place, sum);
    }
}

#[inline(always)]
fn add_all<S: Simd>(simd: S, block: &[f64], Width { k, padded }: Width, gram: &mut [f64]) {
    let lanes = f64::lanes::<S>();
    for column in 0..padded / lanes {
        let end = k.min((column + 1) * lanes);
        for first in (0..end).step_by(PAD) {
            let (parts, tile) = ((block, padded), (first, column));
            match end - first {
                1 | 2 => add_tile::<S, 2>(simd, parts, tile, gram),
                3 | 4 => add_tile::<S, 4>(simd, parts, tile, gram),
                _ => add_tile::<S, PAD>(simd, parts, tile, gram),
            }
        }
    }
}

/// Adds `W' W` of a block of rows: its upper triangle, and numbers without meaning below.
#[inline(always)]
pub(super) fn add_gram<S: Simd>(simd: S, block: &[f64], width: Width, gram: &mut [f64]) {
    if width.padded == PAD {
        // A width that the compiler knows.
        let padded = PAD;
        return add_all(simd, block, Width { padded, ..width }, gram);
    }
    add_all(simd, block, width, gram);
}

/// Some rows times an upper triangular matrix.
#[inline(always)]
fn multiply_rows<S: Simd, const ROWS: usize>(
    simd: S,
    (rows, product): (&[f64], &mut [f64]),
    upper: &[f64],
    Width { k, padded }: Width,
) {
    let lanes = f64::lanes::<S>();
    let vectors = padded / lanes;
    for column in 0..vectors {
        let depth = k.min((column + 1) * lanes);
        let mut lefts: [&[f64]; ROWS] = [&[]; ROWS];
        for (left, row) in lefts.iter_mut().zip(rows.chunks_exact(padded)) {
            *left = row.get(..depth).unwrap_or_default();
        }
        if lefts.iter().any(|left| left.len() != depth) {
            return;
        }
        let rights = f64::vectors::<S>(upper)
            .iter()
            .skip(column)
            .step_by(vectors);
        let mut sums = [simd.splat_f64s(0.0); ROWS];
        for (i, right) in (0..depth).zip(rights) {
            for (sum, left) in sums.iter_mut().zip(&lefts) {
                *sum = simd.mul_add_f64s(simd.splat_f64s(left[i]), *right, *sum);
            }
        }
        let places = f64::vectors_mut::<S>(product).iter_mut().skip(column);
        for (place, sum) in places.step_by(vectors).zip(sums) {
            *place = sum;
        }
    }
}

#[inline(always)]
fn multiply_all<S: Simd>(
    simd: S,
    (block, product): (&[f64], &mut [f64]),
    upper: &[f64],
    width: Width,
) {
    const ROWS: usize = 8;
    let padded = width.padded;
    let mut eights = block.chunks_exact(ROWS * padded);
    let mut places = product.chunks_exact_mut(ROWS * padded);
    for parts in (&mut eights).zip(&mut places) {
        multiply_rows::<S, ROWS>(simd, parts, upper, width);
    }
    let rest = eights.remainder().chunks_exact(padded);
    for parts in rest.zip(places.into_remainder().chunks_exact_mut(padded)) {
        multiply_rows::<S, 1>(simd, parts, upper, width);
    }
}

/// A block of rows times an upper triangular matrix.
#[inline(always)]
pub(super) fn multiply<S: Simd>(simd: S, parts: (&[f64], &mut [f64]), upper: &[f64], width: Width) {
    if width.padded == PAD {
        let padded = PAD;
        return multiply_all(simd, parts, upper, Width { padded, ..width });
    }
    multiply_all(simd, parts, upper, width);
}
