//! Many perceptrons of one shape as one graph.

use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use attractor_kernels::Activation;
use attractor_kernels::activation::Activate;
use attractor_kernels::matmul::MatMul;
use std::sync::Arc;

/// The forward pass of a batch of models.
#[derive(Debug)]
pub(super) struct Forward {
    pub graph: Graph,
    /// Weight `[models, outputs, inputs]` and bias `[models, outputs]` of every layer, in order.
    pub parameters: Vec<TensorId>,
    /// `[models, rows, outputs]`.
    pub predictions: TensorId,
}

impl Forward {
    /// The pass of `models` models over the same `inputs`, `[rows, widths[0]]`, at every step.
    pub fn new(models: usize, widths: &[usize], rows: usize, inputs: &[f32]) -> Self {
        let mut graph = Graph::new();
        let first = widths.first().copied().unwrap_or(0);
        let mut x = graph.constant("inputs", &[rows, first], Arc::new(inputs.to_vec()));
        // All models read the same rows.
        let mut model_stride = 0;
        let mut parameters = Vec::new();
        let pairs = widths.iter().zip(widths.iter().skip(1));
        let last = pairs.len().saturating_sub(1);
        for (layer, (&inputs, &outputs)) in pairs.enumerate() {
            let name = |end: &str| format!("net.{}.{end}", 2 * layer);
            let shape = [models, outputs, inputs];
            let weight = graph.float(name("weight"), &shape, TensorKind::State);
            let bias = graph.float(name("bias"), &shape[..2], TensorKind::State);
            parameters.extend([weight, bias]);
            let shape = [models, rows, outputs];
            let y = graph.float(name("out"), &shape, TensorKind::Intermediate);
            let [m, k, n] = [rows, inputs, outputs].map(size);
            let product = MatMul {
                a_batch_stride: model_stride,
                // The bias, the same for every row of a model.
                residual_batch_stride: n,
                residual_row_stride: 0,
                flags: MatMul::RESIDUAL,
                ..MatMul::batched(size(models), m, k, n, (false, true))
            };
            let operands = [Some(x), Some(weight), None, Some(bias), None, Some(y)];
            graph.push(Phase::Step, name("product"), product, &operands);
            model_stride = m.saturating_mul(n);
            x = y;
            if layer < last {
                x = graph.float(name("relu.out"), &shape, TensorKind::Intermediate);
                let count = size(models.saturating_mul(rows).saturating_mul(outputs));
                let kernel = Activate::of(Activation::RELU, count);
                graph.push(Phase::Step, name("relu"), kernel, &[Some(y), Some(x)]);
            }
        }
        Self {
            graph,
            parameters,
            predictions: x,
        }
    }
}
