//! Working memories of one plan, made when needed and used again.

use super::Orbit;
use crate::graph::{GraphError, Plan};
use std::sync::{Mutex, PoisonError};

/// A compiled plan and the working memories that have been made for it.
#[derive(Debug)]
pub struct OrbitPool {
    plan: Plan,
    orbits: Mutex<Vec<Orbit>>,
}

impl OrbitPool {
    /// A pool without memories.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            orbits: Mutex::default(),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Working memory that is not in use, or a new one.
    ///
    /// # Errors
    /// [`GraphError::Device`] when memory cannot be had.
    pub fn borrow(&self) -> Result<Orbit, GraphError> {
        let idle = self
            .orbits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.map_or_else(|| Orbit::new(&self.plan), Ok)
    }

    /// Makes sure that `count` working memories are there.
    ///
    /// # Errors
    /// As [`OrbitPool::borrow`].
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
