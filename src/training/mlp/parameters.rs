//! Parameters of a multi-layer perceptron outside any graph.

use crate::formats::{Array, ArrayData, ArrayMap};
use crate::training::TrainingError;
use attractor_kernels::philox::philox4x32;

/// A linear layer, `y = W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearParameters {
    /// Numbers that it takes.
    pub inputs: usize,
    /// Numbers that it gives.
    pub outputs: usize,
    /// `W`, `[outputs, inputs]`, row-major. In double precision, so that the device that computes in it loses
    /// nothing; exact for those that do not.
    pub weight: Vec<f64>,
    /// `b`, `[outputs]`.
    pub bias: Vec<f64>,
}

/// A perceptron with ReLU between its layers, or the gradient of one.
///
/// In a state dict layer `i` is `PREFIX.{2 i}`: PyTorch's `nn.Sequential` counts the activations in between.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpParameters {
    /// At least one.
    pub layers: Vec<LinearParameters>,
}

impl MlpParameters {
    /// PyTorch's initialisation of linear layers: weights and biases uniform within `1 / sqrt(inputs)` of
    /// zero. Widths are those of the input, the hidden layers and the output.
    ///
    /// Draws are those of Philox4x32-10 under the key `seed` with the counter (block of four numbers, tensor,
    /// `model`, 0), 32 bits a number; they are rounded to single precision.
    ///
    /// # Errors
    /// [`TrainingError::Misfit`] for less than two widths, or one that is zero.
    pub fn uniform(widths: &[usize], seed: u64, model: u32) -> Result<Self, TrainingError> {
        if widths.len() < 2 || widths.contains(&0) {
            let found = format!("{widths:?}");
            return Err(TrainingError::misfit(
                "widths",
                "two or more, none of them 0",
                found,
            ));
        }
        let key = [seed as u32, (seed >> 32) as u32];
        let draw = |tensor: usize, count: usize, bound: f64| -> Vec<f64> {
            let number = |index: usize| {
                let counter = [(index / 4) as u32, tensor as u32, model, 0];
                let words = philox4x32(counter, key);
                let share = (f64::from(words[index % 4]) + 0.5) / 4_294_967_296.0;
                f64::from((bound * (2.0 * share - 1.0)) as f32)
            };
            (0..count).map(number).collect()
        };
        let pairs = widths.iter().zip(widths.iter().skip(1)).enumerate();
        let layers = pairs.map(|(layer, (&inputs, &outputs))| {
            let bound = 1.0 / (inputs as f64).sqrt();
            LinearParameters {
                inputs,
                outputs,
                weight: draw(2 * layer, inputs.saturating_mul(outputs), bound),
                bias: draw(2 * layer + 1, outputs, bound),
            }
        });
        Ok(Self {
            layers: layers.collect(),
        })
    }

    /// Takes `PREFIX.0.weight`, `PREFIX.0.bias`, `PREFIX.2.weight` and so on out of a state dict, as many as
    /// there are.
    ///
    /// # Errors
    /// [`TrainingError`] where there is none, or one is missing, misshapen or not finite.
    pub fn read(map: &ArrayMap, prefix: &str) -> Result<Self, TrainingError> {
        let mut layers: Vec<LinearParameters> = Vec::new();
        loop {
            let name = |end: &str| format!("{prefix}.{}.{end}", 2 * layers.len());
            if !layers.is_empty() && !map.contains(&name("weight")) {
                return Ok(Self { layers });
            }
            let shape = map.get(&name("weight"))?.shape();
            let before = layers.last().map(|layer| layer.outputs);
            let &[outputs, inputs] = shape else {
                let found = format!("shape {shape:?}");
                return Err(TrainingError::misfit(
                    name("weight"),
                    "two dimensions",
                    found,
                ));
            };
            if inputs == 0 || outputs == 0 || before.is_some_and(|before| before != inputs) {
                let expected = "rows, and as many columns as the layer before gives";
                let found = format!("shape {shape:?}");
                return Err(TrainingError::misfit(name("weight"), expected, found));
            }
            let values = |end: &str, shape: &[usize]| -> Result<Vec<f64>, TrainingError> {
                let name = name(end);
                let array = map.expect(&name, shape)?;
                let values = array.to_f64();
                let values = values.map_err(|error| map.array_error(&name, error))?;
                if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                    return Err(TrainingError::misfit(name, "finite numbers", value));
                }
                Ok(values)
            };
            let layer = LinearParameters {
                inputs,
                outputs,
                weight: values("weight", &[outputs, inputs])?,
                bias: values("bias", &[outputs])?,
            };
            layers.push(layer);
        }
    }

    /// Adds the tensors to a state dict, in single precision, under the names that
    /// [`MlpParameters::read`] takes.
    ///
    /// # Errors
    /// [`TrainingError::Format`] where a name is taken.
    pub fn write(&self, map: &mut ArrayMap, prefix: &str) -> Result<(), TrainingError> {
        for (index, layer) in self.layers.iter().enumerate() {
            let tensors: [(&str, Vec<usize>, &[f64]); 2] = [
                ("weight", vec![layer.outputs, layer.inputs], &layer.weight),
                ("bias", vec![layer.outputs], &layer.bias),
            ];
            for (end, shape, values) in tensors {
                let name = format!("{prefix}.{}.{end}", 2 * index);
                let single: Vec<f32> = values.iter().map(|value| *value as f32).collect();
                let array = Array::new(&shape, ArrayData::F32(single));
                let array = array.map_err(|error| map.array_error(&name, error))?;
                map.insert(name, array)?;
            }
        }
        Ok(())
    }

    /// Widths of the input, the hidden layers and the output.
    pub fn widths(&self) -> Vec<usize> {
        let first = self.layers.first().map(|layer| layer.inputs);
        let rest = self.layers.iter().map(|layer| layer.outputs);
        first.into_iter().chain(rest).collect()
    }

    /// Parameters.
    pub fn count(&self) -> usize {
        let layers = self.layers.iter();
        layers
            .map(|layer| layer.weight.len() + layer.bias.len())
            .sum()
    }

    /// Weight and bias of every layer, in order.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.layers
            .iter()
            .flat_map(|layer| [&layer.weight, &layer.bias])
    }

    /// Refuses layers that do not hold together.
    pub(super) fn check(&self, what: &str) -> Result<(), TrainingError> {
        let mut before = None;
        for (index, layer) in self.layers.iter().enumerate() {
            let fits = before.is_none_or(|before| before == layer.inputs)
                && layer.inputs > 0
                && layer.outputs > 0
                && layer.inputs.checked_mul(layer.outputs) == Some(layer.weight.len())
                && layer.bias.len() == layer.outputs;
            if !fits {
                let found = format!(
                    "{} inputs, {} outputs, {} weights, {} biases",
                    layer.inputs,
                    layer.outputs,
                    layer.weight.len(),
                    layer.bias.len()
                );
                let what = format!("{what}, layer {index}");
                return Err(TrainingError::misfit(
                    what,
                    "a layer that follows the one before",
                    found,
                ));
            }
            before = Some(layer.outputs);
        }
        if before.is_none() {
            return Err(TrainingError::misfit(what, "at least one layer", "none"));
        }
        Ok(())
    }
}
