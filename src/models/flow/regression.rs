//! The regression head: the same blocks over learned slot queries, one forward pass, no time.

use super::DecoderConfig;
use super::blocks::{Blocks, FlowBatch};
use super::weights::DecoderWeights;
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use attractor_kernels::copy::CopyFloats;

/// Tensors of a regression head in a graph.
#[derive(Debug, Clone, Copy)]
pub struct RegressionTensors {
    /// Input `[frames, S, Dc]`.
    pub conditions: TensorId,
    /// Output `[frames, H, A]`, model space.
    pub actions: TensorId,
}

/// Builds a regression head over `frames` conditions; none where the weights are a decoder's.
pub fn regression(
    graph: &mut Graph,
    config: &DecoderConfig,
    weights: &DecoderWeights,
    frames: usize,
) -> Option<RegressionTensors> {
    let queries = weights.slot_queries.as_ref()?.constant(graph);
    let mut blocks = Blocks {
        config,
        weights,
        batch: FlowBatch { frames, draws: 1 },
        keys_values: Vec::new(),
        recorded: None,
    };
    let conditions = blocks.conditions(graph);
    let (dim, horizon) = (config.dim, config.horizon);
    let x = graph.rows("slots", frames, horizon, dim);
    let (rows, width) = (size(horizon), size(dim));
    let kernel = CopyFloats::strided(
        [1, size(frames), rows, width],
        [0, 0, width, 1],
        [0, rows.saturating_mul(width), width, 1],
    );
    graph.push(
        Phase::Once,
        "slots",
        kernel,
        &[Some(queries), Some(x.tensor)],
    );
    let x = blocks.all(graph, (Phase::Once, ""), x, &[]);
    let shape = [frames, horizon, config.action_dim];
    let actions = graph.float("out.actions", &shape, TensorKind::Output);
    let kernel = attractor_kernels::matmul::MatMul::linear(
        size(frames * horizon),
        width,
        size(config.action_dim),
    );
    let (weight, bias) = weights.output_projection.constants(graph);
    let operands = [
        Some(x.tensor),
        Some(weight),
        Some(bias),
        None,
        None,
        Some(actions),
    ];
    graph.push(Phase::Once, "output_projection", kernel, &operands);
    Some(RegressionTensors {
        conditions,
        actions,
    })
}
