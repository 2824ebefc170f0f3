//! Losses of flow matching from the engine's own velocity.

use super::super::checks::{CaseError, Checks};
use super::super::folder::Node;
use super::case::{Case, engine};
use super::conditions::Conditions;
use super::decoder::{self, TOLERANCE, TOLERANCE_F64};
use crate::samplers::flow::{FlowSampler, VelocityRequest};
use crate::training::flow_losses::{ChunkShape, FlowBatch, FlowLoss, flow_loss};

/// The recorded batch and the engine's velocity for it.
struct Recorded {
    shape: ChunkShape,
    target: Vec<f64>,
    noise: Vec<f64>,
    times: Vec<f64>,
    velocity: Vec<f64>,
    weights: Option<Vec<f64>>,
}

impl Recorded {
    fn read(case: &Case<'_>, sampler: &FlowSampler) -> Result<Self, CaseError> {
        let config = sampler.config();
        let (horizon, channels) = (config.horizon, config.action_dim);
        let conditions = Conditions::read(case, sampler)?;
        let (batch, target) = case.rows_f64("in.x1", &[horizon, channels])?;
        let (noises, noise) = case.rows_f64("in.noise", &[horizon, channels])?;
        let (count, times) = case.rows_f64("in.t", &[])?;
        if (noises, count) != (batch, batch) {
            return Err(engine(format!(
                "in.noise and in.t: expected {batch} chunks, found {noises} and {count}"
            )));
        }
        let weights = match case.arrays.contains("in.weight") {
            true => Some(case.rows_f64("in.weight", &[1, channels])?.1),
            false => None,
        };
        let chunk = horizon * channels;
        let rows = target.chunks(chunk).zip(noise.chunks(chunk)).zip(&times);
        let at = |((target, noise), &t): ((&[f64], &[f64]), &f64)| -> Vec<f32> {
            let pairs = target.iter().zip(noise);
            pairs
                .map(|(x1, eps)| ((1.0 - t) * eps + t * x1) as f32)
                .collect()
        };
        let x: Vec<f32> = rows.flat_map(at).collect();
        let request = VelocityRequest {
            conditions: &conditions.values,
            frames: conditions.frames,
            draws: conditions.draws("in.x1", batch)?,
            x: &x,
            times: &times,
        };
        let velocity = sampler.velocity(&request).map_err(engine)?;
        Ok(Self {
            shape: ChunkShape {
                batch,
                horizon,
                channels,
            },
            target,
            noise,
            times,
            velocity,
            weights,
        })
    }

    fn loss(&self, weighted: bool, delta_weight: f64) -> Result<FlowLoss, CaseError> {
        let weights = self.weights.as_deref().filter(|_| weighted);
        if weighted && weights.is_none() {
            return Err(engine("in.weight: expected weights, found none"));
        }
        let batch = FlowBatch {
            shape: self.shape,
            target: &self.target,
            noise: &self.noise,
            times: &self.times,
            velocity: &self.velocity,
            weights,
        };
        Ok(flow_loss(&batch, delta_weight)?)
    }
}

pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let recorded = match case.config.find("weights") {
        Some(other) => {
            let name = other.as_text()?;
            let entry = case.folder.index().get(name)?;
            let other = Case::read(case.folder, name, &entry, case.device)?;
            Recorded::read(case, &decoder::sampler(&other)?)?
        }
        None => Recorded::read(case, &decoder::sampler(case)?)?,
    };
    let tolerance = case.tolerance(TOLERANCE, TOLERANCE_F64);
    if case.arrays.contains("out.velocity") {
        case.compare("out.velocity", &recorded.velocity, tolerance, checks)?;
    }
    for (name, expected) in case.config.get("scalars")?.entries() {
        check_scalars(case, &recorded, name, &expected, checks)?;
    }
    Ok(())
}

/// One set of numbers; its name says whether weights and the chunk-delta term count.
fn check_scalars(
    case: &Case<'_>,
    recorded: &Recorded,
    name: &str,
    expected: &Node<'_>,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let (weighted, delta) = match name {
        "plain" | "buckets" => (false, false),
        "lds" => (true, false),
        "delta" => (false, true),
        "lds_delta" => (true, true),
        _ => {
            case.leave(format!("scalars.{name}"));
            return Ok(());
        }
    };
    let delta_weight = match delta {
        true => case.config.number("delta_weight")?,
        false => 0.0,
    };
    let loss = recorded.loss(weighted, delta_weight)?;
    let tolerance = case.tolerance(TOLERANCE, TOLERANCE_F64);
    if name == "buckets" {
        checks.equal(
            "buckets",
            &[loss.buckets.len()],
            &[expected.entries().len()],
        );
    }
    for (key, value) in expected.entries() {
        let what = format!("{name}.{key}");
        let found = match key {
            _ if name == "buckets" => {
                let mut buckets = loss.buckets.iter();
                let bucket = buckets.find(|(edge, _)| *edge == key);
                let Some((_, mean)) = bucket else {
                    checks.fail(format!("{what}: no row has a time in this bin"));
                    continue;
                };
                *mean
            }
            "flow_mse" => loss.flow_mse,
            "flow_term" => loss.flow_term,
            "loss" => loss.loss,
            "chunk_delta_mse" => loss.chunk_delta_mse.unwrap_or(f64::NAN),
            _ => {
                case.leave(format!("scalars.{what}"));
                continue;
            }
        };
        case.compare_number(&value, &what, found, tolerance, checks)?;
    }
    Ok(())
}
