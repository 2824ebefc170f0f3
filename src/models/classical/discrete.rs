//! Maps.

use super::{Facts, Literature};
use attractor_kernels::tangent_ensemble::DynamicalSystem;
use std::f64::consts::{LN_2, PI};

pub(super) const TABLE: &[Facts] = &[
    Facts {
        dynamics: DynamicalSystem::HENON,
        title: "Henon map",
        parameters: &[("a", 1.4), ("b", 0.3)],
        start: &[0.1, 0.1],
        spread: 0.05,
        step: 0.0,
        transient: 1000,
        domain: Some([-1.5, 1.5, -0.5, 0.5]),
        literature: Literature {
            exponents: &[0.419_22, -1.623_19],
            source: "Sprott, Chaos and Time-Series Analysis (2003)",
        },
        divergence: Some(|q| q.get(1).map_or(f64::NAN, |b| b.abs().ln())),
    },
    Facts {
        dynamics: DynamicalSystem::CAT,
        title: "Arnold's cat map",
        parameters: &[],
        start: &[0.3, 0.7],
        spread: 0.25,
        step: 0.0,
        transient: 0,
        domain: Some([0.0, 1.0, 0.0, 1.0]),
        literature: Literature {
            // ln((3 + sqrt 5) / 2)
            exponents: &[0.962_423_650_119_206_9, -0.962_423_650_119_206_9],
            source: "exact: logarithms of the matrix's eigenvalues",
        },
        divergence: Some(|_| 0.0),
    },
    Facts {
        dynamics: DynamicalSystem::STANDARD_MAP,
        title: "Chirikov's standard map",
        parameters: &[("k", 6.0)],
        start: &[1.0, 0.5],
        spread: 0.25,
        step: 0.0,
        transient: 100,
        domain: Some([0.0, 2.0 * PI, 0.0, 2.0 * PI]),
        literature: Literature {
            // ln(k / 2), which the chaotic sea tends to as k grows.
            exponents: &[1.098_612_288_668_109_8, -1.098_612_288_668_109_8],
            source: "Chirikov, Physics Reports 52 (1979), for large k",
        },
        divergence: Some(|_| 0.0),
    },
    Facts {
        dynamics: DynamicalSystem::LOGISTIC,
        title: "logistic map",
        parameters: &[("r", 4.0)],
        start: &[0.314_159_2],
        spread: 0.25,
        step: 0.0,
        transient: 0,
        domain: None,
        literature: Literature {
            exponents: &[LN_2],
            source: "exact: conjugate to the tent map at r = 4",
        },
        divergence: None,
    },
    Facts {
        dynamics: DynamicalSystem::IKEDA,
        title: "Ikeda map",
        parameters: &[("u", 0.9)],
        start: &[0.1, 0.1],
        spread: 0.05,
        step: 0.0,
        transient: 500,
        domain: Some([-1.0, 3.0, -2.5, 2.0]),
        literature: Literature {
            // The sum is exact: 2 ln 0.9.
            exponents: &[0.507, -0.717_721_031_315_652_7],
            source: "long runs at u = 0.9; the sum is 2 ln u",
        },
        divergence: Some(|q| q.first().map_or(f64::NAN, |u| 2.0 * u.abs().ln())),
    },
];
