//! Perceptrons of equal shape side by side: hidden layers with layer norm and Mish, all members in one
//! product a layer.

use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::models::mlp::RowView;
use attractor_kernels::Activation;
use attractor_kernels::activation::Activate;
use attractor_kernels::embedding::Embedding;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::matmul::MatMul;
use std::sync::Arc;

/// Epsilon of the layer norms, PyTorch's.
const EPSILON: f32 = 1e-5;

/// Which members of an ensemble are evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Members {
    /// All, in their order.
    All,
    /// Those that words name, `[count, groups]`: rows are cut into `groups` equal parts, and part `g` is
    /// given to members `words[0, g]`, `words[1, g]`, .... Only these are evaluated: their weights are
    /// gathered first.
    Chosen {
        /// Indices of members, `[count, groups]`.
        words: TensorId,
        /// Members of a group.
        count: usize,
        /// Groups of rows; their number must divide that of rows.
        groups: usize,
    },
}

/// One layer of all members.
#[derive(Debug, Clone)]
pub(super) struct Stacked {
    /// Numbers that it takes.
    pub inputs: usize,
    /// Numbers that it gives.
    pub outputs: usize,
    /// `[members, outputs, inputs]`.
    pub weight: Vec<f32>,
    /// `[members, outputs]`.
    pub bias: Vec<f32>,
    /// Scale and shift of a layer norm, `[members, outputs]`, followed by Mish.
    pub norm: Option<(Vec<f32>, Vec<f32>)>,
}

/// Where a layer's numbers are in a member's row of the tables.
#[derive(Debug, Clone)]
struct Place {
    inputs: usize,
    outputs: usize,
    weight: usize,
    bias: usize,
    norm: Option<(usize, usize)>,
}

/// Perceptrons of equal shape, packed so that a member is one row of a table.
#[derive(Debug, Clone)]
pub(super) struct Ensemble {
    name: String,
    members: usize,
    layers: Vec<Place>,
    /// Weights and biases, `[members, width]`.
    products: Arc<Vec<f32>>,
    /// Scales less one, which is how the norm takes a factor a row, and shifts, `[members, width]`.
    norms: Vec<f64>,
}

/// A table that holds the members to evaluate.
#[derive(Debug, Clone, Copy)]
struct Tables {
    products: TensorId,
    norms: TensorId,
}

impl Ensemble {
    /// Packs layers; `name` tells this ensemble's constants from others in a graph.
    pub fn new(name: &str, members: usize, layers: &[Stacked]) -> Self {
        let (mut products, mut norms) = (vec![Vec::new(); members], vec![Vec::new(); members]);
        let mut places = Vec::new();
        for layer in layers {
            let mut put = |values: &[f32], width: usize| {
                let start = products.first().map_or(0, Vec::len);
                for (row, own) in products.iter_mut().zip(values.chunks(width.max(1))) {
                    row.extend_from_slice(own);
                }
                start
            };
            let weight = put(&layer.weight, layer.outputs * layer.inputs);
            let bias = put(&layer.bias, layer.outputs);
            let mut put = |values: &[f32], less: f64| {
                let start = norms.first().map_or(0, Vec::len);
                for (row, own) in norms.iter_mut().zip(values.chunks(layer.outputs.max(1))) {
                    row.extend(own.iter().map(|value| f64::from(*value) - less));
                }
                start
            };
            let norm = layer.norm.as_ref();
            places.push(Place {
                inputs: layer.inputs,
                outputs: layer.outputs,
                weight,
                bias,
                norm: norm.map(|(scale, shift)| (put(scale, 1.0), put(shift, 0.0))),
            });
        }
        Self {
            name: name.to_string(),
            members,
            layers: places,
            products: Arc::new(products.concat()),
            norms: norms.concat(),
        }
    }

    fn product_width(&self) -> usize {
        self.products.len() / self.members.max(1)
    }

    fn norm_width(&self) -> usize {
        self.norms.len() / self.members.max(1)
    }

    /// The tables of all members, as constants.
    fn constants(&self, graph: &mut Graph) -> Tables {
        let (products, norms) = (
            format!("{}.products", self.name),
            format!("{}.norms", self.name),
        );
        let shape = [self.members, self.product_width()];
        let products = match graph.find(&products) {
            Some(found) => found,
            None => graph.constant(products, &shape, Arc::clone(&self.products)),
        };
        let shape = [self.members, self.norm_width()];
        let norms = match graph.find(&norms) {
            Some(found) => found,
            None => graph.constant_f64(norms, &shape, self.norms.clone()),
        };
        Tables { products, norms }
    }

    /// Adds look-ups of the rows of `count` members.
    fn gather(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        words: TensorId,
        count: usize,
    ) -> Tables {
        let all = self.constants(graph);
        let mut gather = |part: &str, table: TensorId, width: usize| {
            let name = format!("{label}{part}");
            let out = graph.float(&name, &[count, width], TensorKind::Intermediate);
            let kernel = Embedding::lookup(1, size(count), size(width), size(self.members));
            let operands = [Some(words), Some(table), None, None, None, Some(out)];
            graph.push(phase, name, kernel, &operands);
            out
        };
        Tables {
            products: gather("products", all.products, self.product_width()),
            norms: gather("norms", all.norms, self.norm_width()),
        }
    }

    /// Adds the layers over `rows` rows of `x`; the result is `[members, rows, outputs]`.
    pub fn forward(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        rows: usize,
        x: RowView,
        members: Members,
    ) -> TensorId {
        let (tables, count, groups) = match members {
            Members::All => (self.constants(graph), self.members, 1),
            Members::Chosen {
                words,
                count,
                groups,
            } => {
                let all = count.saturating_mul(groups);
                let tables = self.gather(graph, (phase, label), words, all);
                (tables, count, groups.max(1))
            }
        };
        // Rows that do not part evenly are more than there are, which the graph's checks refuse.
        let part = rows.div_ceil(groups);
        let mut y = x.tensor;
        for (index, layer) in self.layers.iter().enumerate() {
            let label = format!("{label}layer{index}");
            let shape = [count, rows, layer.outputs];
            let out = graph.float(&label, &shape, TensorKind::Intermediate);
            let product = self.product(layer, part);
            let push = |graph: &mut Graph, product: MatMul, label: &str| {
                let residual = Some(tables.products);
                let operands = [Some(y), residual, None, residual, None, Some(out)];
                graph.push(phase, label, product, &operands);
            };
            if index > 0 {
                let batch = size(count.saturating_mul(groups));
                push(graph, MatMul { batch, ..product }, &label);
            } else if groups == 1 {
                let first = MatMul {
                    batch: size(count),
                    a_batch_stride: 0,
                    ..from_rows(product, x)
                };
                push(graph, first, &label);
            } else {
                for member in 0..count {
                    let row = member
                        .saturating_mul(groups)
                        .saturating_mul(self.product_width());
                    let product = from_rows(product, x);
                    let own = MatMul {
                        batch: size(groups),
                        a_batch_stride: size(part.saturating_mul(x.stride)),
                        b_offset: product.b_offset.saturating_add(size(row)),
                        residual_offset: product.residual_offset.saturating_add(size(row)),
                        c_offset: size(member.saturating_mul(rows).saturating_mul(layer.outputs)),
                        ..product
                    };
                    push(graph, own, &format!("{label}.member{member}"));
                }
            }
            y = out;
            if let Some(norm) = layer.norm {
                let batch = count.saturating_mul(groups);
                y = self.normed(
                    graph,
                    (phase, &label),
                    (batch, part, layer.outputs),
                    (y, tables, norm),
                );
            }
        }
        y
    }

    /// The product of contiguous rows with a layer's weights, a matrix a member, plus its bias.
    fn product(&self, layer: &Place, rows: usize) -> MatMul {
        let width = size(self.product_width());
        MatMul {
            b_offset: size(layer.weight),
            b_batch_stride: width,
            residual_offset: size(layer.bias),
            residual_batch_stride: width,
            residual_row_stride: 0,
            flags: MatMul::RESIDUAL,
            ..MatMul::linear(size(rows), size(layer.inputs), size(layer.outputs))
        }
    }

    /// Adds layer norm and Mish.
    fn normed(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        (batch, rows, width): (usize, usize, usize),
        (x, tables, (scale, shift)): (TensorId, Tables, (usize, usize)),
    ) -> TensorId {
        let stride = size(self.norm_width());
        let norm = LayerNorm {
            scale_offset: size(scale),
            scale_batch_stride: stride,
            shift_offset: size(shift),
            shift_batch_stride: stride,
            ..LayerNorm::contiguous(
                size(batch),
                size(rows),
                size(width),
                EPSILON,
                LayerNorm::MODULATION,
            )
        };
        let shape = [batch, rows, width];
        let name = format!("{label}.norm");
        let y = graph.float(&name, &shape, TensorKind::Intermediate);
        let norms = Some(tables.norms);
        graph.push(
            phase,
            name,
            norm,
            &[Some(x), None, None, norms, norms, Some(y)],
        );
        let name = format!("{label}.activation");
        let out = graph.float(&name, &shape, TensorKind::Intermediate);
        let count = shape
            .iter()
            .fold(1usize, |count, d| count.saturating_mul(*d));
        let mish = Activate::of(Activation::MISH, size(count));
        graph.push(phase, name, mish, &[Some(y), Some(out)]);
        out
    }
}

/// The product with rows apart from each other as its input.
fn from_rows(product: MatMul, x: RowView) -> MatMul {
    MatMul {
        a_offset: size(x.offset),
        a_row_stride: size(x.stride),
        ..product
    }
}
