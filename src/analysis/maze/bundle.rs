//! The sweep as the JSON that `analyze correlate` reads.

use super::sweep::{SweepCell, SweepSettings};
use crate::analysis::correlation::{MAZE_METRIC, SCHEMA_VERSION, round_to};
use crate::analysis::planning_gap::wilson;
use serde::{Deserialize, Serialize};

/// `env` of the file.
pub const ENVIRONMENT: &str = "maze_toy";

/// Decimals of metrics and rates.
const DECIMALS: usize = 4;

/// Shape of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleConfig {
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Length of the sequence of M2.
    pub k_steps: usize,
    /// Episodes of a cell.
    pub episodes: usize,
    /// Moves of an episode at most.
    pub episode_horizon: usize,
    /// Actions of a plan at most.
    pub plan_horizon: usize,
    /// Plans of a planning call (of a round, for the cross-entropy method).
    pub num_candidates: usize,
}

/// What stands behind the numbers of a cell; an object, so that it is no column of a correlation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Episodes that succeeded.
    pub successes: usize,
    /// Episodes.
    pub episodes: usize,
    /// Wilson's 95 % interval of the rate of success.
    pub success_wilson_95: [f64; 2],
    /// Sequences of M4.
    pub sequences: usize,
    /// Mean of M4 over them.
    pub m4_mean: f64,
    /// Standard deviation of M4 over them; none for one.
    pub m4_deviation: Option<f64>,
}

/// A cell, rounded to four decimals as published. What goes beyond the study is left out where it was not
/// asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BundleCell {
    /// Epochs of training.
    pub epochs: u32,
    /// Seed.
    pub seed: u64,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// M1; null, as M2 and the success, where the model ran off.
    pub m1_mismatch: Option<f64>,
    /// M2.
    pub m2_kstep_divergence: Option<f64>,
    /// M3; null where no state has one.
    pub m3_action_agreement: Option<f64>,
    /// Mean regret of the model's best action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m3_regret: Option<f64>,
    /// M4 along the sequence of M2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m4_growth_mismatch: Option<f64>,
    /// Part of the episodes that succeeded.
    pub success_rate: Option<f64>,
    /// Counts and intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}

/// The file of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MazeBundle {
    /// Version of the schema.
    pub schema_version: String,
    /// Version of the program, under the name that the schema has for it.
    pub wmel_version: String,
    /// When, in UTC, to the second.
    pub generated_at: String,
    /// What it is.
    pub metric: String,
    /// Which world.
    pub env: String,
    /// For people.
    pub note: String,
    /// Shape of the run.
    pub config: BundleConfig,
    /// Cells.
    pub cells: Vec<BundleCell>,
    /// Where and how the numbers were made; no part of the published layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attractor: Option<serde_json::Value>,
}

impl MazeBundle {
    /// The file of a sweep that was made at `generated_at`.
    pub fn new(
        settings: &SweepSettings,
        cells: &[SweepCell],
        (generated_at, note): (String, String),
    ) -> Self {
        let episodes = settings.episodes;
        Self {
            schema_version: SCHEMA_VERSION.into(),
            wmel_version: env!("CARGO_PKG_VERSION").into(),
            generated_at,
            metric: MAZE_METRIC.into(),
            env: ENVIRONMENT.into(),
            note,
            config: BundleConfig {
                hidden: settings.hidden,
                k_steps: settings.k_steps,
                episodes: episodes.episodes,
                episode_horizon: episodes.horizon,
                plan_horizon: episodes.planner.horizon,
                num_candidates: episodes.planner.method.candidates(),
            },
            cells: Self::cells_of(cells),
            attractor: None,
        }
    }

    /// Cells as the file has them.
    pub fn cells_of(cells: &[SweepCell]) -> Vec<BundleCell> {
        cells.iter().map(BundleCell::of).collect()
    }
}

impl BundleCell {
    /// A cell whose model cannot be measured: no numbers.
    pub fn without_numbers(epochs: u32, seed: u64, hidden: usize) -> Self {
        Self {
            epochs,
            seed,
            hidden,
            m1_mismatch: None,
            m2_kstep_divergence: None,
            m3_action_agreement: None,
            m3_regret: None,
            m4_growth_mismatch: None,
            success_rate: None,
            spread: None,
        }
    }

    fn of(cell: &SweepCell) -> Self {
        let round = |value| round_to(value, DECIMALS);
        let (metrics, growth) = (&cell.metrics, cell.growth.as_ref());
        let (successes, episodes) = (cell.episodes.successes(), cell.episodes.episodes.len());
        let spread = growth.map(|growth| {
            let (mean, deviation) = growth.spread();
            Spread {
                successes,
                episodes,
                success_wilson_95: wilson(successes as f64, episodes as f64).map(round),
                sequences: growth.learned.len(),
                m4_mean: round(mean),
                m4_deviation: deviation.map(round),
            }
        });
        Self {
            epochs: cell.epochs,
            seed: cell.seed,
            hidden: cell.hidden,
            m1_mismatch: Some(round(metrics.one_step_mismatch())),
            m2_kstep_divergence: Some(round(metrics.k_step_divergence())),
            m3_action_agreement: metrics.action_agreement().map(round),
            m3_regret: growth.map(|_| round(metrics.mean_regret())),
            m4_growth_mismatch: growth.map(|growth| round(growth.mismatch())),
            success_rate: Some(round(cell.episodes.success_rate())),
            spread,
        }
    }
}
