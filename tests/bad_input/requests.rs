//! Settings, draws, locked actions, hazards.

use crate::common::trained::{made_up, tiny_config, tiny_planner};
use crate::{refused, remdm};
use attractor::device::Device;
use attractor::samplers::{Draws, PlanRequest, RemaskStrategy, SamplerKind, SamplerSettings};

const EXAMPLES: usize = 3;

#[test]
fn settings_out_of_range() {
    let mut planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), EXAMPLES);
    type Change = fn(&mut SamplerSettings);
    let cases: &[(Change, &[&str])] = &[
        (|s| s.steps = 0, &["steps is 0", "1..=100000"]),
        (|s| s.steps = 100_001, &["steps is 100001"]),
        (|s| s.steps = u32::MAX, &["steps is 4294967295"]),
        (|s| s.eta = -0.1, &["eta is -0.1"]),
        (|s| s.eta = f32::NAN, &["eta is NaN"]),
        (|s| s.eta = f32::INFINITY, &["eta is inf"]),
        (|s| s.temperature = 0.0, &["temperature is 0", "above 0"]),
        (|s| s.temperature = -1.0, &["temperature is -1"]),
        (|s| s.temperature = f32::NAN, &["temperature is NaN"]),
        (|s| s.temperature = f32::INFINITY, &["temperature is inf"]),
        (|s| s.temperature = 1e-40, &["temperature is"]),
        (|s| s.top_p = 0.0, &["top-p is 0", "(0, 1]"]),
        (|s| s.top_p = -0.5, &["top-p is -0.5"]),
        (|s| s.top_p = 1.001, &["top-p is 1.001"]),
        (|s| s.top_p = f32::NAN, &["top-p is NaN"]),
        (
            |s| s.noise_schedule = "quadratic".into(),
            &["noise_schedule", "cosine_sq", "quadratic"],
        ),
        (|s| s.noise_schedule = String::new(), &["noise_schedule"]),
        (
            |s| {
                s.sampler = SamplerKind::MaskgitRemask;
                s.noise_schedule = "cosine_sq".into();
            },
            &["noise_schedule of R1", "cosine_sq"],
        ),
        (
            |s| {
                s.sampler = SamplerKind::MaskgitRemask;
                s.strategy = RemaskStrategy::Loop;
            },
            &["strategy is loop", "remdm_bernoulli"],
        ),
        (|s| s.loop_on = s.loop_off, &["loop window"]),
        (|s| s.loop_on = 1.0, &["loop window"]),
        (|s| s.loop_off = 0.0, &["loop window"]),
        (|s| s.loop_on = f64::NAN, &["loop window is 0.05..NaN"]),
        (|s| s.loop_alpha = 0.0, &["loop-alpha is 0"]),
        (|s| s.loop_alpha = 1.0, &["loop-alpha is 1"]),
        (|s| s.loop_alpha = f64::NAN, &["loop-alpha is NaN"]),
    ];
    let good = PlanRequest::new(&observations, 1);
    planner.plan(&remdm(), &good).expect("good settings");
    for (change, parts) in cases {
        let mut settings = remdm();
        change(&mut settings);
        let what = format!("{settings:?}");
        refused(&what, planner.plan(&settings, &good), parts);
        refused(&what, planner.compile(&settings, 1), parts);
        refused(&what, planner.peak_bytes(&settings, 1), parts);
    }
}

#[test]
fn settings_at_the_edge_are_accepted() {
    let mut planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), EXAMPLES);
    type Change = fn(&mut SamplerSettings);
    let cases: &[Change] = &[
        |s| s.steps = 1,
        |s| s.eta = 0.0,
        |s| s.eta = f32::MAX,
        |s| s.temperature = f32::MIN_POSITIVE,
        |s| s.temperature = f32::MAX,
        |s| s.top_p = f32::MIN_POSITIVE,
        |s| s.top_p = 1.0,
        |s| s.top_k = 1,
        |s| s.top_k = u32::MAX,
    ];
    for sampler in [SamplerKind::MaskgitRemask, SamplerKind::RemdmBernoulli] {
        for change in cases {
            let mut settings = SamplerSettings { sampler, ..remdm() };
            change(&mut settings);
            let plans = planner.plan(&settings, &PlanRequest::new(&observations, 1));
            let tokens = plans.unwrap_or_else(|e| panic!("{settings:?}: {e}")).tokens;
            assert!(tokens.iter().all(|t| (0..12).contains(t)), "{settings:?}");
        }
    }
}

fn draws(steps: usize, value: f32) -> Draws {
    let count = steps * EXAMPLES * tiny_config().seq_len;
    Draws {
        steps,
        categorical: vec![value; count],
        unmask: vec![value; count],
        remask: vec![value; count],
    }
}

#[test]
fn draws_that_do_not_fit() {
    let mut planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), EXAMPLES);
    let mut plan = |sampler: SamplerKind, draws: &Draws| {
        let settings = SamplerSettings { sampler, ..remdm() };
        let request = PlanRequest {
            draws: Some(draws),
            ..PlanRequest::new(&observations, 1)
        };
        planner.plan(&settings, &request)
    };
    let both = [SamplerKind::MaskgitRemask, SamplerKind::RemdmBernoulli];
    type Change = fn(&mut Draws);
    let cases: &[(Change, &[&str])] = &[
        (|d| d.steps = 3, &["draws", "2 steps", "3"]),
        (|d| d.steps = 0, &["draws", "2 steps", "0"]),
        (|d| d.steps = usize::MAX, &["draws", "2 steps"]),
        (|d| d.categorical.clear(), &["u_cat", "60 numbers", "0"]),
        (
            |d| d.categorical.truncate(59),
            &["u_cat", "60 numbers", "59"],
        ),
        (|d| d.remask.push(0.5), &["u_remask", "60 numbers", "61"]),
        (|d| d.categorical[7] = f32::NAN, &["u_cat", "NaN"]),
        (|d| d.categorical[7] = 1.5, &["u_cat", "[0, 1]", "1.5"]),
        (|d| d.remask[59] = -0.1, &["u_remask", "-0.1"]),
        (|d| d.remask[0] = 1.0, &["u_remask", "[0, 1)", "1"]),
    ];
    for sampler in both {
        plan(sampler, &draws(2, 0.5)).expect("good draws");
        // A categorical draw may round up to 1.
        let mut edge = draws(2, 0.5);
        edge.categorical.fill(1.0);
        plan(sampler, &edge).expect("draws of 1");
        for (change, parts) in cases {
            let mut draws = draws(2, 0.5);
            change(&mut draws);
            refused(
                &format!("{sampler:?} {parts:?}"),
                plan(sampler, &draws),
                parts,
            );
        }
    }
    let mut bad = draws(2, 0.5);
    bad.unmask[4] = 1.0;
    let outcome = plan(SamplerKind::RemdmBernoulli, &bad);
    refused("u_unmask", outcome, &["u_unmask", "[0, 1)", "1"]);
    bad.unmask.clear();
    plan(SamplerKind::MaskgitRemask, &bad).expect("draws that are not used may be left out");
}

#[test]
fn locked_actions_hazards_and_numbers_that_do_not_fit() {
    let mut planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), EXAMPLES);
    let length = tiny_config().seq_len;
    let good = PlanRequest::new(&observations, 1);
    let cases: &[(Vec<Vec<i32>>, &[&str])] = &[
        (vec![], &["locked actions", "3 examples", "0"]),
        (vec![vec![]; 4], &["locked actions", "3 examples", "4"]),
        (
            vec![vec![], vec![0; length + 1], vec![]],
            &["locked actions", "at most 10 actions", "11"],
        ),
        (
            vec![vec![0, 12], vec![], vec![]],
            &["locked actions", "0..12", "12"],
        ),
        (
            vec![vec![], vec![], vec![13]],
            &["locked actions", "0..12", "13"],
        ),
        (
            vec![vec![-1], vec![], vec![]],
            &["locked actions", "0..12", "-1"],
        ),
        (
            vec![vec![i32::MAX], vec![], vec![]],
            &["locked actions", "2147483647"],
        ),
        (
            vec![vec![i32::MIN], vec![], vec![]],
            &["locked actions", "-2147483648"],
        ),
    ];
    for sampler in [
        SamplerKind::Greedy,
        SamplerKind::MaskgitRemask,
        SamplerKind::RemdmBernoulli,
    ] {
        let settings = SamplerSettings { sampler, ..remdm() };
        for (locked, parts) in cases {
            let request = PlanRequest {
                locked: Some(locked),
                ..good
            };
            refused(
                &format!("{locked:?}"),
                planner.plan(&settings, &request),
                parts,
            );
        }
        let physics = SamplerSettings {
            physics_aware: true,
            ..settings
        };
        let some = [[false, true, false, true]; EXAMPLES];
        let known = PlanRequest {
            hazards: Some(&some),
            ..good
        };
        planner.plan(&physics, &known).expect("hazards");
        for hazards in [None, Some(&some[..2])] {
            let request = PlanRequest { hazards, ..good };
            let parts = ["hazards", "3 examples"];
            refused("hazards", planner.plan(&physics, &request), &parts);
        }
        let far = PlanRequest {
            first_example: u32::MAX - 1,
            ..good
        };
        let parts = ["example numbers", "4294967295", "4294967297"];
        refused("numbers", planner.plan(&physics, &far), &parts);
    }
}
