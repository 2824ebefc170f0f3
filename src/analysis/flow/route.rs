//! Choosing the mode by the route: a line from the signed turn of the waypoints to chunk-mean steering picks
//! the mode that lies nearer. (The seed of this work found that it does not help; it is kept as a test of
//! honesty.)

use rayon::prelude::*;
use serde::Serialize;

use super::draws::{FlowDataError, FrameDraws, check_shape, check_size};
use super::panel::{BySubset, PanelConfig, PanelInput};
use super::readouts::{ModeSplit, mean_of_first, mean_of_members, widen};
use super::statistics::{Mean, pearson};

/// Route waypoints of every frame, `[frames, W, 2]` (x ahead, y to the side, any unit), seen from the car, which
/// stands at the origin.
#[derive(Debug, Clone, Copy)]
pub struct Routes<'a> {
    values: &'a [f32],
    waypoints: usize,
}

impl<'a> Routes<'a> {
    /// A view of `values`, row-major `[frames, waypoints, 2]`.
    ///
    /// # Errors
    /// [`FlowDataError::Setting`] for fewer than two waypoints, which have no joint; [`FlowDataError::Length`].
    pub fn new(values: &'a [f32], frames: usize, waypoints: usize) -> Result<Self, FlowDataError> {
        if waypoints < 2 {
            return Err(FlowDataError::Setting {
                setting: "number of waypoints",
                expected: "at least 2",
                found: waypoints.to_string(),
            });
        }
        let sizes = [
            ("frames", frames),
            ("number of waypoints", waypoints),
            ("coordinates", 2),
        ];
        check_shape("routes", values.len(), &sizes)?;
        Ok(Self { values, waypoints })
    }

    /// Frames.
    pub fn frames(&self) -> usize {
        self.values.len() / (2 * self.waypoints)
    }

    /// The waypoints of each frame, `[W, 2]`.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(2 * self.waypoints)
    }
}

/// How much of the route is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JointCount {
    /// The first joints only; 3 is usual.
    First(usize),
    /// Every joint.
    All,
}

/// Sum of the signed angles, in radians (left positive), at the joints of the polyline from the origin through
/// the waypoints `[W, 2]`. A segment of no length does not turn.
pub fn signed_turn(waypoints: &[f32], joints: JointCount) -> f64 {
    let points: Vec<(f64, f64)> = std::iter::once((0.0, 0.0))
        .chain(waypoints.chunks_exact(2).filter_map(|point| match point {
            &[x, y] => Some((f64::from(x), f64::from(y))),
            _ => None,
        }))
        .collect();
    let segments: Vec<(f64, f64)> = points
        .iter()
        .zip(points.iter().skip(1))
        .map(|(from, to)| (to.0 - from.0, to.1 - from.1))
        .collect();
    let angles = segments.iter().zip(segments.iter().skip(1)).map(|(a, b)| {
        let (cross, dot) = (a.0 * b.1 - a.1 * b.0, a.0 * b.0 + a.1 * b.1);
        cross.atan2(dot)
    });
    match joints {
        JointCount::First(count) => angles.take(count).sum(),
        JointCount::All => angles.sum(),
    }
}

/// Least-squares line from the signed turn of the route to chunk-mean steering.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RouteSelector {
    /// Steering at no turn.
    pub intercept: f64,
    /// Steering for a radian.
    pub slope: f64,
}

impl RouteSelector {
    /// Fits the line to pairs of signed turn and true chunk-mean steering; the mean where the turn never varies.
    ///
    /// # Errors
    /// [`FlowDataError::Empty`] without a pair, [`FlowDataError::NotFinite`] for one that is not finite.
    pub fn fit(pairs: &[(f64, f64)]) -> Result<Self, FlowDataError> {
        if let Some(frame) = pairs.iter().position(|(x, y)| !(x + y).is_finite()) {
            return Err(FlowDataError::NotFinite {
                tensor: "turns and steering",
                frame,
            });
        }
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).collect::<Mean>().get();
        let (Some(mean_x), Some(mean_y)) = (mean(|pair| pair.0), mean(|pair| pair.1)) else {
            return Err(FlowDataError::Empty {
                tensor: "turns and steering",
                dimension: "frames",
            });
        };
        let (mut xx, mut xy) = (0.0, 0.0);
        for (x, y) in pairs {
            xx += (x - mean_x) * (x - mean_x);
            xy += (x - mean_x) * (y - mean_y);
        }
        let slope = if xx > 0.0 { xy / xx } else { 0.0 };
        Ok(Self {
            intercept: mean_y - slope * mean_x,
            slope,
        })
    }

    /// Steering expected for a signed turn.
    pub fn steering(&self, turn: f64) -> f64 {
        self.intercept + self.slope * turn
    }
}

/// How well the route picks the mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteReport {
    /// The line.
    pub selector: RouteSelector,
    /// Correlation between the signed turn and true chunk-mean steering.
    pub correlation: Option<f64>,
    /// Mean steering chunk-L1 of the mode that the route picks, over every frame, flat and spike frames.
    pub route_mode: BySubset<Option<f64>>,
    /// Over spike frames with two modes.
    pub route_mode_bimodal_spike: Option<f64>,
    /// Share of the frames with two modes at which the route picks the better one.
    pub picks_better: Option<f64>,
}

/// One frame of the report.
struct RoutedFrame {
    spike: bool,
    flat: bool,
    error: f64,
    /// Whether the better mode was picked; none where there is one mode.
    better: Option<bool>,
}

/// Picks the mode by the route on every finite frame of a panel. Without a `selector` (fitted on other drives)
/// the line is fitted on the same frames, which flatters it.
///
/// # Errors
/// [`FlowDataError`] for sizes that disagree, and as [`RouteSelector::fit`].
pub fn evaluate_route_selector(
    input: &PanelInput,
    routes: &Routes,
    joints: JointCount,
    selector: Option<RouteSelector>,
    config: &PanelConfig,
) -> Result<RouteReport, FlowDataError> {
    input.truth.check_draws(&input.draws)?;
    config.mode.check(input.truth.channels())?;
    check_size("routes", "frames", input.truth.frames(), routes.frames())?;
    let kept = input.finite_frames();
    let (channels, steering) = (input.truth.channels(), config.steering());
    let frames: Vec<(Vec<f64>, FrameDraws, f64)> = input
        .truth
        .iter()
        .zip(input.draws.iter())
        .zip(routes.iter())
        .zip(&kept)
        .filter(|((_, route), kept)| **kept && route.iter().all(|value| value.is_finite()))
        .map(|(((truth, draws), route), _)| {
            let truth: Vec<f32> = truth
                .iter()
                .skip(steering)
                .step_by(channels)
                .copied()
                .collect();
            (widen(&truth), draws, signed_turn(route, joints))
        })
        .collect();
    let pairs: Vec<(f64, f64)> = frames
        .iter()
        .map(|(truth, _, turn)| (*turn, truth.iter().sum::<f64>() / truth.len() as f64))
        .collect();
    let selector = match selector {
        Some(selector) => selector,
        None => RouteSelector::fit(&pairs)?,
    };
    let routed: Vec<RoutedFrame> = frames
        .par_iter()
        .map(|(truth, draws, turn)| route_frame(truth, *draws, selector.steering(*turn), config))
        .collect();
    let mean = |keep: fn(&RoutedFrame) -> bool| {
        let frames = routed.iter().filter(|frame| keep(frame));
        frames.map(|frame| frame.error).collect::<Mean>().get()
    };
    let picks = routed.iter().filter_map(|frame| frame.better);
    Ok(RouteReport {
        selector,
        correlation: pearson(&pairs),
        route_mode: BySubset {
            all: mean(|_| true),
            flat: mean(|frame| frame.flat),
            spike: mean(|frame| frame.spike),
        },
        route_mode_bimodal_spike: mean(|frame| frame.spike && frame.better.is_some()),
        picks_better: picks.map(f64::from).collect::<Mean>().get(),
    })
}

fn route_frame(
    truth: &[f64],
    draws: FrameDraws,
    expected: f64,
    config: &PanelConfig,
) -> RoutedFrame {
    let (channels, steering) = (draws.channels(), config.steering());
    // Steering error and chunk-mean steering of a chunk.
    let judge = |chunk: &[f64]| -> (f64, f64) {
        let values = || chunk.iter().skip(steering).step_by(channels);
        let error: f64 = values().zip(truth).map(|(a, b)| (a - b).abs()).sum();
        let sum: f64 = values().sum();
        (error / truth.len() as f64, sum / truth.len() as f64)
    };
    let split = ModeSplit::of(draws, &config.mode);
    let side = |left: bool| {
        let members = split.left.iter().map(move |&below| below == left);
        judge(&mean_of_members(draws, members))
    };
    let (error, better) = if split.bimodal {
        let (left, right) = (side(true), side(false));
        let picks_left = (left.1 - expected).abs() <= (right.1 - expected).abs();
        let picked = if picks_left { left.0 } else { right.0 };
        (picked, Some(picked <= left.0.min(right.0)))
    } else {
        (judge(&mean_of_first(draws, draws.draws())).0, None)
    };
    RoutedFrame {
        spike: truth.iter().any(|value| value.abs() > config.spike),
        flat: truth.iter().all(|value| value.abs() < config.flat),
        error,
        better,
    }
}
