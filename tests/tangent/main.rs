//! Tangents of graphs against central differences of the graph itself, kernel by kernel and composed.

#[path = "../common/mod.rs"]
mod common;

mod composite;
mod coverage;
mod layouts;
mod linear;
mod lyapunov;
mod nonlinear;
mod product;
mod support;
mod words;
