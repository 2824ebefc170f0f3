//! Weights of a decoder: stored under `w.`, or following from a hash of their place.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::checks::{CaseError, Checks};
use super::super::folder::Node;
use super::case::{Case, engine};
use crate::formats::{Array, ArrayMap};
use crate::models::flow::DecoderConfig;
use attractor_kernels::philox::philox4x32;

/// Second word of every key.
const KEY: u32 = 0xF10A;
/// Elements of all tensors; more are mistakes or attacks.
const LARGEST: usize = 1 << 28;

/// The shape of a case's decoder. What the configuration leaves out follows from the weights, if there
/// are any, and from the conditions.
pub(super) fn config(
    case: &Case<'_>,
    weights: Option<&ArrayMap>,
) -> Result<DecoderConfig, CaseError> {
    let mut known = DecoderConfig::default();
    if let Some(array) = case.arrays.find("in.cond")
        && let [.., tokens, width] = *array.shape()
    {
        (known.tokens, known.cond_dim) = (tokens, width);
    }
    let known = match weights {
        Some(weights) => DecoderConfig::infer(weights, &known),
        None => known,
    };
    let mut merged = serde_json::to_value(&known).map_err(engine)?;
    let given = case.config.json().as_object().into_iter().flatten();
    for (key, value) in given {
        if let Some(place) = merged.get_mut(key) {
            *place = value.clone();
        }
    }
    let text = Value::to_string(&merged);
    DecoderConfig::from_json("index.json", &text).map_err(engine)
}

/// The decoder of a case: its shape and its weights.
pub(super) fn decoder(case: &Case<'_>) -> Result<(DecoderConfig, ArrayMap), CaseError> {
    if let Some(key) = case.config.find("philox_key") {
        let config = config(case, None)?;
        let weights = procedural(case, &config, key_word(&key)?)?;
        return Ok((config, weights));
    }
    let weights = case.weights()?;
    Ok((config(case, Some(&weights))?, weights))
}

/// Number of parameters and hashes of procedural weights.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let key = key_word(&case.config.get("philox_key")?)?;
    let weights = procedural(case, &config(case, None)?, key)?;
    if let Some(expected) = case.config.find("parameters") {
        let found: usize = weights.iter().map(|(_, array)| array.len()).sum();
        checks.equal("parameters", &[found], &[expected.as_size()?]);
    }
    if let Some(listed) = case.config.find("sha256_first") {
        for (name, expected) in listed.entries() {
            let found = hash(std::iter::once(weights.get(name)?))?;
            checks.equal(
                &format!("sha256 of {name}"),
                &[&*found],
                &[expected.as_text()?],
            );
        }
    }
    if let Some(expected) = case.config.find("sha256_all") {
        let found = hash(weights.iter().map(|(_, array)| array))?;
        checks.equal("sha256_all", &[&*found], &[expected.as_text()?]);
    }
    Ok(())
}

fn key_word(key: &Node<'_>) -> Result<u32, CaseError> {
    u32::try_from(key.as_size()?).map_err(|_| key.wrong("32 bits"))
}

/// SHA-256 of the little-endian f32 of the arrays, one after the other, in hexadecimal digits.
fn hash<'a>(arrays: impl Iterator<Item = &'a Array>) -> Result<String, CaseError> {
    let mut hasher = Sha256::new();
    for array in arrays {
        let values = array.to_f32().map_err(engine)?;
        values.iter().for_each(|v| hasher.update(v.to_le_bytes()));
    }
    Ok(hexadecimal(hasher))
}

pub(super) fn hexadecimal(hasher: Sha256) -> String {
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All tensors by their rule. It does not say whether the slots' modulation counts among the embeddings;
/// the hash of all decides, and an embedding it is without one.
fn procedural(case: &Case<'_>, config: &DecoderConfig, key: u32) -> Result<ArrayMap, CaseError> {
    let weights = tensors(config, key, true)?;
    let Some(expected) = case.config.find("sha256_all").filter(|_| config.slot) else {
        return Ok(weights);
    };
    if hash(weights.iter().map(|(_, array)| array))? == expected.as_text()? {
        return Ok(weights);
    }
    tensors(config, key, false)
}

fn tensors(
    config: &DecoderConfig,
    key: u32,
    slot_is_embedding: bool,
) -> Result<ArrayMap, CaseError> {
    let shapes = shapes(config);
    let count = |shape: &Vec<usize>| {
        shape
            .iter()
            .try_fold(1_usize, |n, &size| n.checked_mul(size))
    };
    let total = shapes
        .values()
        .try_fold(0_usize, |sum, shape| sum.checked_add(count(shape)?));
    if total.is_none_or(|total| total > LARGEST) {
        return Err(engine(format!(
            "procedural weights: more than {LARGEST} elements"
        )));
    }
    let mut weights = ArrayMap::new("procedural weights");
    for (number, (name, shape)) in shapes.iter().enumerate() {
        let bound = bound(name, shape, slot_is_embedding);
        let length = count(shape).unwrap_or(0);
        let values = values(number as u32, key, bound, length);
        let array = Array::new(shape, values).map_err(engine)?;
        weights.insert(name, array)?;
    }
    Ok(weights)
}

/// Element e is word e mod 4 of counter (e div 4, number of the tensor, 0, 0), spread over the bound.
fn values(tensor: u32, key: u32, bound: f64, length: usize) -> Vec<f32> {
    let blocks = 0..length.div_ceil(4) as u32;
    let words = blocks.flat_map(|block| philox4x32([block, tensor, 0, 0], [key, KEY]));
    let value = |word: u32| (2.0 * f64::from(word) / 4_294_967_296.0 - 1.0) * bound;
    words.take(length).map(|word| value(word) as f32).collect()
}

fn bound(name: &str, shape: &[usize], slot_is_embedding: bool) -> f64 {
    let embedding = name.contains("embedding")
        || name.contains("queries")
        || (slot_is_embedding && name.starts_with("slot_modulation"));
    let fan_in = shape.last().copied().unwrap_or(1) as f64;
    if name.ends_with("bias") {
        0.1
    } else if embedding {
        0.5
    } else if name.contains("adaLN") {
        0.5 / fan_in.sqrt()
    } else {
        1.5 / fan_in.sqrt()
    }
}

/// Names and shapes of a velocity decoder's state dict, in order of the names.
fn shapes(config: &DecoderConfig) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    let dim = config.dim;
    let mut affine = |name: &str, separator: char, out: usize, width: usize| {
        shapes.insert(format!("{name}{separator}weight"), vec![out, width]);
        shapes.insert(format!("{name}{separator}bias"), vec![out]);
    };
    if config.cond_dim != dim {
        affine("condition_projection", '.', dim, config.cond_dim);
    }
    affine("action_projection", '.', dim, config.action_dim);
    affine("output_projection", '.', config.action_dim, dim);
    affine("time_mlp.0", '.', 4 * dim, dim);
    affine("time_mlp.2", '.', dim, 4 * dim);
    for layer in 0..config.layers {
        let at = |name: &str| format!("decoder.layers.{layer}.{name}");
        affine(&at("cross_attn.in_proj"), '_', 3 * dim, dim);
        affine(&at("cross_attn.out_proj"), '.', dim, dim);
        match config.rope {
            true => affine(&at("self_attn.qkv_proj"), '.', 3 * dim, dim),
            false => affine(&at("self_attn.in_proj"), '_', 3 * dim, dim),
        }
        affine(&at("self_attn.out_proj"), '.', dim, dim);
        affine(&at("mlp.l1"), '.', 2 * config.mult * dim, dim);
        affine(&at("mlp.l2"), '.', dim, config.mult * dim);
        affine(&at("adaLN_modulation"), '.', 6 * dim, dim);
    }
    let table = vec![config.horizon, dim];
    if config.slot {
        shapes.insert("slot_modulation.weight".into(), table.clone());
    }
    shapes.insert("position_embedding.weight".into(), table);
    shapes
}
