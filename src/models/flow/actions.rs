//! The space a decoder works in: pedals merged to one channel, every channel made normal.
//!
//! `raw -> merged ("physical") -> Gaussianized ("model")` and back, value by value, in double precision.

use super::knots::{Knots, TransformError, check_length};
use attractor_kernels::Real;
use rayon::prelude::*;

/// Name of the channel that gas and brake are merged to.
pub const LONGITUDINAL: &str = "longitudinal";

/// Which raw channels are merged to one: `longitudinal = gas - brake`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pedals {
    /// Index of the gas channel.
    pub gas: usize,
    /// Index of the brake channel.
    pub brake: usize,
}

impl Pedals {
    /// The channels whose keys speak of gas and of brake, in any case.
    ///
    /// # Errors
    /// [`TransformError::Keys`] unless there is exactly one of each.
    pub fn of_keys(keys: &[String]) -> Result<Self, TransformError> {
        let only = |word: &str, expected| {
            let mut found = keys.iter().enumerate();
            let mut matching = found
                .by_ref()
                .filter(|(_, key)| key.to_lowercase().contains(word));
            match (matching.next(), matching.next()) {
                (Some((index, _)), None) => Ok(index),
                _ => Err(TransformError::Keys {
                    keys: keys.to_vec(),
                    expected,
                }),
            }
        };
        Ok(Self {
            gas: only("gas", "one key with \"gas\" in it, to merge the pedals")?,
            brake: only("brake", "one key with \"brake\" in it, to merge the pedals")?,
        })
    }
}

/// From raw actions to the space of the model and back.
///
/// Model channels: the merged pedals first, then the other raw channels in their order. Without a merge
/// they are the raw channels.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionTransform {
    raw_keys: Vec<String>,
    pedals: Option<Pedals>,
    knots: Option<Knots>,
    /// Raw channels that are not merged, in order.
    others: Vec<usize>,
}

impl ActionTransform {
    /// A transform of the raw channels `raw_keys`; `knots` are those of the model channels.
    ///
    /// # Errors
    /// [`TransformError::Keys`] for no channels, or pedals that are no two of them;
    /// [`TransformError::Knots`] for another number of knot sequences than of model channels.
    pub fn new(
        raw_keys: Vec<String>,
        pedals: Option<Pedals>,
        knots: Option<Knots>,
    ) -> Result<Self, TransformError> {
        let channels = raw_keys.len();
        let fits = |p: Pedals| p.gas < channels && p.brake < channels && p.gas != p.brake;
        if channels == 0 || pedals.is_some_and(|pedals| !fits(pedals)) {
            let expected = "at least one, and two different ones to merge";
            return Err(TransformError::Keys {
                keys: raw_keys,
                expected,
            });
        }
        let merged = |&raw: &usize| pedals.is_some_and(|p| raw == p.gas || raw == p.brake);
        let others = (0..channels).filter(|raw| !merged(raw)).collect();
        let transform = Self {
            raw_keys,
            pedals,
            knots,
            others,
        };
        if let Some(knots) = &transform.knots {
            let (expected, found) = (transform.model_channels(), knots.channels().len());
            if expected != found {
                return Err(TransformError::Knots {
                    what: "knots".into(),
                    expected: format!("{expected} channels"),
                    found: format!("{found}"),
                });
            }
        }
        Ok(transform)
    }

    /// Fits the knots of a transform to raw actions `[N, R]`, every slot of every chunk.
    ///
    /// # Errors
    /// As [`ActionTransform::new`] and [`Knots::fit`].
    pub fn fit(
        raw_keys: Vec<String>,
        pedals: Option<Pedals>,
        raw: &[f32],
        levels: usize,
    ) -> Result<Self, TransformError> {
        let mut transform = Self::new(raw_keys, pedals, None)?;
        let physical = transform.to_physical(raw)?;
        if physical.is_empty() {
            return Err(TransformError::Empty { what: "knots" });
        }
        transform.knots = Some(Knots::fit(&physical, &transform.model_keys(), levels)?);
        Ok(transform)
    }

    /// Names of the raw channels, R.
    pub fn raw_keys(&self) -> &[String] {
        &self.raw_keys
    }

    /// Raw channels, R.
    pub fn raw_channels(&self) -> usize {
        self.raw_keys.len()
    }

    /// Model channels, A.
    pub fn model_channels(&self) -> usize {
        self.others.len() + usize::from(self.pedals.is_some())
    }

    /// Names of the model channels.
    pub fn model_keys(&self) -> Vec<String> {
        let merged = self.pedals.map(|_| LONGITUDINAL.to_string());
        let others = self
            .others
            .iter()
            .filter_map(|&raw| self.raw_keys.get(raw).cloned());
        merged.into_iter().chain(others).collect()
    }

    /// The model channel that a raw channel is alone in; none for a pedal that is merged.
    pub fn model_channel(&self, raw: usize) -> Option<usize> {
        let position = self.others.iter().position(|&other| other == raw)?;
        Some(position + usize::from(self.pedals.is_some()))
    }

    /// Which channels are merged.
    pub fn pedals(&self) -> Option<Pedals> {
        self.pedals
    }

    /// The knots, where channels are Gaussianized.
    pub fn knots(&self) -> Option<&Knots> {
        self.knots.as_ref()
    }

    /// Raw actions `[.., R]` with the pedals merged, `[.., A]`, not Gaussianized.
    ///
    /// # Errors
    /// [`TransformError::Length`].
    pub fn to_physical<T: Real>(&self, raw: &[T]) -> Result<Vec<f64>, TransformError> {
        check_length("raw actions", raw.len(), self.raw_channels())?;
        let mut physical = Vec::with_capacity(raw.len());
        for action in raw.chunks_exact(self.raw_channels()) {
            self.merge(action, |value| physical.push(value));
        }
        Ok(physical)
    }

    /// Raw actions `[.., R]` in the space of the model, `[.., A]`. NaN stays NaN.
    ///
    /// # Errors
    /// [`TransformError::Length`].
    pub fn to_model<T: Real>(&self, raw: &[T]) -> Result<Vec<T>, TransformError> {
        check_length("raw actions", raw.len(), self.raw_channels())?;
        let convert = |(action, model): (&[T], &mut [T])| {
            let mut places = model.iter_mut().enumerate();
            self.merge(action, |value| {
                if let Some((channel, place)) = places.next() {
                    *place = T::from_f64(self.gaussianize(channel, value));
                }
            });
        };
        Ok(by_rows(
            raw,
            self.raw_channels(),
            self.model_channels(),
            convert,
        ))
    }

    /// Actions of the model `[.., A]` as raw actions, `[.., R]`, which never leave the fitted range.
    /// NaN stays NaN.
    ///
    /// # Errors
    /// [`TransformError::Length`].
    pub fn to_raw<T: Real>(&self, model: &[T]) -> Result<Vec<T>, TransformError> {
        check_length("model actions", model.len(), self.model_channels())?;
        let convert = |(model, raw): (&[T], &mut [T])| {
            let mut values = model.iter().enumerate();
            let mut next = || {
                let (channel, value) = values.next()?;
                Some(self.degaussianize(channel, value.to_f64()))
            };
            let mut put = |channel: usize, value: f64| {
                if let Some(place) = raw.get_mut(channel) {
                    *place = T::from_f64(value);
                }
            };
            if let Some((pedals, value)) = self.pedals.and_then(|pedals| Some((pedals, next()?))) {
                put(pedals.gas, positive_part(value));
                put(pedals.brake, positive_part(-value));
            }
            for &channel in &self.others {
                if let Some(value) = next() {
                    put(channel, value);
                }
            }
        };
        Ok(by_rows(
            model,
            self.model_channels(),
            self.raw_channels(),
            convert,
        ))
    }

    /// The model channels of one raw action, in order.
    fn merge<T: Real>(&self, action: &[T], mut take: impl FnMut(f64)) {
        let value = |channel: usize| action.get(channel).map_or(f64::NAN, |value| value.to_f64());
        if let Some(pedals) = self.pedals {
            take(value(pedals.gas) - value(pedals.brake));
        }
        self.others.iter().for_each(|&channel| take(value(channel)));
    }

    fn gaussianize(&self, channel: usize, value: f64) -> f64 {
        let knots = self.knots.as_ref();
        knots.map_or(value, |knots| knots.gaussianize(channel, value))
    }

    fn degaussianize(&self, channel: usize, value: f64) -> f64 {
        let knots = self.knots.as_ref();
        knots.map_or(value, |knots| knots.degaussianize(channel, value))
    }
}

/// max(x, 0) that keeps NaN and has no negative zero.
fn positive_part(x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { x }
}

/// Converts rows of `width` values to rows of `to_width` values, in parallel.
fn by_rows<T: Real>(
    values: &[T],
    width: usize,
    to_width: usize,
    convert: impl Fn((&[T], &mut [T])) + Sync + Send,
) -> Vec<T> {
    /// Rows a thread takes at least: handing over costs more than a few rows.
    const ROWS: usize = 256;
    let mut converted = vec![T::ZERO; values.len() / width.max(1) * to_width];
    values
        .par_chunks_exact(width.max(1))
        .zip(converted.par_chunks_exact_mut(to_width.max(1)))
        .with_min_len(ROWS)
        .for_each(convert);
    converted
}
