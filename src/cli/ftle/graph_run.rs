//! Runs any map of a graph with its tangents: what the families of learned maps share.

use super::measured::{Example, covariant_angles};
use crate::cli::output::note;
use anyhow::Result;
use attractor::device::Device;
use attractor::graph::Moment;
use attractor::orbit::IteratedMap;
use attractor::orbit::lyapunov::{LyapunovPlan, Settings};

/// One run: where it starts and how its examples are numbered.
pub struct GraphRun<'a> {
    /// The map.
    pub map: &'a IteratedMap,
    /// How its tangents are followed.
    pub settings: &'a Settings,
    /// First states `[batch, dimension]`.
    pub state: &'a [f64],
    /// First tangents `[batch, dimension, k]`; random where none.
    pub tangents: Option<&'a [f64]>,
    /// Steps.
    pub steps: u32,
    /// Seed of random tangents and of covariant vectors.
    pub seed: u64,
    /// Number of the first example in the data.
    pub first: usize,
    /// Events whose logarithms one row sums, by the number of events.
    pub events_a_row: fn(usize) -> usize,
}

impl GraphRun<'_> {
    /// Compiles and runs; gives the examples and the bytes of working memory.
    pub fn carry_out(&self, device: &Device) -> Result<(Vec<Example>, u64)> {
        let plan = LyapunovPlan::compile(self.map, self.settings, device)?;
        let bytes = plan.plan().working_bytes();
        note(&format!("memory   {bytes} bytes of working memory needed"));
        let mut orbit = plan.orbit()?;
        orbit
            .orbit
            .execution
            .write_f64(self.map.state, self.state)?;
        if let Some(tangents) = self.tangents {
            orbit.set_tangents(tangents)?;
        }
        let moment = Moment {
            seed: self.seed,
            first_example: u32::try_from(self.first)?,
        };
        let spectrum = orbit.run(self.steps, &moment)?;
        let (k, row) = (spectrum.columns, (self.events_a_row)(spectrum.events));
        let example = |index: usize| -> Result<Example> {
            let bad = spectrum.invalid.iter().find(|bad| bad.example == index);
            let sizes = (self.map.dimension, spectrum.events, k);
            let angles = match (&spectrum.factors, bad) {
                (Some(factors), None) => covariant_angles(factors, index, sizes, self.seed)?,
                _ => None,
            };
            Ok(Example {
                index: self.first + index,
                log_r: summed(spectrum.logs(index), k, row),
                restarts: spectrum.restarts.get(index).copied().unwrap_or(0),
                invalid: bad.map(|bad| {
                    format!(
                        "not finite at step {} after node {}",
                        bad.step + 1,
                        bad.update
                    )
                }),
                angles,
            })
        };
        let examples = (0..self.map.batch).map(example);
        Ok((examples.collect::<Result<_>>()?, bytes))
    }
}

/// Rows of `row` events each, summed.
fn summed(logs: &[f64], k: usize, row: usize) -> Vec<f64> {
    let rows = logs.chunks_exact((k * row).max(1));
    rows.flat_map(|events| {
        let mut sums = vec![0.0; k];
        for event in events.chunks_exact(k) {
            sums.iter_mut()
                .zip(event)
                .for_each(|(sum, log)| *sum += log);
        }
        sums
    })
    .collect()
}
