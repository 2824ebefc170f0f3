//! Repeated measurements and what is said of them.

use super::BenchError;
use serde::Serialize;

/// What a time was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Timestamps that the device wrote before and after each launch.
    DeviceTimestamps,
    /// The host's clock around the work, waiting included.
    Host,
}

/// Where the middle half of repeated times lies, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Shortest.
    pub minimum: f64,
    /// A quarter are at most this.
    pub lower_quartile: f64,
    /// Half are at most this.
    pub median: f64,
    /// Three quarters are at most this.
    pub upper_quartile: f64,
    /// How many there were.
    pub samples: usize,
}

impl Spread {
    /// Quartiles of `samples`, linear between neighbours; all zero without samples.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * sorted.len().saturating_sub(1) as f64;
            let below = sorted.get(place.floor() as usize).copied();
            let above = sorted.get(place.ceil() as usize).copied();
            match (below, above) {
                (Some(below), Some(above)) => below + (above - below) * place.fract(),
                _ => 0.0,
            }
        };
        Self {
            minimum: at(0.0),
            lower_quartile: at(0.25),
            median: at(0.5),
            upper_quartile: at(0.75),
            samples: sorted.len(),
        }
    }
}

/// How much measuring is enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Effort {
    /// Samples wanted.
    pub repetitions: usize,
    /// Seconds after which fewer will do, but never fewer than [`Effort::LEAST`].
    pub seconds: f64,
}

impl Effort {
    /// Samples that are always taken, where as many are wanted: fewer have no quartiles.
    pub const LEAST: usize = 3;

    /// Whether `samples` that took `elapsed` seconds in all will do.
    pub fn is_enough(&self, samples: usize, elapsed: f64) -> bool {
        samples >= self.repetitions.max(1) || (samples >= Self::LEAST && elapsed > self.seconds)
    }
}

/// One of several things that are measured in turn.
pub(super) trait Contestant {
    /// Samples taken, and the seconds they took.
    fn taken(&self) -> (usize, f64);

    /// Takes one more.
    fn sample(&mut self) -> Result<(), BenchError>;
}

/// Has every contestant take a sample in each round until it has enough: what disturbs the machine for a
/// while disturbs all.
pub(super) fn take_turns<C: Contestant>(
    contestants: &mut [C],
    effort: &Effort,
) -> Result<(), BenchError> {
    loop {
        let mut measured = false;
        for contestant in &mut *contestants {
            let (samples, seconds) = contestant.taken();
            if !effort.is_enough(samples, seconds) {
                contestant.sample()?;
                measured = true;
            }
        }
        if !measured {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles() {
        let spread = Spread::of(&[5.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!(spread.minimum, 1.0);
        assert_eq!(spread.lower_quartile, 2.0);
        assert_eq!(spread.median, 3.0);
        assert_eq!(spread.upper_quartile, 4.0);
        assert_eq!(Spread::of(&[1.0, 2.0]).median, 1.5);
        assert_eq!(Spread::of(&[]).samples, 0);
    }

    #[test]
    fn effort_ends() {
        let effort = Effort {
            repetitions: 5,
            seconds: 1.0,
        };
        assert!(!effort.is_enough(2, 2.0));
        assert!(effort.is_enough(3, 2.0));
        assert!(!effort.is_enough(4, 0.5));
        assert!(effort.is_enough(5, 0.5));
    }
}
