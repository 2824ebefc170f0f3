//! Drawing action chunks from a velocity field: ODE solvers as orbits.

pub mod ranking;
