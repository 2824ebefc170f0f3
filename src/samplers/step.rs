//! The nodes of one denoising step beside the network: draw, choose, commit, mask again, record.

use super::observations::Trace;
use super::{RemaskStrategy, SamplerKind, SamplerSettings, StepTables};
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::orbit::Stream;
use attractor_kernels::categorical::{Categorical, TokenMode};
use attractor_kernels::copy::{CopyFloats, CopyWords};
use attractor_kernels::philox::{Philox, RandomKind};
use attractor_kernels::physics_override::PhysicsOverride;
use attractor_kernels::remask_bernoulli::RemaskBernoulli;
use attractor_kernels::unmask_top::{self, UnmaskTop};
use attractor_kernels::{AnyKernel, Element};

/// Shape of the sequences a sampler works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SequenceShape {
    pub batch: usize,
    pub length: usize,
    pub actions: usize,
}

/// Options of a compiled sampler that change its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepOptions {
    /// Steps in the tables and histories.
    pub steps: usize,
    /// Random numbers come from the host.
    pub replay: bool,
    /// What every step did is kept.
    pub record: bool,
}

/// Tensors of a sampler in a graph.
#[derive(Debug, Clone)]
pub(super) struct StepTensors {
    /// State `[batch, L]`.
    pub tokens: TensorId,
    /// State `[batch, L]` of `remdm_bernoulli`.
    pub psi: Option<TensorId>,
    /// Input: rows of the schedule.
    pub schedule: TensorId,
    /// Input `[batch]`: lengths of locked prefixes.
    pub locked: TensorId,
    /// Input `[batch, 4]`: hazards next to the agent.
    pub hazards: Option<TensorId>,
    /// Inputs when replaying: `[K, batch, L, 2]` and `[K, batch, 1 or 2, L]`.
    pub categorical_draws: Option<TensorId>,
    pub step_draws: Option<TensorId>,
    /// Histories by name, `[K, batch, ...]`.
    pub histories: Vec<(String, TensorId)>,
}

/// Builds the sampler's nodes around a network. First the state is made ([`StepBuilder::begin`]), then
/// the caller builds the network over `tokens`, then the step is finished over its logits.
pub(super) struct StepBuilder<'a> {
    pub graph: &'a mut Graph,
    pub settings: &'a SamplerSettings,
    pub shape: SequenceShape,
    pub options: StepOptions,
    pub tensors: StepTensors,
}

impl<'a> StepBuilder<'a> {
    /// Adds the state and the inputs of a sampler.
    pub fn begin(
        graph: &'a mut Graph,
        settings: &'a SamplerSettings,
        shape: SequenceShape,
        options: StepOptions,
        tables: &StepTables,
    ) -> Self {
        let SequenceShape { batch, length, .. } = shape;
        let tokens = graph.word("tokens", &[batch, length], TensorKind::State);
        let schedule = graph.float(
            "schedule",
            &[options.steps, tables.columns],
            TensorKind::Input,
        );
        let locked = graph.word("locked", &[batch], TensorKind::Input);
        let bernoulli = settings.sampler == SamplerKind::RemdmBernoulli;
        let psi = bernoulli.then(|| graph.float("psi", &[batch, length], TensorKind::State));
        let hazards = settings
            .physics_aware
            .then(|| graph.word("hazards", &[batch, 4], TensorKind::Input));
        let stochastic = settings.sampler != SamplerKind::Greedy;
        let steps = options.steps;
        let replay = options.replay && stochastic;
        let pair = [steps, batch, length, 2];
        let halves = if bernoulli { 2 } else { 1 };
        let categorical_draws =
            replay.then(|| graph.float("draws.categorical", &pair, TensorKind::Input));
        let step_draws = replay.then(|| {
            graph.float(
                "draws.step",
                &[steps, batch, halves, length],
                TensorKind::Input,
            )
        });
        Self {
            graph,
            settings,
            shape,
            options,
            tensors: StepTensors {
                tokens,
                psi,
                schedule,
                locked,
                hazards,
                categorical_draws,
                step_draws,
                histories: Vec::new(),
            },
        }
    }

    fn positions(&self) -> usize {
        self.shape.batch * self.shape.length
    }

    fn push(&mut self, label: &str, kernel: impl Into<AnyKernel>, operands: &[Option<TensorId>]) {
        self.graph.push(Phase::Step, label, kernel, operands);
    }

    /// Records `tensor` as it is at this point of the step, if recording.
    pub fn record(&mut self, name: &str, tensor: TensorId) {
        if !self.options.record {
            return;
        }
        let source = self.graph.tensor(tensor).clone();
        let mut shape = vec![self.options.steps];
        shape.extend(&source.shape);
        let label = format!("record.{name}");
        let count = size(source.len());
        let history = match source.element {
            Element::Float => {
                let history =
                    self.graph
                        .float(format!("history.{name}"), &shape, TensorKind::Output);
                let kernel = CopyFloats {
                    dst_step_stride: count,
                    ..CopyFloats::contiguous(count)
                };
                self.push(&label, kernel, &[Some(tensor), Some(history)]);
                history
            }
            Element::Word => {
                let history =
                    self.graph
                        .word(format!("history.{name}"), &shape, TensorKind::Output);
                let kernel = CopyWords {
                    dst_step_stride: count,
                    ..CopyWords::contiguous(count)
                };
                self.push(&label, kernel, &[Some(tensor), Some(history)]);
                history
            }
        };
        self.tensors.histories.push((name.to_string(), history));
    }

    /// Uniforms of a step: drawn, or taken from the host's.
    fn uniforms(
        &mut self,
        name: &str,
        shape: &[usize],
        draws: Option<TensorId>,
        kernel: Philox,
    ) -> TensorId {
        let out = self.graph.float(name, shape, TensorKind::Intermediate);
        match draws {
            None => self.push(name, kernel, &[Some(out)]),
            Some(draws) => {
                let count = size(shape.iter().product());
                let copy = CopyFloats {
                    src_step_stride: count,
                    ..CopyFloats::contiguous(count)
                };
                self.push(name, copy, &[Some(draws), Some(out)]);
            }
        }
        out
    }

    /// Adds the rest of the step over the network's logits `[batch, L, A]`.
    pub fn finish(mut self, logits: TensorId) -> StepTensors {
        self.record("logits", logits);
        self.record("tokens_in", self.tensors.tokens);
        let (prediction, confidence) = self.choose(logits);
        if let Some(hazards) = self.tensors.hazards {
            let kernel = PhysicsOverride::minihack(size(self.shape.batch), size(self.shape.length));
            self.push(
                "physics",
                kernel,
                &[Some(prediction), Some(hazards), Some(confidence)],
            );
        }
        self.record("prediction", prediction);
        self.record("confidence", confidence);
        match self.settings.sampler {
            SamplerKind::RemdmBernoulli => self.bernoulli(prediction, confidence),
            _ => self.unmask_top(prediction, confidence),
        }
        self.record("tokens_out", self.tensors.tokens);
        self.tensors
    }

    /// A token and its confidence for every position.
    fn choose(&mut self, logits: TensorId) -> (TensorId, TensorId) {
        let SequenceShape {
            batch,
            length,
            actions,
        } = self.shape;
        let (rows, vocabulary) = (size(self.positions()), size(actions));
        let settings = self.settings;
        let mode = match settings.sampler {
            SamplerKind::RemdmBernoulli => TokenMode::SAMPLE_RAW_CONFIDENCE,
            _ => TokenMode::SAMPLE_FILTERED_CONFIDENCE,
        };
        let greedy = settings.sampler == SamplerKind::Greedy;
        let mut kernel = if greedy {
            Categorical::greedy(rows, vocabulary)
        } else {
            Categorical {
                top_k: settings.top_k,
                top_p: settings.top_p,
                ..Categorical::sample(rows, vocabulary, settings.temperature, mode)
            }
        };
        let uniforms = (!greedy).then(|| {
            let fill = Philox::new(
                RandomKind::UNIFORM_PAIR,
                size(batch),
                size(length),
                0,
                Stream::Categorical.index(),
            );
            let draws = self.tensors.categorical_draws;
            self.uniforms("uniforms.categorical", &[batch, length, 2], draws, fill)
        });
        let prediction = self
            .graph
            .word("prediction", &[batch, length], TensorKind::Intermediate);
        let confidence = self
            .graph
            .float("confidence", &[batch, length], TensorKind::Intermediate);
        let probabilities = self.options.record.then(|| {
            kernel.flags |= Categorical::PROBABILITIES;
            let shape = [batch, length, actions];
            self.graph
                .float("probabilities", &shape, TensorKind::Intermediate)
        });
        let operands = [
            Some(logits),
            uniforms,
            Some(prediction),
            Some(confidence),
            probabilities,
        ];
        self.push("categorical", kernel, &operands);
        if let Some(probabilities) = probabilities {
            self.record("probabilities", probabilities);
        }
        (prediction, confidence)
    }

    /// Greedy and R1: commit the most confident, then mask some again.
    fn unmask_top(&mut self, prediction: TensorId, confidence: TensorId) {
        let SequenceShape {
            batch,
            length,
            actions,
        } = self.shape;
        let mut kernel = UnmaskTop::greedy(
            size(batch),
            size(length),
            size(actions),
            size(self.options.steps),
        );
        kernel.flags |= UnmaskTop::LOCKED;
        let remasks = self.settings.sampler == SamplerKind::MaskgitRemask;
        let uniforms = remasks.then(|| {
            let fill = Philox::new(
                RandomKind::UNIFORM,
                size(batch),
                size(length),
                0,
                Stream::Remask.index(),
            );
            let draws = self.tensors.step_draws;
            self.uniforms("uniforms.remask", &[batch, length], draws, fill)
        });
        if remasks {
            kernel = kernel.with_remasking(match self.settings.strategy {
                RemaskStrategy::Conf => unmask_top::RemaskStrategy::CONFIDENCE,
                _ => unmask_top::RemaskStrategy::CONSTANT,
            });
        }
        let record = self.options.record;
        let decision = record.then(|| {
            kernel.flags |= UnmaskTop::DECISION;
            self.graph
                .word("decision", &[batch, length], TensorKind::Intermediate)
        });
        let probability = (record && remasks).then(|| {
            kernel.flags |= UnmaskTop::REMASK_PROBABILITY;
            self.graph.float(
                "remask_probability",
                &[batch, length],
                TensorKind::Intermediate,
            )
        });
        let operands = [
            Some(self.tensors.tokens),
            Some(prediction),
            Some(confidence),
            Some(self.tensors.schedule),
            uniforms,
            Some(self.tensors.locked),
            decision,
            probability,
        ];
        self.push("unmask_top", kernel, &operands);
        for (name, tensor) in [("decision", decision), ("remask_probability", probability)] {
            if let Some(tensor) = tensor {
                self.record(name, tensor);
            }
        }
    }

    /// R2: independent draws decide what is committed and what is masked again.
    fn bernoulli(&mut self, prediction: TensorId, confidence: TensorId) {
        let SequenceShape {
            batch,
            length,
            actions,
        } = self.shape;
        let Some(psi) = self.tensors.psi else { return };
        self.record("psi_in", psi);
        let fill = Philox::new(
            RandomKind::UNIFORM,
            size(batch),
            size(2 * length),
            0,
            Stream::Unmask.index(),
        );
        let draws = self.tensors.step_draws;
        let uniforms = self.uniforms("uniforms.step", &[batch, 2, length], draws, fill);
        let strategy = match self.settings.strategy {
            RemaskStrategy::Conf => unmask_top::RemaskStrategy::CONFIDENCE,
            _ => unmask_top::RemaskStrategy::CONSTANT,
        };
        let mut kernel = RemaskBernoulli::new(
            size(batch),
            size(length),
            size(actions),
            size(self.options.steps),
            strategy,
        );
        kernel.flags |= RemaskBernoulli::LOCKED;
        let trace = self.options.record.then(|| {
            kernel.flags |= RemaskBernoulli::TRACE;
            self.graph
                .float("trace", &[3, batch, length], TensorKind::Intermediate)
        });
        let operands = [
            Some(self.tensors.tokens),
            Some(psi),
            Some(prediction),
            Some(confidence),
            Some(uniforms),
            Some(self.tensors.schedule),
            Some(self.tensors.locked),
            trace,
        ];
        self.push("remask_bernoulli", kernel, &operands);
        if let Some(trace) = trace {
            self.record("trace", trace);
        }
    }
}

/// Splits the history `trace` `[K, 3, N, L]` of `remask_bernoulli` into its three quantities.
pub(super) fn split_trace(trace: &mut Trace) {
    let Some(joint) = trace.remove("trace") else {
        return;
    };
    let [steps, _, batch, length] = joint.shape[..] else {
        return;
    };
    let part = batch * length;
    for (index, name) in ["sigma", "unmask_probability", "decision"]
        .into_iter()
        .enumerate()
    {
        let values = (0..steps)
            .flat_map(|step| {
                joint.values[(step * 3 + index) * part..][..part]
                    .iter()
                    .copied()
            })
            .collect();
        let recorded = super::observations::Recorded {
            shape: vec![steps, batch, length],
            values,
        };
        trace.insert(name.to_string(), recorded);
    }
}
