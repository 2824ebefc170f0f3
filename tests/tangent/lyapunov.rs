//! Exponents of maps that are known by hand: linear ones, and one that runs off.

use attractor::device::Device;
use attractor::graph::{Graph, Moment, Phase, TensorKind};
use attractor::models::maps::linear_map;
use attractor::orbit::IteratedMap;
use attractor::orbit::lyapunov::{LyapunovError, LyapunovPlan, Settings, Spectrum, Start};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};

fn devices() -> Vec<(Device, f64)> {
    let mut devices = vec![(Device::cpu_f64(), 1e-13), (Device::cpu(), 1e-6)];
    if cfg!(gpu_adapter) {
        let gpu = Device::wgpu("").expect("an adapter; ./scripts/test installs a software one");
        devices.push((gpu, 1e-6));
    }
    devices
}

fn run(
    map: &IteratedMap,
    settings: &Settings,
    device: &Device,
    (state, tangents, steps): (&[f64], Option<&[f64]>, u32),
) -> Result<(Spectrum, Vec<f64>), LyapunovError> {
    let mut orbit = LyapunovPlan::compile(map, settings, device)?.orbit()?;
    orbit.orbit.execution.write_f64(map.state, state)?;
    if let Some(tangents) = tangents {
        orbit.set_tangents(tangents)?;
    }
    let spectrum = orbit.run(
        steps,
        &Moment {
            seed: 3,
            first_example: 0,
        },
    )?;
    let last = orbit.tangents()?;
    Ok((spectrum, last))
}

fn given(columns: usize, map: &IteratedMap) -> Settings {
    Settings {
        start: Start::Given,
        ..Settings::by_step(map, columns)
    }
}

#[test]
fn a_diagonal_map_stretches_by_its_entries() {
    let entries: [f64; 3] = [3.0, 0.5, 0.125];
    let matrix = [3.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.125];
    let map = linear_map(&matrix, 3, 2).unwrap();
    let identity = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0].repeat(2);
    for (device, allowed) in devices() {
        for every in [1, 2, 4] {
            let settings = Settings {
                every,
                ..given(2, &map)
            };
            let start = (&[0.0; 6][..], Some(&identity[..]), 8);
            let (found, last) = run(&map, &settings, &device, start).unwrap();
            assert_eq!((found.events, found.columns), (8 / every as usize, 2));
            for (at, log) in found.log_r.iter().enumerate() {
                let expected = f64::from(every) * entries[at % 2].ln();
                assert!((log - expected).abs() < allowed * 10.0, "{log} {expected}");
            }
            let moved = last.iter().zip(&identity).map(|(x, y)| (x - y).abs());
            assert!(moved.fold(0.0, f64::max) < 1e-6, "the axes stay: {last:?}");
            assert_eq!(found.restarts, [0, 0]);
            assert!(found.invalid.is_empty());
        }
    }
}

#[test]
fn factors_say_what_the_map_did() {
    // A shear with a rotation: DF Q_t = Q_{t+1} R_{t+1} at every step.
    let matrix = [0.6, -0.8, 1.5, 0.2, 0.9, -0.1, -0.7, 0.3, 1.1];
    let map = linear_map(&matrix, 3, 1).unwrap();
    for (device, allowed) in devices() {
        let settings = Settings {
            factors: true,
            ..Settings::by_step(&map, 3)
        };
        let (found, last) = run(&map, &settings, &device, (&[0.0; 3], None, 5)).unwrap();
        let factors = found.factors.unwrap();
        let product = |a: &[f64], b: &[f64], i: usize, j: usize| -> f64 {
            (0..3).map(|l| a[i * 3 + l] * b[l * 3 + j]).sum()
        };
        for event in 1..5 {
            let (q, r) = (&factors.q[9 * event..][..9], &factors.r[9 * event..][..9]);
            let before = &factors.q[9 * (event - 1)..][..9];
            for (i, j) in (0..9).map(|at| (at / 3, at % 3)) {
                let (moved, factored) = (product(&matrix, before, i, j), product(q, r, i, j));
                assert!(
                    (moved - factored).abs() < 10.0 * allowed,
                    "{moved} {factored}"
                );
            }
            for j in 0..3 {
                let log = found.log_r[event * 3 + j];
                assert!((r[j * 3 + j].ln() - log).abs() < 10.0 * allowed);
            }
        }
        assert_eq!(last, factors.q[36..], "the last tangents are the last Q");
        // The whole stretch is that of the determinant.
        let total: f64 = found.log_r.iter().sum();
        let m = &matrix;
        let determinant = m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6])
            + m[2] * (m[3] * m[7] - m[4] * m[6]);
        let expected = 5.0 * determinant.abs().ln();
        assert!(
            (total - expected).abs() < 50.0 * allowed,
            "{total} {expected}"
        );
    }
}

#[test]
fn long_runs_are_cut_into_windows_without_a_trace() {
    // More steps than one record holds.
    let matrix = [1.1, 0.3, 0.2, 0.7];
    let map = linear_map(&matrix, 2, 1).unwrap();
    for (device, _) in devices() {
        let settings = Settings::by_step(&map, 2);
        let (long, _) = run(&map, &settings, &device, (&[0.0; 2], None, 9001)).unwrap();
        let (short, _) = run(&map, &settings, &device, (&[0.0; 2], None, 11)).unwrap();
        assert_eq!(long.events, 9001);
        assert_eq!(long.log_r[..22], short.log_r[..]);
        let sum: f64 = long.log_r.iter().sum();
        let expected = 9001.0 * (1.1f64 * 0.7 - 0.3 * 0.2).ln();
        assert!((sum - expected).abs() < 4e-3, "{sum} {expected}");
        // Tangents have long settled: the last logarithms repeat.
        let settled = long.log_r[2 * 8999] - long.log_r[2 * 4000];
        assert!(settled.abs() < 1e-6, "{settled}");
    }
}

#[test]
fn a_lost_direction_is_replaced_and_counted() {
    // Rank one: the second tangent is lost at every step.
    let map = linear_map(&[1.0, 2.0, 2.0, 4.0], 2, 1).unwrap();
    for (device, _) in devices() {
        let settings = Settings::by_step(&map, 2);
        let (found, last) = run(&map, &settings, &device, (&[0.0; 2], None, 4)).unwrap();
        assert_eq!(found.restarts, [4]);
        assert!(found.invalid.is_empty());
        assert!(found.log_r.iter().all(|log| log.is_finite()), "{found:?}");
        let dot = last[0] * last[1] + last[2] * last[3];
        assert!(dot.abs() < 1e-6, "{last:?}");
    }
}

#[test]
fn examples_that_run_off_are_named_and_leave_the_others_alone() {
    // x <- x * x: 2 overflows, 0.5 does not.
    let mut graph = Graph::new();
    let x = graph.float("x", &[2, 1], TensorKind::State);
    let square = graph.float("square", &[2, 1], TensorKind::Intermediate);
    let kernel = Elementwise::contiguous(Operation::MULTIPLY, 2);
    graph.push(
        Phase::Step,
        "squared",
        kernel,
        &[Some(x), Some(x), Some(square)],
    );
    let copy = CopyFloats::contiguous(2);
    graph.push(Phase::Step, "moved on", copy, &[Some(square), Some(x)]);
    let map = IteratedMap {
        updates: vec![graph.nodes().len()],
        graph,
        state: x,
        batch: 2,
        dimension: 1,
    };
    let settings = Settings::by_step(&map, 1);
    let device = Device::cpu();
    let start = (&[1.0, 1e20][..], None, 3);
    let (found, _) = run(&map, &settings, &device, start).unwrap();
    assert_eq!(found.invalid.len(), 1);
    let invalid = &found.invalid[0];
    assert_eq!((invalid.example, invalid.step), (1, 1), "{invalid:?}");
    assert_eq!(invalid.update, "moved on");
    let expected = 2.0f64.ln();
    assert!(
        found
            .logs(0)
            .iter()
            .all(|log| (log - expected).abs() < 1e-6)
    );
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let map = linear_map(&[1.0, 0.0, 0.0, 1.0], 2, 1).unwrap();
    let device = Device::cpu();
    let good = given(2, &map);
    let refused = |settings: Settings, steps: u32, words: &str| {
        let found = run(&map, &settings, &device, (&[0.0; 2], None, steps));
        let error = found.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = good.clone();
        change(&mut settings);
        settings
    };
    refused(with(&|s| s.columns = 0), 1, "tangent vectors k");
    refused(with(&|s| s.columns = 3), 1, "tangent vectors k");
    refused(with(&|s| s.points = vec![1]), 1, "points");
    refused(with(&|s| s.points = vec![0, 0]), 1, "points");
    refused(with(&|s| s.every = 0), 1, "steps between");
    refused(with(&|s| s.every = 2), 3, "multiple of 2");
    refused(good.clone(), 0, "steps");
    let mut orbit = LyapunovPlan::compile(&map, &good, &device)
        .unwrap()
        .orbit()
        .unwrap();
    assert!(orbit.set_tangents(&[1.0, 0.0, 0.0]).is_err());
    let error = orbit.set_tangents(&[1.0, 0.0, 0.0, f64::NAN]).unwrap_err();
    assert!(error.to_string().contains("finite"), "{error}");
}
