//! Graphs: memory planning, fusion, what a plan says of itself.

#[path = "../common/mod.rs"]
mod common;
mod fusion;
mod memory;
mod naive;
mod plan;
mod random;
