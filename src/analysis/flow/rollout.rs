//! Action-feedback rollout: the policy's own first actions replace the true ones in the history that it sees,
//! while everything else it sees stays true. Errors that compound show as a first-step error that grows with
//! the depth of the chain beyond that of the open loop.
//!
//! Feedback that silently changes nothing looks like a policy that does not compound, so what the
//! substitutions did to the conditions and to the predictions is measured beside.

use std::ops::Range;

use serde::Serialize;

use super::draws::{Chunks, FlowDataError, check_shape, check_size};
use super::statistics::{Mean, drive_runs};

/// Knows where a condition holds the actions of the past.
pub trait ActionHistory {
    /// Past actions that a condition holds, the newest included.
    fn steps(&self) -> usize;

    /// Overwrites in `condition` (flattened, `[S * Dc]`) whatever tells of the action that is `age` frames old
    /// (0 = the newest, below [`ActionHistory::steps`]) by that of `action` (raw channels, `[R]`).
    fn put(&self, condition: &mut [f32], age: usize, action: &[f32]);
}

/// Recorded drives to roll out on.
#[derive(Debug, Clone, Copy)]
pub struct RolloutInput<'a> {
    /// True conditions, `[frames, S * Dc]`.
    pub conditions: &'a [f32],
    /// Elements of a condition, S * Dc.
    pub condition_size: usize,
    /// True chunks, `[frames, H, R]`; slot 0 of a frame is the newest action in the history of the next frame.
    pub truth: Chunks<'a>,
    /// Drive of each frame; the frames of a drive follow each other in time.
    pub drives: &'a [u32],
}

/// Shape of the chains.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutConfig {
    /// Steering channel.
    pub steering: usize,
    /// Edges of the depth groups, rising from 0; the last is the length of a chain.
    pub depth_edges: Vec<usize>,
}

impl RolloutConfig {
    /// Chains of 64 frames, read in depths 0-4, 4-8, 8-16, 16-32 and 32-64.
    pub fn new(steering: usize) -> Self {
        Self {
            steering,
            depth_edges: vec![0, 4, 8, 16, 32, 64],
        }
    }

    /// Frames of a chain.
    pub fn chain_length(&self) -> usize {
        self.depth_edges.last().copied().unwrap_or(0)
    }
}

/// Conditions that a policy is asked about.
#[derive(Debug, Clone, Copy)]
pub struct RolloutBatch<'a> {
    /// Frame of each row. Noise should be keyed by it, so that open and closed loop differ by their conditions
    /// alone.
    pub frames: &'a [usize],
    /// Conditions, `[rows, S * Dc]`.
    pub conditions: &'a [f32],
}

/// One depth group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DepthErrors {
    /// First depth.
    pub from: usize,
    /// Depth after the last.
    pub to: usize,
    /// Frames of the group, over all chains.
    pub frames: usize,
    /// First-step steering L1 with feedback.
    pub closed_loop: Option<f64>,
    /// First-step steering L1 with the true history.
    pub open_loop: Option<f64>,
    /// Mean |closed - open| over frames and raw channels of the first action.
    pub prediction_change: Option<f64>,
}

/// What a rollout measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rollout {
    /// Chains rolled out.
    pub chains: usize,
    /// Chains left out because a condition or the truth in them is not finite.
    pub dropped_chains: usize,
    /// Frames at the ends of drives that do not fill a chain.
    pub frames_left_over: usize,
    /// Errors by depth.
    pub depths: Vec<DepthErrors>,
    /// Actions put in a history, over all frames and ages.
    pub substitutions: usize,
    /// Those that changed no element of the condition.
    pub dead_substitutions: usize,
    /// Mean |own - true action| over substitutions and raw channels.
    pub substitution_size: Option<f64>,
    /// Mean |change| over the condition elements that substitutions changed.
    pub feature_change: Option<f64>,
    /// Mean |closed - open| over frames deeper than 0 and raw channels of the first action.
    pub prediction_change: Option<f64>,
}

/// What substitutions did to conditions.
#[derive(Debug, Default)]
struct SubstitutionLog {
    count: usize,
    dead: usize,
    size: Mean,
    feature_change: Mean,
}

/// Rolls a policy out in chains of consecutive frames, all chains side by side. `predict` gives the first raw
/// action of each row of a batch, `[rows, R]`.
///
/// # Errors
/// What `predict` returns; [`FlowDataError`] for sizes that disagree, depth edges that do not rise from 0, and
/// predictions of the wrong length or not finite.
pub fn roll_out<E: From<FlowDataError>>(
    input: &RolloutInput,
    history: &impl ActionHistory,
    config: &RolloutConfig,
    mut predict: impl FnMut(RolloutBatch) -> Result<Vec<f32>, E>,
) -> Result<Rollout, E> {
    check(input, config)?;
    let (chains, dropped_chains, frames_left_over) = chains(input, config);
    let channels = input.truth.channels();
    let mut log = SubstitutionLog::default();
    // By depth: first actions of every chain, `[chains, R]`.
    let mut own: Vec<Vec<f32>> = Vec::new();
    let mut open: Vec<Vec<f32>> = Vec::new();
    for depth in 0..config.chain_length() {
        if chains.is_empty() {
            break;
        }
        let frames: Vec<usize> = chains.iter().map(|chain| chain.start + depth).collect();
        let recorded = recorded_conditions(input, &frames);
        let mut ask = |conditions: &[f32]| -> Result<Vec<f32>, E> {
            let frames = &frames;
            let actions = predict(RolloutBatch { frames, conditions })?;
            check_actions(&actions, frames, channels)?;
            Ok(actions)
        };
        let open_actions = ask(&recorded)?;
        // Nothing is fed back into the first frame of a chain.
        let actions = if depth == 0 {
            open_actions.clone()
        } else {
            let fed = fed_conditions(input, history, &frames, recorded, &own, &mut log);
            ask(&fed)?
        };
        own.push(actions);
        open.push(open_actions);
    }
    Ok(Rollout {
        chains: chains.len(),
        dropped_chains,
        frames_left_over,
        depths: depth_errors(input, config, &chains, &own, &open),
        substitutions: log.count,
        dead_substitutions: log.dead,
        substitution_size: log.size.get(),
        feature_change: log.feature_change.get(),
        prediction_change: changes(&own, &open)
            .skip(1)
            .flatten()
            .collect::<Mean>()
            .get(),
    })
}

fn check(input: &RolloutInput, config: &RolloutConfig) -> Result<(), FlowDataError> {
    let frames = input.truth.frames();
    let sizes = [
        ("frames", frames),
        ("elements of a condition", input.condition_size),
    ];
    check_shape("conditions", input.conditions.len(), &sizes)?;
    check_size("drives", "frames", frames, input.drives.len())?;
    if config.steering >= input.truth.channels() {
        return Err(FlowDataError::Channel {
            setting: "steering channel",
            channels: input.truth.channels(),
            found: config.steering,
        });
    }
    let edges = &config.depth_edges;
    let rising = edges.iter().zip(edges.iter().skip(1)).all(|(a, b)| a < b);
    if edges.len() < 2 || edges.first() != Some(&0) || !rising {
        return Err(FlowDataError::Setting {
            setting: "edges of the depth groups",
            expected: "at least two numbers that rise from 0",
            found: format!("{edges:?}"),
        });
    }
    Ok(())
}

fn check_actions(actions: &[f32], frames: &[usize], channels: usize) -> Result<(), FlowDataError> {
    let tensor = "predicted first actions";
    let sizes = [
        ("rows", frames.len()),
        ("number of raw channels R", channels),
    ];
    check_shape(tensor, actions.len(), &sizes)?;
    let mut rows = actions.chunks_exact(channels).zip(frames);
    match rows.find(|(row, _)| !row.iter().all(|value| value.is_finite())) {
        Some((_, &frame)) => Err(FlowDataError::NotFinite { tensor, frame }),
        None => Ok(()),
    }
}

/// Chains of finite frames, number of chains left out, number of frames that fill none.
fn chains(input: &RolloutInput, config: &RolloutConfig) -> (Vec<Range<usize>>, usize, usize) {
    let finite: Vec<bool> = input
        .conditions
        .chunks_exact(input.condition_size)
        .zip(input.truth.iter())
        .map(|(condition, truth)| condition.iter().chain(truth).all(|value| value.is_finite()))
        .collect();
    let length = config.chain_length();
    let (mut chains, mut dropped, mut left_over) = (Vec::new(), 0, 0);
    for run in drive_runs(input.drives) {
        left_over += run.len() % length;
        for index in 0..run.len() / length {
            let start = run.start + index * length;
            let chain = start..start + length;
            let frames = finite.get(chain.clone()).unwrap_or_default();
            if frames.iter().all(|&finite| finite) {
                chains.push(chain);
            } else {
                dropped += 1;
            }
        }
    }
    (chains, dropped, left_over)
}

/// The recorded conditions of these frames, `[rows, S * Dc]`.
fn recorded_conditions(input: &RolloutInput, frames: &[usize]) -> Vec<f32> {
    let size = input.condition_size;
    let condition = |&frame: &usize| input.conditions.get(frame * size..(frame + 1) * size);
    let conditions = frames.iter().filter_map(condition);
    conditions.flatten().copied().collect()
}

/// Conditions whose history holds the policy's own actions as far back as its chain goes.
fn fed_conditions(
    input: &RolloutInput,
    history: &impl ActionHistory,
    frames: &[usize],
    mut conditions: Vec<f32>,
    own: &[Vec<f32>],
    log: &mut SubstitutionLog,
) -> Vec<f32> {
    let channels = input.truth.channels();
    let rows = conditions.chunks_exact_mut(input.condition_size);
    for (row, (condition, &frame)) in rows.zip(frames).enumerate() {
        for (age, actions) in own.iter().rev().take(history.steps()).enumerate() {
            let Some(action) = actions.chunks_exact(channels).nth(row) else {
                continue;
            };
            let before = condition.to_vec();
            history.put(condition, age, action);
            log.count += 1;
            let mut dead = true;
            for (&new, &old) in condition.iter().zip(&before) {
                if new.to_bits() != old.to_bits() {
                    dead = false;
                    log.feature_change
                        .add((f64::from(new) - f64::from(old)).abs());
                }
            }
            log.dead += usize::from(dead);
            let recorded = input.truth.frame(frame - 1 - age).unwrap_or_default();
            for (&own, &recorded) in action.iter().zip(recorded) {
                log.size.add((f64::from(own) - f64::from(recorded)).abs());
            }
        }
    }
    conditions
}

/// By depth, |closed - open| of every chain and channel.
fn changes<'a>(
    own: &'a [Vec<f32>],
    open: &'a [Vec<f32>],
) -> impl Iterator<Item = impl Iterator<Item = f64> + 'a> + 'a {
    own.iter().zip(open).map(|(own, open)| {
        let pairs = own.iter().zip(open);
        pairs.map(|(&own, &open)| (f64::from(own) - f64::from(open)).abs())
    })
}

fn depth_errors(
    input: &RolloutInput,
    config: &RolloutConfig,
    chains: &[Range<usize>],
    own: &[Vec<f32>],
    open: &[Vec<f32>],
) -> Vec<DepthErrors> {
    let channels = input.truth.channels();
    let error = |actions: &[Vec<f32>], depths: Range<usize>| -> Mean {
        let mut mean = Mean::default();
        for (depth, actions) in actions.iter().enumerate() {
            if !depths.contains(&depth) {
                continue;
            }
            let steering = actions.iter().skip(config.steering).step_by(channels);
            for (&value, chain) in steering.zip(chains) {
                let truth = input.truth.frame(chain.start + depth);
                if let Some(&truth) = truth.and_then(|truth| truth.get(config.steering)) {
                    mean.add((f64::from(value) - f64::from(truth)).abs());
                }
            }
        }
        mean
    };
    let edges = config.depth_edges.iter().copied();
    edges
        .clone()
        .zip(edges.skip(1))
        .map(|(from, to)| {
            let closed = error(own, from..to);
            let change = changes(own, open).skip(from).take(to - from).flatten();
            DepthErrors {
                from,
                to,
                frames: closed.count(),
                closed_loop: closed.get(),
                open_loop: error(open, from..to).get(),
                prediction_change: change.collect::<Mean>().get(),
            }
        })
        .collect()
}
