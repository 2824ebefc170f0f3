//! The blocks that the velocity decoder and the regression head share: pre-norm cross-attention to the
//! condition tokens, self-attention over the slots, gated feed-forward layers.

use super::DecoderConfig;
use super::weights::{BlockWeights, DecoderWeights, NormWeights};
use crate::graph::layers::{RowSpan, size};
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use attractor_kernels::Activation;
use attractor_kernels::attention::Attention;
use attractor_kernels::gated_activation::GatedActivation;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::rotary::{Rotary, RotaryPairs};
use attractor_kernels::softmax::Softmax;
use std::sync::Arc;

/// Epsilon of every layer norm.
const EPSILON: f32 = 1e-5;
/// Base of the rotary frequencies: slots are few, so it is small.
const ROTARY_BASE: f64 = 10.0;

/// The norms of a block, in the order in which they come.
#[derive(Debug, Clone, Copy)]
enum Norm {
    CrossAttention,
    SelfAttention,
    FeedForward,
}

/// How a norm finds its scale and shift in a block's modulations `[entries, 6D]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModulationAddress {
    /// First entry at step 0.
    pub first: usize,
    /// Entries between rows (draws).
    pub per_row: usize,
    /// Entries between slots of a row.
    pub per_slot: usize,
    /// Entries between steps.
    pub per_step: usize,
}

/// Modulations of a block and where in them a row looks.
pub(super) type Modulation = Option<(TensorId, ModulationAddress)>;

/// Rows of one run: draws of frames, row `frame * draws + draw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowBatch {
    /// Frames: distinct conditions.
    pub frames: usize,
    /// Draws of a frame.
    pub draws: usize,
}

impl FlowBatch {
    /// Rows.
    pub fn rows(&self) -> usize {
        self.frames * self.draws
    }
}

/// Adds layers to a graph for one model and one batch.
pub(super) struct Blocks<'a> {
    pub config: &'a DecoderConfig,
    pub weights: &'a DecoderWeights,
    pub batch: FlowBatch,
    /// Keys and values of the conditions for each block, `[frames, S, 2D]`.
    pub keys_values: Vec<RowSpan>,
    /// Names kept readable, with attention weights made beside the fused attention; none to save both.
    pub recorded: Option<Vec<(String, TensorId)>>,
}

impl Blocks<'_> {
    pub fn record(&mut self, graph: &mut Graph, name: impl Into<String>, id: TensorId) {
        if let Some(recorded) = &mut self.recorded {
            graph.keep(id);
            recorded.push((name.into(), id));
        }
    }

    /// Projects the conditions `[frames, S, Dc]` and makes every block's keys and values: once a run.
    pub fn conditions(&mut self, graph: &mut Graph) -> TensorId {
        let DecoderConfig {
            dim,
            cond_dim,
            tokens,
            ..
        } = *self.config;
        let frames = self.batch.frames;
        let input = graph.float("in.cond", &[frames, tokens, cond_dim], TensorKind::Input);
        let mut context = RowSpan {
            tensor: input,
            batch: frames,
            total: tokens,
            first: 0,
            rows: tokens,
            width: cond_dim,
        };
        if let Some(projection) = &self.weights.condition_projection {
            let projected = graph.rows("context", frames, tokens, dim);
            let affine = projection.constants(graph);
            graph.linear(
                Phase::Once,
                "condition_projection",
                context,
                affine,
                projected,
            );
            context = projected;
            self.record(graph, "context", context.tensor);
        }
        let weights = self.weights;
        for (index, block) in weights.blocks.iter().enumerate() {
            let name = format!("block{index}.cross_key_value");
            let keys_values = graph.rows(&name, frames, tokens, 2 * dim);
            let affine = block.cross_key_value.constants(graph);
            graph.linear(Phase::Once, &name, context, affine, keys_values);
            self.keys_values.push(keys_values);
        }
        input
    }

    /// A new `[rows, H, width]`.
    fn slots(&self, graph: &mut Graph, name: String, width: usize) -> RowSpan {
        graph.rows(name, self.batch.rows(), self.config.horizon, width)
    }

    /// All blocks over `x` `[rows, H, D]`.
    pub fn all(
        &mut self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        mut x: RowSpan,
        modulations: &[Modulation],
    ) -> RowSpan {
        let weights = self.weights;
        for (index, block) in weights.blocks.iter().enumerate() {
            let modulation = modulations.get(index).copied().flatten();
            x = self.block(graph, (phase, label), (index, block), x, modulation);
        }
        x
    }

    fn block(
        &mut self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        (index, weights): (usize, &BlockWeights),
        x: RowSpan,
        modulation: Modulation,
    ) -> RowSpan {
        let name = format!("{label}block{index}");
        let d = self.config.dim;
        let at = (phase, name.as_str());
        let normed = self.norm(graph, at, (weights, Norm::CrossAttention), x, modulation);
        let query = self.slots(graph, format!("{name}.cross_query"), d);
        let affine = weights.cross_query.constants(graph);
        graph.linear(phase, &format!("{name}.cross_query"), normed, affine, query);
        let attended = self.cross_attention(graph, at, index, query);
        let x = self.project(graph, at, "after_cross", &weights.cross_out, attended, x);
        self.record(graph, format!("l{index}.after_cross"), x.tensor);

        let normed = self.norm(graph, at, (weights, Norm::SelfAttention), x, modulation);
        let attended = self.self_attention(graph, at, (index, weights), normed);
        let x = self.project(graph, at, "after_self", &weights.self_out, attended, x);
        self.record(graph, format!("l{index}.after_self"), x.tensor);

        let normed = self.norm(graph, at, (weights, Norm::FeedForward), x, modulation);
        let hidden = self.config.mult * d;
        let both = self.slots(graph, format!("{name}.l1"), 2 * hidden);
        let affine = weights.l1.constants(graph);
        graph.linear(phase, &format!("{name}.l1"), normed, affine, both);
        let gated = self.slots(graph, format!("{name}.geglu"), hidden);
        let rows = size(self.batch.rows() * self.config.horizon);
        let kernel = GatedActivation::halves(rows, size(hidden), Activation::GELU);
        let operands = [Some(both.tensor), Some(gated.tensor)];
        graph.push(phase, format!("{name}.geglu"), kernel, &operands);
        let x = self.project(graph, at, "after_mlp", &weights.l2, gated, x);
        self.record(graph, format!("l{index}.after_mlp"), x.tensor);
        x
    }

    /// `residual + x W^T + bias`.
    fn project(
        &self,
        graph: &mut Graph,
        (phase, name): (Phase, &str),
        what: &str,
        weights: &crate::models::weights::Affine,
        x: RowSpan,
        residual: RowSpan,
    ) -> RowSpan {
        let out = self.slots(graph, format!("{name}.{what}"), self.config.dim);
        let affine = weights.constants(graph);
        graph.linear(phase, &format!("{name}.{what}"), x, affine, out);
        graph.add_residual(phase, &format!("{name}.{what}.residual"), out, residual)
    }

    fn norm(
        &self,
        graph: &mut Graph,
        (phase, name): (Phase, &str),
        (weights, which): (&BlockWeights, Norm),
        x: RowSpan,
        modulation: Modulation,
    ) -> RowSpan {
        let d = self.config.dim;
        let label = format!("{name}.norm{}", which as usize + 1);
        let out = self.slots(graph, label.clone(), d);
        match (&weights.norms, modulation) {
            (NormWeights::Learned(norms), _) => {
                let affine = norms[which as usize].constants(graph);
                graph.layer_norm(phase, &label, x, affine, EPSILON, out);
            }
            (NormWeights::Adaptive(_), Some((table, at))) => {
                let entry = 6 * d;
                let first = at.first * entry + 2 * d * which as usize;
                let (rows, slots) = (self.batch.rows(), self.config.horizon);
                let plain = LayerNorm::contiguous(
                    size(rows),
                    size(slots),
                    size(d),
                    EPSILON,
                    LayerNorm::MODULATION,
                );
                let kernel = LayerNorm {
                    scale_offset: size(first),
                    shift_offset: size(first + d),
                    scale_batch_stride: size(at.per_row * entry),
                    shift_batch_stride: size(at.per_row * entry),
                    scale_row_stride: size(at.per_slot * entry),
                    shift_row_stride: size(at.per_slot * entry),
                    scale_step_stride: size(at.per_step * entry),
                    shift_step_stride: size(at.per_step * entry),
                    ..plain
                };
                let operands = [
                    Some(x.tensor),
                    None,
                    None,
                    Some(table),
                    Some(table),
                    Some(out.tensor),
                ];
                graph.push(phase, label, kernel, &operands);
            }
            // Adaptive norms always come with their modulations; see `VelocityDecoder::modulations`.
            (NormWeights::Adaptive(_), None) => {}
        }
        out
    }

    /// Slots of all draws of a frame against the frame's condition tokens: the draws are more queries
    /// over the same keys, so that keys and values are held once a frame.
    fn cross_attention(
        &mut self,
        graph: &mut Graph,
        (phase, name): (Phase, &str),
        index: usize,
        query: RowSpan,
    ) -> RowSpan {
        let DecoderConfig {
            dim,
            heads,
            tokens,
            horizon,
            ..
        } = *self.config;
        let FlowBatch { frames, draws } = self.batch;
        let keys_values = self.keys_values[index];
        let plain = Attention::contiguous(
            size(frames),
            size(draws * horizon),
            size(tokens),
            size(heads),
            size(dim / heads),
        );
        let kernel = Attention {
            k_batch_stride: keys_values.batch_stride(),
            k_row_stride: size(2 * dim),
            v_offset: size(dim),
            v_batch_stride: keys_values.batch_stride(),
            v_row_stride: size(2 * dim),
            ..plain
        };
        let out = self.slots(graph, format!("{name}.cross_attention"), dim);
        let (q, kv) = (query.tensor, keys_values.tensor);
        let operands = [Some(q), Some(kv), Some(kv), None, Some(out.tensor)];
        graph.push(phase, format!("{name}.cross_attention"), kernel, &operands);
        self.record_attention(
            graph,
            phase,
            &format!("l{index}.cross_weights"),
            &kernel,
            q,
            kv,
        );
        out
    }

    fn self_attention(
        &mut self,
        graph: &mut Graph,
        (phase, name): (Phase, &str),
        (index, weights): (usize, &BlockWeights),
        normed: RowSpan,
    ) -> RowSpan {
        let DecoderConfig {
            dim,
            heads,
            horizon,
            rope,
            ..
        } = *self.config;
        let rows = self.batch.rows();
        let qkv = self.slots(graph, format!("{name}.self_in"), 3 * dim);
        let affine = weights.self_in.constants(graph);
        graph.linear(phase, &format!("{name}.self_in"), normed, affine, qkv);
        if rope {
            let (rows, slots) = (size(rows), size(horizon));
            let (heads, width) = (size(heads), size(dim / heads));
            let kernel = Rotary::fused(rows, slots, heads, width, RotaryPairs::INTERLEAVED);
            let (cosine, sine) = self.rotary_tables(graph);
            let operands = [Some(qkv.tensor), Some(cosine), Some(sine)];
            graph.push(phase, format!("{name}.rotary"), kernel, &operands);
        }
        let kernel = Attention::fused(size(rows), size(horizon), size(heads), size(dim / heads));
        let out = self.slots(graph, format!("{name}.self_attention"), dim);
        let all = Some(qkv.tensor);
        let operands = [all, all, all, None, Some(out.tensor)];
        graph.push(phase, format!("{name}.self_attention"), kernel, &operands);
        let label = format!("l{index}.self_weights");
        self.record_attention(graph, phase, &label, &kernel, qkv.tensor, qkv.tensor);
        out
    }

    /// cos and sin of slot * base^(-2j / head_dim), computed in f64.
    fn rotary_tables(&self, graph: &mut Graph) -> (TensorId, TensorId) {
        let head_dim = self.config.dim / self.config.heads;
        let shape = [self.config.horizon, head_dim / 2];
        let mut table = |name: &str, function: fn(f64) -> f64| {
            graph.find(name).unwrap_or_else(|| {
                let angle = |slot: usize, j: usize| {
                    slot as f64 * ROTARY_BASE.powf(-2.0 * j as f64 / head_dim as f64)
                };
                let values = (0..shape[0])
                    .flat_map(|slot| (0..shape[1]).map(move |j| function(angle(slot, j)) as f32))
                    .collect();
                graph.constant(name, &shape, Arc::new(values))
            })
        };
        (
            table("rotary.cosine", f64::cos),
            table("rotary.sine", f64::sin),
        )
    }

    /// Attention weights `[batch, heads, q_rows, k_rows]`, which the fused kernel never holds: products
    /// and a softmax beside it, only where intermediates are recorded.
    fn record_attention(
        &mut self,
        graph: &mut Graph,
        phase: Phase,
        name: &str,
        attention: &Attention,
        q: TensorId,
        k: TensorId,
    ) {
        if self.recorded.is_none() {
            return;
        }
        let Attention {
            batch,
            heads,
            q_rows,
            k_rows,
            head_dim,
            ..
        } = *attention;
        let shape = [batch, heads, q_rows, k_rows].map(|extent| extent as usize);
        let scores = graph.float(format!("{name}.scores"), &shape, TensorKind::Intermediate);
        let weights = graph.float(name, &shape, TensorKind::Intermediate);
        let matrix = q_rows * k_rows;
        for head in 0..heads {
            let kernel = MatMul {
                a_offset: attention.q_offset + head * head_dim,
                a_batch_stride: attention.q_batch_stride,
                a_row_stride: attention.q_row_stride,
                b_offset: attention.k_offset + head * head_dim,
                b_batch_stride: attention.k_batch_stride,
                b_row_stride: 1,
                b_column_stride: attention.k_row_stride,
                c_offset: head * matrix,
                c_batch_stride: heads * matrix,
                scale: attention.scale,
                ..MatMul::batched(batch, q_rows, head_dim, k_rows, (false, true))
            };
            let operands = [Some(q), Some(k), None, None, None, Some(scores)];
            graph.push(phase, format!("{name}.scores{head}"), kernel, &operands);
        }
        let kernel = Softmax::contiguous(batch * heads * q_rows, k_rows);
        graph.push(phase, name, kernel, &[Some(scores), Some(weights)]);
        self.record(graph, name, weights);
    }
}
