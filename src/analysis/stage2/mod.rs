//! Offline metrics of learned control models against the true dynamics, beside the planning gap.
//!
//! Of a learned map f and the true map F of observations, over sampled states s and a finite set of
//! actions a, with scores as the planner has them:
//! M1, the mean of `|f(s, a) - F(s, a)|`; M2, the mean distance of the ends of roll-outs of K steps under
//! one sequence of actions; M3, the mean of Kendall's tau-b between the scores of the actions under F and
//! under f. Beyond these: M3 of actions that are held for K steps, and M4, see [`exponents`].

pub mod arms;
mod cell;
mod error;
pub mod exponents;
mod metrics;
mod registry;
mod report;
mod sample;

pub use cell::{CellRow, Context, Downstream, Measured};
pub use error::Stage2Error;
pub use metrics::{Metrics, Predictions, action_agreement, distances, measure, one_step};
pub use registry::{Entry, REGISTRY, Skipped, Source, downstream};
pub use report::{ALL_METRICS, METRICS, Report, ReportConfig, within, within_all};
pub use sample::{Sample, SampleSettings};
