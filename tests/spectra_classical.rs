//! Spectra of textbook systems: the literature, sum rules, independence of batches and launches, devices,
//! refusals.

use attractor::device::Device;
use attractor::models::classical::{ClassicalError, System};
use attractor::samplers::ensemble::{
    EnsembleError, Invalid, SpectrumRequest, SpectrumResult, spectrum,
};

fn system(name: &str) -> System {
    System::parse(name).expect("a system")
}

fn run(device: &Device, request: &SpectrumRequest) -> SpectrumResult {
    spectrum(device, request).expect("a run")
}

/// Mean and standard error of each exponent over trajectories.
fn summary(result: &SpectrumResult) -> Vec<(f64, f64)> {
    let all: Vec<_> = (0..result.trajectories)
        .filter_map(|i| result.exponents(i))
        .collect();
    assert_eq!(all.len(), result.trajectories);
    let count = all.len() as f64;
    (0..result.tangents)
        .map(|j| {
            let mean = all.iter().map(|e| e[j]).sum::<f64>() / count;
            let square = all.iter().map(|e| (e[j] - mean).powi(2)).sum::<f64>();
            (mean, (square / (count - 1.0) / count).sqrt())
        })
        .collect()
}

fn many(name: &str, count: usize, steps: u32) -> SpectrumRequest {
    let system = system(name);
    SpectrumRequest {
        starts: system.starts(count, 7),
        discard: steps / 20,
        ..SpectrumRequest::new(&system, steps)
    }
}

/// Three decimals, by error bars that are smaller than half of the third and cover the value.
#[test]
fn the_literature_to_three_decimals() {
    for (name, count, steps) in [
        ("henon", 128, 100_000),
        ("cat", 8, 20_000),
        ("logistic", 64, 50_000),
        ("lorenz63", 64, 200_000),
    ] {
        let request = many(name, count, steps);
        let found = summary(&run(&Device::cpu_f64(), &request));
        let expected = request.system.literature().expect("exponents");
        for ((mean, error), expected) in found.iter().zip(expected.exponents) {
            assert!(*error < 5e-4, "{name}: {mean} +- {error}");
            assert!(
                (mean - expected).abs() < 3.0 * error + 5e-4,
                "{name}: {mean} +- {error}, expected {expected}"
            );
        }
    }
}

#[test]
fn sums_of_all_exponents_are_the_divergence() {
    for name in System::names() {
        let request = many(name, 5, 4000);
        let Some(expected) = request.system.exponent_sum() else {
            continue;
        };
        for (device, tolerance) in [(Device::cpu_f64(), 1e-10), (Device::cpu(), 2e-5)] {
            let result = run(&device, &request);
            // The Runge-Kutta map is not the flow; its volumes are off by its error.
            let own = if request.system.dynamics.is_flow() {
                2e-3
            } else {
                0.0
            };
            for i in 0..5 {
                let sum: f64 = result.exponents(i).expect("exponents").iter().sum();
                assert!(
                    (sum - expected).abs() < tolerance + own,
                    "{name}: {sum} {expected}"
                );
            }
        }
    }
}

fn independent_of_batches_and_launches(device: &Device) {
    for name in ["lorenz63", "henon", "standard_map", "henon_heiles"] {
        let request = SpectrumRequest {
            transient: 30,
            reorthonormalise_every: 2,
            discard: 3,
            record_every: 5,
            state_every: 50,
            ..many(name, 70, 200)
        };
        let all = run(device, &request);
        let cut = SpectrumRequest {
            steps_a_launch: Some(37),
            ..request.clone()
        };
        let cut = run(device, &cut);
        assert_eq!(cut.report.dispatches, 7);
        assert_eq!(
            (&cut.sums, &cut.records),
            (&all.sums, &all.records),
            "{name}"
        );
        assert_eq!((&cut.state, &cut.basis), (&all.state, &all.basis), "{name}");
        let (d, k) = (all.dimension, all.tangents);
        for i in [0, 33, 69] {
            let one = SpectrumRequest {
                starts: request.starts[i * d..(i + 1) * d].to_vec(),
                ..request.clone()
            };
            let one = run(device, &one);
            assert_eq!(one.sums, all.sums[i * k..(i + 1) * k], "{name} {i}");
            assert_eq!(one.state, all.state[i * d..(i + 1) * d], "{name} {i}");
            for (record, own) in one.records.chunks(k).enumerate() {
                let at = (record * 70 + i) * k;
                assert_eq!(own, &all.records[at..at + k], "{name} {i}");
            }
        }
    }
}

#[test]
fn a_trajectory_has_the_same_bits_in_any_batch() {
    independent_of_batches_and_launches(&Device::cpu());
    independent_of_batches_and_launches(&Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_trajectory_has_the_same_bits_in_any_batch_on_a_gpu() {
    independent_of_batches_and_launches(&Device::wgpu("").expect("an adapter"));
}

/// Before chaos parts them the two agree; averages do afterwards.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_gpu_agrees_with_the_cpu() {
    let gpu = Device::wgpu("").expect("an adapter");
    for name in System::names() {
        let short = SpectrumRequest {
            transient: 0,
            discard: 0,
            ..many(name, 9, 6)
        };
        let (found, expected) = (run(&gpu, &short), run(&Device::cpu_f64(), &short));
        for (found, expected) in found.sums.iter().zip(&expected.sums) {
            assert!(
                (found - expected).abs() < 2e-3,
                "{name}: {found} {expected}"
            );
        }
    }
    for (name, tolerance) in [("henon", 6e-3), ("lorenz63", 0.05)] {
        // More steps than a software adapter makes in one launch.
        let long = many(name, 16, 80_000);
        let (found, expected) = (run(&gpu, &long), run(&Device::cpu(), &long));
        assert!(found.report.dispatches >= 1);
        for (found, expected) in summary(&found).iter().zip(summary(&expected)) {
            assert!(
                (found.0 - expected.0).abs() < tolerance,
                "{name}: {found:?} {expected:?}"
            );
        }
    }
}

/// Records carry the error bars: they add up to the sum, and scatter around it.
#[test]
fn records_add_up() {
    let request = SpectrumRequest {
        discard: 0,
        record_every: 100,
        ..many("henon", 3, 10_000)
    };
    let result = run(&Device::cpu_f64(), &request);
    for i in 0..3 {
        let parts = (0..100).filter_map(|record| result.record_exponents(record, i));
        let parts: Vec<_> = parts.collect();
        assert_eq!(parts.len(), 100);
        let mean = parts.iter().map(|e| e[0]).sum::<f64>() / 100.0;
        let whole = result.exponents(i).expect("exponents")[0];
        assert!((mean - whole).abs() < 1e-12, "{mean} {whole}");
        assert!(parts.iter().any(|e| (e[0] - whole).abs() > 1e-3));
    }
    assert!(result.record_exponents(100, 0).is_none() && result.exponents(3).is_none());
}

#[test]
fn chaos_that_single_precision_does_not_carry_is_named() {
    let request = many("logistic", 4, 100_000);
    let single = run(&Device::cpu(), &request);
    assert!(single.invalid_count() > 0);
    let first = single
        .invalid
        .iter()
        .position(Option::is_some)
        .expect("one");
    assert!(matches!(
        single.invalid[first],
        Some(Invalid::Collapsed { .. })
    ));
    assert!(single.exponents(first).is_none());
    let error = single.all_valid().expect_err("a collapse");
    assert!(matches!(error, EnsembleError::Collapsed { .. }), "{error}");
    // A true cycle has no exponent above 0, and is no failure.
    let mut quiet = system("logistic");
    quiet.set("r", 3.2).expect("a parameter");
    let request = SpectrumRequest {
        starts: quiet.starts(4, 7),
        transient: 500,
        ..SpectrumRequest::new(&quiet, 2000)
    };
    let settled = run(&Device::cpu(), &request);
    settled.all_valid().expect("a cycle of two");
    assert!(settled.exponents(0).expect("exponents")[0] < -0.5);
    assert!(quiet.literature().is_none());
}

#[test]
fn runaways_are_named_with_their_step() {
    let mut request = SpectrumRequest::new(&system("henon"), 50);
    request.transient = 3;
    request.starts = vec![0.1, 0.1, 9.0, 9.0, 0.1, 0.2];
    let result = run(&Device::cpu_f64(), &request);
    assert_eq!(result.invalid_count(), 1);
    assert!(
        matches!(result.invalid[1], Some(Invalid::NotFinite { step }) if step > 3 && step < 15)
    );
    assert!(result.exponents(0).is_some() && result.exponents(1).is_none());
    match result.all_valid() {
        Err(EnsembleError::Diverged {
            trajectory: 1,
            count: 1,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

/// A scan over parameters is the runs with each of them.
#[test]
fn parameters_of_each_trajectory() {
    let logistic = system("logistic");
    let request = SpectrumRequest {
        starts: vec![0.3; 3],
        parameters_each: Some(vec![2.8, 3.5, 3.9]),
        ..SpectrumRequest::new(&logistic, 1000)
    };
    let scan = run(&Device::cpu_f64(), &request);
    for (i, r) in [2.8, 3.5, 3.9].into_iter().enumerate() {
        let mut one = logistic.clone();
        one.set("R", r).expect("a parameter");
        let own = SpectrumRequest {
            starts: vec![0.3],
            ..SpectrumRequest::new(&one, 1000)
        };
        assert_eq!(run(&Device::cpu_f64(), &own).sums[0], scan.sums[i]);
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let lorenz = system("Lorenz-63");
    let usual = SpectrumRequest::new(&lorenz, 10);
    let refused = |request: SpectrumRequest, setting: &str| {
        match spectrum(&Device::cpu(), &request) {
            Err(EnsembleError::Setting { name, .. }) => assert_eq!(name, setting),
            other => panic!("expected {setting} to be refused, got {other:?}"),
        };
    };
    let with = |change: fn(&mut SpectrumRequest)| {
        let mut request = usual.clone();
        change(&mut request);
        request
    };
    refused(with(|r| r.tangents = 4), "tangents");
    refused(with(|r| r.tangents = 0), "tangents");
    refused(with(|r| r.steps = 0), "steps");
    refused(with(|r| r.transient = u32::MAX), "steps");
    refused(
        with(|r| r.reorthonormalise_every = 3),
        "reorthonormalise_every",
    );
    refused(with(|r| r.discard = 10), "discard");
    refused(with(|r| r.record_every = 11), "record_every");
    refused(with(|r| r.start_time = f64::NAN), "start_time");
    refused(with(|r| r.steps_a_launch = Some(0)), "steps a launch");
    let counted = |change: fn(&mut SpectrumRequest)| {
        let found = spectrum(&Device::cpu(), &with(change));
        assert!(
            matches!(found, Err(EnsembleError::Count { .. })),
            "{found:?}"
        );
    };
    counted(|r| r.starts = vec![]);
    counted(|r| r.starts = vec![1.0; 4]);
    counted(|r| r.basis = Some(vec![1.0; 8]));
    counted(|r| r.parameters_each = Some(vec![1.0; 2]));
    let found = spectrum(&Device::cpu(), &with(|r| r.starts[1] = f64::INFINITY));
    let error = found.expect_err("an infinite start").to_string();
    assert_eq!(
        error,
        "initial number 1 of trajectory 0: expected a finite number, found inf"
    );
    assert!(matches!(
        System::parse("duffing"),
        Err(ClassicalError::System { .. })
    ));
    let mut henon = system("henon");
    assert!(matches!(
        henon.set("c", 1.0),
        Err(ClassicalError::Parameter { .. })
    ));
    assert!(matches!(
        henon.set("a", f64::NAN),
        Err(ClassicalError::Value { .. })
    ));
    assert!(matches!(
        henon.set_step(0.1),
        Err(ClassicalError::Value { .. })
    ));
    assert!(matches!(
        system("rossler").set_step(0.0),
        Err(ClassicalError::Value { .. })
    ));
}
