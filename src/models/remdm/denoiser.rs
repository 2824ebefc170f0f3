//! The denoiser's graph.
//!
//! Sequence: one local token, the global tokens where there are any, then the actions. What depends on
//! the observation alone runs in [`Phase::Once`]: both convolutional streams, the context tokens, and
//! their share of the first block (its norm and projections are row by row, so a context row's keys and
//! values never change). In the last block only the actions' rows are asked for, so its queries,
//! output projection and feed-forward layers skip the context. Both savings are exact.

use super::DenoiserConfig;
use super::weights::{BlockWeights, DenoiserWeights};
use crate::graph::layers::{RowSpan, size};
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::models::weights::{Affine, Weight};
use attractor_kernels::Activation;
use attractor_kernels::attention::Attention;

/// Epsilon of every layer norm.
const EPSILON: f32 = 1e-5;

/// How the times of a denoising step are read from the tensor `times`.
#[derive(Debug, Clone, Copy)]
pub struct TimeAddressing {
    /// Elements of `times`.
    pub length: usize,
    /// Words between successive steps.
    pub step_stride: u32,
    /// Words between successive examples.
    pub batch_stride: u32,
}

/// Whether the exact savings are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Skip rows that the logits do not depend on.
    Needed,
    /// Compute every row of every block, for comparison with the original's intermediates.
    All,
}

/// Tensors of a denoiser in a graph.
#[derive(Debug, Clone)]
pub struct DenoiserTensors {
    /// Input `[batch, crop, crop]`: glyphs around the agent.
    pub local: TensorId,
    /// Input `[batch, map_h, map_w]`: glyphs of the level.
    pub global: Option<TensorId>,
    /// Input: diffusion times, see [`TimeAddressing`].
    pub times: TensorId,
    /// The sequence `[batch, L]`, read at every step.
    pub tokens: TensorId,
    /// Logits `[batch, L, A]`.
    pub logits: TensorId,
    /// Staircase prediction `[batch, 2]`.
    pub goal: Option<TensorId>,
}

/// Builds the denoiser over `tokens` into `graph`.
pub fn build(
    graph: &mut Graph,
    config: &DenoiserConfig,
    weights: &DenoiserWeights,
    batch: usize,
    times: TimeAddressing,
    tokens: TensorId,
    rows: Rows,
) -> DenoiserTensors {
    let (crop, e) = (config.crop_size, config.n_embd);
    let local = graph.word("in.local_obs", &[batch, crop, crop], TensorKind::Input);
    let time_ids = graph.word("in.t_discrete", &[times.length], TensorKind::Input);
    let mut builder = Builder {
        graph,
        config,
        batch,
        rows,
    };
    let x = builder
        .graph
        .rows("act.transformer_in", batch, config.tokens(), e);
    builder.local_stream(weights, local, x.part(0, 1));
    let streams = weights.global.as_ref().map(|global| {
        let shape = [batch, config.map_h, config.map_w];
        let input = builder
            .graph
            .word("in.global_obs", &shape, TensorKind::Input);
        let goal = builder.global_stream(global, input, x.part(1, config.n_global_tokens));
        (input, goal)
    });
    builder.action_stream(weights, tokens, time_ids, times, x);
    let mut x = x;
    for (index, block) in weights.blocks.iter().enumerate() {
        x = builder.block(block, index, x);
    }
    let actions = builder.actions(x);
    let logits = builder
        .graph
        .rows("out.actions", batch, config.seq_len, config.action_dim);
    let head = builder.affine(&weights.head);
    builder
        .graph
        .linear(Phase::Step, "head", actions, head, logits);
    DenoiserTensors {
        local,
        global: streams.map(|(input, _)| input),
        times: time_ids,
        tokens,
        logits: logits.tensor,
        goal: streams.map(|(_, goal)| goal),
    }
}

pub(super) struct Builder<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) config: &'a DenoiserConfig,
    pub(super) batch: usize,
    rows: Rows,
}

impl Builder<'_> {
    pub(super) fn constant(&mut self, weight: &Weight) -> TensorId {
        weight.constant(self.graph)
    }

    pub(super) fn affine(&mut self, affine: &Affine) -> (TensorId, TensorId) {
        affine.constants(self.graph)
    }

    /// The actions' rows of a span that may hold the context before them.
    pub(super) fn actions(&self, x: RowSpan) -> RowSpan {
        x.part(x.rows - self.config.seq_len, self.config.seq_len)
    }

    /// The parts of a span that a row-by-row layer of block `index` works on, and when.
    fn parts(&self, index: usize, x: RowSpan) -> Vec<(Phase, RowSpan)> {
        if index > 0 {
            return vec![(Phase::Step, x)];
        }
        let context = self.config.context_tokens();
        vec![
            (Phase::Once, x.part(0, context)),
            (Phase::Step, self.actions(x)),
        ]
    }

    /// One pre-norm block; returns its output, of the actions alone where that is all that is needed.
    fn block(&mut self, weights: &BlockWeights, index: usize, x: RowSpan) -> RowSpan {
        let name = format!("act.block{index}");
        let (batch, e) = (self.batch, self.config.n_embd);
        let normed = self
            .graph
            .rows(format!("{name}.norm1_out"), batch, x.rows, e);
        let norm1 = self.affine(&weights.norm1);
        for ((phase, from), (_, to)) in self
            .parts(index, x)
            .into_iter()
            .zip(self.parts(index, normed))
        {
            self.graph
                .layer_norm(phase, &format!("{name}.norm1"), from, norm1, EPSILON, to);
        }
        let last = index + 1 == self.config.n_layer && self.rows == Rows::Needed;
        let attended = if last {
            self.attend_from_actions(weights, index, normed)
        } else {
            self.attend_from_all(weights, index, normed)
        };
        let residual = if last { self.actions(x) } else { x };
        let projected = self
            .graph
            .rows(format!("{name}.attn_out"), batch, attended.rows, e);
        let affine = self.affine(&weights.out_proj);
        self.graph.linear(
            Phase::Step,
            &format!("{name}.out_proj"),
            attended,
            affine,
            projected,
        );
        let x = self.graph.add_residual(
            Phase::Step,
            &format!("{name}.residual1"),
            projected,
            residual,
        );
        let normed = self
            .graph
            .rows(format!("{name}.norm2_out"), batch, x.rows, e);
        let affine = self.affine(&weights.norm2);
        self.graph.layer_norm(
            Phase::Step,
            &format!("{name}.norm2"),
            x,
            affine,
            EPSILON,
            normed,
        );
        let hidden = self
            .graph
            .rows(format!("{name}.linear1_out"), batch, x.rows, 4 * e);
        let affine = self.affine(&weights.linear1);
        self.graph.linear(
            Phase::Step,
            &format!("{name}.linear1"),
            normed,
            affine,
            hidden,
        );
        let hidden = self.graph.activate(
            Phase::Step,
            &format!("{name}.gelu"),
            hidden,
            Activation::GELU,
        );
        let out = self
            .graph
            .rows(format!("{name}.linear2_out"), batch, x.rows, e);
        let affine = self.affine(&weights.linear2);
        self.graph
            .linear(Phase::Step, &format!("{name}.linear2"), hidden, affine, out);
        self.graph.add_residual(Phase::Step, &name, out, x)
    }

    /// Self-attention of every row over one fused projection.
    fn attend_from_all(
        &mut self,
        weights: &BlockWeights,
        index: usize,
        normed: RowSpan,
    ) -> RowSpan {
        let e = self.config.n_embd;
        let name = format!("act.block{index}");
        let qkv = self
            .graph
            .rows(format!("{name}.qkv"), self.batch, normed.rows, 3 * e);
        let affine = self.affine(&weights.in_proj);
        for ((phase, from), (_, to)) in self
            .parts(index, normed)
            .into_iter()
            .zip(self.parts(index, qkv))
        {
            self.graph
                .linear(phase, &format!("{name}.in_proj"), from, affine, to);
        }
        self.attention(&name, (qkv, 0), (qkv, e), (qkv, 2 * e))
    }

    /// Attention of the actions' rows alone over keys and values of all rows.
    fn attend_from_actions(
        &mut self,
        weights: &BlockWeights,
        index: usize,
        normed: RowSpan,
    ) -> RowSpan {
        let e = self.config.n_embd;
        let name = format!("act.block{index}");
        let q = self
            .graph
            .rows(format!("{name}.q"), self.batch, self.config.seq_len, e);
        let affine = self.affine(&weights.in_proj.part(0, e));
        let actions = self.actions(normed);
        self.graph
            .linear(Phase::Step, &format!("{name}.q_proj"), actions, affine, q);
        let kv = self
            .graph
            .rows(format!("{name}.kv"), self.batch, normed.rows, 2 * e);
        let affine = self.affine(&weights.in_proj.part(e, 2 * e));
        for ((phase, from), (_, to)) in self
            .parts(index, normed)
            .into_iter()
            .zip(self.parts(index, kv))
        {
            self.graph
                .linear(phase, &format!("{name}.kv_proj"), from, affine, to);
        }
        self.attention(&name, (q, 0), (kv, 0), (kv, e))
    }

    /// Attention between column ranges of spans, each given as (span, first column).
    fn attention(
        &mut self,
        name: &str,
        q: (RowSpan, usize),
        k: (RowSpan, usize),
        v: (RowSpan, usize),
    ) -> RowSpan {
        let (e, heads) = (self.config.n_embd, self.config.n_head);
        let out = self
            .graph
            .rows(format!("{name}.attention"), self.batch, q.0.rows, e);
        let kernel = Attention {
            q_offset: size(q.1),
            q_batch_stride: q.0.batch_stride(),
            q_row_stride: size(q.0.width),
            k_offset: size(k.1),
            k_batch_stride: k.0.batch_stride(),
            k_row_stride: size(k.0.width),
            v_offset: size(v.1),
            v_batch_stride: v.0.batch_stride(),
            v_row_stride: size(v.0.width),
            ..Attention::contiguous(
                size(self.batch),
                size(q.0.rows),
                size(k.0.rows),
                size(heads),
                size(e / heads),
            )
        };
        let operands = [
            Some(q.0.tensor),
            Some(k.0.tensor),
            Some(v.0.tensor),
            None,
            Some(out.tensor),
        ];
        self.graph
            .push(Phase::Step, format!("{name}.attention"), kernel, &operands);
        out
    }
}
