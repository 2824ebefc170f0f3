//! What the plans act in: the pure functions around the environments, and recorded maps.

pub mod control;
pub mod driving;
pub mod maze;
pub mod minihack;
pub mod puzzles;
