//! Control tasks: goldens of the simulator, environments, laws of mechanics, symmetries, bad input, shaders.

#[path = "../common/mod.rs"]
mod common;

mod environments;
mod goldens;
mod shaders;
