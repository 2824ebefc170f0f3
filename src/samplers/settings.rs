//! How a plan is drawn: sampler, schedule, strategy and their numbers, checked once.

use super::schedule::{NoiseSchedule, Recipe, UnknownSchedule};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which sampler denoises a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerKind {
    /// Commit the most confident argmax tokens step by step; no randomness.
    Greedy,
    /// Commit the most confident sampled tokens, then remask some (recipe R1; MaskGIT with remasking).
    MaskgitRemask,
    /// Independent unmasking and remasking draws (recipe R2; ReMDM, algorithm 1, arXiv 2503.00307).
    RemdmBernoulli,
}

/// How the probability of remasking a committed token is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemaskStrategy {
    /// eta times the largest probability the schedule allows.
    Rescale,
    /// The smaller of eta and that largest probability.
    Cap,
    /// Rescaled, and shared out by (lack of) confidence.
    Conf,
    /// Plain unmasking outside a window of time, remasking at a fixed noise level inside it
    /// (`remdm_bernoulli` only).
    Loop,
}

/// What is wrong with sampler settings.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A number is out of range.
    #[error("{name} is {found}, expected {expected}")]
    Value {
        /// Setting.
        name: &'static str,
        /// What is accepted.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The schedule's name is unknown to the recipe.
    #[error(transparent)]
    Schedule(#[from] UnknownSchedule),
}

/// Settings of a sampler.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SamplerSettings {
    /// Sampler.
    pub sampler: SamplerKind,
    /// Denoising steps K.
    pub steps: u32,
    /// Name of the noise schedule, read by the sampler's recipe.
    pub noise_schedule: String,
    /// Remasking strategy.
    pub strategy: RemaskStrategy,
    /// Strength of remasking.
    pub eta: f32,
    /// Temperature of the categorical distribution.
    pub temperature: f32,
    /// Keep only this many largest logits; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of tokens that holds this much probability; 1 keeps all.
    pub top_p: f32,
    /// Lower the confidence of moves into hazards next to the agent.
    pub physics_aware: bool,
    /// Feed an all-zero global map.
    pub blind_global: bool,
    /// `loop`: time at which the window opens.
    pub loop_on: f64,
    /// `loop`: time at which it closes.
    pub loop_off: f64,
    /// `loop`: alpha held inside it.
    pub loop_alpha: f64,
}

impl SamplerSettings {
    /// The original's defaults for a sampler: R1 filters by top-k 4, R2 by top-p 0.9.
    pub fn new(sampler: SamplerKind) -> Self {
        Self {
            sampler,
            steps: 10,
            noise_schedule: "linear".into(),
            strategy: RemaskStrategy::Conf,
            eta: 0.15,
            temperature: 0.5,
            top_k: if sampler == SamplerKind::MaskgitRemask {
                4
            } else {
                0
            },
            top_p: if sampler == SamplerKind::RemdmBernoulli {
                0.9
            } else {
                1.0
            },
            physics_aware: false,
            blind_global: false,
            loop_on: 0.55,
            loop_off: 0.05,
            loop_alpha: 0.9,
        }
    }

    /// The recipe whose schedule names the sampler uses.
    pub fn recipe(&self) -> Recipe {
        match self.sampler {
            SamplerKind::MaskgitRemask => Recipe::R1,
            _ => Recipe::R2,
        }
    }

    /// The noise schedule.
    ///
    /// # Errors
    /// [`SettingsError::Schedule`] for a name the recipe does not have.
    pub fn schedule(&self) -> Result<NoiseSchedule, SettingsError> {
        Ok(NoiseSchedule::from_name(
            self.recipe(),
            &self.noise_schedule,
        )?)
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`SettingsError`] naming the first that is out of range.
    pub fn check(&self) -> Result<(), SettingsError> {
        let demand = |name, holds: bool, expected: &str, found: String| {
            if holds {
                Ok(())
            } else {
                Err(SettingsError::Value {
                    name,
                    expected: expected.into(),
                    found,
                })
            }
        };
        demand(
            "steps",
            (1..=100_000).contains(&self.steps),
            "1..=100000",
            self.steps.to_string(),
        )?;
        demand(
            "eta",
            self.eta.is_finite() && self.eta >= 0.0,
            "a finite number of at least 0",
            self.eta.to_string(),
        )?;
        demand(
            "temperature",
            // A subnormal divisor is zero on devices that flush such numbers.
            self.temperature.is_normal() && self.temperature > 0.0,
            "a finite number above 0",
            self.temperature.to_string(),
        )?;
        demand(
            "top-p",
            self.top_p > 0.0 && self.top_p <= 1.0,
            "in (0, 1]",
            self.top_p.to_string(),
        )?;
        let window = self.loop_off.is_finite()
            && self.loop_on.is_finite()
            && 0.0 < self.loop_off
            && self.loop_off < self.loop_on
            && self.loop_on < 1.0;
        demand(
            "loop window",
            window,
            "0 < loop-off < loop-on < 1",
            format!("{}..{}", self.loop_off, self.loop_on),
        )?;
        demand(
            "loop-alpha",
            self.loop_alpha > 0.0 && self.loop_alpha < 1.0,
            "in (0, 1)",
            self.loop_alpha.to_string(),
        )?;
        let loops = self.strategy == RemaskStrategy::Loop;
        demand(
            "strategy",
            !loops || self.sampler == SamplerKind::RemdmBernoulli,
            "rescale, cap or conf; loop belongs to remdm_bernoulli",
            "loop".into(),
        )?;
        self.schedule().map(|_| ())
    }
}
