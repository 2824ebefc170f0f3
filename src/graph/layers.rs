//! Layers as nodes: the few shapes of node that every transformer repeats.

use super::{Graph, Phase, TensorId, TensorKind};
use attractor_kernels::Activation;
use attractor_kernels::activation::Activate;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::rms_norm::RmsNorm;

/// A dimension as kernels take it; an absurd one saturates and is refused by the graph's checks.
pub fn size(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Rows `first..first + rows` of every example of a tensor `[batch, total, width]`.
#[derive(Debug, Clone, Copy)]
pub struct RowSpan {
    /// The tensor.
    pub tensor: TensorId,
    /// Examples.
    pub batch: usize,
    /// Rows of an example in the tensor.
    pub total: usize,
    /// First row of the span.
    pub first: usize,
    /// Rows of the span.
    pub rows: usize,
    /// Columns.
    pub width: usize,
}

impl RowSpan {
    /// A part of the span's rows.
    #[must_use]
    pub fn part(self, first: usize, rows: usize) -> Self {
        Self {
            first: self.first + first,
            rows,
            ..self
        }
    }

    /// First element.
    pub fn offset(&self) -> u32 {
        size(self.first.saturating_mul(self.width))
    }

    /// Elements between examples.
    pub fn batch_stride(&self) -> u32 {
        size(self.total.saturating_mul(self.width))
    }

    /// Whether the span is its whole tensor.
    pub fn is_whole(&self) -> bool {
        self.first == 0 && self.rows == self.total
    }
}

impl Graph {
    /// A new intermediate `[batch, rows, width]`.
    pub fn rows(
        &mut self,
        name: impl Into<String>,
        batch: usize,
        rows: usize,
        width: usize,
    ) -> RowSpan {
        let tensor = self.float(name, &[batch, rows, width], TensorKind::Intermediate);
        RowSpan {
            tensor,
            batch,
            total: rows,
            first: 0,
            rows,
            width,
        }
    }

    /// `out = x W^T + bias` row by row, `W` `[out.width, x.width]`.
    pub fn linear(
        &mut self,
        phase: Phase,
        label: &str,
        x: RowSpan,
        weights: (TensorId, TensorId),
        out: RowSpan,
    ) {
        let kernel = linear_kernel(x, out);
        let operands = [
            Some(x.tensor),
            Some(weights.0),
            Some(weights.1),
            None,
            None,
            Some(out.tensor),
        ];
        self.push(phase, label, kernel, &operands);
    }

    /// `out = x W^T` row by row, `W` `[out.width, x.width]`.
    pub fn product(
        &mut self,
        phase: Phase,
        label: &str,
        x: RowSpan,
        weight: TensorId,
        out: RowSpan,
    ) {
        let kernel = MatMul {
            flags: 0,
            ..linear_kernel(x, out)
        };
        let operands = [
            Some(x.tensor),
            Some(weight),
            None,
            None,
            None,
            Some(out.tensor),
        ];
        self.push(phase, label, kernel, &operands);
    }

    /// `out = gate * (x W^T + bias)` with one number as the gate.
    pub fn gated_linear(
        &mut self,
        phase: Phase,
        label: &str,
        x: RowSpan,
        weights: (TensorId, TensorId),
        gate: TensorId,
        out: RowSpan,
    ) {
        let mut kernel = linear_kernel(x, out);
        kernel.flags |= MatMul::GATE;
        let operands = [
            Some(x.tensor),
            Some(weights.0),
            Some(weights.1),
            None,
            Some(gate),
            Some(out.tensor),
        ];
        self.push(phase, label, kernel, &operands);
    }

    /// Layer norm of every row, scale and shift `[width]`.
    pub fn layer_norm(
        &mut self,
        phase: Phase,
        label: &str,
        x: RowSpan,
        weights: (TensorId, TensorId),
        epsilon: f32,
        out: RowSpan,
    ) {
        let flags = LayerNorm::WEIGHT | LayerNorm::BIAS;
        let (batch, rows, width) = (size(x.batch), size(x.rows), size(x.width));
        let kernel = LayerNorm {
            x_offset: x.offset(),
            x_batch_stride: x.batch_stride(),
            x_row_stride: width,
            y_offset: out.offset(),
            y_batch_stride: out.batch_stride(),
            y_row_stride: size(out.width),
            ..LayerNorm::contiguous(batch, rows, width, epsilon, flags)
        };
        let operands = [
            Some(x.tensor),
            Some(weights.0),
            Some(weights.1),
            None,
            None,
            Some(out.tensor),
        ];
        self.push(phase, label, kernel, &operands);
    }

    /// RMS norm of every row, without learned weights.
    pub fn rms_norm(&mut self, phase: Phase, label: &str, x: RowSpan, epsilon: f32, out: RowSpan) {
        let (batch, rows, width) = (size(x.batch), size(x.rows), size(x.width));
        let kernel = RmsNorm {
            x_offset: x.offset(),
            x_batch_stride: x.batch_stride(),
            y_offset: out.offset(),
            y_batch_stride: out.batch_stride(),
            ..RmsNorm::contiguous(batch, rows, width, epsilon, 0)
        };
        let operands = [Some(x.tensor), None, None, None, None, Some(out.tensor)];
        self.push(phase, label, kernel, &operands);
    }

    /// An activation over a whole tensor, as a new tensor.
    pub fn activate(
        &mut self,
        phase: Phase,
        label: &str,
        x: RowSpan,
        activation: Activation,
    ) -> RowSpan {
        let out = self.rows(format!("{label}.out"), x.batch, x.rows, x.width);
        let count = size(x.batch.saturating_mul(x.rows).saturating_mul(x.width));
        let kernel = Activate::of(activation, count);
        self.push(phase, label, kernel, &[Some(x.tensor), Some(out.tensor)]);
        out
    }

    /// `x + residual`, `x` a whole tensor, as a new tensor.
    pub fn add_residual(
        &mut self,
        phase: Phase,
        label: &str,
        x: RowSpan,
        residual: RowSpan,
    ) -> RowSpan {
        let out = self.rows(format!("{label}.out"), x.batch, x.rows, x.width);
        let width = size(x.width);
        let mut kernel = Elementwise::broadcast(
            Operation::ADD,
            [1, size(x.batch), size(x.rows), width],
            [0, x.batch_stride(), width, 1],
            [0, residual.batch_stride(), width, 1],
        );
        kernel.b_offset = residual.offset();
        let operands = [Some(x.tensor), Some(residual.tensor), Some(out.tensor)];
        self.push(phase, label, kernel, &operands);
        out
    }
}

/// The product of a span with one matrix, into another span.
fn linear_kernel(x: RowSpan, out: RowSpan) -> MatMul {
    let whole = x.is_whole() && out.is_whole();
    if whole {
        let rows = x.batch.saturating_mul(x.rows);
        return MatMul::linear(size(rows), size(x.width), size(out.width));
    }
    MatMul {
        batch: size(x.batch),
        a_offset: x.offset(),
        a_batch_stride: x.batch_stride(),
        c_offset: out.offset(),
        c_batch_stride: out.batch_stride(),
        residual_batch_stride: 0,
        ..MatMul::linear(size(x.rows), size(x.width), size(out.width))
    }
}
