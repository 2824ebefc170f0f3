//! One ACT step of a recursive reasoner as a map of its joint latent state, and what is read off it.
//!
//! The state of an example is `[2L, D]`: the upper latent z_H, then the lower one z_L. A step is
//! `H_cycles` times: `L_cycles` updates `z_L <- level(z_L + (z_H + e))`, then `z_H <- level(z_H + z_L)`; e is
//! the embedding of the puzzle, made before the first step. Every update reads the state and the embedding
//! alone, so that tangents may be re-orthonormalised between any two of them.

use super::blocks::{Levels, split, sum};
use super::config::{Architecture, RecursiveConfig};
use super::weights::RecursiveWeights;
use crate::graph::layers::{RowSpan, size};
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::orbit::IteratedMap;
use attractor_kernels::argmax::ArgMax;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::embedding::Embedding;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::reduce::{Reduce, Reduction};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Factor on the sum of embedding and learned position.
#[expect(
    clippy::approx_constant,
    reason = "the original writes nine digits of the root, and double precision tells"
)]
const POSITION_SCALE: f64 = 0.707106781;

/// Where a run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the model's own start, written before the first step.
    Initial,
    /// Where the host says: it must write the state before every run.
    Given,
}

/// After which updates tangents are re-orthonormalised; the sum of the logarithms does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// After every level call.
    Sub,
    /// After every lower update, the upper one counted with the lower one before it.
    Lstep,
    /// After every ACT step.
    Step,
}

impl Granularity {
    /// What exponents of this model are commonly given for.
    pub fn default_of(arch: Architecture) -> Self {
        match arch {
            Architecture::Hrm => Self::Lstep,
            Architecture::Trm => Self::Sub,
        }
    }
}

/// A model as a map.
#[derive(Debug, Clone)]
pub struct RecursiveMap {
    /// One ACT step; an update ends after every level call.
    pub map: IteratedMap,
    /// Input `[batch, S]`, below the vocabulary's size.
    pub tokens: TensorId,
    /// Input `[batch]`, below the number of puzzles; none where puzzles have no embedding.
    pub puzzles: Option<TensorId>,
    /// The embedding e `[batch, L, D]`, the same at every step.
    pub embedding: TensorId,
    /// Lower updates before each upper one.
    l_cycles: usize,
}

impl RecursiveMap {
    /// Which updates, as indices into [`IteratedMap::updates`], are followed by a re-orthonormalisation;
    /// the last always is.
    pub fn points(&self, granularity: Granularity) -> Vec<usize> {
        let cycle = self.l_cycles + 1;
        let updates = self.map.updates.len();
        let chosen = |index: &usize| match granularity {
            Granularity::Sub => true,
            Granularity::Lstep => index % cycle + 2 != cycle,
            Granularity::Step => index + 1 == updates,
        };
        (0..updates).filter(chosen).collect()
    }
}

/// What to keep of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Steps that there is room for.
    pub steps: usize,
    /// Keep the logits of every step.
    pub logits: bool,
    /// Keep the state after every step.
    pub states: bool,
}

/// Tensors that are read after a run; T steps.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// Logits to halt and to go on `[T, batch, 2]`.
    pub q: TensorId,
    /// Squared lengths of the moves of z_H and of z_L `[T, batch, 2]`.
    pub squared_drift: TensorId,
    /// Logits after the last step `[batch, S, V]`.
    pub logits: TensorId,
    /// Tokens of the largest logits after the last step, words `[batch, S]`.
    pub predictions: TensorId,
    /// Logits of every step `[T, batch, S, V]`, where asked for.
    pub all_logits: Option<TensorId>,
    /// States after every step `[T, batch, 2L, D]`, where asked for.
    pub states: Option<TensorId>,
}

/// A model and its weights, ready to be put into graphs.
#[derive(Debug, Clone, Copy)]
pub struct Recursive<'a> {
    /// Shape and schedule.
    pub config: &'a RecursiveConfig,
    /// Weights of that shape.
    pub weights: &'a RecursiveWeights,
}

impl Recursive<'_> {
    /// The map over a batch.
    pub fn map(&self, batch: usize, start: Start) -> RecursiveMap {
        let mut graph = Graph::new();
        let (config, weights) = (self.config, self.weights);
        let (length, d) = (config.length(), config.hidden_size);
        let state = graph.float("state", &[batch, 2 * length, d], TensorKind::State);
        let span = |first| RowSpan {
            tensor: state,
            batch,
            total: 2 * length,
            first,
            rows: length,
            width: d,
        };
        let (z_h, z_l) = (span(0), span(length));
        if start == Start::Initial {
            for (init, z) in [(&weights.h_init, z_h), (&weights.l_init, z_l)] {
                let init = init.constant(&mut graph);
                broadcast(&mut graph, "start", init, z);
            }
        }
        let (embedding, tokens, puzzles) = self.embed(&mut graph, batch);
        let levels = Levels::new(&mut graph, config, batch);
        let h_level = match config.arch {
            Architecture::Hrm => &weights.h_level,
            Architecture::Trm => &weights.l_level,
        };
        let mut updates = Vec::with_capacity(config.calls());
        for h in 0..config.h_cycles {
            for l in 0..config.l_cycles {
                let name = format!("h{h}.l{l}");
                let injected = sum(&mut graph, &format!("{name}.inject"), z_h, embedding, false);
                levels.level(&mut graph, &name, &weights.l_level, (z_l, injected), z_l);
                updates.push(graph.nodes().len());
            }
            levels.level(&mut graph, &format!("h{h}"), h_level, (z_h, z_l), z_h);
            updates.push(graph.nodes().len());
        }
        RecursiveMap {
            map: IteratedMap {
                graph,
                state,
                batch,
                dimension: config.dimension(),
                updates,
            },
            tokens,
            puzzles,
            embedding: embedding.tensor,
            l_cycles: config.l_cycles,
        }
    }

    /// The starting state of a batch, `[batch, 2L, D]`.
    pub fn start(&self, batch: usize) -> Vec<f32> {
        let rows = |init: &[f32]| init.repeat(self.config.length());
        let both = [&self.weights.h_init, &self.weights.l_init].map(|init| rows(&init.values));
        both.concat().repeat(batch)
    }

    /// e `[batch, L, D]`: the puzzle's own embedding, padded with zeros to P rows, then the tokens', plus
    /// positions where they are learned, times sqrt(D).
    fn embed(&self, graph: &mut Graph, batch: usize) -> (RowSpan, TensorId, Option<TensorId>) {
        let (config, weights, once) = (self.config, self.weights, Phase::Once);
        let (d, length, prefix) = (config.hidden_size, config.length(), config.puzzle_emb_len);
        let raw = graph.rows("embedding.raw", batch, length, d);
        let place = |rows: usize, width: usize, table_rows: usize, first: usize| Embedding {
            out_offset: size(first * d),
            out_batch_stride: raw.batch_stride(),
            ..Embedding::lookup(size(batch), size(rows), size(width), size(table_rows))
        };
        let tokens = graph.word("in.tokens", &[batch, config.seq_len], TensorKind::Input);
        let table = weights.tokens.constant(graph);
        let kernel = place(config.seq_len, d, config.vocab_size, prefix);
        let into = Some(raw.tensor);
        let operands = [Some(tokens), Some(table), None, None, None, into];
        graph.push(once, "embedding.tokens", kernel, &operands);
        let puzzles = weights.puzzles.as_ref().map(|puzzles| {
            let ids = graph.word("in.puzzles", &[batch], TensorKind::Input);
            let table = puzzles.constant(graph);
            let width = config.puzzle_emb_ndim;
            let kernel = place(1, width, config.num_puzzle_identifiers, 0);
            let operands = [Some(ids), Some(table), None, None, None, into];
            graph.push(once, "embedding.puzzle", kernel, &operands);
            if width < prefix * d {
                let zero = graph.constant("zero", &[1], Arc::new(vec![0.0]));
                let rest = RowSpan {
                    rows: 1,
                    width: prefix * d - width,
                    ..raw
                };
                let mut kernel = broadcast_kernel(rest, 0);
                (kernel.dst_offset, kernel.dst_stride_1) = (size(width), raw.batch_stride());
                let operands = [Some(zero), into];
                graph.push(once, "embedding.padding", kernel, &operands);
            }
            ids
        });
        let mut scale = (d as f64).sqrt();
        let mut raw = raw;
        if let Some(positions) = &weights.positions {
            scale *= POSITION_SCALE;
            let table = positions.constant(graph);
            let placed = graph.rows("embedding.placed", batch, length, d);
            let shape = [1, size(batch), size(length), size(d)];
            let strides = |batch_stride| [0, batch_stride, size(d), 1];
            let (a, b) = (strides(raw.batch_stride()), strides(0));
            let kernel = Elementwise::broadcast(Operation::ADD, shape, a, b);
            let operands = [Some(raw.tensor), Some(table), Some(placed.tensor)];
            graph.push(once, "embedding.placed", kernel, &operands);
            raw = placed;
        }
        let out = graph.rows("embedding", batch, length, d);
        // The factor in two parts: parameters are single precision, and the device may be double.
        let (alpha, beta) = split(scale);
        let kernel = Elementwise {
            alpha,
            beta,
            ..Elementwise::contiguous(Operation::ADD, size(batch * length * d))
        };
        let operands = [Some(raw.tensor), Some(raw.tensor), Some(out.tensor)];
        graph.push(once, "embedding", kernel, &operands);
        (out, tokens, puzzles)
    }

    /// Adds what is read off a run to a graph that holds the map: the map's own, or its tangent's, whose
    /// tensors of the map bear the same ids. The nodes come after all those of the step.
    pub fn observe(&self, graph: &mut Graph, map: &RecursiveMap, what: Observation) -> Observed {
        let (state, batch) = (map.map.state, map.map.batch);
        let config = self.config;
        let (length, d) = (config.length(), config.hidden_size);
        let (cells, vocabulary) = (config.seq_len, config.vocab_size);
        let step = Phase::Step;
        let history = |graph: &mut Graph, name: &str, shape: &[usize]| {
            let shape = [&[what.steps], shape].concat();
            graph.float(format!("history.{name}"), &shape, TensorKind::Output)
        };

        let moves = self.moves(graph, state, batch);
        let squared_drift = history(graph, "squared_drift", &[batch, 2]);
        record(graph, "squared_drift", moves, squared_drift, batch * 2);

        let (weight, bias) = self.weights.q_head.constants(graph);
        let now = graph.float("q", &[batch, 2], TensorKind::Intermediate);
        // The first row of z_H alone.
        let kernel = MatMul {
            a_row_stride: size(2 * length * d),
            ..MatMul::linear(size(batch), size(d), 2)
        };
        let operands = [Some(state), Some(weight), Some(bias), None, None, Some(now)];
        graph.push(step, "q_head", kernel, &operands);
        let q = history(graph, "q", &[batch, 2]);
        record(graph, "q", now, q, batch * 2);

        let rows = RowSpan {
            tensor: state,
            batch,
            total: 2 * length,
            first: config.puzzle_emb_len,
            rows: cells,
            width: d,
        };
        let logits = graph.rows("logits", batch, cells, vocabulary);
        graph.keep(logits.tensor);
        let weight = self.weights.lm_head.constant(graph);
        let phase = if what.logits { step } else { Phase::Final };
        graph.product(phase, "lm_head", rows, weight, logits);
        let all_logits = what.logits.then(|| {
            let all = history(graph, "logits", &[batch, cells, vocabulary]);
            record(
                graph,
                "logits",
                logits.tensor,
                all,
                batch * cells * vocabulary,
            );
            all
        });
        let predictions = graph.word("predictions", &[batch, cells], TensorKind::Output);
        let kernel = ArgMax::middle(size(batch * cells), size(vocabulary), 1);
        let operands = [Some(logits.tensor), Some(predictions)];
        graph.push(Phase::Final, "predictions", kernel, &operands);
        let states = what.states.then(|| {
            let all = history(graph, "states", &[batch, 2 * length, d]);
            record(graph, "states", state, all, batch * 2 * length * d);
            all
        });
        Observed {
            q,
            squared_drift,
            logits: logits.tensor,
            predictions,
            all_logits,
            states,
        }
    }

    /// Squared lengths `[batch, 2]` of what a step added to z_H and to z_L.
    fn moves(&self, graph: &mut Graph, state: TensorId, batch: usize) -> TensorId {
        let (length, d) = (self.config.length(), self.config.hidden_size);
        let count = size(batch * 2 * length * d);
        let shape = [batch, 2 * length, d];
        let mut tensor = |name: &str| graph.float(name, &shape, TensorKind::Intermediate);
        let [previous, moved, squares] = ["previous", "moved", "moved.squares"].map(&mut tensor);
        let sums = graph.float("moved.sums", &[batch, 2], TensorKind::Intermediate);
        let keep = CopyFloats::contiguous(count);
        graph.push(
            Phase::Once,
            "previous",
            keep,
            &[Some(state), Some(previous)],
        );
        let kernel = Elementwise::contiguous(Operation::SUBTRACT, count);
        let operands = [Some(state), Some(previous), Some(moved)];
        graph.push(Phase::Step, "moved", kernel, &operands);
        let kernel = Elementwise::contiguous(Operation::MULTIPLY, count);
        let operands = [Some(moved), Some(moved), Some(squares)];
        graph.push(Phase::Step, "moved.squares", kernel, &operands);
        let kernel = Reduce::middle(Reduction::SUM, size(2 * batch), size(length * d), 1);
        let operands = [Some(squares), Some(sums)];
        graph.push(Phase::Step, "moved.sums", kernel, &operands);
        graph.push(
            Phase::Step,
            "previous",
            keep,
            &[Some(state), Some(previous)],
        );
        sums
    }
}

/// One vector of constants into every row of a span, before the first step.
fn broadcast(graph: &mut Graph, label: &str, vector: TensorId, to: RowSpan) {
    let kernel = broadcast_kernel(to, 1);
    let operands = [Some(vector), Some(to.tensor)];
    graph.push(Phase::Once, label, kernel, &operands);
}

fn broadcast_kernel(to: RowSpan, column_stride: u32) -> CopyFloats {
    let shape = [1, size(to.batch), size(to.rows), size(to.width)];
    let strides = [0, to.batch_stride(), size(to.width), 1];
    CopyFloats {
        dst_offset: to.offset(),
        ..CopyFloats::strided(shape, [0, 0, 0, column_stride], strides)
    }
}

/// Copies the `count` numbers of a tensor into the step's slot of its history.
fn record(graph: &mut Graph, name: &str, from: TensorId, to: TensorId, count: usize) {
    let kernel = CopyFloats {
        dst_step_stride: size(count),
        ..CopyFloats::contiguous(size(count))
    };
    let label = format!("history.{name}");
    graph.push(Phase::Step, label, kernel, &[Some(from), Some(to)]);
}
