//! Numbers about numbers, on the CPU.

pub mod flow;
