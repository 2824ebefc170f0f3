//! Orders of the solvers on a smooth field, and the adaptive solver on a trained decoder.

mod common;

use attractor::device::Device;
use attractor::formats::{ArrayMap, load_arrays};
use attractor::graph::{Graph, Moment, Plan, TensorId};
use attractor::models::field::{Evaluation, Times, VelocityField};
use attractor::models::flow::DecoderConfig;
use attractor::orbit::Orbit;
use attractor::samplers::flow::{
    AdaptiveSettings, FlowDraws, FlowError, FlowRequest, FlowSampler, Method, Noise, Solver, solve,
    solve_adaptively,
};
use attractor_kernels::matmul::MatMul;
use common::gpu;
use std::sync::Arc;

/// x' = A x in the plane: a turn by `TURN` radians in unit time that shrinks by `DECAY`.
struct Spiral {
    rows: usize,
    matrix: Option<TensorId>,
}

const TURN: f64 = 3.0;
const DECAY: f64 = 0.5;

impl VelocityField for Spiral {
    fn rows(&self) -> usize {
        self.rows
    }

    fn width(&self) -> usize {
        2
    }

    fn prepare(&mut self, graph: &mut Graph, _times: Times) {
        let [turn, decay] = [TURN as f32, DECAY as f32];
        let values = Arc::new(vec![-decay, -turn, turn, -decay]);
        self.matrix = Some(graph.constant("matrix", &[2, 2], values));
    }

    fn velocity(&mut self, graph: &mut Graph, at: &Evaluation<'_>) {
        let kernel = MatMul {
            flags: 0,
            c_offset: at.out_offset as u32,
            ..MatMul::linear(self.rows as u32, 2, 2)
        };
        let operands = [Some(at.x), self.matrix, None, None, None, Some(at.out)];
        graph.push(at.phase, at.label, kernel, &operands);
    }
}

const STARTS: [f32; 6] = [1.0, 0.0, -0.5, 2.0, 0.25, -1.5];

/// Largest distance of end points from the exact ones.
fn distance(ends: &[f64]) -> f64 {
    let (sine, cosine) = TURN.sin_cos();
    let shrink = (-DECAY).exp();
    let pairs = STARTS.chunks(2).zip(ends.chunks(2));
    pairs.fold(0.0, |worst, (start, end)| {
        let (x, y) = (f64::from(start[0]), f64::from(start[1]));
        let exact = [
            shrink * (cosine * x - sine * y),
            shrink * (sine * x + cosine * y),
        ];
        worst
            .max((end[0] - exact[0]).abs())
            .max((end[1] - exact[1]).abs())
    })
}

fn fixed(device: &Device, method: Method, steps: usize) -> f64 {
    let mut graph = Graph::new();
    let mut field = Spiral {
        rows: 3,
        matrix: None,
    };
    let tensors = solve(&mut graph, &mut field, method, steps, false);
    let plan = Plan::compile(graph, device).expect("plan");
    let mut orbit = Orbit::new(&plan).expect("orbit");
    orbit
        .execution
        .write(tensors.state, &STARTS)
        .expect("write");
    let report = orbit.run(steps as u32, &Moment::default()).expect("run");
    assert_eq!(report.submissions, 1);
    distance(&orbit.execution.read_f64(tensors.state).expect("read"))
}

#[test]
fn errors_fall_with_the_order_of_the_method() {
    let device = Device::cpu_f64();
    for (method, order, counts) in [
        (Method::Euler, 1.0, [256, 512, 1024, 2048]),
        (Method::Midpoint, 2.0, [32, 64, 128, 256]),
        (Method::Heun, 2.0, [32, 64, 128, 256]),
        (Method::Rk4, 4.0, [16, 32, 64, 128]),
        (Method::DormandPrince5, 5.0, [8, 16, 32, 64]),
    ] {
        let points = counts.map(|steps| {
            let error = fixed(&device, method, steps);
            ((1.0 / steps as f64).ln(), error.ln())
        });
        let slope = slope(&points);
        assert!(
            (slope - order).abs() < 0.1,
            "{method}: slope {slope}, order {order}"
        );
    }
}

/// Of the straight line nearest to the points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let variance: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    covariance / variance
}

fn adaptive(device: &Device, tolerance: f32) -> (f64, Vec<u32>) {
    let mut graph = Graph::new();
    let mut field = Spiral {
        rows: 3,
        matrix: None,
    };
    let settings = AdaptiveSettings {
        relative_tolerance: tolerance,
        absolute_tolerance: tolerance,
        maximum_step: 1.0,
        ..AdaptiveSettings::default()
    };
    let tensors = solve_adaptively(&mut graph, &mut field, &settings);
    let plan = Plan::compile(graph, device).expect("plan");
    let mut orbit = Orbit::new(&plan).expect("orbit");
    let execution = &mut orbit.execution;
    execution.write(tensors.state, &STARTS).expect("write");
    execution.write(tensors.time, &[0.0; 3]).expect("write");
    execution
        .write(tensors.step_size, &[0.1; 3])
        .expect("write");
    execution
        .write_words(tensors.status, &[0; 12])
        .expect("write");
    execution
        .write(tensors.velocities, &[0.0; 42])
        .expect("write");
    let looks = |execution: &attractor::graph::Execution| {
        let status = execution.read_words(tensors.status)?;
        Ok(status.chunks(4).all(|row| row[2] != 0))
    };
    orbit
        .run_until((1000, 4), &Moment::default(), looks)
        .expect("run");
    let status = orbit.execution.read_words(tensors.status).expect("read");
    let times = orbit.execution.read(tensors.time).expect("read");
    assert_eq!(times, [1.0; 3], "{status:?}");
    (
        distance(&orbit.execution.read_f64(tensors.state).expect("read")),
        status,
    )
}

#[test]
fn adaptive_steps_meet_their_tolerance_and_grow_in_number_with_it() {
    let mut before = 0;
    for tolerance in [1e-3, 1e-5, 1e-7] {
        let (error, status) = adaptive(&Device::cpu_f64(), tolerance);
        assert!(
            error < 20.0 * f64::from(tolerance),
            "{tolerance}: {error:e}"
        );
        let accepted = status[0];
        assert!(accepted > before, "{tolerance}: {status:?}");
        before = accepted;
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn adaptive_steps_on_a_gpu() {
    let (error, _) = adaptive(&gpu(), 1e-4);
    assert!(error < 2e-3, "{error:e}");
}

const FRAMES: usize = 6;

fn goldens() -> (ArrayMap, Vec<f32>, Vec<f32>) {
    let map = load_arrays("tests/data/flow/trajectories.safetensors").expect("goldens");
    let conditions = map.expect_f32("in.cond", &[FRAMES, 12, 16]).expect("cond");
    let noise = map.expect_f32("in.noise", &[24, 6, 2]).expect("noise");
    (map, conditions, noise)
}

fn decoder(device: &Device) -> FlowSampler {
    let text = std::fs::read_to_string("assets/drivechunk_decoder.json").expect("configuration");
    let config = DecoderConfig::from_json("drivechunk_decoder.json", &text).expect("configuration");
    let weights = load_arrays("assets/drivechunk_decoder.safetensors").expect("weights");
    FlowSampler::new(config, &weights, device).expect("sampler")
}

fn request<'a>(
    (conditions, noise): (&'a [f32], &'a [f32]),
    (frames, draws): (usize, usize),
    solver: Solver,
) -> FlowRequest<'a> {
    FlowRequest {
        conditions,
        frames,
        first_frame: 0,
        draws,
        noise: Noise::Recorded(noise),
        solver,
        record: false,
    }
}

/// End points within a tolerance.
fn within(tolerance: f32) -> Solver {
    Solver::Adaptive(AdaptiveSettings {
        relative_tolerance: tolerance,
        absolute_tolerance: tolerance,
        ..AdaptiveSettings::default()
    })
}

/// Steps within a tolerance, once.
fn one_pass(tolerance: f32) -> Solver {
    Solver::Adaptive(AdaptiveSettings {
        relative_tolerance: tolerance,
        absolute_tolerance: tolerance,
        refine: false,
        ..AdaptiveSettings::default()
    })
}

fn worst(exact: &[f64], found: &[f64]) -> f64 {
    assert_eq!(exact.len(), found.len());
    let pairs = exact.iter().zip(found);
    pairs.fold(0.0f64, |worst, (a, b)| worst.max((a - b).abs()))
}

fn sampled(sampler: &mut FlowSampler, solver: Solver) -> FlowDraws {
    let (_, conditions, noise) = goldens();
    let request = request((&conditions, &noise), (FRAMES, 4), solver);
    sampler.sample(&request).expect("draws")
}

/// Largest share of the allowed error that any entry of the draws takes.
fn share(exact: &[f64], found: &[f64], tolerance: f32) -> f64 {
    let tolerance = f64::from(tolerance);
    let pairs = exact.iter().zip(found);
    pairs.fold(0.0f64, |worst, (e, f)| {
        worst.max((e - f).abs() / (tolerance + tolerance * e.abs()))
    })
}

/// The decoder is no smooth field: its features of time turn by up to 1000 radians in unit time, and
/// the logit of time jumps at both ends.
#[test]
fn adaptive_draws_of_a_decoder_meet_their_tolerance() {
    let fixed = |method, steps| Solver::Fixed { method, steps };
    let exact = sampled(&mut decoder(&Device::cpu_f64()), fixed(Method::Rk4, 4096)).values_f64;
    for (device, tolerances) in [
        (Device::cpu_f64(), &[1e-1, 3e-2, 1e-2, 5e-3][..]),
        (Device::cpu(), &[3e-2, 1e-2][..]),
    ] {
        let mut sampler = decoder(&device);
        for &tolerance in tolerances {
            let draws = sampled(&mut sampler, within(tolerance));
            let share = share(&exact, &draws.values_f64, tolerance);
            println!(
                "{tolerance}: {share:.3}, {} evaluations",
                draws.report.evaluations
            );
            assert!(share <= 1.0, "{tolerance}: {share} of the tolerance");
        }
    }
    // One pass is nearer than equal steps of as many evaluations.
    let mut sampler = decoder(&Device::cpu_f64());
    let adaptive = sampled(&mut sampler, one_pass(1e-4));
    let evaluations = adaptive.report.evaluations;
    let error = worst(&exact, &adaptive.values_f64);
    for method in [Method::Euler, Method::Heun] {
        let steps = (evaluations / method.evaluations() as f64).ceil() as usize;
        let equal = sampled(&mut sampler, fixed(method, steps)).values_f64;
        let other = worst(&exact, &equal);
        assert!(
            error < other,
            "{method}: {error:e} against {other:e}, {evaluations} evaluations"
        );
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn adaptive_draws_of_a_decoder_meet_their_tolerance_on_a_gpu() {
    let exact = Solver::Fixed {
        method: Method::Rk4,
        steps: 2048,
    };
    let exact = sampled(&mut decoder(&Device::cpu_f64()), exact).values_f64;
    let draws = sampled(&mut decoder(&gpu()), within(5e-2));
    let share = share(&exact, &draws.values_f64, 5e-2);
    assert!(share <= 1.0, "{share} of the tolerance");
}

#[test]
fn end_points_that_never_stand_are_a_named_error() {
    let (_, conditions, noise) = goldens();
    let mut sampler = decoder(&Device::cpu());
    let one = (&conditions[..192], &noise[..12]);
    let request = request(one, (1, 1), within(1e-7));
    let error = sampler
        .sample(&request)
        .expect_err("single precision cannot do that");
    let text = error.to_string();
    assert!(text.contains("frame 0, draw 0: the tolerance"), "{text}");
}

#[test]
fn adaptive_steps_of_a_decoder_agree_between_precisions() {
    let exact = sampled(&mut decoder(&Device::cpu_f64()), one_pass(1e-2)).values_f64;
    let single = sampled(&mut decoder(&Device::cpu()), one_pass(1e-2)).values_f64;
    assert!(
        worst(&exact, &single) < 1e-4,
        "{:e}",
        worst(&exact, &single)
    );
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn adaptive_steps_of_a_decoder_on_a_gpu() {
    let exact = sampled(&mut decoder(&Device::cpu_f64()), one_pass(1e-2)).values_f64;
    let found = sampled(&mut decoder(&gpu()), one_pass(1e-2)).values_f64;
    assert!(worst(&exact, &found) < 1e-4, "{:e}", worst(&exact, &found));
}

#[test]
fn a_row_steps_as_it_would_alone() {
    let (_, conditions, noise) = goldens();
    for device in [Device::cpu(), Device::cpu_f64()] {
        let mut sampler = decoder(&device);
        let all = request((&conditions, &noise), (FRAMES, 4), within(5e-2));
        let all = sampler.sample(&all).expect("draws").values_f64;
        for frame in [0, 3, 5] {
            let cond = &conditions[frame * 192..(frame + 1) * 192];
            let start = &noise[frame * 48..frame * 48 + 12];
            let one = request((cond, start), (1, 1), within(5e-2));
            let one = sampler.sample(&one).expect("draw").values_f64;
            assert_eq!(one, all[frame * 48..frame * 48 + 12], "frame {frame}");
        }
    }
}

#[test]
fn a_tolerance_out_of_reach_is_a_named_error() {
    let (_, conditions, noise) = goldens();
    let mut sampler = decoder(&Device::cpu());
    let settings = AdaptiveSettings {
        relative_tolerance: 1e-5,
        absolute_tolerance: 1e-5,
        maximum_steps: 9,
        ..AdaptiveSettings::default()
    };
    let request = request(
        (&conditions, &noise),
        (FRAMES, 4),
        Solver::Adaptive(settings),
    );
    let error = sampler
        .sample(&request)
        .expect_err("nine attempts cannot do");
    let FlowError::Tolerance {
        reason,
        time,
        count,
        ..
    } = &error
    else {
        panic!("another error: {error}");
    };
    assert_eq!(*reason, "the attempts were used up");
    assert!(*time > 0.0 && *time < 1.0 && *count > 0, "{error}");
    assert!(error.to_string().contains("frame 0, draw 0"), "{error}");
}

#[test]
fn bad_requests_are_refused_by_name() {
    let (_, conditions, noise) = goldens();
    let mut sampler = decoder(&Device::cpu());
    let good = request((&conditions, &noise), (FRAMES, 4), Solver::default());
    let mut strange = conditions.clone();
    strange[200] = f32::NAN;
    let zero = Solver::Fixed {
        method: Method::Heun,
        steps: 0,
    };
    for (bad, what) in [
        (FlowRequest { draws: 0, ..good }, "draws"),
        (FlowRequest { frames: 0, ..good }, "frames"),
        (
            FlowRequest {
                solver: zero,
                ..good
            },
            "steps",
        ),
        (
            FlowRequest {
                solver: within(0.0),
                ..good
            },
            "tolerance",
        ),
        (
            FlowRequest {
                solver: within(-1.0),
                ..good
            },
            "tolerance",
        ),
        (
            FlowRequest {
                conditions: &conditions[1..],
                ..good
            },
            "conditions",
        ),
        (
            FlowRequest {
                conditions: &strange,
                ..good
            },
            "frame 1, token 0, column 8",
        ),
        (
            FlowRequest {
                noise: Noise::Recorded(&noise[1..]),
                ..good
            },
            "noise",
        ),
        (
            FlowRequest {
                record: true,
                solver: within(5e-2),
                ..good
            },
            "record",
        ),
        (
            FlowRequest {
                first_frame: u32::MAX,
                ..good
            },
            "frames",
        ),
    ] {
        let error = sampler.sample(&bad).expect_err(what).to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
}
