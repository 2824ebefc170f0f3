//! The work of the twin in parts: matrices are gathered in double precision, factored, scattered.

use super::factors::{Factors, Outputs, power_of_two, report, spoil};
use super::many::{Many, WIDTH};
use super::pieces::{Axis, Piece};
use super::rows::Rows;
use super::tall::{Room, Tall};
use super::{Qr, householder};
use crate::attention::transpose::{GROUP, transpose};
use crate::{Real, simd};
use rayon::prelude::*;

/// Numbers of a matrix up to which one lane of the vector registers has it.
const SMALL: usize = 256;

/// Matrices of one task and their outputs.
struct Task<'a, T> {
    first: usize,
    count: usize,
    piece: Piece<'a, T>,
    outputs: Outputs<'a, T>,
}

/// Factors all matrices of `w`, which starts at the first element.
pub(super) fn factor<T: Real>(qr: &Qr, w: &mut [T], outputs: Outputs<'_, T>, parallel: bool) {
    let (batch, k) = (qr.batch as usize, qr.columns as usize);
    let each = (32_768 / qr.elements().max(1)).clamp(1, batch);
    // Whole groups, so that no lane is idle.
    let each = each.next_multiple_of(WIDTH.min(each));
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
    fn is_tall(&self) -> bool {
        self.rows >= 2 * self.columns
    }

    fn task<T: Real>(&self, mut task: Task<'_, T>, parallel: bool) {
        if self.elements() <= SMALL {
            return pulp::Arch::new().dispatch(Many {
                qr: self,
                first: task.first,
                count: task.count,
                piece: &mut task.piece,
                outputs: &mut task.outputs,
            });
        }
        let shape = self.shape::<T>();
        let rows = Rows::new(self);
        let mut room = self.is_tall().then(|| Room::new(rows));
        let mut a = Vec::new();
        let mut factors = Factors::new(shape.k);
        for index in 0..task.count {
            let base = index * self.batch_stride as usize;
            if let Some(room) = &mut room {
                self.exponents(&task.piece, base, &mut factors.exponents);
                let mut tall = Tall {
                    rows,
                    piece: &mut task.piece,
                    base,
                    parallel,
                };
                if tall.factor(&mut factors, room) {
                    report(&factors, shape, &mut task.outputs, index);
                    continue;
                }
            }
            a.resize(shape.n * shape.k, 0.0f64);
            let place = (base, task.first + index);
            if self.one::<T>(&mut task.piece, place, &mut a, &mut factors) {
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
                    factors.replaced = 0;
                    householder::factor(a, shape, factors, |j, column| {
                        self.normals(example, j, column);
                    });
                } else {
                    a.fill(f64::NAN);
                }
                self.scatter(piece, base, a);
                finite
            },
        )
    }

    /// Powers of two that the columns of a matrix are divided by, if need be.
    fn exponents<T: Real>(&self, piece: &Piece<'_, T>, base: usize, exponents: &mut [i32]) {
        for (j, exponent) in exponents.iter_mut().enumerate() {
            *exponent = 0;
            if size_of::<T>() == 8 {
                let column = piece.column(j).get(base..).unwrap_or_default();
                let column = column.iter().step_by(self.row_stride.max(1) as usize);
                *exponent = exponent_of(column.take(self.rows as usize).map(|v| v.to_f64()));
            }
        }
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
