//! The matrix product on the CPU.
//!
//! B is packed into panels of [`Real::PANEL`] columns, k-major, so that the inner loop reads it
//! contiguously; A is read in place. A block of rows by one panel stays in vector registers over the
//! whole of k, so every element is one ascending chain of fused multiply-adds: the same bits for a row
//! whatever rows are computed with it. (General-purpose packages choose other kernels, with other
//! summation orders, for small matrices; that would break batch invariance.)

use super::MatMul;
pub(crate) use super::tile::Inputs;
use super::tile::{MAX_ROWS, Tiles};
use crate::{Real, simd};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Multiply-adds under which another thread is not worth waking: some ten microseconds of one core.
const SERIAL_WORK: usize = 1_200_000;

/// Rows of B that are packed together.
const PACK_ROWS: usize = 16;

/// Copies matrix `matrix` of B into panels: `[ceil(n / PANEL), k, PANEL]`, zeros beyond column n.
pub(crate) fn pack_panels<T: Real>(p: &MatMul, matrix: usize, b: &[T]) -> Vec<T> {
    let (k, n) = (p.k as usize, p.n as usize);
    let base = p.b_offset as usize + matrix * p.b_batch_stride as usize;
    let mut panels = vec![T::ZERO; n.div_ceil(T::PANEL) * k * T::PANEL];
    simd(
        #[inline(always)]
        || {
            for (index, panel) in panels.chunks_exact_mut(k * T::PANEL).enumerate() {
                let first = index * T::PANEL;
                let source = &b[base + first * p.b_column_stride as usize..];
                pack_panel(p, T::PANEL.min(n - first), source, panel);
            }
        },
    );
    panels
}

/// One panel of `width` columns; `source` starts at its first column.
#[inline(always)]
fn pack_panel<T: Real>(p: &MatMul, width: usize, source: &[T], panel: &mut [T]) {
    let (row_stride, column_stride) = (p.b_row_stride as usize, p.b_column_stride as usize);
    if column_stride == 1 {
        for (row, line) in panel.chunks_exact_mut(T::PANEL).enumerate() {
            let from = row * row_stride;
            line[..width].copy_from_slice(&source[from..from + width]);
        }
        return;
    }
    // A few rows at a time: their lines stay in the first-level cache while columns are scattered.
    for (index, lines) in panel.chunks_mut(PACK_ROWS * T::PANEL).enumerate() {
        let first = index * PACK_ROWS;
        let rows = lines.len() / T::PANEL;
        if row_stride == 1 && rows == PACK_ROWS {
            for column in 0..width {
                let from = column * column_stride + first;
                let column_values = &source[from..from + PACK_ROWS];
                for i in 0..PACK_ROWS {
                    lines[i * T::PANEL + column] = column_values[i];
                }
            }
        } else {
            for (i, line) in lines.chunks_exact_mut(T::PANEL).enumerate() {
                for (column, value) in line.iter_mut().enumerate().take(width) {
                    *value = source[(first + i) * row_stride + column * column_stride];
                }
            }
        }
    }
}

/// Runs the product into `c`.
pub(crate) fn multiply<T: Real>(
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
    let parallel = parallel && batch * m * p.n as usize * p.k as usize > SERIAL_WORK;
    let rows = p.output();
    let block = match parallel {
        true => rows.block(rayon::current_num_threads(), MAX_ROWS),
        false => m,
    };
    let tasks = rows.split(c, block);
    let run = |(matrix, first, rows): (usize, usize, &mut [T])| {
        let own;
        let panels = match shared {
            Some(panels) => panels,
            None => {
                own = pack_panels(p, matrix, inputs.b);
                &own
            }
        };
        pulp::Arch::new().dispatch(RowBlock {
            p,
            inputs,
            panels,
            matrix,
            first,
            c: rows,
        });
    };
    if parallel {
        tasks.into_par_iter().for_each(run);
    } else {
        tasks.into_iter().for_each(run);
    }
}

/// Elements of A that are kept near while all panels pass by.
const NEAR: usize = 32 * 1024;

/// One block of rows against all panels; `c` starts at row `first`.
struct RowBlock<'a, 'c, T> {
    p: &'a MatMul,
    inputs: &'a Inputs<'a, T>,
    panels: &'a [T],
    matrix: usize,
    first: usize,
    c: &'c mut [T],
}

impl<T: Real> WithSimd for RowBlock<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Registers that hold one line of a panel.
        match T::PANEL / T::lanes::<S>() {
            2 => self.multiply::<S, 2>(simd),
            4 => self.multiply::<S, 4>(simd),
            8 => self.multiply::<S, 8>(simd),
            16 => self.multiply::<S, 16>(simd),
            _ => self.multiply::<S, 32>(simd),
        }
    }
}

impl<T: Real> RowBlock<'_, '_, T> {
    #[inline(always)]
    fn multiply<S: Simd, const VECTORS: usize>(self, simd: S) {
        let p = self.p;
        let (k, n) = (p.k as usize, p.n as usize);
        let rows = match p.c_row_stride as usize {
            0 => 1,
            stride => (self.c.len() - n) / stride + 1,
        };
        let near = (NEAR / k).max(8 * MAX_ROWS).next_multiple_of(MAX_ROWS);
        for start in (0..rows).step_by(near) {
            let rows = start..rows.min(start + near);
            for (index, panel) in self.panels.chunks_exact(k * T::PANEL).enumerate() {
                let mut tiles = Tiles::new(
                    p,
                    self.inputs,
                    panel,
                    (self.matrix, self.first, index),
                    self.c,
                );
                tiles.run_all::<S, VECTORS>(simd, rows.clone());
            }
        }
    }
}
