//! attractor

pub mod samplers;
pub mod training;
pub mod worlds;
