//! Register tiles of the matrix product: a few rows of C by one panel of columns, over all of k, and
//! the epilogue.

use super::MatMul;
use crate::{Activation, Real};
use pulp::Simd;
use std::ops::Range;

/// Inputs of a product; absent ones are empty.
pub(crate) struct Inputs<'a, T> {
    pub a: &'a [T],
    pub b: &'a [T],
    pub bias: &'a [T],
    pub residual: &'a [T],
    pub gate: &'a [T],
}

/// Rows that the largest tile holds in registers.
pub(super) const MAX_ROWS: usize = 12;

/// Elements of k that are staged at a time.
const STAGE: usize = 16;

/// Largest [`Real::PANEL`].
const WIDEST: usize = 32;

/// The tiles of one panel, and what they share.
pub(super) struct Tiles<'a, 'c, T> {
    p: &'a MatMul,
    panel: &'a [T],
    /// From the first row of the block on.
    a: &'a [T],
    /// From the first row of the block, first column of the panel on.
    residual: &'a [T],
    /// From the first row of the block, first column of the panel on.
    c: &'c mut [T],
    /// Columns of the panel that exist.
    width: usize,
    bias: [T; WIDEST],
    gate: [T; WIDEST],
}

impl<'a, 'c, T: Real> Tiles<'a, 'c, T> {
    /// Tiles of panel `index` in the row block that starts at row `first` of `matrix`, the three of
    /// them given as `(matrix, first, index)`; `c` starts at that row.
    #[inline(always)]
    pub(super) fn new(
        p: &'a MatMul,
        inputs: &'a Inputs<'a, T>,
        panel: &'a [T],
        (matrix, first, index): (usize, usize, usize),
        c: &'c mut [T],
    ) -> Self {
        let column = index * T::PANEL;
        let width = T::PANEL.min(p.n as usize - column);
        let start = |offset: u32, batch_stride: u32, row_stride: u32| {
            offset as usize + matrix * batch_stride as usize + first * row_stride as usize
        };
        let mut bias = [T::ZERO; WIDEST];
        if p.has(MatMul::BIAS) {
            bias[..width].copy_from_slice(&inputs.bias[column..column + width]);
        }
        let mut gate = [T::ONE; WIDEST];
        if p.has(MatMul::GATE) {
            let base = matrix * p.gate_batch_stride as usize;
            let stride = p.gate_column_stride as usize;
            for (i, value) in gate[..width].iter_mut().enumerate() {
                *value = inputs.gate[base + (column + i) * stride];
            }
        }
        let residual = if p.has(MatMul::RESIDUAL) {
            let rows = start(
                p.residual_offset,
                p.residual_batch_stride,
                p.residual_row_stride,
            );
            &inputs.residual[rows + column..]
        } else {
            inputs.residual
        };
        Self {
            p,
            panel,
            a: &inputs.a[start(p.a_offset, p.a_batch_stride, p.a_row_stride)..],
            residual,
            c: &mut c[column..],
            width,
            bias,
            gate,
        }
    }

    /// All rows of a range. The last tile of a size overlaps the one before it rather than fall back
    /// to a slower size: a row computed twice has the same bits.
    ///
    /// A line of the panel takes `VECTORS` registers. Two, with AVX-512, leave room for twelve rows
    /// of sums in 32 registers; four (AVX2, 16 registers) or eight (NEON, 32) for three.
    #[inline(always)]
    pub(super) fn run_all<S: Simd, const VECTORS: usize>(&mut self, simd: S, rows: Range<usize>) {
        let (end, count) = (rows.end, rows.len());
        let mut row = rows.start;
        while row < end {
            let left = end - row;
            if VECTORS <= 2 && left > 6 && count >= 12 {
                self.run::<S, VECTORS, 12>(simd, row.min(end - 12));
                row += 12;
            } else if VECTORS <= 2 && left > 3 && count >= 6 {
                self.run::<S, VECTORS, 6>(simd, row.min(end - 6));
                row += 6;
            } else if VECTORS <= 8 && left > 1 && count >= 3 {
                self.run::<S, VECTORS, 3>(simd, row.min(end - 3));
                row += 3;
            } else {
                self.run::<S, VECTORS, 1>(simd, row);
                row += 1;
            }
        }
    }

    /// `ROWS` rows from `row` on.
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize, const ROWS: usize>(&mut self, simd: S, row: usize) {
        let mut sums = [[T::ZERO; WIDEST]; ROWS];
        self.accumulate::<S, VECTORS, ROWS>(simd, row, &mut sums);
        for (r, sums) in sums.iter_mut().enumerate() {
            self.finish(&mut sums[..T::PANEL], row + r);
        }
    }

    /// The sums of one tile.
    ///
    /// A's elements are staged in a small array of fixed size: the inner loop then addresses all rows
    /// with one register and needs no bounds checks, which would otherwise cost more than the sums.
    #[inline(always)]
    fn accumulate<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &self,
        simd: S,
        row: usize,
        out: &mut [[T; WIDEST]; ROWS],
    ) {
        let (row_stride, step) = (
            self.p.a_row_stride as usize,
            self.p.a_column_stride as usize,
        );
        let mut sums = [[T::splat(simd, T::ZERO); VECTORS]; ROWS];
        let mut stage = [[T::ZERO; STAGE]; ROWS];
        let lines = T::vectors::<S>(self.panel).as_chunks::<VECTORS>().0;
        for (index, lines) in lines.chunks(STAGE).enumerate() {
            for (r, stage) in stage.iter_mut().enumerate() {
                let a = &self.a[(row + r) * row_stride + index * STAGE * step..];
                if step == 1 && lines.len() == STAGE {
                    stage.copy_from_slice(&a[..STAGE]);
                } else {
                    for (i, value) in stage.iter_mut().enumerate().take(lines.len()) {
                        *value = a[i * step];
                    }
                }
            }
            for (i, line) in lines.iter().enumerate().take(STAGE) {
                for (sums, stage) in sums.iter_mut().zip(&stage) {
                    let x = T::splat(simd, stage[i]);
                    for (sum, value) in sums.iter_mut().zip(line) {
                        *sum = T::multiply_add(simd, x, *value, *sum);
                    }
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&sums) {
            for (out, sum) in T::vectors_mut::<S>(out).iter_mut().zip(sums) {
                *out = *sum;
            }
        }
    }

    /// Epilogue of one row; `line` holds its sums, one a column of the panel.
    #[inline(always)]
    fn finish(&mut self, line: &mut [T], row: usize) {
        let p = self.p;
        if p.scale != 1.0 {
            let scale = T::from_f32(p.scale);
            line.iter_mut().for_each(|value| *value *= scale);
        }
        if p.has(MatMul::BIAS) {
            for (value, bias) in line.iter_mut().zip(&self.bias) {
                *value += *bias;
            }
        }
        if p.activation != Activation::IDENTITY {
            p.activation.apply_slice(line);
        }
        if p.has(MatMul::GATE) {
            for (value, gate) in line.iter_mut().zip(&self.gate) {
                *value *= *gate;
            }
        }
        if p.has(MatMul::RESIDUAL) {
            let start = row * p.residual_row_stride as usize;
            let residual = &self.residual[start..start + self.width];
            for (value, residual) in line.iter_mut().zip(residual) {
                *value += *residual;
            }
        }
        let start = row * p.c_row_stride as usize;
        // The full width is a copy of known length, which needs no call.
        if self.width == T::PANEL {
            self.c[start..start + T::PANEL].copy_from_slice(line);
        } else {
            self.c[start..start + self.width].copy_from_slice(&line[..self.width]);
        }
    }
}
