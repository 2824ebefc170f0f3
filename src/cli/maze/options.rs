//! Options of every maze command: the layout, the planner, its random numbers.

use anyhow::Result;
use attractor::formats::{Limits, read_file};
use attractor::samplers::tabular::{DrawSource, Method, TabularSettings};
use attractor::worlds::maze::{EpisodeSettings, Layout};
use std::path::PathBuf;

/// `--planner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Planner {
    /// Uniform plans, the best of which is taken
    Shooting,
    /// The cross-entropy method
    Cem,
}

/// `--rng`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Rng {
    /// One sequential stream for each seed, as the published results have it
    Python,
    /// Counters: every episode by itself, on all cores
    Philox,
}

/// The world and the planner.
#[derive(Debug, clap::Args)]
pub struct PlanningArguments {
    /// Layout (rows of # S G . from the top) [default: the published maze]
    #[arg(long, value_name = "FILE")]
    layout: Option<PathBuf>,
    /// Planner
    #[arg(long, value_enum, default_value_t = Planner::Shooting)]
    planner: Planner,
    /// Random numbers of the planner
    #[arg(long, value_enum, default_value_t = Rng::Python)]
    rng: Rng,
    /// Plans of a planning call, or of a round of cem [default: 100, or 24]
    #[arg(long, value_name = "COUNT")]
    candidates: Option<usize>,
    /// Actions of a plan at most [default: 20, or 15 for cem]
    #[arg(long, value_name = "COUNT")]
    plan_horizon: Option<usize>,
    /// Rounds of cem
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    iterations: usize,
    /// Plans that cem refits to
    #[arg(long, value_name = "COUNT", default_value_t = 6)]
    elites: usize,
    /// Part of cem's distribution that stays uniform
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    smoothing: f64,
}

/// Bytes of a layout at most.
const LAYOUT_BYTES: u64 = 1 << 20;

impl PlanningArguments {
    /// The layout.
    pub fn layout(&self) -> Result<Layout> {
        let Some(path) = &self.layout else {
            return Ok(Layout::published()?);
        };
        let limits = Limits {
            file_bytes: LAYOUT_BYTES,
            ..Limits::default()
        };
        let bytes = read_file(path, &limits)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Layout::parse(&path.display().to_string(), &text)?)
    }

    /// The settings with everything that was asked for.
    pub fn settings(&self, published: EpisodeSettings) -> EpisodeSettings {
        let (method, horizon) = match self.planner {
            Planner::Shooting => {
                let candidates = self.candidates.unwrap_or(100);
                (Method::Shooting { candidates }, 20)
            }
            Planner::Cem => {
                let method = Method::CrossEntropy {
                    iterations: self.iterations,
                    samples: self.candidates.unwrap_or(24),
                    elites: self.elites,
                    smoothing: self.smoothing,
                };
                (method, 15)
            }
        };
        EpisodeSettings {
            planner: TabularSettings {
                method,
                horizon: self.plan_horizon.unwrap_or(horizon),
            },
            draws: match self.rng {
                Rng::Python => DrawSource::Python,
                Rng::Philox => DrawSource::Philox,
            },
            ..published
        }
    }

    /// The planner in words.
    pub fn words(&self) -> &'static str {
        match (self.planner, self.rng) {
            (Planner::Shooting, Rng::Python) => "random shooting, sequential draws",
            (Planner::Shooting, Rng::Philox) => "random shooting, draws by counter",
            (Planner::Cem, Rng::Python) => "cross-entropy method, sequential draws",
            (Planner::Cem, Rng::Philox) => "cross-entropy method, draws by counter",
        }
    }
}
