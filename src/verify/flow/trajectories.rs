//! End points and trajectories of the solvers with recorded noise.

use super::super::checks::{CaseError, Checks};
use super::case::{Case, engine, number};
use super::conditions::Conditions;
use crate::samplers::flow::{FlowRequest, FlowSampler, Method, Noise, Solver};

/// Relative to the largest expected number, as the specification suggests.
const TOLERANCE: f64 = 2e-5;
/// The same where everything but the time features is computed in f64.
const TOLERANCE_F64: f64 = 2e-6;

const EXACT: &str = "out.exact";

/// A method, a number of steps and a factor of the noise, as a name tells them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Integration {
    method: Method,
    steps: usize,
    temperature: f64,
}

impl Integration {
    /// `heun.32` or `heun.32.temperature2`, without its `out.`.
    fn of_name(text: &str) -> Option<Self> {
        let (method, rest) = text.split_once('.')?;
        let (steps, suffix) = match rest.split_once('.') {
            Some((steps, suffix)) => (steps, Some(suffix)),
            None => (rest, None),
        };
        let temperature = match suffix {
            Some(suffix) => number(suffix.strip_prefix("temperature")?)?,
            None => 1.0,
        };
        Some(Self {
            method: method.parse().ok()?,
            steps: steps.parse().ok()?,
            temperature,
        })
    }

    /// `rk4/256`.
    fn of_exact(text: &str) -> Option<Self> {
        let (method, steps) = text.split_once('/')?;
        Some(Self {
            method: method.parse().ok()?,
            steps: steps.parse().ok()?,
            temperature: 1.0,
        })
    }
}

/// Whether a tensor is an output of this kind.
pub(super) fn is_output(name: &str) -> bool {
    let integration = name.strip_prefix("out.").and_then(Integration::of_name);
    name == EXACT || name.starts_with("out.velocity.t") || integration.is_some()
}

pub(super) fn check(
    case: &Case<'_>,
    sampler: &mut FlowSampler,
    conditions: &Conditions,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    if let Some(draws) = case.config.find("draws")
        && case.arrays.contains("in.noise")
    {
        let rows = case.rows("in.noise", &chunk(sampler))?.0;
        let found = conditions.draws("in.noise", rows)?;
        checks.equal("draws", &[found], &[draws.as_size()?]);
    }
    for (name, text) in case.outputs("") {
        let integration = if name == EXACT {
            let exact = case.config.get("exact")?;
            let integration = Integration::of_exact(exact.as_text()?);
            Some(integration.ok_or_else(|| exact.wrong("METHOD/STEPS"))?)
        } else {
            Integration::of_name(text)
        };
        if let Some(integration) = integration {
            check_one(case, sampler, conditions, (name, integration), checks)?;
        }
    }
    Ok(())
}

fn chunk(sampler: &FlowSampler) -> [usize; 2] {
    [sampler.config().horizon, sampler.config().action_dim]
}

/// End points `[rows, H, A]`, or every state `[rows, steps + 1, H, A]`.
fn check_one(
    case: &Case<'_>,
    sampler: &mut FlowSampler,
    conditions: &Conditions,
    (name, integration): (&str, Integration),
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let (rows, mut noise) = case.rows("in.noise", &chunk(sampler))?;
    let (shape, expected) = case.expected(name)?;
    for value in &mut noise {
        *value = (f64::from(*value) * integration.temperature) as f32;
    }
    let (method, steps) = (integration.method, integration.steps);
    let record = shape.len() == 4;
    let request = FlowRequest {
        conditions: &conditions.values,
        frames: conditions.frames,
        first_frame: 0,
        draws: conditions.draws("in.noise", rows)?,
        noise: Noise::Recorded(&noise),
        solver: Solver::Fixed { method, steps },
        record,
    };
    let draws = sampler.sample(&request).map_err(engine)?;
    let found = match &draws.trajectories {
        Some(trajectories) if record => trajectories,
        _ => &draws.values_f64,
    };
    let tolerance = case.tolerance(TOLERANCE, TOLERANCE_F64);
    checks.close_to_scale(name, found, &expected, tolerance);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_how_to_integrate() {
        let integration = |method, steps, temperature| Integration {
            method,
            steps,
            temperature,
        };
        let of = Integration::of_name;
        assert_eq!(of("heun.32"), Some(integration(Method::Heun, 32, 1.0)));
        let hot = Some(integration(Method::Rk4, 8, 0.5));
        assert_eq!(of("rk4.8.temperature0.5"), hot);
        assert_eq!(of("rk4.8.seed0"), None);
        assert_eq!(of("heun"), None);
        assert_eq!(of("adams.8"), None);
        let exact = Some(integration(Method::Rk4, 256, 1.0));
        assert_eq!(Integration::of_exact("rk4/256"), exact);
    }
}
