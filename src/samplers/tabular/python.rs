//! Draws of a sequential stream, as Python makes them.

use super::TabularSettings;
use crate::orbit::PythonRandom;

/// Fills `plans` `[candidates, horizon]` with uniform actions, plan after plan.
pub(super) fn uniform(
    random: &mut PythonRandom,
    actions: usize,
    (horizon, length): (usize, usize),
    plans: &mut [u32],
) {
    for plan in plans.chunks_mut(horizon) {
        for action in plan.iter_mut().take(length) {
            *action = random.below(actions as u32);
        }
    }
}

/// The distribution of one call of the cross-entropy method.
#[derive(Debug, Clone)]
pub(super) struct Distribution {
    actions: usize,
    /// Probabilities `[length, actions]`.
    probabilities: Vec<f64>,
}

impl Distribution {
    /// Every action alike.
    pub fn uniform(length: usize, actions: usize) -> Self {
        Self {
            actions,
            probabilities: vec![1.0 / actions as f64; length * actions],
        }
    }

    /// Fills `plans` `[samples, horizon]`, plan after plan.
    pub fn draw(&self, random: &mut PythonRandom, horizon: usize, plans: &mut [u32]) {
        let sums: Vec<Vec<f64>> = self
            .probabilities
            .chunks(self.actions)
            .map(|step| {
                let mut sum = 0.0;
                let running = step.iter().map(|p| {
                    sum += p;
                    sum
                });
                running.collect()
            })
            .collect();
        for plan in plans.chunks_mut(horizon) {
            for (action, sums) in plan.iter_mut().zip(&sums) {
                *action = random.weighted(sums) as u32;
            }
        }
    }

    /// Refits to the first `elites` plans in the order of (score, index):
    /// `p = (1 - smoothing) frequency + smoothing / actions`.
    pub fn refit(
        &mut self,
        settings: TabularSettings,
        (elites, smoothing): (usize, f64),
        outcome: &[u32],
        plans: &[u32],
    ) {
        let mut order: Vec<(u32, usize)> = outcome
            .chunks_exact(2)
            .filter_map(|pair| pair.first().copied())
            .zip(0..)
            .collect();
        order.sort_unstable();
        let best: Vec<&[u32]> = order
            .iter()
            .take(elites)
            .filter_map(|(_, plan)| plans.chunks(settings.horizon).nth(*plan))
            .collect();
        let uniform = smoothing / self.actions as f64;
        for (time, step) in self.probabilities.chunks_mut(self.actions).enumerate() {
            for (action, probability) in step.iter_mut().enumerate() {
                let takes = |plan: &&&[u32]| plan.get(time) == Some(&(action as u32));
                let count = best.iter().filter(takes).count();
                let frequency = count as f64 / elites as f64;
                *probability = (1.0 - smoothing) * frequency + uniform;
            }
        }
    }
}
