//! What the plans act in: the pure functions around the environments, and recorded maps.

pub mod minihack;
