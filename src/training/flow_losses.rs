//! Losses and metrics of flow matching (Lipman et al., arXiv:2210.02747, straight paths), forward values
//! in double precision.
//!
//! `x_t = (1 - t) eps + t x1`, target velocity `u = x1 - eps`, predicted velocity v. The chunk-delta term
//! compares slot differences of the end point `x_t + (1 - t) v` with those of x1.

use super::losses::LossError;
use attractor_kernels::Real;

/// Equal bins of t in the metrics.
const TIME_BINS: usize = 8;
/// Keys of the bins: their upper edges.
const TIME_KEYS: [&str; TIME_BINS] = [
    "0.12", "0.25", "0.38", "0.50", "0.62", "0.75", "0.88", "1.00",
];

/// Sizes of a batch of action chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkShape {
    /// Chunks, B.
    pub batch: usize,
    /// Slots, H.
    pub horizon: usize,
    /// Channels, A in model space or R in raw space.
    pub channels: usize,
}

impl ChunkShape {
    fn chunk(&self) -> usize {
        self.horizon.saturating_mul(self.channels)
    }

    fn check(&self, tensor: &'static str, found: usize, each: usize) -> Result<(), LossError> {
        let expected = self.batch.saturating_mul(each);
        if found == expected && expected > 0 {
            return Ok(());
        }
        Err(LossError::Length {
            tensor,
            expected: expected.max(1),
            found,
        })
    }
}

/// What a flow-matching loss compares.
#[derive(Debug, Clone, Copy)]
pub struct FlowBatch<'a, T> {
    /// Sizes, in model space.
    pub shape: ChunkShape,
    /// Chunks in model space, x1 `[B, H, A]`.
    pub target: &'a [T],
    /// Noise, eps `[B, H, A]`.
    pub noise: &'a [T],
    /// Times, t `[B]`, 0 to 1.
    pub times: &'a [T],
    /// Predicted velocity at `x_t`, v `[B, H, A]`.
    pub velocity: &'a [T],
    /// Weights of the chunks' channels `[B, A]`, where there are any.
    pub weights: Option<&'a [T]>,
}

/// A flow-matching loss and its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowLoss {
    /// Mean squared error of the velocity, never weighted.
    pub flow_mse: f64,
    /// The same with the weights, if there are any.
    pub flow_term: f64,
    /// Mean squared error of slot differences, weighted if there are weights; none for a single slot.
    pub chunk_delta_mse: Option<f64>,
    /// `flow_term + delta_weight chunk_delta_mse`.
    pub loss: f64,
    /// Mean of the weights, 1 without any.
    pub mean_weight: f64,
    /// `flow_mse` by time, in eight equal bins named by their upper edges; empty bins are left out.
    pub buckets: Vec<(&'static str, f64)>,
}

/// The loss of a batch; `delta_weight` counts only where there are two slots or more.
///
/// # Errors
/// [`LossError`] for wrong lengths, times outside 0 to 1, a weight that is not finite, and a batch
/// without a finite loss.
pub fn flow_loss<T: Real>(
    batch: &FlowBatch<'_, T>,
    delta_weight: f64,
) -> Result<FlowLoss, LossError> {
    check(batch, delta_weight)?;
    let ChunkShape {
        batch: samples,
        horizon,
        channels,
    } = batch.shape;
    let mut sums = Sums::default();
    let mut bins = [(0.0, 0_usize); TIME_BINS];
    let chunk = batch.shape.chunk();
    let rows = (batch.target.chunks(chunk).zip(batch.noise.chunks(chunk)))
        .zip(batch.velocity.chunks(chunk).zip(batch.times))
        .enumerate();
    for (sample, ((target, noise), (velocity, time))) in rows {
        let time = time.to_f64();
        let own = batch
            .weights
            .and_then(|weights| weights.get(sample * channels..));
        let weight = |channel: usize| own.and_then(|w| w.get(channel)).map_or(1.0, |w| w.to_f64());
        let row = Row {
            target,
            noise,
            velocity,
            time,
            channels,
        };
        let parts = row.sums(weight);
        if !(parts.squares + parts.weighted + parts.deltas).is_finite() {
            return Err(LossError::NotFinite {
                tensor: "loss",
                sample,
            });
        }
        let bin = ((TIME_BINS as f64 * time) as usize).min(TIME_BINS - 1);
        if let Some((sum, count)) = bins.get_mut(bin) {
            *sum += parts.squares;
            *count += chunk;
        }
        sums.add(&parts);
    }
    let elements = (samples * chunk) as f64;
    let flow_term = sums.weighted / elements;
    let chunk_delta_mse =
        (horizon > 1).then(|| sums.deltas / (samples * (horizon - 1) * channels) as f64);
    let buckets = TIME_KEYS
        .iter()
        .zip(bins)
        .filter(|(_, (_, count))| *count > 0);
    Ok(FlowLoss {
        flow_mse: sums.squares / elements,
        flow_term,
        chunk_delta_mse,
        loss: flow_term + chunk_delta_mse.map_or(0.0, |delta| delta_weight * delta),
        mean_weight: sums.weights / (samples * channels) as f64,
        buckets: buckets
            .map(|(&key, (sum, count))| (key, sum / count as f64))
            .collect(),
    })
}

fn check<T: Real>(batch: &FlowBatch<'_, T>, delta_weight: f64) -> Result<(), LossError> {
    let (shape, chunk) = (batch.shape, batch.shape.chunk());
    shape.check("x1", batch.target.len(), chunk)?;
    shape.check("noise", batch.noise.len(), chunk)?;
    shape.check("velocity", batch.velocity.len(), chunk)?;
    shape.check("t", batch.times.len(), 1)?;
    if let Some(weights) = batch.weights {
        shape.check("weight", weights.len(), shape.channels)?;
    }
    let (range, not_negative) = ("0 to 1", "a finite number from 0");
    let outside = |time: &&T| !(0.0..=1.0).contains(&time.to_f64());
    if let Some(time) = batch.times.iter().find(outside) {
        return Err(LossError::Setting {
            setting: "t",
            expected: range,
            found: time.to_f64(),
        });
    }
    if !(delta_weight.is_finite() && delta_weight >= 0.0) {
        let (setting, expected) = ("delta_weight", not_negative);
        return Err(LossError::Setting {
            setting,
            expected,
            found: delta_weight,
        });
    }
    Ok(())
}

/// One chunk of a batch.
struct Row<'a, T> {
    target: &'a [T],
    noise: &'a [T],
    velocity: &'a [T],
    time: f64,
    channels: usize,
}

/// Sums over a chunk or a batch.
#[derive(Default)]
struct Sums {
    squares: f64,
    weighted: f64,
    deltas: f64,
    weights: f64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.squares += other.squares;
        self.weighted += other.weighted;
        self.deltas += other.deltas;
        self.weights += other.weights;
    }
}

impl<T: Real> Row<'_, T> {
    /// v - u of one element, and the error of the end point, `x_t + (1 - t) v - x1 = (1 - t)(v - u)`.
    fn errors(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        let triples = self.target.iter().zip(self.noise).zip(self.velocity);
        triples.map(|((x1, noise), v)| {
            let error = v.to_f64() - (x1.to_f64() - noise.to_f64());
            (error, (1.0 - self.time) * error)
        })
    }

    fn sums(&self, weight: impl Fn(usize) -> f64) -> Sums {
        let channels = self.channels;
        let mut sums = Sums {
            weights: (0..channels).map(&weight).sum(),
            ..Sums::default()
        };
        for (index, (error, _)) in self.errors().enumerate() {
            sums.squares += error * error;
            sums.weighted += weight(index % channels) * error * error;
        }
        let next = self.errors().skip(channels);
        for (index, ((_, here), (_, after))) in self.errors().zip(next).enumerate() {
            sums.deltas += weight(index % channels) * (after - here) * (after - here);
        }
        sums
    }
}

/// The rows of a batch that are finite in every tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiniteRows {
    /// Rows that stay, ascending.
    pub kept: Vec<usize>,
    /// How many were dropped.
    pub dropped: usize,
}

impl FiniteRows {
    /// Looks through tensors of `rows` rows each. If no row is finite, all stay: an empty batch has no
    /// loss, and one that is not finite is reported where it is computed.
    ///
    /// # Errors
    /// [`LossError::Length`] for a tensor that is not `rows` whole rows.
    pub fn of(rows: usize, tensors: &[(&'static str, &[f32])]) -> Result<Self, LossError> {
        let mut finite = vec![true; rows];
        for &(tensor, values) in tensors {
            if rows == 0 || values.is_empty() || !values.len().is_multiple_of(rows) {
                return Err(LossError::Length {
                    tensor,
                    expected: rows,
                    found: values.len(),
                });
            }
            for (finite, row) in finite.iter_mut().zip(values.chunks(values.len() / rows)) {
                *finite &= row.iter().all(|value| value.is_finite());
            }
        }
        let dropped = finite.iter().filter(|finite| !**finite).count();
        if dropped == rows {
            return Ok(Self {
                kept: (0..rows).collect(),
                dropped: 0,
            });
        }
        let kept = finite.iter().enumerate().filter(|(_, finite)| **finite);
        Ok(Self {
            kept: kept.map(|(row, _)| row).collect(),
            dropped,
        })
    }

    /// The rows of a tensor that stay.
    pub fn take<T: Copy>(&self, tensor: &[T]) -> Vec<T> {
        let rows = self.kept.len() + self.dropped;
        let width = tensor.len().checked_div(rows).unwrap_or(0);
        let row = |&row: &usize| tensor.get(row * width..(row + 1) * width).unwrap_or(&[]);
        self.kept.iter().flat_map(row).copied().collect()
    }
}

/// The error of one channel where the truth is a maneuver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ManeuverError {
    /// Share of the slots with a truth beyond the threshold.
    pub frac: f64,
    /// Mean absolute error over those slots; none where there are none.
    pub l1: Option<f64>,
}

/// Mean absolute error of one draw a frame against the truth, both raw `[B, H, R]`.
///
/// # Errors
/// [`LossError::Length`] unless both have as many elements as the shape.
pub fn sample_l1<T: Real>(shape: ChunkShape, draw: &[T], truth: &[T]) -> Result<f64, LossError> {
    shape.check("draw", draw.len(), shape.chunk())?;
    shape.check("truth", truth.len(), shape.chunk())?;
    let sum: f64 = draw
        .iter()
        .zip(truth)
        .map(|(a, b)| (a.to_f64() - b.to_f64()).abs())
        .sum();
    Ok(sum / draw.len() as f64)
}

/// The errors of every channel of one draw a frame over slots where `|truth| > threshold` of the channel.
///
/// # Errors
/// [`LossError::Length`] unless draw and truth have as many elements as the shape, and there is a
/// threshold for each channel.
pub fn maneuver_errors<T: Real>(
    shape: ChunkShape,
    draw: &[T],
    truth: &[T],
    thresholds: &[f64],
) -> Result<Vec<ManeuverError>, LossError> {
    shape.check("draw", draw.len(), shape.chunk())?;
    shape.check("truth", truth.len(), shape.chunk())?;
    if thresholds.len() != shape.channels {
        let (expected, found) = (shape.channels, thresholds.len());
        return Err(LossError::Length {
            tensor: "thresholds",
            expected,
            found,
        });
    }
    let slots = (shape.batch * shape.horizon) as f64;
    let of_channel = |(channel, &threshold): (usize, &f64)| {
        let pairs = draw.iter().zip(truth).skip(channel).step_by(shape.channels);
        let pairs = pairs.map(|(draw, truth)| (draw.to_f64(), truth.to_f64()));
        let (sum, count) = pairs
            .filter(|(_, truth)| truth.abs() > threshold)
            .fold((0.0, 0_usize), |(sum, count), (draw, truth)| {
                (sum + (draw - truth).abs(), count + 1)
            });
        ManeuverError {
            frac: count as f64 / slots,
            l1: (count > 0).then(|| sum / count as f64),
        }
    };
    Ok(thresholds.iter().enumerate().map(of_channel).collect())
}
