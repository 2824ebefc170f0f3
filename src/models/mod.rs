//! The maps: each model is its configuration, its weight names and its graph.

pub mod adapter;
pub mod classical;
pub mod control;
pub mod driven;
pub mod dynamics;
pub mod field;
pub mod flow;
pub mod maps;
pub mod mlp;
pub mod recursive;
pub mod remdm;
mod step;
pub mod tdmpc2;
pub mod weights;

pub use step::{Dynamics, StepTensors};
