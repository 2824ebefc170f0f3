//! Whole arms, episode by episode.

use super::{File, KIND, engine};
use crate::analysis::stage2::arms::{Protocol, sequential, starts};
use crate::device::{Device, Precision};
use crate::models::Dynamics;
use crate::models::control::ControlTask;
use crate::samplers::shooting::ShootingSettings;
use crate::samplers::shooting::episodes::Episode;
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node};
use std::collections::BTreeMap;

/// Differences of the values of two plans that single precision may turn around.
const MARGIN: f64 = 2e-6;
/// Error of a start state, which is computed from the suite's own draws.
const START: f64 = 1e-12;

/// An arm of the file's protocol: its episodes, and where the recorded calls begin.
pub(super) fn compare(
    file: &File<'_>,
    (task, dynamics): (ControlTask, &dyn Dynamics),
    node: &Node<'_>,
    device: &Device,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let begin = starts(task, &file.protocol).map_err(engine)?;
    if let Some(first) = node.get("plan_calls")?.elements()?.first() {
        let start = begin
            .first()
            .map(|start| start.observe())
            .unwrap_or_default();
        checks.close("obs", &start, &first.get("obs")?.numbers()?, START);
    }
    // The closest decision between plans whose values are not the same.
    let mut closest = f64::INFINITY;
    let mut seen: Vec<Vec<f64>> = Vec::new();
    let run = (&file.protocol, begin);
    let episodes = sequential(task, dynamics, run, device, |planner, _, (obs, _), plan| {
        let values = planner.candidates()?.values;
        let others = values.iter().map(|value| value - plan.value);
        closest = others
            .filter(|margin| *margin > 0.0)
            .fold(closest, f64::min);
        seen.push(obs.to_vec());
        Ok(())
    });
    let episodes = episodes.map_err(engine)?;
    let expected = recorded(node)?;
    let sure = device.precision() == Precision::F64 || closest >= MARGIN;
    if episodes == expected || sure {
        let flat = |all: &[Episode]| -> Vec<usize> {
            let each = all.iter();
            each.flat_map(|one| [usize::from(one.success), one.steps, one.plans])
                .collect()
        };
        checks.equal("episodes", &flat(&episodes), &flat(&expected));
        return Ok(());
    }
    let flags = |all: &[Episode]| -> Vec<bool> { all.iter().map(|one| one.success).collect() };
    checks.equal("episodes.success", &flags(&episodes), &flags(&expected));
    let horizon = file.protocol.horizon;
    for (found, expected) in episodes.iter().zip(&expected) {
        // Failed episodes take all their steps however they go.
        if !found.success {
            checks.equal("episodes.steps", &[expected.steps], &[horizon]);
        }
        let plans = (1..=expected.steps).contains(&expected.plans);
        checks.hold(plans, || {
            let (plans, steps) = (expected.plans, expected.steps);
            format!("episodes: expected at most as many plans as the {steps} steps, found {plans}")
        });
    }
    checks.remark(format!(
        "two plans {closest:e} apart: numbers of plans may differ in single precision"
    ));
    Ok(())
}

/// `[success, steps, plans]` of every episode.
fn recorded(node: &Node<'_>) -> Result<Vec<Episode>, CaseError> {
    let rows = node.get("episodes")?.elements()?;
    let one = |row: &Node<'_>| match &row.elements()?[..] {
        [success, steps, plans] => Ok(Episode {
            success: success.as_bool()?,
            steps: steps.as_size()?,
            plans: plans.as_size()?,
        }),
        _ => Err(row.wrong("success, steps and plans")),
    };
    rows.iter().map(one).collect()
}

/// An arm that several cells may share: task, seed, candidates, plan horizon, episodes, steps.
type Key = (ControlTask, u32, [usize; 4]);

/// The oracle arms of published cells, run anew in double precision on the CPU, whatever the device: one
/// case a cell that lists the steps of its episodes and says how they were run. Cells that pool others of
/// the file are compared with those, seed after seed.
pub(in super::super) fn oracle_arms(folder: &Folder, stem: &str, cases: &mut Cases) {
    let index = folder.index();
    let Some(list) = index.find("cells").and_then(|cells| cells.elements().ok()) else {
        return;
    };
    let mut known: BTreeMap<Key, Vec<Episode>> = BTreeMap::new();
    for (at, cell) in list.iter().enumerate() {
        if cell.find("oracle_steps").is_none() {
            continue;
        }
        let name = cell
            .text("file")
            .map_or_else(|_| at.to_string(), str::to_owned);
        cases.run(&format!("{stem}.{name}.oracle"), KIND, |checks| {
            checks.remark("in double precision on the CPU".into());
            let episodes = match cell.find("config") {
                Some(_) => single(cell, &mut known)?,
                None => pooled(cell, &list, &mut known)?,
            };
            let success: Vec<bool> = episodes.iter().map(|one| one.success).collect();
            let steps: Vec<usize> = episodes.iter().map(|one| one.steps).collect();
            let recorded = cell.get("oracle_success")?.elements()?;
            let recorded: Result<Vec<bool>, _> = recorded.iter().map(Node::as_bool).collect();
            checks.equal("oracle_success", &success, &recorded?);
            let recorded = cell.get("oracle_steps")?.elements()?;
            let recorded: Result<Vec<usize>, _> = recorded.iter().map(Node::as_size).collect();
            checks.equal("oracle_steps", &steps, &recorded?);
            Ok(())
        });
    }
}

fn single(
    cell: &Node<'_>,
    known: &mut BTreeMap<Key, Vec<Episode>>,
) -> Result<Vec<Episode>, CaseError> {
    let task = super::task(cell.text("env")?)?;
    let config = cell.get("config")?;
    let seed = cell.get("seed")?;
    let seed = u32::try_from(seed.as_size()?).map_err(|_| seed.wrong("a seed below 2^32"))?;
    let sizes = [
        config.size("num_candidates")?,
        config.size("plan_horizon")?,
        config.size("benchmark_episodes")?,
        config.size("benchmark_horizon")?,
    ];
    let key = (task, seed, sizes);
    if let Some(episodes) = known.get(&key) {
        return Ok(episodes.clone());
    }
    let [candidates, plan, episodes, horizon] = sizes;
    let protocol = Protocol {
        planner: ShootingSettings::random(candidates, plan),
        horizon,
        episodes,
        seed,
    };
    let run = (&protocol, starts(task, &protocol).map_err(engine)?);
    let device = Device::cpu_f64();
    let found = sequential(task, &task, run, &device, |_, _, _, _| Ok(())).map_err(engine)?;
    known.insert(key, found.clone());
    Ok(found)
}

/// The episodes of the cells of the same environment and size, one after the other.
fn pooled(
    cell: &Node<'_>,
    list: &[Node<'_>],
    known: &mut BTreeMap<Key, Vec<Episode>>,
) -> Result<Vec<Episode>, CaseError> {
    let own = (cell.text("env")?, cell.size("model_size")?);
    let mut all = Vec::new();
    for other in list.iter().filter(|other| other.find("config").is_some()) {
        if (other.text("env")?, other.size("model_size")?) == own {
            all.extend(single(other, known)?);
        }
    }
    Ok(all)
}
