//! Layouts, transitions, distances.

use super::{all_known, flat, integers, layout};
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node};
use crate::worlds::maze::Action;

const ENTRIES: &[&str] = &[
    "layout_top_row_first",
    "width",
    "height",
    "start",
    "goal",
    "actions",
    "action_delta",
    "walls",
    "free_states_sorted",
    "transitions",
    "bfs_distance_to_goal",
    "bfs_optimal_length",
    "bfs_path_first_action_in_order",
];

pub(super) fn run(folder: &Folder, stem: &str, cases: &mut Cases) {
    let environments = folder.index().get("envs").and_then(|envs| envs.elements());
    match environments {
        Ok(environments) => {
            for (index, environment) in environments.iter().enumerate() {
                let name = format!("{stem}.{index}");
                cases.run(&name, "maze", |checks| compare(checks, environment));
            }
        }
        Err(error) => cases.run(stem, "maze", |_| Err(error)),
    }
}

fn compare(checks: &mut Checks, golden: &Node<'_>) -> Result<(), CaseError> {
    all_known(checks, golden, ENTRIES);
    let maze = layout(&golden.get("layout_top_row_first")?)?;
    let mut equal = |key: &str, found: Vec<i64>| -> Result<(), CaseError> {
        checks.equal(key, &found, &integers(&golden.get(key)?)?);
        Ok(())
    };
    let list = |rows: Vec<Vec<i64>>| -> Vec<i64> {
        let count = rows.len() as i64;
        std::iter::once(count)
            .chain(rows.into_iter().flatten())
            .collect()
    };
    let cell = |at| {
        let [x, y] = flat(at);
        vec![2, x, y]
    };
    equal("width", vec![maze.width() as i64])?;
    equal("height", vec![maze.height() as i64])?;
    equal("start", cell(maze.start()))?;
    equal("goal", cell(maze.goal()))?;
    equal("walls", list(maze.walls().into_iter().map(cell).collect()))?;
    equal(
        "free_states_sorted",
        list(maze.free().into_iter().map(cell).collect()),
    )?;
    let transitions = maze.transitions().into_iter().map(|t| {
        let ends = [cell(t.state), vec![t.action.index() as i64], cell(t.next)];
        [vec![3], ends.concat()].concat()
    });
    equal("transitions", list(transitions.collect()))?;
    let distances = maze.distances_to_goal().into_iter().map(|(at, moves)| {
        let moves = moves.map_or(-1, i64::from);
        [vec![2], cell(at), vec![moves]].concat()
    });
    equal("bfs_distance_to_goal", list(distances.collect()))?;
    let path = maze.shortest_path();
    equal("bfs_optimal_length", vec![path.len() as i64])?;

    let names = |actions: &[Action]| -> Vec<String> {
        actions
            .iter()
            .map(|action| action.name().to_string())
            .collect()
    };
    for (key, found) in [
        ("actions", names(&Action::ALL)),
        ("bfs_path_first_action_in_order", names(&path)),
    ] {
        let expected: Result<Vec<String>, CaseError> = golden
            .get(key)?
            .elements()?
            .iter()
            .map(|name| Ok(name.as_text()?.to_string()))
            .collect();
        checks.equal(key, &found, &expected?);
    }
    let deltas = golden.get("action_delta")?;
    let known = names(&Action::ALL);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    all_known(checks, &deltas, &known);
    for action in Action::ALL {
        let expected = deltas.get(action.name())?.integers()?;
        let found = action.delta().map(i64::from);
        checks.equal(
            &format!("action_delta.{}", action.name()),
            &found,
            &expected,
        );
    }
    Ok(())
}
