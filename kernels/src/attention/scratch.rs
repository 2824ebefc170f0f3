//! Matrices in scratch memory: rows padded to whole vector registers.

use super::transpose::{self, GROUP, copy_line};
use crate::{Real, simd};

/// Bytes to which rows are aligned where they can be: a line of the first-level cache.
const ALIGNMENT: usize = 64;

/// A `[rows, stride]` matrix, row-major.
#[derive(Debug)]
pub(crate) struct Matrix<T> {
    memory: Vec<T>,
    start: usize,
    /// Elements of a row, a multiple of [`GROUP`].
    pub stride: usize,
}

impl<T: Real> Matrix<T> {
    /// Zeros.
    pub fn new(rows: usize, columns: usize) -> Self {
        let stride = columns.next_multiple_of(GROUP);
        let memory = vec![T::ZERO; rows * stride + ALIGNMENT / size_of::<T>()];
        let ahead = memory.as_ptr().align_offset(ALIGNMENT);
        // Where the platform cannot tell, rows lie as they lie.
        let start = if ahead > ALIGNMENT / size_of::<T>() {
            0
        } else {
            ahead
        };
        Self {
            memory,
            start,
            stride,
        }
    }

    /// All rows.
    #[inline(always)]
    pub fn rows(&self) -> &[T] {
        &self.memory[self.start..]
    }

    /// All rows.
    #[inline(always)]
    pub fn rows_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.start..]
    }

    /// Copies `count` rows of `columns` numbers that lie `stride` apart; the padding stays zero.
    pub fn copy(&mut self, source: &[T], (count, columns): (usize, usize), stride: usize) {
        let own = self.stride;
        let lines = self.rows_mut().chunks_exact_mut(own).take(count);
        simd(
            #[inline(always)]
            || {
                for (index, line) in lines.enumerate() {
                    let from = index * stride;
                    copy_line(&source[from..from + columns], line);
                }
            },
        );
    }

    /// The transpose of `count` rows of `columns` numbers that lie `stride` apart: column c of the source
    /// becomes row c. Columns of this matrix past `count` become zero.
    pub fn transpose(&mut self, source: &[T], extents: (usize, usize), stride: usize) {
        let own = self.stride;
        transpose::transpose((source, stride), (self.rows_mut(), own), extents);
    }
}
