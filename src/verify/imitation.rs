//! `env.buffer`, `env.curriculum` and `env.efficiency_filter`: bookkeeping of the imitation loop.

use std::sync::Arc;

use super::checks::{CaseError, Cases, Checks};
use super::folder::Node;
use crate::worlds::minihack::{
    Curriculum, CurriculumRule, MAP_COLS, MAP_ROWS, ReplayBuffer, Trajectory, Window,
    keep_oracle_trajectory,
};

/// What the windows' recorded actions count up to, and what follows them.
const ACTIONS: usize = 12;
const PAD: i32 = 13;
/// Side of the crop in made-up trajectories; windows do not depend on it.
const CROP: usize = 1;
/// Observations of a made-up trajectory take memory.
const LONGEST: usize = 20_000;

pub(super) fn buffer(entry: &Node<'_>, cases: &mut Cases) {
    for (key, entry) in entry.entries() {
        let title = format!("env.buffer.{key}");
        match key {
            "windows" => cases.run(&title, "windows", |checks| windows(&entry, checks)),
            "fifo" => cases.run(&title, "buffer", |checks| fifo(&entry, checks)),
            _ => cases.unsupported(&title, "buffer", "unknown kind of case"),
        }
    }
}

fn trajectory(actions: Vec<i32>) -> Result<Arc<Trajectory>, CaseError> {
    let steps = actions.len();
    if steps > LONGEST {
        let reason = format!("an episode of {steps} steps is longer than {LONGEST}");
        return Err(CaseError::Unsupported(reason));
    }
    let local = vec![0; steps * CROP * CROP];
    let global = vec![0; steps * MAP_ROWS * MAP_COLS];
    Ok(Arc::new(Trajectory::new(local, global, actions, CROP)?))
}

fn tokens(window: Option<&Window>, length: usize) -> Vec<i64> {
    let actions = window.map(|window| window.actions(length, PAD));
    actions.into_iter().flatten().map(i64::from).collect()
}

/// Windows of an episode whose action ids count up from 0 and wrap at 12.
fn windows(entry: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for case in entry.elements()? {
        let (steps, length) = (case.size("T")?, case.size("seq_len")?);
        let actions = (0..steps).map(|step| (step % ACTIONS) as i32).collect();
        let windows: Vec<Window> = Window::all(&trajectory(actions)?).collect();
        checks.equal("n_windows", &[windows.len()], &[case.size("n_windows")?]);
        let (first, last) = (
            tokens(windows.first(), length),
            tokens(windows.last(), length),
        );
        checks.equal("first", &first, &case.get("first")?.integers()?);
        checks.equal("last", &last, &case.get("last")?.integers()?);
    }
    Ok(())
}

/// A buffer of pinned windows and passing ones, each holding one repeated action.
fn fifo(entry: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let length = entry.size("seq_len")?;
    let offline = trajectory(vec![1; entry.size("offline_windows")?])?;
    let mut buffer = ReplayBuffer::new(entry.size("capacity")?, Window::all(&offline));
    for event in entry.get("events")?.elements()? {
        let added = event.get("added")?;
        let [action, count] = &added.elements()?[..] else {
            return Err(added.wrong("an action and a number of steps"));
        };
        let action =
            i32::try_from(action.as_integer()?).map_err(|_| added.wrong("an action id"))?;
        buffer.extend(Window::all(&trajectory(vec![action; count.as_size()?])?));
        let pinned = buffer.pinned().len();
        checks.equal("n_offline", &[pinned], &[event.size("n_offline")?]);
        checks.equal("total", &[buffer.len()], &[event.size("total")?]);
        let values: Vec<i64> = (buffer.online())
            .filter_map(|window| tokens(Some(window), length).first().copied())
            .collect();
        checks.equal(
            "online_values",
            &values,
            &event.get("online_values")?.integers()?,
        );
    }
    Ok(())
}

/// Weights by win rate (the second recipe's rule), and the rates of empty and pre-seeded queues.
pub(super) fn curriculum(entry: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for case in entry.get("cases")?.elements()? {
        let (rate, weight) = (case.number("win_rate")?, case.number("weight")?);
        let found = CurriculumRule::From.weight(rate);
        checks.equal(&format!("weight at {rate}"), &[found], &[weight]);
        // The first recipe's rule differs at exactly its upper edge alone.
        let first = if rate == 0.85 { 1.0 } else { weight };
        let found = CurriculumRule::Above.weight(rate);
        checks.equal(
            &format!("first recipe's weight at {rate}"),
            &[found],
            &[first],
        );
    }
    for (key, preseed) in [("empty_rate", 0), ("preseed_rate", 50)] {
        let queue = Curriculum::new(CurriculumRule::From, 1, 100, preseed);
        checks.equal(key, &[queue.win_rate(0)], &[entry.number(key)?]);
    }
    Ok(())
}

pub(super) fn efficiency_filter(entry: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for case in entry.elements()? {
        let steps = |key: &str| {
            let value = case.get(key)?;
            u32::try_from(value.as_integer()?).map_err(|_| value.wrong("a number of steps"))
        };
        let oracle = match case.find("oracle_steps") {
            Some(_) => Some(steps("oracle_steps")?),
            None => None,
        };
        let (won, limit) = (case.get("won")?.as_bool()?, case.number("mult")?);
        let kept = keep_oracle_trajectory(won, steps("model_steps")?, oracle, limit);
        checks.equal("add", &[kept], &[case.get("add")?.as_bool()?]);
    }
    Ok(())
}
