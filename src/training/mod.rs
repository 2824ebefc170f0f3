//! Losses, metrics and statistics of training.

pub mod action_statistics;
pub mod flow_losses;
pub mod flow_time;
pub mod label_smoothing;
pub mod losses;
pub mod ranker_loss;
