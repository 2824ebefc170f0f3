//! Latent dynamics of world models under recorded actions: `z' = f(z, a)`.

use super::mlp::{LayerNames, Mlp, MlpError, Nonlinearity, RowView};
use super::{Dynamics, StepTensors};
use crate::formats::ArrayMap;
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorKind};
use crate::orbit::IteratedMap;
use attractor_kernels::Activation;
use attractor_kernels::copy::CopyFloats;
use thiserror::Error;

/// What can be wrong with latent dynamics or their actions.
#[derive(Debug, Error)]
pub enum DynamicsError {
    /// The perceptron.
    #[error(transparent)]
    Mlp(#[from] MlpError),
    /// It does not map a latent and an action to a latent.
    #[error(
        "{file}: latent dynamics: expected at least as many inputs as outputs, found {inputs} and {outputs}"
    )]
    Widths {
        /// File of the weights.
        file: String,
        /// Numbers it takes.
        inputs: usize,
        /// Numbers it gives.
        outputs: usize,
    },
    /// The actions do not fit.
    #[error("actions: expected {expected}, found {found}")]
    Actions {
        /// What they must be.
        expected: String,
        /// What they are.
        found: String,
    },
}

/// A perceptron of latent and action that gives the next latent.
#[derive(Debug, Clone)]
pub struct LatentDynamics {
    mlp: Mlp,
}

impl LatentDynamics {
    /// Dynamics by a perceptron of `[z; a]`.
    ///
    /// # Errors
    /// [`DynamicsError::Widths`] if it takes fewer numbers than it gives.
    pub fn new(mlp: Mlp) -> Result<Self, DynamicsError> {
        let (inputs, outputs) = (mlp.inputs(), mlp.outputs());
        if inputs < outputs {
            return Err(DynamicsError::Widths {
                file: mlp.file().to_string(),
                inputs,
                outputs,
            });
        }
        Ok(Self { mlp })
    }

    /// The dynamics of a TD-MPC2 checkpoint (Hansen, Su, Wang 2024): layers `_dynamics.0`, `_dynamics.1`,
    /// ... with layer norm and Mish, the last with SimNorm in groups of `group` (8 as published).
    ///
    /// # Errors
    /// [`DynamicsError`] naming the tensor that is missing or does not fit.
    pub fn tdmpc2(map: &ArrayMap, group: usize) -> Result<Self, DynamicsError> {
        let prefix = |index: usize| format!("_dynamics.{index}");
        let has = |index: &usize| map.contains(&format!("{}.weight", prefix(*index)));
        let layers = (0..).take_while(has).count().max(1);
        let names: Vec<LayerNames> = (0..layers)
            .map(|index| {
                let nonlinearity = match index + 1 == layers {
                    true => Nonlinearity::SimNorm { group },
                    false => Nonlinearity::Activation(Activation::MISH),
                };
                LayerNames::normed(&prefix(index), nonlinearity)
            })
            .collect();
        Self::new(Mlp::read(map, &names)?)
    }

    /// The perceptron of `[z; a]`.
    pub fn perceptron(&self) -> &Mlp {
        &self.mlp
    }

    /// Numbers of a latent.
    pub fn latent(&self) -> usize {
        self.mlp.outputs()
    }

    /// Numbers of an action.
    pub fn action(&self) -> usize {
        self.mlp.inputs() - self.mlp.outputs()
    }

    /// The dynamics over `batch` examples, each under its own `steps` actions, `[batch, steps, action]`;
    /// an orbit may have that many steps and no more.
    ///
    /// # Errors
    /// [`DynamicsError::Actions`] if they are not as many, not finite, or too many for a kernel.
    pub fn map(
        &self,
        batch: usize,
        steps: usize,
        actions: &[f64],
    ) -> Result<IteratedMap, DynamicsError> {
        let (latent, action, inputs) = (self.latent(), self.action(), self.mlp.inputs());
        self.check(batch, steps, actions)?;
        let mut graph = Graph::new();
        let z = graph.float("state", &[batch, latent], TensorKind::State);
        let input = graph.float("input", &[batch, inputs], TensorKind::Intermediate);
        let (rows, wide) = (size(batch), size(inputs));
        let copy = CopyFloats::strided(
            [1, 1, rows, size(latent)],
            [0, 0, size(latent), 1],
            [0, 0, wide, 1],
        );
        graph.push(Phase::Step, "input", copy, &[Some(z), Some(input)]);
        if action > 0 {
            let shape = [batch, steps, action];
            let table = graph.constant_f64("actions", &shape, actions.to_vec());
            let copy = CopyFloats {
                src_step_stride: size(action),
                dst_offset: size(latent),
                ..CopyFloats::strided(
                    [1, 1, rows, size(action)],
                    [0, 0, size(steps * action), 1],
                    [0, 0, wide, 1],
                )
            };
            let operands = [Some(table), Some(input)];
            graph.push(Phase::Step, "input_action", copy, &operands);
        }
        self.mlp
            .forward(&mut graph, (Phase::Step, ""), batch, input, (z, 0));
        Ok(IteratedMap {
            updates: vec![graph.nodes().len()],
            graph,
            state: z,
            batch,
            dimension: latent,
        })
    }

    /// Adds one step over rows that hold latent and action side by side, `[rows, latent + action]` from
    /// `joint` on; `next` may be their latents, so that nothing is copied from step to step.
    pub fn step_rows(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        joint: RowView,
        next: RowView,
    ) {
        self.mlp.forward_rows(graph, at, rows, joint, next);
    }

    fn check(&self, batch: usize, steps: usize, actions: &[f64]) -> Result<(), DynamicsError> {
        let count = batch
            .checked_mul(steps)
            .and_then(|count| count.checked_mul(self.action()));
        let widest = batch.saturating_mul(self.mlp.inputs());
        let most = u32::MAX as usize;
        let fits = count.is_some_and(|count| count <= most) && widest <= most;
        if batch == 0 || steps == 0 || count != Some(actions.len()) || !fits {
            return Err(DynamicsError::Actions {
                expected: format!(
                    "{batch} x {steps} x {} numbers, at least one example and step",
                    self.action()
                ),
                found: format!("{} numbers", actions.len()),
            });
        }
        match actions.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let row = at / self.action().max(1);
                let (example, step) = (row / steps, row % steps);
                Err(DynamicsError::Actions {
                    expected: "finite numbers".into(),
                    found: format!("another for example {example} at step {step}"),
                })
            }
        }
    }
}

impl Dynamics for LatentDynamics {
    fn state(&self) -> usize {
        self.latent()
    }

    fn action(&self) -> usize {
        Self::action(self)
    }

    fn push(&self, graph: &mut Graph, at: (Phase, &str), rows: usize, tensors: StepTensors) {
        let (phase, label) = at;
        let (latent, action, inputs) = (self.latent(), Self::action(self), self.mlp.inputs());
        let name = format!("{label}joint");
        let joint = graph.float(&name, &[rows, inputs], TensorKind::Intermediate);
        let parts = [(tensors.state, 0, latent), (tensors.action, latent, action)];
        for (tensor, first, width) in parts.into_iter().filter(|(_, _, width)| *width > 0) {
            let copy = CopyFloats {
                dst_offset: size(first),
                ..CopyFloats::strided(
                    [1, 1, size(rows), size(width)],
                    [0, 0, size(width), 1],
                    [0, 0, size(inputs), 1],
                )
            };
            let label = format!("{name}.from{first}");
            graph.push(phase, label, copy, &[Some(tensor), Some(joint)]);
        }
        let next = RowView::of(tensors.next, latent);
        self.step_rows(graph, at, rows, RowView::of(joint, inputs), next);
    }
}
