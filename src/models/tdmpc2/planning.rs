//! The networks as a planner asks them: one value function at a time, and the first step of candidates that
//! all begin at the same latent.

use super::{Tdmpc2, Tdmpc2Config, Tdmpc2Error, names};
use crate::formats::ArrayMap;
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::models::mlp::{Layer, Mlp, Nonlinearity, RowView};
use crate::models::weights::{Affine, Weight};
use attractor_kernels::Activation;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::matmul::MatMul;
use std::sync::Arc;

/// Epsilon of the layer norms, PyTorch's.
const EPSILON: f32 = 1e-5;

/// The latents' part of the first layers of reward and dynamics, `[environments, mlp_dim]` each.
#[derive(Debug, Clone, Copy)]
pub struct FirstLayers {
    reward: TensorId,
    dynamics: TensorId,
}

/// Environments and the candidates of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidates {
    /// Environments.
    pub environments: usize,
    /// Candidates of an environment.
    pub each: usize,
}

impl Candidates {
    /// Rows in all.
    pub fn rows(self) -> usize {
        self.environments.saturating_mul(self.each)
    }
}

impl Tdmpc2 {
    /// Adds one of the value functions in training over rows of `[latent, action]`; gives logits
    /// `[rows, bins]`, or `None` if there is no such member. Its weights are constants of its own, so
    /// that members that a step does not ask can be left out of it.
    pub fn q_member(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        joint: RowView,
        member: usize,
    ) -> Option<TensorId> {
        let network = self.members.get(member)?;
        Some(self.logits(graph, at, rows, (network, joint)))
    }

    /// Adds what the first layers of reward and dynamics make of latents alone, `[environments, latent]`.
    pub fn first_layers(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        environments: usize,
        latent: RowView,
    ) -> FirstLayers {
        let mut add = |part: &str, network: &Mlp| {
            let label = format!("{label}{part}.latent");
            let width = self.config.mlp_dim;
            let out = graph.float(&label, &[environments, width], TensorKind::Intermediate);
            if let Some(layer) = network.layers().first() {
                let product = MatMul {
                    k: size(self.config.latent_dim),
                    a_offset: size(latent.offset),
                    a_row_stride: size(latent.stride),
                    ..MatMul::linear(size(environments), size(layer.inputs), size(layer.outputs))
                };
                let (weight, bias) = layer.affine.constants(graph);
                let operands = [latent.tensor, weight, bias].map(Some);
                let operands = [operands, [None, None, Some(out)]].concat();
                graph.push(phase, label, product, &operands);
            }
            out
        };
        FirstLayers {
            reward: add("reward", &self.reward),
            dynamics: add("dynamics", self.dynamics.perceptron()),
        }
    }

    /// Adds the first step of candidates that all begin at their environment's latent: the reward of every
    /// one, whose logits `[rows, bins]` it gives, and its next latent.
    pub fn first_step(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        candidates: Candidates,
        first: FirstLayers,
        action: RowView,
        next: RowView,
    ) -> TensorId {
        let rows = candidates.rows();
        let logits = graph.float(
            format!("{label}reward.logits"),
            &[rows, self.reward.outputs()],
            TensorKind::Intermediate,
        );
        let reward = RowView::of(logits, self.reward.outputs());
        let networks = [
            ("reward", &self.reward, first.reward, reward),
            ("dynamics", self.dynamics.perceptron(), first.dynamics, next),
        ];
        for (part, network, latent, out) in networks {
            let label = format!("{label}{part}.");
            let at = (phase, label.as_str());
            let hidden = self.first_layer(graph, at, candidates, (network, latent), action);
            let rest = (phase, format!("{label}after."));
            network
                .tail(1)
                .forward_rows(graph, (rest.0, &rest.1), rows, hidden, out);
        }
        logits
    }

    /// The first layer of a network: what it makes of the action, added to what it made of the latent.
    fn first_layer(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        candidates: Candidates,
        (network, latent): (&Mlp, TensorId),
        action: RowView,
    ) -> RowView {
        let (rows, width) = (candidates.rows(), self.config.mlp_dim);
        let mut tensor = |name: &str| {
            let shape = [rows, width];
            graph.float(format!("{label}{name}"), &shape, TensorKind::Intermediate)
        };
        let (sum, out) = (tensor("layer0"), tensor("layer0.norm"));
        let Some(layer) = network.layers().first() else {
            return RowView::of(out, width);
        };
        let (each, n) = (size(candidates.each), size(width));
        let product = MatMul {
            batch: size(candidates.environments),
            k: size(self.config.action_dim),
            a_offset: size(action.offset),
            a_batch_stride: size(candidates.each.saturating_mul(action.stride)),
            a_row_stride: size(action.stride),
            b_offset: size(self.config.latent_dim),
            residual_batch_stride: n,
            residual_row_stride: 0,
            flags: MatMul::RESIDUAL,
            ..MatMul::linear(each, size(layer.inputs), n)
        };
        let weight = layer.affine.weight.constant(graph);
        let operands = [
            Some(action.tensor),
            Some(weight),
            None,
            Some(latent),
            None,
            Some(sum),
        ];
        graph.push(phase, format!("{label}layer0"), product, &operands);
        let norm = LayerNorm {
            activation: Activation::MISH,
            ..LayerNorm::contiguous(
                1,
                size(rows),
                n,
                EPSILON,
                LayerNorm::WEIGHT | LayerNorm::BIAS,
            )
        };
        let affine = layer.norm.as_ref();
        let affine = affine.map(|(scale, shift)| (scale.constant(graph), shift.constant(graph)));
        let (scale, shift) = affine.unzip();
        let operands = [Some(sum), scale, shift, None, None, Some(out)];
        graph.push(phase, format!("{label}layer0.norm"), norm, &operands);
        RowView::of(out, width)
    }
}

/// The value functions in training, each a perceptron of its own.
pub(super) fn members(map: &ArrayMap, config: &Tdmpc2Config) -> Result<Vec<Mlp>, Tdmpc2Error> {
    let joint = config.latent_dim + config.action_dim;
    let widths = [joint, config.mlp_dim, config.mlp_dim, config.logits()];
    let mut members: Vec<Vec<Layer>> = vec![Vec::new(); config.num_q];
    for (index, pair) in widths.windows(2).enumerate() {
        let &[inputs, outputs] = pair else { continue };
        let hidden = index + 2 < widths.len();
        let read = |part: &str, shape: &[usize]| {
            let name = format!("{}{index}.{part}", names::ONLINE);
            let all = [&[config.num_q], shape].concat();
            let values = map.expect_finite_f32(&name, &all)?;
            let count = shape.iter().product::<usize>().max(1);
            let own = values.chunks(count).enumerate();
            let own = own.map(|(member, values)| Weight {
                name: format!("{name}[{member}]"),
                shape: shape.to_vec(),
                values: Arc::new(values.to_vec()),
            });
            Ok::<Vec<Weight>, Tdmpc2Error>(own.collect())
        };
        let affine = read("weight", &[outputs, inputs])?
            .into_iter()
            .zip(read("bias", &[outputs])?);
        let mut norms = match hidden {
            true => read("ln.weight", &[outputs])?
                .into_iter()
                .zip(read("ln.bias", &[outputs])?)
                .collect(),
            false => Vec::new(),
        }
        .into_iter();
        for (member, (weight, bias)) in members.iter_mut().zip(affine) {
            member.push(Layer {
                affine: Affine { weight, bias },
                norm: norms.next(),
                nonlinearity: match hidden {
                    true => Nonlinearity::Activation(Activation::MISH),
                    false => Nonlinearity::None,
                },
                inputs,
                outputs,
            });
        }
    }
    let file = map.file().display().to_string();
    let of = |layers| Mlp::of_layers(layers, &file);
    Ok(members.into_iter().map(of).collect())
}
