//! Errors against step sizes and tolerances, in double precision.

use crate::{LORENZ, controlled, fixed, spread};
use attractor::device::Device;
use attractor::samplers::ensemble::Ensemble;
use attractor_kernels::ode_ensemble::{OdeField, OdeMethod};

const FIXED: [OdeMethod; 5] = [
    OdeMethod::EULER,
    OdeMethod::MIDPOINT,
    OdeMethod::HEUN,
    OdeMethod::RK4,
    OdeMethod::DORMAND_PRINCE5,
];

/// Slope of the least-squares line through (ln h, ln error).
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
    let (x, y) = (x / count, y / count);
    let rise: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let run: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    rise / run
}

fn finish(ensemble: Ensemble, initial: &[f64]) -> Vec<f64> {
    ensemble
        .run(&Device::cpu_f64(), initial)
        .expect("a run")
        .state
}

fn largest(found: &[f64], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len());
    found
        .iter()
        .zip(exact)
        .fold(0.0, |m, (f, e)| m.max((f - e).abs()))
}

/// The order that a method shows on a field over `span`, from steps of `span / n`.
fn order(
    of: impl Fn(OdeMethod, f64, u32) -> Ensemble,
    method: OdeMethod,
    span: f64,
    counts: &[u32],
    initial: &[f64],
    exact: &[f64],
) -> f64 {
    let points: Vec<_> = counts
        .iter()
        .map(|&n| {
            let step = span / f64::from(n);
            let error = largest(&finish(of(method, step, n), initial), exact);
            (step.ln(), error.ln())
        })
        .collect();
    slope(&points)
}

/// Steps that are short enough for the first term of the error, and long enough for it to stand out from
/// rounding.
fn counts(method: OdeMethod) -> &'static [u32] {
    match method {
        OdeMethod::EULER => &[4096, 8192, 16384, 32768],
        OdeMethod::MIDPOINT | OdeMethod::HEUN => &[512, 1024, 2048, 4096],
        _ => &[128, 192, 256, 384],
    }
}

#[test]
fn methods_have_their_orders_on_lorenz() {
    let (initial, span) = (spread(3, 5), 0.75);
    let of =
        |method, step, steps| fixed(OdeField::LORENZ63, method, step, steps).parameters(&LORENZ);
    let exact = finish(
        of(OdeMethod::DORMAND_PRINCE5, span / 8192.0, 8192),
        &initial,
    );
    for method in FIXED {
        let found = order(of, method, span, counts(method), &initial, &exact);
        let expected = f64::from(method.order());
        assert!(
            (found - expected).abs() < 0.15,
            "{}: {found}",
            method.name()
        );
    }
}

#[test]
fn methods_have_their_orders_on_a_field_that_depends_on_time() {
    let (initial, span) = (spread(2, 5), 8.0);
    let of = |method, step, steps| {
        fixed(OdeField::DOUBLE_GYRE, method, step, steps)
            .parameters(&[0.1, 0.25])
            .clock(std::f64::consts::TAU / 10.0, 0.7)
    };
    let exact = finish(
        of(OdeMethod::DORMAND_PRINCE5, span / 4096.0, 4096),
        &initial,
    );
    for method in FIXED {
        let counts: &[u32] = match method {
            OdeMethod::EULER => &[1024, 2048, 4096, 8192],
            OdeMethod::MIDPOINT | OdeMethod::HEUN => &[256, 512, 1024, 2048],
            _ => &[128, 192, 256, 384],
        };
        let found = order(of, method, span, counts, &initial, &exact);
        let expected = f64::from(method.order());
        assert!(
            (found - expected).abs() < 0.25,
            "{}: {found}",
            method.name()
        );
    }
}

/// x = e^(-ct/2) (cos wt + c/(2w) sin wt), w^2 = k - c^2/4, from (1, 0).
#[test]
fn the_oscillator_follows_its_closed_form() {
    let (k, c, time) = (4.0f64, 0.3f64, 6.0f64);
    let w = (k - c * c / 4.0).sqrt();
    let decay = (-c * time / 2.0).exp();
    let exact = decay * ((w * time).cos() + c / (2.0 * w) * (w * time).sin());
    let ensemble = fixed(OdeField::OSCILLATOR, OdeMethod::DORMAND_PRINCE5, 0.01, 600);
    let found = finish(ensemble.parameters(&[k, c]), &[1.0, 0.0]);
    assert!((found[0] - exact).abs() < 1e-11, "{} {exact}", found[0]);
}

/// Over time 1 neighbours on Lorenz's attractor part by some hundredfold at most: the error of the end
/// may exceed the tolerance of a step by that much and no more.
#[test]
fn step_control_meets_its_tolerance_on_lorenz() {
    let (initial, span) = (spread(3, 40), 1.0);
    let fine = fixed(
        OdeField::LORENZ63,
        OdeMethod::DORMAND_PRINCE5,
        span / 8192.0,
        8192,
    );
    let exact = finish(fine.parameters(&LORENZ), &initial);
    let mut before = None;
    for tolerance in [1e-4f32, 1e-6, 1e-8, 1e-10] {
        let ensemble = controlled(OdeField::LORENZ63, span, tolerance, 100_000).parameters(&LORENZ);
        let run = ensemble.run(&Device::cpu_f64(), &initial).expect("a run");
        let error = largest(&run.state, &exact) / 30.0;
        assert!(
            error < 100.0 * f64::from(tolerance),
            "{tolerance:e}: {error:e}"
        );
        let attempts: u32 = run.attempts.iter().map(|a| a[0] + a[1]).sum();
        if let Some((worse, fewer)) = before.replace((error, attempts)) {
            assert!(
                error < worse && attempts > fewer,
                "{tolerance:e}: {error:e}, {attempts}"
            );
        }
    }
}
