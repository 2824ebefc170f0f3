//! Weights of any model: taken out of a state dict by name and shape, and put into a graph.

use crate::formats::{ArrayMap, FormatError};
use crate::graph::{Graph, TensorId};
use std::collections::BTreeSet;
use std::sync::Arc;
use thiserror::Error;

/// What can be wrong with a model's weights.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// A tensor is missing, misshapen, of the wrong kind or not finite.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file holds tensors that the configuration has no place for.
    #[error("{file}: tensor {tensor} has no place in this model ({count} such tensors); {hint}")]
    Unexpected {
        /// File.
        file: String,
        /// First such tensor.
        tensor: String,
        /// How many there are.
        count: usize,
        /// What may be wrong.
        hint: String,
    },
}

/// One constant: shape and values.
#[derive(Debug, Clone)]
pub struct Weight {
    /// Name in the state dict.
    pub name: String,
    /// Shape as the kernels take it.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Arc<Vec<f32>>,
}

/// Weight and bias of a linear layer or convolution.
#[derive(Debug, Clone)]
pub struct Affine {
    /// `[out, in]`, or `[out, kernel_h, kernel_w, in]`.
    pub weight: Weight,
    /// `[out]`.
    pub bias: Weight,
}

/// Takes tensors out of a map by name and shape, and remembers which were taken.
pub(crate) struct Reader<'a> {
    map: &'a ArrayMap,
    taken: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub fn new(map: &'a ArrayMap) -> Self {
        Self {
            map,
            taken: BTreeSet::new(),
        }
    }

    /// Whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.map.contains(name)
    }

    /// A finite tensor of exactly this shape.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> Result<Weight, WeightsError> {
        let values = self.map.expect_finite_f32(name, shape)?;
        self.taken.insert(name.to_string());
        Ok(Weight {
            name: name.to_string(),
            shape: shape.to_vec(),
            values: Arc::new(values),
        })
    }

    /// `prefix.weight` of this shape and `prefix.bias` of its first dimension.
    pub fn affine(&mut self, prefix: &str, shape: &[usize]) -> Result<Affine, WeightsError> {
        Ok(Affine {
            weight: self.weight(&format!("{prefix}.weight"), shape)?,
            bias: self.weight(&format!("{prefix}.bias"), &shape[..1])?,
        })
    }

    /// Tensors left over mean that file and configuration do not belong together; `hint` says of the
    /// first what may be wrong.
    pub fn refuse_leftovers(&self, hint: impl Fn(&str) -> String) -> Result<(), WeightsError> {
        let mut leftovers = self.map.names().filter(|name| !self.taken.contains(*name));
        let Some(first) = leftovers.next() else {
            return Ok(());
        };
        Err(WeightsError::Unexpected {
            file: self.map.file().display().to_string(),
            tensor: first.to_string(),
            count: 1 + leftovers.count(),
            hint: hint(first),
        })
    }
}

impl Weight {
    /// The constant of a graph that holds this weight. Tensors are told apart by name: a weight used by
    /// several nodes is one constant.
    pub fn constant(&self, graph: &mut Graph) -> TensorId {
        graph
            .find(&self.name)
            .unwrap_or_else(|| graph.constant(&*self.name, &self.shape, Arc::clone(&self.values)))
    }

    /// Rows `first..first + count` of the first dimension, as a weight of its own.
    fn part(&self, first: usize, count: usize) -> Self {
        let width: usize = self.shape.iter().skip(1).product();
        let values = self.values.iter().skip(first * width).take(count * width);
        let mut shape = self.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows = count;
        }
        Self {
            name: format!("{}[{first}..{}]", self.name, first + count),
            shape,
            values: Arc::new(values.copied().collect()),
        }
    }
}

impl Affine {
    /// Weight and bias as constants of a graph.
    pub fn constants(&self, graph: &mut Graph) -> (TensorId, TensorId) {
        (self.weight.constant(graph), self.bias.constant(graph))
    }

    /// Outputs `first..first + count` of the layer, as a layer of its own.
    pub fn part(&self, first: usize, count: usize) -> Self {
        Self {
            weight: self.weight.part(first, count),
            bias: self.bias.part(first, count),
        }
    }
}
