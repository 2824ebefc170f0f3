//! The matrix product on the CPU.
//!
//! B is packed into panels of [`Real::PANEL`] columns, k-major, so that the inner loop reads it
//! contiguously; A is read in place. A block of rows by one panel stays in vector registers over the
//! whole of k, so every element is one ascending chain of fused multiply-adds: the same bits for a row
//! whatever rows are computed with it. (General-purpose packages choose other kernels, with other
//! summation orders, for small matrices; that would break batch invariance.)

use super::MatMul;
use crate::{Real, simd};
use rayon::prelude::*;

/// Inputs of a product; absent ones are empty.
pub(super) struct Inputs<'a, T> {
    pub a: &'a [T],
    pub b: &'a [T],
    pub bias: &'a [T],
    pub residual: &'a [T],
    pub gate: &'a [T],
}

/// Multiply-adds under which another thread is not worth waking.
const SERIAL_WORK: usize = 200_000;

/// Copies matrix `matrix` of B into panels: `[ceil(n / PANEL), k, PANEL]`, zeros beyond column n.
pub(super) fn pack_panels<T: Real>(p: &MatMul, matrix: usize, b: &[T]) -> Vec<T> {
    let (k, n) = (p.k as usize, p.n as usize);
    let (row_stride, column_stride) = (p.b_row_stride as usize, p.b_column_stride as usize);
    let base = p.b_offset as usize + matrix * p.b_batch_stride as usize;
    let mut panels = vec![T::ZERO; n.div_ceil(T::PANEL) * k * T::PANEL];
    for (index, panel) in panels.chunks_exact_mut(k * T::PANEL).enumerate() {
        let first = index * T::PANEL;
        let width = T::PANEL.min(n - first);
        for column in 0..width {
            let start = base + (first + column) * column_stride;
            for (row, line) in panel.chunks_exact_mut(T::PANEL).enumerate() {
                line[column] = b[start + row * row_stride];
            }
        }
    }
    panels
}

/// Runs the product into `c`.
pub(super) fn multiply<T: Real>(
    p: &MatMul,
    inputs: &Inputs<'_, T>,
    packed: Option<&[T]>,
    c: &mut [T],
    parallel: bool,
) {
    let (batch, m) = (p.batch as usize, p.m as usize);
    let local;
    let shared: Option<&[T]> = match packed {
        Some(panels) => Some(panels),
        None if p.shares_b() => {
            local = pack_panels(p, 0, inputs.b);
            Some(&local)
        }
        None => None,
    };
    let work = m * p.n as usize * p.k as usize;
    let threads = rayon::current_num_threads();
    let blocks = if parallel && work * batch > SERIAL_WORK {
        // At least one block a thread in all, and no more than its share of the rows.
        (2 * threads)
            .div_ceil(batch)
            .min(m.div_ceil(MAX_ROWS))
            .max(1)
    } else {
        1
    };
    let block = m.div_ceil(blocks).next_multiple_of(MAX_ROWS).min(m);
    let tasks = RowBlocks::new(p, c, block);
    let run = |(matrix, first, rows): (usize, usize, &mut [T])| {
        let own;
        let panels = match shared {
            Some(panels) => panels,
            None => {
                own = pack_panels(p, matrix, inputs.b);
                &own
            }
        };
        simd(
            #[inline(always)]
            || rows_block(p, inputs, panels, matrix, first, rows),
        );
    };
    if parallel && work * batch > SERIAL_WORK {
        tasks.items.into_par_iter().for_each(run);
    } else {
        tasks.items.into_iter().for_each(run);
    }
}

/// Disjoint blocks of the rows of C: (matrix, first row, elements from that row on).
struct RowBlocks<'a, T> {
    items: Vec<(usize, usize, &'a mut [T])>,
}

impl<'a, T> RowBlocks<'a, T> {
    fn new(p: &MatMul, c: &'a mut [T], block: usize) -> Self {
        let (m, row_stride) = (p.m as usize, p.c_row_stride as usize);
        let mut items = Vec::new();
        let mut rest = c;
        let mut consumed = 0;
        for matrix in 0..p.batch as usize {
            for first in (0..m).step_by(block.max(1)) {
                let rows = block.min(m - first);
                let start =
                    p.c_offset as usize + matrix * p.c_batch_stride as usize + first * row_stride;
                let length = (rows - 1) * row_stride + p.n as usize;
                let tail = std::mem::take(&mut rest);
                let Some((_, tail)) = tail.split_at_mut_checked(start - consumed) else {
                    return Self { items };
                };
                let Some((own, tail)) = tail.split_at_mut_checked(length) else {
                    return Self { items };
                };
                items.push((matrix, first, own));
                consumed = start + length;
                rest = tail;
            }
        }
        Self { items }
    }
}

/// Rows that the largest micro-kernel holds in registers.
const MAX_ROWS: usize = 12;

/// One block of rows against all panels.
#[inline(always)]
fn rows_block<T: Real>(
    p: &MatMul,
    inputs: &Inputs<'_, T>,
    panels: &[T],
    matrix: usize,
    first: usize,
    c: &mut [T],
) {
    let (k, n) = (p.k as usize, p.n as usize);
    let rows = (c.len() - n) / (p.c_row_stride as usize).max(1) + 1;
    let rows = if p.c_row_stride == 0 { 1 } else { rows };
    let block = Block { p, inputs, matrix };
    for (index, panel) in panels.chunks_exact(k * T::PANEL).enumerate() {
        let column = index * T::PANEL;
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            row += match left {
                12.. if WIDE => block.run::<12>(panel, column, first, row, c),
                6.. if WIDE => block.run::<6>(panel, column, first, row, c),
                3.. => block.run::<3>(panel, column, first, row, c),
                2 => block.run::<2>(panel, column, first, row, c),
                _ => block.run::<1>(panel, column, first, row, c),
            };
        }
    }
}

/// Whether this build may assume thirty-two wide vector registers; smaller register files spill with
/// twelve rows, and still compute the same bits.
const WIDE: bool = cfg!(target_arch = "x86_64");

struct Block<'a, T> {
    p: &'a MatMul,
    inputs: &'a Inputs<'a, T>,
    matrix: usize,
}

impl<T: Real> Block<'_, T> {
    /// `ROWS` rows by one panel; returns `ROWS`.
    #[inline(always)]
    fn run<const ROWS: usize>(
        &self,
        panel: &[T],
        column: usize,
        first: usize,
        row: usize,
        c: &mut [T],
    ) -> usize {
        let p = self.p;
        let (k, row_stride, step) = (
            p.k as usize,
            p.a_row_stride as usize,
            p.a_column_stride as usize,
        );
        let base = p.a_offset as usize
            + self.matrix * p.a_batch_stride as usize
            + (first + row) * row_stride;
        let a: [&[T]; ROWS] = std::array::from_fn(|r| &self.inputs.a[base + r * row_stride..]);
        let width = T::PANEL.min(p.n as usize - column);
        if T::PANEL == 32 {
            let sums = accumulate::<T, ROWS, 32>(a, step, panel, k);
            for (r, sums) in sums.into_iter().enumerate() {
                self.finish(
                    sums,
                    width,
                    column,
                    first + row + r,
                    &mut c[(row + r) * p.c_row_stride as usize..],
                );
            }
        } else {
            let sums = accumulate::<T, ROWS, 16>(a, step, panel, k);
            for (r, sums) in sums.into_iter().enumerate() {
                self.finish(
                    sums,
                    width,
                    column,
                    first + row + r,
                    &mut c[(row + r) * p.c_row_stride as usize..],
                );
            }
        }
        ROWS
    }

    /// Epilogue of one row of one panel.
    #[inline(always)]
    fn finish<const WIDTH: usize>(
        &self,
        mut sums: [T; WIDTH],
        width: usize,
        column: usize,
        row: usize,
        c: &mut [T],
    ) {
        let p = self.p;
        if p.scale != 1.0 {
            let scale = T::from_f32(p.scale);
            sums.iter_mut().for_each(|s| *s *= scale);
        }
        if p.has(MatMul::BIAS) {
            let bias = &self.inputs.bias[column..column + width];
            sums.iter_mut().zip(bias).for_each(|(s, b)| *s += *b);
        }
        p.activation.apply_slice(&mut sums);
        if p.has(MatMul::GATE) {
            let base = self.matrix * p.gate_batch_stride as usize;
            let stride = p.gate_column_stride as usize;
            for (i, s) in sums[..width].iter_mut().enumerate() {
                *s *= self.inputs.gate[base + (column + i) * stride];
            }
        }
        if p.has(MatMul::RESIDUAL) {
            let start = p.residual_offset as usize
                + self.matrix * p.residual_batch_stride as usize
                + row * p.residual_row_stride as usize
                + column;
            let residual = &self.inputs.residual[start..start + width];
            sums.iter_mut().zip(residual).for_each(|(s, r)| *s += *r);
        }
        c[column..column + width].copy_from_slice(&sums[..width]);
    }
}

/// The register tile: `ROWS` by `WIDTH` sums over all of k.
#[inline(always)]
fn accumulate<T: Real, const ROWS: usize, const WIDTH: usize>(
    a: [&[T]; ROWS],
    step: usize,
    panel: &[T],
    k: usize,
) -> [[T; WIDTH]; ROWS] {
    let mut sums = [[T::ZERO; WIDTH]; ROWS];
    if step == 1 {
        let a: [&[T]; ROWS] = std::array::from_fn(|r| &a[r][..k]);
        for (i, line) in panel.chunks_exact(WIDTH).take(k).enumerate() {
            for r in 0..ROWS {
                let x = a[r][i];
                for j in 0..WIDTH {
                    sums[r][j] = x.mul_add(line[j], sums[r][j]);
                }
            }
        }
    } else {
        for (i, line) in panel.chunks_exact(WIDTH).take(k).enumerate() {
            for r in 0..ROWS {
                let x = a[r][i * step];
                for j in 0..WIDTH {
                    sums[r][j] = x.mul_add(line[j], sums[r][j]);
                }
            }
        }
    }
    sums
}
