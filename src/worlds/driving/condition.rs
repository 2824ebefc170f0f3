//! What a policy sees: twelve tokens a frame, and the action history inside them.

use super::course::{Course, ScriptedFrame};
use super::random::{Stream, sum_of_twelve};
use super::{CONDITION_DIM, CONDITION_VALUES, HISTORY, Mark, WAYPOINTS, sample_of_frame};

/// An action in model channels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Action {
    /// Gas less brake, -1 to 1.
    pub longitudinal: f32,
    /// Steering, -1 to 1; positive turns towards positive y of the waypoints.
    pub steering: f32,
}

impl Action {
    /// The action of raw channels (gas, brake, steering).
    pub fn from_raw([gas, brake, steering]: [f32; 3]) -> Self {
        Self {
            longitudinal: gas - brake,
            steering,
        }
    }
}

/// First entries of the steering and of the longitudinal history in token 1.
const STEERING_HISTORY: usize = CONDITION_DIM + 3;
const LONGITUDINAL_HISTORY: usize = STEERING_HISTORY + HISTORY;
/// Entries of the current action in token 0.
const STEERING_NOW: usize = 3;
const LONGITUDINAL_NOW: usize = 4;
/// Frames ahead of a decision in which its cue is seen.
const CUE_FRAMES: usize = 6;

/// Puts other actions in the place of the action history of one condition `[12, 16]`: token 1 entries 3
/// to 14 (steering, then longitudinal, oldest first) and token 0 entries 3 and 4 (the last of both).
///
/// `actions[k]` is the action of frame `i - 5 + k`, where `i` is the frame of the condition. With zeros
/// this gives the history-zeroed variant, with a policy's own predictions a feedback rollout.
pub fn write_history(condition: &mut [f32; CONDITION_VALUES], actions: &[Action; HISTORY]) {
    for (k, action) in actions.iter().enumerate() {
        condition[STEERING_HISTORY + k] = action.steering;
        condition[LONGITUDINAL_HISTORY + k] = action.longitudinal;
    }
    let now = actions[HISTORY - 1];
    condition[STEERING_NOW] = now.steering;
    condition[LONGITUDINAL_NOW] = now.longitudinal;
}

/// The action history that a condition `[12, 16]` holds, oldest first.
pub fn read_history(condition: &[f32; CONDITION_VALUES]) -> [Action; HISTORY] {
    std::array::from_fn(|k| Action {
        steering: condition[STEERING_HISTORY + k],
        longitudinal: condition[LONGITUDINAL_HISTORY + k],
    })
}

/// All conditions of a drive but for the cues: one for each sample, at frame `sample + 5`.
pub(super) fn conditions(course: &Course, actions: &[Action], samples: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(samples.saturating_mul(CONDITION_VALUES));
    let windows = actions.array_windows::<HISTORY>();
    let frames = course.frames.iter().skip(HISTORY - 1);
    for (history, frame) in windows.zip(frames).take(samples) {
        let mut condition = [0.0; CONDITION_VALUES];
        condition[0] = 1.0;
        condition[CONDITION_DIM + 1] = 1.0;
        write_history(&mut condition, history);
        write_waypoints(&mut condition, frame, &course.plans);
        all.extend(condition);
    }
    all
}

/// Tokens 2 to 11: where the planned steering leads from here, in the frame of the car.
fn write_waypoints(condition: &mut [f32; CONDITION_VALUES], frame: &ScriptedFrame, plans: &[f64]) {
    let (mut heading, mut x, mut y) = (0.0_f64, 0.0_f64, 0.0_f64);
    for k in 0..WAYPOINTS {
        let plan = plans.get(frame.cell + 1 + k).copied().unwrap_or(0.0);
        heading += 0.35 * plan;
        // Series in place of sine and cosine, whose last bits depend on the platform.
        let square = heading * heading;
        let cosine = 1.0 - square / 2.0 + square * square / 24.0;
        let sine = heading * (1.0 - square / 6.0 + square * square / 120.0);
        x += cosine;
        y += sine;
        let token = (2 + k) * CONDITION_DIM;
        condition[token + 2] = 1.0;
        condition[token + 3] = (x / 10.0) as f32;
        condition[token + 4] = (y / 10.0) as f32;
    }
}

/// Token 0: the cue of every decision in the frames before it. A later decision of the same kind
/// overwrites an earlier one.
pub(super) fn write_cues(drive: u32, marks: &[Mark], conditions: &mut [f32]) {
    let (conditions, _) = conditions.as_chunks_mut::<CONDITION_VALUES>();
    for (number, mark) in marks.iter().enumerate() {
        let noise = sum_of_twelve(drive, Stream::Cue, number as u32);
        let cue = mark.probability + 0.03 * noise;
        let place = 5 + 3 * mark.decision as usize;
        for countdown in 1..=CUE_FRAMES {
            let sample = mark.frame.checked_sub(countdown).and_then(sample_of_frame);
            if let Some(condition) = sample.and_then(|sample| conditions.get_mut(sample)) {
                condition[place] = 1.0;
                condition[place + 1] = (countdown as f64 / 6.0) as f32;
                condition[place + 2] = cue as f32;
            }
        }
    }
}
