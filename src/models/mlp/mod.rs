//! Multi-layer perceptrons: layers by name, in any number.

mod field;

pub use field::MlpField;

use super::weights::{Affine, Reader, Weight, WeightsError};
use crate::formats::ArrayMap;
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use attractor_kernels::Activation;
use attractor_kernels::activation::Activate;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::sim_norm::SimNorm;
use thiserror::Error;

/// Epsilon of the layer norms, PyTorch's.
const EPSILON: f32 = 1e-5;

/// What can be wrong with a perceptron.
#[derive(Debug, Error)]
pub enum MlpError {
    /// A tensor is missing, of the wrong kind or not finite.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A layer does not fit its neighbours, or the task.
    #[error("{file}: {tensor}: expected {expected}, found {found}")]
    Layer {
        /// File.
        file: String,
        /// Tensor, or what is made of several.
        tensor: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// What follows the affine part of a layer, and its norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Nonlinearity {
    /// Nothing.
    None,
    /// An activation.
    Activation(Activation),
    /// A softmax over every `group` successive numbers.
    SimNorm {
        /// Numbers of a group.
        group: usize,
    },
}

/// Names of a layer's tensors in a state dict.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNames {
    /// `[out, in]`.
    pub weight: String,
    /// `[out]`.
    pub bias: String,
    /// Scale and shift of a layer norm after the affine part, `[out]`, where there is one.
    pub norm: Option<(String, String)>,
    /// What follows.
    pub nonlinearity: Nonlinearity,
}

impl LayerNames {
    /// A layer without a norm.
    pub fn plain(
        weight: impl Into<String>,
        bias: impl Into<String>,
        nonlinearity: Nonlinearity,
    ) -> Self {
        Self {
            weight: weight.into(),
            bias: bias.into(),
            norm: None,
            nonlinearity,
        }
    }

    /// TD-MPC2's `NormedLinear` at `prefix`: `weight`, `bias`, `ln.weight`, `ln.bias`.
    pub fn normed(prefix: &str, nonlinearity: Nonlinearity) -> Self {
        let name = |end: &str| format!("{prefix}.{end}");
        Self {
            weight: name("weight"),
            bias: name("bias"),
            norm: Some((name("ln.weight"), name("ln.bias"))),
            nonlinearity,
        }
    }
}

/// Rows of numbers in a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowView {
    /// The tensor.
    pub tensor: TensorId,
    /// First element.
    pub offset: usize,
    /// Elements from one row to the next.
    pub stride: usize,
}

impl RowView {
    /// The rows of a tensor `[rows, width]`.
    pub fn of(tensor: TensorId, width: usize) -> Self {
        Self {
            tensor,
            offset: 0,
            stride: width,
        }
    }

    /// The same rows from column `first` on.
    #[must_use]
    pub fn from_column(self, first: usize) -> Self {
        Self {
            offset: self.offset + first,
            ..self
        }
    }
}

/// One layer of a perceptron.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub affine: Affine,
    pub norm: Option<(Weight, Weight)>,
    pub nonlinearity: Nonlinearity,
    pub inputs: usize,
    pub outputs: usize,
}

/// `x -> f_n(W_n ... f_1(W_1 x + b_1) ... + b_n)`.
#[derive(Debug, Clone)]
pub struct Mlp {
    layers: Vec<Layer>,
    file: String,
}

impl Mlp {
    /// Takes the layers out of a state dict.
    ///
    /// # Errors
    /// [`MlpError`] naming the tensor that is missing, not finite, or does not fit; also if there is no
    /// layer.
    pub fn read(map: &ArrayMap, names: &[LayerNames]) -> Result<Self, MlpError> {
        let mut reader = Reader::new(map);
        let file = map.file().display().to_string();
        let mut layers: Vec<Layer> = Vec::new();
        for layer in names {
            let before = layers.last().map(|layer| layer.outputs);
            layers.push(read_layer(map, &mut reader, layer, before)?);
        }
        if layers.is_empty() {
            return Err(misfit(&file, "layers", "at least one", "none"));
        }
        Ok(Self { layers, file })
    }

    /// Numbers that it takes.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    /// Numbers that it gives.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// The file it was read from.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Adds the layers: `x` `[rows, inputs]` into the `[rows, outputs]` of `out` from element
    /// `out_offset` on.
    pub fn forward(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        x: TensorId,
        (out, out_offset): (TensorId, usize),
    ) {
        let x = RowView::of(x, self.inputs());
        let out = RowView {
            offset: out_offset,
            ..RowView::of(out, self.outputs())
        };
        self.forward_rows(graph, at, rows, x, out);
    }

    /// Adds the layers: `rows` rows of `x` into as many of `out`, which may be rows of the same tensor.
    pub fn forward_rows(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        rows: usize,
        x: RowView,
        out: RowView,
    ) {
        let count = self.layers.len();
        let mut x = x;
        for (index, layer) in self.layers.iter().enumerate() {
            let target = (index + 1 == count).then_some(out);
            let label = format!("{label}layer{index}");
            x = layer.forward(graph, (phase, &label), rows, x, target);
        }
    }

    /// Layers that are there already, of a file.
    pub(super) fn of_layers(layers: Vec<Layer>, file: &str) -> Self {
        Self {
            layers,
            file: file.to_string(),
        }
    }

    /// Its layers.
    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layers from number `first` on, at least one, as a perceptron of their own.
    pub(super) fn tail(&self, first: usize) -> Self {
        let first = first.min(self.layers.len().saturating_sub(1));
        Self {
            layers: self.layers.iter().skip(first).cloned().collect(),
            file: self.file.clone(),
        }
    }
}

fn misfit(file: &str, tensor: &str, expected: impl ToString, found: impl ToString) -> MlpError {
    MlpError::Layer {
        file: file.to_string(),
        tensor: tensor.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

fn read_layer(
    map: &ArrayMap,
    reader: &mut Reader<'_>,
    names: &LayerNames,
    before: Option<usize>,
) -> Result<Layer, MlpError> {
    let file = map.file().display().to_string();
    let shape = map.get(&names.weight).map_err(WeightsError::from)?.shape();
    let &[outputs, inputs] = shape else {
        let found = format!("shape {shape:?}");
        return Err(misfit(&file, &names.weight, "two dimensions", found));
    };
    let largest = u32::MAX as usize;
    let fits = inputs > 0 && outputs > 0 && inputs <= largest && outputs <= largest;
    if !fits || before.is_some_and(|before| before != inputs) {
        let expected = match before {
            Some(before) => format!("{before} columns, as many as the layer before gives"),
            None => "at least one row and one column".to_string(),
        };
        let found = format!("shape {shape:?}");
        return Err(misfit(&file, &names.weight, expected, found));
    }
    if let Nonlinearity::SimNorm { group } = names.nonlinearity
        && (group == 0 || !outputs.is_multiple_of(group))
    {
        let expected = format!("rows in groups of {group}");
        return Err(misfit(
            &file,
            &names.weight,
            expected,
            format!("{outputs} rows"),
        ));
    }
    let norm = match &names.norm {
        Some((scale, shift)) => Some((
            reader.weight(scale, &[outputs])?,
            reader.weight(shift, &[outputs])?,
        )),
        None => None,
    };
    Ok(Layer {
        affine: Affine {
            weight: reader.weight(&names.weight, &[outputs, inputs])?,
            bias: reader.weight(&names.bias, &[outputs])?,
        },
        norm,
        nonlinearity: names.nonlinearity,
        inputs,
        outputs,
    })
}

impl Layer {
    /// Adds the layer; its last node writes to `target`, or to a new tensor, which is returned.
    fn forward(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        rows: usize,
        x: RowView,
        target: Option<RowView>,
    ) -> RowView {
        let (m, n) = (size(rows), size(self.outputs));
        let plain = self.nonlinearity == Nonlinearity::None;
        // The target where nothing follows, else a new tensor.
        let place = |graph: &mut Graph, last: bool, name: &str| match target {
            Some(target) if last => target,
            _ => {
                let shape = [rows, self.outputs];
                let tensor = graph.float(name, &shape, TensorKind::Intermediate);
                RowView::of(tensor, self.outputs)
            }
        };
        let mut y = place(graph, plain && self.norm.is_none(), label);
        let product = MatMul {
            a_offset: size(x.offset),
            a_row_stride: size(x.stride),
            c_offset: size(y.offset),
            c_row_stride: size(y.stride),
            ..MatMul::linear(m, size(self.inputs), n)
        };
        let (weight, bias) = self.affine.constants(graph);
        let operands = [
            Some(x.tensor),
            Some(weight),
            Some(bias),
            None,
            None,
            Some(y.tensor),
        ];
        graph.push(phase, label, product, &operands);
        if let Some((scale, shift)) = &self.norm {
            let name = format!("{label}.norm");
            let out = place(graph, plain, &name);
            let flags = LayerNorm::WEIGHT | LayerNorm::BIAS;
            let norm = LayerNorm {
                y_offset: size(out.offset),
                y_row_stride: size(out.stride),
                ..LayerNorm::contiguous(1, m, n, EPSILON, flags)
            };
            let (scale, shift) = (scale.constant(graph), shift.constant(graph));
            let operands = [
                Some(y.tensor),
                Some(scale),
                Some(shift),
                None,
                None,
                Some(out.tensor),
            ];
            graph.push(phase, name, norm, &operands);
            y = out;
        }
        match self.nonlinearity {
            Nonlinearity::None => {}
            Nonlinearity::Activation(activation) => {
                let name = format!("{label}.activation");
                let out = place(graph, true, &name);
                self.activate(graph, (phase, &name), rows, activation, (y, out));
                y = out;
            }
            Nonlinearity::SimNorm { group } => {
                let name = format!("{label}.sim_norm");
                let out = place(graph, true, &name);
                let kernel = SimNorm {
                    y_offset: size(out.offset),
                    y_row_stride: size(out.stride),
                    ..SimNorm::contiguous(m, n, size(group))
                };
                graph.push(phase, name, kernel, &[Some(y.tensor), Some(out.tensor)]);
                y = out;
            }
        }
        y
    }

    /// Adds an activation of a whole tensor; where rows of the target are apart, the result is copied.
    fn activate(
        &self,
        graph: &mut Graph,
        (phase, name): (Phase, &str),
        rows: usize,
        activation: Activation,
        (y, out): (RowView, RowView),
    ) {
        let (m, n) = (size(rows), size(self.outputs));
        let kernel = Activate::of(activation, m.saturating_mul(n));
        if out.stride == self.outputs || rows == 1 {
            let kernel = Activate {
                y_offset: size(out.offset),
                ..kernel
            };
            graph.push(phase, name, kernel, &[Some(y.tensor), Some(out.tensor)]);
            return;
        }
        let shape = [rows, self.outputs];
        let whole = graph.float(format!("{name}.rows"), &shape, TensorKind::Intermediate);
        graph.push(phase, name, kernel, &[Some(y.tensor), Some(whole)]);
        let copy = CopyFloats {
            dst_offset: size(out.offset),
            ..CopyFloats::strided([1, 1, m, n], [0, 0, n, 1], [0, 0, size(out.stride), 1])
        };
        let name = format!("{name}.copy");
        graph.push(phase, name, copy, &[Some(whole), Some(out.tensor)]);
    }
}
