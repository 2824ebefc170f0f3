//! Multi-head scaled dot-product attention.

use crate::rows::Rows;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

pub(crate) mod scratch;
pub(crate) mod tiles;
pub(crate) mod transpose;
mod twin;
pub(crate) mod weights;

/// `out[b, i, h] = sum_j softmax_j(scale * q[b, i, h] . k[b, j, g] + mask[b, i, j]) v[b, j, g]` with
/// `g = h * kv_heads / heads` (Vaswani et al. 2017; grouped queries after Ainslie et al. 2023).
///
/// `q` and `out` are `[batch, q_rows, heads, head_dim]`, `k` and `v` `[batch, k_rows, kv_heads,
/// head_dim]`. Each is addressed by an offset, a batch stride and a row stride, with head h at
/// `h * head_dim` from the row's start, so that parts of a fused projection need no copies. The mask,
/// under [`Attention::MASK`], is `[batch, q_rows, k_rows]`, or `[q_rows, k_rows]` for all examples with
/// `mask_batch_stride = 0`; it is added to the scores, and a key whose mask is negative infinity takes
/// no part. A row all of whose keys are masked out is zero.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Attention {
    /// Examples.
    pub batch: u32,
    /// Heads of the queries.
    pub heads: u32,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: u32,
    /// Queries of an example.
    pub q_rows: u32,
    /// Keys of an example.
    pub k_rows: u32,
    /// Numbers of a head, at most 256.
    pub head_dim: u32,
    /// First element of the queries.
    pub q_offset: u32,
    /// Elements between examples of the queries.
    pub q_batch_stride: u32,
    /// Elements between queries.
    pub q_row_stride: u32,
    /// First element of the keys.
    pub k_offset: u32,
    /// Elements between examples of the keys.
    pub k_batch_stride: u32,
    /// Elements between keys.
    pub k_row_stride: u32,
    /// First element of the values.
    pub v_offset: u32,
    /// Elements between examples of the values.
    pub v_batch_stride: u32,
    /// Elements between values.
    pub v_row_stride: u32,
    /// First element of the output.
    pub out_offset: u32,
    /// Elements between examples of the output.
    pub out_batch_stride: u32,
    /// Elements between rows of the output.
    pub out_row_stride: u32,
    /// Elements between examples of the mask; 0 shares one.
    pub mask_batch_stride: u32,
    /// [`Attention::MASK`] or 0.
    pub flags: u32,
    /// Factor on the scores, commonly `1 / sqrt(head_dim)`.
    pub scale: f32,
}

impl Attention {
    /// Flag: there is a mask.
    pub const MASK: u32 = 1;
    /// Largest head.
    pub const MAX_HEAD_DIM: u32 = 256;

    /// Attention of contiguous q, k, v and out, with as many heads of keys as of queries, scale
    /// `1 / sqrt(head_dim)`, no mask.
    pub fn contiguous(batch: u32, q_rows: u32, k_rows: u32, heads: u32, head_dim: u32) -> Self {
        let width = heads.saturating_mul(head_dim);
        let (q_stride, k_stride) = (q_rows.saturating_mul(width), k_rows.saturating_mul(width));
        Self {
            batch,
            heads,
            kv_heads: heads,
            q_rows,
            k_rows,
            head_dim,
            q_offset: 0,
            q_batch_stride: q_stride,
            q_row_stride: width,
            k_offset: 0,
            k_batch_stride: k_stride,
            k_row_stride: width,
            v_offset: 0,
            v_batch_stride: k_stride,
            v_row_stride: width,
            out_offset: 0,
            out_batch_stride: q_stride,
            out_row_stride: width,
            mask_batch_stride: 0,
            flags: 0,
            scale: 1.0 / (head_dim.max(1) as f32).sqrt(),
        }
    }

    /// Self-attention over a fused projection `[batch, rows, 3, heads, head_dim]` (queries, keys,
    /// values): bind the same tensor three times. The output is contiguous.
    pub fn fused(batch: u32, rows: u32, heads: u32, head_dim: u32) -> Self {
        let width = heads.saturating_mul(head_dim);
        let row_stride = width.saturating_mul(3);
        let batch_stride = rows.saturating_mul(row_stride);
        Self {
            q_batch_stride: batch_stride,
            q_row_stride: row_stride,
            k_offset: width,
            k_batch_stride: batch_stride,
            k_row_stride: row_stride,
            v_offset: width.saturating_mul(2),
            v_batch_stride: batch_stride,
            v_row_stride: row_stride,
            ..Self::contiguous(batch, rows, rows, heads, head_dim)
        }
    }

    /// Whether a flag is set.
    #[inline(always)]
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn rows(
        &self,
        (offset, batch_stride, row_stride): (u32, u32, u32),
        rows: u32,
        heads: u32,
    ) -> Rows {
        Rows {
            offset,
            batch: self.batch,
            batch_stride,
            rows,
            row_stride,
            width: heads.saturating_mul(self.head_dim),
        }
    }

    /// Views of q, k and v.
    pub(crate) fn inputs(&self) -> [Rows; 3] {
        let q = (self.q_offset, self.q_batch_stride, self.q_row_stride);
        let k = (self.k_offset, self.k_batch_stride, self.k_row_stride);
        let v = (self.v_offset, self.v_batch_stride, self.v_row_stride);
        [
            self.rows(q, self.q_rows, self.heads),
            self.rows(k, self.k_rows, self.kv_heads),
            self.rows(v, self.k_rows, self.kv_heads),
        ]
    }

    /// View of the output.
    pub(crate) fn output(&self) -> Rows {
        let strides = (self.out_offset, self.out_batch_stride, self.out_row_stride);
        self.rows(strides, self.q_rows, self.heads)
    }

    /// [`Kernel::check`] for the kernel of this name, which has these parameters among others.
    ///
    /// # Errors
    /// As [`Kernel::check`].
    pub(crate) fn check_as(&self, kernel: &'static str) -> Result<(), KernelError> {
        let refuse = |parameter, expected: &str, found: u32| {
            Err(KernelError::parameter(kernel, parameter, expected, found))
        };
        for (parameter, value) in [
            ("batch", self.batch),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("q_rows", self.q_rows),
            ("k_rows", self.k_rows),
            ("head_dim", self.head_dim),
        ] {
            if value == 0 {
                return refuse(parameter, "at least 1", 0);
            }
        }
        if self.head_dim > Self::MAX_HEAD_DIM {
            return refuse("head_dim", "at most 256", self.head_dim);
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return refuse(
                "kv_heads",
                &format!("a divisor of heads = {}", self.heads),
                self.kv_heads,
            );
        }
        // The shader multiplies head numbers by one another in 32 bits.
        if self.heads > 4096 {
            return refuse("heads", "at most 4096", self.heads);
        }
        if self.flags > 1 {
            return refuse("flags", "0..=1", self.flags);
        }
        self.output()
            .check(kernel, ("out_row_stride", "out_batch_stride"))
    }
}

impl Kernel for Attention {
    const NAME: &'static str = "attention";
    const SHADER: &'static str = include_str!("../../shaders/attention.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = &["direct", "tiled"];
    const OPERANDS: &'static [Operand] = &[
        Operand::input("q"),
        Operand::input("k"),
        Operand::input("v"),
        Operand::input("mask").optional(),
        Operand::output("out"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        self.check_as(Self::NAME)
    }

    fn extents(&self) -> Vec<usize> {
        let mask = Rows {
            offset: 0,
            batch: self.batch,
            batch_stride: self.mask_batch_stride,
            rows: self.q_rows,
            row_stride: self.k_rows,
            width: self.k_rows,
        };
        let [q, k, v] = self.inputs();
        vec![
            q.reach(),
            k.reach(),
            v.reach(),
            if self.has(Self::MASK) {
                mask.reach()
            } else {
                0
            },
            self.output().reach(),
        ]
    }

    fn cost(&self) -> Cost {
        let count = |dimensions: &[u32]| element_count(dimensions) as u64;
        let scores = count(&[self.batch, self.heads, self.q_rows, self.k_rows]);
        let queries = count(&[self.batch, self.q_rows, self.heads, self.head_dim]);
        let keys = count(&[self.batch, self.k_rows, self.kv_heads, self.head_dim]);
        let mut elements = queries.saturating_add(keys).saturating_mul(2);
        if self.has(Self::MASK) {
            let masks = if self.mask_batch_stride == 0 {
                1
            } else {
                self.batch
            };
            elements = elements.saturating_add(count(&[masks, self.q_rows, self.k_rows]));
        }
        Cost {
            // Two products, and scale, maximum, difference, exponential (as one) and sum.
            flops: scores.saturating_mul(4 * u64::from(self.head_dim) + 5),
            bytes: elements.saturating_mul(4),
        }
    }

    fn launch(&self, capabilities: &Capabilities) -> Launch {
        // Software drivers emulate workgroup memory and barriers slowly; registers alone win there.
        if capabilities.software {
            let segments = self.head_dim.div_ceil(64);
            let items = element_count(&[self.batch, self.heads, self.q_rows, segments]);
            return Launch {
                entry_point: "direct",
                workgroups: linear_workgroups(items, 64),
            };
        }
        let tiles = element_count(&[self.batch, self.heads, self.q_rows.div_ceil(16)]);
        Launch {
            entry_point: "tiled",
            workgroups: linear_workgroups(tiles, 1),
        }
    }

    fn software_iterations(&self) -> u64 {
        // Four keys at a time: a dot product, then their part of the sums.
        let columns = u64::from(self.head_dim.min(64));
        let blocks = u64::from(self.k_rows.div_ceil(4));
        blocks * (u64::from(self.head_dim) + columns + 3) + columns + 2
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let inputs = twin::Inputs {
            q: operands.float(0)?,
            k: operands.float(1)?,
            v: operands.float(2)?,
            mask: operands.float_or_empty(3)?,
        };
        let parallel = operands.parallel;
        twin::attend(self, &inputs, operands.float_mut(4)?, parallel);
        Ok(())
    }
}
