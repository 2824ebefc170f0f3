//! What is planned for, and what comes of it.

use super::error::refuse;
use super::{MppiError, MppiSettings};
use crate::models::tdmpc2::Tdmpc2Config;
use crate::orbit::Stream;
use attractor_kernels::philox::philox4x32;
use serde::Serialize;

/// Random numbers of a call, all of them, for a replay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MppiDraws {
    /// Standard normals of the policy's sequences `[E, P, H, A]`.
    pub policy: Vec<f32>,
    /// Standard normals of the other candidates `[I, E, N - P, H, A]`.
    pub samples: Vec<f32>,
    /// Standard normals of the policy's actions behind the horizon `[I, E, N, A]`.
    pub value: Vec<f32>,
    /// Two members of the value functions for every iteration `[I, 2]`.
    pub pairs: Vec<u32>,
    /// Unit exponentials of the choice among the elites `[E, K]`.
    pub exponential: Vec<f32>,
    /// Standard normals of the disturbance of the action `[E, A]`; empty in evaluation.
    pub action: Vec<f32>,
}

/// A planning call for E environments.
#[derive(Debug, Clone, Copy)]
pub struct MppiRequest<'a> {
    /// Observations `[E, obs_dim]`.
    pub observations: &'a [f32],
    /// Means of each environment's call before `[E, H, A]`; empty where none has one.
    pub previous: &'a [f32],
    /// Whether an environment is at the start of an episode, so that its previous mean does not count `[E]`;
    /// empty for no, or for yes where there are no previous means.
    pub starts: &'a [bool],
    /// Whether the action is taken without a disturbance.
    pub evaluation: bool,
    /// Seed of all draws.
    pub seed: u64,
    /// Number of the call, so that every one draws anew.
    pub call: u64,
    /// Number of the first environment in the whole job: an environment draws by its own number, whatever
    /// batch it comes in.
    pub first_environment: u32,
    /// Draws to replay instead of making them.
    pub draws: Option<&'a MppiDraws>,
    /// Keep what every iteration did.
    pub record: bool,
    /// Most environments of one run; by the device where none.
    pub batch: Option<usize>,
}

impl<'a> MppiRequest<'a> {
    /// The first call of an episode, evaluated without a disturbance.
    pub fn new(observations: &'a [f32], seed: u64) -> Self {
        Self {
            observations,
            previous: &[],
            starts: &[],
            evaluation: true,
            seed,
            call: 0,
            first_environment: 0,
            draws: None,
            record: false,
            batch: None,
        }
    }

    /// Environments.
    pub fn count(&self, config: &Tdmpc2Config) -> usize {
        self.observations.len() / config.obs_dim.max(1)
    }

    /// Checks every part against model, settings and the other parts.
    ///
    /// # Errors
    /// [`MppiError::Request`] naming the part.
    pub fn check(&self, config: &Tdmpc2Config, settings: &MppiSettings) -> Result<(), MppiError> {
        let width = config.obs_dim;
        let length = self.observations.len();
        if length == 0 || !length.is_multiple_of(width) {
            let expected = format!("at least one row of {width} numbers");
            return Err(refuse(
                "observations",
                expected,
                format!("{length} numbers"),
            ));
        }
        if let Some(place) = self.observations.iter().position(|v| !v.is_finite()) {
            let found = format!(
                "{} in environment {}, number {}",
                self.observations.get(place).copied().unwrap_or(f32::NAN),
                place / width,
                place % width
            );
            return Err(refuse("observations", "finite numbers", found));
        }
        let count = length / width;
        let room = (u32::MAX - self.first_environment) as usize;
        if count > room {
            let expected = format!("at most {room} environments from the first number on");
            return Err(refuse("observations", expected, count));
        }
        let means = count * settings.length(config);
        if !self.previous.is_empty() {
            counted("previous means", self.previous.len(), means)?;
            finite("previous means", self.previous)?;
        }
        if !self.starts.is_empty() {
            counted("flags of the start of an episode", self.starts.len(), count)?;
        }
        if self.previous.is_empty() && self.starts.iter().any(|start| !start) {
            let expected = "one for every environment that is not at its start";
            return Err(refuse("previous means", expected, "none"));
        }
        match self.draws {
            Some(draws) => self.check_draws(draws, config, settings),
            None => Ok(()),
        }
    }

    fn check_draws(
        &self,
        draws: &MppiDraws,
        config: &Tdmpc2Config,
        settings: &MppiSettings,
    ) -> Result<(), MppiError> {
        let (count, action) = (self.count(config), config.action_dim);
        let (rounds, length) = (settings.iterations, settings.length(config));
        let drawn = settings.samples - settings.policies;
        let last = if self.evaluation { 0 } else { count * action };
        let floats = [
            (
                "draws of the policy",
                &draws.policy,
                count * settings.policies * length,
            ),
            (
                "draws of the samples",
                &draws.samples,
                rounds * count * drawn * length,
            ),
            (
                "draws of the values",
                &draws.value,
                rounds * count * settings.samples * action,
            ),
            (
                "draws of the choice",
                &draws.exponential,
                count * settings.elites,
            ),
            ("draws of the action", &draws.action, last),
        ];
        for (what, values, expected) in floats {
            counted(what, values.len(), expected)?;
            finite(what, values)?;
        }
        if let Some(found) = draws.exponential.iter().find(|e| **e <= 0.0) {
            return Err(refuse("draws of the choice", "numbers above 0", found));
        }
        counted("pairs of value functions", draws.pairs.len(), 2 * rounds)?;
        let most = config.num_q;
        match draws.pairs.iter().find(|member| **member as usize >= most) {
            Some(found) => {
                let expected = format!("members below {most}");
                Err(refuse("pairs of value functions", expected, found))
            }
            None => Ok(()),
        }
    }

    /// The two members of every iteration `[I, 2]`: recorded, or the first two of a random order of all,
    /// drawn by seed, call and iteration alone, so that every environment of a call has the same whatever run
    /// it is in.
    pub(super) fn pairs(&self, config: &Tdmpc2Config, settings: &MppiSettings) -> Vec<u32> {
        if let Some(draws) = self.draws {
            return draws.pairs.clone();
        }
        let below = |word: u32, most: u64| ((u64::from(word) * most) >> 32) as u32;
        let members = config.num_q as u64;
        let pair = |iteration: usize| {
            let words = self.words(iteration as u32, Stream::MppiPairs);
            let first = below(words[0], members);
            let second = below(words[1], members.saturating_sub(1));
            [first, second + u32::from(second >= first)]
        };
        (0..settings.iterations).flat_map(pair).collect()
    }

    /// The key of the draws on the device: seed and call, mixed.
    pub(super) fn key(&self) -> u64 {
        let [low, high, ..] = self.words(0, Stream::MppiCall);
        u64::from(low) | u64::from(high) << 32
    }

    fn words(&self, index: u32, stream: Stream) -> [u32; 4] {
        let counter = [
            index,
            self.call as u32,
            (self.call >> 32) as u32,
            stream.index(),
        ];
        philox4x32(counter, [self.seed as u32, (self.seed >> 32) as u32])
    }

    /// First mean of one environment `[H, A]`: its previous one, a step on, or zeros.
    pub(super) fn mean(&self, environment: usize, length: usize, action: usize) -> Vec<f32> {
        let starts = self.starts.get(environment).copied();
        let starts = starts.unwrap_or(self.previous.is_empty());
        let own = self
            .previous
            .get(environment * length..(environment + 1) * length)
            .filter(|_| !starts);
        let mut mean = own
            .and_then(|own| own.get(action..))
            .unwrap_or_default()
            .to_vec();
        mean.resize(length, 0.0);
        mean
    }
}

fn counted(what: &'static str, found: usize, expected: usize) -> Result<(), MppiError> {
    match found == expected {
        true => Ok(()),
        false => Err(refuse(what, expected, found)),
    }
}

fn finite(what: &'static str, values: &[f32]) -> Result<(), MppiError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(found) => Err(refuse(what, "finite numbers", found)),
        None => Ok(()),
    }
}

/// What every iteration of every environment did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MppiTrace {
    /// Values of the candidates `[E, I, N]`.
    pub value: Vec<f64>,
    /// Elites, best first `[E, I, K]`.
    pub elite: Vec<u32>,
    /// Their weights, which sum to one `[E, I, K]`.
    pub score: Vec<f64>,
    /// Means `[E, I, H, A]`.
    pub mean: Vec<f64>,
    /// Deviations `[E, I, H, A]`.
    pub deviation: Vec<f64>,
    /// Candidates `[E, I, N, H, A]`.
    pub actions: Vec<f64>,
}

/// What planning took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct MppiReport {
    /// Runs that the environments were cut into.
    pub runs: usize,
    /// Environments of a run.
    pub run_environments: usize,
    /// Launches.
    pub dispatches: u64,
    /// Submissions.
    pub submissions: u64,
    /// Bytes of all working memory.
    pub working_bytes: u64,
    /// Time in all, seconds.
    pub seconds: f64,
}

/// Planned actions of E environments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MppiPlans {
    /// Environments.
    pub count: usize,
    /// Actions `[E, A]`.
    pub actions: Vec<f64>,
    /// Means of the last iteration, which the next call starts from `[E, H, A]`.
    pub means: Vec<f64>,
    /// Deviations of the last iteration `[E, H, A]`.
    pub deviations: Vec<f64>,
    /// Values of the candidates whose actions were taken `[E]`.
    pub values: Vec<f64>,
    /// Values of the best candidates `[E]`.
    pub best: Vec<f64>,
    /// Candidates whose actions were taken `[E]`.
    pub chosen: Vec<u32>,
    /// Where recorded.
    pub trace: Option<MppiTrace>,
    /// What it took.
    pub report: MppiReport,
}
