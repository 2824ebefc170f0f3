//! The twin's work on one row of logits.

use super::{Categorical, NO_TOKEN, TokenMode};
use crate::Real;

/// Fractional bits for which the sum of 65,536 weights of one fits 63 bits.
const COARSE: u32 = 46;
const FRACTION_BITS: u32 = 48;

/// What a row gives besides its probabilities.
pub(super) struct Choice<T> {
    pub token: u32,
    pub confidence: T,
}

/// Room for the work on a row, reused from row to row.
pub(super) struct Scratch<T> {
    weights: Vec<T>,
    order: Vec<u32>,
}

impl<T: Real> Scratch<T> {
    pub(super) fn new(vocabulary: usize) -> Self {
        Self {
            weights: vec![T::ZERO; vocabulary],
            order: Vec::new(),
        }
    }
}

/// floor(x 2^scale); 0 for negative numbers and NaN.
fn fixed<T: Real>(x: T, scale: u32) -> u64 {
    (x.to_f64() * (1u64 << scale) as f64) as u64
}

/// floor(mass fraction / 2^48).
fn scaled(mass: u64, fraction: u64) -> u64 {
    ((u128::from(mass) * u128::from(fraction)) >> FRACTION_BITS) as u64
}

fn to_real<T: Real>(mass: u64, scale: u32) -> T {
    T::from_f64(mass as f64 / (1u64 << scale) as f64)
}

/// `high + low` as a multiple of 2^-48 below one.
fn fraction<T: Real>(high: T, low: T) -> u64 {
    let sum = fixed(high, FRACTION_BITS).saturating_add(fixed(low, FRACTION_BITS));
    sum.min((1 << FRACTION_BITS) - 1)
}

/// Place and value of the first largest logit; `None` if a logit is NaN or +infinity or none is finite.
fn find_largest<T: Real>(logits: &[T]) -> Option<(usize, T)> {
    let mut best: Option<(usize, T)> = None;
    for (place, &x) in logits.iter().enumerate() {
        if x.is_nan() || x == T::INFINITY {
            return None;
        }
        if x.is_finite() && best.is_none_or(|(_, largest)| x > largest) {
            best = Some((place, x));
        }
    }
    best
}

/// Weights `exp((x - largest) / temperature)` into `weights`.
#[inline(always)]
fn weigh<T: Real>(logits: &[T], largest: T, temperature: T, weights: &mut [T]) {
    for (w, &x) in weights.iter_mut().zip(logits) {
        *w = ((x - largest) / temperature).exp();
    }
}

/// Scale that leaves the sum of the weights just below 2^63.
fn fine_scale<T: Real>(weights: &[T]) -> u32 {
    let coarse: u64 = weights.iter().map(|&w| fixed(w, COARSE)).sum();
    (COARSE + coarse.leading_zeros()).saturating_sub(1)
}

fn mass<T: Real>(weights: &[T], scale: u32) -> u64 {
    weights.iter().map(|&w| fixed(w, scale)).sum()
}

impl Categorical {
    /// Works on one row. `probabilities` is empty or has one place for every column.
    #[inline(always)]
    pub(super) fn row<T: Real>(
        &self,
        logits: &[T],
        uniforms: &[T],
        probabilities: &mut [T],
        scratch: &mut Scratch<T>,
    ) -> Choice<T> {
        let logits = logits.get(..self.limit as usize).unwrap_or(logits);
        let Some((first_largest, largest)) = find_largest(logits) else {
            let not_a_number = T::NAN;
            probabilities.fill(not_a_number);
            return Choice {
                token: NO_TOKEN,
                confidence: not_a_number,
            };
        };
        let greedy = self.mode == TokenMode::GREEDY;
        let temperature = if greedy {
            T::ONE
        } else {
            T::from_f32(self.temperature)
        };
        let Scratch { weights, order } = scratch;
        let weights = match weights.get_mut(..logits.len()) {
            Some(weights) => weights,
            None => {
                return Choice {
                    token: NO_TOKEN,
                    confidence: T::NAN,
                };
            }
        };
        weigh(logits, largest, temperature, weights);
        let scale = fine_scale(weights);
        if !greedy {
            self.filter(logits, weights, order, scale);
        }
        let total = mass(weights, scale);
        let normaliser = to_real::<T>(total, scale);
        let chosen = if greedy {
            first_largest
        } else {
            let u = match uniforms {
                [high, low, ..] => fraction(*high, *low),
                _ => 0,
            };
            first_above(weights, scale, scaled(total, u)).unwrap_or(first_largest)
        };
        let chosen_weight = weights.get(chosen).copied().unwrap_or(T::ZERO);
        let mut confidence = chosen_weight / normaliser;
        for (place, probability) in probabilities.iter_mut().enumerate() {
            *probability = weights.get(place).map_or(T::ZERO, |&w| w / normaliser);
        }
        if self.mode == TokenMode::SAMPLE_RAW_CONFIDENCE {
            weigh(logits, largest, T::ONE, weights);
            let scale = fine_scale(weights);
            let raw = weights.get(chosen).copied().unwrap_or(T::ZERO);
            confidence = raw / to_real(mass(weights, scale), scale);
        }
        Choice {
            token: chosen as u32,
            confidence,
        }
    }

    /// Zeroes the weights that top_k, then top_p, drop.
    fn filter<T: Real>(&self, logits: &[T], weights: &mut [T], order: &mut Vec<u32>, scale: u32) {
        let (by_count, by_mass) = (self.cuts_by_count(), self.cuts_by_mass());
        if !by_count && !by_mass {
            return;
        }
        let logit = |i: u32| logits.get(i as usize).copied().unwrap_or(T::NEG_INFINITY);
        order.clear();
        order.extend(0..logits.len() as u32);
        order.sort_unstable_by(|&a, &b| {
            let descending = logit(b).partial_cmp(&logit(a));
            descending
                .unwrap_or(std::cmp::Ordering::Equal)
                .then(a.cmp(&b))
        });
        let mut drop = |i: u32| {
            if let Some(w) = weights.get_mut(i as usize) {
                *w = T::ZERO;
            }
        };
        if by_count {
            let kth = order
                .get(self.top_k as usize - 1)
                .map_or(T::NEG_INFINITY, |&i| logit(i));
            let keep = order.partition_point(|&i| logit(i) >= kth);
            order.drain(keep..).for_each(&mut drop);
        }
        if by_mass {
            let cut = scaled(mass(weights, scale), fixed(self.top_p, FRACTION_BITS)).max(1);
            let mut before = 0u64;
            for &i in order.iter() {
                if let Some(w) = weights.get_mut(i as usize) {
                    let own = fixed(*w, scale);
                    if before >= cut {
                        *w = T::ZERO;
                    }
                    before += own;
                }
            }
        }
    }
}

/// First place where the running sum of the weights exceeds `threshold`.
fn first_above<T: Real>(weights: &[T], scale: u32, threshold: u64) -> Option<usize> {
    let mut running = 0u64;
    weights.iter().position(|&w| {
        running += fixed(w, scale);
        running > threshold
    })
}
