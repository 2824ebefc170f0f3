//! The ReMDM planner's denoiser: a transformer over one local token, eight global tokens and the
//! action sequence (`LocalDiffusionPlannerWithGlobal`), or over the local token and the actions alone
//! (`LocalDiffusionPlanner`).

mod config;

pub use config::{ConfigError, DenoiserConfig};
