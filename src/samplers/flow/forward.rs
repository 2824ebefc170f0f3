//! One evaluation of a decoder, and of a regression head, outside any solver.

use super::FlowSampler;
use super::error::{FlowError, refuse};
use crate::device::Device;
use crate::formats::ArrayMap;
use crate::graph::{Graph, Moment, Phase, Plan, TensorId, TensorKind};
use crate::models::field::{Evaluation, Time, Times, VelocityField};
use crate::models::flow::{
    DecoderConfig, DecoderWeights, FlowBatch, VelocityDecoder, regression, time_features,
};
use crate::orbit::Orbit;
use crate::samplers::Recorded;
use std::collections::BTreeMap;

/// Rows of one run.
const RUN_ROWS: usize = 1024;

/// States to evaluate the velocity at.
#[derive(Debug, Clone, Copy)]
pub struct VelocityRequest<'a> {
    /// Condition tokens `[frames, S, Dc]`.
    pub conditions: &'a [f32],
    /// Frames.
    pub frames: usize,
    /// States a frame.
    pub draws: usize,
    /// States `[frames, draws, H, A]`, model space.
    pub x: &'a [f32],
    /// Flow time of every state, `[frames * draws]`, in `[0, 1]`.
    pub times: &'a [f64],
}

impl VelocityRequest<'_> {
    fn check(&self, config: &DecoderConfig) -> Result<(), FlowError> {
        let rows = self.frames.saturating_mul(self.draws);
        if rows == 0 {
            return Err(refuse("states", "at least 1", 0));
        }
        let width = config.tokens * config.cond_dim;
        for (what, expected, found) in [
            (
                "conditions",
                self.frames.saturating_mul(width),
                self.conditions.len(),
            ),
            ("states", rows.saturating_mul(config.chunk()), self.x.len()),
            ("times", rows, self.times.len()),
        ] {
            if expected != found {
                return Err(refuse(what, format!("{expected} numbers"), found));
            }
        }
        match self.times.iter().find(|t| !(0.0..=1.0).contains(*t)) {
            Some(time) => Err(refuse("times", "numbers in [0, 1]", time)),
            None => Ok(()),
        }
    }
}

/// A graph for one evaluation.
struct Single {
    plan: Plan,
    conditions: TensorId,
    features: TensorId,
    x: TensorId,
    velocity: TensorId,
    recorded: Vec<(String, TensorId)>,
}

impl FlowSampler {
    /// The velocity at given states and times, `[frames, draws, H, A]`.
    ///
    /// # Errors
    /// [`FlowError`]: parts of the request that do not fit, a device's limit or loss.
    pub fn velocity(&self, request: &VelocityRequest<'_>) -> Result<Vec<f64>, FlowError> {
        request.check(self.config())?;
        let config = self.config();
        let (chunk, width) = (config.chunk(), config.tokens * config.cond_dim);
        let part = request.draws.min(RUN_ROWS);
        let single = self.single(
            FlowBatch {
                frames: 1,
                draws: part,
            },
            false,
        )?;
        let mut orbit = Orbit::new(&single.plan)?;
        let mut velocities = Vec::with_capacity(request.x.len());
        for frame in 0..request.frames {
            let conditions = &request.conditions[frame * width..(frame + 1) * width];
            for first in (0..request.draws).step_by(part) {
                let row = frame * request.draws + first;
                let rows = part.min(request.draws - first);
                let mut x = request.x[row * chunk..(row + rows) * chunk].to_vec();
                x.resize(part * chunk, 0.0);
                let mut times = request.times[row..row + rows].to_vec();
                times.resize(part, 0.0);
                let values = run(&mut orbit, &single, config, (conditions, &x, &times))?;
                velocities.extend_from_slice(&values[..rows * chunk]);
            }
        }
        Ok(velocities)
    }

    /// The velocity of one state a frame with every intermediate: `context` (where conditions are
    /// projected), `time_embedding`, `tokens`, and for each block i `l{i}.cross_weights`, `after_cross`,
    /// `self_weights`, `after_self`, `after_mlp`.
    ///
    /// # Errors
    /// As [`FlowSampler::velocity`].
    pub fn intermediates(
        &self,
        request: &VelocityRequest<'_>,
    ) -> Result<(Vec<f64>, BTreeMap<String, Recorded>), FlowError> {
        request.check(self.config())?;
        let batch = FlowBatch {
            frames: request.frames,
            draws: request.draws,
        };
        let single = self.single(batch, true)?;
        let mut orbit = Orbit::new(&single.plan)?;
        let inputs = (request.conditions, request.x, request.times);
        let velocity = run(&mut orbit, &single, self.config(), inputs)?;
        let mut recorded = BTreeMap::new();
        for (name, id) in &single.recorded {
            let shape = single.plan.graph().tensor(*id).shape.clone();
            let values = orbit.execution.read_f64(*id)?;
            recorded.insert(name.clone(), Recorded { shape, values });
        }
        Ok((velocity, recorded))
    }

    fn single(&self, batch: FlowBatch, record: bool) -> Result<Single, FlowError> {
        let mut graph = Graph::new();
        let decoder = VelocityDecoder::new(self.config(), self.weights(), batch, record);
        let mut decoder =
            decoder.ok_or_else(|| refuse("weights", "a velocity decoder", "a regression head"))?;
        let (rows, width) = (decoder.rows(), decoder.width());
        decoder.prepare(&mut graph, Times::Scheduled(rows));
        let x = graph.float("in.x", &[rows, width], TensorKind::Input);
        let velocity = graph.float("out.velocity", &[rows, width], TensorKind::Output);
        let evaluation = Evaluation {
            phase: Phase::Step,
            label: "",
            x,
            time: Time::EntryOfRow,
            out: velocity,
            out_offset: 0,
        };
        decoder.velocity(&mut graph, &evaluation);
        let missing = || refuse("decoder", "inputs", "none");
        let (conditions, features) = (decoder.conditions(), decoder.features());
        let recorded = decoder.recorded().to_vec();
        Ok(Single {
            conditions: conditions.ok_or_else(missing)?,
            features: features.ok_or_else(missing)?,
            plan: Plan::compile(graph, self.device())?,
            x,
            velocity,
            recorded,
        })
    }
}

fn run(
    orbit: &mut Orbit,
    single: &Single,
    config: &DecoderConfig,
    (conditions, x, times): (&[f32], &[f32], &[f64]),
) -> Result<Vec<f64>, FlowError> {
    let execution = &mut orbit.execution;
    execution.write(single.conditions, conditions)?;
    execution.write(single.features, &time_features(config, times))?;
    execution.write(single.x, x)?;
    orbit.run(1, &Moment::default())?;
    Ok(orbit.execution.read_f64(single.velocity)?)
}

/// A trained regression head on a device: one action chunk a frame, in one forward pass.
#[derive(Debug)]
pub struct RegressionHead {
    config: DecoderConfig,
    weights: DecoderWeights,
    device: Device,
}

impl RegressionHead {
    /// A head of shape `config` with weights from a state dict.
    ///
    /// # Errors
    /// [`FlowError`] naming the key or tensor that does not fit.
    pub fn new(
        config: DecoderConfig,
        weights: &ArrayMap,
        device: &Device,
    ) -> Result<Self, FlowError> {
        config.check("configuration")?;
        Ok(Self {
            weights: DecoderWeights::regression(&config, weights)?,
            config,
            device: device.clone(),
        })
    }

    /// Shape of the model.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Action chunks `[frames, H, A]`, model space, for conditions `[frames, S, Dc]`.
    ///
    /// # Errors
    /// [`FlowError`]: conditions that do not fit, a device's limit or loss.
    pub fn predict(&self, conditions: &[f32], frames: usize) -> Result<Vec<f64>, FlowError> {
        let width = self.config.tokens * self.config.cond_dim;
        if frames == 0 || conditions.len() != frames.saturating_mul(width) {
            let expected = format!("{frames} frames of {width} numbers, at least one");
            return Err(refuse("conditions", expected, conditions.len()));
        }
        let part = frames.min(RUN_ROWS);
        let mut graph = Graph::new();
        let tensors = regression(&mut graph, &self.config, &self.weights, part)
            .ok_or_else(|| refuse("weights", "a regression head", "a velocity decoder"))?;
        let plan = Plan::compile(graph, &self.device)?;
        let mut orbit = Orbit::new(&plan)?;
        let mut actions = Vec::new();
        for rows in conditions.chunks(part * width) {
            let mut padded = rows.to_vec();
            padded.resize(part * width, 0.0);
            orbit.execution.write(tensors.conditions, &padded)?;
            orbit.run(1, &Moment::default())?;
            let values = orbit.execution.read_f64(tensors.actions)?;
            actions.extend_from_slice(&values[..rows.len() / width * self.config.chunk()]);
        }
        Ok(actions)
    }
}
