//! What the panel needs to know about the driving benchmark: where a condition holds past actions and the
//! route, and what its decisions came to.

use super::calibration::{Mark, ModeTest};
use super::readouts::channel_mean;
use super::rollout::ActionHistory;
use crate::worlds::driving::{
    Action, CHANNELS, CONDITION_DIM, CONDITION_VALUES, Decision, Drive, HISTORY, TARGET_VALUES,
    WAYPOINTS, read_history, write_history,
};

/// Channels of braking and steering among the raw ones.
const BRAKE: usize = 1;
const STEERING: usize = 2;

/// The action history in the conditions of the driving benchmark. Conditions of other sizes and actions of
/// other channels are left as they are, which a rollout reports as dead substitutions.
#[derive(Debug, Clone, Copy, Default)]
pub struct DrivingHistory;

impl ActionHistory for DrivingHistory {
    fn steps(&self) -> usize {
        HISTORY
    }

    fn put(&self, condition: &mut [f32], age: usize, action: &[f32]) {
        let (Ok(condition), Ok(action)) = (
            <&mut [f32; CONDITION_VALUES]>::try_from(condition),
            <[f32; CHANNELS.len()]>::try_from(action),
        ) else {
            return;
        };
        let mut actions = read_history(condition);
        if let Some(old) = actions.iter_mut().rev().nth(age) {
            *old = Action::from_raw(action);
        }
        write_history(condition, &actions);
    }
}

/// Channel and test that tell which way a chunk decides: turning at a junction (|chunk-mean steering| over
/// 0.25), the left side of an obstacle (chunk-mean steering over 0), braking behind a lead (chunk-mean brake
/// over 0.1).
pub fn decision_test(decision: Decision) -> (usize, ModeTest) {
    match decision {
        Decision::Junction => (STEERING, ModeTest::AbsoluteAbove(0.25)),
        Decision::Obstacle => (STEERING, ModeTest::Above(0.0)),
        Decision::Lead => (BRAKE, ModeTest::Above(0.1)),
    }
}

/// Marks of one kind of decision, one frame ahead of each. Frames count through the samples of the drives in
/// the order given; whether it happened is the test of [`decision_test`] on the true chunk.
pub fn decision_marks(drives: &[Drive], decision: Decision) -> Vec<Mark> {
    let (channel, test) = decision_test(decision);
    let mut marks = Vec::new();
    let mut first = 0;
    for drive in drives {
        let targets = drive.targets.as_chunks::<TARGET_VALUES>().0;
        for mark in drive.marks.iter().filter(|mark| mark.decision == decision) {
            let sample = mark.sample_before();
            if let Some(sample) = sample
                && let Some(target) = targets.get(sample)
            {
                marks.push(Mark {
                    frame: first + sample,
                    probability: mark.probability,
                    happened: test.taken(channel_mean(target, CHANNELS.len(), channel)),
                });
            }
        }
        first += targets.len();
    }
    marks
}

/// The waypoints of conditions `[frames, 12, 16]`, as `[frames, 10, 2]` for [`super::Routes`]. What is left over
/// of a condition that is cut short is ignored.
pub fn waypoints(conditions: &[f32]) -> Vec<f32> {
    let mut points = Vec::new();
    for condition in conditions.as_chunks::<CONDITION_VALUES>().0 {
        let tokens = condition.as_chunks::<CONDITION_DIM>().0;
        for token in tokens.iter().skip(tokens.len() - WAYPOINTS) {
            points.extend(token.iter().skip(3).take(2));
        }
    }
    points
}
