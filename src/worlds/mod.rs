//! What the plans act in: the pure functions around the environments, and recorded maps.

pub mod driving;
pub mod minihack;
pub mod puzzles;
