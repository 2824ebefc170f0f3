//! Attention on the CPU: per example and head, the score product, the softmax and the value product, all
//! of some queries at a time in scratch memory, transposed as in `weights.rs`. Every query is a lane or a
//! row of its own, so it has the same bits whatever queries and examples are computed with it.

use super::Attention;
use super::scratch::Matrix;
use super::tiles::{Extents, Target, Term, multiply};
use super::weights::{self, start};
use crate::Real;
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

/// Queries that fill a register.
const UNIT: usize = 16;

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
    // Scratch memory is made once a thread, or once for all examples of a serial run.
    let fresh = || Scratch::new(p, block);
    let run = |scratch: &mut Scratch<T>, (example, first, out): (usize, usize, &mut [T])| {
        Block {
            p,
            inputs,
            example,
            first,
        }
        .run(scratch, out);
    };
    if parallel {
        tasks.into_par_iter().for_each_init(fresh, run);
    } else {
        let mut scratch = fresh();
        tasks.into_iter().for_each(|task| run(&mut scratch, task));
    }
}

/// Scratch memory of a block: transposed queries, their weights and mask, and the values of a head.
struct Scratch<T> {
    step: usize,
    q: Matrix<T>,
    weights: Matrix<T>,
    mask: Option<Matrix<T>>,
    v: Matrix<T>,
}

impl<T: Real> Scratch<T> {
    /// For blocks of at most `rows` queries.
    fn new(p: &Attention, rows: usize) -> Self {
        let (keys, depth) = (p.k_rows as usize, p.head_dim as usize);
        let step = weights::block(p, rows);
        Self {
            step,
            q: Matrix::new(depth, step),
            weights: Matrix::new(keys, step),
            mask: p.has(Attention::MASK).then(|| Matrix::new(keys, step)),
            v: Matrix::new(keys, depth),
        }
    }
}

/// Some queries of one example.
struct Block<'a, T> {
    p: &'a Attention,
    inputs: &'a Inputs<'a, T>,
    example: usize,
    first: usize,
}

impl<T: Real> Block<'_, T> {
    /// `out` starts at the block's first row.
    fn run(&self, scratch: &mut Scratch<T>, out: &mut [T]) {
        let p = self.p;
        let width = (p.heads * p.head_dim) as usize;
        let rows = match p.out_row_stride as usize {
            0 => 1,
            stride => (out.len() - width) / stride + 1,
        };
        for from in (0..rows).step_by(scratch.step) {
            let count = scratch.step.min(rows - from);
            let row = self.first + from;
            if let Some(mask) = &mut scratch.mask {
                weights::mask(p, self.inputs.mask, (self.example, row, count), mask);
            }
            let out = &mut out[from * p.out_row_stride as usize..];
            for head in 0..p.heads as usize {
                self.attend((row, count, head), scratch, out);
            }
        }
    }

    /// `count` queries of one head from `row` on; `out` starts at the first of them.
    fn attend(
        &self,
        (row, count, head): (usize, usize, usize),
        scratch: &mut Scratch<T>,
        out: &mut [T],
    ) {
        let p = self.p;
        let (keys, depth) = (p.k_rows as usize, p.head_dim as usize);
        let group = (p.heads / p.kv_heads) as usize;
        let [q, k, v] = p.inputs();
        let kv_first = head / group * depth;
        if head % group == 0 {
            let values = &self.inputs.v[start(&v, self.example, 0, kv_first)..];
            let stride = p.v_row_stride as usize;
            scratch.v.copy(values, (keys, depth), stride);
        }
        let queries = &self.inputs.q[start(&q, self.example, row, head * depth)..];
        let stride = p.q_row_stride as usize;
        scratch.q.transpose(queries, (count, depth), stride);
        let keys_of_head = Term {
            left: &self.inputs.k[start(&k, self.example, 0, kv_first)..],
            stride: p.k_row_stride as usize,
            right: &scratch.q,
        };
        let stride = scratch.weights.stride;
        let extents = Extents {
            rows: keys,
            depth,
            columns: stride,
        };
        let data = scratch.weights.rows_mut();
        let target = Target { data, stride };
        multiply::<T, false>([Some(keys_of_head), None], extents, target);
        let scale = T::from_f32(p.scale);
        weights::softmax(&mut scratch.weights, keys, scale, scratch.mask.as_ref());
        let values_of_head = Term {
            left: scratch.weights.rows(),
            stride,
            right: &scratch.v,
        };
        let extents = Extents {
            rows: count,
            depth: keys,
            columns: depth,
        };
        let target = Target {
            data: &mut out[head * depth..],
            stride: p.out_row_stride as usize,
        };
        multiply::<T, true>([Some(values_of_head), None], extents, target);
    }
}
