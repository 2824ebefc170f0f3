//! The maps: each model is its configuration, its weight names and its graph.

pub mod field;
pub mod flow;
pub mod remdm;
pub mod weights;
