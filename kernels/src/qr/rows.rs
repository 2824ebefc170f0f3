//! Rows of a matrix, on their way into double precision and back.

use super::Qr;
use super::factors::power_of_two;
use super::gram::{PAD, Width};
use super::pieces::Piece;
use crate::Real;
use crate::attention::transpose::{GROUP, transpose};
use std::ops::Range;

/// Numbers of a block of rows: with its product it stays in the innermost cache.
const BLOCK: usize = 2048;

/// How the rows of one matrix lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The numbers of a row side by side.
    Rows,
    /// The numbers of a column side by side.
    Columns,
    /// Element by element.
    Strided,
}

/// Where the rows of one matrix lie in its piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// Rows.
    pub count: usize,
    /// Numbers of a row.
    pub k: usize,
    /// The same in double precision, with the zeros behind them.
    pub padded: usize,
    /// Elements between two rows.
    pub stride: usize,
    /// Rows of a block.
    pub block: usize,
    layout: Layout,
}

impl Rows {
    pub fn new(qr: &Qr) -> Self {
        let (k, stride) = (qr.columns as usize, qr.row_stride as usize);
        let padded = k.next_multiple_of(PAD);
        let layout = if qr.column_stride == 1 && stride >= k {
            Layout::Rows
        } else if stride == 1 {
            Layout::Columns
        } else {
            Layout::Strided
        };
        Self {
            count: qr.rows as usize,
            k,
            padded,
            stride,
            block: BLOCK / padded,
            layout,
        }
    }

    pub fn width(self) -> Width {
        Width {
            k: self.k,
            padded: self.padded,
        }
    }

    /// Whether there is nothing between rows, neither there nor in double precision.
    fn is_dense(self) -> bool {
        self.stride == self.k && self.padded == self.k
    }

    /// Fewer of them.
    pub fn first(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// Blocks of some rows.
    pub fn blocks(self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let end = rows.end;
        rows.step_by(self.block)
            .map(move |start| start..(start + self.block).min(end))
    }
}

/// Rows of a block, and lines of them on their way.
pub(super) struct Block<T> {
    /// In double precision; zeros behind each.
    pub numbers: Vec<f64>,
    columns: Vec<T>,
    lines: Vec<T>,
}

impl<T: Real> Block<T> {
    pub fn new(rows: Rows) -> Self {
        let wide = rows.k.next_multiple_of(GROUP);
        let own = rows.block.next_multiple_of(GROUP);
        let staged = if rows.layout == Layout::Columns {
            own * wide
        } else {
            0
        };
        Self {
            numbers: vec![0.0; rows.block * rows.padded],
            columns: vec![T::ZERO; staged],
            lines: vec![T::ZERO; staged],
        }
    }

    /// Reads rows `range`, their columns divided by powers of two; `base` is the matrix's first element.
    #[inline(always)]
    pub fn gather(
        &mut self,
        (piece, base): (&Piece<'_, T>, usize),
        rows: Rows,
        range: &Range<usize>,
        exponents: &[i32],
    ) {
        let Rows { k, padded, .. } = rows;
        let start = base + range.start * rows.stride;
        let from = |j: usize| piece.column(j).get(start..).unwrap_or_default();
        let (dense, count) = (rows.is_dense(), range.len() * k);
        let places = self.numbers.chunks_exact_mut(padded).take(range.len());
        match rows.layout {
            Layout::Rows if dense => {
                let source = from(0).get(..count).unwrap_or_default();
                widen(source, &mut self.numbers);
            }
            Layout::Rows => {
                let parts = places.zip(from(0).chunks(rows.stride));
                match k {
                    1 => parts.for_each(|(to, from)| widen_few::<T, 1>(from, to)),
                    2 => parts.for_each(|(to, from)| widen_few::<T, 2>(from, to)),
                    3 => parts.for_each(|(to, from)| widen_few::<T, 3>(from, to)),
                    4 => parts.for_each(|(to, from)| widen_few::<T, 4>(from, to)),
                    5 => parts.for_each(|(to, from)| widen_few::<T, 5>(from, to)),
                    6 => parts.for_each(|(to, from)| widen_few::<T, 6>(from, to)),
                    7 => parts.for_each(|(to, from)| widen_few::<T, 7>(from, to)),
                    _ => parts.for_each(|(to, from)| {
                        widen(from.get(..k).unwrap_or_default(), to);
                    }),
                }
            }
            Layout::Columns => {
                let own = rows.block.next_multiple_of(GROUP);
                let wide = k.next_multiple_of(GROUP);
                for (j, column) in self.columns.chunks_exact_mut(own).take(k).enumerate() {
                    let source = from(j).get(..range.len()).unwrap_or_default();
                    column[..source.len()].copy_from_slice(source);
                }
                let lines = (&mut self.lines[..], wide);
                transpose((&self.columns, own), lines, (k, range.len()));
                for (place, line) in places.zip(self.lines.chunks_exact(wide)) {
                    widen(&line[..k], place);
                }
            }
            Layout::Strided => {
                for (i, place) in places.enumerate() {
                    for (j, place) in place.iter_mut().enumerate().take(k) {
                        let value = from(j).get(i * rows.stride);
                        *place = value.map_or(f64::NAN, |value| value.to_f64());
                    }
                }
            }
        }
        if size_of::<T>() == 8 {
            let mut factors = [1.0; 64];
            for (factor, exponent) in factors.iter_mut().zip(exponents) {
                *factor = power_of_two(-exponent);
            }
            for row in self.numbers.chunks_exact_mut(padded).take(range.len()) {
                row.iter_mut().zip(&factors).for_each(|(v, f)| *v *= f);
            }
        }
    }

    /// Writes rows `range`.
    #[inline(always)]
    pub fn scatter(
        &mut self,
        (piece, base): (&mut Piece<'_, T>, usize),
        rows: Rows,
        range: &Range<usize>,
    ) {
        let Rows { k, padded, .. } = rows;
        let start = base + range.start * rows.stride;
        let (dense, count) = (rows.is_dense(), range.len() * k);
        let numbers = self.numbers.chunks_exact(padded).take(range.len());
        match rows.layout {
            Layout::Rows if dense => {
                let target = piece.column_mut(0).get_mut(start..).unwrap_or_default();
                round(&self.numbers, target.get_mut(..count).unwrap_or_default());
            }
            Layout::Rows => {
                let target = piece.column_mut(0).get_mut(start..).unwrap_or_default();
                let parts = target.chunks_mut(rows.stride).zip(numbers);
                match k {
                    1 => parts.for_each(|(to, from)| round_few::<T, 1>(from, to)),
                    2 => parts.for_each(|(to, from)| round_few::<T, 2>(from, to)),
                    3 => parts.for_each(|(to, from)| round_few::<T, 3>(from, to)),
                    4 => parts.for_each(|(to, from)| round_few::<T, 4>(from, to)),
                    5 => parts.for_each(|(to, from)| round_few::<T, 5>(from, to)),
                    6 => parts.for_each(|(to, from)| round_few::<T, 6>(from, to)),
                    7 => parts.for_each(|(to, from)| round_few::<T, 7>(from, to)),
                    _ => parts.for_each(|(to, from)| {
                        round(from, to.get_mut(..k).unwrap_or_default());
                    }),
                }
            }
            Layout::Columns => {
                let own = rows.block.next_multiple_of(GROUP);
                let wide = k.next_multiple_of(GROUP);
                for (line, numbers) in self.lines.chunks_exact_mut(wide).zip(numbers) {
                    round(numbers, &mut line[..k]);
                }
                let columns = (&mut self.columns[..], own);
                transpose((&self.lines, wide), columns, (range.len(), k));
                for (j, column) in self.columns.chunks_exact(own).take(k).enumerate() {
                    let target = piece.column_mut(j).get_mut(start..).unwrap_or_default();
                    let target = target.get_mut(..range.len()).unwrap_or_default();
                    target.copy_from_slice(&column[..target.len()]);
                }
            }
            Layout::Strided => {
                for j in 0..k {
                    let target = piece.column_mut(j).get_mut(start..).unwrap_or_default();
                    let target = target.iter_mut().step_by(rows.stride.max(1));
                    for (place, numbers) in target.zip(numbers.clone()) {
                        *place = T::from_f64(numbers[j]);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn widen<T: Real>(from: &[T], to: &mut [f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.to_f64();
    }
}

#[inline(always)]
fn round<T: Real>(from: &[f64], to: &mut [T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = T::from_f64(*from);
    }
}

/// As many numbers as the compiler knows.
#[inline(always)]
fn widen_few<T: Real, const K: usize>(from: &[T], to: &mut [f64]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<K>(), to.first_chunk_mut::<K>()) {
        widen(from, to);
    }
}

#[inline(always)]
fn round_few<T: Real, const K: usize>(from: &[f64], to: &mut [T]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<K>(), to.first_chunk_mut::<K>()) {
        round(from, to);
    }
}
