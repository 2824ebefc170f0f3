//! Maps whose exponents can be measured, against reference values and plain code.

use attractor::device::Device;
use attractor::formats::{ArrayMap, load_arrays};
use attractor::graph::{Moment, Plan};
use attractor::models::dynamics::LatentDynamics;
use attractor::models::flow::{DecoderConfig, FlowBatch};
use attractor::models::maps::{KuramotoSivashinsky, Lorenz96, linear_map};
use attractor::models::mlp::{LayerNames, Mlp, Nonlinearity};
use attractor::orbit::{IteratedMap, Orbit};
use attractor::samplers::flow::{
    FlowRequest, FlowSampler, Method, Noise, Solver, decoder_map, mlp_map,
};
use attractor_kernels::Activation;
use std::path::Path;

fn arrays(name: &str) -> ArrayMap {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ftle");
    load_arrays(folder.join(name)).unwrap()
}

fn numbers(arrays: &ArrayMap, name: &str) -> Vec<f64> {
    arrays.get(name).unwrap().to_f64().unwrap()
}

/// The state after `steps` steps in double precision.
fn orbit_on(device: &Device, map: &IteratedMap, start: &[f64], steps: u32) -> Vec<f64> {
    assert_eq!(map.updates, [map.graph.nodes().len()]);
    assert_eq!(
        map.graph.tensor(map.state).shape,
        [map.batch, map.dimension]
    );
    let plan = Plan::compile(map.graph.clone(), device).unwrap();
    let mut orbit = Orbit::new(&plan).unwrap();
    orbit.execution.write_f64(map.state, start).unwrap();
    orbit.run(steps, &Moment::default()).unwrap();
    orbit.execution.read_f64(map.state).unwrap()
}

fn orbit(map: &IteratedMap, start: &[f64], steps: u32) -> Vec<f64> {
    orbit_on(&Device::cpu_f64(), map, start, steps)
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance,
            "{at}: expected {expected}, found {found}"
        );
    }
}

/// One Runge-Kutta step of order 4.
fn classic_step(x: &[f64], h: f64, f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let at = |k: &[f64], part: f64| -> Vec<f64> {
        x.iter().zip(k).map(|(x, k)| x + part * h * k).collect()
    };
    let k1 = f(x);
    let k2 = f(&at(&k1, 0.5));
    let k3 = f(&at(&k2, 0.5));
    let k4 = f(&at(&k3, 1.0));
    (0..x.len())
        .map(|i| x[i] + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
        .collect()
}

#[test]
fn a_linear_map_is_its_matrix() {
    let arrays = arrays("graphs/graphs.safetensors");
    let a = numbers(&arrays, "linear_random8_k3.A");
    let map = linear_map(&a, 8, 3).unwrap();
    let start: Vec<f64> = (0..24).map(|i| (i as f64 * 0.7).sin()).collect();
    let mut expected = start.clone();
    for _ in 0..5 {
        expected = expected
            .chunks(8)
            .flat_map(|x| {
                a.chunks(8)
                    .map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>())
                    .collect::<Vec<f64>>()
            })
            .collect();
    }
    assert_near(&orbit(&map, &start, 5), &expected, 1e-12);
}

#[test]
fn lorenz_96_of_any_size_is_its_formula() {
    for (sites, forcing, step) in [
        (4, 8.0, 0.05),
        (5, 7.3, 0.0123),
        (20, 8.0, 0.05),
        (37, -3.0, 0.02),
    ] {
        let model = Lorenz96 {
            sites,
            forcing,
            step,
        };
        let start = model.start(3);
        assert_eq!(start.len(), 3 * sites);
        let field = |x: &[f64]| -> Vec<f64> {
            let n = sites;
            (0..n)
                .map(|i| {
                    (x[(i + 1) % n] - x[(i + n - 2) % n]) * x[(i + n - 1) % n] - x[i] + forcing
                })
                .collect()
        };
        let mut expected = start.clone();
        for _ in 0..40 {
            expected = expected
                .chunks(sites)
                .flat_map(|x| classic_step(x, step, field))
                .collect();
        }
        let map = model.map(3).unwrap();
        assert_near(&orbit(&map, &start, 40), &expected, 1e-11);
    }
}

/// A step of ETDRK4 by discrete Fourier sums, with the coefficients as Taylor series or closed forms.
fn spectral_step(u: &[f64], length: f64, h: f64) -> Vec<f64> {
    use std::f64::consts::TAU;
    let n = u.len();
    let wave = |k: usize| {
        let signed = if k > n / 2 {
            k as f64 - n as f64
        } else {
            k as f64
        };
        TAU / length * signed
    };
    let transform = |x: &[f64]| -> Vec<(f64, f64)> {
        (0..n)
            .map(|k| {
                x.iter().enumerate().fold((0.0, 0.0), |sum, (j, x)| {
                    let angle = -TAU * (j * k % n) as f64 / n as f64;
                    (sum.0 + x * angle.cos(), sum.1 + x * angle.sin())
                })
            })
            .collect()
    };
    let back = |v: &[(f64, f64)]| -> Vec<f64> {
        (0..n)
            .map(|j| {
                let terms = v.iter().enumerate().map(|(k, (re, im))| {
                    let angle = TAU * (j * k % n) as f64 / n as f64;
                    re * angle.cos() - im * angle.sin()
                });
                terms.sum::<f64>() / n as f64
            })
            .collect()
    };
    let nonlinear = |v: &[(f64, f64)]| -> Vec<(f64, f64)> {
        let squares: Vec<f64> = back(v).iter().map(|u| u * u).collect();
        let squares = transform(&squares);
        (0..n)
            .map(|k| {
                let q = if 2 * k == n { 0.0 } else { wave(k) };
                (0.5 * q * squares[k].1, -0.5 * q * squares[k].0)
            })
            .collect()
    };
    // phi_1, phi_2, phi_3 of z by their series, sum z^i / (i + j)!, after halving the argument away.
    let phi = |z: f64| -> [f64; 3] {
        if z.abs() < 0.5 {
            let mut sums = [0.0; 3];
            for (j, sum) in sums.iter_mut().enumerate() {
                let mut factorial: f64 = (1..=j + 1).map(|i| i as f64).product();
                let mut power = 1.0;
                for i in 0..25 {
                    *sum += power / factorial;
                    power *= z;
                    factorial *= (i + j + 2) as f64;
                }
            }
            return sums;
        }
        let first = (z.exp() - 1.0) / z;
        let second = (first - 1.0) / z;
        [first, second, (second - 0.5) / z]
    };
    let add =
        |a: &[(f64, f64)], s: &dyn Fn(usize) -> f64, b: &[(f64, f64)], t: &dyn Fn(usize) -> f64| {
            (0..n)
                .map(|k| (a[k].0 * s(k) + b[k].0 * t(k), a[k].1 * s(k) + b[k].1 * t(k)))
                .collect::<Vec<_>>()
        };
    let z = |k: usize| h * (wave(k).powi(2) - wave(k).powi(4));
    let (half, whole) = (|k: usize| (z(k) / 2.0).exp(), |k: usize| z(k).exp());
    let stage = |k: usize| h / 2.0 * phi(z(k) / 2.0)[0];
    let f1 = |k: usize| h * (phi(z(k))[0] - 3.0 * phi(z(k))[1] + 4.0 * phi(z(k))[2]);
    let f2 = |k: usize| h * 2.0 * (phi(z(k))[1] - 2.0 * phi(z(k))[2]);
    let f3 = |k: usize| h * (4.0 * phi(z(k))[2] - phi(z(k))[1]);
    let v = transform(u);
    let nv = nonlinear(&v);
    let a = add(&v, &half, &nv, &stage);
    let na = nonlinear(&a);
    let b = add(&v, &half, &na, &stage);
    let nb = nonlinear(&b);
    let ahead = add(&nb, &|_| 2.0, &nv, &|_| -1.0);
    let c = add(&a, &half, &ahead, &stage);
    let nc = nonlinear(&c);
    let sum = add(&v, &whole, &nv, &f1);
    let sum = add(&sum, &|_| 1.0, &add(&na, &|_| 1.0, &nb, &|_| 1.0), &f2);
    back(&add(&sum, &|_| 1.0, &nc, &f3))
}

#[test]
fn kuramoto_sivashinsky_is_its_fourier_sums() {
    for (length, points, step) in [(22.0, 32, 0.25), (13.5, 16, 0.1), (36.0, 50, 0.25)] {
        let model = KuramotoSivashinsky {
            length,
            points,
            step,
        };
        let start = model.start(2);
        let mut expected = start.clone();
        for _ in 0..20 {
            expected = expected
                .chunks(points)
                .flat_map(|u| spectral_step(u, length, step))
                .collect();
        }
        let found = orbit(&model.map(2).unwrap(), &start, 20);
        assert_near(&found, &expected, 1e-10);
        assert!(expected.iter().any(|u| u.abs() > 0.1));
    }
}

#[test]
fn the_mean_is_conserved() {
    let model = KuramotoSivashinsky {
        length: 22.0,
        points: 32,
        step: 0.25,
    };
    let start = model.start(1);
    let mean = |u: &[f64]| u.iter().sum::<f64>() / 32.0;
    assert!(mean(&start).abs() < 1e-15);
    let moved: Vec<f64> = start.iter().map(|u| u + 0.5).collect();
    let end = orbit(&model.map(1).unwrap(), &moved, 40);
    assert!((mean(&end) - 0.5).abs() < 1e-13);
    assert!(end.iter().any(|u| (u - 0.5).abs() > 0.1));
}

#[test]
fn a_small_flow_network_arrives_where_the_reference_does() {
    let arrays = arrays("graphs/graphs.safetensors");
    let silu = Nonlinearity::Activation(Activation::SILU);
    let name = |what: &str| format!("flow_mlp.{what}");
    let names = [
        LayerNames::plain(name("W1"), name("b1"), silu),
        LayerNames::plain(name("W2"), name("b2"), silu),
        LayerNames::plain(name("W3"), name("b3"), Nonlinearity::None),
    ];
    let mlp = Mlp::read(&arrays, &names).unwrap();
    assert_eq!((mlp.inputs(), mlp.outputs()), (9, 8));
    let start = numbers(&arrays, &name("x0"));
    for (method, end) in [
        (Method::Euler, "x_end_euler"),
        (Method::Heun, "x_end_heun"),
        (Method::Rk4, "x_end_rk4"),
    ] {
        let map = mlp_map(&mlp, 5, method, 16).unwrap();
        let expected = numbers(&arrays, &name(end));
        // The reference's weights were rounded after it was computed.
        assert_near(&orbit(&map, &start, 16), &expected, 5e-7);
        assert_near(&orbit_on(&Device::cpu(), &map, &start, 16), &expected, 3e-6);
        assert!(mlp_map(&mlp, 0, method, 16).is_err());
        assert!(mlp_map(&mlp, 5, method, 0).is_err());
    }
    let layer = |x: &[f64], layer: &str| -> Vec<f64> {
        let weight = numbers(&arrays, &name(&format!("W{layer}")));
        let bias = numbers(&arrays, &name(&format!("b{layer}")));
        let rows = weight.chunks(x.len()).zip(bias);
        rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())
            .collect()
    };
    let silu = |x: Vec<f64>| -> Vec<f64> { x.iter().map(|x| x / (1.0 + (-x).exp())).collect() };
    let velocity = |x: &[f64], t: f64| {
        let input: Vec<f64> = x.iter().copied().chain([t]).collect();
        layer(&silu(layer(&silu(layer(&input, "1")), "2")), "3")
    };
    let mut expected = start.clone();
    for step in 0..16 {
        for x in expected.chunks_mut(8) {
            let v = velocity(x, f64::from(step) / 16.0);
            x.iter_mut().zip(v).for_each(|(x, v)| *x += v / 16.0);
        }
    }
    let map = mlp_map(&mlp, 5, Method::Euler, 16).unwrap();
    assert_near(&orbit(&map, &start, 16), &expected, 1e-12);
}

#[test]
fn latent_dynamics_follow_recorded_actions() {
    let arrays = arrays("graphs/graphs.safetensors");
    let name = |what: &str| format!("wm.{what}");
    let mish = Nonlinearity::Activation(Activation::MISH);
    let names = [
        LayerNames::plain(name("A1"), name("c1"), mish),
        LayerNames::plain(name("A2"), name("c2"), Nonlinearity::SimNorm { group: 4 }),
    ];
    let model = LatentDynamics::new(Mlp::read(&arrays, &names).unwrap()).unwrap();
    assert_eq!((model.latent(), model.action()), (16, 3));
    let actions = numbers(&arrays, &name("actions"));
    let map = model.map(4, 12, &actions).unwrap();
    let end = orbit(&map, &numbers(&arrays, &name("z0")), 12);
    // The reference's weights were rounded after it was computed.
    assert_near(&end, &numbers(&arrays, &name("z_end")), 1e-7);
    for (batch, steps, actions) in [
        (4, 12, &actions[1..]),
        (0, 12, &[]),
        (4, 0, &[]),
        (1, 1, &[0.0, f64::NAN, 1.0]),
        (usize::MAX, usize::MAX, &[]),
    ] {
        assert!(model.map(batch, steps, actions).is_err());
    }
    // Steps beyond the recorded actions are refused before anything runs.
    let plan = Plan::compile(map.graph.clone(), &Device::cpu()).unwrap();
    let mut orbit = Orbit::new(&plan).unwrap();
    let error = orbit.run(13, &Moment::default()).unwrap_err().to_string();
    assert!(error.contains("actions"), "{error}");
}

#[test]
fn a_tdmpc2_checkpoint_gives_its_dynamics() {
    let arrays = arrays("tdmpc2_dynamics.safetensors");
    let model = LatentDynamics::tdmpc2(&arrays, 8).unwrap();
    assert_eq!((model.latent(), model.action()), (24, 2));
    let (z, actions) = (numbers(&arrays, "io.z"), numbers(&arrays, "io.act"));
    let map = model.map(8, 1, &actions).unwrap();
    let expected = numbers(&arrays, "io.z_next");
    assert_near(&orbit(&map, &z, 1), &expected, 1e-6);
    assert_near(&orbit_on(&Device::cpu(), &map, &z, 1), &expected, 1e-6);
    assert!(LatentDynamics::tdmpc2(&arrays, 7).is_err());
    assert!(LatentDynamics::tdmpc2(&ArrayMap::new("empty"), 8).is_err());
}

#[test]
fn parameters_out_of_range_are_named() {
    let refused = |result: Result<IteratedMap, attractor::models::maps::MapError>, what: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.parameter, what, "{error}");
    };
    refused(linear_map(&[1.0; 3], 2, 1), "matrix");
    refused(linear_map(&[], 0, 1), "matrix");
    refused(linear_map(&[f64::NAN], 1, 1), "matrix");
    refused(linear_map(&[1.0], 1, 0), "batch");
    refused(linear_map(&[1.0], 1, usize::MAX), "batch");
    let ring = Lorenz96 {
        sites: 8,
        forcing: 8.0,
        step: 0.05,
    };
    refused(Lorenz96 { sites: 3, ..ring }.map(1), "sites");
    refused(
        Lorenz96 {
            sites: usize::MAX,
            ..ring
        }
        .map(1),
        "batch",
    );
    refused(
        Lorenz96 {
            forcing: f64::NAN,
            ..ring
        }
        .map(1),
        "forcing",
    );
    refused(Lorenz96 { step: 0.0, ..ring }.map(1), "step");
    refused(ring.map(0), "batch");
    let equation = KuramotoSivashinsky {
        length: 22.0,
        points: 32,
        step: 0.25,
    };
    for points in [0, 2, 33, 4098, usize::MAX] {
        refused(KuramotoSivashinsky { points, ..equation }.map(1), "points");
    }
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(
            KuramotoSivashinsky {
                length: bad,
                ..equation
            }
            .map(1),
            "length",
        );
        refused(
            KuramotoSivashinsky {
                step: bad,
                ..equation
            }
            .map(1),
            "step",
        );
    }
    refused(equation.map(0), "batch");
}

#[test]
fn layers_that_do_not_fit_are_named() {
    let arrays = arrays("graphs/graphs.safetensors");
    let plain = |weight: &str, bias: &str| LayerNames::plain(weight, bias, Nonlinearity::None);
    for (names, what) in [
        (vec![], "layers"),
        (vec![plain("flow_mlp.none", "flow_mlp.b1")], "flow_mlp.none"),
        (vec![plain("flow_mlp.b1", "flow_mlp.b1")], "flow_mlp.b1"),
        (vec![plain("flow_mlp.W1", "flow_mlp.b3")], "flow_mlp.b3"),
        (
            vec![
                plain("flow_mlp.W1", "flow_mlp.b1"),
                plain("flow_mlp.W1", "flow_mlp.b1"),
            ],
            "flow_mlp.W1",
        ),
    ] {
        let error = Mlp::read(&arrays, &names).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    let wide = Mlp::read(&arrays, &[plain("flow_mlp.W1", "flow_mlp.b1")]).unwrap();
    assert!(LatentDynamics::new(wide.clone()).is_err());
    let error = mlp_map(&wide, 1, Method::Euler, 4).unwrap_err().to_string();
    assert!(error.contains("velocity field"), "{error}");
}

#[test]
fn the_map_of_a_decoder_is_its_sampler() {
    let asset = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("assets")
            .join(name)
    };
    let text = std::fs::read_to_string(asset("drivechunk_decoder.json")).unwrap();
    let config = DecoderConfig::from_json("drivechunk_decoder.json", &text).unwrap();
    let weights = load_arrays(asset("drivechunk_decoder.safetensors")).unwrap();
    let device = Device::cpu_f64();
    let mut sampler = FlowSampler::new(config.clone(), &weights, &device).unwrap();
    let batch = FlowBatch {
        frames: 2,
        draws: 3,
    };
    let values = |count: usize, salt: f32| -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37 + salt).sin()).collect()
    };
    let conditions = values(2 * config.tokens * config.cond_dim, 0.0);
    let noise = values(6 * config.chunk(), 1.0);
    for (method, steps) in [(Method::Euler, 4), (Method::Heun, 3)] {
        let drawn = sampler.sample(&FlowRequest {
            conditions: &conditions,
            frames: 2,
            first_frame: 0,
            draws: 3,
            noise: Noise::Recorded(&noise),
            solver: Solver::Fixed { method, steps },
            record: false,
        });
        let weights = sampler.weights();
        let map = |conditions: &[f32], steps| {
            decoder_map(&config, weights, batch, conditions, method, steps)
        };
        let start: Vec<f64> = noise.iter().map(|&v| f64::from(v)).collect();
        let found = orbit(&map(&conditions, steps).unwrap(), &start, steps as u32);
        assert_near(&found, &drawn.unwrap().values_f64, 1e-12);
        assert!(map(&conditions[1..], steps).is_err());
        assert!(map(&conditions, 0).is_err());
    }
    let nowhere = FlowBatch {
        frames: usize::MAX,
        draws: 2,
    };
    let refused = decoder_map(&config, sampler.weights(), nowhere, &[], Method::Euler, 1);
    assert!(refused.is_err());
}
