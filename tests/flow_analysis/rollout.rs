use attractor::analysis::flow::{
    ActionHistory, Chunks, FlowDataError, Rollout, RolloutBatch, RolloutConfig, RolloutInput,
    roll_out,
};

use crate::support::noise;

/// A condition is the frame's drift and the last three actions, oldest first.
struct LastThree {
    dead: bool,
}

impl ActionHistory for LastThree {
    fn steps(&self) -> usize {
        3
    }

    fn put(&self, condition: &mut [f32], age: usize, action: &[f32]) {
        if !self.dead {
            condition[3 - age] = action[0];
        }
    }
}

const FRAMES: usize = 21;

/// Two drives (13 and 8 frames) of steering that grows by the drift of each frame.
fn recorded() -> (Vec<f32>, Vec<f32>, Vec<u32>) {
    let drift = noise(9, FRAMES);
    let mut truth: Vec<f32> = Vec::new();
    let mut conditions = Vec::new();
    for (frame, &drift) in drift.iter().enumerate() {
        let past = |age: usize| match frame.checked_sub(1 + age) {
            Some(frame) => truth[frame],
            None => 0.0,
        };
        let now = past(0) + drift;
        conditions.extend([drift, past(2), past(1), past(0)]);
        truth.push(now);
    }
    let drives = (0..FRAMES).map(|frame| u32::from(frame >= 13)).collect();
    (conditions, truth, drives)
}

fn run(
    history: &LastThree,
    conditions: &[f32],
    truth: &[f32],
    drives: &[u32],
    predict: impl FnMut(RolloutBatch) -> Result<Vec<f32>, FlowDataError>,
) -> Result<Rollout, FlowDataError> {
    let input = RolloutInput {
        conditions,
        condition_size: 4,
        truth: Chunks::new(truth, FRAMES, 1, 1).unwrap(),
        drives,
    };
    let config = RolloutConfig {
        steering: 0,
        depth_edges: vec![0, 1, 2, 4],
    };
    roll_out(&input, history, &config, predict)
}

/// Continues the history, off by 0.25 at every step.
fn biased(batch: RolloutBatch) -> Result<Vec<f32>, FlowDataError> {
    let rows = batch.conditions.chunks_exact(4);
    Ok(rows.map(|row| row[3] + row[0] + 0.25).collect())
}

#[test]
fn a_bias_compounds_with_depth() {
    let (conditions, truth, drives) = recorded();
    let found = run(
        &LastThree { dead: false },
        &conditions,
        &truth,
        &drives,
        biased,
    )
    .unwrap();
    // 3 chains of 4 in 13 frames, 2 in 8.
    assert_eq!(
        (found.chains, found.frames_left_over, found.dropped_chains),
        (5, 1, 0)
    );
    // Depths 0, 1, 2 and 3 hold 0, 1, 2 and 3 own actions.
    assert_eq!((found.substitutions, found.dead_substitutions), (5 * 6, 0));
    let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-5;
    let expected = [(0.25, 0.0), (0.5, 0.25), (0.875, 0.625)];
    for (depth, (closed, change)) in found.depths.iter().zip(expected) {
        assert!(close(depth.closed_loop, closed), "{depth:?}");
        assert!(close(depth.open_loop, 0.25), "{depth:?}");
        assert!(close(depth.prediction_change, change), "{depth:?}");
    }
    assert_eq!(
        found.depths.iter().map(|d| d.frames).collect::<Vec<_>>(),
        [5, 5, 10]
    );
    // Own actions are off by 0.25 (three times), 0.5 (twice) and 0.75.
    let size = (3.0 * 0.25 + 2.0 * 0.5 + 0.75) / 6.0;
    assert!(close(found.substitution_size, size) && close(found.feature_change, size));
    assert!(close(found.prediction_change, (0.25 + 0.5 + 0.75) / 3.0));
}

#[test]
fn dead_feedback_is_seen() {
    let (conditions, truth, drives) = recorded();
    let found = run(
        &LastThree { dead: true },
        &conditions,
        &truth,
        &drives,
        biased,
    )
    .unwrap();
    assert_eq!((found.substitutions, found.dead_substitutions), (30, 30));
    assert_eq!(found.feature_change, None);
    assert_eq!(found.prediction_change, Some(0.0));
    assert!(found.substitution_size > Some(0.2));
}

#[test]
fn chains_that_are_not_finite_are_dropped() {
    let (mut conditions, mut truth, drives) = recorded();
    conditions[5 * 4] = f32::NAN;
    truth[20] = f32::INFINITY;
    let mut asked = Vec::new();
    let found = run(
        &LastThree { dead: false },
        &conditions,
        &truth,
        &drives,
        |batch| {
            asked.extend_from_slice(batch.frames);
            biased(batch)
        },
    )
    .unwrap();
    assert_eq!((found.chains, found.dropped_chains), (3, 2));
    asked.sort_unstable();
    asked.dedup();
    let expected: Vec<usize> = (0..4).chain(8..12).chain(13..17).collect();
    assert_eq!(asked, expected);
}

#[test]
fn bad_input_is_named() {
    let (conditions, truth, drives) = recorded();
    let history = LastThree { dead: false };
    let error = run(&history, &conditions[1..], &truth, &drives, biased).unwrap_err();
    assert_eq!(
        error.to_string(),
        "conditions: expected 84 elements, found 83"
    );
    let error = run(&history, &conditions, &truth, &drives, |_| Ok(vec![])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "predicted first actions: expected 5 elements, found 0"
    );
    let nan = |batch: RolloutBatch| Ok(vec![f32::NAN; batch.frames.len()]);
    let error = run(&history, &conditions, &truth, &drives, nan).unwrap_err();
    assert!(matches!(error, FlowDataError::NotFinite { frame: 0, .. }));
    let input = RolloutInput {
        conditions: &conditions,
        condition_size: 4,
        truth: Chunks::new(&truth, FRAMES, 1, 1).unwrap(),
        drives: &drives,
    };
    for (steering, depth_edges) in [(0, vec![]), (0, vec![1, 2]), (0, vec![0, 4, 4])] {
        let config = RolloutConfig {
            steering,
            depth_edges,
        };
        let error = roll_out(&input, &history, &config, biased).unwrap_err();
        assert!(matches!(error, FlowDataError::Setting { .. }), "{error}");
    }
    let error = roll_out(&input, &history, &RolloutConfig::new(1), biased).unwrap_err();
    assert!(matches!(error, FlowDataError::Channel { .. }), "{error}");
}
