//! Noise schedules of masked diffusion: `alpha(t)` is the probability that a token is still
//! unmasked at time `t`, falling from 1 at `t = 0` to 0 at `t = 1`.
//!
//! Each quantity exists in f64, and in f32 evaluated operation by operation like the original
//! PyTorch code, because masks and remasking probabilities are thresholds on those exact values.

use std::f64::consts::{FRAC_PI_2, PI};

/// Half the width of the first recipe's difference quotient.
const DIFFERENCE_STEP: f64 = 1e-5;

/// Which generation of the original planner a name or rule is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Recipe {
    /// The code behind the public README of spring 2026.
    R1,
    /// The code since August 2026.
    R2,
}

/// A noise schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoiseSchedule {
    /// `alpha = 1 - t`.
    Linear,
    /// `alpha = cos(pi t / 2)` (MDLM, equation 92).
    Cosine,
    /// `alpha = cos(pi t / 2)^2` (MDLM, equation 91).
    CosineSquared,
}

/// A schedule name that a recipe does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("noise_schedule of {recipe:?}: expected one of {expected}, found {found:?}")]
pub struct UnknownSchedule {
    /// The recipe asked.
    pub recipe: Recipe,
    /// Its names.
    pub expected: &'static str,
    /// The name given.
    pub found: String,
}

impl NoiseSchedule {
    /// The schedule a configuration means: in the first recipe `cosine` is the squared cosine; the
    /// second calls that `cosine_sq`.
    ///
    /// # Errors
    /// [`UnknownSchedule`] for any other name.
    pub fn from_name(recipe: Recipe, name: &str) -> Result<Self, UnknownSchedule> {
        match (recipe, name) {
            (_, "linear") => Ok(Self::Linear),
            (Recipe::R1, "cosine") | (Recipe::R2, "cosine_sq") => Ok(Self::CosineSquared),
            (Recipe::R2, "cosine") => Ok(Self::Cosine),
            _ => Err(UnknownSchedule {
                recipe,
                expected: match recipe {
                    Recipe::R1 => "linear, cosine",
                    Recipe::R2 => "linear, cosine, cosine_sq",
                },
                found: name.to_owned(),
            }),
        }
    }

    /// `alpha(t)`.
    pub fn alpha(self, t: f64) -> f64 {
        match self {
            Self::Linear => 1.0 - t,
            Self::Cosine => (t * FRAC_PI_2).cos(),
            Self::CosineSquared => (t * FRAC_PI_2).cos().powi(2),
        }
    }

    /// `d alpha / d t`.
    pub fn alpha_prime(self, t: f64) -> f64 {
        match self {
            Self::Linear => -1.0,
            Self::Cosine => -FRAC_PI_2 * (t * FRAC_PI_2).sin(),
            Self::CosineSquared => -FRAC_PI_2 * (t * PI).sin(),
        }
    }

    /// `alpha(t)` with every operation rounded to f32; `alpha(1)` of the cosine is slightly negative.
    pub fn alpha_f32(self, t: f32) -> f32 {
        let cosine = || cos_f32(t * FRAC_PI_2 as f32);
        match self {
            Self::Linear => 1.0 - t,
            Self::Cosine => cosine(),
            Self::CosineSquared => cosine() * cosine(),
        }
    }

    /// `d alpha / d t` with every operation rounded to f32.
    pub fn alpha_prime_f32(self, t: f32) -> f32 {
        match self {
            Self::Linear => -1.0,
            Self::Cosine => -(FRAC_PI_2 as f32) * sin_f32(t * FRAC_PI_2 as f32),
            Self::CosineSquared => -(FRAC_PI_2 as f32) * sin_f32(t * PI as f32),
        }
    }

    /// The first recipe's derivative: a central difference of half width 1e-5 in f32, with `t` clamped
    /// so that both points stay in 0..=1. Off by up to 0.16 % for the linear schedule and granular
    /// near the ends of the cosine; kept to reproduce that recipe's numbers.
    pub fn alpha_prime_difference_f32(self, t: f32) -> f32 {
        let step = DIFFERENCE_STEP as f32;
        let centre = t.clamp(step, (1.0 - DIFFERENCE_STEP) as f32);
        let rise = self.alpha_f32(centre + step) - self.alpha_f32(centre - step);
        rise / (2.0 * DIFFERENCE_STEP) as f32
    }

    /// The same difference quotient in f64, which shows how much of its error is rounding.
    pub fn alpha_prime_difference(self, t: f64) -> f64 {
        let centre = t.clamp(DIFFERENCE_STEP, 1.0 - DIFFERENCE_STEP);
        let rise = self.alpha(centre + DIFFERENCE_STEP) - self.alpha(centre - DIFFERENCE_STEP);
        rise / (2.0 * DIFFERENCE_STEP)
    }
}

/// Cosine of an f32, correctly rounded in nearly all cases: platform libraries differ by a unit in
/// the last place, the f64 function rounded once does not.
fn cos_f32(angle: f32) -> f32 {
    f64::from(angle).cos() as f32
}

fn sin_f32(angle: f32) -> f32 {
    f64::from(angle).sin() as f32
}

/// The network's time index at step `k` of 1..=`steps` of the greedy and first-recipe samplers:
/// `trunc(levels (1 - k / steps))` in f64, where rounding makes 19 of what would be 20 (100 levels,
/// step 4 of 5). Zero steps give index 0.
pub fn time_index_greedy(levels: u32, k: u32, steps: u32) -> u32 {
    let progress = f64::from(k) / f64::from(steps);
    (f64::from(levels) * (1.0 - progress)) as u32
}

/// The network's time index at step `i` of 0..`steps` of the second recipe's sampler:
/// `trunc(levels t)`, at most `levels - 1`, with `t = (steps - i) / steps`. Zero steps give index 0.
pub fn time_index_remdm(levels: u32, i: u32, steps: u32) -> u32 {
    let time = f64::from(steps.saturating_sub(i)) / f64::from(steps);
    ((f64::from(levels) * time) as u32).min(levels.saturating_sub(1))
}

/// The network's time index of a training sample: `floor(levels t)` in f32, kept in `0..levels`.
pub fn time_index_training(levels: u32, t: f32) -> u32 {
    ((t * levels as f32) as u32).min(levels.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [NoiseSchedule; 3] = [
        NoiseSchedule::Linear,
        NoiseSchedule::Cosine,
        NoiseSchedule::CosineSquared,
    ];

    #[test]
    fn derivative_matches_the_difference_quotient() {
        for schedule in ALL {
            for step in 1..100 {
                let t = f64::from(step) / 100.0;
                let error = schedule.alpha_prime(t) - schedule.alpha_prime_difference(t);
                assert!(error.abs() < 1e-9, "{schedule:?} at {t}: {error}");
            }
        }
    }

    #[test]
    fn names_depend_on_the_recipe() {
        let named = |recipe, name| NoiseSchedule::from_name(recipe, name).ok();
        assert_eq!(
            named(Recipe::R1, "cosine"),
            Some(NoiseSchedule::CosineSquared)
        );
        assert_eq!(named(Recipe::R2, "cosine"), Some(NoiseSchedule::Cosine));
        assert_eq!(
            named(Recipe::R2, "cosine_sq"),
            Some(NoiseSchedule::CosineSquared)
        );
        assert_eq!(named(Recipe::R1, "cosine_sq"), None);
    }

    #[test]
    fn time_indices_truncate_in_double_precision() {
        let greedy = |steps| (1..=steps).map(move |k| time_index_greedy(100, k, steps));
        assert!(greedy(5).eq([80, 60, 40, 19, 0]));
        assert!(greedy(10).eq([90, 80, 70, 60, 50, 40, 30, 19, 9, 0]));
        let remdm = (0..10).map(|i| time_index_remdm(100, i, 10));
        assert!(remdm.eq([99, 90, 80, 70, 60, 50, 40, 30, 20, 10]));
        assert_eq!(
            time_index_greedy(100, 0, 0) + time_index_remdm(100, 0, 0),
            0
        );
        let training = [0.0, 0.009_999_999, 0.5, 1.0].map(|t| time_index_training(100, t));
        assert_eq!(training, [0, 0, 50, 99]);
    }

    #[test]
    fn single_precision_ends_are_the_original_ones() {
        assert_eq!(NoiseSchedule::Cosine.alpha_f32(1.0), -4.371_139e-8);
        assert_eq!(NoiseSchedule::Linear.alpha_f32(0.9), 0.100_000_024);
    }
}
