//! What to plan for: observations, the part of them that is asked for, numbers to replay.

use super::PlanArguments;
use crate::cli::exit::Usage;
use anyhow::Result;
use attractor::formats::{ArrayError, ArrayMap, load_arrays};
use attractor::models::remdm::DenoiserConfig;
use attractor::samplers::{Draws, Observations, SamplerKind, SamplerSettings};
use std::ops::Range;

/// Checked input.
#[derive(Debug)]
pub struct Input {
    /// All observations of the file.
    pub observations: Observations,
    /// The part to plan for.
    pub range: Range<usize>,
    replay: Option<Replay>,
}

/// Numbers of all observations, each array `[steps, count, length]` or empty.
#[derive(Debug)]
struct Replay {
    steps: usize,
    count: usize,
    categorical: Vec<f32>,
    unmask: Vec<f32>,
    remask: Vec<f32>,
}

impl Input {
    /// Loads and checks everything but the weights.
    pub fn load(
        arguments: &PlanArguments,
        config: &DenoiserConfig,
        settings: &SamplerSettings,
    ) -> Result<Self> {
        let observations = Observations::from_arrays(config, &load_arrays(&arguments.obs)?)?;
        let total = match arguments.limit {
            Some(0) => return Err(Usage("--limit is 0, expected at least 1".into()).into()),
            Some(limit) => limit.min(observations.count),
            None => observations.count,
        };
        let range = arguments.shard.map_or(0..total, |shard| shard.range(total));
        let replay = arguments
            .draws
            .as_deref()
            .map(|file| Replay::read(&load_arrays(file)?, settings, observations.count, config))
            .transpose()?;
        Ok(Self {
            observations,
            range,
            replay,
        })
    }

    /// Whether random numbers were handed in.
    pub fn replays(&self) -> bool {
        self.replay.is_some()
    }

    /// The numbers to replay for the observations of `range`, with `length` tokens each.
    pub fn draws(&self, range: &Range<usize>, length: usize) -> Option<Draws> {
        let replay = self.replay.as_ref()?;
        let part = |values: &[f32]| -> Vec<f32> {
            values
                .chunks_exact((replay.count * length).max(1))
                .filter_map(|step| step.get(range.start * length..range.end * length))
                .flatten()
                .copied()
                .collect()
        };
        Some(Draws {
            steps: replay.steps,
            categorical: part(&replay.categorical),
            unmask: part(&replay.unmask),
            remask: part(&replay.remask),
        })
    }
}

impl Replay {
    fn read(
        arrays: &ArrayMap,
        settings: &SamplerSettings,
        count: usize,
        config: &DenoiserConfig,
    ) -> Result<Self> {
        let steps = settings.steps as usize;
        let shape = [steps, count, config.seq_len];
        let random = settings.sampler != SamplerKind::Greedy;
        let independent = settings.sampler == SamplerKind::RemdmBernoulli;
        let read = |name: &str, needed: bool| -> Result<Vec<f32>> {
            if !needed {
                return Ok(Vec::new());
            }
            let values = arrays.expect_f32(name, &shape)?;
            match values.iter().position(|u| !(0.0..1.0).contains(u)) {
                None => Ok(values),
                Some(index) => {
                    let found = values.get(index).copied().unwrap_or(f32::NAN);
                    let error = ArrayError::Invalid {
                        expected: "values in [0, 1)".into(),
                        found: format!("{found} at index {index}"),
                    };
                    Err(arrays.array_error(name, error).into())
                }
            }
        };
        Ok(Self {
            steps,
            count,
            categorical: read("u_cat", random)?,
            unmask: read("u_unmask", independent)?,
            remask: read("u_remask", random)?,
        })
    }
}
