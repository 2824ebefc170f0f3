//! A planning call as a graph: before the first iteration the encoder and the policy's sequences, at every
//! iteration candidates, their values and the next distribution, after the last the choice.

mod histories;
mod values;

use super::MppiSettings;
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::models::mlp::RowView;
use crate::models::tdmpc2::Tdmpc2;
use crate::orbit::Stream;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::gaussian_policy::GaussianPolicy;
use attractor_kernels::mppi_choose::MppiChoose;
use attractor_kernels::mppi_sample::MppiSample;
use attractor_kernels::mppi_update::MppiUpdate;
use attractor_kernels::philox::{Philox, RandomKind};

/// What a compiled call depends on beside model and settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Form {
    /// Environments.
    pub environments: usize,
    /// Draws come from the host.
    pub replays: bool,
    /// The action is not disturbed.
    pub evaluation: bool,
    /// Every iteration is kept.
    pub record: bool,
}

/// Tensors that draws are written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replayed {
    pub policy: Option<TensorId>,
    pub samples: Option<TensorId>,
    pub value: TensorId,
    pub exponential: TensorId,
    pub action: Option<TensorId>,
}

/// Tensors that every iteration is kept in, `[I, ...]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Histories {
    pub value: TensorId,
    pub elite: TensorId,
    pub score: TensorId,
    pub mean: TensorId,
    pub deviation: TensorId,
    pub actions: TensorId,
}

/// What the host writes and reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensors {
    pub observation: TensorId,
    pub mean: TensorId,
    pub deviation: TensorId,
    pub pairs: TensorId,
    pub replayed: Option<Replayed>,
    pub value: TensorId,
    /// Values of every iteration as the model gives them `[I, E, N]`, before the update replaces those that are
    /// no finite numbers: afterwards a failure could not be told from a value of zero.
    pub raw: TensorId,
    pub elite: TensorId,
    pub action: TensorId,
    pub chosen: TensorId,
    pub histories: Option<Histories>,
}

/// Where an iteration's draws lie: step s begins s strides in.
#[derive(Debug, Clone, Copy)]
struct Noise {
    tensor: TensorId,
    step_stride: usize,
}

/// Prefix of the labels of a value function's nodes, which a step without it leaves out.
pub(super) fn member_label(member: usize) -> String {
    format!("member{member}.")
}

/// Builds the graph of a call.
pub(super) struct Builder<'a> {
    graph: Graph,
    model: &'a Tdmpc2,
    settings: &'a MppiSettings,
    form: Form,
}

impl<'a> Builder<'a> {
    pub fn new(model: &'a Tdmpc2, settings: &'a MppiSettings, form: Form) -> Self {
        Self {
            graph: Graph::new(),
            model,
            settings,
            form,
        }
    }

    /// The whole call.
    pub fn build(mut self) -> (Graph, Tensors) {
        let (environments, rounds) = (self.form.environments, self.settings.iterations);
        let config = self.model.config();
        let (samples, elites) = (self.settings.samples, self.settings.elites);
        let (length, width) = (self.settings.length(config), config.action_dim);
        let shape = [environments, self.settings.horizon, width];
        let candidates = [environments, samples, length];
        let float =
            |graph: &mut Graph, name: &str, shape: &[usize], kind| graph.float(name, shape, kind);
        let g = &mut self.graph;
        let observation = float(
            g,
            "observation",
            &[environments, config.obs_dim],
            TensorKind::Input,
        );
        let mean = float(g, "mean", &shape, TensorKind::State);
        let deviation = float(g, "deviation", &shape, TensorKind::State);
        let value = float(g, "value", &[environments, samples], TensorKind::Output);
        let score = float(g, "score", &[environments, elites], TensorKind::Output);
        let actions = float(g, "actions", &candidates, TensorKind::Output);
        let action = float(g, "action", &[environments, width], TensorKind::Output);
        let pairs = g.word("pairs", &[rounds, 2], TensorKind::Input);
        let elite = g.word("elite", &[environments, elites], TensorKind::Output);
        let chosen = g.word("chosen", &[environments], TensorKind::Output);
        let replayed = self.form.replays.then(|| self.replayed());
        let latent = self.encode(observation);
        let policy = self.policies(latent, replayed.and_then(|draws| draws.policy));
        self.sample((policy, mean, deviation, actions), replayed);
        self.values(latent, actions, (pairs, value), replayed);
        let raw = self.history("raw", value);
        self.update([value, actions, mean, deviation, elite, score]);
        let histories = self.form.record.then(|| Histories {
            value: self.history("value", value),
            elite: self.word_history("elite", elite),
            score: self.history("score", score),
            mean: self.history("mean", mean),
            deviation: self.history("deviation", deviation),
            actions: self.history("actions", actions),
        });
        self.choose([score, elite, actions, deviation, action, chosen], replayed);
        let tensors = Tensors {
            observation,
            mean,
            deviation,
            pairs,
            replayed,
            value,
            raw,
            elite,
            action,
            chosen,
            histories,
        };
        (self.graph, tensors)
    }

    fn intermediate(&mut self, name: &str, shape: &[usize]) -> TensorId {
        self.graph.float(name, shape, TensorKind::Intermediate)
    }

    fn replayed(&mut self) -> Replayed {
        let (environments, settings) = (self.form.environments, *self.settings);
        let action = self.model.config().action_dim;
        let length = settings.length(self.model.config());
        let drawn = settings.samples - settings.policies;
        let mut input = |name: &str, shape: &[usize]| {
            let name = format!("draws.{name}");
            self.graph.float(name, shape, TensorKind::Input)
        };
        let rounds = settings.iterations;
        Replayed {
            policy: (settings.policies > 0)
                .then(|| input("policy", &[environments, settings.policies, length])),
            samples: (drawn > 0).then(|| input("samples", &[rounds, environments, drawn, length])),
            value: input("value", &[rounds, environments, settings.samples, action]),
            exponential: input("exponential", &[environments, settings.elites]),
            action: (!self.form.evaluation).then(|| input("action", &[environments, action])),
        }
    }

    /// Draws of a phase, `[environments, width]`: recorded, of all iterations, or made on the spot.
    fn noise(
        &mut self,
        (phase, stream, kind): (Phase, Stream, RandomKind),
        width: usize,
        replayed: Option<TensorId>,
    ) -> Noise {
        let environments = self.form.environments;
        if let Some(tensor) = replayed {
            let all = environments.saturating_mul(width);
            let step_stride = if phase == Phase::Step { all } else { 0 };
            return Noise {
                tensor,
                step_stride,
            };
        }
        let name = format!("noise.{stream:?}");
        let tensor = self.intermediate(&name, &[environments, width]);
        let kernel = Philox::new(kind, size(environments), size(width), 0, stream.index());
        self.graph.push(phase, name, kernel, &[Some(tensor)]);
        Noise {
            tensor,
            step_stride: 0,
        }
    }

    /// Latents of the observations, `[environments, latent]`.
    fn encode(&mut self, observation: TensorId) -> RowView {
        let config = self.model.config();
        let (environments, latent) = (self.form.environments, config.latent_dim);
        let out = self.intermediate("latent", &[environments, latent]);
        let out = RowView::of(out, latent);
        let observation = RowView::of(observation, config.obs_dim);
        let at = (Phase::Once, "encoder.");
        self.model
            .encode(&mut self.graph, at, environments, observation, out);
        out
    }

    /// Actions of the policy at `rows` latents, into rows of `out`.
    fn act(
        &mut self,
        (phase, label): (Phase, &str),
        rows: usize,
        latent: RowView,
        (noise, first, stride): (Noise, usize, usize),
        out: RowView,
    ) {
        let policy = format!("{label}policy.");
        let logits = self
            .model
            .policy(&mut self.graph, (phase, &policy), rows, latent);
        let config = self.model.config();
        let mut kernel = GaussianPolicy {
            eps_offset: size(first),
            eps_row_stride: size(stride),
            eps_step_stride: size(noise.step_stride),
            action_offset: size(out.offset),
            action_row_stride: size(out.stride),
            log_std_min: config.log_std_min as f32,
            log_std_dif: (config.log_std_max - config.log_std_min) as f32,
            ..GaussianPolicy::sample(size(rows), size(config.action_dim))
        };
        let mask = self.model.action_mask().map(|mask| {
            kernel.flags |= GaussianPolicy::MASK;
            self.graph.find("action_mask").unwrap_or_else(|| {
                let values = std::sync::Arc::new(mask.to_vec());
                self.graph.constant("action_mask", &[mask.len()], values)
            })
        });
        let operands = [Some(logits), Some(noise.tensor), mask, Some(out.tensor)];
        let operands = [&operands[..], &[None; 3]].concat();
        self.graph
            .push(phase, format!("{label}action"), kernel, &operands);
    }

    /// Copies one step of sequences `[rows, length]` beside the latents.
    fn place(
        &mut self,
        (phase, label): (Phase, &str),
        rows: usize,
        (actions, step): (RowView, usize),
        joint: RowView,
    ) {
        let config = self.model.config();
        let width = config.action_dim;
        let copy = CopyFloats {
            src_offset: size(actions.offset + step * width),
            dst_offset: size(joint.offset + config.latent_dim),
            ..CopyFloats::strided(
                [1, 1, size(rows), size(width)],
                [0, 0, size(actions.stride), 1],
                [0, 0, size(joint.stride), 1],
            )
        };
        let operands = [Some(actions.tensor), Some(joint.tensor)];
        self.graph
            .push(phase, format!("{label}place"), copy, &operands);
    }

    /// The policy's own sequences, `[environments, policies, length]`, where there are any.
    fn policies(&mut self, latent: RowView, replayed: Option<TensorId>) -> Option<TensorId> {
        let (environments, each) = (self.form.environments, self.settings.policies);
        if each == 0 {
            return None;
        }
        let model = self.model;
        let config = model.config();
        let (width, joint) = (config.action_dim, model.joint());
        let length = self.settings.length(config);
        let rows = environments.saturating_mul(each);
        let drawn = (Phase::Once, Stream::MppiPolicy, RandomKind::NORMAL);
        let noise = self.noise(drawn, each.saturating_mul(length), replayed);
        let policy = self.intermediate("policy", &[environments, each, length]);
        let sequences = RowView::of(policy, length);
        let rows_of = self.intermediate("policy.joint", &[rows, joint]);
        let rows_of = RowView::of(rows_of, joint);
        let (all, n) = (size(config.latent_dim), size(each));
        let spread = CopyFloats::strided(
            [1, size(environments), n, all],
            [0, size(latent.stride), 0, 1],
            [0, n.saturating_mul(size(joint)), size(joint), 1],
        );
        let operands = [Some(latent.tensor), Some(rows_of.tensor)];
        self.graph
            .push(Phase::Once, "policy.latent", spread, &operands);
        for step in 0..self.settings.horizon {
            let label = format!("rollout{step}.");
            let at = (Phase::Once, label.as_str());
            let own = (noise, step * width, length);
            self.act(at, rows, rows_of, own, sequences.from_column(step * width));
            if step + 1 < self.settings.horizon {
                self.place(at, rows, (sequences, step), rows_of);
                let label = format!("{label}dynamics.");
                model.dynamics(
                    &mut self.graph,
                    (Phase::Once, &label),
                    rows,
                    rows_of,
                    rows_of,
                );
            }
        }
        Some(policy)
    }

    fn sample(
        &mut self,
        (policy, mean, deviation, actions): (Option<TensorId>, TensorId, TensorId, TensorId),
        replayed: Option<Replayed>,
    ) {
        let length = self.settings.length(self.model.config());
        let environments = self.form.environments;
        let drawn = self.settings.samples - self.settings.policies;
        let width = drawn.saturating_mul(length);
        let noise = (drawn > 0).then(|| {
            let kind = (Phase::Step, Stream::MppiSamples, RandomKind::NORMAL);
            let noise = self.noise(kind, width, replayed.and_then(|draws| draws.samples));
            if noise.step_stride == 0 {
                return noise.tensor;
            }
            let own = self.intermediate("noise.samples", &[environments, drawn, length]);
            let copy = CopyFloats {
                src_step_stride: size(noise.step_stride),
                ..CopyFloats::contiguous(size(noise.step_stride))
            };
            let operands = [Some(noise.tensor), Some(own)];
            self.graph
                .push(Phase::Step, "noise.samples", copy, &operands);
            own
        });
        let kernel = MppiSample {
            environments: size(environments),
            candidates: size(self.settings.samples),
            policies: size(self.settings.policies),
            length: size(length),
        };
        let operands = [policy, Some(mean), Some(deviation), noise, Some(actions)];
        self.graph.push(Phase::Step, "sample", kernel, &operands);
    }

    fn update(&mut self, operands: [TensorId; 6]) {
        let settings = self.settings;
        let kernel = MppiUpdate {
            environments: size(self.form.environments),
            candidates: size(settings.samples),
            elites: size(settings.elites),
            length: size(settings.length(self.model.config())),
            temperature: settings.temperature as f32,
            least: settings.least_deviation as f32,
            most: settings.largest_deviation as f32,
        };
        let operands = operands.map(Some);
        self.graph.push(Phase::Step, "update", kernel, &operands);
    }

    fn choose(
        &mut self,
        [score, elite, actions, deviation, action, chosen]: [TensorId; 6],
        replayed: Option<Replayed>,
    ) {
        let config = self.model.config();
        let elites = self.settings.elites;
        let drawn = (Phase::Final, Stream::MppiChoice, RandomKind::EXPONENTIAL);
        let exponential = self.noise(drawn, elites, replayed.map(|draws| draws.exponential));
        let noise = (!self.form.evaluation).then(|| {
            let drawn = (Phase::Final, Stream::MppiAction, RandomKind::NORMAL);
            let replayed = replayed.and_then(|draws| draws.action);
            self.noise(drawn, config.action_dim, replayed).tensor
        });
        let kernel = MppiChoose {
            environments: size(self.form.environments),
            candidates: size(self.settings.samples),
            elites: size(elites),
            length: size(self.settings.length(config)),
            width: size(config.action_dim),
            flags: if noise.is_some() {
                MppiChoose::NOISE
            } else {
                0
            },
        };
        let operands = [
            Some(score),
            Some(exponential.tensor),
            Some(elite),
            Some(actions),
            noise.map(|_| deviation),
            noise,
            Some(action),
            Some(chosen),
        ];
        self.graph.push(Phase::Final, "choose", kernel, &operands);
    }
}
