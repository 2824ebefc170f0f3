//! Rates of success from many episodes under a random stream of somebody else.

use super::cells::{Study, grid, trained};
use super::fisher::fisher;
use super::{all_known, engine};
use crate::analysis::correlation::round_to;
use crate::device::Device;
use crate::formats::ArrayMap;
use crate::samplers::tabular::DrawSource;
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node, numbers, read_index};
use crate::worlds::maze::{
    Action, Atlas, EpisodeSettings, Episodes, Lane, LearnedMaze, MazeModel, Position,
};
use std::collections::BTreeSet;

/// Chance at which a true rate may be told to differ, for each cell.
const LEVEL: f64 = 1e-6;
/// Episodes of our own, of each cell.
const EPISODES: usize = 2000;
const EPISODES_ON_SOFTWARE: usize = 500;

/// Episodes of a reference at most: the test has a table of so many factorials.
const MOST_EPISODES: usize = 10_000_000;

const ENTRIES: &[&str] = &[
    "episodes",
    "success_rate",
    "std_error",
    "golden_success_rate",
    "rounded_grid_matches_torch",
    "max_abs_imagined_coordinate",
];

/// The file beside this one that holds the cells: its name without ending.
fn cells_beside(folder: &Folder) -> Option<String> {
    let entries = std::fs::read_dir(folder.path()).ok()?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".json")?.to_string()))
        .collect();
    names.sort();
    names.into_iter().find(|stem| {
        let index = read_index(&folder.path().join(format!("{stem}.json")));
        let all = |index: serde_json::Value| {
            let keys = ["layout", "meta", "cells"];
            keys.iter().all(|key| index.get(key).is_some())
        };
        index.is_ok_and(all)
    })
}

/// One reference, its cell, and what planning came to.
struct Pair<'a> {
    name: &'a str,
    golden: Node<'a>,
    cell: Node<'a>,
    learned: LearnedMaze,
    many: Episodes,
    few: Episodes,
}

pub(in crate::verify::worldmodel) fn run(
    folder: &Folder,
    stem: &str,
    device: &Device,
    cases: &mut Cases,
) {
    if let Err(error) = compare_all(folder, stem, device, cases) {
        cases.run(stem, "maze", |_| Err(error));
    }
}

fn compare_all(
    folder: &Folder,
    stem: &str,
    device: &Device,
    cases: &mut Cases,
) -> Result<(), CaseError> {
    let beside = cells_beside(folder).ok_or_else(|| {
        engine("expected a file of the cells with these names beside this one, found none")
    })?;
    let file = folder.path().join(format!("{beside}.json"));
    let others = Folder::new(folder.path(), read_index(&file).map_err(engine)?);
    let arrays = others.arrays(&format!("{beside}.safetensors"))?;
    let index = folder.index();
    let study = Study::read(&others.index())?;
    let pairs = pairs(&index, &others, &arrays, &study, device)?;
    for pair in &pairs {
        cases.run(&format!("{stem}.{}", pair.name), "maze", |checks| {
            all_known(checks, &pair.golden, ENTRIES);
            rates(checks, pair)?;
            imagined(checks, pair, &study, device, &arrays)
        });
    }
    Ok(())
}

fn pairs<'a>(
    index: &Node<'a>,
    others: &'a Folder,
    arrays: &ArrayMap,
    study: &Study,
    device: &Device,
) -> Result<Vec<Pair<'a>>, CaseError> {
    let cells = others.index().get("cells")?.elements()?;
    let mut found = Vec::new();
    for (name, golden) in index.get("cells")?.entries() {
        let own = |cell: &&Node<'_>| cell.text("cell").is_ok_and(|other| other == name);
        let Some(cell) = cells.iter().find(own) else {
            let message = format!("cells.{name}: expected a cell of that name beside, found none");
            return Err(engine(message));
        };
        let model = trained(arrays, cell)?;
        let learned = LearnedMaze::new(name, model.parameters).map_err(engine)?;
        found.push((name, golden, cell.clone(), learned, model.seed));
    }
    let models = found
        .iter()
        .map(|(_, _, _, learned, _)| MazeModel::Learned(learned.clone()));
    let mut atlas = Atlas::new(&study.layout, device, models.collect()).map_err(engine)?;
    let lanes = found
        .iter()
        .enumerate()
        .map(|(model, (_, _, _, _, seed))| Lane {
            model,
            seed: *seed,
            stream: model as u32,
        });
    let lanes: Vec<Lane> = lanes.collect();
    let published = EpisodeSettings {
        kept_calls: 0,
        ..study.settings.episodes
    };
    let slow = device.gpu().is_some_and(|gpu| gpu.capabilities().software);
    let large = EpisodeSettings {
        episodes: if slow { EPISODES_ON_SOFTWARE } else { EPISODES },
        draws: DrawSource::Philox,
        ..published
    };
    let few = Episodes::run(&mut atlas, &lanes, published).map_err(engine)?;
    let many = Episodes::run(&mut atlas, &lanes, large).map_err(engine)?;
    let all = found.into_iter().zip(few).zip(many);
    let pair = |(((name, golden, cell, learned, _), few), many)| Pair {
        name,
        golden,
        cell,
        learned,
        many,
        few,
    };
    Ok(all.map(pair).collect())
}

/// The reference's rate and its error, against ours; and the rate of the published protocol.
fn rates(checks: &mut Checks, pair: &Pair<'_>) -> Result<(), CaseError> {
    let golden = &pair.golden;
    let (episodes, rate) = (golden.size("episodes")?, golden.number("success_rate")?);
    if episodes > MOST_EPISODES {
        return Err(golden.get("episodes")?.wrong("at most ten million"));
    }
    let count = (rate * episodes as f64).round();
    checks.close(
        "success_rate x episodes",
        &[rate * episodes as f64],
        &[count],
        1e-6,
    );
    let error = (rate * (1.0 - rate) / episodes.max(1) as f64).sqrt();
    checks.close("std_error", &[error], &[golden.number("std_error")?], 1e-12);
    let (successes, of) = (pair.many.successes(), pair.many.episodes.len());
    let chance = fisher((count.max(0.0) as usize, episodes), (successes, of));
    checks.hold(chance >= LEVEL, || {
        format!(
            "success_rate: {count} of {episodes} and {successes} of {of} are of one rate with \
             probability {chance:.1e}, less than {LEVEL:.0e}"
        )
    });
    let few = round_to(pair.few.success_rate(), 4);
    let published = golden.number("golden_success_rate")?;
    checks.close("golden_success_rate", &[few], &[published], 0.0);
    checks.remark(format!(
        "{count} of {episodes} against {successes} of {of}: p = {chance:.3} (Fisher, level {LEVEL:.0e})"
    ));
    Ok(())
}

/// The rounded table, and how far the model can imagine itself to be.
fn imagined(
    checks: &mut Checks,
    pair: &Pair<'_>,
    study: &Study,
    device: &Device,
    arrays: &ArrayMap,
) -> Result<(), CaseError> {
    let golden = &pair.golden;
    let found = grid(&pair.learned, (&study.layout, device), &pair.cell, arrays)?;
    let (_, expected) = numbers(arrays, &format!("{}.grid", pair.name))?;
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(&expected)
            .all(|(f, e)| f.round_ties_even() == e.round_ties_even());
    let expected = golden.get("rounded_grid_matches_torch")?.as_bool()?;
    checks.equal("rounded_grid_matches_torch", &[same], &[expected]);
    let farthest = farthest(pair, study, device)?;
    let expected = golden.integer("max_abs_imagined_coordinate")?;
    checks.equal("max_abs_imagined_coordinate", &[farthest], &[expected]);
    Ok(())
}

/// Largest coordinate of a state that the model can be asked about: one that some plan, made on some free
/// cell, passes before its last action.
fn farthest(pair: &Pair<'_>, study: &Study, device: &Device) -> Result<i64, CaseError> {
    let models = vec![MazeModel::Learned(pair.learned.clone())];
    let mut atlas = Atlas::new(&study.layout, device, models).map_err(engine)?;
    let free = study.layout.free();
    let mut seen: BTreeSet<Position> = free.iter().copied().collect();
    let mut edge = free;
    for _ in 1..study.settings.episodes.planner.horizon {
        let mut next = BTreeSet::new();
        for at in edge {
            for action in Action::ALL {
                next.insert(atlas.roll(0, at, &[action]).map_err(engine)?);
            }
        }
        edge = next.into_iter().filter(|at| seen.insert(*at)).collect();
    }
    let coordinates = seen.iter().flat_map(|at| [at.x, at.y]);
    let largest = coordinates.map(|value| i64::from(value).abs()).max();
    Ok(largest.unwrap_or(0))
}
