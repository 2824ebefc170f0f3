//! `env`: oracle, distance, crop and staircase on recorded maps; reward traces; evaluation seeds.

use super::checks::{CaseError, Cases, Checks};
use super::folder::{Folder, Node, integers, numbers};
use super::imitation;
use crate::formats::ArrayMap;
use crate::worlds::minihack::{
    CROP_PAD, Grid, OracleMove, RewardTrace, StaircaseGlyphs, agent_cell, bfs_distance,
    environment, evaluation_seed, local_crop, oracle_move, replay_on_open_floor,
    replay_reward_trace, staircase_target,
};

pub(super) fn run(folder: &Folder, env: &Node<'_>, cases: &mut Cases) {
    for (key, entry) in env.entries() {
        let title = format!("env.{key}");
        match key {
            "oracle" => maps(folder, &entry, cases),
            "reward_traces" => {
                for (name, trace) in entry.entries() {
                    let title = format!("{title}.{name}");
                    let body = |checks: &mut Checks| reward_trace(name, &trace, checks);
                    cases.run(&title, "reward-trace", body);
                }
            }
            "buffer" => imitation::buffer(&entry, cases),
            "curriculum" => {
                let body = |checks: &mut Checks| imitation::curriculum(&entry, checks);
                cases.run(&title, "curriculum", body);
            }
            "efficiency_filter" => {
                let body = |checks: &mut Checks| imitation::efficiency_filter(&entry, checks);
                cases.run(&title, "efficiency", body);
            }
            "eval_seeds_R2" => {
                cases.run(&title, "seeds", |checks| seeds(env, &entry, checks));
            }
            // Belongs to the seeds.
            "eval_seed_episodes" => {}
            _ => cases.unsupported(&title, "env", "unknown kind of case"),
        }
    }
}

fn seeds(env: &Node<'_>, seeds: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let episodes = env.get("eval_seed_episodes")?;
    let numbers: Vec<u32> = (episodes.integers()?.into_iter())
        .map(|episode| u32::try_from(episode).map_err(|_| episodes.wrong("episode numbers")))
        .collect::<Result<_, _>>()?;
    for (name, expected) in seeds.entries() {
        let found: Vec<i64> = (numbers.iter())
            .map(|&episode| i64::from(evaluation_seed(name, episode)))
            .collect();
        checks.equal(name, &found, &expected.integers()?);
    }
    Ok(())
}

/// The sets of maps in the oracle's file, told by the names of their characters.
fn maps(folder: &Folder, entry: &Node<'_>, cases: &mut Cases) {
    let arrays = match entry.text("file").and_then(|file| folder.arrays(file)) {
        Ok(arrays) => arrays,
        Err(error) => return cases.run("env.oracle", "oracle", |_| Err(error)),
    };
    let sets: Vec<String> = arrays
        .names()
        .filter_map(|name| name.strip_suffix(".chars").map(str::to_owned))
        .collect();
    if sets.is_empty() {
        cases.run("env.oracle", "oracle", |_| Ok(()));
    }
    for set in sets {
        let read = Maps::read(&arrays, &set);
        let maps = match read {
            Ok(maps) => maps,
            Err(error) => {
                cases.run(&format!("env.oracle.{set}"), "oracle", |_| Err(error));
                continue;
            }
        };
        let title = |what: &str| format!("env.oracle.{set}.{what}");
        cases.run(&title("oracle"), "oracle", |checks| {
            maps.oracle(entry, checks)
        });
        cases.run(&title("bfs_dist"), "bfs", |checks| maps.distance(checks));
        let start = format!("{set}.");
        let others: Vec<&str> = arrays
            .names()
            .filter_map(|name| name.strip_prefix(&start))
            .collect();
        for name in others {
            match name {
                "chars" | "glyphs" | "oracle" | "bfs_dist" | "env" => {}
                "local" => cases.run(&title(name), "crop", |checks| maps.crop(name, None, checks)),
                "stair" => cases.run(&title(name), "staircase", |checks| maps.stairs(checks)),
                _ => cases.run(&title(name), "crop", |checks| {
                    let offset = name.strip_prefix("crop_of_chars_plus_");
                    let offset = offset.and_then(|offset| offset.parse::<i32>().ok());
                    let unknown = || CaseError::Unsupported(format!("unknown tensor {set}.{name}"));
                    maps.crop(name, Some(offset.ok_or_else(unknown)?), checks)
                }),
            }
        }
    }
}

struct Maps<'a> {
    arrays: &'a ArrayMap,
    set: &'a str,
    rows: usize,
    cols: usize,
    chars: Vec<u8>,
}

impl<'a> Maps<'a> {
    fn read(arrays: &'a ArrayMap, set: &'a str) -> Result<Self, CaseError> {
        let name = format!("{set}.chars");
        let (shape, values) = integers(arrays, &name)?;
        let [_, rows, cols] = shape[..] else {
            return Err(CaseError::Engine(format!(
                "{name}: expected [N, rows, columns], found {shape:?}"
            )));
        };
        let chars: Result<Vec<u8>, _> = values.into_iter().map(u8::try_from).collect();
        let chars = chars.map_err(|_| CaseError::Engine(format!("{name}: expected bytes")))?;
        if rows == 0 || cols == 0 || chars.is_empty() {
            return Err(CaseError::Engine(format!(
                "{name}: expected maps, found none"
            )));
        }
        Ok(Self {
            arrays,
            set,
            rows,
            cols,
            chars,
        })
    }

    fn cells(&self) -> usize {
        self.rows * self.cols
    }

    fn each<T>(
        &self,
        mut f: impl FnMut(&Grid<'_, u8>) -> Result<T, CaseError>,
    ) -> Result<Vec<T>, CaseError> {
        let maps = self.chars.chunks(self.cells());
        maps.map(|chars| f(&Grid::new(chars, self.rows, self.cols)?))
            .collect()
    }

    fn integers(&self, name: &str) -> Result<(Vec<usize>, Vec<i32>), CaseError> {
        Ok(integers(self.arrays, &format!("{}.{name}", self.set))?)
    }

    fn oracle(&self, entry: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
        let found = self.each(|chars| {
            Ok(match oracle_move(chars) {
                OracleMove::Action(action) => i32::from(action),
                OracleMove::RandomCardinal => -1,
            })
        })?;
        checks.equal("oracle", &found, &self.integers("oracle")?.1);
        let counts = entry.find(&format!("counts_{}", self.set));
        for (action, count) in counts.iter().flat_map(Node::entries) {
            let moves = found.iter().filter(|found| found.to_string() == action);
            let what = format!("number of moves {action}");
            checks.equal(&what, &[moves.count()], &[count.as_size()?]);
        }
        Ok(())
    }

    fn distance(&self, checks: &mut Checks) -> Result<(), CaseError> {
        let known = |moves: u32| i32::try_from(moves).unwrap_or(i32::MAX);
        let found = self.each(|chars| Ok(bfs_distance(chars).map_or(-1, known)))?;
        checks.equal("bfs_dist", &found, &self.integers("bfs_dist")?.1);
        Ok(())
    }

    /// The crop of the glyphs, or of the characters plus an offset.
    fn crop(&self, name: &str, offset: Option<i32>, checks: &mut Checks) -> Result<(), CaseError> {
        let (shape, expected) = self.integers(name)?;
        let [_, size, width] = shape[..] else {
            return Err(CaseError::Engine(format!(
                "{name}: expected [N, size, size], found {shape:?}"
            )));
        };
        checks.equal("size of the crop", &[width], &[size]);
        let glyphs = match offset {
            Some(offset) => self.chars.iter().map(|&c| i32::from(c) + offset).collect(),
            None => self.integers("glyphs")?.1,
        };
        checks.equal("number of glyphs", &[glyphs.len()], &[self.chars.len()]);
        let mut maps = glyphs.chunks(self.cells());
        let crops = self.each(|chars| {
            let glyphs = Grid::new(maps.next().unwrap_or_default(), self.rows, self.cols)?;
            let pad = i32::from(CROP_PAD);
            Ok(local_crop(&glyphs, agent_cell(chars), size, pad))
        })?;
        checks.equal(name, &crops.concat(), &expected);
        Ok(())
    }

    fn stairs(&self, checks: &mut Checks) -> Result<(), CaseError> {
        let (_, expected) = numbers(self.arrays, &format!("{}.stair", self.set))?;
        let glyphs = self.integers("glyphs")?.1;
        let mut found = Vec::new();
        for glyphs in glyphs.chunks(self.cells()) {
            let map = Grid::new(glyphs, self.rows, self.cols)?;
            let target = staircase_target(&map, StaircaseGlyphs::Original);
            found.extend(target.unwrap_or([-1.0; 2]).map(f64::from));
        }
        checks.close("stair", &found, &expected, 1e-6);
        Ok(())
    }
}

/// A recorded episode has no maps: every reward must follow from the shaping rules and the moves,
/// and, where a floor without walls explains them, the distances as well.
fn reward_trace(name: &str, trace: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let known = environment(name).ok_or_else(|| {
        CaseError::Unsupported(format!("the number of actions of {name} is not known"))
    })?;
    let list = trace.get("actions")?;
    let actions: Result<Vec<i32>, CaseError> = (list.integers()?.into_iter())
        .map(|action| i32::try_from(action).map_err(|_| list.wrong("action ids")))
        .collect();
    let rewards: Result<Vec<f64>, CaseError> = (trace.get("rewards")?.elements()?.iter())
        .map(Node::as_number)
        .collect();
    let done: Result<Vec<[bool; 3]>, CaseError> =
        (trace.get("done")?.elements()?.iter()).map(flags).collect();
    let distances: Vec<Option<u32>> = (trace.get("bfs_before")?.integers()?.into_iter())
        .map(|moves| u32::try_from(moves).ok())
        .collect();
    let (actions, rewards, done) = (actions?, rewards?, done?);
    let episode = RewardTrace {
        actions: &actions,
        rewards: &rewards,
        done: &done,
        distances: &distances,
        action_count: known.actions,
    };
    let report = replay_reward_trace(&episode).map_err(|e| CaseError::Engine(e.to_string()))?;
    checks.close("rewards", &[report.largest_error], &[0.0], 1e-6);
    checks.hold(report.cells.len() == actions.len() + 1, || {
        format!("{} steps gave {} cells", actions.len(), report.cells.len())
    });
    match replay_on_open_floor(&episode, &report) {
        Some(replay) if replay.staircases.is_empty() => {
            checks.remark("distances not checked: no floor without walls gives them".into());
        }
        Some(_) => {}
        None => checks.remark("distances not checked: no staircase in sight at the start".into()),
    }
    Ok(())
}

fn flags(step: &Node<'_>) -> Result<[bool; 3], CaseError> {
    let flags: Result<Vec<bool>, CaseError> = step.elements()?.iter().map(Node::as_bool).collect();
    <[bool; 3]>::try_from(flags?).map_err(|_| step.wrong("terminated, truncated and won"))
}
