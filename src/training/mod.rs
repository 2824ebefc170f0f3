//! Losses of the masked-diffusion planner, with their gradients.

pub mod losses;
