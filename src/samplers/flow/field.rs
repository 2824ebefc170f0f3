//! Views of a velocity field under one condition: paths of many draws, the velocity of one entry over time,
//! and the velocity in the plane of two channels. All in model space.

use super::error::{FlowError, refuse};
use super::forward::VelocityRequest;
use super::request::{FlowRequest, Noise, Solver};
use super::sampler::FlowSampler;
use super::solver::Method;
use crate::models::flow::DecoderConfig;

/// What to look at, and how finely.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldOptions {
    /// Slot of the chunk.
    pub slot: usize,
    /// Model channel that is looked at.
    pub channel: usize,
    /// The other model channel of the plane, where there is one.
    pub other: Option<usize>,
    /// Draws.
    pub draws: usize,
    /// Steps of the Euler method, every state of which is kept.
    pub steps: usize,
    /// Times of the background, from 0 to 1.
    pub background_times: usize,
    /// Values of the entry in the background.
    pub background_values: usize,
    /// The background reaches from minus to plus this.
    pub background_reach: f64,
    /// Times of the planes.
    pub plane_times: Vec<f64>,
    /// Values of either axis of a plane.
    pub plane_values: usize,
    /// A plane reaches from minus to plus this along both axes.
    pub plane_reach: f64,
}

impl FieldOptions {
    /// The original's view: 200 draws by 50 steps, 25 x 41 in the background within 1.3, planes of 21 x 21
    /// within 1.2 at four times.
    pub fn new(slot: usize, channel: usize, other: Option<usize>) -> Self {
        Self {
            slot,
            channel,
            other,
            draws: 200,
            steps: 50,
            background_times: 25,
            background_values: 41,
            background_reach: 1.3,
            plane_times: vec![0.1, 0.4, 0.7, 0.95],
            plane_values: 21,
            plane_reach: 1.2,
        }
    }

    fn check(&self, config: &DecoderConfig) -> Result<(), FlowError> {
        for (what, value, limit) in [
            ("slot", Some(self.slot), config.horizon),
            ("channel", Some(self.channel), config.action_dim),
            ("other channel", self.other, config.action_dim),
        ] {
            if let Some(value) = value.filter(|value| *value >= limit) {
                return Err(refuse(what, format!("below {limit}"), value));
            }
        }
        if self.other == Some(self.channel) {
            return Err(refuse("other channel", "another channel", self.channel));
        }
        for (what, count) in [
            ("background times", self.background_times),
            ("background values", self.background_values),
            ("plane values", self.plane_values),
        ] {
            if !(2..=4096).contains(&count) {
                return Err(refuse(what, "2..=4096", count));
            }
        }
        for (what, reach) in [
            ("background reach", self.background_reach),
            ("plane reach", self.plane_reach),
        ] {
            if !(reach.is_finite() && reach > 0.0) {
                return Err(refuse(what, "a finite number above 0", reach));
            }
        }
        match self.plane_times.iter().find(|t| !(0.0..=1.0).contains(*t)) {
            Some(time) => Err(refuse("plane times", "numbers in [0, 1]", time)),
            None => Ok(()),
        }
    }
}

/// The velocity of one entry of a chunk over time and its own value. All other entries are held at the mean
/// of the draws at that time, so it is a section through the field and no density: approximate.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldBackground {
    /// Flow times.
    pub times: Vec<f64>,
    /// Values of the entry.
    pub values: Vec<f64>,
    /// Velocity of the entry `[times, values]`.
    pub velocity: Vec<f64>,
}

/// The velocity in the plane of the two channels at one time, all other entries held as in the background.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldPlane {
    /// Flow time.
    pub time: f64,
    /// Values of either channel.
    pub values: Vec<f64>,
    /// Velocity (channel, other channel), `[other, channel]`.
    pub velocity: Vec<[f64; 2]>,
}

/// A field under one condition.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldViews {
    /// Flow times of the states.
    pub times: Vec<f64>,
    /// States `[draws, steps + 1, H, A]`.
    pub states: Vec<f64>,
    /// The field under the paths.
    pub background: FieldBackground,
    /// The field in the plane, at some times; none without another channel.
    pub planes: Vec<FieldPlane>,
}

/// Ranks of `count` values spread over a sorted list of `total`: the middles of as many equal parts.
pub fn quantile_ranks(total: usize, count: usize) -> Vec<usize> {
    let middle = |part: usize| (2 * part + 1) * total / (2 * count.max(1));
    (0..count.min(total)).map(middle).collect()
}

/// Draws under one condition `[S, Dc]` from the noise of frame `frame`, and looks at the field around them.
///
/// # Errors
/// [`FlowError::Request`] naming the option out of range, and as [`FlowSampler::sample`] and
/// [`FlowSampler::velocity`].
pub fn field_views(
    sampler: &mut FlowSampler,
    condition: &[f32],
    (frame, noise): (u32, Noise<'_>),
    options: &FieldOptions,
) -> Result<FieldViews, FlowError> {
    options.check(sampler.config())?;
    let request = FlowRequest {
        conditions: condition,
        frames: 1,
        first_frame: frame,
        draws: options.draws,
        noise,
        solver: Solver::Fixed {
            method: Method::Euler,
            steps: options.steps,
        },
        record: true,
    };
    let drawn = sampler.sample(&request)?;
    let states = drawn.trajectories.unwrap_or_default();
    let means = Means::of(&states, options, sampler.config().chunk());
    Ok(FieldViews {
        times: evenly(0.0, 1.0, options.steps + 1),
        background: background(sampler, condition, &means, options)?,
        planes: planes(sampler, condition, &means, options)?,
        states,
    })
}

/// `count` values from `first` to `last`.
fn evenly(first: f64, last: f64, count: usize) -> Vec<f64> {
    let parts = count.saturating_sub(1).max(1) as f64;
    let value = |index: usize| first + (last - first) * (index as f64 / parts);
    (0..count).map(value).collect()
}

/// The mean of the draws at every step.
struct Means {
    steps: usize,
    chunk: usize,
    values: Vec<f64>,
}

impl Means {
    fn of(states: &[f64], options: &FieldOptions, chunk: usize) -> Self {
        let mut values = vec![0.0; (options.steps + 1) * chunk];
        for path in states.chunks_exact(values.len().max(1)) {
            for (mean, value) in values.iter_mut().zip(path) {
                *mean += value / options.draws as f64;
            }
        }
        Self {
            steps: options.steps,
            chunk,
            values,
        }
    }

    /// The mean at a time, between two steps a weighted one.
    fn at(&self, time: f64) -> Vec<f64> {
        let place = time * self.steps as f64;
        let step = (place.floor() as usize).min(self.steps.saturating_sub(1));
        let share = place - step as f64;
        let two = self.values.chunks_exact(self.chunk).skip(step);
        let (low, high) = (two.clone().next(), two.clone().nth(1));
        let pairs = low.unwrap_or_default().iter().zip(high.unwrap_or_default());
        pairs.map(|(a, b)| a + share * (b - a)).collect()
    }
}

/// Velocities of states around the means: each is a time and values of some entries of the chunk.
fn velocities(
    sampler: &FlowSampler,
    condition: &[f32],
    means: &Means,
    states: &[(f64, Vec<(usize, f64)>)],
) -> Result<Vec<f64>, FlowError> {
    let mut x = Vec::with_capacity(states.len() * means.chunk);
    for (time, entries) in states {
        let mut state = means.at(*time);
        for &(entry, value) in entries {
            if let Some(place) = state.get_mut(entry) {
                *place = value;
            }
        }
        x.extend(state.iter().map(|&value| value as f32));
    }
    let times: Vec<f64> = states.iter().map(|(time, _)| *time).collect();
    sampler.velocity(&VelocityRequest {
        conditions: condition,
        frames: 1,
        draws: states.len(),
        x: &x,
        times: &times,
    })
}

fn background(
    sampler: &FlowSampler,
    condition: &[f32],
    means: &Means,
    options: &FieldOptions,
) -> Result<FieldBackground, FlowError> {
    let entry = options.slot * sampler.config().action_dim + options.channel;
    let times = evenly(0.0, 1.0, options.background_times);
    let reach = options.background_reach;
    let values = evenly(-reach, reach, options.background_values);
    let states: Vec<_> = times
        .iter()
        .flat_map(|&time| {
            values
                .iter()
                .map(move |&value| (time, vec![(entry, value)]))
        })
        .collect();
    let all = velocities(sampler, condition, means, &states)?;
    let own = all.iter().skip(entry).step_by(means.chunk);
    Ok(FieldBackground {
        velocity: own.copied().collect(),
        times,
        values,
    })
}

fn planes(
    sampler: &FlowSampler,
    condition: &[f32],
    means: &Means,
    options: &FieldOptions,
) -> Result<Vec<FieldPlane>, FlowError> {
    let Some(other) = options.other else {
        return Ok(Vec::new());
    };
    let first = options.slot * sampler.config().action_dim;
    let (across, up) = (first + options.channel, first + other);
    let reach = options.plane_reach;
    let values = evenly(-reach, reach, options.plane_values);
    let plane = |&time: &f64| {
        let states: Vec<_> = values
            .iter()
            .flat_map(|&v| {
                values
                    .iter()
                    .map(move |&u| (time, vec![(across, u), (up, v)]))
            })
            .collect();
        let all = velocities(sampler, condition, means, &states)?;
        let pair = |v: &[f64]| Some([*v.get(across)?, *v.get(up)?]);
        Ok(FieldPlane {
            time,
            values: values.clone(),
            velocity: all.chunks_exact(means.chunk).filter_map(pair).collect(),
        })
    };
    options.plane_times.iter().map(plane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_middles_of_equal_parts() {
        assert_eq!(quantile_ranks(6, 3), [1, 3, 5]);
        assert_eq!(quantile_ranks(600, 3), [100, 300, 500]);
        assert_eq!(quantile_ranks(3, 3), [0, 1, 2]);
        assert_eq!(quantile_ranks(1, 3).len(), 1);
        assert!(quantile_ranks(0, 3).is_empty());
        assert!(quantile_ranks(2, 3).iter().all(|&rank| rank < 2));
    }

    #[test]
    fn means_are_interpolated_in_time() {
        let options = FieldOptions {
            draws: 2,
            steps: 2,
            ..FieldOptions::new(0, 0, None)
        };
        // Two draws of three states of a chunk of two.
        let states = [0.0, 1.0, 2.0, 1.0, 8.0, 1.0, 2.0, 3.0, 4.0, 3.0, 0.0, 3.0];
        let means = Means::of(&states, &options, 2);
        for (time, first) in [(0.0, 1.0), (0.25, 2.0), (0.5, 3.0), (0.75, 3.5), (1.0, 4.0)] {
            assert_eq!(means.at(time), [first, 2.0], "t = {time}");
        }
    }
}
