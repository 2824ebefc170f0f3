//! Planning with a TD-MPC2 world model: goldens of the reference, batches, draws, requests that do not fit.

mod batches;
#[path = "../common/mod.rs"]
mod common;
mod goldens;
mod requests;
mod support;
