//! What plans are worth: walked on the recorded map, beside random walks and the shortest path.

use super::episodes::{Episodes, Place};
use anyhow::Result;
use attractor::orbit::Stream;
use attractor::worlds::minihack::Walk;
use attractor_kernels::philox::philox4x32;
use rayon::prelude::*;
use serde::Serialize;

/// Random walks beside every plan.
pub const WALKS: u32 = 500;

/// One plan, walked.
#[derive(Debug)]
pub struct Walked {
    /// Episode planned for.
    pub episode: usize,
    /// The map.
    pub place: Place,
    /// What the plan does on it.
    pub walk: Walk,
    /// Random walks of the plan's length that reach the staircase, and their steps.
    pub random: Tally,
}

impl Walked {
    /// Moves of a shortest path to the staircase.
    pub fn shortest(&self) -> Option<usize> {
        self.place.shortest.as_ref().map(|path| path.len() - 1)
    }
}

/// Walks, those that reach the staircase, and the steps of those.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Walks.
    pub walks: usize,
    /// Those that end on the staircase.
    pub reached: usize,
    /// Steps of those in all.
    pub steps: usize,
}

impl Tally {
    fn add(&mut self, reached: bool, steps: usize) {
        self.walks += 1;
        if reached {
            self.reached += 1;
            self.steps += steps;
        }
    }

    fn join(self, other: Self) -> Self {
        Self {
            walks: self.walks + other.walks,
            reached: self.reached + other.reached,
            steps: self.steps + other.steps,
        }
    }

    /// Share that reaches the staircase, 0 of none.
    pub fn share(&self) -> f64 {
        self.reached as f64 / self.walks.max(1) as f64
    }

    /// Mean steps of those that do.
    pub fn mean_steps(&self) -> Option<f64> {
        (self.reached > 0).then(|| self.steps as f64 / self.reached as f64)
    }
}

/// Sums over the plans of one environment, or of all. Only plans count whose map shows the staircase.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Score {
    /// Environment.
    pub environment: String,
    /// Plans in all.
    pub plans: usize,
    /// Plans whose map shows the staircase.
    pub staircase_seen: usize,
    /// Of those, plans whose map shows a way to it.
    pub way_seen: usize,
    /// The plans.
    pub plan: Tally,
    /// Random walks of the same length from the same places.
    pub random: Tally,
    /// Moves of the shortest paths for the plans that reach the staircase, in all.
    pub shortest_of_reached: usize,
}

impl Score {
    fn named(environment: &str) -> Self {
        Self {
            environment: environment.into(),
            ..Self::default()
        }
    }

    fn add(&mut self, walked: &Walked) {
        self.plans += 1;
        if walked.place.stairs.is_none() {
            return;
        }
        self.staircase_seen += 1;
        self.way_seen += usize::from(walked.place.shortest.is_some());
        self.plan.add(walked.walk.reached, walked.walk.steps);
        self.random = self.random.join(walked.random);
        if walked.walk.reached {
            self.shortest_of_reached += walked.shortest().unwrap_or(0);
        }
    }

    /// Mean moves of the shortest paths for the plans that reach the staircase.
    pub fn mean_shortest(&self) -> Option<f64> {
        let reached = self.plan.reached;
        (reached > 0).then(|| self.shortest_of_reached as f64 / reached as f64)
    }
}

/// Walks every plan (`length` tokens each, for the episodes given) and as many random walks from the
/// same place. Episodes on whose map no agent is seen are left out.
pub fn walk_all(
    episodes: &Episodes,
    planned: &[usize],
    tokens: &[i32],
    length: usize,
    seed: u64,
) -> Result<Vec<Walked>> {
    let rows = planned
        .par_iter()
        .zip(tokens.par_chunks_exact(length.max(1)));
    let walked: Result<Vec<Option<Walked>>> = rows
        .enumerate()
        .map(|(number, (&episode, plan))| {
            let Some(place) = episodes.place(episode)? else {
                return Ok(None);
            };
            let actions = episodes
                .environments()
                .get(episodes.environment_of(episode))
                .map_or(8, |environment| environment.actions);
            let walk =
                place
                    .ground
                    .walk(place.start, place.stairs, plan.iter().copied(), actions)?;
            let random = random_walks(&place, length, seed, number as u32);
            Ok(Some(Walked {
                episode,
                place,
                walk,
                random,
            }))
        })
        .collect();
    Ok(walked?.into_iter().flatten().collect())
}

fn random_walks(place: &Place, length: usize, seed: u64, number: u32) -> Tally {
    let mut tally = Tally::default();
    if place.stairs.is_none() {
        return tally;
    }
    let key = [seed as u32, (seed >> 32) as u32];
    for walk in 0..WALKS {
        let mut words = (0_u32..)
            .flat_map(|block| philox4x32([block, walk, number, Stream::Walk.index()], key));
        let walked = place
            .ground
            .random_walk(place.start, place.stairs, length, || {
                words.next().unwrap_or_default()
            });
        tally.add(walked.reached, walked.steps);
    }
    tally
}

/// A score for every environment, and one for all.
pub fn scores(episodes: &Episodes, walked: &[Walked]) -> (Vec<Score>, Score) {
    let mut each: Vec<Score> = episodes
        .environments()
        .iter()
        .map(|environment| Score::named(environment.id))
        .collect();
    let mut all = Score::named("all");
    for one in walked {
        if let Some(score) = each.get_mut(episodes.environment_of(one.episode)) {
            score.add(one);
        }
        all.add(one);
    }
    (each, all)
}
