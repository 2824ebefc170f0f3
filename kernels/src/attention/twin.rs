//! Attention on the CPU: per example and head, the score product, the softmax and the value product, all
//! of a few rows at a time in scratch memory; both products are those of `matmul`, so every row has
//! the same bits whatever rows and examples are computed with it.

use super::Attention;
use crate::matmul::{MatMul, product};
use crate::{Real, simd};
use rayon::prelude::*;

/// Inputs; an absent mask is empty.
pub(super) struct Inputs<'a, T> {
    pub q: &'a [T],
    pub k: &'a [T],
    pub v: &'a [T],
    pub mask: &'a [T],
}

/// Multiply-adds under which another thread is not worth waking.
const SERIAL_WORK: usize = 1_000_000;

/// Scores that are kept at a time.
const SCRATCH: usize = 24 * 1024;

/// Rows of the products' register tile.
const UNIT: usize = 12;

/// Lanes of the softmax's maximum and sum: a fixed split, so that results do not depend on the machine.
const LANES: usize = 32;

/// Runs the kernel.
pub(super) fn attend<T: Real>(
    p: &Attention,
    inputs: &Inputs<'_, T>,
    out: &mut [T],
    parallel: bool,
) {
    let rows = p.output();
    let per_row = 2 * (p.heads * p.head_dim) as usize * p.k_rows as usize;
    let work = per_row
        .saturating_mul(p.q_rows as usize)
        .saturating_mul(p.batch as usize);
    let parallel = parallel && work > SERIAL_WORK;
    let block = match parallel {
        true => rows.block(rayon::current_num_threads(), UNIT),
        false => p.q_rows as usize,
    };
    let tasks = rows.split(out, block);
    let run = |(example, first, out): (usize, usize, &mut [T])| {
        Block {
            p,
            inputs,
            example,
            first,
        }
        .run(out);
    };
    if parallel {
        tasks.into_par_iter().for_each(run);
    } else {
        tasks.into_iter().for_each(run);
    }
}

/// Some rows of one example.
struct Block<'a, T> {
    p: &'a Attention,
    inputs: &'a Inputs<'a, T>,
    example: usize,
    first: usize,
}

impl<T: Real> Block<'_, T> {
    /// `out` starts at the block's first row.
    fn run(&self, out: &mut [T]) {
        let p = self.p;
        let width = (p.heads * p.head_dim) as usize;
        let rows = match p.out_row_stride as usize {
            0 => 1,
            stride => (out.len() - width) / stride + 1,
        };
        // Scores are padded to whole lanes, which the softmax fills with weight zero.
        let line = (p.k_rows as usize).next_multiple_of(LANES);
        let step = (SCRATCH / line / UNIT * UNIT).clamp(UNIT, rows.max(UNIT));
        let mut scores = vec![T::NEG_INFINITY; step.min(rows) * line];
        let group = p.heads / p.kv_heads;
        for kv_head in 0..p.kv_heads {
            let products = Products::new(self, kv_head, line);
            for head in kv_head * group..(kv_head + 1) * group {
                for start in (0..rows).step_by(step) {
                    let count = step.min(rows - start);
                    let place = (self.first + start, count, head);
                    products.scores(self, place, &mut scores);
                    softmax_rows(&mut scores[..count * line], line, p.k_rows as usize);
                    let rows = &mut out[start * p.out_row_stride as usize..];
                    products.values(self, place, &scores, rows);
                }
            }
        }
    }
}

/// The two products of one head of keys and values, with both packed.
struct Products<T> {
    score: MatMul,
    keys: Vec<T>,
    value: MatMul,
    values: Vec<T>,
}

impl<T: Real> Products<T> {
    fn new(block: &Block<'_, T>, kv_head: u32, line: usize) -> Self {
        let p = block.p;
        let start = |offset: u32, batch_stride: u32| {
            offset as usize
                + block.example * batch_stride as usize
                + (kv_head * p.head_dim) as usize
        };
        let masked = p.has(Attention::MASK);
        let score = MatMul {
            a_row_stride: p.q_row_stride,
            b_column_stride: p.k_row_stride,
            c_row_stride: line as u32,
            residual_row_stride: p.k_rows,
            flags: if masked { MatMul::RESIDUAL } else { 0 },
            scale: p.scale,
            ..MatMul::linear(1, p.head_dim, p.k_rows)
        };
        let value = MatMul {
            a_row_stride: line as u32,
            b_row_stride: p.v_row_stride,
            b_column_stride: 1,
            c_row_stride: p.out_row_stride,
            flags: 0,
            ..MatMul::linear(1, p.k_rows, p.head_dim)
        };
        let keys = &block.inputs.k[start(p.k_offset, p.k_batch_stride)..];
        let values = &block.inputs.v[start(p.v_offset, p.v_batch_stride)..];
        Self {
            keys: product::pack_panels(&score, 0, keys),
            values: product::pack_panels(&value, 0, values),
            score,
            value,
        }
    }

    /// Scores, mask added, of `count` rows from `row` on.
    fn scores(
        &self,
        block: &Block<'_, T>,
        (row, count, head): (usize, usize, u32),
        scores: &mut [T],
    ) {
        let p = block.p;
        let q = p.q_offset as usize
            + block.example * p.q_batch_stride as usize
            + row * p.q_row_stride as usize
            + (head * p.head_dim) as usize;
        let mask = match p.has(Attention::MASK) {
            true => {
                &block.inputs.mask
                    [block.example * p.mask_batch_stride as usize + row * p.k_rows as usize..]
            }
            false => &[],
        };
        let inputs = product::Inputs {
            a: &block.inputs.q[q..],
            b: &[],
            bias: &[],
            residual: mask,
            gate: &[],
        };
        let kernel = MatMul {
            m: count as u32,
            ..self.score
        };
        product::multiply(&kernel, &inputs, Some(&self.keys), scores, false);
    }

    /// Weighted values of the same rows; `out` starts at the first of them.
    fn values(
        &self,
        block: &Block<'_, T>,
        (_, count, head): (usize, usize, u32),
        weights: &[T],
        out: &mut [T],
    ) {
        let inputs = product::Inputs {
            a: weights,
            b: &[],
            bias: &[],
            residual: &[],
            gate: &[],
        };
        let kernel = MatMul {
            m: count as u32,
            c_offset: head * block.p.head_dim,
            ..self.value
        };
        product::multiply(&kernel, &inputs, Some(&self.values), out, false);
    }
}

/// Softmax of every row, of which the first `count` numbers are scores; the rest becomes zero.
fn softmax_rows<T: Real>(scores: &mut [T], line: usize, count: usize) {
    simd(
        #[inline(always)]
        || {
            for row in scores.chunks_exact_mut(line) {
                row[count..].fill(T::NEG_INFINITY);
                softmax(row);
            }
        },
    );
}

/// Folds the lanes by halves: few dependent operations, in the same order on every machine.
#[inline(always)]
fn halve<T: Real>(mut lanes: [T; LANES], fold: impl Fn(T, T) -> T) -> T {
    for half in [16, 8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = fold(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

/// Softmax of one row of whole lanes, in place; zeros if every score is negative infinity.
#[inline(always)]
fn softmax<T: Real>(row: &mut [T]) {
    let (lines, _) = row.as_chunks_mut::<LANES>();
    let mut largest = [T::NEG_INFINITY; LANES];
    for line in lines.iter() {
        for (largest, value) in largest.iter_mut().zip(line) {
            *largest = value.maximum(*largest);
        }
    }
    let largest = halve(largest, T::maximum);
    // Minus infinity minus itself is no number: without a score, take differences from zero.
    let base = if largest == T::NEG_INFINITY {
        T::ZERO
    } else {
        largest
    };
    let mut sums = [T::ZERO; LANES];
    for line in lines.iter_mut() {
        for (sum, value) in sums.iter_mut().zip(line) {
            *value = (*value - base).exp();
            *sum += *value;
        }
    }
    let total = halve(sums, |a, b| a + b);
    let factor = if total == T::ZERO {
        T::ZERO
    } else {
        T::ONE / total
    };
    for line in lines.iter_mut() {
        line.iter_mut().for_each(|value| *value *= factor);
    }
}
