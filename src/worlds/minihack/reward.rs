//! Reward shaping as a state machine, and its inverse: what a shaped reward says about a step.

use std::collections::HashSet;

use super::{Cell, Grid, agent_cell, bfs_distance};

const WIN_BONUS: f64 = 20.0;
const PROGRESS_SCALE: f64 = 0.5;
const FIRST_VISIT_BONUS: f64 = 0.05;
const STEP_COST: f64 = -0.01;
/// Largest difference between a recorded reward and its explanation; terms differ by at least 0.01.
const TOLERANCE: f64 = 1e-6;

/// What the shaping needs to know about a moment: both are functions of the characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The first `@`, when there is one (the map is blank after the last step of an episode).
    pub agent: Option<Cell>,
    /// [`bfs_distance`] to the staircase.
    pub distance: Option<u32>,
}

impl Standing {
    /// Reads both from the characters of an observation.
    pub fn observe(chars: &Grid<'_, u8>) -> Self {
        Self {
            agent: agent_cell(chars),
            distance: bfs_distance(chars),
        }
    }
}

/// A shaped reward and its terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShapedReward {
    /// The sum that the original returns.
    pub total: f64,
    /// Moves by which the distance shrank since it was last known.
    pub progress: i64,
    /// Whether the agent entered a cell for the first time.
    pub first_visit: bool,
    /// Whether the episode ended on the staircase.
    pub won: bool,
}

/// Shapes the environment's own reward over one episode:
/// `inner + 20 [won] + 0.5 progress + 0.05 [first visit] - 0.01`.
///
/// Progress is counted between known distances only, and never in an episode whose staircase was
/// hidden at the start.
#[derive(Debug, Clone)]
pub struct RewardShaper {
    previous: Option<u32>,
    visited: HashSet<Cell>,
}

impl RewardShaper {
    /// Starts an episode from what its first observation shows. The start counts as visited.
    pub fn new(start: &Standing) -> Self {
        Self {
            previous: start.distance,
            visited: start.agent.into_iter().collect(),
        }
    }

    /// The last known distance, which the next step's progress is measured from.
    pub fn previous_distance(&self) -> Option<u32> {
        self.previous
    }

    /// Shapes one step: `after` is what the observation after it shows, `inner` the environment's own
    /// reward (1 on the staircase, -0.01 when the game clock stood still, else 0).
    pub fn step(&mut self, after: &Standing, inner: f64, terminated: bool) -> ShapedReward {
        let won = terminated && inner > 0.0;
        let mut progress = 0;
        if let (Some(previous), Some(current)) = (self.previous, after.distance) {
            progress = i64::from(previous) - i64::from(current);
            self.previous = Some(current);
        }
        let first_visit = after.agent.is_some_and(|cell| self.visited.insert(cell));
        ShapedReward {
            total: total(inner, won, progress, first_visit),
            progress,
            first_visit,
            won,
        }
    }
}

fn total(inner: f64, won: bool, progress: i64, first_visit: bool) -> f64 {
    let bonus = |condition: bool, amount: f64| if condition { amount } else { 0.0 };
    inner
        + bonus(won, WIN_BONUS)
        + PROGRESS_SCALE * progress as f64
        + bonus(first_visit, FIRST_VISIT_BONUS)
        + STEP_COST
}

/// The environment's own reward of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerReward {
    /// 1: the agent stepped on the staircase, which ends the episode.
    Staircase,
    /// -0.01: the game clock did not advance, as when walking into a wall. The agent did not move.
    ClockStopped,
    /// 0: an ordinary step.
    Nothing,
}

impl InnerReward {
    /// The number.
    pub fn value(self) -> f64 {
        match self {
            Self::Staircase => 1.0,
            Self::ClockStopped => -0.01,
            Self::Nothing => 0.0,
        }
    }
}

/// What is known about the distance after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistanceAfter {
    /// It was recorded.
    Known(u32),
    /// The staircase or the agent was not visible.
    Hidden,
    /// The recording ends here.
    NotRecorded,
}

/// The only way in which a recorded reward can have come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewardTerms {
    /// The environment's own part.
    pub inner: InnerReward,
    /// Moves by which the distance shrank.
    pub progress: i64,
    /// Whether the first-visit bonus is in it.
    pub first_visit: bool,
    /// Whether the winning bonus is in it.
    pub won: bool,
}

/// A recorded reward that the shaping rules cannot have produced.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum RewardMismatch {
    /// No combination of terms gives the number.
    #[error(
        "reward {reward} is not a sum of shaping terms (distance before {previous:?}, after {after:?}, terminated {terminated})"
    )]
    Unexplained {
        /// The recorded number.
        reward: f64,
        /// Last known distance before the step.
        previous: Option<u32>,
        /// Distance after it.
        after: DistanceAfter,
        /// Whether the episode ended.
        terminated: bool,
    },
    /// More than one combination gives the number.
    #[error("reward {reward} has {explanations} explanations")]
    Ambiguous {
        /// The recorded number.
        reward: f64,
        /// How many combinations give it.
        explanations: usize,
    },
}

/// Takes a recorded reward apart. `previous` is the last known distance before the step (`None` when
/// the staircase was hidden at the start of the episode).
///
/// The six possible remainders after progress (nothing, first visit, clock stopped, and the same
/// with the staircase's 21) differ by at least 0.01, so a recorded distance leaves one explanation.
/// Where the distance was not recorded, whole moves of progress are solved for.
///
/// # Errors
/// [`RewardMismatch`] when no combination, or more than one, gives the number.
pub fn explain_reward(
    previous: Option<u32>,
    after: DistanceAfter,
    reward: f64,
    terminated: bool,
) -> Result<RewardTerms, RewardMismatch> {
    let mut explanations = candidates(terminated).into_iter().filter_map(|mut terms| {
        let without_progress = total(terms.inner.value(), terms.won, 0, terms.first_visit);
        terms.progress = match (previous, after) {
            (None, _) | (_, DistanceAfter::Hidden) => 0,
            (Some(before), DistanceAfter::Known(now)) => i64::from(before) - i64::from(now),
            (Some(_), DistanceAfter::NotRecorded) => {
                ((reward - without_progress) / PROGRESS_SCALE).round() as i64
            }
        };
        let explained = without_progress + PROGRESS_SCALE * terms.progress as f64;
        ((explained - reward).abs() <= TOLERANCE).then_some(terms)
    });
    match (explanations.next(), explanations.count()) {
        (Some(terms), 0) => Ok(terms),
        (Some(_), others) => Err(RewardMismatch::Ambiguous {
            reward,
            explanations: others + 1,
        }),
        (None, _) => Err(RewardMismatch::Unexplained {
            reward,
            previous,
            after,
            terminated,
        }),
    }
}

/// Every combination the rules allow: a stopped clock means no move, so no first visit, and the
/// staircase ends the episode.
fn candidates(terminated: bool) -> Vec<RewardTerms> {
    let terms = |inner, first_visit| RewardTerms {
        inner,
        progress: 0,
        first_visit,
        won: inner == InnerReward::Staircase,
    };
    let mut all = vec![
        terms(InnerReward::Nothing, false),
        terms(InnerReward::Nothing, true),
        terms(InnerReward::ClockStopped, false),
    ];
    if terminated {
        all.push(terms(InnerReward::Staircase, false));
        all.push(terms(InnerReward::Staircase, true));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(col: usize, distance: Option<u32>) -> Standing {
        Standing {
            agent: Some(Cell { row: 0, col }),
            distance,
        }
    }

    #[test]
    fn distance_hidden_at_the_start_never_counts() {
        let mut shaper = RewardShaper::new(&at(0, None));
        let step = shaper.step(&at(1, Some(3)), 0.0, false);
        assert_eq!((step.progress, step.first_visit), (0, true));
        let step = shaper.step(&at(2, Some(2)), 0.0, false);
        assert_eq!(step.progress, 0);
        assert_eq!(shaper.previous_distance(), None);
    }

    #[test]
    fn distance_hidden_in_between_counts_from_the_last_known() {
        let mut shaper = RewardShaper::new(&at(0, Some(5)));
        assert_eq!(shaper.step(&at(1, None), 0.0, false).progress, 0);
        assert_eq!(shaper.previous_distance(), Some(5));
        assert_eq!(shaper.step(&at(2, Some(3)), 0.0, false).progress, 2);
    }

    #[test]
    fn only_a_terminated_positive_step_wins() {
        let mut shaper = RewardShaper::new(&at(0, Some(1)));
        let blank = Standing {
            agent: None,
            distance: None,
        };
        assert!(!shaper.clone().step(&blank, 1.0, false).won);
        assert!(!shaper.clone().step(&blank, 0.0, true).won);
        let step = shaper.step(&blank, 1.0, true);
        assert!(step.won && (step.total - 20.99).abs() < 1e-12);
    }

    #[test]
    fn explanation_inverts_the_shaping() {
        for before in [None, Some(4)] {
            for after in [None, Some(2), Some(4), Some(7)] {
                for (inner, col) in [(0.0, 0), (0.0, 1), (-0.01, 0)] {
                    let mut shaper = RewardShaper::new(&at(0, before));
                    let step = shaper.step(&at(col, after), inner, false);
                    let known = after.map_or(DistanceAfter::Hidden, DistanceAfter::Known);
                    let terms = explain_reward(before, known, step.total, false).unwrap();
                    assert_eq!(terms.inner.value(), inner);
                    assert_eq!(terms.progress, step.progress);
                    assert_eq!(terms.first_visit, step.first_visit);
                }
            }
        }
    }

    #[test]
    fn impossible_rewards_are_refused() {
        let known = DistanceAfter::Known(3);
        assert!(explain_reward(Some(4), known, 0.5, false).is_err());
        assert!(explain_reward(Some(4), known, 20.99, false).is_err());
        assert!(explain_reward(None, known, 0.49, false).is_err());
        assert!(explain_reward(Some(4), known, f64::NAN, false).is_err());
        let ambiguous = explain_reward(Some(50), DistanceAfter::NotRecorded, 20.99, true);
        assert!(matches!(
            ambiguous,
            Err(RewardMismatch::Ambiguous {
                explanations: 2,
                ..
            })
        ));
    }
}
