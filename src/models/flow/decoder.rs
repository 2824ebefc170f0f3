//! The velocity decoder's graph.
//!
//! Nothing is computed twice: conditions are projected, and every block's keys and values made, once a
//! frame for all its draws and all evaluations; time embeddings and modulations are made once for every
//! distinct time of a schedule, for all frames and draws. Both savings are exact.

use super::blocks::{Blocks, FlowBatch, Modulation, ModulationAddress};
use super::weights::{DecoderWeights, NormWeights, TimeWeights};
use super::{DecoderConfig, TimeDirection};
use crate::graph::layers::{RowSpan, size};
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::models::field::{Evaluation, Time, Times, VelocityField};
use attractor_kernels::Activation;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::matmul::MatMul;
use attractor_kernels::time_features::{TimeFeatures, flow_time_features};
use std::sync::Arc;

/// Builds a velocity decoder into a graph.
pub struct VelocityDecoder<'a> {
    blocks: Blocks<'a>,
    time: &'a TimeWeights,
    conditions: Option<TensorId>,
    features: Option<TensorId>,
    /// Modulations of a schedule, one table a block.
    scheduled: Vec<TensorId>,
}

/// Rows of the time embedding: one an entry, or one a row of the state.
struct Embedding {
    /// `[entries, 1 or H, D]`.
    tensor: RowSpan,
    label: String,
}

impl<'a> VelocityDecoder<'a> {
    /// A decoder over `batch`; none where the weights are those of a regression head. With `record`
    /// all intermediates stay readable, and [`VelocityDecoder::recorded`] names them; only one
    /// evaluation makes sense then.
    pub fn new(
        config: &'a DecoderConfig,
        weights: &'a DecoderWeights,
        batch: FlowBatch,
        record: bool,
    ) -> Option<Self> {
        Some(Self {
            time: weights.time.as_ref()?,
            blocks: Blocks {
                config,
                weights,
                batch,
                keys_values: Vec::new(),
                recorded: record.then(Vec::new),
            },
            conditions: None,
            features: None,
            scheduled: Vec::new(),
        })
    }

    /// The input `[frames, S, Dc]`, once prepared.
    pub fn conditions(&self) -> Option<TensorId> {
        self.conditions
    }

    /// The input `[entries, D]` of [`time_features`], once prepared with a schedule.
    pub fn features(&self) -> Option<TensorId> {
        self.features
    }

    /// Names and tensors of the intermediates.
    pub fn recorded(&self) -> &[(String, TensorId)] {
        self.blocks.recorded.as_deref().unwrap_or(&[])
    }

    /// `W2 silu(W1 features + b1) + b2`, plus the slot's own vector where there is one.
    fn embedding(
        &mut self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        features: TensorId,
        entries: usize,
    ) -> Embedding {
        let d = self.blocks.config.dim;
        let span = |tensor, rows, width| RowSpan {
            tensor,
            batch: entries,
            total: rows,
            first: 0,
            rows,
            width,
        };
        let [first, second] = &self.time.time_mlp;
        let hidden = graph.rows(format!("{label}time_hidden"), entries, 1, 4 * d);
        let affine = first.constants(graph);
        let name = format!("{label}time_mlp.0");
        graph.linear(phase, &name, span(features, 1, d), affine, hidden);
        let hidden = graph.activate(
            phase,
            &format!("{label}time_silu"),
            hidden,
            Activation::SILU,
        );
        let embedding = graph.rows(format!("{label}time_embedding"), entries, 1, d);
        let affine = second.constants(graph);
        graph.linear(
            phase,
            &format!("{label}time_mlp.2"),
            hidden,
            affine,
            embedding,
        );
        self.blocks
            .record(graph, "time_embedding", embedding.tensor);
        let label = label.to_string();
        let Some(slots) = &self.time.slot_modulation else {
            return Embedding {
                tensor: embedding,
                label,
            };
        };
        let horizon = self.blocks.config.horizon;
        let out = graph.rows(format!("{label}slot_embedding"), entries, horizon, d);
        let (entries, horizon, width) = (size(entries), size(horizon), size(d));
        let kernel = Elementwise::broadcast(
            Operation::ADD,
            [1, entries, horizon, width],
            [0, width, 0, 1],
            [0, 0, width, 1],
        );
        let slots = slots.constant(graph);
        let operands = [Some(embedding.tensor), Some(slots), Some(out.tensor)];
        graph.push(phase, format!("{label}slot_embedding"), kernel, &operands);
        Embedding { tensor: out, label }
    }

    /// Every block's `[entries, 1 or H, 6D]`.
    fn modulations(&self, graph: &mut Graph, phase: Phase, embedding: &Embedding) -> Vec<TensorId> {
        let d = self.blocks.config.dim;
        let RowSpan { batch, rows, .. } = embedding.tensor;
        let weights = self.blocks.weights;
        let adaptive = weights
            .blocks
            .iter()
            .filter_map(|block| match &block.norms {
                NormWeights::Adaptive(affine) => Some(affine),
                NormWeights::Learned(_) => None,
            });
        let mut tables = Vec::new();
        for (index, affine) in adaptive.enumerate() {
            let name = format!("{}block{index}.modulation", embedding.label);
            let out = graph.rows(&name, batch, rows, 6 * d);
            let affine = affine.constants(graph);
            graph.linear(phase, &name, embedding.tensor, affine, out);
            tables.push(out.tensor);
        }
        tables
    }

    /// Entries of a modulation table that one time takes.
    fn entries(&self) -> (usize, usize) {
        match self.time.slot_modulation {
            Some(_) => (self.blocks.config.horizon, 1),
            None => (1, 0),
        }
    }

    fn modulations_at(&mut self, graph: &mut Graph, at: &Evaluation<'_>) -> Vec<Modulation> {
        let (entries, per_slot) = self.entries();
        let of_row = |per_row| ModulationAddress {
            first: 0,
            per_row,
            per_slot,
            per_step: 0,
        };
        let (tables, address) = match at.time {
            Time::Scheduled { first, per_step } => {
                let address = ModulationAddress {
                    first: first * entries,
                    per_step: per_step * entries,
                    ..of_row(0)
                };
                (self.scheduled.clone(), address)
            }
            Time::EntryOfRow => (self.scheduled.clone(), of_row(entries)),
            Time::PerRow {
                time,
                step_size,
                node,
            } => {
                let tables = self.modulations_per_row(graph, at, time, step_size, node);
                (tables, of_row(entries))
            }
        };
        tables
            .into_iter()
            .map(|table| Some((table, address)))
            .collect()
    }

    /// Features, embedding and modulations of every row's own time, made on the device.
    fn modulations_per_row(
        &mut self,
        graph: &mut Graph,
        at: &Evaluation<'_>,
        time: TensorId,
        step_size: Option<TensorId>,
        node: (i32, i32),
    ) -> Vec<TensorId> {
        let (rows, d) = (self.blocks.batch.rows(), self.blocks.config.dim);
        let name = format!("{}time_features", at.label);
        let features = graph.float(&name, &[rows, d], TensorKind::Intermediate);
        let words = TimeFeatures::frequencies(size(d));
        let frequencies = graph.find("time_frequencies").unwrap_or_else(|| {
            graph.constant_words("time_frequencies", &[words.len()], Arc::new(words))
        });
        let mut kernel = TimeFeatures::new(size(rows), size(d));
        if step_size.is_some() {
            kernel = kernel.at_stage(node);
        }
        if self.blocks.config.time_direction == TimeDirection::NoiseAtOne {
            kernel = kernel.reversed();
        }
        let operands = [Some(time), step_size, Some(frequencies), Some(features)];
        graph.push(at.phase, name, kernel, &operands);
        let embedding = self.embedding(graph, (at.phase, at.label), features, rows);
        self.modulations(graph, at.phase, &embedding)
    }

    /// Slot tokens: `x W^T + b + position_embedding`.
    fn tokens(&mut self, graph: &mut Graph, at: &Evaluation<'_>) -> RowSpan {
        let DecoderConfig {
            dim,
            horizon,
            action_dim,
            ..
        } = *self.blocks.config;
        let rows = self.blocks.batch.rows();
        let name = format!("{}tokens", at.label);
        let out = graph.rows(&name, rows, horizon, dim);
        let affine = self.time.action_projection.constants(graph);
        let positions = self.time.position_embedding.constant(graph);
        let (m, k, n) = (size(horizon), size(action_dim), size(dim));
        let kernel = MatMul {
            batch: size(rows),
            m,
            a_batch_stride: m.saturating_mul(k),
            c_batch_stride: m.saturating_mul(n),
            residual_batch_stride: 0,
            flags: MatMul::BIAS | MatMul::RESIDUAL,
            ..MatMul::linear(m, k, n)
        };
        let operands = [
            Some(at.x),
            Some(affine.0),
            Some(affine.1),
            Some(positions),
            None,
            Some(out.tensor),
        ];
        graph.push(at.phase, name, kernel, &operands);
        self.blocks.record(graph, "tokens", out.tensor);
        out
    }
}

impl VelocityField for VelocityDecoder<'_> {
    fn rows(&self) -> usize {
        self.blocks.batch.rows()
    }

    fn width(&self) -> usize {
        self.blocks.config.chunk()
    }

    fn prepare(&mut self, graph: &mut Graph, times: Times) {
        self.conditions = Some(self.blocks.conditions(graph));
        if let Times::Scheduled(entries) = times {
            let shape = [entries, self.blocks.config.dim];
            let features = graph.float("in.time_features", &shape, TensorKind::Input);
            self.features = Some(features);
            let embedding = self.embedding(graph, (Phase::Once, ""), features, entries);
            self.scheduled = self.modulations(graph, Phase::Once, &embedding);
        }
    }

    fn velocity(&mut self, graph: &mut Graph, at: &Evaluation<'_>) {
        let modulations = self.modulations_at(graph, at);
        let tokens = self.tokens(graph, at);
        let x = self
            .blocks
            .all(graph, (at.phase, at.label), tokens, &modulations);
        let (rows, config) = (self.rows(), self.blocks.config);
        let (dim, outputs) = (size(config.dim), size(config.action_dim));
        let kernel = MatMul {
            c_offset: size(at.out_offset),
            ..MatMul::linear(size(rows * config.horizon), dim, outputs)
        };
        let affine = self.blocks.weights.output_projection.constants(graph);
        let operands = [
            Some(x.tensor),
            Some(affine.0),
            Some(affine.1),
            None,
            None,
            Some(at.out),
        ];
        let label = format!("{}output_projection", at.label);
        graph.push(at.phase, label, kernel, &operands);
    }
}

/// Sinusoidal features of flow times, `[times, D]`, as the decoder takes them: computed in f64 on the
/// host, because f32 already loses 3e-5 of an angle of 1000 radians.
pub fn time_features(config: &DecoderConfig, times: &[f64]) -> Vec<f32> {
    let asked = |t: f64| match config.time_direction {
        TimeDirection::NoiseAtZero => t,
        TimeDirection::NoiseAtOne => 1.0 - t,
    };
    times
        .iter()
        .flat_map(|&t| flow_time_features(asked(t), size(config.dim)))
        .map(|feature| feature as f32)
        .collect()
}
