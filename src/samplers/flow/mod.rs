//! Drawing action chunks from a velocity field: ODE solvers as orbits.

mod adaptive;
mod advise;
mod error;
mod field;
mod forward;
mod noise;
mod profile;
mod refine;
mod request;
mod run;
mod sampler;
mod solver;
mod variational;

pub use adaptive::{AdaptiveSettings, AdaptiveTensors, solve_adaptively};
pub use advise::{
    Advice, AdviceOptions, EndPointError, MeasuredSolver, adaptive_at, advise, usual_candidates,
};
pub use error::FlowError;
pub use field::{
    FieldBackground, FieldOptions, FieldPlane, FieldViews, field_views, quantile_ranks,
};
pub use forward::{RegressionHead, VelocityRequest};
pub use noise::fill_noise;
pub use request::{FlowDraws, FlowReport, FlowRequest, Noise, Solver};
pub use sampler::FlowSampler;
pub use solver::{Method, SolverTensors, solve};
pub use variational::{decoder_map, mlp_map};
