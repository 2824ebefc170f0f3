//! What a step does beside the network: schedules, sampling, unmasking and remasking.

mod chunks;
mod compiled;
pub mod ensemble;
mod error;
pub mod flow;
mod forward;
pub mod mppi;
mod observations;
mod planner;
mod profile;
pub mod recursive;
pub mod schedule;
mod settings;
pub mod shooting;
mod step;
mod tables;
pub mod tabular;

pub use error::PlannerError;
pub use forward::{Activation, ForwardRequest};
pub use observations::{Draws, Observations, PlanRequest, PlannerReport, Plans, Recorded, Trace};
pub use planner::Planner;
pub use profile::RunProfile;
pub use settings::{RemaskStrategy, SamplerKind, SamplerSettings, SettingsError};
pub use tables::StepTables;
