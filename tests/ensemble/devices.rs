//! The same ensembles on every device, cut and recorded.

use crate::{LORENZ, controlled, fixed, spread};
use attractor::device::Device;
use attractor_kernels::ode_ensemble::{OdeField, OdeMethod};

fn single(initial: &[f64]) -> Vec<f64> {
    initial.iter().map(|v| f64::from(*v as f32)).collect()
}

fn cuts_do_not_show(device: &Device) {
    let initial = single(&spread(3, 90));
    for method in [OdeMethod::RK4, OdeMethod::DORMAND_PRINCE5] {
        let whole = fixed(OdeField::LORENZ63, method, 0.01, 50)
            .parameters(&LORENZ)
            .record_every(20);
        let expected = whole.run(device, &initial).expect("a run");
        assert_eq!(expected.history.len(), 2 * 3 * 90);
        let cut = whole
            .steps_a_launch(7)
            .run(device, &initial)
            .expect("a run");
        assert_eq!(cut.report.dispatches, 8);
        assert_eq!(cut.state, expected.state, "{}", method.name());
        assert_eq!(cut.history, expected.history, "{}", method.name());
        // What was recorded on the way is where a shorter run ends.
        let short = fixed(OdeField::LORENZ63, method, 0.01, 40).parameters(&LORENZ);
        let short = short.run(device, &initial).expect("a run");
        assert_eq!(&expected.history[3 * 90..], &short.state);
    }
    let whole = controlled(OdeField::LORENZ63, 2.0, 1e-4, 500).parameters(&LORENZ);
    let expected = whole.run(device, &initial).expect("a run");
    let cut = whole
        .steps_a_launch(13)
        .run(device, &initial)
        .expect("a run");
    assert_eq!(
        (cut.state, cut.attempts),
        (expected.state, expected.attempts)
    );
    let gyre = fixed(OdeField::DOUBLE_GYRE, OdeMethod::RK4, 0.05, 100)
        .parameters(&[0.1, 0.25])
        .clock(0.628, 1.5);
    let initial = single(&spread(2, 70));
    let expected = gyre.run(device, &initial).expect("a run").state;
    let cut = gyre
        .steps_a_launch(33)
        .run(device, &initial)
        .expect("a run");
    assert_eq!(cut.state, expected);
}

#[test]
fn cuts_do_not_show_on_the_cpu() {
    cuts_do_not_show(&Device::cpu());
    cuts_do_not_show(&Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn cuts_do_not_show_on_a_gpu() {
    cuts_do_not_show(&Device::wgpu("").expect("an adapter"));
}

/// More steps than a software adapter makes in one launch, on a field without chaos.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn long_runs_on_a_gpu_end_where_those_on_the_cpu_do() {
    let initial = single(&spread(2, 3));
    let ensemble =
        fixed(OdeField::OSCILLATOR, OdeMethod::HEUN, 1e-4, 150_000).parameters(&[4.0, 0.1]);
    let gpu = ensemble.run(&Device::wgpu("").expect("an adapter"), &initial);
    let (gpu, cpu) = (
        gpu.expect("a run"),
        ensemble.run(&Device::cpu(), &initial).expect("a run"),
    );
    for (found, expected) in gpu.state.iter().zip(&cpu.state) {
        assert!((found - expected).abs() < 2e-3, "{found} {expected}");
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_trajectory_has_the_same_bits_in_any_batch_on_a_gpu() {
    let device = Device::wgpu("").expect("an adapter");
    let count = 130;
    let initial = single(&spread(3, count));
    let ensemble = fixed(OdeField::LORENZ63, OdeMethod::RK4, 0.01, 300).parameters(&LORENZ);
    let all = ensemble.run(&device, &initial).expect("a run").state;
    for i in [0, 64, 129] {
        let own: Vec<f64> = initial.iter().skip(i).step_by(count).copied().collect();
        let alone = ensemble.run(&device, &own).expect("a run").state;
        let expected: Vec<f64> = all.iter().skip(i).step_by(count).copied().collect();
        assert_eq!(alone, expected, "{i}");
    }
}

#[test]
fn working_memory_does_not_hang_on_the_steps() {
    let initial = spread(3, 1000);
    let bytes = |steps| {
        let ensemble = fixed(OdeField::LORENZ63, OdeMethod::RK4, 0.01, steps).parameters(&LORENZ);
        ensemble
            .run(&Device::cpu(), &initial)
            .expect("a run")
            .working_bytes
    };
    assert_eq!(bytes(10), bytes(10_000));
}

#[test]
fn parameters_keep_double_precision() {
    let initial = [1.0 / 3.0, 0.0];
    let ensemble = fixed(OdeField::OSCILLATOR, OdeMethod::EULER, 0.5, 1).parameters(&[0.1, 0.0]);
    let state = ensemble
        .run(&Device::cpu_f64(), &initial)
        .expect("a run")
        .state;
    assert_eq!(state, [1.0 / 3.0, -(0.1 * (1.0 / 3.0)) * 0.5]);
}
