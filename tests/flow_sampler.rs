//! Velocity decoder, solvers and sampler against the recorded trajectories of a trained decoder.

mod common;

use attractor::device::Device;
use attractor::formats::{ArrayMap, load_arrays};
use attractor::models::flow::DecoderConfig;
use attractor::samplers::flow::{
    AdaptiveSettings, FlowDraws, FlowRequest, FlowSampler, Method, Noise, Solver, VelocityRequest,
};
use common::gpu;

/// Relative to the largest expected number, as the reference suggests for end points.
const TOLERANCE: f64 = 2e-5;
const FRAMES: usize = 6;
const DRAWS: usize = 4;

fn goldens() -> ArrayMap {
    load_arrays("tests/data/flow/trajectories.safetensors").expect("goldens")
}

fn sampler(device: &Device) -> FlowSampler {
    let text = std::fs::read_to_string("assets/drivechunk_decoder.json").expect("configuration");
    let config = DecoderConfig::from_json("drivechunk_decoder.json", &text).expect("configuration");
    let weights = load_arrays("assets/drivechunk_decoder.safetensors").expect("weights");
    assert_eq!(DecoderConfig::infer(&weights, &config), config);
    FlowSampler::new(config, &weights, device).expect("sampler")
}

fn request<'a>(conditions: &'a [f32], noise: &'a [f32], solver: Solver) -> FlowRequest<'a> {
    FlowRequest {
        conditions,
        frames: FRAMES,
        first_frame: 0,
        draws: DRAWS,
        noise: Noise::Recorded(noise),
        solver,
        record: false,
    }
}

fn inputs(map: &ArrayMap) -> (Vec<f32>, Vec<f32>) {
    let conditions = map.expect_f32("in.cond", &[FRAMES, 12, 16]).expect("cond");
    let noise = map
        .expect_f32("in.noise", &[FRAMES * DRAWS, 6, 2])
        .expect("noise");
    (conditions, noise)
}

/// Largest error over the largest expected number.
fn error(map: &ArrayMap, name: &str, found: &[f64]) -> f64 {
    let expected = map.get(name).expect(name).to_f64().expect("f64");
    assert_eq!(expected.len(), found.len(), "{name}");
    let scale = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let pairs = expected.iter().zip(found);
    pairs.fold(0.0f64, |worst, (a, b)| {
        let error = (a - b).abs() / scale;
        if error.is_nan() {
            f64::INFINITY
        } else {
            worst.max(error)
        }
    })
}

fn check_trajectories(device: &Device, counts: &[usize]) {
    let map = goldens();
    let mut sampler = sampler(device);
    let (conditions, noise) = inputs(&map);
    for method in [Method::Euler, Method::Midpoint, Method::Heun, Method::Rk4] {
        for &steps in counts {
            let mut request = request(&conditions, &noise, Solver::Fixed { method, steps });
            request.record = steps <= 8;
            let draws = sampler.sample(&request).expect("draws");
            let found = draws.trajectories.as_deref().unwrap_or(&draws.values_f64);
            let worst = error(&map, &format!("out.{method}.{steps}"), found);
            assert!(worst <= TOLERANCE, "{method}/{steps}: {worst:e}");
        }
    }
}

#[test]
fn trajectories_on_the_cpu() {
    check_trajectories(&Device::cpu(), &[1, 2, 4, 8, 10, 16, 32]);
    check_trajectories(&Device::cpu_f64(), &[1, 2, 4, 8, 10, 16, 32]);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn trajectories_on_a_gpu() {
    check_trajectories(&gpu(), &[1, 4, 10]);
}

/// Draws of some frames and draws of a larger request, seeded noise.
fn seeded(
    sampler: &mut FlowSampler,
    conditions: &[f32],
    (first, frames, draws): (usize, usize, usize),
) -> FlowDraws {
    let width = 12 * 16;
    let request = FlowRequest {
        conditions: &conditions[first * width..(first + frames) * width],
        frames,
        first_frame: first as u32,
        draws,
        noise: Noise::Seeded {
            seed: 11,
            stream: 0,
            temperature: 1.0,
        },
        solver: Solver::Fixed {
            method: Method::Heun,
            steps: 3,
        },
        record: false,
    };
    sampler.sample(&request).expect("draws")
}

fn check_batches(device: &Device) {
    let mut sampler = sampler(device);
    let (conditions, _) = inputs(&goldens());
    let (all, chunk) = (37, 12);
    let whole = seeded(&mut sampler, &conditions, (0, FRAMES, all)).values;
    let again = seeded(&mut sampler, &conditions, (0, FRAMES, all)).values;
    assert_eq!(whole, again, "run to run");
    for (first, frames, draws) in [(0, 1, 1), (3, 1, all), (1, 5, 2), (2, 3, 33), (5, 1, 7)] {
        let part = seeded(&mut sampler, &conditions, (first, frames, draws)).values;
        for frame in 0..frames {
            let from = (first + frame) * all * chunk;
            let expected = &whole[from..from + draws * chunk];
            let found = &part[frame * draws * chunk..(frame + 1) * draws * chunk];
            assert_eq!(
                expected,
                found,
                "frame {} of {frames} x {draws}",
                first + frame
            );
        }
    }
}

#[test]
fn a_draw_does_not_depend_on_its_batch() {
    check_batches(&Device::cpu());
    check_batches(&Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_draw_does_not_depend_on_its_batch_on_a_gpu() {
    check_batches(&gpu());
}

#[test]
fn a_profile_times_every_launch_of_a_run() {
    let map = goldens();
    let mut sampler = sampler(&Device::cpu());
    let (conditions, noise) = inputs(&map);
    let solver = Solver::Fixed {
        method: Method::Heun,
        steps: 3,
    };
    let request = request(&conditions, &noise, solver);
    let foreseen = sampler.peak_bytes(&request).expect("bytes");
    let report = sampler.sample(&request).expect("draws").report;
    assert_eq!(report.working_bytes, foreseen);
    let profile = sampler.profile(&request).expect("profile");
    let runs = profile.runs as u64;
    assert_eq!(runs, report.runs as u64);
    assert_eq!(profile.launches.len() as u64 * runs, report.dispatches);
    let seconds = profile.seconds.expect("the clock of the host");
    assert_eq!(seconds.len(), profile.launches.len());
    assert!(
        seconds.iter().all(|&s| s > 0.0) && seconds.iter().sum::<f64>() < report.seconds * 50.0
    );
    let adaptive = FlowRequest {
        solver: Solver::Adaptive(AdaptiveSettings::default()),
        ..request
    };
    let refused = sampler.profile(&adaptive).expect_err("no equal steps");
    assert!(refused.to_string().starts_with("profile"), "{refused}");
}

/// Policies whose t = 1 is noise: the network is asked at 1 - t, and what it says is negated.
#[test]
fn time_runs_the_other_way_where_noise_is_at_one() {
    let map = goldens();
    let (conditions, noise) = inputs(&map);
    let text = std::fs::read_to_string("assets/drivechunk_decoder.json").expect("configuration");
    let text = text.replace("\"mult\"", "\"time_direction\": \"noise_at_one\", \"mult\"");
    let config = DecoderConfig::from_json("reversed.json", &text).expect("configuration");
    let weights = load_arrays("assets/drivechunk_decoder.safetensors").expect("weights");
    for device in [Device::cpu(), Device::cpu_f64()] {
        let plain = sampler(&device);
        let mut reversed = FlowSampler::new(config.clone(), &weights, &device).expect("sampler");
        let times: Vec<f64> = (0..FRAMES * DRAWS).map(|row| row as f64 / 32.0).collect();
        let mirrored: Vec<f64> = times.iter().map(|t| 1.0 - t).collect();
        let at = |times| VelocityRequest {
            conditions: &conditions,
            frames: FRAMES,
            draws: DRAWS,
            x: &noise,
            times,
        };
        let found = reversed.velocity(&at(&times)).expect("velocity");
        let expected = plain.velocity(&at(&mirrored)).expect("velocity");
        assert!(found.iter().zip(&expected).all(|(f, e)| *f == -e));
        // Schedules made on the host and times made on the device turn alike.
        let fine = Solver::Fixed {
            method: Method::Rk4,
            steps: 512,
        };
        let settings = AdaptiveSettings {
            relative_tolerance: 1e-4,
            absolute_tolerance: 1e-4,
            refine: false,
            ..AdaptiveSettings::default()
        };
        let one = |solver| FlowRequest {
            frames: 1,
            ..request(&conditions[..192], &noise[..DRAWS * 12], solver)
        };
        let equal = reversed.sample(&one(fine)).expect("draws").values_f64;
        let adaptive = one(Solver::Adaptive(settings));
        let adaptive = reversed.sample(&adaptive).expect("draws").values_f64;
        let pairs = equal.iter().zip(&adaptive);
        let worst = pairs.fold(0.0f64, |worst, (a, b)| worst.max((a - b).abs()));
        let moved = equal.iter().zip(&noise);
        let moved = moved.fold(0.0f64, |m, (a, b)| m.max((a - f64::from(*b)).abs()));
        assert!(worst < 0.05 * moved, "{worst} of {moved}");
    }
}
