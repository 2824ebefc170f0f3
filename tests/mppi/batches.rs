//! An environment's plan is the same bits run to run and in every batch; calls and environments draw anew.

use crate::common::gpu;
use crate::support::{config, observations, planner, planner_of};
use attractor::device::Device;
use attractor::models::tdmpc2::Tdmpc2Config;
use attractor::samplers::mppi::{MppiPlans, MppiRequest};

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The numbers of one environment.
fn of(plans: &MppiPlans, environment: usize) -> Vec<u64> {
    let parts = [
        &plans.actions,
        &plans.means,
        &plans.deviations,
        &plans.values,
        &plans.best,
    ];
    let own = parts.iter().flat_map(|values| {
        let width = values.len() / plans.count;
        bits(&values[environment * width..][..width])
    });
    own.chain([u64::from(plans.chosen[environment])]).collect()
}

fn assert_invariant(device: &Device, config: &Tdmpc2Config) {
    let count = 7;
    let observations = observations(count);
    let mut planner = planner_of(config, device);
    let previous: Vec<f32> = (0..count * 6).map(|i| (i as f32 * 0.7).sin()).collect();
    let starts: Vec<bool> = (0..count).map(|i| i % 3 == 0).collect();
    let request = MppiRequest {
        previous: &previous,
        starts: &starts,
        evaluation: false,
        call: 5,
        first_environment: 100,
        ..MppiRequest::new(&observations, 11)
    };
    let whole = planner.plan(&request).unwrap();
    assert_eq!(whole, {
        let mut again = planner.plan(&request).unwrap();
        again.report = whole.report;
        again
    });
    for batch in [1, 2, 3, 7] {
        let batch = Some(batch);
        let found = planner.plan(&MppiRequest { batch, ..request }).unwrap();
        for environment in 0..count {
            assert_eq!(
                of(&found, environment),
                of(&whole, environment),
                "{batch:?}"
            );
        }
    }
    for environment in 0..count {
        let own = |values: &[f32], width: usize| values[environment * width..][..width].to_vec();
        let (observation, mean) = (own(&observations, 4), own(&previous, 6));
        let alone = MppiRequest {
            observations: &observation,
            previous: &mean,
            starts: &[starts[environment]],
            first_environment: 100 + environment as u32,
            ..request
        };
        let found = planner.plan(&alone).unwrap();
        assert_eq!(
            of(&found, 0),
            of(&whole, environment),
            "environment {environment}"
        );
    }
}

#[test]
fn a_plan_does_not_depend_on_its_batch() {
    let ending = Tdmpc2Config {
        episodic: true,
        num_pi_trajs: 0,
        ..config()
    };
    for device in [Device::cpu(), Device::cpu_f64()] {
        assert_invariant(&device, &config());
        assert_invariant(&device, &ending);
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_plan_does_not_depend_on_its_batch_on_a_gpu() {
    assert_invariant(&gpu(), &config());
}

#[test]
fn seeds_calls_and_environments_draw_their_own() {
    let mut planner = planner(&Device::cpu());
    let same = observations(1).repeat(2);
    let request = MppiRequest::new(&same, 3);
    let plans = planner.plan(&request).unwrap();
    assert_ne!(
        of(&plans, 0),
        of(&plans, 1),
        "environments of one observation"
    );
    let mut differs = |request: MppiRequest<'_>, what: &str| {
        let other = planner.plan(&request).unwrap();
        assert_ne!(of(&other, 0), of(&plans, 0), "{what}");
    };
    differs(MppiRequest { seed: 4, ..request }, "seed");
    differs(MppiRequest { call: 1, ..request }, "call");
    differs(
        MppiRequest {
            call: 1 << 40,
            ..request
        },
        "a late call",
    );
    let evaluation = false;
    differs(
        MppiRequest {
            evaluation,
            ..request
        },
        "a disturbance",
    );
}

/// Devices of one precision agree about everything but rounding.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_gpu_plans_what_the_cpu_plans() {
    let observations = observations(3);
    let request = MppiRequest::new(&observations, 2);
    let [cpu, gpu] = [Device::cpu(), gpu()].map(|device| planner(&device).plan(&request).unwrap());
    assert_eq!(cpu.chosen, gpu.chosen);
    for (a, b) in [
        (&cpu.actions, &gpu.actions),
        (&cpu.means, &gpu.means),
        (&cpu.values, &gpu.values),
    ] {
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}

/// With nothing but the policy's candidates there is nothing to draw; all count where all are elites.
#[test]
fn every_candidate_may_be_the_policys_or_an_elite() {
    for device in [Device::cpu(), Device::cpu_f64()] {
        let config = Tdmpc2Config {
            num_pi_trajs: 37,
            num_elites: 37,
            ..config()
        };
        let observations = observations(2);
        let plans = planner_of(&config, &device)
            .plan(&MppiRequest {
                record: true,
                ..MppiRequest::new(&observations, 2)
            })
            .unwrap();
        let trace = plans.trace.unwrap();
        let first = &trace.actions[..37 * 6];
        assert_eq!(
            first,
            &trace.actions[37 * 6..2 * 37 * 6],
            "unchanged in every round"
        );
        for elites in trace.elite.chunks(37) {
            let mut sorted = elites.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..37).collect::<Vec<u32>>());
        }
    }
}
