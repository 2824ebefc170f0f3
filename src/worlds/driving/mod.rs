//! DriveChunk-1: a driving benchmark that anyone can rebuild bit for bit.
//!
//! A drive is a script of cruise and events: junctions where the car goes or waits, obstacles passed on
//! either side, leads that make it brake or not. A policy sees twelve tokens a frame and predicts the next
//! six actions. How likely each outcome of an event was is known, so that the share of draws which take it
//! can be compared with the truth.
//!
//! All arithmetic is IEEE binary64 with `+ - * /` and comparisons alone, in a fixed order, and is rounded
//! once to `f32`: no sine, no fused multiply-add, nothing that a platform may do its own way.

mod cache;
mod condition;
mod course;
mod random;

pub use cache::{
    CONDITION_TOKENS, CacheForm, MODEL_ARTIFACT, MODEL_ARTIFACT_WITHOUT_HISTORY, feature_cache,
};
pub use condition::{Action, read_history, write_history};
pub use random::{Stream, sum_of_twelve, unit, words};

use course::{Constants, Course};
use std::ops::Range;

/// Numbers of the drives to train on.
pub const TRAINING_DRIVES: Range<u32> = 0..24;
/// Numbers of the drives to evaluate on.
pub const HELD_OUT_DRIVES: Range<u32> = 24..29;
/// Samples of a drive of the benchmark.
pub const FRAMES: usize = 1600;
/// Actions that a condition tells of, the current one included.
pub const HISTORY: usize = 6;
/// Actions to predict, the current one excluded.
pub const HORIZON: usize = 6;
/// Waypoint tokens of a condition.
pub const WAYPOINTS: usize = 10;
/// Tokens of a condition.
pub const TOKENS: usize = 2 + WAYPOINTS;
/// Width of a token.
pub const CONDITION_DIM: usize = 16;
/// Values of one condition, `[TOKENS, CONDITION_DIM]`.
pub const CONDITION_VALUES: usize = TOKENS * CONDITION_DIM;
/// Raw action channels, in order.
pub const CHANNELS: [&str; 3] = ["gas", "brake", "steering"];
/// Values of one target, `[HORIZON, CHANNELS]`.
pub const TARGET_VALUES: usize = HORIZON * CHANNELS.len();
/// Frames beyond the samples: histories before the first and horizons after the last.
const EXTRA_FRAMES: usize = 16;

/// What a car has to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Decision {
    /// Go on (likelihood [`Mark::probability`]) or wait.
    Junction = 0,
    /// Pass on the side of positive steering (likelihood [`Mark::probability`]) or on the other.
    Obstacle = 1,
    /// Brake (likelihood [`Mark::probability`]) or drive on.
    Lead = 2,
}

/// A decision of a drive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// The first frame that shows what was decided.
    pub frame: usize,
    /// What was to be decided.
    pub decision: Decision,
    /// How likely the first of the two outcomes was.
    pub probability: f64,
}

impl Mark {
    /// The sample one frame ahead, whose first target is the first frame of the outcome; it is beyond the
    /// samples for a mark near the end. `None` before the first sample.
    pub fn sample_before(&self) -> Option<usize> {
        self.frame.checked_sub(1).and_then(sample_of_frame)
    }
}

/// One drive: what a policy sees, what it should do, and how the drive came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Drive {
    /// Number of the drive, which is its seed.
    pub number: u32,
    /// Number of samples N. Sample `j` sits at frame `j + 5`.
    pub frames: usize,
    /// Conditions `[N, TOKENS, CONDITION_DIM]`.
    pub conditions: Vec<f32>,
    /// Next six actions `[N, HORIZON, 3]` in raw channels.
    pub targets: Vec<f32>,
    /// What happens at the frame of each sample, `[N]`: 0 cruise, 1 approach of a junction, 2 turn,
    /// 3 waiting, 4 approach of an obstacle, 5 swerve, 6 behind a lead, 7 braking, 8 speeding up again.
    pub kinds: Vec<i32>,
    /// The decisions, in order; the last may lie beyond the samples.
    pub marks: Vec<Mark>,
    /// Actions of all N + 16 frames; sample `j` is at index `j + 5`.
    pub actions: Vec<Action>,
}

/// The frame of a sample: the last of its history.
pub const fn frame_of_sample(sample: usize) -> usize {
    sample + HISTORY - 1
}

/// The sample of a frame; the first five frames have none.
pub const fn sample_of_frame(frame: usize) -> Option<usize> {
    frame.checked_sub(HISTORY - 1)
}

impl Drive {
    /// Generates `frames` samples of a drive. A shorter drive is a prefix of a longer one, but for the
    /// waypoints near its end, where the route may stop.
    pub fn generate(number: u32, frames: usize) -> Self {
        let constants = Constants::of(number);
        let length = frames.saturating_add(EXTRA_FRAMES);
        let course = Course::write(number, &constants, length);
        let actions = drive_along(number, &constants, &course, length);
        let mut conditions = condition::conditions(&course, &actions, frames);
        condition::write_cues(number, &course.marks, &mut conditions);
        let kinds = course.frames.iter().skip(HISTORY - 1).take(frames);
        Self {
            number,
            frames,
            conditions,
            targets: targets(&actions, frames),
            kinds: kinds.map(|frame| frame.kind).collect(),
            marks: course.marks,
            actions,
        }
    }

    /// The conditions with the action history set to zero, `[N, TOKENS, CONDITION_DIM]`.
    pub fn conditions_without_history(&self) -> Vec<f32> {
        let mut conditions = self.conditions.clone();
        for condition in conditions.as_chunks_mut::<CONDITION_VALUES>().0 {
            write_history(condition, &[Action::default(); HISTORY]);
        }
        conditions
    }

    /// The condition of one sample, `[TOKENS, CONDITION_DIM]`.
    pub fn condition(&self, sample: usize) -> Option<&[f32; CONDITION_VALUES]> {
        self.conditions
            .as_chunks::<CONDITION_VALUES>()
            .0
            .get(sample)
    }

    /// The six actions up to the frame of a sample, oldest first.
    pub fn history(&self, sample: usize) -> Option<&[Action; HISTORY]> {
        self.actions.get(sample..)?.first_chunk()
    }
}

/// The scripted targets as a car follows them: gain, bias and jitter on steering, a lag on the pedals.
fn drive_along(number: u32, constants: &Constants, course: &Course, length: usize) -> Vec<Action> {
    let mut jitter = 0.0;
    let mut pedals = constants.cruise;
    let frames = course.frames.iter().take(length).enumerate();
    let drive = |(index, frame): (usize, &course::ScriptedFrame)| {
        let noise = sum_of_twelve(number, Stream::Jitter, index as u32);
        jitter = 0.92 * jitter + 0.4 * constants.noise * noise;
        let steering = constants.gain * frame.steering + constants.bias + jitter;
        let noise = sum_of_twelve(number, Stream::Longitudinal, index as u32);
        pedals = (pedals + 0.5 * (frame.longitudinal - pedals) + 0.008 * noise).clamp(-1.0, 1.0);
        let coasting = -0.03 < pedals && pedals < 0.03;
        Action {
            longitudinal: if coasting { 0.0 } else { pedals as f32 },
            steering: steering.clamp(-1.0, 1.0) as f32,
        }
    };
    frames.map(drive).collect()
}

/// The six actions after the frame of each sample, in raw channels.
fn targets(actions: &[Action], samples: usize) -> Vec<f32> {
    let after = actions.get(HISTORY..).unwrap_or_default();
    let chunks = after.windows(HORIZON).take(samples);
    let raw = |action: &Action| {
        let pedals = action.longitudinal;
        let gas = if pedals > 0.0 { pedals } else { 0.0 };
        let brake = if pedals < 0.0 { -pedals } else { 0.0 };
        [gas, brake, action.steering]
    };
    chunks.flatten().flat_map(raw).collect()
}
