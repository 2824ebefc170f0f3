//! A sampler as a map whose exponents can be measured: one solver step at a time, the variational
//! equation of the flow.

use super::error::{FlowError, refuse};
use super::solver::{Method, solve};
use crate::graph::{Constant, Graph, TensorId};
use crate::models::field::VelocityField;
use crate::models::flow::{
    DecoderConfig, DecoderWeights, FlowBatch, VelocityDecoder, time_features,
};
use crate::models::mlp::{Mlp, MlpField};
use crate::orbit::IteratedMap;
use std::sync::Arc;

/// The longest schedule: times are a table in the graph.
const MOST_STEPS: usize = 1 << 20;

/// `steps` steps of a method over a field, without its inputs: the schedule and the conditions.
fn steps_of(
    field: &mut impl VelocityField,
    method: Method,
    steps: usize,
) -> Result<IteratedMap, FlowError> {
    if steps == 0 || steps > MOST_STEPS {
        let expected = format!("1 to {MOST_STEPS}");
        return Err(refuse("steps", expected, steps));
    }
    let (batch, dimension) = (field.rows(), field.width());
    let mut graph = Graph::new();
    let solved = solve(&mut graph, field, method, steps, false);
    Ok(IteratedMap {
        updates: vec![graph.nodes().len()],
        graph,
        state: solved.state,
        batch,
        dimension,
    })
}

/// Makes an input of the map a constant.
fn fix(map: &mut IteratedMap, id: Option<TensorId>, values: Constant) -> Result<(), FlowError> {
    match id {
        Some(id) => Ok(map.graph.fix(id, values)?),
        None => Ok(()),
    }
}

/// The sampler of a perceptron of state and time, from t = 0 to t = 1 in `steps` steps, over `batch`
/// states. Exponents of the flow are sums of log R over its time, 1.
///
/// # Errors
/// [`FlowError`] if the perceptron is no velocity field, or steps or batch are out of range.
pub fn mlp_map(
    mlp: &Mlp,
    batch: usize,
    method: Method,
    steps: usize,
) -> Result<IteratedMap, FlowError> {
    let field = MlpField::new(mlp, batch);
    let mut field = field.map_err(|error| refuse("field", "a velocity field", error))?;
    let mut map = steps_of(&mut field, method, steps)?;
    let times = Constant::Double(Arc::new(method.times(steps)));
    fix(&mut map, field.times(), times)?;
    Ok(map)
}

/// The sampler of a velocity decoder, from t = 0 to t = 1 in `steps` steps, over `batch.draws` noises for
/// each of `batch.frames` conditions `[frames, S, Dc]`, which are constants of the map.
///
/// # Errors
/// [`FlowError`] if the configuration, the weights and the conditions do not fit each other, or steps or
/// batch are out of range.
pub fn decoder_map(
    config: &DecoderConfig,
    weights: &DecoderWeights,
    batch: FlowBatch,
    conditions: &[f32],
    method: Method,
    steps: usize,
) -> Result<IteratedMap, FlowError> {
    config.check("configuration")?;
    let rows = batch.frames.saturating_mul(batch.draws);
    if rows == 0 || rows.saturating_mul(config.chunk()) > u32::MAX as usize {
        let found = format!("{} x {}", batch.frames, batch.draws);
        return Err(refuse("batch", "at least one row, not too many", found));
    }
    let expected = [batch.frames, config.tokens, config.cond_dim];
    let count = expected.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let finite = conditions.iter().all(|value| value.is_finite());
    if count != Some(conditions.len()) || !finite {
        let found = match finite {
            true => format!("{} numbers", conditions.len()),
            false => "one that is not finite".into(),
        };
        let expected = format!("finite numbers {expected:?}");
        return Err(refuse("conditions", expected, found));
    }
    let decoder = VelocityDecoder::new(config, weights, batch, false);
    let mut decoder =
        decoder.ok_or_else(|| refuse("weights", "a velocity decoder", "a regression head"))?;
    let mut map = steps_of(&mut decoder, method, steps)?;
    let features = time_features(config, &method.times(steps));
    fix(
        &mut map,
        decoder.features(),
        Constant::Float(Arc::new(features)),
    )?;
    let conditions = Constant::Float(Arc::new(conditions.to_vec()));
    fix(&mut map, decoder.conditions(), conditions)?;
    Ok(map)
}
