//! Flows.

use super::{Facts, Literature};
use attractor_kernels::tangent_ensemble::DynamicalSystem;
use std::f64::consts::PI;

/// Nothing is known in numbers.
const NONE: Literature = Literature {
    exponents: &[],
    source: "",
};

pub(super) const TABLE: &[Facts] = &[
    Facts {
        dynamics: DynamicalSystem::LORENZ63,
        title: "Lorenz system of 1963",
        parameters: &[("sigma", 10.0), ("rho", 28.0), ("beta", 8.0 / 3.0)],
        start: &[1.0, 1.0, 1.0],
        spread: 0.5,
        step: 0.01,
        transient: 2000,
        domain: None,
        literature: Literature {
            exponents: &[0.9056, 0.0, -14.5723],
            source: "Sprott, Chaos and Time-Series Analysis (2003)",
        },
        divergence: Some(|q| match q {
            [sigma, _, beta] => -(sigma + 1.0 + beta),
            _ => f64::NAN,
        }),
    },
    Facts {
        dynamics: DynamicalSystem::ROSSLER,
        title: "Rossler system",
        parameters: &[("a", 0.2), ("b", 0.2), ("c", 5.7)],
        start: &[1.0, 1.0, 1.0],
        spread: 0.5,
        step: 0.02,
        transient: 5000,
        domain: None,
        literature: Literature {
            exponents: &[0.0714, 0.0, -5.3943],
            source: "Sprott, Chaos and Time-Series Analysis (2003)",
        },
        divergence: None,
    },
    Facts {
        dynamics: DynamicalSystem::VAN_DER_POL,
        title: "Van der Pol oscillator",
        parameters: &[("mu", 1.0)],
        start: &[2.0, 0.0],
        spread: 0.5,
        step: 0.01,
        transient: 5000,
        domain: Some([-3.0, 3.0, -3.0, 3.0]),
        literature: NONE,
        divergence: None,
    },
    Facts {
        dynamics: DynamicalSystem::HENON_HEILES,
        title: "Henon-Heiles system",
        parameters: &[],
        // Energy 1/8, in the chaotic sea.
        start: &[0.0, -0.15, 0.462_582_619_098_499_8, 0.1],
        spread: 0.02,
        step: 0.02,
        transient: 0,
        domain: None,
        literature: NONE,
        divergence: Some(|_| 0.0),
    },
    Facts {
        dynamics: DynamicalSystem::DOUBLE_GYRE,
        title: "double gyre",
        parameters: &[
            ("amplitude", 0.1),
            ("epsilon", 0.25),
            ("omega", 2.0 * PI / 10.0),
        ],
        start: &[1.0, 0.5],
        spread: 0.25,
        step: 0.05,
        transient: 0,
        domain: Some([0.0, 2.0, 0.0, 1.0]),
        literature: NONE,
        divergence: Some(|_| 0.0),
    },
    Facts {
        dynamics: DynamicalSystem::OSCILLATOR,
        title: "damped harmonic oscillator",
        parameters: &[("stiffness", 1.0), ("damping", 0.1)],
        start: &[1.0, 0.0],
        spread: 0.5,
        step: 0.01,
        transient: 0,
        domain: Some([-2.0, 2.0, -2.0, 2.0]),
        literature: Literature {
            exponents: &[-0.05, -0.05],
            source: "exact: real parts of the eigenvalues",
        },
        divergence: Some(|q| q.get(1).map_or(f64::NAN, |damping| -damping)),
    },
];
