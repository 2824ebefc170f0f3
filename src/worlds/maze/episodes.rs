//! Planners at work in mazes: many models, many episodes, all that are still under way planning at once.

use super::{Action, Atlas, MazeEnvironment, MazeError, Position};
use crate::orbit::PythonRandom;
use crate::samplers::tabular::{
    Call, CallDraws, Chosen, DrawSource, Session, TableWorlds, TabularPlanner, TabularSettings,
};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

/// Calls of one submission on the CPU device where episodes are independent: enough to fill a vector of
/// work, few enough for the cache.
const CPU_ROWS: usize = 16;
/// Episodes that one thread of the CPU device takes at a time.
const CPU_EPISODES: usize = 64;
/// Calls of one submission on a GPU, and actions of all their candidates.
const GPU_ROWS: usize = 1024;
const GPU_ACTIONS: usize = 1 << 24;
/// Episodes and steps of an episode at most.
const MOST: usize = 1 << 24;

/// Which model plans, and with which random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Model of the atlas.
    pub model: usize,
    /// Seed.
    pub seed: u64,
    /// Stream of counters under that seed; sequential streams have none.
    pub stream: u32,
}

/// How episodes are run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpisodeSettings {
    /// Episodes of each lane.
    pub episodes: usize,
    /// Moves of an episode at most.
    pub horizon: usize,
    /// Planner.
    pub planner: TabularSettings,
    /// Random numbers: one sequential stream for all episodes of a lane, or counters, by which every
    /// episode stands alone.
    pub draws: DrawSource,
    /// Planning calls that are kept of each lane, the first ones.
    pub kept_calls: usize,
}

impl EpisodeSettings {
    /// The published study: 20 episodes of at most 50 moves.
    pub fn published() -> Self {
        Self {
            episodes: 20,
            horizon: 50,
            planner: TabularSettings::published(),
            draws: DrawSource::Python,
            kept_calls: 0,
        }
    }

    /// Checks that episodes can be run so.
    ///
    /// # Errors
    /// [`MazeError`] naming the first setting that is out of range.
    pub fn check(&self) -> Result<(), MazeError> {
        for (what, found) in [
            ("episodes", self.episodes),
            ("episode horizon", self.horizon),
        ] {
            if !(1..=MOST).contains(&found) {
                return Err(MazeError::setting(what, format!("1 to {MOST}"), found));
            }
        }
        Ok(self.planner.check(self.draws)?)
    }
}

/// What came of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Episode {
    /// Whether the goal was reached.
    pub success: bool,
    /// Moves.
    pub steps: u32,
    /// Planning calls.
    pub plans: u32,
}

/// A planning call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanCall {
    /// Where it was made.
    pub at: Position,
    /// Moves that were left.
    pub remaining: usize,
    /// The plan, which is carried out without looking.
    pub plan: Vec<Action>,
}

/// Episodes of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Episodes {
    /// In order.
    pub episodes: Vec<Episode>,
    /// The first planning calls, if any were to be kept.
    pub calls: Vec<PlanCall>,
}

impl Episodes {
    /// Runs the episodes of every lane. An episode: from the start, while moves are left and the goal is
    /// not reached, plan, and carry out the whole plan as far as the goal or the last move.
    ///
    /// # Errors
    /// [`MazeError`] for settings out of range, from the device, and for a model that runs off: the atlas
    /// is enlarged, and everything run again, as long as it can be.
    pub fn run(
        atlas: &mut Atlas<'_>,
        lanes: &[Lane],
        settings: EpisodeSettings,
    ) -> Result<Vec<Self>, MazeError> {
        settings.check()?;
        if let Some(lane) = lanes.iter().find(|lane| lane.model >= atlas.tables().len()) {
            let expected = format!("below {}", atlas.tables().len());
            return Err(MazeError::setting("model", expected, lane.model));
        }
        loop {
            match attempt(atlas, lanes, settings)? {
                Attempt::Done(results) => return Ok(results),
                Attempt::Left(model) => atlas.enlarge(model)?,
            }
        }
    }

    /// Part of the episodes that succeeded.
    pub fn success_rate(&self) -> f64 {
        self.successes() as f64 / self.episodes.len().max(1) as f64
    }

    /// Episodes that succeeded.
    pub fn successes(&self) -> usize {
        self.episodes.iter().filter(|e| e.success).count()
    }
}

enum Attempt {
    Done(Vec<Episodes>),
    /// A model left the window.
    Left(usize),
}

/// Episodes that follow each other.
struct Track {
    lane: usize,
    first: usize,
    count: usize,
}

/// What a worker has done.
#[derive(Default)]
struct Finished {
    /// Lane, number of the episode, and what came of it.
    episodes: Vec<(usize, usize, Episode)>,
    /// Lane, number of the episode, and a call.
    calls: Vec<(usize, usize, PlanCall)>,
    left: Option<usize>,
}

fn attempt(
    atlas: &Atlas<'_>,
    lanes: &[Lane],
    settings: EpisodeSettings,
) -> Result<Attempt, MazeError> {
    let layout = atlas.layout();
    let scores = atlas.window();
    let worlds = TableWorlds {
        next: atlas
            .tables()
            .iter()
            .flat_map(|table| table.next_places())
            .collect(),
        score: scores
            .positions()
            .map(|at| at.manhattan(layout.goal()))
            .collect(),
        actions: Action::COUNT,
    };
    let tracks = tracks(lanes.len(), settings);
    let on_gpu = atlas.device().gpu().is_some();
    let of_call = settings
        .planner
        .method
        .candidates()
        .saturating_mul(settings.planner.horizon);
    let rows = match (on_gpu, settings.draws) {
        (true, _) => tracks
            .len()
            .min(GPU_ROWS)
            .min(GPU_ACTIONS / of_call.max(1))
            .max(1),
        (false, DrawSource::Python) => 1,
        (false, DrawSource::Philox) => CPU_ROWS,
    };
    let planner = TabularPlanner::new(
        atlas.device(),
        &worlds,
        settings.planner,
        settings.draws,
        rows,
    )?;
    let stop = AtomicBool::new(false);
    let work = Work {
        atlas,
        lanes,
        settings,
        stop: &stop,
    };
    let finished: Result<Vec<Finished>, MazeError> = if on_gpu {
        work.run(&mut planner.session(true)?, tracks)
            .map(|all| vec![all])
    } else {
        let part = match settings.draws {
            DrawSource::Python => 1,
            DrawSource::Philox => CPU_EPISODES,
        };
        let parts = split(tracks, part);
        let run = |tracks| work.run(&mut planner.session(false)?, tracks);
        parts.into_par_iter().map(run).collect()
    };
    Ok(gather(finished?, lanes.len(), settings))
}

fn tracks(lanes: usize, settings: EpisodeSettings) -> Vec<Track> {
    let (count, per_lane) = match settings.draws {
        DrawSource::Python => (settings.episodes, 1),
        DrawSource::Philox => (1, settings.episodes),
    };
    let of_lane = |lane| (0..per_lane).map(move |first| Track { lane, first, count });
    (0..lanes).flat_map(of_lane).collect()
}

fn split(tracks: Vec<Track>, part: usize) -> Vec<Vec<Track>> {
    let mut parts = Vec::new();
    for track in tracks {
        match parts.last_mut() {
            Some(last) if Vec::len(last) < part => last.push(track),
            _ => parts.push(vec![track]),
        }
    }
    parts
}

fn gather(finished: Vec<Finished>, lanes: usize, settings: EpisodeSettings) -> Attempt {
    let mut results = vec![Episodes::default(); lanes];
    for result in &mut results {
        result.episodes = vec![Episode::default(); settings.episodes];
    }
    let mut calls = Vec::new();
    for worker in finished {
        if let Some(model) = worker.left {
            return Attempt::Left(model);
        }
        for (lane, number, episode) in worker.episodes {
            let place = results
                .get_mut(lane)
                .and_then(|r| r.episodes.get_mut(number));
            if let Some(place) = place {
                *place = episode;
            }
        }
        calls.extend(worker.calls);
    }
    // Workers end in any order; calls of one episode are in order already.
    calls.sort_by_key(|(lane, number, _)| (*lane, *number));
    for (lane, _, call) in calls {
        let result = results.get_mut(lane);
        if let Some(result) = result.filter(|r| r.calls.len() < settings.kept_calls) {
            result.calls.push(call);
        }
    }
    Attempt::Done(results)
}

/// What all workers share.
struct Work<'a> {
    atlas: &'a Atlas<'a>,
    lanes: &'a [Lane],
    settings: EpisodeSettings,
    stop: &'a AtomicBool,
}

/// A track under way.
struct Active<'a> {
    track: Track,
    lane: Lane,
    environment: MazeEnvironment<'a>,
    random: PythonRandom,
    episode: Episode,
    kept: usize,
}

impl<'a> Work<'a> {
    fn start(&self, track: Track) -> Option<Active<'a>> {
        let lane = *self.lanes.get(track.lane)?;
        Some(Active {
            track,
            lane,
            environment: MazeEnvironment::new(self.atlas.layout()),
            random: PythonRandom::new(lane.seed),
            episode: Episode::default(),
            kept: 0,
        })
    }

    /// Carries out tracks, as many at a time as the session has rows.
    fn run(&self, session: &mut Session<'_>, tracks: Vec<Track>) -> Result<Finished, MazeError> {
        let mut waiting = VecDeque::from(tracks);
        let mut active: Vec<Active<'a>> = Vec::new();
        let mut finished = Finished::default();
        loop {
            while active.len() < session.rows() {
                let Some(next) = waiting.pop_front() else {
                    break;
                };
                active.extend(self.start(next));
            }
            if active.is_empty() || self.stop.load(Ordering::Relaxed) {
                return Ok(finished);
            }
            let window = self.atlas.window();
            let mut calls: Vec<Call<'_>> = active
                .iter_mut()
                .map(|one| one.call(window.index(one.environment.position()), &self.settings))
                .collect();
            let chosen = session.plan(&mut calls)?;
            drop(calls);
            for (one, chosen) in active.iter_mut().zip(chosen) {
                if chosen.left > 0 {
                    self.stop.store(true, Ordering::Relaxed);
                    finished.left = Some(one.lane.model);
                    return Ok(finished);
                }
                one.carry_out(&chosen, &self.settings, &mut finished)?;
            }
            active.retain(|one| one.track.count > 0);
        }
    }
}

impl Active<'_> {
    fn remaining(&self, settings: &EpisodeSettings) -> usize {
        settings.horizon.saturating_sub(self.episode.steps as usize)
    }

    fn call(&mut self, place: Option<usize>, settings: &EpisodeSettings) -> Call<'_> {
        Call {
            table: self.lane.model,
            // The agent is on the grid, which every window holds.
            start: place.unwrap_or(usize::MAX),
            remaining: self.remaining(settings),
            draws: match settings.draws {
                DrawSource::Python => CallDraws::Python(&mut self.random),
                DrawSource::Philox => CallDraws::Philox {
                    seed: self.lane.seed,
                    stream: self.lane.stream,
                    episode: self.track.first as u32,
                    call: self.episode.plans,
                },
            },
        }
    }

    fn carry_out(
        &mut self,
        chosen: &Chosen,
        settings: &EpisodeSettings,
        finished: &mut Finished,
    ) -> Result<(), MazeError> {
        let plan: Result<Vec<Action>, MazeError> = chosen
            .actions
            .iter()
            .map(|action| Action::of_index(*action as usize))
            .collect();
        let plan = plan?;
        let (at, remaining) = (self.environment.position(), self.remaining(settings));
        self.episode.plans += 1;
        for action in plan.iter().take(remaining) {
            self.environment.step(*action);
            self.episode.steps += 1;
            if self.environment.succeeded() {
                break;
            }
        }
        let empty = plan.is_empty();
        if self.kept < settings.kept_calls {
            self.kept += 1;
            finished.calls.push((
                self.track.lane,
                self.track.first,
                PlanCall {
                    at,
                    remaining,
                    plan,
                },
            ));
        }
        if empty || self.environment.succeeded() || self.remaining(settings) == 0 {
            self.episode.success = self.environment.succeeded();
            let number = self.track.first;
            finished
                .episodes
                .push((self.track.lane, number, self.episode));
            self.episode = Episode::default();
            self.environment.reset();
            self.track.first += 1;
            self.track.count -= 1;
        }
        Ok(())
    }
}
