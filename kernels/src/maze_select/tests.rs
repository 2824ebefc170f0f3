use super::*;
use crate::View;
use crate::maze_rollout::RolloutRow;
use crate::test_support::{assert_refuses, run};

struct Call {
    outcome: Vec<u32>,
    actions: Vec<u32>,
    length: u32,
}

fn select(kernel: MazeSelect, call: &Call, best: &mut [u32]) -> Vec<u32> {
    let row = RolloutRow {
        length: call.length,
        ..RolloutRow::default()
    };
    let mut weights = vec![55; kernel.extents()[4]];
    let written = match kernel.elites {
        0 => View::Absent,
        _ => View::WordMut(&mut weights),
    };
    let views = vec![
        View::Word(&call.outcome),
        View::Word(&call.actions),
        View::Word(bytemuck::cast_slice(std::slice::from_ref(&row))),
        View::WordMut(best),
        written,
    ];
    run::<f32, _>(kernel, views).unwrap();
    weights
}

fn call() -> Call {
    Call {
        outcome: vec![4, 2, 3, 1, 3, 3, NOWHERE, 0],
        actions: vec![0, 0, 0, 1, 1, 1, 2, 2, 2, 1, 2, 0],
        length: 2,
    }
}

#[test]
fn the_first_of_the_lowest_is_kept_until_a_lower_one() {
    let kernel = MazeSelect::best(1, 4, 3, 3);
    let mut best = vec![9; 6];
    select(kernel, &call(), &mut best);
    assert_eq!(best, [3, 1, 1, 1, 1, 9]);
    // An equal one changes nothing but the count of those without a score.
    let mut again = call();
    again.actions.iter_mut().for_each(|a| *a = 0);
    select(kernel.at_step(1), &again, &mut best);
    assert_eq!(best, [3, 1, 2, 1, 1, 9]);
    again.outcome[4] = 2;
    select(kernel.at_step(2), &again, &mut best);
    assert_eq!(best, [2, 3, 3, 0, 0, 9]);
    // Where no candidate has a score, the first stands for none.
    again.outcome = [NOWHERE, 0].repeat(4);
    select(kernel, &again, &mut best);
    assert_eq!(best[..3], [NOWHERE, 0, 4]);
}

#[test]
fn weights_count_the_elites() {
    let kernel = MazeSelect {
        elites: 2,
        per_elite: 10,
        least: 1,
        ..MazeSelect::best(1, 4, 3, 3)
    };
    let weights = select(kernel, &call(), &mut [0; 6]);
    assert_eq!(weights, [1, 11, 11, 1, 11, 11, 55, 55, 55]);
    let scaled = MazeSelect::best(1, 24, 20, 4).with_refit(6, 0.1);
    let sum = scaled.per_elite * 6 + scaled.least * 4;
    assert!((f64::from(sum) / SCALE - 1.0).abs() < 1e-8);
    assert!((f64::from(scaled.least) * 40.0 / SCALE - 1.0).abs() < 1e-7);
}

#[test]
fn bad_parameters() {
    let good = MazeSelect::best(1, 24, 20, 4).with_refit(6, 0.1);
    good.check().unwrap();
    assert_refuses(MazeSelect { batch: 0, ..good }, "batch");
    assert_refuses(MazeSelect { elites: 25, ..good }, "elites");
    let candidates = 1025;
    assert_refuses(MazeSelect { candidates, ..good }, "candidates");
    let most = u32::MAX;
    assert_refuses(
        MazeSelect {
            per_elite: most,
            ..good
        },
        "per_elite",
    );
    assert_refuses(
        MazeSelect {
            batch: most,
            ..good
        },
        "batch",
    );
}
