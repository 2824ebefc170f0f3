//! Tangents of multi-head scaled dot-product attention.

use crate::attention::Attention;
use crate::rows::Rows;
use crate::tangent_views::Tangents;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

mod twin;

/// Tangents of [`Attention`]: with the weights `p_j = softmax_j(scale * q . k_j + mask_j)` of a query,
/// `ds_j = scale * (dq . k_j + q . dk_j)` and `dp_j = p_j (ds_j - sum_i p_i ds_i)`,
/// `dout = sum_j dp_j v_j + p_j dv_j`. The mask is constant.
///
/// Tangent j of an element of q, k, v or out lies `j` times the operand's tangent stride beyond where
/// attention has the element itself. Only attention's inputs are read, never its output, and no score
/// matrix is stored. Each of dq, dk and dv may be left out, and stands for zeros then; not all three.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct AttentionTangent {
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
    /// Bit set of [`AttentionTangent::MASK`], [`AttentionTangent::Q_TANGENT`],
    /// [`AttentionTangent::K_TANGENT`], [`AttentionTangent::V_TANGENT`].
    pub flags: u32,
    /// Factor on the scores, commonly `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Tangents.
    pub tangents: u32,
    /// Elements between tangents of the queries.
    pub q_tangent_stride: u32,
    /// Elements between tangents of the keys.
    pub k_tangent_stride: u32,
    /// Elements between tangents of the values.
    pub v_tangent_stride: u32,
    /// Elements between tangents of the output.
    pub out_tangent_stride: u32,
}

/// Tangents that one workgroup of the shader's tiled variant makes.
const TANGENTS_A_WORKGROUP: u32 = 4;

impl AttentionTangent {
    /// Flag: there is a mask.
    pub const MASK: u32 = Attention::MASK;
    /// Flag: the queries have tangents.
    pub const Q_TANGENT: u32 = 2;
    /// Flag: the keys have tangents.
    pub const K_TANGENT: u32 = 4;
    /// Flag: the values have tangents.
    pub const V_TANGENT: u32 = 8;

    /// The tangents of an attention. `inputs` are the elements between one tangent and the next of q, k
    /// and v, `None` for one that is constant; `out` those of the output.
    pub fn new(primal: Attention, tangents: u32, inputs: [Option<u32>; 3], out: u32) -> Self {
        let flag = |stride: Option<u32>, flag| stride.map_or(0, |_| flag);
        let [q, k, v] = inputs;
        Self {
            batch: primal.batch,
            heads: primal.heads,
            kv_heads: primal.kv_heads,
            q_rows: primal.q_rows,
            k_rows: primal.k_rows,
            head_dim: primal.head_dim,
            q_offset: primal.q_offset,
            q_batch_stride: primal.q_batch_stride,
            q_row_stride: primal.q_row_stride,
            k_offset: primal.k_offset,
            k_batch_stride: primal.k_batch_stride,
            k_row_stride: primal.k_row_stride,
            v_offset: primal.v_offset,
            v_batch_stride: primal.v_batch_stride,
            v_row_stride: primal.v_row_stride,
            out_offset: primal.out_offset,
            out_batch_stride: primal.out_batch_stride,
            out_row_stride: primal.out_row_stride,
            mask_batch_stride: primal.mask_batch_stride,
            flags: primal.flags
                | flag(q, Self::Q_TANGENT)
                | flag(k, Self::K_TANGENT)
                | flag(v, Self::V_TANGENT),
            scale: primal.scale,
            tangents,
            q_tangent_stride: q.unwrap_or(0),
            k_tangent_stride: k.unwrap_or(0),
            v_tangent_stride: v.unwrap_or(0),
            out_tangent_stride: out,
        }
    }

    /// The attention that this is the tangent of.
    pub fn primal(&self) -> Attention {
        Attention {
            batch: self.batch,
            heads: self.heads,
            kv_heads: self.kv_heads,
            q_rows: self.q_rows,
            k_rows: self.k_rows,
            head_dim: self.head_dim,
            q_offset: self.q_offset,
            q_batch_stride: self.q_batch_stride,
            q_row_stride: self.q_row_stride,
            k_offset: self.k_offset,
            k_batch_stride: self.k_batch_stride,
            k_row_stride: self.k_row_stride,
            v_offset: self.v_offset,
            v_batch_stride: self.v_batch_stride,
            v_row_stride: self.v_row_stride,
            out_offset: self.out_offset,
            out_batch_stride: self.out_batch_stride,
            out_row_stride: self.out_row_stride,
            mask_batch_stride: self.mask_batch_stride,
            flags: self.flags & Self::MASK,
            scale: self.scale,
        }
    }

    /// Whether a flag is set.
    #[inline(always)]
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn tangents_of(&self, rows: Rows, stride: u32) -> Tangents {
        Tangents {
            rows,
            count: self.tangents,
            stride,
        }
    }

    fn output(&self) -> Tangents {
        self.tangents_of(self.primal().output(), self.out_tangent_stride)
    }
}

impl Kernel for AttentionTangent {
    const NAME: &'static str = "attention_tangent";
    const SHADER: &'static str = include_str!("../../shaders/attention_tangent.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = &["direct", "tiled"];
    const OPERANDS: &'static [Operand] = &[
        Operand::input("q"),
        Operand::input("k"),
        Operand::input("v"),
        Operand::input("mask").optional(),
        Operand::input("dq").optional(),
        Operand::input("dk").optional(),
        Operand::input("dv").optional(),
        Operand::output("dout"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        crate::addressing::require_positive(Self::NAME, &[("tangents", self.tangents)])?;
        let any = Self::Q_TANGENT | Self::K_TANGENT | Self::V_TANGENT;
        if self.flags > 15 || !self.has(any) {
            return Err(KernelError::parameter(
                Self::NAME,
                "flags",
                "2..=15, with the tangents of q, k or v",
                self.flags,
            ));
        }
        self.primal().check_as(Self::NAME)?;
        self.output().check(Self::NAME, "out_tangent_stride")
    }

    fn extents(&self) -> Vec<usize> {
        let primal = self.primal();
        let [q, k, v] = primal.inputs();
        let mut extents = primal.extents();
        extents.truncate(4);
        for (flag, rows, stride) in [
            (Self::Q_TANGENT, q, self.q_tangent_stride),
            (Self::K_TANGENT, k, self.k_tangent_stride),
            (Self::V_TANGENT, v, self.v_tangent_stride),
        ] {
            let reach = self.tangents_of(rows, stride).reach();
            extents.push(if self.has(flag) { reach } else { 0 });
        }
        extents.push(self.output().reach());
        extents
    }

    fn cost(&self) -> Cost {
        let count = |dimensions: &[u32]| element_count(dimensions) as u64;
        let primal = self.primal().cost();
        let scores = count(&[self.batch, self.heads, self.q_rows, self.k_rows]);
        let queries = count(&[self.batch, self.q_rows, self.heads, self.head_dim]);
        let keys = count(&[self.batch, self.k_rows, self.kv_heads, self.head_dim]);
        let tangents = u64::from(self.tangents);
        let product = 2 * u64::from(self.head_dim);
        // What the weights take of the primal kernel: all but the product with the values.
        let weights = scores.saturating_mul(product + 5);
        let (mut moved, mut products, mut others) = (queries, 0, 0);
        for (flag, elements) in [(Self::Q_TANGENT, queries), (Self::K_TANGENT, keys)] {
            if self.has(flag) {
                moved = moved.saturating_add(elements);
                products += 1;
            }
        }
        if products > 0 {
            // The product of dp and v; scale, product with p, sum, difference, product.
            products += 1;
            others = 5;
        }
        if self.has(Self::V_TANGENT) {
            moved = moved.saturating_add(keys);
            products += 1;
        }
        let a_tangent = scores.saturating_mul(products * product + others);
        // The primal output is not written.
        let inputs = (primal.bytes / 4).saturating_sub(queries);
        Cost {
            flops: weights.saturating_add(a_tangent.saturating_mul(tangents)),
            bytes: moved
                .saturating_mul(tangents)
                .saturating_add(inputs)
                .saturating_mul(4),
        }
    }

    fn launch(&self, capabilities: &Capabilities) -> Launch {
        let segments = self.head_dim.div_ceil(64);
        // Software drivers emulate workgroup memory and barriers slowly; registers alone win there.
        if capabilities.software {
            let rows = element_count(&[self.batch, self.heads, self.q_rows]);
            let items = rows.saturating_mul(element_count(&[segments, self.tangents]));
            return Launch {
                entry_point: "direct",
                workgroups: linear_workgroups(items, 64),
            };
        }
        let tiles = element_count(&[self.batch, self.heads, self.q_rows.div_ceil(16)]);
        let parts = [segments, self.tangents.div_ceil(TANGENTS_A_WORKGROUP)];
        Launch {
            entry_point: "tiled",
            workgroups: linear_workgroups(tiles.saturating_mul(element_count(&parts)), 1),
        }
    }

    fn software_iterations(&self) -> u64 {
        // Four keys at a time: the dot products together, then their part of the sums.
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
            dq: operands.float_or_empty(4)?,
            dk: operands.float_or_empty(5)?,
            dv: operands.float_or_empty(6)?,
        };
        let parallel = operands.parallel;
        twin::differentiate(self, &inputs, operands.float_mut(7)?, parallel);
        Ok(())
    }
}
