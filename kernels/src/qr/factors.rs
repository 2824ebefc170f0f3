//! What all the algorithms share: the size of a matrix, its R, and how these become outputs.

use super::Qr;
use crate::Real;

/// What a factorisation writes beside Q, from the first matrix on; empty where it is not wanted.
pub(super) struct Outputs<'a, T> {
    pub r: &'a mut [T],
    pub log_r: &'a mut [T],
    pub status: &'a mut [u32],
}

/// Size of a matrix, and the share of a column's length under which the rest of it is nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub n: usize,
    pub k: usize,
    pub tolerance: f64,
}

/// The smallest length that a logarithm is taken of where a column was replaced.
const SHORTEST: f64 = 1e-30;

/// R and what was met on the way, of one matrix whose columns are scaled.
pub(super) struct Factors {
    /// R, row after row; 0 below the diagonal.
    pub r: Vec<f64>,
    /// Lengths of the columns after those before are taken off.
    pub found: Vec<f64>,
    /// Powers of two that columns were divided by.
    pub exponents: Vec<i32>,
    /// Columns replaced.
    pub replaced: u32,
}

impl Factors {
    pub fn new(k: usize) -> Self {
        Self {
            r: vec![0.0; k * k],
            found: vec![0.0; k],
            exponents: vec![0; k],
            replaced: 0,
        }
    }
}

/// 2^e for a normal result.
pub(super) fn power_of_two(e: i32) -> f64 {
    f64::from_bits(((e + 1023).clamp(1, 2046) as u64) << 52)
}

impl Qr {
    pub(super) fn shape<T>(&self) -> Shape {
        Shape {
            n: self.rows as usize,
            k: self.columns as usize,
            // Exact sums tell more from rounding of the elements than the shader's can.
            tolerance: if size_of::<T>() == 4 { 2e-7 } else { 1e-14 },
        }
    }

    /// The random numbers in the place of column `j` of a matrix.
    pub(super) fn normals(&self, example: usize, j: usize, column: &mut [f64]) {
        let philox = self.philox();
        let blocks = self.rows.div_ceil(4);
        for (block, quad) in column.chunks_mut(4).enumerate() {
            let number = (j as u32).wrapping_mul(blocks).wrapping_add(block as u32);
            let values = philox.block::<f64>(example as u32, number);
            for (place, value) in quad.iter_mut().zip(values) {
                *place = value;
            }
        }
    }
}

/// Writes R, its logarithms and the status of the matrix number `index` of a task.
pub(super) fn report<T: Real>(
    factors: &Factors,
    shape: Shape,
    outputs: &mut Outputs<'_, T>,
    index: usize,
) {
    let k = shape.k;
    let largest = T::from_f64(if size_of::<T>() == 4 {
        f64::from(f32::MAX)
    } else {
        f64::MAX
    });
    if let Some(r) = outputs.r.get_mut(index * k * k..(index + 1) * k * k) {
        for (row, (places, values)) in r.chunks_mut(k).zip(factors.r.chunks(k)).enumerate() {
            let columns = values.iter().zip(&factors.exponents);
            for (j, (place, (value, exponent))) in places.iter_mut().zip(columns).enumerate() {
                // Two factors, since one alone may be out of range.
                let half = exponent / 2;
                let whole = value * power_of_two(half) * power_of_two(exponent - half);
                let value = T::from_f64(if j < row { 0.0 } else { whole });
                *place = value.minimum(largest).maximum(-largest);
            }
        }
    }
    if let Some(log_r) = outputs.log_r.get_mut(index * k..(index + 1) * k) {
        let lengths = factors.found.iter().zip(&factors.exponents).enumerate();
        for (place, (j, (found, exponent))) in log_r.iter_mut().zip(lengths) {
            let scaled = f64::from(*exponent) * std::f64::consts::LN_2;
            let was_replaced = factors.r.get(j * k + j).is_some_and(|r| *r == 0.0);
            let log = found.ln() + scaled;
            let log = if was_replaced {
                log.max(SHORTEST.ln())
            } else {
                log
            };
            *place = T::from_f64(log);
        }
    }
    if let Some(count) = outputs.status.get_mut(index * 2) {
        *count = count.saturating_add(factors.replaced);
    }
}

/// Marks the outputs of a matrix that is not finite.
pub(super) fn spoil<T: Real>(shape: Shape, outputs: &mut Outputs<'_, T>, index: usize) {
    let k = shape.k;
    if let Some(r) = outputs.r.get_mut(index * k * k..(index + 1) * k * k) {
        r.fill(T::NAN);
    }
    if let Some(log_r) = outputs.log_r.get_mut(index * k..(index + 1) * k) {
        log_r.fill(T::NAN);
    }
    if let Some(flags) = outputs.status.get_mut(index * 2 + 1) {
        *flags |= Qr::NON_FINITE;
    }
}
