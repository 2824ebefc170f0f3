//! A compiled planner.

use super::SamplerSettings;
use super::step::{SequenceShape, StepOptions, StepTensors};
use crate::models::remdm::DenoiserTensors;
use crate::orbit::OrbitPool;

/// What a compiled plan depends on. Schedules, seeds and draws are inputs, so they are not in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    settings: SamplerSettings,
    batch: usize,
    options: StepOptions,
}

impl Key {
    pub fn new(settings: &SamplerSettings, batch: usize, options: StepOptions) -> Self {
        let mut settings = settings.clone();
        // These change tables, not the graph.
        settings.eta = 0.0;
        settings.noise_schedule.clear();
        settings.blind_global = false;
        settings.loop_on = 0.0;
        settings.loop_off = 0.0;
        settings.loop_alpha = 0.0;
        Self {
            settings,
            batch,
            options,
        }
    }
}

/// A compiled plan of a planner, with the tensors that its runs write and read.
#[derive(Debug)]
pub(super) struct Compiled {
    pub pool: OrbitPool,
    pub network: DenoiserTensors,
    pub step: StepTensors,
    pub shape: SequenceShape,
}
