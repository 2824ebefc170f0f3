use attractor::analysis::flow::{
    Chunks, Draws, DrivingHistory, FlowDataError, JointCount, Mark, RolloutBatch, RolloutConfig,
    RolloutInput, Routes, calibrate, decision_marks, decision_test, roll_out, signed_turn,
    waypoints,
};
use attractor::worlds::driving::{
    CONDITION_VALUES, Decision, Drive, FRAMES, HELD_OUT_DRIVES, TARGET_VALUES,
};

const GO: [f64; 4] = [0.12, 0.30, 0.75, 0.85];

/// Marks and frequency by probability.
fn frequencies(truth: &[f32], marks: &[Mark]) -> Vec<(f64, usize, f64)> {
    let draws = Draws::new(truth, truth.len() / TARGET_VALUES, 1, 6, 3).unwrap();
    let (channel, test) = decision_test(Decision::Junction);
    let found = calibrate(&draws, channel, test, marks).unwrap();
    // The truth as the only draw.
    assert!(found.rows.iter().all(|row| row.draw_share == row.frequency));
    let rows = found.rows.iter();
    rows.map(|row| (row.probability, row.marks, row.frequency.unwrap()))
        .collect()
}

#[test]
fn junctions_of_the_held_out_drives() {
    let drives: Vec<Drive> = HELD_OUT_DRIVES
        .map(|number| Drive::generate(number, FRAMES))
        .collect();
    let mut marks = decision_marks(&drives, Decision::Junction);
    let truth: Vec<f32> = drives
        .iter()
        .flat_map(|drive| drive.targets.clone())
        .collect();
    let conditions: Vec<f32> = drives
        .iter()
        .flat_map(|drive| drive.conditions.clone())
        .collect();
    let found = frequencies(&truth, &marks);
    let counts: Vec<(f64, usize)> = found.iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(counts, [(0.12, 44), (0.30, 46), (0.75, 57), (0.85, 53)]);

    // The table of the benchmark's description goes by the class nearest to the noisy cue of the condition.
    for mark in &mut marks {
        let condition = &conditions[mark.frame * CONDITION_VALUES..];
        assert_eq!(condition[5..7], [1.0, 1.0 / 6.0]);
        let cue = f64::from(condition[7]);
        let nearest = GO
            .iter()
            .min_by(|a, b| (*a - cue).abs().total_cmp(&(*b - cue).abs()));
        mark.probability = *nearest.unwrap();
    }
    let expected = [
        (0.12, 44, 0.11),
        (0.30, 46, 0.17),
        (0.75, 60, 0.78),
        (0.85, 50, 0.84),
    ];
    let found = frequencies(&truth, &marks);
    assert_eq!(found.len(), expected.len());
    for (row, (probability, marks, frequency)) in found.into_iter().zip(expected) {
        assert_eq!((row.0, row.1), (probability, marks));
        assert!((row.2 - frequency).abs() <= 0.005, "{row:?}");
    }
}

#[test]
fn other_decisions_follow_their_law() {
    let drives: Vec<Drive> = (0..24)
        .map(|number| Drive::generate(number, FRAMES))
        .collect();
    let truth: Vec<f32> = drives
        .iter()
        .flat_map(|drive| drive.targets.clone())
        .collect();
    let draws = Draws::new(&truth, drives.len() * FRAMES, 1, 6, 3).unwrap();
    for decision in [Decision::Obstacle, Decision::Lead] {
        let marks = decision_marks(&drives, decision);
        let (channel, test) = decision_test(decision);
        let found = calibrate(&draws, channel, test, &marks).unwrap();
        for row in found.rows {
            let deviation = (row.probability * (1.0 - row.probability) / row.marks as f64).sqrt();
            let away = (row.frequency.unwrap() - row.probability).abs();
            assert!(away < 4.0 * deviation, "{decision:?}: {row:?}");
        }
    }
}

#[test]
fn feeding_the_true_actions_back_changes_nothing() {
    let drives = [Drive::generate(25, 150), Drive::generate(26, 70)];
    let conditions: Vec<f32> = drives
        .iter()
        .flat_map(|drive| drive.conditions.clone())
        .collect();
    let truth: Vec<f32> = drives
        .iter()
        .flat_map(|drive| drive.targets.clone())
        .collect();
    let numbers: Vec<u32> = (0..220).map(|frame| 25 + u32::from(frame >= 150)).collect();
    let input = RolloutInput {
        conditions: &conditions,
        condition_size: CONDITION_VALUES,
        truth: Chunks::new(&truth, 220, 6, 3).unwrap(),
        drives: &numbers,
    };
    let off_by = |offset: f32| {
        let predict = |batch: RolloutBatch| -> Result<Vec<f32>, FlowDataError> {
            let first = |&frame: &usize| {
                let [gas, brake, steering] = truth[frame * TARGET_VALUES..][..3] else {
                    unreachable!()
                };
                [gas, brake, steering + offset]
            };
            Ok(batch.frames.iter().flat_map(first).collect())
        };
        roll_out(&input, &DrivingHistory, &RolloutConfig::new(2), predict).unwrap()
    };
    let found = off_by(0.0);
    assert_eq!((found.chains, found.frames_left_over), (3, 150 - 128 + 6));
    // Ages 0..6 at depths 1 to 63.
    let expected = 3 * (1 + 2 + 3 + 4 + 5 + 58 * 6);
    assert_eq!(
        (found.substitutions, found.dead_substitutions),
        (expected, expected)
    );
    assert_eq!(found.depths.len(), 5);
    assert!(
        found
            .depths
            .iter()
            .all(|depth| depth.closed_loop == Some(0.0))
    );
    let found = off_by(0.125);
    assert_eq!(
        (found.substitutions, found.dead_substitutions),
        (expected, 0)
    );
    assert!((found.feature_change.unwrap() - 0.125).abs() < 1e-6);
    assert!((found.substitution_size.unwrap() - 0.125 / 3.0).abs() < 1e-6);
}

#[test]
fn routes_come_out_of_conditions() {
    let drive = Drive::generate(24, 400);
    let points = waypoints(&drive.conditions);
    let routes = Routes::new(&points, 400, 10).unwrap();
    // Headings are small: the x of waypoint k is about (k + 1) / 10 and a turn is the change of heading.
    let mut left = 0;
    for route in routes.iter() {
        assert!((route[0] - 0.1).abs() < 0.01, "{}", route[0]);
        left += usize::from(signed_turn(route, JointCount::First(3)) > 0.1);
    }
    assert!(left > 0 && left < 200, "{left}");
}
