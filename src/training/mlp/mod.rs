//! Supervised training of multi-layer perceptrons: many of one shape at once, on the device.

mod graph;
mod parameters;

pub use parameters::{LinearParameters, MlpParameters};

use super::TrainingError;
use super::descent::Descent;
use super::optimiser::AdamSettings;
use crate::device::Device;
use crate::graph::layers::size;
use crate::graph::{Moment, Phase, Plan, TensorKind};
use crate::orbit::Orbit;
use attractor_kernels::mean_squared_error::MeanSquaredError;
use graph::Forward;
use std::sync::Arc;

/// How perceptrons are trained: full batches, mean squared error, Adam (Kingma & Ba, ICLR 2015).
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Step size of Adam.
    pub learning_rate: f64,
    /// Decay of the first and second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Numbers of epochs after which parameters are kept, ascending; the last one ends the training.
    pub epochs: Vec<u32>,
}

impl Recipe {
    /// Adam as PyTorch sets it, with this step size.
    pub fn adam(learning_rate: f64, epochs: &[u32]) -> Self {
        Self {
            learning_rate,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            epochs: epochs.to_vec(),
        }
    }

    fn settings(&self) -> AdamSettings {
        AdamSettings {
            learning_rate: self.learning_rate,
            betas: self.betas,
            epsilon: self.epsilon,
            weight_decay: 0.0,
        }
    }

    fn check(&self) -> Result<(), TrainingError> {
        let pairs = self.epochs.iter().zip(self.epochs.iter().skip(1));
        let ascending = pairs.into_iter().all(|(a, b)| a < b);
        if !ascending || self.epochs.last().is_none_or(|last| *last == 0) {
            let found = format!("{:?}", self.epochs);
            let expected = "ascending numbers, the last at least 1";
            return Err(TrainingError::misfit("epochs", expected, found));
        }
        Ok(())
    }
}

/// A model after some epochs.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Epochs.
    pub epochs: u32,
    /// Parameters after them.
    pub parameters: MlpParameters,
    /// What the model gives with these parameters for the training inputs, `[rows, outputs]`.
    pub predictions: Vec<f64>,
}

/// The course of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedModel {
    /// One for each of [`Recipe::epochs`].
    pub snapshots: Vec<Snapshot>,
    /// Mean squared error of every epoch, before its step.
    pub losses: Vec<f64>,
    /// Gradient of the first epoch.
    pub first_gradient: MlpParameters,
}

/// Trains every model of `initial`, all of one shape, on the same `inputs` `[rows, inputs]` and `targets`
/// `[rows, outputs]`. A model's course is the same, bit for bit, whatever others are trained with it.
///
/// # Errors
/// [`TrainingError`] for models, data or a recipe that do not fit, from the device, and where a loss or a
/// parameter is not finite, naming model and epoch.
pub fn train(
    device: &Device,
    initial: &[MlpParameters],
    inputs: &[f32],
    targets: &[f32],
    recipe: &Recipe,
) -> Result<Vec<TrainedModel>, TrainingError> {
    let (widths, rows) = shape(initial, inputs)?;
    let outputs = widths.last().copied().unwrap_or(0);
    if targets.len() != rows.saturating_mul(outputs) {
        let expected = format!("{rows} rows of {outputs}");
        let found = format!("{} numbers", targets.len());
        return Err(TrainingError::misfit("targets", expected, found));
    }
    recipe.check()?;
    let mut trained = Vec::with_capacity(initial.len());
    for part in initial.chunks(models_at_once(&widths, rows)) {
        let first = trained.len();
        let part = train_part(device, part, (inputs, targets), (&widths, rows), recipe);
        trained.extend(part.map_err(|error| error.of_model_from(first))?);
    }
    Ok(trained)
}

/// What every model, all of one shape, gives for `inputs` `[rows, inputs]`: `[rows, outputs]` each.
///
/// # Errors
/// [`TrainingError`] for models or inputs that do not fit, and from the device.
pub fn predict(
    device: &Device,
    models: &[MlpParameters],
    inputs: &[f32],
) -> Result<Vec<Vec<f64>>, TrainingError> {
    let (widths, rows) = shape(models, inputs)?;
    let mut predictions = Vec::with_capacity(models.len());
    for part in models.chunks(models_at_once(&widths, rows)) {
        let mut forward = Forward::new(part.len(), &widths, rows, inputs);
        forward.graph.keep(forward.predictions);
        let plan = Plan::compile(forward.graph, device)?;
        let mut orbit = Orbit::new(&plan)?;
        for (id, values) in forward.parameters.iter().zip(joined(part)) {
            orbit.execution.write_f64(*id, &values)?;
        }
        orbit.run(1, &Moment::default())?;
        let all = orbit.execution.read_f64(forward.predictions)?;
        let each = all.len() / part.len().max(1);
        predictions.extend(all.chunks(each.max(1)).map(<[f64]>::to_vec));
    }
    Ok(predictions)
}

/// Numbers of the largest tensor of a graph: more models are trained one batch after the other.
const MOST_NUMBERS: usize = 1 << 23;

/// Models whose tensors stay within [`MOST_NUMBERS`].
fn models_at_once(widths: &[usize], rows: usize) -> usize {
    let activations = widths.iter().map(|width| width.saturating_mul(rows));
    let weights = widths.iter().zip(widths.iter().skip(1));
    let weights = weights.map(|(inputs, outputs)| inputs.saturating_mul(*outputs));
    let largest = activations.chain(weights).max().unwrap_or(1);
    (MOST_NUMBERS / largest.max(1)).max(1)
}

/// Widths of the models, and rows of their inputs.
fn shape(models: &[MlpParameters], inputs: &[f32]) -> Result<(Vec<usize>, usize), TrainingError> {
    let Some(first) = models.first() else {
        return Err(TrainingError::misfit("models", "at least one", "none"));
    };
    let widths = first.widths();
    for (index, model) in models.iter().enumerate() {
        model.check(&format!("model {index}"))?;
        if model.widths() != widths {
            let expected = format!("the widths of model 0, {widths:?}");
            let found = format!("{:?}", model.widths());
            return Err(TrainingError::misfit(
                format!("model {index}"),
                expected,
                found,
            ));
        }
    }
    let width = first.layers.first().map_or(1, |layer| layer.inputs);
    if inputs.is_empty() || !inputs.len().is_multiple_of(width) {
        let expected = format!("rows of {width}");
        let found = format!("{} numbers", inputs.len());
        return Err(TrainingError::misfit("inputs", expected, found));
    }
    Ok((widths, inputs.len() / width))
}

/// The parameters of all models, tensor by tensor.
fn joined(models: &[MlpParameters]) -> Vec<Vec<f64>> {
    let mut all = Vec::new();
    for model in models {
        all.resize(all.len().max(2 * model.layers.len()), Vec::new());
        for (all, own) in all.iter_mut().zip(model.tensors()) {
            all.extend_from_slice(own);
        }
    }
    all
}

/// The parameters of each of `count` models with these widths.
fn parted(tensors: &[Vec<f64>], widths: &[usize], count: usize) -> Vec<MlpParameters> {
    let own = |tensor: &Vec<f64>, model: usize| {
        let each = tensor.len() / count.max(1);
        let values = tensor.iter().skip(model * each).take(each);
        values.copied().collect()
    };
    let layers = |model: usize| {
        let pairs = widths.iter().zip(widths.iter().skip(1));
        let layers = pairs.zip(tensors.chunks_exact(2));
        let layers = layers.map(|((&inputs, &outputs), pair)| LinearParameters {
            inputs,
            outputs,
            weight: own(&pair[0], model),
            bias: own(&pair[1], model),
        });
        layers.collect()
    };
    (0..count)
        .map(|model| MlpParameters {
            layers: layers(model),
        })
        .collect()
}

fn train_part(
    device: &Device,
    initial: &[MlpParameters],
    (inputs, targets): (&[f32], &[f32]),
    (widths, rows): (&[usize], usize),
    recipe: &Recipe,
) -> Result<Vec<TrainedModel>, TrainingError> {
    let models = initial.len();
    let mut forward = Forward::new(models, widths, rows, inputs);
    let graph = &mut forward.graph;
    let goals = graph.constant("targets", &[targets.len()], Arc::new(targets.to_vec()));
    let losses = graph.float("losses", &[models], TensorKind::Intermediate);
    let error = MeanSquaredError {
        target_stride: 0,
        ..MeanSquaredError::losses(size(models), size(targets.len()))
    };
    let operands = [
        Some(forward.predictions),
        Some(goals),
        None,
        None,
        Some(losses),
    ];
    graph.push(Phase::Step, "loss", error, &operands);
    let steps = recipe.epochs.last().copied().unwrap_or(0);
    let settings = (recipe.settings(), steps);
    let mut descent = Descent::new(device, graph, losses, &forward.parameters, settings)?;
    descent.start(&joined(initial))?;
    let mut gradients = Vec::new();
    let mut snapshots = Vec::with_capacity(recipe.epochs.len());
    for &epochs in &recipe.epochs {
        if epochs > 0 && gradients.is_empty() {
            descent.advance(1)?;
            gradients = parted(&descent.gradients()?, widths, models);
        }
        descent.advance(epochs)?;
        let parameters = parted(&descent.parameters()?, widths, models);
        for (model, parameters) in parameters.iter().enumerate() {
            let wrong = |value: &&f64| !value.is_finite();
            if let Some(&loss) = parameters.tensors().flatten().find(wrong) {
                let epoch = epochs as usize;
                return Err(TrainingError::NotFinite { model, epoch, loss });
            }
        }
        snapshots.push(parameters);
    }
    let all = descent.losses()?;
    let predictions = predict(device, &snapshots.concat(), inputs)?;
    let each = gradients.into_iter().enumerate();
    Ok(each
        .map(|(model, first_gradient)| TrainedModel {
            snapshots: (recipe.epochs.iter().zip(&snapshots).enumerate())
                .filter_map(|(place, (&epochs, parameters))| {
                    Some(Snapshot {
                        epochs,
                        parameters: parameters.get(model)?.clone(),
                        predictions: predictions.get(place * models + model)?.clone(),
                    })
                })
                .collect(),
            losses: all.iter().skip(model).step_by(models).copied().collect(),
            first_gradient,
        })
        .collect())
}
