use super::*;
use crate::View;
use crate::test_support::{assert_refuses, run};

/// A corridor of `states` cells: action 0 goes left, 1 right, 2 stays; both ends lead out.
fn corridor(states: u32) -> Vec<u32> {
    let moves = |s: u32| [s.wrapping_sub(1), s + 1, s];
    (0..states).flat_map(moves).collect()
}

fn kernel(batch: u32, candidates: u32, horizon: u32) -> MazeRollout {
    MazeRollout {
        batch,
        tables: 1,
        states: 9,
        actions: 3,
        candidates,
        horizon,
        step: 0,
        flags: 0,
    }
}

fn rollout(kernel: MazeRollout, rows: &[RolloutRow], plans: &mut [u32], w: &[u32]) -> Vec<u32> {
    let table = corridor(kernel.states);
    // The goal is cell 6.
    let distance: Vec<u32> = (0..kernel.states).map(|s| s.abs_diff(6)).collect();
    let mut outcome = vec![99; kernel.extents()[5]];
    let weights = match w {
        [] => View::Absent,
        w => View::Word(w),
    };
    let views = vec![
        View::Word(&table),
        View::Word(&distance),
        View::Word(bytemuck::cast_slice(rows)),
        weights,
        View::WordMut(plans),
        View::WordMut(&mut outcome),
    ];
    run::<f32, _>(kernel, views).unwrap();
    outcome
}

#[test]
fn scores_cuts_and_departures() {
    let row = RolloutRow {
        start: 4,
        length: 3,
        ..RolloutRow::default()
    };
    let mut plans = vec![
        1, 1, 0, 0, // 5 6 5: reaches the goal at 2
        1, 2, 2, 0, // 5 5 5: the last state ties, so all three
        0, 1, 1, 0, // 3 4 5: the last is the best
        0, 0, 2, 0, // 3 2 2: the first is the best
        7, 0, 0, 0, // no such action
    ];
    let kernel = kernel(1, 5, 4);
    let outcome = rollout(kernel, &[row], &mut plans, &[]);
    let out = NOWHERE;
    assert_eq!(outcome, [0, 2, 1, 3, 1, 3, 3, 1, out, 0]);
    let edge = RolloutRow { start: 8, ..row };
    let outcome = rollout(kernel, &[edge], &mut plans, &[]);
    assert_eq!(outcome[..4], [out, 0, out, 0]);
    for row in [
        RolloutRow { start: 9, ..row },
        RolloutRow { table: 1, ..row },
        RolloutRow { length: 5, ..row },
        RolloutRow { length: 0, ..row },
    ] {
        let outcome = rollout(kernel, &[row], &mut plans, &[]);
        assert!(outcome.chunks(2).all(|o| o == [out, 0]), "{row:?}");
    }
}

#[test]
fn draws_depend_on_the_row_alone() {
    let rows: Vec<RolloutRow> = (0..7)
        .map(|i| RolloutRow {
            start: 4,
            length: 11,
            call: 5 * i,
            episode: 3 + i,
            stream: i % 2,
            seed: [9, i],
            ..RolloutRow::default()
        })
        .collect();
    let draw = |rows: &[RolloutRow], step| {
        let kernel = MazeRollout {
            flags: MazeRollout::DRAW,
            ..kernel(rows.len() as u32, 13, 11)
        };
        let mut plans = vec![77; kernel.extents()[4]];
        rollout(kernel.at_step(step), rows, &mut plans, &[]);
        plans
    };
    let all = draw(&rows, 1);
    assert!(all.iter().all(|a| *a < 3));
    for (row, plans) in rows.iter().zip(all.chunks(13 * 11)) {
        assert_eq!(draw(&[*row], 1), plans);
        let later = RolloutRow {
            call: row.call + 1,
            ..*row
        };
        assert_eq!(draw(&[later], 0), plans);
        // A shorter plan begins with the same actions.
        let short = draw(&[RolloutRow { length: 6, ..*row }], 1);
        for (short, long) in short.chunks(11).zip(plans.chunks(11)) {
            assert_eq!(short[..6], long[..6]);
            assert_eq!(short[6..], [77; 5]);
        }
    }
    let block = philox4x32([2 * 3 + 1, 1, 3, 0], [9, 0]);
    assert_eq!(all[2 * 11 + 5], high_product(block[1], 3));
}

#[test]
fn weights_set_the_rates() {
    let horizon = 64;
    let kernel = MazeRollout {
        flags: MazeRollout::DRAW | MazeRollout::WEIGHTED,
        ..kernel(1, 400, horizon)
    };
    let row = RolloutRow {
        start: 4,
        length: horizon,
        ..RolloutRow::default()
    };
    let parts = [1u32, 5, 2];
    let weights: Vec<u32> = (0..horizon).flat_map(|_| parts).collect();
    for (step, rates) in [(0, [1.0 / 3.0; 3]), (1, [0.125, 0.625, 0.25])] {
        let mut plans = vec![0; kernel.extents()[4]];
        rollout(kernel.at_step(step), &[row], &mut plans, &weights);
        let count = plans.len() as f64;
        for (action, rate) in rates.into_iter().enumerate() {
            let found = plans.iter().filter(|a| **a == action as u32).count() as f64;
            let deviation = (count * rate * (1.0 - rate)).sqrt();
            assert!((found - count * rate).abs() < 4.5 * deviation, "{action}");
        }
    }
}

#[test]
fn bad_parameters() {
    let good = kernel(2, 5, 4);
    good.check().unwrap();
    assert_refuses(MazeRollout { batch: 0, ..good }, "batch");
    assert_refuses(MazeRollout { states: 0, ..good }, "states");
    assert_refuses(MazeRollout { horizon: 0, ..good }, "horizon");
    assert_refuses(MazeRollout { flags: 2, ..good }, "flags");
    assert_refuses(MazeRollout { flags: 4, ..good }, "flags");
    let states = u32::MAX;
    assert_refuses(MazeRollout { states, ..good }, "states");
    let batch = u32::MAX;
    assert_refuses(MazeRollout { batch, ..good }, "batch");
}
