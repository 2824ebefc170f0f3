//! Requests and settings that do not fit are named; nothing is planned.

use crate::support::{config, observations, planner, weights};
use attractor::device::Device;
use attractor::models::tdmpc2::{Tdmpc2, Tdmpc2Config};
use attractor::samplers::mppi::{Mppi, MppiDraws, MppiRequest, MppiSettings};

fn refused(request: &MppiRequest<'_>, parts: &[&str]) {
    let error = planner(&Device::cpu())
        .plan(request)
        .unwrap_err()
        .to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} not in {error:?}");
    }
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let good = observations(2);
    let request = MppiRequest::new(&good, 0);
    refused(
        &MppiRequest {
            observations: &[],
            ..request
        },
        &["observations", "4"],
    );
    refused(
        &MppiRequest {
            observations: &good[1..],
            ..request
        },
        &["observations", "7 numbers"],
    );
    for bad in [f32::NAN, f32::INFINITY] {
        let mut observations = good.clone();
        observations[6] = bad;
        let request = MppiRequest {
            observations: &observations,
            ..request
        };
        refused(&request, &["observations", "environment 1, number 2"]);
    }
    refused(
        &MppiRequest {
            previous: &[0.0; 11],
            ..request
        },
        &["previous means", "12", "11"],
    );
    refused(
        &MppiRequest {
            previous: &[f32::NAN; 12],
            ..request
        },
        &["previous means", "NaN"],
    );
    refused(
        &MppiRequest {
            starts: &[true],
            ..request
        },
        &["start", "expected 2"],
    );
    refused(
        &MppiRequest {
            starts: &[true, false],
            ..request
        },
        &["previous means", "none"],
    );
    let first_environment = u32::MAX;
    refused(
        &MppiRequest {
            first_environment,
            ..request
        },
        &["environments"],
    );
}

#[test]
fn draws_that_do_not_fit_are_named() {
    let observations = observations(1);
    let good = MppiDraws {
        policy: vec![0.1; 5 * 6],
        samples: vec![0.1; 3 * 32 * 6],
        value: vec![0.1; 3 * 37 * 2],
        pairs: vec![0, 1, 2, 3, 1, 0],
        exponential: vec![1.0; 9],
        action: Vec::new(),
    };
    let with = |draws: &MppiDraws, parts: &[&str]| {
        let request = MppiRequest {
            draws: Some(draws),
            ..MppiRequest::new(&observations, 0)
        };
        match parts {
            [] => drop(planner(&Device::cpu()).plan(&request).unwrap()),
            parts => refused(&request, parts),
        }
    };
    with(&good, &[]);
    with(
        &MppiDraws {
            policy: vec![0.0; 29],
            ..good.clone()
        },
        &["policy", "30", "29"],
    );
    with(
        &MppiDraws {
            samples: vec![f32::NAN; 576],
            ..good.clone()
        },
        &["samples", "NaN"],
    );
    with(
        &MppiDraws {
            value: Vec::new(),
            ..good.clone()
        },
        &["values", "222"],
    );
    with(
        &MppiDraws {
            pairs: vec![0, 1, 2, 4, 1, 0],
            ..good.clone()
        },
        &["pairs", "below 4"],
    );
    with(
        &MppiDraws {
            exponential: vec![0.0; 9],
            ..good.clone()
        },
        &["choice", "above 0"],
    );
    with(
        &MppiDraws {
            action: vec![0.0; 2],
            ..good.clone()
        },
        &["action", "expected 0"],
    );
}

#[test]
fn settings_that_do_not_fit_the_model_are_named() {
    let lone = Tdmpc2Config {
        num_q: 1,
        ..config()
    };
    let model = Tdmpc2::read(&weights(&lone), &lone, None).unwrap();
    let error = Mppi::new(model, MppiSettings::of(&lone), &Device::cpu()).unwrap_err();
    assert!(error.to_string().contains("num_q"), "{error}");
}
