//! Batched matrix product with a fused epilogue.

use crate::addressing::reach;
use crate::rows::Rows;
use crate::{
    Activation, Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real,
    element_count,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

pub(crate) mod product;
mod tile;

/// `C = residual + gate * activation(scale * A B + bias)` for every matrix of a batch.
///
/// `A` is `[batch, m, k]`, `B` is `[batch, k, n]` or shared by the batch (`b_batch_stride = 0`), `C` is
/// `[batch, m, n]`. All are addressed by offsets and strides in elements, so that transposes, heads and
/// row segments of larger tensors need no copies. Columns of `C` and of the residual are contiguous.
/// The bias is `[n]`. The gate is one number (`gate_column_stride = 0`), a vector over columns, or one
/// vector an example (`gate_batch_stride > 0`).
///
/// Every element of `C` is one chain of multiply-adds with k ascending, whatever the tile or the
/// batch: a row's result does not depend on the rows around it.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct MatMul {
    /// Matrices.
    pub batch: u32,
    /// Rows of A and C.
    pub m: u32,
    /// Columns of B and C.
    pub n: u32,
    /// Columns of A, rows of B.
    pub k: u32,
    /// First element of A.
    pub a_offset: u32,
    /// Elements between matrices of A.
    pub a_batch_stride: u32,
    /// Elements between rows of A.
    pub a_row_stride: u32,
    /// Elements between columns of A.
    pub a_column_stride: u32,
    /// First element of B.
    pub b_offset: u32,
    /// Elements between matrices of B; 0 shares one matrix.
    pub b_batch_stride: u32,
    /// Elements between rows (along k) of B.
    pub b_row_stride: u32,
    /// Elements between columns (along n) of B.
    pub b_column_stride: u32,
    /// First element of C.
    pub c_offset: u32,
    /// Elements between matrices of C.
    pub c_batch_stride: u32,
    /// Elements between rows of C.
    pub c_row_stride: u32,
    /// First element of the residual.
    pub residual_offset: u32,
    /// Elements between matrices of the residual.
    pub residual_batch_stride: u32,
    /// Elements between rows of the residual.
    pub residual_row_stride: u32,
    /// Elements between gates of successive matrices.
    pub gate_batch_stride: u32,
    /// Elements between gates of successive columns.
    pub gate_column_stride: u32,
    /// Activation.
    pub activation: Activation,
    /// Bit set of [`MatMul::BIAS`], [`MatMul::RESIDUAL`], [`MatMul::GATE`].
    pub flags: u32,
    /// Factor on the product.
    pub scale: f32,
}

impl MatMul {
    /// Flag: there is a bias.
    pub const BIAS: u32 = 1;
    /// Flag: there is a residual.
    pub const RESIDUAL: u32 = 2;
    /// Flag: there is a gate.
    pub const GATE: u32 = 4;

    /// `x W^T + bias` as PyTorch's `nn.Linear`: `x` is `[rows, k]`, `W` is `[n, k]`, both contiguous.
    pub fn linear(rows: u32, k: u32, n: u32) -> Self {
        Self {
            batch: 1,
            m: rows,
            n,
            k,
            a_offset: 0,
            a_batch_stride: rows.saturating_mul(k),
            a_row_stride: k,
            a_column_stride: 1,
            b_offset: 0,
            b_batch_stride: 0,
            b_row_stride: 1,
            b_column_stride: k,
            c_offset: 0,
            c_batch_stride: rows.saturating_mul(n),
            c_row_stride: n,
            residual_offset: 0,
            residual_batch_stride: rows.saturating_mul(n),
            residual_row_stride: n,
            gate_batch_stride: 0,
            gate_column_stride: 0,
            activation: Activation::IDENTITY,
            flags: Self::BIAS,
            scale: 1.0,
        }
    }

    /// Contiguous batched product `[batch, m, k] x [batch, k, n]`, either operand optionally stored
    /// transposed (`A` as `[batch, k, m]`, `B` as `[batch, n, k]`).
    pub fn batched(batch: u32, m: u32, k: u32, n: u32, transposes: (bool, bool)) -> Self {
        let (a_row_stride, a_column_stride) = if transposes.0 { (1, m) } else { (k, 1) };
        let (b_row_stride, b_column_stride) = if transposes.1 { (1, k) } else { (n, 1) };
        Self {
            batch,
            m,
            a_row_stride,
            a_column_stride,
            a_batch_stride: m.saturating_mul(k),
            b_row_stride,
            b_column_stride,
            b_batch_stride: k.saturating_mul(n),
            flags: 0,
            ..Self::linear(m, k, n)
        }
    }

    /// Whether a flag is set.
    #[inline(always)]
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Rows of C.
    fn output(&self) -> Rows {
        Rows {
            offset: self.c_offset,
            batch: self.batch,
            batch_stride: self.c_batch_stride,
            rows: self.m,
            row_stride: self.c_row_stride,
            width: self.n,
        }
    }

    /// Whether one B serves all matrices, so that rows of the batch form one tall matrix.
    fn shares_b(&self) -> bool {
        self.b_batch_stride == 0
    }
}

impl Kernel for MatMul {
    const NAME: &'static str = "matmul";
    const SHADER: &'static str = include_str!("../../shaders/matmul.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = &["direct", "tiled"];
    const OPERANDS: &'static [Operand] = &[
        Operand::input("a"),
        Operand::input("b"),
        Operand::input("bias").optional(),
        Operand::input("residual").optional(),
        Operand::input("gate").optional(),
        Operand::output("c"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        for (parameter, value) in [
            ("batch", self.batch),
            ("m", self.m),
            ("n", self.n),
            ("k", self.k),
        ] {
            if value == 0 {
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    "at least 1",
                    0,
                ));
            }
        }
        self.output()
            .check(Self::NAME, ("c_row_stride", "c_batch_stride"))?;
        if self.flags > 7 {
            return Err(KernelError::parameter(
                Self::NAME,
                "flags",
                "0..=7",
                self.flags,
            ));
        }
        self.activation.check(Self::NAME)
    }

    fn extents(&self) -> Vec<usize> {
        let (batch, m, n, k) = (self.batch, self.m, self.n, self.k);
        let optional = |flag, extent| if self.has(flag) { extent } else { 0 };
        vec![
            reach(
                self.a_offset as usize,
                &[
                    (batch, self.a_batch_stride),
                    (m, self.a_row_stride),
                    (k, self.a_column_stride),
                ],
            ),
            reach(
                self.b_offset as usize,
                &[
                    (batch, self.b_batch_stride),
                    (k, self.b_row_stride),
                    (n, self.b_column_stride),
                ],
            ),
            optional(Self::BIAS, n as usize),
            optional(
                Self::RESIDUAL,
                reach(
                    self.residual_offset as usize,
                    &[
                        (batch, self.residual_batch_stride),
                        (m, self.residual_row_stride),
                        (n, 1),
                    ],
                ),
            ),
            optional(
                Self::GATE,
                reach(
                    0,
                    &[
                        (batch, self.gate_batch_stride),
                        (n, self.gate_column_stride),
                    ],
                ),
            ),
            self.output().reach(),
        ]
    }

    fn cost(&self) -> Cost {
        let count = |dimensions: &[u32]| element_count(dimensions) as u64;
        let outputs = count(&[self.batch, self.m, self.n]);
        let matrices_of_b = if self.shares_b() { 1 } else { self.batch };
        let mut elements = count(&[self.batch, self.m, self.k])
            + count(&[matrices_of_b, self.k, self.n])
            + outputs;
        let mut per_output = 2 * u64::from(self.k) + self.activation.flops();
        if self.has(Self::BIAS) {
            elements += u64::from(self.n);
            per_output += 1;
        }
        if self.has(Self::RESIDUAL) {
            elements += outputs;
            per_output += 1;
        }
        if self.has(Self::GATE) {
            per_output += 1;
        }
        Cost {
            flops: outputs * per_output,
            bytes: elements * 4,
        }
    }

    fn launch(&self, capabilities: &Capabilities) -> Launch {
        // Software drivers emulate workgroup memory and barriers slowly; registers alone win there.
        let (entry_point, tile_m, tile_n) = if capabilities.software {
            ("direct", 64, 64)
        } else {
            ("tiled", 64, 64)
        };
        let (rows, matrices) = if self.shares_b() {
            (element_count(&[self.batch, self.m]), 1)
        } else {
            (self.m as usize, self.batch)
        };
        Launch {
            entry_point,
            workgroups: [
                self.n.div_ceil(tile_n),
                rows.div_ceil(tile_m).min(u32::MAX as usize) as u32,
                matrices,
            ],
        }
    }

    fn software_iterations(&self) -> u64 {
        // The loop over k; the others unroll, and are counted in case a driver does not.
        u64::from(self.k) + 96
    }

    fn pack<T: Real>(&self, operand: usize, data: &[T]) -> Option<Vec<T>> {
        let fits = operand == 1 && self.shares_b() && self.check().is_ok();
        (fits && data.len() >= self.extents()[1]).then(|| product::pack_panels(self, 0, data))
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let packed = operands.packed(1);
        let inputs = product::Inputs {
            a: operands.float(0)?,
            b: operands.float(1)?,
            bias: operands.float_or_empty(2)?,
            residual: operands.float_or_empty(3)?,
            gate: operands.float_or_empty(4)?,
        };
        let parallel = operands.parallel;
        product::multiply(self, &inputs, packed, operands.float_mut(5)?, parallel);
        Ok(())
    }
}
