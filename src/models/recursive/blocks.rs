//! The blocks of a level: attention or a mixer over the length, then a gated layer over the width, each
//! followed by a norm of the residual sum. Every node is a plain kernel, so that the graph can be
//! differentiated; compiling fuses what pays.

use super::config::{Positions, RecursiveConfig};
use super::weights::{BlockWeights, Mixing, SwiGlu};
use crate::graph::layers::{RowSpan, size};
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::models::weights::Weight;
use attractor_kernels::Activation;
use attractor_kernels::attention::Attention;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::gated_activation::GatedActivation;
use attractor_kernels::rotary::{Rotary, RotaryPairs};
use std::sync::Arc;

/// Adds levels to a graph for one model and one batch.
pub(super) struct Levels<'a> {
    pub config: &'a RecursiveConfig,
    pub batch: usize,
    /// Cosines and sines of the rotation, made before the first step.
    rotation: Option<(TensorId, TensorId)>,
    /// Queries, keys and values of whatever block is at work. They are written and then turned in place,
    /// which keeps their room for all of the step: one for all blocks.
    qkv: Option<RowSpan>,
}

impl<'a> Levels<'a> {
    pub fn new(graph: &mut Graph, config: &'a RecursiveConfig, batch: usize) -> Self {
        let attends = !config.mlp_t;
        let turns = attends && config.pos_encodings == Positions::Rope;
        Self {
            config,
            batch,
            rotation: turns.then(|| rotation(graph, config)),
            qkv: attends.then(|| graph.rows("qkv", batch, config.length(), 3 * config.hidden_size)),
        }
    }

    /// Whether blocks begin with the length innermost.
    fn mixes(&self) -> bool {
        self.config.mlp_t
    }

    /// `out = level(z + injected)`; `z` may be `out`.
    pub fn level(
        &self,
        graph: &mut Graph,
        name: &str,
        blocks: &[BlockWeights],
        (z, injected): (RowSpan, RowSpan),
        out: RowSpan,
    ) {
        // A mixer wants its input transposed, which the addition does by the way.
        let mut x = sum(graph, &format!("{name}.in"), z, injected, self.mixes());
        for (index, block) in blocks.iter().enumerate() {
            let name = format!("{name}.block{index}");
            let last = index + 1 == blocks.len();
            let mixed = match &block.mixing {
                Mixing::Attention { qkv, out } => self.attend(graph, &name, (qkv, out), x),
                Mixing::Mixer(weights) => self.mix(graph, &name, weights, x),
            };
            let sum = self.gated(graph, &format!("{name}.mlp"), &block.mlp, mixed);
            let target = if last {
                out
            } else {
                graph.rows(format!("{name}.out"), self.batch, mixed.rows, mixed.width)
            };
            self.norm(graph, &format!("{name}.norm"), sum, target);
            x = target;
            if self.mixes() && !last {
                x = transposed(graph, &format!("{name}.turned"), target);
            }
        }
    }

    /// `rms(x + attention(x))`.
    fn attend(
        &self,
        graph: &mut Graph,
        name: &str,
        (qkv_weight, out_weight): (&Weight, &Weight),
        x: RowSpan,
    ) -> RowSpan {
        let RecursiveConfig {
            hidden_size: d,
            num_heads,
            ..
        } = *self.config;
        let (batch, length) = (size(self.batch), size(x.rows));
        let (heads, width) = (size(num_heads), size(d / num_heads.max(1)));
        let Some(qkv) = self.qkv else { return x };
        let weight = qkv_weight.constant(graph);
        graph.product(Phase::Step, &format!("{name}.qkv"), x, weight, qkv);
        if let Some((cosine, sine)) = self.rotation {
            let kernel = Rotary::fused(batch, length, heads, width, RotaryPairs::HALVES);
            let operands = [Some(qkv.tensor), Some(cosine), Some(sine)];
            graph.push(Phase::Step, format!("{name}.rotary"), kernel, &operands);
        }
        let attended = graph.rows(format!("{name}.attention"), self.batch, x.rows, d);
        let kernel = Attention::fused(batch, length, heads, width);
        let all = Some(qkv.tensor);
        let operands = [all, all, all, None, Some(attended.tensor)];
        graph.push(Phase::Step, format!("{name}.attention"), kernel, &operands);
        let projected = graph.rows(format!("{name}.o"), self.batch, x.rows, d);
        let weight = out_weight.constant(graph);
        graph.product(
            Phase::Step,
            &format!("{name}.o"),
            attended,
            weight,
            projected,
        );
        let label = format!("{name}.attended");
        let sum = graph.add_residual(Phase::Step, &label, projected, x);
        let out = graph.rows(format!("{name}.mixed"), self.batch, x.rows, d);
        self.norm(graph, &format!("{name}.mixed"), sum, out);
        out
    }

    /// `rms(x + SwiGLU(x))` over the length, for x `[batch, D, L]`; the result is `[batch, L, D]`.
    fn mix(&self, graph: &mut Graph, name: &str, weights: &SwiGlu, x: RowSpan) -> RowSpan {
        let sum = self.gated(graph, &format!("{name}.mlp_t"), weights, x);
        let normed = graph.rows(format!("{name}.mixed"), self.batch, x.rows, x.width);
        self.norm(graph, &format!("{name}.mixed"), sum, normed);
        transposed(graph, &format!("{name}.mixed.turned"), normed)
    }

    /// `x + SwiGLU(x)` over the columns of a whole tensor.
    fn gated(&self, graph: &mut Graph, name: &str, weights: &SwiGlu, x: RowSpan) -> RowSpan {
        let phase = Phase::Step;
        let hidden = self.config.hidden_width(x.width);
        let both = graph.rows(format!("{name}.gate_up"), x.batch, x.rows, 2 * hidden);
        let weight = weights.gate_up.constant(graph);
        graph.product(phase, &format!("{name}.gate_up"), x, weight, both);
        let gated = graph.rows(format!("{name}.gated"), x.batch, x.rows, hidden);
        let rows = size(x.batch.saturating_mul(x.rows));
        let kernel = GatedActivation::halves(rows, size(hidden), Activation::SILU);
        let operands = [Some(both.tensor), Some(gated.tensor)];
        graph.push(phase, format!("{name}.gated"), kernel, &operands);
        let out = graph.rows(format!("{name}.down"), x.batch, x.rows, x.width);
        let weight = weights.down.constant(graph);
        graph.product(phase, &format!("{name}.down"), gated, weight, out);
        graph.add_residual(phase, &format!("{name}.sum"), out, x)
    }

    fn norm(&self, graph: &mut Graph, label: &str, x: RowSpan, out: RowSpan) {
        graph.rms_norm(Phase::Step, label, x, self.config.rms_norm_eps, out);
    }
}

/// `a + b` of spans of one shape `[batch, rows, width]` as a new tensor, or `[batch, width, rows]`.
pub(super) fn sum(graph: &mut Graph, label: &str, a: RowSpan, b: RowSpan, turned: bool) -> RowSpan {
    let (rows, width) = if turned {
        (a.width, a.rows)
    } else {
        (a.rows, a.width)
    };
    let out = graph.rows(label, a.batch, rows, width);
    let strides = |span: RowSpan| match turned {
        true => [0, span.batch_stride(), 1, size(span.width)],
        false => [0, span.batch_stride(), size(span.width), 1],
    };
    let shape = [1, size(a.batch), size(rows), size(width)];
    let mut kernel = Elementwise::broadcast(Operation::ADD, shape, strides(a), strides(b));
    (kernel.a_offset, kernel.b_offset) = (a.offset(), b.offset());
    let operands = [Some(a.tensor), Some(b.tensor), Some(out.tensor)];
    graph.push(Phase::Step, label, kernel, &operands);
    out
}

/// `[batch, rows, width]` as a new `[batch, width, rows]`.
fn transposed(graph: &mut Graph, label: &str, x: RowSpan) -> RowSpan {
    let out = graph.rows(label, x.batch, x.width, x.rows);
    let (rows, width, stride) = (size(x.rows), size(x.width), x.batch_stride());
    let shape = [1, size(x.batch), width, rows];
    let kernel = CopyFloats::strided(shape, [0, stride, 1, width], [0, stride, rows, 1]);
    let operands = [Some(x.tensor), Some(out.tensor)];
    graph.push(Phase::Step, label, kernel, &operands);
    out
}

/// Cosines and sines `[L, d / 2]` of the angles position * theta^(-2j / d) (Su et al. 2021).
///
/// The original's scores are `q k / sqrt(d)`, and the kernel's factor is that root in single precision; the
/// tables make up for the difference, which double precision would see.
fn rotation(graph: &mut Graph, config: &RecursiveConfig) -> (TensorId, TensorId) {
    let head_dim = config.hidden_size / config.num_heads.max(1);
    let shape = [config.length(), head_dim / 2];
    let scale = 1.0 / (head_dim as f64).sqrt();
    let kernel_scale = Attention::contiguous(1, 1, 1, 1, size(head_dim)).scale;
    let share = (scale / f64::from(kernel_scale)).sqrt();
    let mut table = |name: &str, function: fn(f64) -> f64| {
        let angle = |position: usize, j: usize| {
            position as f64 * config.rope_theta.powf(-2.0 * j as f64 / head_dim as f64)
        };
        let values: Vec<f64> = (0..shape[0])
            .flat_map(|row| (0..shape[1]).map(move |j| share * function(angle(row, j))))
            .collect();
        exact(graph, name, &shape, &values)
    };
    (
        table("rotary.cosine", f64::cos),
        table("rotary.sine", f64::sin),
    )
}

/// Values of double precision, as near as the device comes to them: constants are single, so the rest is
/// a second one, added before the first step.
fn exact(graph: &mut Graph, name: &str, shape: &[usize], values: &[f64]) -> TensorId {
    let (high, low): (Vec<f32>, Vec<f32>) = values.iter().map(|&value| split(value)).unzip();
    let count = size(values.len());
    let high = graph.constant(format!("{name}.high"), shape, Arc::new(high));
    let low = graph.constant(format!("{name}.low"), shape, Arc::new(low));
    let out = graph.float(name, shape, TensorKind::Intermediate);
    let kernel = Elementwise::contiguous(Operation::ADD, count);
    graph.push(
        Phase::Once,
        name,
        kernel,
        &[Some(high), Some(low), Some(out)],
    );
    out
}

/// A number as the sum of two of single precision.
pub(super) fn split(value: f64) -> (f32, f32) {
    let high = value as f32;
    (high, (value - f64::from(high)) as f32)
}
