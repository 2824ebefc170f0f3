//! attractor: a GPU-native compute engine that iterates learned maps and measures where they settle.

pub mod analysis;
pub mod bench;
pub mod device;
pub mod formats;
pub mod graph;
pub mod models;
pub mod orbit;
pub mod report;
pub mod samplers;
pub mod training;
pub mod verify;
pub mod worlds;

/// Compiles and runs the examples of the README with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
