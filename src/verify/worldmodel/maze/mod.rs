//! The maze, its planners, its cells.

mod cells;
mod environments;
mod fisher;
mod published;
mod reference;
mod traces;

use crate::device::Device;
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node};
use crate::worlds::maze::{Episodes, Layout, PlanCall, Position};

pub(super) use cells::run as cells;
pub(super) use published::published;
pub(super) use reference::run as reference;

pub(super) fn environments(folder: &Folder, stem: &str, cases: &mut Cases) {
    environments::run(folder, stem, cases);
}

pub(super) fn traces(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    traces::run(folder, stem, device, cases);
}

/// Any error of the engine.
fn engine(error: impl std::fmt::Display) -> CaseError {
    CaseError::Engine(error.to_string())
}

/// A layout, the highest row first.
fn layout(node: &Node<'_>) -> Result<Layout, CaseError> {
    let rows: Result<Vec<&str>, CaseError> = node.elements()?.iter().map(Node::as_text).collect();
    Layout::parse("layout", &rows?.join("\n")).map_err(engine)
}

/// Fails for entries that nothing is compared with.
fn all_known(checks: &mut Checks, node: &Node<'_>, known: &[&str]) {
    for (key, _) in node.entries() {
        let is_known = known.contains(&key);
        checks.hold(is_known, || format!("{key}: an entry that is not compared"));
    }
}

fn flat(at: Position) -> [i64; 2] {
    [at.x.into(), at.y.into()]
}

/// Lists of integers, one after the other, with their lengths between them.
fn integers(node: &Node<'_>) -> Result<Vec<i64>, CaseError> {
    match node.elements() {
        Ok(elements) => {
            let mut all = vec![elements.len() as i64];
            for element in &elements {
                all.extend(integers(element)?);
            }
            Ok(all)
        }
        Err(_) => match node.as_bool() {
            Ok(flag) => Ok(vec![i64::from(flag)]),
            Err(_) => Ok(vec![node.as_integer()?]),
        },
    }
}

/// The same of planning calls `[[x, y], remaining, [action, ...]]`.
fn of_calls(calls: &[PlanCall]) -> Vec<i64> {
    let mut all = vec![calls.len() as i64];
    for call in calls {
        all.extend([3, 2]);
        all.extend(flat(call.at));
        all.push(call.remaining as i64);
        all.push(call.plan.len() as i64);
        all.extend(call.plan.iter().map(|action| action.index() as i64));
    }
    all
}

/// The same of episodes `[success, steps, plans]`.
fn of_episodes(episodes: &Episodes) -> Vec<i64> {
    let mut all = vec![episodes.episodes.len() as i64];
    for episode in &episodes.episodes {
        let [steps, plans] = [episode.steps, episode.plans].map(i64::from);
        all.extend([3, i64::from(episode.success), steps, plans]);
    }
    all
}
