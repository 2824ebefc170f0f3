//! attractor

pub mod formats;
