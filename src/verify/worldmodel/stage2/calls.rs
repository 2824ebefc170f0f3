//! Plan calls from recorded observations: values, cuts and draws of all candidates.

use super::{File, engine};
use crate::analysis::stage2::arms::{action_table, problem};
use crate::device::{Device, Precision};
use crate::models::Dynamics;
use crate::models::control::ControlTask;
use crate::samplers::shooting::PythonPlanner;
use crate::samplers::shooting::rollout::rollout;
use crate::verify::checks::{CaseError, Checks};
use crate::verify::folder::Node;

/// Error of scores after a plan's horizon: of the true map in double precision, of a learned one in single.
const EXACT: f64 = 1e-9;
const LEARNED: f64 = 2e-5;

/// A planner with the protocol's seed goes through the recorded calls one after the other.
pub(super) fn compare(
    file: &File<'_>,
    (task, dynamics): (ControlTask, &dyn Dynamics),
    node: &Node<'_>,
    device: &Device,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let table = action_table(task);
    let problem = problem(task, dynamics, &table);
    let protocol = &file.protocol;
    let seed = u64::from(protocol.seed);
    let planner = PythonPlanner::new(&problem, &protocol.planner, seed, device);
    let mut call = Call {
        planner: planner.map_err(engine)?,
        task,
        dynamics,
        table: &table,
        candidates: protocol.planner.candidates,
        tolerance: match device.precision() {
            Precision::F64 => EXACT,
            Precision::F32 => LEARNED,
        },
        device,
    };
    for recorded in node.get("plan_calls")?.elements()? {
        let remaining = recorded.size("remaining_horizon")?;
        let length = remaining.min(protocol.planner.horizon);
        call.compare(&recorded, remaining, length, checks)?;
    }
    if let Some(actions) = node.find("actions") {
        let rows = actions.elements()?;
        let rows: Result<Vec<_>, _> = rows.iter().map(Node::numbers).collect();
        checks.close("actions", &table, &rows?.concat(), 0.0);
    }
    Ok(())
}

struct Call<'a> {
    planner: PythonPlanner,
    task: ControlTask,
    dynamics: &'a dyn Dynamics,
    table: &'a [f64],
    candidates: usize,
    tolerance: f64,
    device: &'a Device,
}

impl Call<'_> {
    fn compare(
        &mut self,
        recorded: &Node<'_>,
        remaining: usize,
        length: usize,
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        let obs = recorded.get("obs")?.numbers()?;
        let plan = self.planner.plan(&obs, &[], remaining).map_err(engine)?;
        let Some(plan) = plan else {
            return Err(recorded.wrong("actions that remain"));
        };
        let found = self.planner.candidates().map_err(engine)?;
        let sizes = |key: &str| -> Result<Vec<usize>, CaseError> {
            let list = recorded.get(key)?.elements()?;
            list.iter().map(Node::as_size).collect()
        };
        let scores = recorded.get("scores")?.numbers()?;
        checks.close("scores", &found.values, &scores, self.tolerance);
        let cuts = sizes("best_step")?;
        self.cuts(&obs, length, &cuts, checks)?;
        let best = recorded.size("best_candidate")?;
        let value = found.values.get(best).copied().unwrap_or(f64::NAN);
        checks.hold(value - plan.value <= self.slack(), || {
            format!(
                "best_candidate: expected {best} of value {value}, found {} of value {}",
                plan.candidate, plan.value
            )
        });
        let lowest = scores
            .iter()
            .position(|score| scores.iter().all(|other| score <= other));
        checks.equal("best_candidate", &[lowest.unwrap_or(usize::MAX)], &[best]);
        let cut = cuts.get(best).copied().unwrap_or(0);
        checks.equal("plan", &self.planner.sequence(best, cut), &sizes("plan")?);
        let first = self.planner.sequence(0, length);
        checks.equal("first_candidate", &first, &sizes("first_candidate")?);
        let margin = recorded.number("best_minus_second")?;
        checks.close(
            "best_minus_second",
            &[gap(&found.values)],
            &[margin],
            2.0 * self.tolerance,
        );
        checks.close("best_minus_second", &[gap(&scores)], &[margin], EXACT);
        for (key, _) in recorded.entries() {
            const KNOWN: [&str; 8] = [
                "obs",
                "remaining_horizon",
                "scores",
                "best_step",
                "best_candidate",
                "plan",
                "best_minus_second",
                "first_candidate",
            ];
            if !KNOWN.contains(&key) {
                super::unknown(key, checks);
            }
        }
        Ok(())
    }

    /// Differences of scores that rounding may turn around.
    fn slack(&self) -> f64 {
        self.tolerance / 10.0
    }

    /// Cuts are exact, but for states whose scores rounding may turn around.
    fn cuts(
        &self,
        obs: &[f64],
        length: usize,
        expected: &[usize],
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        let found = self.planner.candidates().map_err(engine)?.cuts;
        if found == expected {
            checks.equal("best_step", &found, expected);
            return Ok(());
        }
        let states: Vec<f64> = (0..self.candidates).flat_map(|_| obs).copied().collect();
        let width = self.dynamics.action();
        let mut actions = Vec::new();
        for step in 0..length {
            for candidate in 0..self.candidates {
                let index = self.planner.sequence(candidate, length).get(step).copied();
                let start = index.unwrap_or(0) * width;
                actions.extend(self.table.iter().skip(start).take(width));
            }
        }
        let history = rollout(self.dynamics, &states, &actions, self.device).map_err(engine)?;
        let all: Vec<f64> = history
            .chunks_exact(self.dynamics.state().max(1))
            .map(|state| self.task.score().of(state))
            .collect();
        let mut settled = found.clone();
        for (candidate, (own, cut)) in settled.iter_mut().zip(expected).enumerate() {
            let scores = all.iter().skip(candidate).step_by(self.candidates.max(1));
            let least = scores.clone().copied().fold(f64::INFINITY, f64::min);
            let there = cut.checked_sub(1).and_then(|step| scores.clone().nth(step));
            if there.is_some_and(|score| score - least <= self.slack()) {
                *own = *cut;
            }
        }
        checks.equal("best_step", &settled, expected);
        Ok(())
    }
}

/// The second lowest less the lowest.
fn gap(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values[..] {
        [first, second, ..] => second - first,
        _ => 0.0,
    }
}
