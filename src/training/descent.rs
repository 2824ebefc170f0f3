//! Gradient descent as an orbit: a step is the loss, its gradients and the optimiser's changes, all on the
//! device.

use super::TrainingError;
use super::optimiser::{AdamSettings, Moments, push_adam};
use crate::device::Device;
use crate::graph::adjoint::{Adjoint, Seed};
use crate::graph::layers::size;
use crate::graph::{Graph, Moment, Phase, Plan, TensorId, TensorKind};
use crate::orbit::{Orbit, OrbitReport};
use attractor_kernels::copy::CopyFloats;
use std::sync::Arc;

/// The training of a batch of models by Adam for a known number of steps. Losses are recorded on the device;
/// between steps parameters may be read.
#[derive(Debug)]
pub struct Descent {
    orbit: Orbit,
    parameters: Vec<TensorId>,
    gradients: Vec<TensorId>,
    moments: Vec<Moments>,
    history: TensorId,
    models: usize,
    steps: u32,
    done: u32,
    moment: Moment,
}

impl Descent {
    /// Compiles the training of `parameters`, of kind [`TensorKind::State`], by the gradients of the sum of
    /// `losses`, `[models]`, which the nodes of `source` make at every step. A model's parameters must not be
    /// read for another's loss.
    ///
    /// # Errors
    /// [`TrainingError`] for no steps, a parameter of another kind or without influence on a loss, for nodes
    /// that have no gradients, and where the graph does not fit the device.
    pub fn new(
        device: &Device,
        source: &Graph,
        losses: TensorId,
        parameters: &[TensorId],
        (settings, steps): (AdamSettings, u32),
    ) -> Result<Self, TrainingError> {
        if steps == 0 {
            return Err(TrainingError::misfit("steps", "at least 1", 0));
        }
        for &id in parameters {
            let tensor = source.tensor(id);
            if tensor.kind != TensorKind::State {
                let what = format!("parameter {}", tensor.name);
                return Err(TrainingError::misfit(
                    what,
                    "a state",
                    format!("{:?}", tensor.kind),
                ));
            }
        }
        let mut graph = source.clone();
        let models = graph.tensor(losses).len();
        let ones = Arc::new(vec![1.0; models]);
        let cotangent = graph.constant("losses.cotangent", &[models], ones);
        let seed = Seed {
            output: losses,
            cotangent,
        };
        let mut adjoint = Adjoint::new(&graph, &[seed], parameters)?;
        let mut gradients = Vec::with_capacity(parameters.len());
        for &id in parameters {
            let Some(gradient) = adjoint.adjoint_of(id) else {
                let what = format!("parameter {}", source.tensor(id).name);
                let found = "no path to the losses";
                return Err(TrainingError::misfit(what, "influence on a loss", found));
            };
            adjoint.graph_mut().keep(gradient);
            gradients.push(gradient);
        }
        let mut graph = adjoint.finish();
        let shape = [steps as usize, models];
        let history = graph.float("losses.history", &shape, TensorKind::Output);
        let record = CopyFloats {
            dst_step_stride: size(models),
            ..CopyFloats::contiguous(size(models))
        };
        let operands = [Some(losses), Some(history)];
        graph.push(Phase::Step, "losses.record", record, &operands);
        let pairs = parameters.iter().copied().zip(gradients.iter().copied());
        let moments = pairs
            .map(|pair| push_adam(&mut graph, Phase::Step, pair, settings))
            .collect();
        let plan = Plan::compile(graph, device)?;
        Ok(Self {
            orbit: Orbit::new(&plan)?,
            parameters: parameters.to_vec(),
            gradients,
            moments,
            history,
            models,
            steps,
            done: 0,
            moment: Moment::default(),
        })
    }

    /// Sets the parameters, in the order they were named, and begins anew.
    ///
    /// # Errors
    /// [`TrainingError`] where their number or that of their elements is not as in the graph.
    pub fn start(&mut self, values: &[Vec<f64>]) -> Result<(), TrainingError> {
        if values.len() != self.parameters.len() {
            let expected = format!("{}", self.parameters.len());
            return Err(TrainingError::misfit("parameters", expected, values.len()));
        }
        for ((&id, moments), values) in self.parameters.iter().zip(&self.moments).zip(values) {
            self.orbit.execution.write_f64(id, values)?;
            let zeros = vec![0.0; values.len()];
            self.orbit.execution.write(moments.first, &zeros)?;
            self.orbit.execution.write(moments.second, &zeros)?;
        }
        self.done = 0;
        Ok(())
    }

    /// Goes on until there have been `until` steps.
    ///
    /// # Errors
    /// [`TrainingError`] for fewer than there have been or more than there may be, from the device, and where
    /// a loss is not finite, naming the first.
    pub fn advance(&mut self, until: u32) -> Result<OrbitReport, TrainingError> {
        if until < self.done || until > self.steps {
            let expected = format!("{} to {}", self.done, self.steps);
            return Err(TrainingError::misfit("steps", expected, until));
        }
        let before = self.done as usize * self.models;
        let report = self.orbit.run_part(self.done..until, &self.moment)?;
        self.done = until;
        for (place, loss) in self.losses()?.into_iter().enumerate().skip(before) {
            if !loss.is_finite() {
                return Err(TrainingError::NotFinite {
                    model: place % self.models,
                    epoch: place / self.models,
                    loss,
                });
            }
        }
        Ok(report)
    }

    /// The parameters, in the order they were named.
    ///
    /// # Errors
    /// [`TrainingError::Graph`] from the device.
    pub fn parameters(&self) -> Result<Vec<Vec<f64>>, TrainingError> {
        self.read(&self.parameters)
    }

    /// The gradients of the last step, in the order of the parameters.
    ///
    /// # Errors
    /// [`TrainingError::Graph`] from the device.
    pub fn gradients(&self) -> Result<Vec<Vec<f64>>, TrainingError> {
        self.read(&self.gradients)
    }

    /// The losses of every step there has been, before its changes: `[steps, models]`.
    ///
    /// # Errors
    /// [`TrainingError::Graph`] from the device.
    pub fn losses(&self) -> Result<Vec<f64>, TrainingError> {
        let mut losses = self.orbit.execution.read_f64(self.history)?;
        losses.truncate((self.done as usize).saturating_mul(self.models));
        Ok(losses)
    }

    fn read(&self, ids: &[TensorId]) -> Result<Vec<Vec<f64>>, TrainingError> {
        let execution = &self.orbit.execution;
        let each = ids.iter().map(|id| Ok(execution.read_f64(*id)?));
        each.collect()
    }
}
