//! Advice on solvers and views of the velocity field, with the shipped decoder.

use attractor::device::Device;
use attractor::formats::load_arrays;
use attractor::models::flow::DecoderConfig;
use attractor::samplers::flow::{
    AdviceOptions, FieldOptions, FlowError, FlowRequest, FlowSampler, Method, Noise, Solver,
    VelocityRequest, adaptive_at, advise, field_views,
};
use attractor::worlds::driving::{CONDITION_VALUES, Drive};

const FRAMES: usize = 2;
const DRAWS: usize = 4;

fn sampler() -> FlowSampler {
    let text = std::fs::read_to_string("assets/drivechunk_decoder.json").expect("configuration");
    let config = DecoderConfig::from_json("drivechunk_decoder.json", &text).expect("configuration");
    let weights = load_arrays("assets/drivechunk_decoder.safetensors").expect("weights");
    FlowSampler::new(config, &weights, &Device::cpu()).expect("sampler")
}

const SEEDED: Noise<'static> = Noise::Seeded {
    seed: 3,
    stream: 0,
    temperature: 1.0,
};

fn request(conditions: &[f32]) -> FlowRequest<'_> {
    FlowRequest {
        conditions,
        frames: FRAMES,
        first_frame: 0,
        draws: DRAWS,
        noise: SEEDED,
        solver: Solver::default(),
        record: false,
    }
}

fn fixed(method: Method, steps: usize) -> Solver {
    Solver::Fixed { method, steps }
}

fn options(tolerance: f64) -> AdviceOptions {
    AdviceOptions {
        reference: fixed(Method::Rk4, 64),
        candidates: vec![
            fixed(Method::Euler, 4),
            fixed(Method::Euler, 16),
            fixed(Method::Midpoint, 16),
            fixed(Method::Midpoint, 64),
            fixed(Method::Rk4, 32),
            adaptive_at(1e-4),
        ],
        tolerance,
        repeats: 1,
    }
}

#[test]
fn advice_is_the_cheapest_within_the_tolerance() {
    let mut sampler = sampler();
    let drive = Drive::generate(24, FRAMES);
    let request = request(&drive.conditions);
    let advice = advise(&mut sampler, &request, &options(0.2)).expect("advice");
    assert_eq!(advice.draws, FRAMES * DRAWS);
    let evaluations: Vec<f64> = advice.candidates.iter().map(|c| c.evaluations).collect();
    assert_eq!(evaluations[..5], [4.0, 16.0, 32.0, 128.0, 128.0]);
    // One evaluation at the start, six an attempt.
    assert!(evaluations[5] > 7.0);
    assert_eq!(advice.reference.evaluations, 256.0);
    let errors: Vec<f64> = advice
        .candidates
        .iter()
        .map(|c| c.error.expect("an end").maximum)
        .collect();
    assert!(errors[1] < errors[0] && errors[3] < errors[2], "{errors:?}");
    let [fewest, fastest] = advice.cheapest().expect("a solver");
    for chosen in [fewest, fastest] {
        assert!(chosen.meets && chosen.error.expect("an end").maximum <= 0.2);
    }
    for (candidate, error) in advice.candidates.iter().zip(&errors) {
        assert_eq!(candidate.meets, *error <= 0.2);
        if candidate.meets {
            assert!(candidate.evaluations >= fewest.evaluations);
            assert!(candidate.seconds >= fastest.seconds);
        }
    }
    // The errors are those of end points: taken again by hand for one of them.
    let by_hand = |sampler: &mut FlowSampler, solver| {
        let draws = sampler
            .sample(&FlowRequest { solver, ..request })
            .expect("draws");
        draws.values_f64
    };
    let truth = by_hand(&mut sampler, fixed(Method::Rk4, 64));
    let found = by_hand(&mut sampler, fixed(Method::Midpoint, 16));
    let pairs = || found.iter().zip(&truth).map(|(a, b)| (a - b).abs());
    let error = advice.candidates[2].error.expect("an end");
    assert_eq!(error.maximum, pairs().fold(0.0, f64::max));
    let rms = (pairs().map(|e| e * e).sum::<f64>() / found.len() as f64).sqrt();
    assert!((error.root_mean_square - rms).abs() <= 1e-12);
    let size = truth.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert_eq!(advice.size, size);
    assert!((error.relative_maximum * size - error.maximum).abs() <= 1e-12);
}

#[test]
fn a_tolerance_beyond_all_candidates_is_refused() {
    let mut sampler = sampler();
    let drive = Drive::generate(24, FRAMES);
    let request = request(&drive.conditions);
    let mut options = options(1e-9);
    options.candidates.truncate(2);
    let advice = advise(&mut sampler, &request, &options).expect("measurements");
    let error = advice.cheapest().expect_err("no solver");
    assert!(matches!(error, FlowError::NoSolver { count: 2, .. }));
    assert!(error.to_string().contains("euler/16"), "{error}");
    // One that does not come to an end is part of the answer.
    let Solver::Adaptive(settings) = adaptive_at(1e-4) else {
        panic!("adaptive");
    };
    options.candidates.push(Solver::Adaptive(
        attractor::samplers::flow::AdaptiveSettings {
            maximum_steps: 2,
            ..settings
        },
    ));
    let advice = advise(&mut sampler, &request, &options).expect("measurements");
    let last = advice.candidates.last().expect("the adaptive one");
    assert!(last.error.is_none() && !last.meets);
    assert!(
        last.failure
            .as_deref()
            .is_some_and(|why| why.contains("attempts"))
    );
    options.tolerance = f64::NAN;
    assert!(matches!(
        advise(&mut sampler, &request, &options),
        Err(FlowError::Request {
            what: "tolerance",
            ..
        })
    ));
}

#[test]
fn views_hold_the_paths_and_the_velocity_around_them() {
    let mut sampler = sampler();
    let drive = Drive::generate(24, 1);
    let condition = &drive.conditions[..CONDITION_VALUES];
    let options = FieldOptions {
        draws: 5,
        steps: 4,
        background_times: 5,
        background_values: 3,
        plane_times: vec![0.25],
        plane_values: 3,
        ..FieldOptions::new(2, 1, Some(0))
    };
    let views = field_views(&mut sampler, condition, (7, SEEDED), &options).expect("views");
    assert_eq!(views.times, [0.0, 0.25, 0.5, 0.75, 1.0]);
    assert_eq!(views.states.len(), 5 * 5 * 12);
    assert_eq!(views.background.values, [-1.3, 0.0, 1.3]);
    assert_eq!(views.background.velocity.len(), 15);
    assert_eq!(views.planes[0].velocity.len(), 9);

    // At t = 0.25 all but one entry are at the mean of the draws.
    let path = 5 * 12;
    let mean = |entry: usize| {
        (0..5)
            .map(|draw| views.states[draw * path + 12 + entry])
            .sum::<f64>()
            / 5.0
    };
    let state = |changes: &[(usize, f32)]| {
        let mut x: Vec<f32> = (0..12).map(|entry| mean(entry) as f32).collect();
        for &(entry, value) in changes {
            x[entry] = value;
        }
        x
    };
    let velocity = |x: &[f32]| {
        let request = VelocityRequest {
            conditions: condition,
            frames: 1,
            draws: 1,
            x,
            times: &[0.25],
        };
        sampler.velocity(&request).expect("velocity")
    };
    let near =
        |found: f64, expected: f64| assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    for (column, value) in [-1.3, 0.0, 1.3].into_iter().enumerate() {
        let found = views.background.velocity[3 + column];
        near(found, velocity(&state(&[(5, value)]))[5]);
    }
    // Row by row: the other channel changes from row to row.
    let expected = velocity(&state(&[(5, -1.2), (4, 1.2)]));
    near(views.planes[0].velocity[6][0], expected[5]);
    near(views.planes[0].velocity[6][1], expected[4]);

    for bad in [
        FieldOptions {
            slot: 6,
            ..options.clone()
        },
        FieldOptions {
            channel: 2,
            ..options.clone()
        },
        FieldOptions {
            other: Some(1),
            ..options.clone()
        },
        FieldOptions {
            background_values: 1,
            ..options.clone()
        },
        FieldOptions {
            plane_times: vec![1.5],
            ..options.clone()
        },
        FieldOptions {
            plane_reach: f64::NAN,
            ..options.clone()
        },
        FieldOptions {
            draws: 0,
            ..options.clone()
        },
        FieldOptions {
            steps: 0,
            ..options.clone()
        },
    ] {
        let refused = field_views(&mut sampler, condition, (7, SEEDED), &bad);
        assert!(matches!(refused, Err(FlowError::Request { .. })), "{bad:?}");
    }
}
