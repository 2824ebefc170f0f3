//! M4: do neighbours part in the model as they part in the maze?

use super::metrics::action_sequence;
use crate::worlds::maze::{Action, Atlas, MazeError, Position};
use serde::Serialize;
use std::collections::BTreeMap;

/// How M4 is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GrowthSettings {
    /// Length K of a sequence.
    pub steps: usize,
    /// Sequences: those of the seeds from 0 on, the first that of M2.
    pub sequences: usize,
}

/// Steps, and sequences, at most: M4 rolls all free cells along every sequence.
const MOST: usize = 4096;

impl GrowthSettings {
    /// Checks that M4 can be measured so.
    ///
    /// # Errors
    /// [`MazeError::Setting`] naming what is not in 1 to 4096.
    pub fn check(&self) -> Result<(), MazeError> {
        for (what, found) in [("k steps", self.steps), ("sequences", self.sequences)] {
            if !(1..=MOST).contains(&found) {
                return Err(MazeError::setting(what, format!("1 to {MOST}"), found));
            }
        }
        Ok(())
    }
}

/// Finite-size growth of separations, learned less true, one number for each sequence of actions.
///
/// The maze is discrete, so it has no tangent: in place of a Lyapunov exponent stands its finite-size form.
/// For every ordered pair of free cells `(s, s')` that one move leads apart, roll both open loop under the
/// same K actions, and take `g = ln((1 + d_K) / (1 + d_0)) / K` with the Manhattan distances `d_0` (which
/// is 1) and `d_K`. M4 is the mean of g over all pairs under the model, less that under the maze. Below
/// zero, neighbours part more slowly in the model than in truth, or meet more often.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// Mean growth of the model, `[sequences]`.
    pub learned: Vec<f64>,
    /// Mean growth of the maze, `[sequences]`.
    pub truth: Vec<f64>,
}

impl Growth {
    fn differences(&self) -> impl Iterator<Item = f64> + '_ {
        self.learned.iter().zip(&self.truth).map(|(f, t)| f - t)
    }

    /// M4 along the first sequence, that of M2.
    pub fn mismatch(&self) -> f64 {
        self.differences().next().unwrap_or(0.0)
    }

    /// Mean and standard deviation of M4 over all sequences; the deviation of a single one is none.
    pub fn spread(&self) -> (f64, Option<f64>) {
        mean_and_deviation(&self.differences().collect::<Vec<f64>>())
    }
}

/// Mean, and standard deviation of a sample (none of a single value).
pub(super) fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    (mean, deviation)
}

/// Mean growth over the neighbouring pairs, given where each state ends.
fn mean_growth(
    pairs: &[(Position, Position)],
    ends: &BTreeMap<Position, Position>,
    k: usize,
) -> f64 {
    let of = |(a, b): &(Position, Position)| {
        let (Some(end_a), Some(end_b)) = (ends.get(a), ends.get(b)) else {
            return 0.0;
        };
        let apart = |a: Position, b: Position| 1.0 + f64::from(a.manhattan(b));
        (apart(*end_a, *end_b) / apart(*a, *b)).ln() / k as f64
    };
    pairs.iter().map(of).sum::<f64>() / pairs.len().max(1) as f64
}

/// M4 of model `model` of an atlas.
///
/// # Errors
/// As [`GrowthSettings::check`]; [`MazeError`] for a model that runs off, or is not
/// there.
pub fn growth(
    atlas: &mut Atlas<'_>,
    model: usize,
    settings: GrowthSettings,
) -> Result<Growth, MazeError> {
    settings.check()?;
    let layout = atlas.layout();
    let states = layout.free();
    let pairs: Vec<(Position, Position)> = layout
        .transitions()
        .into_iter()
        .filter(|t| t.next != t.state)
        .map(|t| (t.state, t.next))
        .collect();
    let mut growth = Growth {
        learned: Vec::new(),
        truth: Vec::new(),
    };
    for seed in 0..settings.sequences as u64 {
        let sequence: Vec<Action> = action_sequence(seed, settings.steps);
        let mut learned = BTreeMap::new();
        let mut truth = BTreeMap::new();
        for &state in &states {
            learned.insert(state, atlas.roll(model, state, &sequence)?);
            truth.insert(
                state,
                sequence.iter().fold(state, |at, a| layout.step(at, *a)),
            );
        }
        growth
            .learned
            .push(mean_growth(&pairs, &learned, settings.steps));
        growth
            .truth
            .push(mean_growth(&pairs, &truth, settings.steps));
    }
    Ok(growth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::worlds::maze::{Layout, MazeModel};

    #[test]
    fn the_truth_grows_as_itself() {
        let layout = Layout::published().unwrap();
        let mut atlas = Atlas::new(&layout, &Device::cpu(), vec![MazeModel::True]).unwrap();
        let settings = GrowthSettings {
            steps: 8,
            sequences: 3,
        };
        let growth = growth(&mut atlas, 0, settings).unwrap();
        assert_eq!(growth.learned, growth.truth);
        assert_eq!(
            (growth.mismatch(), growth.spread()),
            (0.0, (0.0, Some(0.0)))
        );
        // Neighbours meet in corners more than they part.
        assert!(
            growth.truth.iter().all(|g| *g < 0.0 && *g > -0.2),
            "{growth:?}"
        );
    }

    #[test]
    fn counts_out_of_range_are_refused() {
        let layout = Layout::parse("test", "S.G").unwrap();
        let mut atlas = Atlas::new(&layout, &Device::cpu(), vec![MazeModel::True]).unwrap();
        for (steps, sequences) in [(1, 0), (1, 4097), (1, usize::MAX), (0, 1), (usize::MAX, 1)] {
            let settings = GrowthSettings { steps, sequences };
            let error = growth(&mut atlas, 0, settings).unwrap_err();
            assert!(matches!(error, MazeError::Setting { .. }), "{error}");
            assert!(error.to_string().contains("1 to 4096"), "{error}");
        }
    }

    #[test]
    fn growth_by_hand() {
        // Three cells in a row; the only sequence of length 1 under seed 0 goes right: ends 1, 2, 2.
        let layout = Layout::parse("test", "S.G").unwrap();
        assert_eq!(action_sequence(0, 1), [Action::Right]);
        let mut atlas = Atlas::new(&layout, &Device::cpu(), vec![MazeModel::True]).unwrap();
        let settings = GrowthSettings {
            steps: 1,
            sequences: 1,
        };
        let growth = growth(&mut atlas, 0, settings).unwrap();
        // The left pair stays 1 apart, the right one meets: half of the pairs has ln(1/2).
        assert!((growth.truth[0] - 0.5 * 0.5f64.ln()).abs() < 1e-15);
        assert_eq!(growth.spread(), (0.0, None));
    }
}
