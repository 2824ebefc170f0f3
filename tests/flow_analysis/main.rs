//! Readouts, the evaluation panel, rollouts and calibration of flow policies.

mod calibration;
mod driving;
mod panel;
mod readouts;
mod rollout;
mod route_and_ranker;
mod support;
mod tables;
