//! Numbers about numbers, on the CPU.

pub mod flow;
pub mod ftle_field;
pub mod lyapunov;
pub mod matrices;
pub mod two_by_two;
