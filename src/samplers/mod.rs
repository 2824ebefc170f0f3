//! What a step does beside the network: schedules, sampling, unmasking and remasking.

pub mod schedule;
mod settings;

pub use settings::{RemaskStrategy, SamplerKind, SamplerSettings, SettingsError};
