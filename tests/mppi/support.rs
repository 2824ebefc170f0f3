//! A small model with random weights and a planner over it.

use attractor::device::Device;
use attractor::formats::ArrayMap;
use attractor::models::tdmpc2::{InitialWeights, Tdmpc2, Tdmpc2Config, random_weights};
use attractor::samplers::mppi::{Mppi, MppiSettings};

pub fn config() -> Tdmpc2Config {
    Tdmpc2Config {
        obs_dim: 4,
        action_dim: 2,
        latent_dim: 16,
        enc_dim: 24,
        mlp_dim: 20,
        num_q: 4,
        num_bins: 21,
        iterations: 3,
        num_samples: 37,
        num_elites: 9,
        num_pi_trajs: 5,
        horizon: 3,
        ..Tdmpc2Config::default()
    }
}

pub fn weights(config: &Tdmpc2Config) -> ArrayMap {
    random_weights(config, InitialWeights::Spread, 7).unwrap()
}

pub fn planner_of(config: &Tdmpc2Config, device: &Device) -> Mppi {
    let model = Tdmpc2::read(&weights(config), config, None).unwrap();
    Mppi::new(model, MppiSettings::of(config), device).unwrap()
}

pub fn planner(device: &Device) -> Mppi {
    planner_of(&config(), device)
}

/// Observations of so many environments.
pub fn observations(count: usize) -> Vec<f32> {
    (0..count * 4)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0)
        .collect()
}
