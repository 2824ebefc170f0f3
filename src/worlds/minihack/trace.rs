//! Recorded episodes of actions, rewards and distances, without maps, checked against the rules.

use std::collections::HashSet;

use super::{
    COMPASS, Cell, DistanceAfter, Grid, InnerReward, MAP_COLS, MAP_ROWS, RewardMismatch,
    RewardShaper, RewardTerms, Standing, WorldError, explain_reward, resolve_action,
};

const TOLERANCE: f64 = 1e-6;

/// A recorded episode; all slices have one entry a step.
#[derive(Debug, Clone, Copy)]
pub struct RewardTrace<'a> {
    /// Action ids as the planner gave them, before wrapping.
    pub actions: &'a [i32],
    /// Shaped rewards.
    pub rewards: &'a [f64],
    /// `[terminated, truncated, won]`.
    pub done: &'a [[bool; 3]],
    /// Breadth-first distance before each step, `None` where unknown.
    pub distances: &'a [Option<u32>],
    /// Number of actions of the environment.
    pub action_count: usize,
}

/// What a replay established.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceReport {
    /// Cells by dead reckoning, relative to an arbitrary origin: before the first step and after each.
    pub cells: Vec<Cell>,
    /// The environment's own reward of each step.
    pub inner: Vec<InnerReward>,
    /// Steps that did not advance the game clock.
    pub bumps: usize,
    /// Steps that advanced the clock without a move: searching, kicking, opening a door.
    pub waits: usize,
    /// Steps into a new cell.
    pub first_visits: usize,
    /// Largest difference between a recorded reward and the shaper's.
    pub largest_error: f64,
    /// Whether the episode ended on the staircase.
    pub won: bool,
}

/// Why a recorded episode contradicts the rules.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TraceError {
    /// The slices differ in length, or an action cannot be resolved.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A reward is no sum of shaping terms.
    #[error("step {step}: {source}")]
    Reward {
        /// Step index.
        step: usize,
        /// What is wrong with the number.
        source: RewardMismatch,
    },
    /// The terms are possible but contradict the moves so far.
    #[error("step {step}: {what}")]
    Moves {
        /// Step index.
        step: usize,
        /// The contradiction.
        what: &'static str,
    },
    /// The shaper, fed with the reconstructed step, gives another number.
    #[error("step {step}: expected reward {expected}, found {found}")]
    Total {
        /// Step index.
        step: usize,
        /// The recorded reward.
        expected: f64,
        /// The shaper's.
        found: f64,
    },
}

/// Replays a recorded episode without its map.
///
/// Each reward is taken apart with [`explain_reward`], the agent is moved by dead reckoning (a first
/// visit moves to the action's target, a stopped clock leaves it, a plain step moves it if the target
/// is known ground), and a [`RewardShaper`] fed with the result must give every reward again.
///
/// Proven: the constants; the rule that progress counts from the last known distance; that first
/// visits are exactly the steps onto cells not stood on before, the start included; compass
/// directions and wrapping of action ids; the winning bonus. Not proven: that the distances follow
/// from a map (see [`replay_on_open_floor`]), and that steps the environment calls free of time
/// really were walls, since the environment's own reward is inferred.
///
/// # Errors
/// [`TraceError`] naming the first step that contradicts the rules.
pub fn replay_reward_trace(trace: &RewardTrace<'_>) -> Result<TraceReport, TraceError> {
    check_lengths(trace)?;
    let mut replay = Replay::new(trace);
    let steps = trace.actions.iter().zip(trace.rewards).zip(trace.done);
    for (step, ((&action, &reward), &[terminated, _, won])) in steps.enumerate() {
        let recorded = RecordedStep {
            action: resolve_action(action, trace.action_count)?,
            reward,
            terminated,
            won,
            after: distance_after(trace, step, terminated),
        };
        replay.step(step, &recorded)?;
    }
    Ok(replay.report)
}

/// One step of a recording.
struct RecordedStep {
    action: usize,
    reward: f64,
    terminated: bool,
    won: bool,
    after: DistanceAfter,
}

struct Replay {
    cell: Cell,
    visited: HashSet<Cell>,
    shaper: RewardShaper,
    report: TraceReport,
}

impl Replay {
    fn new(trace: &RewardTrace<'_>) -> Self {
        // Far enough from the origin that dead reckoning cannot leave the quadrant.
        let margin = trace.actions.len() + 1;
        let cell = Cell {
            row: margin,
            col: margin,
        };
        let start = Standing {
            agent: Some(cell),
            distance: trace.distances.first().copied().flatten(),
        };
        Self {
            cell,
            visited: HashSet::from([cell]),
            shaper: RewardShaper::new(&start),
            report: TraceReport {
                cells: vec![cell],
                inner: Vec::new(),
                bumps: 0,
                waits: 0,
                first_visits: 0,
                largest_error: 0.0,
                won: false,
            },
        }
    }

    fn step(&mut self, step: usize, recorded: &RecordedStep) -> Result<(), TraceError> {
        let previous = self.shaper.previous_distance();
        let RecordedStep {
            reward, terminated, ..
        } = *recorded;
        let terms = explain_reward(previous, recorded.after, reward, terminated)
            .map_err(|source| TraceError::Reward { step, source })?;
        self.advance(&terms, recorded)
            .map_err(|what| TraceError::Moves { step, what })?;
        let standing = Standing {
            // The observation after the end of an episode is blank.
            agent: (!terminated).then_some(self.cell),
            distance: match recorded.after {
                DistanceAfter::Known(distance) => Some(distance),
                DistanceAfter::Hidden => None,
                DistanceAfter::NotRecorded => solve_distance(previous, terms.progress),
            },
        };
        let inner = terms.inner;
        let shaped = self.shaper.step(&standing, inner.value(), terminated);
        let error = (shaped.total - reward).abs();
        if error > TOLERANCE {
            return Err(TraceError::Total {
                step,
                expected: reward,
                found: shaped.total,
            });
        }
        self.report.largest_error = self.report.largest_error.max(error);
        self.report.cells.push(self.cell);
        self.report.inner.push(inner);
        self.report.won |= recorded.won;
        Ok(())
    }

    /// Moves the agent as the terms of a reward say, or names what they contradict.
    fn advance(
        &mut self,
        terms: &RewardTerms,
        recorded: &RecordedStep,
    ) -> Result<(), &'static str> {
        if terms.won != recorded.won {
            return Err("the reward and the record disagree on winning");
        }
        let offset = COMPASS.get(recorded.action);
        let target = offset.and_then(|&offset| self.cell.offset(offset));
        match (terms.inner, terms.first_visit, target) {
            (InnerReward::ClockStopped, ..) => self.report.bumps += 1,
            (InnerReward::Staircase, _, Some(target)) => self.cell = target,
            (InnerReward::Nothing, true, Some(target)) if self.visited.insert(target) => {
                self.report.first_visits += 1;
                self.cell = target;
            }
            (InnerReward::Nothing, true, Some(_)) => {
                return Err("first-visit bonus on a cell stood on before");
            }
            (InnerReward::Nothing, false, Some(target)) if self.visited.contains(&target) => {
                self.cell = target;
            }
            (InnerReward::Nothing, false, _) => self.report.waits += 1,
            (_, _, None) => return Err("an action that is not a move changed the cell"),
        }
        Ok(())
    }
}

fn check_lengths(trace: &RewardTrace<'_>) -> Result<(), WorldError> {
    let expected = trace.actions.len();
    let given = [
        ("rewards", trace.rewards.len()),
        ("done", trace.done.len()),
        ("distances", trace.distances.len()),
    ];
    match given.into_iter().find(|&(_, found)| found != expected) {
        Some((what, found)) => Err(WorldError::Length {
            what,
            expected,
            found,
        }),
        None => Ok(()),
    }
}

fn distance_after(trace: &RewardTrace<'_>, step: usize, terminated: bool) -> DistanceAfter {
    match trace.distances.get(step + 1) {
        _ if terminated => DistanceAfter::Hidden,
        Some(Some(distance)) => DistanceAfter::Known(*distance),
        Some(None) => DistanceAfter::Hidden,
        None => DistanceAfter::NotRecorded,
    }
}

fn solve_distance(previous: Option<u32>, progress: i64) -> Option<u32> {
    u32::try_from(i64::from(previous?) - progress).ok()
}

/// A replay of an episode on a floor without obstacles.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenFloorReplay {
    /// Places of the staircase (in the report's coordinates) for which every recorded distance and
    /// reward follows from the drawn characters.
    pub staircases: Vec<Cell>,
    /// Places tried: those at the first recorded distance from the start.
    pub tried: usize,
}

/// Looks for a staircase that explains an episode of an open room from characters alone.
///
/// For every cell at the first recorded distance from the start, the smallest rectangle of floor
/// that holds the path and it is drawn with `@` and `>` for each step of the report,
/// [`Standing::observe`] reads it back, and a [`RewardShaper`] runs on what it reads. A place counts
/// when all distances and rewards agree and, in a won episode, the agent ends on it. At least one
/// such place proves distance and shaping together; none proves nothing, since the recorded floor
/// may have had walls. `None` when the staircase was hidden at the start.
pub fn replay_on_open_floor(
    trace: &RewardTrace<'_>,
    report: &TraceReport,
) -> Option<OpenFloorReplay> {
    let start = *report.cells.first()?;
    let first = trace.distances.first().copied().flatten()? as isize;
    let mut replay = OpenFloorReplay {
        staircases: Vec::new(),
        tried: 0,
    };
    // No open rectangle of a NetHack map has a longer way in it.
    if first >= (MAP_ROWS + MAP_COLS) as isize {
        return Some(replay);
    }
    for down in -first..=first {
        let aside = first - down.abs();
        let mirrored = [aside, -aside];
        for &right in mirrored.iter().take(if aside == 0 { 1 } else { 2 }) {
            let Some(stairs) = start.offset((down, right)) else {
                continue;
            };
            replay.tried += 1;
            let floor = OpenFloor::around(&report.cells, stairs);
            if floor.is_some_and(|mut floor| floor.explains(trace, report)) {
                replay.staircases.push(stairs);
            }
        }
    }
    Some(replay)
}

/// The rectangle that holds a path and a staircase.
struct OpenFloor {
    top: usize,
    left: usize,
    rows: usize,
    cols: usize,
    stairs: Cell,
    chars: Vec<u8>,
}

impl OpenFloor {
    /// `None` when the rectangle does not fit a map.
    fn around(path: &[Cell], stairs: Cell) -> Option<Self> {
        let cells = || path.iter().copied().chain([stairs]);
        let top = cells().map(|cell| cell.row).min()?;
        let left = cells().map(|cell| cell.col).min()?;
        let rows = cells().map(|cell| cell.row).max()? - top + 1;
        let cols = cells().map(|cell| cell.col).max()? - left + 1;
        (rows <= MAP_ROWS && cols <= MAP_COLS).then(|| Self {
            top,
            left,
            rows,
            cols,
            stairs,
            chars: vec![b'.'; rows * cols],
        })
    }

    fn look(&mut self, agent: Option<Cell>) -> Standing {
        self.chars.fill(b'.');
        for (cell, character) in [(Some(self.stairs), b'>'), (agent, b'@')] {
            let index = cell.map(|at| (at.row - self.top) * self.cols + at.col - self.left);
            if let Some(drawn) = index.and_then(|index| self.chars.get_mut(index)) {
                *drawn = character;
            }
        }
        Standing::observe(&Grid::trusted(&self.chars, self.rows, self.cols))
    }

    fn explains(&mut self, trace: &RewardTrace<'_>, report: &TraceReport) -> bool {
        if report.won && report.cells.last() != Some(&self.stairs) {
            return false;
        }
        let mut standing = self.look(report.cells.first().copied());
        let mut shaper = RewardShaper::new(&standing);
        let after = report.cells.iter().skip(1).zip(&report.inner);
        let recorded = trace.rewards.iter().zip(trace.distances).zip(trace.done);
        for ((&cell, inner), ((reward, distance), &[terminated, ..])) in after.zip(recorded) {
            if standing.distance != *distance {
                return false;
            }
            standing = self.look((!terminated).then_some(cell));
            let shaped = shaper.step(&standing, inner.value(), terminated);
            if (shaped.total - reward).abs() > TOLERANCE {
                return false;
            }
        }
        true
    }
}
