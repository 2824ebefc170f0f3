//! A compiled plan with the working memories made for it.

use super::SamplerSettings;
use super::step::{SequenceShape, StepOptions, StepTensors};
use crate::graph::{GraphError, Plan};
use crate::models::remdm::DenoiserTensors;
use crate::orbit::Orbit;
use std::sync::{Mutex, PoisonError};

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

/// A compiled plan and the working memories that have been made for it.
#[derive(Debug)]
pub(super) struct Compiled {
    pub plan: Plan,
    pub network: DenoiserTensors,
    pub step: StepTensors,
    pub shape: SequenceShape,
    pub orbits: Mutex<Vec<Orbit>>,
}

impl Compiled {
    /// Working memory that is not in use, or a new one.
    pub fn borrow(&self) -> Result<Orbit, GraphError> {
        let idle = self
            .orbits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.map_or_else(|| Orbit::new(&self.plan), Ok)
    }

    /// Makes sure that `count` working memories are there.
    pub fn reserve(&self, count: usize) -> Result<(), GraphError> {
        while self.idle() < count {
            self.give_back(Orbit::new(&self.plan)?);
        }
        Ok(())
    }

    /// Working memories that are not in use.
    pub fn idle(&self) -> usize {
        self.orbits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Returns working memory for the next run.
    pub fn give_back(&self, orbit: Orbit) {
        self.orbits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(orbit);
    }

    /// Bytes of all working memories made so far; call when none is borrowed.
    pub fn working_bytes(&self) -> u64 {
        let idle = self.orbits.lock().unwrap_or_else(PoisonError::into_inner);
        idle.iter()
            .map(|orbit| orbit.execution.working_bytes())
            .sum()
    }
}
