//! The ReMDM planner's denoiser: a transformer over one local token, eight global tokens and the
//! action sequence (`LocalDiffusionPlannerWithGlobal`), or over the local token and the actions alone
//! (`LocalDiffusionPlanner`).

mod config;
mod denoiser;
mod streams;
mod weights;

pub use config::{ConfigError, DenoiserConfig};
pub use denoiser::{DenoiserTensors, Rows, TimeAddressing, build};
pub use weights::{BlockWeights, DenoiserWeights, GLYPH_ROWS, GlobalWeights};
