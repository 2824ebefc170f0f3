//! The trained planner and the recorded observations that come with the product, and tiny models.

use attractor::device::Device;
use attractor::formats::{Array, ArrayMap, load_arrays};
use attractor::models::remdm::DenoiserConfig;
use attractor::samplers::{Observations, Planner, SamplerKind, SamplerSettings};
use std::path::{Path, PathBuf};

pub fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets")
        .join(name)
}

pub fn config() -> DenoiserConfig {
    let file = asset("remdm_minihack.json");
    let text = std::fs::read_to_string(&file).expect("configuration");
    DenoiserConfig::from_json("remdm_minihack.json", &text).expect("configuration")
}

pub fn weights() -> ArrayMap {
    load_arrays(asset("remdm_minihack.safetensors")).expect("weights")
}

pub fn observations() -> Observations {
    let arrays = load_arrays(asset("minihack_eval_observations.npz")).expect("observations");
    Observations::from_arrays(&config(), &arrays).expect("observations")
}

pub fn planner(device: &Device) -> Planner {
    Planner::new(config(), &weights(), device).expect("planner")
}

/// Default settings of a sampler with another number of steps.
pub fn settings(sampler: SamplerKind, steps: u32) -> SamplerSettings {
    SamplerSettings {
        steps,
        ..SamplerSettings::new(sampler)
    }
}

/// A model small enough to be of no weight in a test.
pub fn tiny_config() -> DenoiserConfig {
    DenoiserConfig {
        map_h: 7,
        map_w: 11,
        n_embd: 16,
        n_head: 2,
        n_layer: 2,
        seq_len: 10,
        ..DenoiserConfig::default()
    }
}

/// Names and shapes of a model's state dict.
pub fn state_dict(config: &DenoiserConfig) -> Vec<(String, Vec<usize>)> {
    let (e, a) = (config.n_embd, config.action_dim);
    let cells = config.crop_size * config.crop_size;
    let mut all: Vec<(String, Vec<usize>)> = Vec::new();
    let mut affine = |prefix: &str, shape: &[usize]| {
        all.push((format!("{prefix}.weight"), shape.to_vec()));
        all.push((format!("{prefix}.bias"), vec![shape[0]]));
    };
    affine("cnn.0", &[32, 64, 3, 3]);
    affine("cnn.2", &[64, 32, 3, 3]);
    affine("cnn.5", &[e, 64 * cells]);
    affine("head", &[a, e]);
    for index in 0..config.n_layer {
        let layer = format!("transformer.layers.{index}");
        affine(&format!("{layer}.self_attn.out_proj"), &[e, e]);
        affine(&format!("{layer}.linear1"), &[4 * e, e]);
        affine(&format!("{layer}.linear2"), &[e, 4 * e]);
        affine(&format!("{layer}.norm1"), &[e]);
        affine(&format!("{layer}.norm2"), &[e]);
    }
    if config.use_global_stream {
        affine("global_cnn.0", &[32, 32, 5, 5]);
        affine("global_cnn.2", &[64, 32, 3, 3]);
        affine("global_proj", &[e, 64]);
        affine("goal_head.0", &[128, e]);
        affine("goal_head.2", &[2, 128]);
    }
    for index in 0..config.n_layer {
        let attention = format!("transformer.layers.{index}.self_attn");
        all.push((format!("{attention}.in_proj_weight"), vec![3 * e, e]));
        all.push((format!("{attention}.in_proj_bias"), vec![3 * e]));
    }
    all.push(("embedding.weight".into(), vec![6000, 64]));
    all.push(("action_emb.weight".into(), vec![a + 2, e]));
    all.push((
        "timestep_emb.weight".into(),
        vec![config.num_diffusion_steps, e],
    ));
    all.push(("pos_emb.weight".into(), vec![config.seq_len, e]));
    if config.use_global_stream {
        all.push(("global_embedding.weight".into(), vec![6000, 32]));
        all.push(("global_gate".into(), vec![]));
    }
    all
}

/// Random weights, one tensor passed through `change` by name.
pub fn random_weights(config: &DenoiserConfig, change: impl Fn(&str, &mut Vec<f32>)) -> ArrayMap {
    let mut map = ArrayMap::new("random.safetensors");
    for (salt, (name, shape)) in (0u64..).zip(state_dict(config)) {
        let count: usize = shape.iter().product();
        let fan_in: usize = shape.iter().skip(1).product();
        let scale = if name.contains("emb") {
            1.0
        } else {
            2.0 / (fan_in as f32).sqrt()
        };
        let mut values: Vec<f32> = super::values(count, salt)
            .into_iter()
            .map(|v| v * scale)
            .collect();
        change(&name, &mut values);
        map.insert(name, Array::new(&shape, values).expect("array"))
            .expect("a new name");
    }
    map
}

/// A planner with random weights.
pub fn tiny_planner(device: &Device) -> Planner {
    let config = tiny_config();
    let weights = random_weights(&config, |_, _| {});
    Planner::new(config, &weights, device).expect("planner")
}

/// Made-up observations for a configuration.
pub fn made_up(config: &DenoiserConfig, count: usize) -> Observations {
    let glyphs = |length: usize, salt: u64| -> Vec<i32> {
        let values = super::values(length, salt);
        values
            .into_iter()
            .map(|v| (2990.0 + 2980.0 * v) as i32)
            .collect()
    };
    let cells = config.crop_size * config.crop_size;
    let level = config.map_h * config.map_w;
    Observations::new(config, glyphs(count * cells, 1), glyphs(count * level, 2))
        .expect("observations")
}
