//! Numbers about numbers, on the CPU.

pub mod correlation;
pub mod flow;
pub mod ftle_field;
pub mod lyapunov;
pub mod matrices;
pub mod maze;
pub mod planning_gap;
pub mod stage2;
pub mod two_by_two;
