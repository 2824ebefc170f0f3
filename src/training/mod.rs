//! Losses, metrics, statistics and loops of training.

pub mod action_statistics;
pub mod descent;
mod error;
pub mod flow_losses;
pub mod flow_time;
pub mod label_smoothing;
pub mod losses;
pub mod mlp;
pub mod optimiser;
pub mod ranker_loss;

pub use error::TrainingError;
