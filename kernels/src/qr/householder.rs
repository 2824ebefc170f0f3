//! One matrix at a time by reflections, vectorised along its columns.

use super::factors::{Factors, Shape};
use crate::lanes::{LANES, tree};

/// Sum of products in the order of `rows`: element i in lane i mod 32, lanes combined as a tree.
#[inline(always)]
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (mut a, mut b) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    for (a, b) in (&mut a).zip(&mut b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane = a.mul_add(*b, *lane);
        }
    }
    for (lane, (a, b)) in lanes
        .iter_mut()
        .zip(a.remainder().iter().zip(b.remainder()))
    {
        *lane = a.mul_add(*b, *lane);
    }
    tree(lanes, |a, b| a + b)
}

/// `y += factor x`.
#[inline(always)]
fn add_multiple(y: &mut [f64], factor: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = x.mul_add(factor, *y);
    }
}

/// `y -= (scale v.y) v`: the reflection along v, of length `2 / scale` squared.
#[inline(always)]
fn reflect(y: &mut [f64], v: &[f64], scale: f64) {
    let along = dot(v, y) * scale;
    add_multiple(y, -along, v);
}

/// The two factors of the matrix in `a`, column after column and scaled: Q in its place, R in `factors`.
/// `normals(j, column)` draws a random column for the place of one that depends on others.
#[inline(always)]
pub(super) fn factor(
    a: &mut [f64],
    shape: Shape,
    factors: &mut Factors,
    mut normals: impl FnMut(usize, &mut [f64]),
) {
    let Shape { n, k, tolerance } = shape;
    let mut scales = [0.0f64; 64];
    let mut signs = [1.0f64; 64];
    for j in 0..k {
        let (reflectors, rest) = a.split_at_mut(j * n);
        let (column, later) = rest.split_at_mut(n);
        let whole = dot(&column[..j], &column[..j]);
        for l in 0..j {
            factors.r[l * k + j] = signs[l] * column[l];
        }
        let mut square = dot(&column[j..], &column[j..]);
        factors.found[j] = square.sqrt();
        factors.r[j * k + j] = factors.found[j];
        // Reflections keep lengths, so that the whole column's is still the first one.
        if square <= tolerance * tolerance * (whole + square) {
            factors.r[j * k + j] = 0.0;
            factors.replaced += 1;
            normals(j, column);
            for l in 0..j {
                reflect(
                    &mut column[l..],
                    &reflectors[l * n + l..(l + 1) * n],
                    scales[l],
                );
            }
            square = dot(&column[j..], &column[j..]);
        }
        let (length, first) = (square.sqrt(), column[j]);
        signs[j] = if first < 0.0 { 1.0 } else { -1.0 };
        column[j] = first - signs[j] * length;
        let square = length * (length + first.abs());
        scales[j] = if square > 0.0 { 1.0 / square } else { 0.0 };
        for other in later.chunks_exact_mut(n) {
            reflect(&mut other[j..], &column[j..], scales[j]);
        }
    }
    for j in (0..k).rev() {
        let (column, later) = a[j * n..k * n].split_at_mut(n);
        for other in later.chunks_exact_mut(n) {
            other[j] = 0.0;
            reflect(&mut other[j..], &column[j..], scales[j]);
        }
        let factor = -signs[j] * scales[j] * column[j];
        for value in &mut column[j..] {
            *value *= factor;
        }
        column[j] += signs[j];
        column[..j].fill(0.0);
    }
}
