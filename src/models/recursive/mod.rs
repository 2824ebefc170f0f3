//! Recursive reasoners: the Hierarchical Reasoning Model (Wang et al. 2025) and the Tiny Recursive Model
//! (Jolicoeur-Martineau 2025), with attention or with a mixer over the length, as maps of their latents.

mod blocks;
pub mod config;
mod model;
mod settings;
pub mod weights;

pub use config::{Architecture, Positions, RecursiveConfig, RecursiveConfigError};
pub use model::{Granularity, Observation, Observed, Recursive, RecursiveMap, Start};
pub use settings::RecursiveSettings;
pub use weights::{PuzzleRows, RecursiveWeights, recursive_arrays};
