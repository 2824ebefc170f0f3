//! Weights of a decoder of any shape by a formula: speed does not depend on what was learned.

use crate::formats::{Array, ArrayMap, FormatError};
use crate::models::flow::DecoderConfig;
use attractor_kernels::philox::philox4x32;
use std::collections::BTreeMap;

/// Second word of the generator's key.
const KEY: u32 = 0xF10A;

/// Weights of a velocity decoder of shape `config` by formula.
///
/// Tensors in the order of their names have the numbers n = 0, 1, ...; element e of tensor n is word
/// e mod 4 of Philox4x32-10 at counter (e div 4, n, 0, 0) under (`key`, 0xF10A), mapped to +-bound: 0.1 for
/// biases, 0.5 for embeddings, 0.5 / sqrt(inputs) for modulations and 1.5 / sqrt(inputs) for other layers.
///
/// # Errors
/// [`FormatError`] for a shape that no array can have.
pub fn stand_in_decoder(config: &DecoderConfig, key: u32) -> Result<ArrayMap, FormatError> {
    let mut map = ArrayMap::new("weights by formula");
    for (number, (name, shape)) in (0u32..).zip(shapes(config)) {
        let values = elements((number, key), bound(&name, &shape), shape.iter().product());
        let array = Array::new(&shape, values);
        let array = array.map_err(|source| map.array_error(&name, source))?;
        map.insert(name, array)?;
    }
    Ok(map)
}

/// Names and shapes of a decoder's tensors, by name.
fn shapes(config: &DecoderConfig) -> BTreeMap<String, Vec<usize>> {
    let (d, hidden) = (config.dim, config.mult * config.dim);
    let mut shapes = BTreeMap::new();
    let mut layer = |name: String, outputs: usize, inputs: usize| {
        // Packed projections have an underscore where other layers have a dot.
        let separator = if name.ends_with("in_proj") { '_' } else { '.' };
        shapes.insert(format!("{name}{separator}weight"), vec![outputs, inputs]);
        shapes.insert(format!("{name}{separator}bias"), vec![outputs]);
    };
    if config.cond_dim != d {
        layer("condition_projection".into(), d, config.cond_dim);
    }
    layer("action_projection".into(), d, config.action_dim);
    layer("time_mlp.0".into(), 4 * d, d);
    layer("time_mlp.2".into(), d, 4 * d);
    layer("output_projection".into(), config.action_dim, d);
    let packed = if config.rope { "qkv_proj" } else { "in_proj" };
    for block in 0..config.layers {
        let prefix = format!("decoder.layers.{block}");
        layer(format!("{prefix}.adaLN_modulation"), 6 * d, d);
        layer(format!("{prefix}.cross_attn.in_proj"), 3 * d, d);
        layer(format!("{prefix}.cross_attn.out_proj"), d, d);
        layer(format!("{prefix}.self_attn.{packed}"), 3 * d, d);
        layer(format!("{prefix}.self_attn.out_proj"), d, d);
        layer(format!("{prefix}.mlp.l1"), 2 * hidden, d);
        layer(format!("{prefix}.mlp.l2"), d, hidden);
    }
    shapes.insert("position_embedding.weight".into(), vec![config.horizon, d]);
    if config.slot {
        shapes.insert("slot_modulation.weight".into(), vec![config.horizon, d]);
    }
    shapes
}

fn bound(name: &str, shape: &[usize]) -> f64 {
    let inputs = shape.last().copied().unwrap_or(1).max(1) as f64;
    match name {
        n if n.ends_with("bias") => 0.1,
        n if n.starts_with("position_embedding") || n.starts_with("slot_modulation") => 0.5,
        n if n.contains("adaLN_modulation") => 0.5 / inputs.sqrt(),
        _ => 1.5 / inputs.sqrt(),
    }
}

fn elements((number, key): (u32, u32), bound: f64, count: usize) -> Vec<f32> {
    let blocks = 0..count.div_ceil(4) as u32;
    let words = blocks.flat_map(|block| philox4x32([block, number, 0, 0], [key, KEY]));
    words
        .take(count)
        .map(|word| ((2.0 * f64::from(word) / 4_294_967_296.0 - 1.0) * bound) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_formula_is_the_one_of_the_recorded_hashes() {
        let config = DecoderConfig::default();
        let map = stand_in_decoder(&config, 7).expect("weights");
        let mut hash = Sha256::new();
        let mut parameters = 0;
        for name in shapes(&config).keys() {
            let array = map.get(name).expect("tensor");
            parameters += array.len();
            for value in array.to_f32().expect("f32") {
                hash.update(value.to_le_bytes());
            }
        }
        assert_eq!(parameters, 5_100_802);
        let found: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            found,
            "cb7c4e6bff6a3529576617af965533ca8f0131937536e7a32184d77652886d8b"
        );
    }

    #[test]
    fn every_shape_loads() {
        use crate::models::flow::DecoderWeights;
        let base = DecoderConfig {
            dim: 32,
            cond_dim: 16,
            ..DecoderConfig::default()
        };
        for config in [
            base.clone(),
            DecoderConfig {
                cond_dim: 32,
                slot: true,
                ..base.clone()
            },
            DecoderConfig {
                rope: false,
                mult: 2,
                ..base
            },
        ] {
            let map = stand_in_decoder(&config, 1).expect("weights");
            DecoderWeights::velocity(&config, &map).expect("a decoder");
        }
    }
}
