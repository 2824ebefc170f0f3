//! What cannot be integrated is refused by name.

use crate::{LORENZ, controlled, fixed};
use attractor::device::Device;
use attractor::samplers::ensemble::{Ensemble, EnsembleError};
use attractor_kernels::ode_ensemble::{OdeField, OdeMethod};

fn refusal(ensemble: &Ensemble, initial: &[f64]) -> EnsembleError {
    ensemble
        .run(&Device::cpu(), initial)
        .expect_err("a refusal")
}

fn setting(ensemble: &Ensemble) -> &'static str {
    match refusal(ensemble, &[1.0, 1.0, 1.0]) {
        EnsembleError::Setting { name, .. } => name,
        other => panic!("{other}"),
    }
}

#[test]
fn settings_out_of_range() {
    let lorenz =
        |step, steps| fixed(OdeField::LORENZ63, OdeMethod::RK4, step, steps).parameters(&LORENZ);
    assert_eq!(setting(&lorenz(0.01, 0)), "steps");
    for step in [0.0, f64::NAN, f64::INFINITY, 1e-50] {
        assert_eq!(setting(&lorenz(step, 1)), "step");
    }
    assert_eq!(setting(&lorenz(0.1, 3).record_every(4)), "record_every");
    assert_eq!(setting(&lorenz(0.1, 3).steps_a_launch(0)), "steps a launch");
    assert_eq!(setting(&lorenz(0.1, 3).clock(f64::NAN, 0.0)), "clock");
    let adaptive = fixed(OdeField::LORENZ63, OdeMethod::DORMAND_PRINCE54, 0.1, 3);
    assert_eq!(setting(&adaptive.parameters(&LORENZ)), "method");
    let within = |span, tolerance, attempts| {
        controlled(OdeField::LORENZ63, span, tolerance, attempts).parameters(&LORENZ)
    };
    assert_eq!(setting(&within(-1.0, 1e-3, 10)), "span");
    assert_eq!(setting(&within(1.0, f32::NAN, 10)), "relative");
    assert_eq!(setting(&within(1.0, 0.0, 10)), "relative");
    assert_eq!(setting(&within(1.0, 1e-3, 0)), "attempts");
    assert_eq!(
        setting(&within(1.0, 1e-3, 10).record_every(1)),
        "record_every"
    );
}

#[test]
fn counts_that_do_not_fit_and_numbers_that_are_none() {
    let lorenz = fixed(OdeField::LORENZ63, OdeMethod::RK4, 0.01, 5);
    for initial in [&[][..], &[1.0, 2.0], &[1.0; 7]] {
        let error = refusal(&lorenz.clone().parameters(&LORENZ), initial);
        let EnsembleError::Count { what, found, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((what, found), ("initial states", initial.len()));
    }
    let error = refusal(&lorenz.clone().parameters(&[1.0]), &[1.0; 3]).to_string();
    assert_eq!(
        error,
        "parameters of lorenz63: expected 3 (sigma, rho, beta), found 1"
    );
    let error = refusal(&lorenz.clone().parameters_each(&LORENZ), &[1.0; 6]).to_string();
    assert!(error.contains("expected 6"), "{error}");
    let error = refusal(
        &lorenz.parameters(&LORENZ),
        &[1.0, 1.0, 1.0, f64::NAN, 1.0, 1.0],
    );
    let EnsembleError::NotFinite {
        trajectory,
        component,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((trajectory, component), (1, 1));
}

#[test]
fn a_tolerance_that_is_not_met_names_the_trajectory() {
    // The first trajectory rests at the origin, the second is on the attractor.
    let ensemble = controlled(OdeField::LORENZ63, 20.0, 1e-6, 30).parameters(&LORENZ);
    let error = refusal(&ensemble, &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    let text = error.to_string();
    let EnsembleError::Tolerance {
        trajectory,
        time,
        step,
        accepted,
        rejected,
        unfinished,
        ..
    } = error
    else {
        panic!("{text}");
    };
    assert_eq!(
        (trajectory, unfinished, accepted + rejected),
        (1, 1, 30),
        "{text}"
    );
    assert!(time > 0.0 && time < 20.0 && step > 0.0, "{text}");
    assert!(
        text.starts_with("trajectory 1: relative tolerance 1e-6"),
        "{text}"
    );
}
