//! What a step does beside the network.

pub mod schedule;
