//! Sampler settings from flags over a configuration over the original's defaults.

use super::exit::Usage;
use super::model::Configuration;
use anyhow::Result;
use attractor::samplers::{RemaskStrategy, SamplerKind, SamplerSettings};

/// `--sampler`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Sampler {
    /// Argmax, most confident first
    Greedy,
    /// Most confident first, then remask (recipe R1)
    MaskgitRemask,
    /// Independent unmasking and remasking (recipe R2)
    RemdmBernoulli,
}

impl From<Sampler> for SamplerKind {
    fn from(sampler: Sampler) -> Self {
        match sampler {
            Sampler::Greedy => Self::Greedy,
            Sampler::MaskgitRemask => Self::MaskgitRemask,
            Sampler::RemdmBernoulli => Self::RemdmBernoulli,
        }
    }
}

/// `--strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Strategy {
    /// eta times the largest probability
    Rescale,
    /// eta, at most the largest probability
    Cap,
    /// Rescaled and shared out by confidence
    Conf,
    /// Remask inside a window of time alone
    Loop,
}

impl From<Strategy> for RemaskStrategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Rescale => Self::Rescale,
            Strategy::Cap => Self::Cap,
            Strategy::Conf => Self::Conf,
            Strategy::Loop => Self::Loop,
        }
    }
}

/// Flags of the sampler; what is not given comes from the configuration.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SamplerArguments {
    /// Sampler [default: by the configuration: top_k means maskgit_remask, else remdm_bernoulli]
    #[arg(long, value_enum)]
    pub sampler: Option<Sampler>,
    /// Denoising steps
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub steps: Option<u32>,
    /// Remasking strategy
    #[arg(long, value_enum)]
    pub strategy: Option<Strategy>,
    /// Strength of remasking
    #[arg(long, allow_negative_numbers = true)]
    pub eta: Option<f32>,
    /// Temperature of the categorical distribution
    #[arg(long, allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Keep this many largest logits; 0 keeps all
    #[arg(long, allow_negative_numbers = true)]
    pub top_k: Option<u32>,
    /// Keep the smallest set of actions that holds this probability
    #[arg(long, allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Noise schedule: linear, cosine, cosine_sq
    #[arg(long, value_name = "NAME")]
    pub noise_schedule: Option<String>,
    /// Distrust moves into what lies beside the agent
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub physics_aware: Option<bool>,
    /// Show the network an all-zero global map
    #[arg(long)]
    pub blind_global: bool,
    /// Strategy loop: time at which the window opens
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub loop_on: Option<f64>,
    /// Strategy loop: time at which the window closes
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub loop_off: Option<f64>,
    /// Strategy loop: share of tokens kept unmasked inside the window
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub loop_alpha: Option<f64>,
}

impl SamplerArguments {
    /// Checked settings.
    pub fn settings(&self, configuration: &Configuration) -> Result<SamplerSettings> {
        let kind = match self.sampler {
            Some(sampler) => sampler.into(),
            None => default_sampler(configuration)?,
        };
        let mut settings = from_configuration(kind, configuration)?;
        let inherited = settings.check().err().map(|error| error.to_string());
        fn set<T>(slot: &mut T, flag: Option<T>) {
            if let Some(value) = flag {
                *slot = value;
            }
        }
        set(&mut settings.steps, self.steps);
        set(&mut settings.strategy, self.strategy.map(Into::into));
        set(&mut settings.eta, self.eta);
        set(&mut settings.temperature, self.temperature);
        set(&mut settings.top_k, self.top_k);
        set(&mut settings.top_p, self.top_p);
        set(&mut settings.noise_schedule, self.noise_schedule.clone());
        set(&mut settings.physics_aware, self.physics_aware);
        set(&mut settings.loop_on, self.loop_on);
        set(&mut settings.loop_off, self.loop_off);
        set(&mut settings.loop_alpha, self.loop_alpha);
        settings.blind_global = self.blind_global;
        // A value that no flag replaced came from the file, which is then the one to mend.
        settings.check().map_err(|error| match inherited {
            Some(known) if known == error.to_string() => {
                anyhow::Error::from(Usage(format!("{}: {known}", configuration.file)))
            }
            _ => error.into(),
        })?;
        Ok(settings)
    }
}

/// The configuration names its sampler, or betrays its recipe: only the first has a top-k.
fn default_sampler(configuration: &Configuration) -> Result<SamplerKind> {
    Ok(match configuration.get("sampler")? {
        Some(kind) => kind,
        None if configuration.has("top_k") && !configuration.has("top_p") => {
            SamplerKind::MaskgitRemask
        }
        None => SamplerKind::RemdmBernoulli,
    })
}

/// The configuration's values over the original's defaults. Each filter belongs to the recipe that
/// has it, so a configuration of one recipe does not filter in the other.
pub fn from_configuration(
    kind: SamplerKind,
    configuration: &Configuration,
) -> Result<SamplerSettings> {
    let mut settings = SamplerSettings::new(kind);
    if let Some(steps) = configuration.get("diffusion_steps_eval")? {
        settings.steps = steps;
    }
    if let Some(temperature) = configuration.get("temperature")? {
        settings.temperature = temperature;
    }
    if let Some(eta) = configuration.get("eta")? {
        settings.eta = eta;
    }
    if let Some(strategy) = configuration.get("remask_strategy")? {
        settings.strategy = strategy;
    }
    if let Some(schedule) = configuration.get("noise_schedule")? {
        settings.noise_schedule = schedule;
    }
    if let Some(physics) = configuration.get("physics_aware_sampling")? {
        settings.physics_aware = physics;
    }
    match kind {
        SamplerKind::MaskgitRemask => {
            if let Some(top_k) = configuration.get::<i64>("top_k")? {
                // In the original any k below one keeps all.
                settings.top_k = u32::try_from(top_k.max(0))
                    .map_err(|_| Usage(format!("{}: top_k is {top_k}", configuration.file)))?;
            }
        }
        SamplerKind::RemdmBernoulli => {
            if let Some(top_p) = configuration.get::<f32>("top_p")? {
                // In the original any p from one on keeps all.
                settings.top_p = top_p.min(1.0);
            }
        }
        SamplerKind::Greedy => {}
    }
    Ok(settings)
}
