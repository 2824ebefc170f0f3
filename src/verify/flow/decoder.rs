//! Single evaluations of a velocity decoder with their intermediates, and of a regression head.

use super::super::checks::{CaseError, Checks};
use super::case::{Case, engine, number};
use super::conditions::Conditions;
use super::{trajectories, weights};
use crate::models::flow::time_features;
use crate::samplers::flow::{FlowSampler, RegressionHead, VelocityRequest};

/// Relative to the largest expected number, as the specification suggests.
pub(super) const TOLERANCE: f64 = 1e-5;
/// The same where everything but the time features is computed in f64.
pub(super) const TOLERANCE_F64: f64 = 1e-6;

pub(super) fn sampler(case: &Case<'_>) -> Result<FlowSampler, CaseError> {
    let (config, weights) = weights::decoder(case)?;
    FlowSampler::new(config, &weights, case.device).map_err(engine)
}

/// Everything that a case of a decoder may hold.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let mut sampler = sampler(case)?;
    let conditions = Conditions::read(case, &sampler)?;
    if case.arrays.contains("in.x") {
        if case.arrays.contains("in.t") {
            check_evaluation(case, &sampler, &conditions, checks)?;
        }
        for (name, text) in case.outputs("velocity.t") {
            if let Some(time) = number(text) {
                check_at(case, &sampler, &conditions, (name, time), checks)?;
            }
        }
    }
    trajectories::check(case, &mut sampler, &conditions, checks)
}

/// One evaluation at the recorded times, with every intermediate that the engine has.
fn check_evaluation(
    case: &Case<'_>,
    sampler: &FlowSampler,
    conditions: &Conditions,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let config = sampler.config();
    let (rows, x) = case.rows("in.x", &[config.horizon, config.action_dim])?;
    let (_, times) = case.rows_f64("in.t", &[])?;
    let request = VelocityRequest {
        conditions: &conditions.values,
        frames: conditions.frames,
        draws: conditions.draws("in.x", rows)?,
        x: &x,
        times: &times,
    };
    let (velocity, found) = sampler.intermediates(&request).map_err(engine)?;
    let tolerance = case.tolerance(TOLERANCE, TOLERANCE_F64);
    for (name, short) in case.outputs("") {
        let features;
        let values = match short {
            "velocity" => &velocity,
            "time_features" => {
                features = time_features(config, &times);
                let wide: Vec<f64> = features.iter().map(|&f| f64::from(f)).collect();
                case.compare(name, &wide, tolerance, checks)?;
                continue;
            }
            // Not projected, the conditions are the context.
            "context" if !found.contains_key(short) => {
                let wide: Vec<f64> = conditions.values.iter().map(|&v| f64::from(v)).collect();
                case.compare(name, &wide, tolerance, checks)?;
                continue;
            }
            _ => match found.get(short) {
                Some(recorded) => &recorded.values,
                None => continue,
            },
        };
        case.compare(name, values, tolerance, checks)?;
    }
    Ok(())
}

/// The velocity of every state at one time.
fn check_at(
    case: &Case<'_>,
    sampler: &FlowSampler,
    conditions: &Conditions,
    (name, time): (&str, f64),
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let config = sampler.config();
    let (rows, x) = case.rows("in.x", &[config.horizon, config.action_dim])?;
    let request = VelocityRequest {
        conditions: &conditions.values,
        frames: conditions.frames,
        draws: conditions.draws("in.x", rows)?,
        x: &x,
        times: &vec![time; rows],
    };
    let velocity = sampler.velocity(&request).map_err(engine)?;
    let tolerance = case.tolerance(TOLERANCE, TOLERANCE_F64);
    case.compare(name, &velocity, tolerance, checks)
}

/// `out.model` of a regression head.
pub(super) fn check_regression(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    if case.config.find("philox_key").is_some() {
        let reason = "procedural weights of a regression head are not known";
        return Err(CaseError::Unsupported(reason.into()));
    }
    let weights = case.weights()?;
    let config = weights::config(case, Some(&weights))?;
    let (tokens, width) = (config.tokens, config.cond_dim);
    let head = RegressionHead::new(config, &weights, case.device).map_err(engine)?;
    let (frames, conditions) = case.rows("in.cond", &[tokens, width])?;
    let actions = head.predict(&conditions, frames).map_err(engine)?;
    let tolerance = case.tolerance(TOLERANCE, TOLERANCE_F64);
    case.compare("out.model", &actions, tolerance, checks)
}
