//! How good the draws of a flow-matching policy are: readouts, the evaluation panel, fan and lag,
//! action feedback, calibration.
//!
//! Draws and truth are f32 in raw action space; every sum, mean and comparison here is f64, frame by
//! frame in a fixed order, so a frame gives the same bits alone and in a batch.

mod calibration;
mod draws;
mod driving;
mod panel;
mod ranking;
mod readouts;
mod rollout;
mod route;
mod statistics;

pub use calibration::{Calibration, CalibrationRow, Mark, ModeTest, calibrate};
pub use draws::{Chunks, Draws, FlowDataError, FrameDraws};
pub use driving::{DrivingHistory, decision_marks, decision_test, waypoints};
pub use panel::{
    BySubset, Census, ChannelTable, ChunkCorrelation, Decomposition, DriveRow, Fan, FanSubsets,
    Maneuver, MaskedError, Panel, PanelConfig, PanelInput, SteeringSeries, VarianceTax, evaluate,
    fan,
};
pub use ranking::{RankedReadouts, RankingConfig, rank_readouts};
pub use readouts::{ModeRule, ModeSplit, Readout, ReadoutError, read_out};
pub use rollout::{
    ActionHistory, DepthErrors, Rollout, RolloutBatch, RolloutConfig, RolloutInput, roll_out,
};
pub use route::{
    JointCount, RouteReport, RouteSelector, Routes, evaluate_route_selector, signed_turn,
};
pub use statistics::{drive_runs, pearson};
