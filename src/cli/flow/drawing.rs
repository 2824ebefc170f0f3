//! From conditions to raw draws and to the one chunk that is driven: what `predict` and `evaluate` share.

use super::draw::{NoiseArguments, SolverArguments, in_source, noise_of};
use super::model::Policy;
use super::source::Source;
use crate::cli::exit::Usage;
use anyhow::Result;
use attractor::analysis::flow::{Draws, ModeRule, Readout, read_out};
use attractor::device::Device;
use attractor::models::flow::actions::ActionTransform;
use attractor::models::flow::ranker::{CompiledRanker, Ranker};
use attractor::samplers::flow::{FlowRequest, FlowSampler, Noise, RegressionHead, Solver};
use std::path::Path;

/// Frames of a batch: enough to fill the device, few enough to bound the memory and to show progress.
pub const BATCH_FRAMES: usize = 64;

/// A policy on a device.
#[derive(Debug)]
enum Engine {
    /// A velocity decoder, which draws.
    Velocity(Box<FlowSampler>),
    /// A regression head, which says one thing.
    Head(Box<RegressionHead>),
}

/// A policy with everything between conditions and raw chunks.
#[derive(Debug)]
pub struct Drawer {
    engine: Engine,
    transform: ActionTransform,
    ranker: Option<CompiledRanker>,
    solver: Solver,
    noise: NoiseArguments,
    rule: ModeRule,
    /// Whether draws that are not finite are kept, for those who leave their frames out and count them.
    pub keep_not_finite: bool,
}

/// Raw draws of some frames.
#[derive(Debug, Default)]
pub struct Drawn {
    /// `[frames, K, H, R]`.
    pub draws: Vec<f32>,
    /// `[frames, K]`, where there is a ranker.
    pub scores: Option<Vec<f32>>,
}

impl Drawer {
    /// Puts a policy, and a ranker where a file of one is given, on a device. A regression head has one draw
    /// whatever the noise says.
    pub fn new(
        policy: &Policy,
        source: &Source,
        (solver, noise): (&SolverArguments, &NoiseArguments),
        ranker: Option<&Path>,
        device: &Device,
    ) -> Result<Self> {
        noise.check()?;
        let mut noise = noise.clone();
        let engine = if policy.is_regression {
            noise.draws = 1;
            Engine::Head(Box::new(policy.head(device)?))
        } else {
            Engine::Velocity(Box::new(policy.sampler(device)?))
        };
        let transform = transform(policy, source)?;
        let rule = ModeRule::on_channel(steering(transform.raw_keys())?);
        let ranker = match ranker {
            Some(file) => Some(load_ranker(file, policy, noise.draws, device)?),
            None => None,
        };
        Ok(Self {
            engine,
            transform,
            ranker,
            solver: solver.solver()?,
            noise,
            rule,
            keep_not_finite: false,
        })
    }

    /// How the noise is made, with the number of draws of this policy.
    pub fn noise(&self) -> &NoiseArguments {
        &self.noise
    }

    /// The solver.
    pub fn solver(&self) -> Solver {
        self.solver
    }

    /// When frames have two modes, and the steering channel.
    pub fn rule(&self) -> &ModeRule {
        &self.rule
    }

    /// Draws of a frame, K.
    pub fn draws(&self) -> usize {
        self.noise.draws
    }

    /// Names of the raw channels, R.
    pub fn keys(&self) -> &[String] {
        self.transform.raw_keys()
    }

    /// Slots of a chunk, H.
    pub fn horizon(&self) -> usize {
        match &self.engine {
            Engine::Velocity(sampler) => sampler.config().horizon,
            Engine::Head(head) => head.config().horizon,
        }
    }

    /// Draws for conditions `[frames, S, Dc]`; `frames` are the numbers that the noise goes by, so that a draw
    /// depends neither on the batch nor on its order.
    pub fn draw(&mut self, conditions: &[f32], frames: &[usize]) -> Result<Drawn> {
        let model = self.model_draws(conditions, frames)?;
        let scores = match &mut self.ranker {
            Some(ranker) => Some(ranker.scores(conditions, &model)?),
            None => None,
        };
        let draws = self.transform.to_raw(&model)?;
        Ok(Drawn { draws, scores })
    }

    /// End points `[frames, K, H, A]` in the space of the model.
    fn model_draws(&mut self, conditions: &[f32], frames: &[usize]) -> Result<Vec<f32>> {
        let sampler = match &mut self.engine {
            Engine::Head(head) => {
                let actions = head.predict(conditions, frames.len())?;
                return Ok(actions.into_iter().map(|value| value as f32).collect());
            }
            Engine::Velocity(sampler) => sampler,
        };
        let chunk = sampler.config().chunk();
        let key = (self.noise.seed, self.noise.stream);
        let shape = (self.noise.draws, chunk);
        let noise = noise_of(frames, shape, key, self.noise.temperature)?;
        let request = FlowRequest {
            conditions,
            frames: frames.len(),
            first_frame: 0,
            draws: self.noise.draws,
            noise: Noise::Recorded(&noise),
            solver: self.solver,
            record: false,
        };
        let drawn = if self.keep_not_finite {
            sampler.sample_all(&request)
        } else {
            sampler.sample(&request)
        };
        Ok(drawn.map_err(|error| in_source(error, frames))?.values)
    }

    /// One chunk a frame, `[frames, H, R]`, from what was drawn.
    pub fn read_out(&self, readout: Readout, drawn: &Drawn) -> Result<Vec<f32>> {
        let (draws, horizon) = (self.draws(), self.horizon());
        let channels = self.keys().len();
        let frames = drawn.draws.len() / (draws * horizon * channels).max(1);
        let view = Draws::new(&drawn.draws, frames, draws, horizon, channels)?;
        let chunks = read_out(readout, &view, drawn.scores.as_deref(), &self.rule)?;
        Ok(chunks.into_iter().map(|value| value as f32).collect())
    }
}

/// Refuses a readout that needs a ranker where there is none.
pub fn check_readout(readout: Readout, ranker: Option<&Path>) -> Result<()> {
    if readout.needs_scores() && ranker.is_none() {
        let message = format!("--readout {readout}: expected --ranker FILE beside it, found none");
        return Err(Usage(message).into());
    }
    Ok(())
}

/// The transform of the statistics; without any, the channels as they are, if there are equally many.
fn transform(policy: &Policy, source: &Source) -> Result<ActionTransform> {
    if let Some(transform) = policy.transform() {
        return Ok(transform.clone());
    }
    let keys = match &source.truth {
        Some(truth) => truth.keys.clone(),
        None => Vec::new(),
    };
    if keys.len() != policy.config.action_dim {
        return Err(Usage(format!(
            "{}: expected --statistics FILE, which turns its {} model channels into raw ones, found none, and \
             {} channels of {}",
            policy.file,
            policy.config.action_dim,
            keys.len(),
            source.name
        ))
        .into());
    }
    Ok(ActionTransform::new(keys, None, None)?)
}

/// The channel of steering among the raw ones.
fn steering(keys: &[String]) -> Result<usize> {
    let is_steering = |key: &String| key.to_lowercase().contains("steer");
    keys.iter().position(is_steering).ok_or_else(|| {
        let found = keys.join(", ");
        Usage(format!(
            "action channels: expected one of steering, found {found}"
        ))
        .into()
    })
}

fn load_ranker(
    file: &Path,
    policy: &Policy,
    draws: usize,
    device: &Device,
) -> Result<CompiledRanker> {
    let ranker = Ranker::load(file)?;
    let (config, found) = (&policy.config, ranker.config());
    let expected = (config.tokens * config.cond_dim, config.chunk());
    if expected != (found.condition, found.chunk) {
        return Err(Usage(format!(
            "{}: expected a ranker of conditions of {} values and chunks of {}, as {} has them, found {} and {}",
            file.display(),
            expected.0,
            expected.1,
            policy.file,
            found.condition,
            found.chunk
        ))
        .into());
    }
    Ok(ranker.compile(device, draws, BATCH_FRAMES)?)
}
