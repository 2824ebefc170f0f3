//! Offline metrics of learned dynamics of the maze, and whether planning with them succeeds.
//!
//! M1 to M3 are those of the published study; M4 and the regret go beyond it. None of them plans.

mod bundle;
mod growth;
mod metrics;
mod published;
mod sweep;

pub use bundle::{BundleCell, BundleConfig, ENVIRONMENT, MazeBundle, Spread};
pub use growth::{Growth, GrowthSettings, growth};
pub use metrics::{OfflineMetrics, action_sequence, offline_metrics};
pub use published::{PUBLISHED_EPOCHS, PUBLISHED_SEEDS, published_sweep, shipped_weights};
pub use sweep::{SweepCell, SweepSettings, Trained, evaluate, evaluate_each, sweep, train};
