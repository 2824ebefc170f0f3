//! Tangents of graphs against central differences of the graph itself, kernel by kernel and composed.

#[path = "../common/mod.rs"]
mod common;

mod adjoint;
mod composite;
mod coverage;
mod layouts;
mod linear;
mod lyapunov;
mod mppi;
mod nonlinear;
mod plans;
mod product;
mod support;
mod words;
