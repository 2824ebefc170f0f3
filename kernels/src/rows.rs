//! Views of rows: what most kernels read and write.

use crate::addressing::{distinct, reach};
use crate::{KernelError, for_each_row};

/// A `[batch, rows, width]` view with contiguous columns, addressed by an offset and strides in elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// First element.
    pub offset: u32,
    /// Examples.
    pub batch: u32,
    /// Elements between examples.
    pub batch_stride: u32,
    /// Rows of an example.
    pub rows: u32,
    /// Elements between rows.
    pub row_stride: u32,
    /// Elements of a row.
    pub width: u32,
}

impl Rows {
    /// Elements from the first to one past the last of `rows` rows.
    fn span(&self, rows: usize) -> usize {
        rows.saturating_sub(1)
            .saturating_mul(self.row_stride as usize)
            .saturating_add(self.width as usize)
    }

    fn dimensions(&self) -> [(u32, u32); 3] {
        [
            (self.batch, self.batch_stride),
            (self.rows, self.row_stride),
            (self.width, 1),
        ]
    }

    /// One past the last element, which is how many the operand must have.
    pub fn reach(&self) -> usize {
        reach(self.offset as usize, &self.dimensions())
    }

    /// Whether no element is met twice, as an output needs; rows of several examples may interleave.
    pub fn distinct(&self) -> bool {
        distinct(&self.dimensions())
    }

    /// One row of an input.
    #[inline(always)]
    pub fn row<'a, T>(&self, data: &'a [T], batch: usize, row: usize) -> &'a [T] {
        let start = self.offset as usize
            + batch * self.batch_stride as usize
            + row * self.row_stride as usize;
        &data[start..start + self.width as usize]
    }

    /// Checks that no two rows overlap and that examples follow each other; `names` are those of the
    /// row and batch strides.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the stride that is too small.
    pub fn check(
        &self,
        kernel: &'static str,
        names: (&'static str, &'static str),
    ) -> Result<(), KernelError> {
        let at_least = |name, least: usize, found: u32| {
            if (found as usize) < least {
                let expected = format!("at least {least}");
                return Err(KernelError::parameter(kernel, name, expected, found));
            }
            Ok(())
        };
        if self.rows > 1 {
            at_least(names.0, self.width as usize, self.row_stride)?;
        }
        if self.batch > 1 {
            at_least(names.1, self.span(self.rows as usize), self.batch_stride)?;
        }
        Ok(())
    }

    /// Blocks of at most `block` rows of one example: (example, first row, elements from that row on).
    /// Needs what [`Rows::check`] checks, and data of [`Rows::reach`] elements.
    pub fn split<'a, T>(
        &self,
        data: &'a mut [T],
        block: usize,
    ) -> Vec<(usize, usize, &'a mut [T])> {
        let mut items = Vec::new();
        let mut rest = data;
        let mut consumed = 0;
        for example in 0..self.batch as usize {
            for first in (0..self.rows as usize).step_by(block.max(1)) {
                let start = self.offset as usize
                    + example * self.batch_stride as usize
                    + first * self.row_stride as usize;
                let length = self.span(block.max(1).min(self.rows as usize - first));
                let tail = std::mem::take(&mut rest);
                let (_, tail) = tail.split_at_mut(start - consumed);
                let (own, tail) = tail.split_at_mut(length);
                items.push((example, first, own));
                consumed = start + length;
                rest = tail;
            }
        }
        items
    }

    /// Rows a block should have so that each of `threads` gets two or so, in multiples of `unit`.
    pub fn block(&self, threads: usize, unit: usize) -> usize {
        let rows = self.rows as usize;
        let blocks = (2 * threads)
            .div_ceil((self.batch as usize).max(1))
            .min(rows.div_ceil(unit))
            .max(1);
        rows.div_ceil(blocks).next_multiple_of(unit).min(rows)
    }

    /// Calls `body(batch, row, slice)` for every row of an output whose rows are distinct.
    #[inline(always)]
    pub fn for_each<T: Send>(
        &self,
        parallel: bool,
        data: &mut [T],
        body: impl Fn(usize, usize, &mut [T]) + Send + Sync,
    ) {
        let data = &mut data[self.offset as usize..self.reach()];
        let (batch, rows) = (self.batch as usize, self.rows as usize);
        let width = self.width as usize;
        let row_stride = if rows == 1 {
            width
        } else {
            self.row_stride as usize
        };
        let batch_stride = if batch == 1 {
            rows * row_stride
        } else {
            self.batch_stride as usize
        };
        if batch == 1 || batch_stride == rows * row_stride {
            // The rows of all examples are evenly spaced.
            for_each_row(
                parallel,
                data,
                row_stride,
                #[inline(always)]
                |index, slice| body(index / rows, index % rows, &mut slice[..width]),
            );
        } else if batch_stride > row_stride {
            for_each_row(
                parallel,
                data,
                batch_stride,
                #[inline(always)]
                |example, chunk| {
                    for (row, slice) in chunk.chunks_mut(row_stride).take(rows).enumerate() {
                        body(example, row, &mut slice[..width]);
                    }
                },
            );
        } else {
            for_each_row(
                parallel,
                data,
                row_stride,
                #[inline(always)]
                |row, chunk| {
                    for (example, slice) in chunk.chunks_mut(batch_stride).take(batch).enumerate() {
                        body(example, row, &mut slice[..width]);
                    }
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_met_once_in_any_layout() {
        // Even spacing, example-major with gaps, and row-major (examples interleaved).
        for (batch_stride, row_stride) in [(12, 4), (40, 6), (4, 9)] {
            let view = Rows {
                batch: 2,
                rows: 3,
                width: 4,
                offset: 5,
                batch_stride,
                row_stride,
            };
            assert!(view.distinct());
            let mut data = vec![0usize; view.reach()];
            view.for_each(false, &mut data, |b, r, slice| {
                for (c, v) in slice.iter_mut().enumerate() {
                    *v += 1 + c + 10 * r + 100 * b;
                }
            });
            let mut expected = vec![0usize; data.len()];
            for b in 0..2 {
                for r in 0..3 {
                    for c in 0..4 {
                        let at = 5 + b * batch_stride as usize + r * row_stride as usize + c;
                        expected[at] = 1 + c + 10 * r + 100 * b;
                    }
                }
            }
            assert_eq!(data, expected, "{batch_stride} {row_stride}");
        }
    }
}
