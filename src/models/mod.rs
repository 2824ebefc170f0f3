//! The maps: each model is its configuration, its weight names and its graph.

pub mod classical;
pub mod dynamics;
pub mod field;
pub mod flow;
pub mod maps;
pub mod mlp;
pub mod recursive;
pub mod remdm;
pub mod weights;
