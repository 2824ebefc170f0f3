//! Attention's tangents on the CPU: per example and head, the weights of some queries at a time in scratch
//! memory, transposed as in `attention/weights.rs`, then for every tangent the products
//! `K dQ' + dK Q'` and `dp V + p dV`, both factors of a sum in one register tile.

use super::AttentionTangent;
use crate::attention::Attention;
use crate::attention::scratch::Matrix;
use crate::attention::tiles::{Extents, Target, Term, multiply};
use crate::attention::transpose::GROUP;
use crate::attention::weights::{self, groups, start};
use crate::{Real, simd};
use rayon::prelude::*;

/// Inputs; absent ones are empty.
pub(super) struct Inputs<'a, T> {
    pub q: &'a [T],
    pub k: &'a [T],
    pub v: &'a [T],
    pub mask: &'a [T],
    pub dq: &'a [T],
    pub dk: &'a [T],
    pub dv: &'a [T],
}

/// Multiply-adds under which another thread is not worth waking.
const SERIAL_WORK: usize = 1_000_000;

/// Rows of the products' largest register tile.
const UNIT: usize = 16;

/// Runs the kernel.
pub(super) fn differentiate<T: Real>(
    p: &AttentionTangent,
    inputs: &Inputs<'_, T>,
    dout: &mut [T],
    parallel: bool,
) {
    let primal = p.primal();
    let rows = primal.output();
    let work = [p.k_rows, p.q_rows, p.batch, p.tangents]
        .iter()
        .fold(4 * rows.width as usize, |work, &n| {
            work.saturating_mul(n as usize)
        });
    let parallel = parallel && work > SERIAL_WORK;
    let block = match parallel {
        true => rows.block(rayon::current_num_threads(), UNIT),
        false => p.q_rows as usize,
    };
    // The same blocks of every tangent are one task.
    let own = crate::rows::Rows { offset: 0, ..rows };
    let mut tasks: Vec<(usize, usize, Vec<&mut [T]>)> = Vec::new();
    for part in p.output().split(dout) {
        let mut known = tasks.iter_mut();
        let mut fresh = Vec::new();
        for (example, first, rows) in own.split(part, block) {
            match known.next() {
                Some(task) => task.2.push(rows),
                None => fresh.push((example, first, vec![rows])),
            }
        }
        tasks.append(&mut fresh);
    }
    // Scratch memory is made once a thread, or once for all examples of a serial run.
    let fresh = || Scratch::new(&primal, block);
    let run = |scratch: &mut Scratch<T>,
               (example, first, mut out): (usize, usize, Vec<&mut [T]>)| {
        Block {
            p,
            primal: &primal,
            inputs,
            example,
            first,
        }
        .run(scratch, &mut out);
    };
    if parallel {
        tasks.into_par_iter().for_each_init(fresh, run);
    } else {
        let mut scratch = fresh();
        tasks.into_iter().for_each(|task| run(&mut scratch, task));
    }
}

/// Some queries of one example.
struct Block<'a, T> {
    p: &'a AttentionTangent,
    primal: &'a Attention,
    inputs: &'a Inputs<'a, T>,
    example: usize,
    first: usize,
}

/// Scratch memory of a block: transposed queries, their weights, and the same of a tangent.
struct Scratch<T> {
    step: usize,
    q: Matrix<T>,
    dq: Matrix<T>,
    weights: Matrix<T>,
    tangent: Matrix<T>,
    mask: Option<Matrix<T>>,
    v: Matrix<T>,
    dv: Matrix<T>,
}

impl<T: Real> Scratch<T> {
    /// For blocks of at most `rows` queries.
    fn new(p: &Attention, rows: usize) -> Self {
        let (keys, depth) = (p.k_rows as usize, p.head_dim as usize);
        let step = weights::block(p, rows);
        let masked = p.has(Attention::MASK);
        Self {
            step,
            q: Matrix::new(depth, step),
            dq: Matrix::new(depth, step),
            weights: Matrix::new(keys, step),
            tangent: Matrix::new(keys, step),
            mask: masked.then(|| Matrix::new(keys, step)),
            v: Matrix::new(keys, depth),
            dv: Matrix::new(keys, depth),
        }
    }
}

/// Some queries of one head: (first query, its place in the block, queries, head).
type Place = (usize, usize, usize, usize);

impl<T: Real> Block<'_, T> {
    /// `out` holds, a tangent each, the block's rows.
    fn run(&self, scratch: &mut Scratch<T>, out: &mut [&mut [T]]) {
        let p = self.primal;
        let width = (p.heads * p.head_dim) as usize;
        let rows = match (p.out_row_stride as usize, out.first()) {
            (0, _) | (_, None) => 1,
            (stride, Some(part)) => (part.len() - width) / stride + 1,
        };
        for from in (0..rows).step_by(scratch.step) {
            let count = scratch.step.min(rows - from);
            let row = self.first + from;
            if let Some(mask) = &mut scratch.mask {
                weights::mask(p, self.inputs.mask, (self.example, row, count), mask);
            }
            for head in 0..p.heads as usize {
                let place = (row, from, count, head);
                self.weights(place, scratch);
                for (tangent, out) in out.iter_mut().enumerate() {
                    self.tangent(place, tangent, scratch, out);
                }
            }
        }
    }

    /// First elements of the head's columns in q, k and v.
    fn starts(&self, (row, _, _, head): Place) -> [usize; 3] {
        let p = self.primal;
        let depth = p.head_dim as usize;
        let kv_head = head * p.kv_heads as usize / p.heads as usize;
        let [q, k, v] = p.inputs();
        [
            start(&q, self.example, row, head * depth),
            start(&k, self.example, 0, kv_head * depth),
            start(&v, self.example, 0, kv_head * depth),
        ]
    }

    fn scores(&self, count: usize) -> Extents {
        Extents {
            rows: self.primal.k_rows as usize,
            depth: self.primal.head_dim as usize,
            columns: count,
        }
    }

    /// The weights of some queries, once for all tangents.
    fn weights(&self, place: Place, scratch: &mut Scratch<T>) {
        let p = self.primal;
        let (keys, depth) = (p.k_rows as usize, p.head_dim as usize);
        let count = place.2;
        let [q, k, v] = self.starts(place);
        let queries = &self.inputs.q[q..];
        let extents = (count, depth);
        scratch
            .q
            .transpose(queries, extents, p.q_row_stride as usize);
        let values = &self.inputs.v[v..];
        scratch
            .v
            .copy(values, (keys, depth), p.v_row_stride as usize);
        let term = Term {
            left: &self.inputs.k[k..],
            stride: p.k_row_stride as usize,
            right: &scratch.q,
        };
        let padded = scratch.weights.stride;
        let target = Target {
            stride: padded,
            data: scratch.weights.rows_mut(),
        };
        multiply::<T, false>([Some(term), None], self.scores(padded), target);
        let scale = T::from_f32(p.scale);
        weights::softmax(&mut scratch.weights, keys, scale, scratch.mask.as_ref());
    }

    /// One tangent of the same queries; `out` starts at the block's first row.
    fn tangent(&self, place: Place, tangent: usize, scratch: &mut Scratch<T>, out: &mut [T]) {
        let (p, inputs) = (self.p, self.inputs);
        let (keys, depth) = (p.k_rows as usize, p.head_dim as usize);
        let (_, from, count, head) = place;
        let [q, k, v] = self.starts(place);
        let at = |start: usize, stride: u32| start + tangent * stride as usize;
        if p.has(AttentionTangent::Q_TANGENT) {
            let queries = &inputs.dq[at(q, p.q_tangent_stride)..];
            let stride = p.q_row_stride as usize;
            scratch.dq.transpose(queries, (count, depth), stride);
        }
        if p.has(AttentionTangent::V_TANGENT) {
            let values = &inputs.dv[at(v, p.v_tangent_stride)..];
            let stride = p.v_row_stride as usize;
            scratch.dv.copy(values, (keys, depth), stride);
        }
        let of_queries = p.has(AttentionTangent::Q_TANGENT).then(|| Term {
            left: &inputs.k[k..],
            stride: p.k_row_stride as usize,
            right: &scratch.dq,
        });
        let of_keys = p.has(AttentionTangent::K_TANGENT).then(|| Term {
            left: &inputs.dk[at(k, p.k_tangent_stride)..],
            stride: p.k_row_stride as usize,
            right: &scratch.q,
        });
        let stride = scratch.weights.stride;
        let moved = of_queries.is_some() || of_keys.is_some();
        if moved {
            let data = scratch.tangent.rows_mut();
            let target = Target { data, stride };
            multiply::<T, false>([of_queries, of_keys], self.scores(stride), target);
            let scale = T::from_f32(p.scale);
            softmax_tangent(&scratch.weights, &mut scratch.tangent, keys, scale);
        }
        let of_weights = moved.then(|| Term {
            left: scratch.tangent.rows(),
            stride,
            right: &scratch.v,
        });
        let of_values = p.has(AttentionTangent::V_TANGENT).then(|| Term {
            left: scratch.weights.rows(),
            stride,
            right: &scratch.dv,
        });
        let extents = Extents {
            rows: count,
            depth: keys,
            columns: depth,
        };
        let row_stride = p.out_row_stride as usize;
        let target = Target {
            data: &mut out[from * row_stride + head * depth..],
            stride: row_stride,
        };
        multiply::<T, true>([of_weights, of_values], extents, target);
    }
}

/// Turns the tangents of products of queries and keys into those of the weights, in place:
/// `p scale (d - sum p d)`.
fn softmax_tangent<T: Real>(weights: &Matrix<T>, tangent: &mut Matrix<T>, keys: usize, scale: T) {
    let stride = weights.stride;
    let rows = &mut tangent.rows_mut()[..keys * stride];
    let known = weights.rows();
    simd(
        #[inline(always)]
        || {
            for first in (0..stride).step_by(GROUP) {
                let mut along = [T::ZERO; GROUP];
                let pairs = groups(rows, stride, first).zip(known.chunks_exact(stride));
                for (line, weights) in pairs {
                    let weights = &weights[first..first + GROUP];
                    for ((value, weight), along) in line.iter().zip(weights).zip(&mut along) {
                        *along = weight.mul_add(*value, *along);
                    }
                }
                let pairs = groups(rows, stride, first).zip(known.chunks_exact(stride));
                for (line, weights) in pairs {
                    let weights = &weights[first..first + GROUP];
                    for ((value, weight), along) in line.iter_mut().zip(weights).zip(&along) {
                        *value = *weight * (scale * (*value - *along));
                    }
                }
            }
        },
    );
}
