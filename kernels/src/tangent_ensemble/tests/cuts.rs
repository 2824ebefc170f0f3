//! Cuts into launches, layouts, batches, transients and records.

use super::{Buffers, identity, inside};
use crate::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod};
use crate::tangent_ensemble::{DynamicalSystem, TangentEnsemble};
use crate::test_support::run;
use crate::{Kernel, Scalar, View};

/// A flow with everything recorded.
fn recorded(n: u32) -> TangentEnsemble {
    TangentEnsemble {
        transient: 5,
        reorthonormalise_every: 3,
        discarded: 2,
        record_every: 4,
        state_every: 7,
        ..TangentEnsemble::of_flow(DynamicalSystem::LORENZ63, OdeMethod::RK4, (n, 2), 0.01, 101)
    }
}

fn cuts<T: Scalar + PartialEq>() {
    let whole = recorded(67);
    // 96 steps with tangents, 32 orthonormalisations, 30 summed, 7 records, 14 states.
    assert_eq!(
        (whole.orthonormalisations(), whole.records(), whole.states()),
        (30, 7, 14)
    );
    let state = inside(3 * 67, 1);
    let mut expected = Buffers::<T>::of(&whole, &state, &identity(&whole));
    expected.run(whole);
    for steps in [1, 4, 50] {
        let mut found = Buffers::<T>::of(&whole, &state, &identity(&whole));
        for launch in 0..101_u32.div_ceil(steps) {
            found.run(TangentEnsemble { steps, ..whole }.at_step(launch));
        }
        assert!(found.state == expected.state && found.tangent == expected.tangent);
        assert!(found.sums == expected.sums && found.status == expected.status);
        assert!(found.logs == expected.logs && found.states == expected.states);
    }
}

#[test]
fn a_run_cut_into_launches_gives_the_same_bits() {
    cuts::<f32>();
    cuts::<f64>();
}

#[test]
fn a_trajectory_has_the_same_bits_in_any_batch_and_layout() {
    let many = recorded(300);
    let state = inside(3 * 300, 2);
    let mut all = Buffers::<f32>::of(&many, &state, &identity(&many));
    all.run(many);
    for i in [0, 1, 255, 256, 299] {
        let one = recorded(1);
        let own: Vec<f64> = (0..3).map(|d| state[d * 300 + i]).collect();
        let mut alone = Buffers::<f32>::of(&one, &own, &identity(&one));
        alone.run(one);
        for j in 0..2 {
            assert_eq!(alone.total(&one, j, 0), all.total(&many, j, i), "{i}");
        }
        for record in 0..7 {
            assert_eq!(alone.logs[record * 2], all.logs[record * 600 + i]);
        }
    }
    // The same example after example.
    let across = many.by_example();
    let turned = |values: &[f64]| -> Vec<f64> {
        let blocks = values.chunks(900);
        blocks
            .flat_map(|block| (0..300).flat_map(move |i| (0..3).map(move |d| block[d * 300 + i])))
            .collect()
    };
    let mut found = Buffers::<f32>::of(&across, &turned(&state), &turned(&identity(&many)));
    found.run(across);
    assert_eq!(found.sums, all.sums);
    let turned: Vec<f32> = (0..300)
        .flat_map(|i| (0..3).map(move |d| (d, i)))
        .map(|(d, i)| all.state[d * 300 + i])
        .collect();
    assert_eq!(found.state, turned);
}

#[test]
fn records_are_the_parts_of_the_sum() {
    let kernel = TangentEnsemble {
        record_every: 3,
        ..recorded(3)
    };
    assert_eq!(kernel.records(), 10);
    let state = inside(9, 5);
    let mut found = Buffers::<f64>::of(&kernel, &state, &identity(&kernel));
    found.run(kernel);
    for (j, i) in (0..2).flat_map(|j| (0..3).map(move |i| (j, i))) {
        let parts = (0..10).map(|record| found.logs[(record * 2 + j) * 3 + i]);
        assert!((parts.sum::<f64>() - found.total(&kernel, j, i)).abs() < 1e-12);
    }
}

/// A transient is the same as to begin where it ends; what is discarded is the same as to begin there with
/// the tangents that it leaves.
#[test]
fn transients_and_discarded_parts_are_runs_of_their_own() {
    let state = inside(6, 6);
    let whole = TangentEnsemble {
        transient: 10,
        discarded: 20,
        ..TangentEnsemble::of_map(DynamicalSystem::HENON, 3, 2, 130)
    };
    let mut expected = Buffers::<f64>::of(&whole, &state, &identity(&whole));
    expected.run(whole);
    let first = TangentEnsemble {
        tangents: 0,
        reorthonormalise_every: 0,
        ..TangentEnsemble::of_map(DynamicalSystem::HENON, 3, 0, 10)
    };
    let mut found = Buffers::<f64>::of(&first, &state, &[]);
    found.run(first);
    let turn = TangentEnsemble::of_map(DynamicalSystem::HENON, 3, 2, 20);
    let mut turned = Buffers::<f64>::of(&turn, &found.state, &identity(&turn));
    turned.run(turn);
    let last = TangentEnsemble::of_map(DynamicalSystem::HENON, 3, 2, 100);
    let mut found = Buffers::<f64>::of(&last, &turned.state, &turned.tangent);
    found.run(last);
    assert_eq!(found.state, expected.state);
    for (j, i) in (0..2).flat_map(|j| (0..3).map(move |i| (j, i))) {
        assert_eq!(found.total(&last, j, i), expected.total(&whole, j, i));
    }
}

#[test]
fn a_kept_state_is_only_read() {
    let kernel = TangentEnsemble {
        flags: TangentEnsemble::KEEP_STATE,
        reorthonormalise_every: 0,
        ..TangentEnsemble::of_flow(DynamicalSystem::ROSSLER, OdeMethod::HEUN, (2, 3), 0.1, 4)
    };
    let state = inside(6, 7);
    let mut kept = Buffers::<f64>::of(&kernel, &state, &identity(&kernel));
    kept.run(kernel);
    assert_eq!(kept.state, state);
    let moving = TangentEnsemble { flags: 0, ..kernel };
    let mut moved = Buffers::<f64>::of(&moving, &state, &identity(&kernel));
    moved.run(moving);
    assert_ne!(moved.state, state);
    assert_eq!(moved.tangent, kept.tangent);
}

/// Tangents beside an ensemble of trajectories: central differences of its own steps.
#[test]
fn tangents_of_an_ensemble_are_the_derivative_of_its_steps() {
    let gyre = OdeEnsemble::fixed(OdeField::DOUBLE_GYRE, OdeMethod::RK4, 2, 0.1, 5);
    let gyre = gyre.with_clock(0.3, 0.7);
    let step = |state: &[f64]| {
        let mut state = state.to_vec();
        let parameters = [0.1, 0.25];
        let views = vec![
            View::FloatMut(&mut state),
            View::Float(&parameters),
            View::Absent,
            View::Absent,
            View::Absent,
        ];
        run(gyre, views).expect("the twin");
        state
    };
    let kernel = TangentEnsemble::of_ode(&gyre, 2).expect("tangents");
    let (state, tangent) = (inside(4, 8), inside(8, 9));
    let mut found = Buffers::<f64>::of(&kernel, &state, &tangent);
    found.run(kernel);
    assert_eq!(found.state, state);
    for (w, found) in tangent.chunks(4).zip(found.tangent.chunks(4)) {
        let moved = |e: f64| -> Vec<f64> {
            let moved: Vec<f64> = state.iter().zip(w).map(|(x, w)| x + e * w).collect();
            step(&moved)
        };
        let (up, down) = (moved(1e-5), moved(-1e-5));
        for ((up, down), found) in up.iter().zip(&down).zip(found) {
            assert!(((up - down) / 2e-5 - found).abs() < 1e-8, "{found}");
        }
    }
    let of =
        |field, method| TangentEnsemble::of_ode(&OdeEnsemble::fixed(field, method, 2, 0.1, 5), 1);
    assert!(of(OdeField::LORENZ96, OdeMethod::RK4).is_none());
    assert!(of(OdeField::LORENZ63, OdeMethod::DORMAND_PRINCE5).is_none());
}

#[test]
fn cost_counts_the_steps_of_the_launch() {
    let kernel = TangentEnsemble::of_map(DynamicalSystem::HENON, 5, 2, 10);
    // State 5, Jacobian 2, two products of 8; two projections of 8 and two columns of 50.
    assert_eq!(kernel.cost().flops, 5 * 10 * (5 + 2 + 16 + 16 + 100));
    let cut = TangentEnsemble { steps: 7, ..kernel };
    assert_eq!(cut.at_step(1).cost().flops, 5 * 3 * 139);
    assert_eq!(cut.at_step(2).cost().flops, 0);
    assert_eq!(kernel.software_iterations(), 74);
}
