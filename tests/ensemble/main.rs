//! Ensembles of trajectories: orders of convergence, tolerances, independence of place and cut, errors,
//! devices.

mod devices;
mod orders;
mod refusals;

use attractor::samplers::ensemble::{Ensemble, Stepping};
use attractor_kernels::ode_ensemble::{OdeField, OdeMethod};

/// Lorenz's parameters.
pub const LORENZ: [f64; 3] = [10.0, 28.0, 8.0 / 3.0];

/// `[dimension, count]` numbers around one, spread by a multiplicative hash.
pub fn spread(dimension: usize, count: usize) -> Vec<f64> {
    (1..=(dimension * count) as u64)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1u64 << 24) as f64 + 0.5)
        .collect()
}

/// An ensemble under steps of one size.
pub fn fixed(field: OdeField, method: OdeMethod, step: f64, steps: u32) -> Ensemble {
    Ensemble::new(
        field,
        Stepping::Fixed {
            method,
            step,
            steps,
        },
    )
}

/// An ensemble under step control with one tolerance for all.
pub fn controlled(field: OdeField, span: f64, tolerance: f32, attempts: u32) -> Ensemble {
    let stepping = Stepping::Controlled {
        span,
        relative: tolerance,
        absolute: tolerance,
        first_step: 0.01,
        attempts,
    };
    Ensemble::new(field, stepping)
}
