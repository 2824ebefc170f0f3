//! The work of the twin in parts: matrices are gathered in double precision, factored, scattered.

use super::pieces::{Axis, Piece};
use super::{Qr, householder, many, tall};
use crate::attention::transpose::{GROUP, transpose};
use crate::{Real, simd};
use rayon::prelude::*;

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

/// Numbers of a matrix up to which one lane of the vector registers has it.
const SMALL: usize = 256;
/// Numbers of a tall matrix up to which it is copied as a whole.
const RESIDENT: usize = 1 << 16;

/// Matrices of one task and their outputs.
struct Task<'a, T> {
    first: usize,
    count: usize,
    piece: Piece<'a, T>,
    outputs: Outputs<'a, T>,
}

impl<T> Outputs<'_, T> {
    pub fn are_empty(&self) -> bool {
        self.r.is_empty() && self.log_r.is_empty() && self.status.is_empty()
    }
}

/// Factors all matrices of `w`, which starts at the first element.
pub(super) fn factor<T: Real>(qr: &Qr, w: &mut [T], outputs: Outputs<'_, T>, parallel: bool) {
    let (batch, k) = (qr.batch as usize, qr.columns as usize);
    let each = (32_768 / qr.elements().max(1)).clamp(1, batch);
    // Whole groups, so that no lane is idle.
    let each = each.next_multiple_of(many::WIDTH.min(each));
    let axis = Axis {
        count: batch,
        stride: qr.batch_stride as usize,
        span: (qr.rows as usize - 1) * qr.row_stride as usize + 1,
    };
    let pieces = Piece::new(w, k, qr.column_stride as usize).split(axis, each);
    let each = if pieces.len() == 1 { batch } else { each };
    let mut r = outputs.r.chunks_mut(each * k * k);
    let mut log_r = outputs.log_r.chunks_mut(each * k);
    let mut status = outputs.status.chunks_mut(each * 2);
    let tasks = pieces.into_iter().enumerate().map(|(index, piece)| Task {
        first: index * each,
        count: each.min(batch - index * each),
        piece,
        outputs: Outputs {
            r: r.next().unwrap_or_default(),
            log_r: log_r.next().unwrap_or_default(),
            status: status.next().unwrap_or_default(),
        },
    });
    let tasks: Vec<Task<'_, T>> = tasks.collect();
    if parallel && tasks.len() > 1 {
        let task = |task| qr.task(task, parallel);
        tasks.into_par_iter().for_each(task);
    } else {
        tasks.into_iter().for_each(|task| qr.task(task, parallel));
    }
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

    fn is_tall(&self) -> bool {
        self.rows >= 2 * self.columns
    }

    fn task<T: Real>(&self, mut task: Task<'_, T>, parallel: bool) {
        if self.elements() <= SMALL {
            let range = (task.first, task.count);
            return many::task(self, range, &mut task.piece, &mut task.outputs);
        }
        let shape = self.shape::<T>();
        let mut a = Vec::new();
        let mut factors = Factors::new(shape.k);
        for index in 0..task.count {
            let base = index * self.batch_stride as usize;
            let example = task.first + index;
            let is_large = self.elements() > RESIDENT && self.is_tall();
            if is_large && self.stream(&mut task.piece, base, &mut factors, parallel) {
                report(&factors, shape, &mut task.outputs, index);
                continue;
            }
            a.resize(shape.n * shape.k, 0.0f64);
            if self.one::<T>(&mut task.piece, (base, example), &mut a, &mut factors) {
                report(&factors, shape, &mut task.outputs, index);
            } else {
                spoil(shape, &mut task.outputs, index);
            }
        }
    }

    /// Factors one matrix in a copy; false if it is not finite.
    fn one<T: Real>(
        &self,
        piece: &mut Piece<'_, T>,
        (base, example): (usize, usize),
        a: &mut [f64],
        factors: &mut Factors,
    ) -> bool {
        let shape = self.shape::<T>();
        simd(
            #[inline(always)]
            || {
                let finite = self.gather(piece, base, a, &mut factors.exponents);
                if finite {
                    let conditioned = self.is_tall() && tall::factor::<T>(a, shape, factors);
                    if !conditioned {
                        factors.replaced = 0;
                        householder::factor(a, shape, factors, |j, column| {
                            self.normals(example, j, column);
                        });
                    }
                } else {
                    a.fill(f64::NAN);
                }
                self.scatter(piece, base, a);
                finite
            },
        )
    }

    /// Factors one tall matrix where it lies; false, with nothing changed, if it is badly conditioned or
    /// not finite.
    fn stream<T: Real>(
        &self,
        piece: &mut Piece<'_, T>,
        base: usize,
        factors: &mut Factors,
        parallel: bool,
    ) -> bool {
        let rows = tall::Rows {
            count: self.rows as usize,
            stride: self.row_stride as usize,
        };
        let piece = piece.reborrow_from(base);
        for (j, exponent) in factors.exponents.iter_mut().enumerate() {
            *exponent = 0;
            if size_of::<T>() == 8 {
                let column = piece.column(j).iter().step_by(rows.stride.max(1));
                *exponent = exponent_of(column.take(rows.count).map(|v| v.to_f64()));
            }
        }
        tall::stream(piece, rows, self.shape::<T>(), factors, parallel)
    }

    /// The elements of a matrix from its first on, where its rows are contiguous.
    #[inline(always)]
    fn whole<'a, T>(&self, first: &'a [T], base: usize) -> Option<&'a [T]> {
        let (n, k) = (self.rows as usize, self.columns as usize);
        let stride = self.row_stride as usize;
        let source = first.get(base..)?;
        let fits = source.len() >= (n - 1) * stride + k;
        (self.column_stride == 1 && stride >= k && fits).then_some(source)
    }

    /// Copies one matrix, column after column, and scales its columns; false if one is not finite.
    #[inline(always)]
    fn gather<T: Real>(
        &self,
        piece: &Piece<'_, T>,
        base: usize,
        a: &mut [f64],
        exponents: &mut [i32],
    ) -> bool {
        let n = self.rows as usize;
        let stride = self.row_stride as usize;
        let mut finite = true;
        if let Some(source) = self.whole(piece.column(0), base) {
            let own = n.next_multiple_of(GROUP);
            let k = self.columns as usize;
            let mut lines = vec![T::ZERO; own * k];
            transpose((source, stride), (&mut lines, own), (n, k));
            let columns = a.chunks_exact_mut(n).zip(lines.chunks_exact(own));
            for ((column, line), exponent) in columns.zip(exponents) {
                for (place, value) in column.iter_mut().zip(line) {
                    *place = value.to_f64();
                }
                finite &= scale(column, exponent, size_of::<T>() == 8);
            }
            return finite;
        }
        for (j, (column, exponent)) in a.chunks_exact_mut(n).zip(exponents).enumerate() {
            let source = piece.column(j).get(base..).unwrap_or_default();
            for (place, value) in column.iter_mut().zip(source.iter().step_by(stride.max(1))) {
                *place = value.to_f64();
            }
            finite &= scale(column, exponent, size_of::<T>() == 8);
        }
        finite
    }

    #[inline(always)]
    fn scatter<T: Real>(&self, piece: &mut Piece<'_, T>, base: usize, a: &[f64]) {
        let n = self.rows as usize;
        let stride = self.row_stride as usize;
        let k = self.columns as usize;
        if self.whole(piece.column(0), base).is_some() {
            let own = k.next_multiple_of(GROUP);
            let single: Vec<T> = a.iter().map(|value| T::from_f64(*value)).collect();
            let mut lines = vec![T::ZERO; own * n];
            transpose((&single, n), (&mut lines, own), (k, n));
            let target = piece.column_mut(0).get_mut(base..).unwrap_or_default();
            for (row, line) in target.chunks_mut(stride).zip(lines.chunks_exact(own)) {
                row[..k].copy_from_slice(&line[..k]);
            }
            return;
        }
        for (j, column) in a.chunks_exact(n).enumerate() {
            let target = piece.column_mut(j).get_mut(base..).unwrap_or_default();
            for (place, value) in target.iter_mut().step_by(stride.max(1)).zip(column) {
                *place = T::from_f64(*value);
            }
        }
    }
}

/// Bits of the largest magnitude, which order as magnitudes do, NaN and infinity above all.
#[inline(always)]
fn largest_bits(column: impl Iterator<Item = f64>) -> u64 {
    column.fold(0u64, |largest, value| {
        largest.max(value.to_bits() & (u64::MAX >> 1))
    })
}

/// Exponent of the power of two that a column is divided by.
#[inline(always)]
fn exponent_of(column: impl Iterator<Item = f64>) -> i32 {
    ((largest_bits(column) >> 52) as i32 - 1023).clamp(-1000, 1022)
}

/// Divides a column by the power of two of its largest element, if need be; false if that is infinite or
/// NaN. Squares of single-precision numbers are far from the ends of double precision.
#[inline(always)]
fn scale(column: &mut [f64], exponent: &mut i32, is_needed: bool) -> bool {
    let largest = largest_bits(column.iter().copied());
    *exponent = 0;
    if is_needed {
        *exponent = ((largest >> 52) as i32 - 1023).clamp(-1000, 1022);
        let factor = power_of_two(-*exponent);
        for value in column {
            *value *= factor;
        }
    }
    largest < 0x7ff0_0000_0000_0000
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
