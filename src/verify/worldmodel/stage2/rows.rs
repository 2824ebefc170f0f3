//! Predictions of the true and the learned map, and the metrics of a cell.

use super::{File, adapter, engine, task, unknown};
use crate::analysis::stage2::{
    Entry, Predictions, REGISTRY, Sample, action_agreement, measure, one_step,
};
use crate::device::Device;
use crate::models::control::ControlTask;
use crate::verify::checks::{CaseError, Checks};
use crate::verify::folder::{Node, numbers};

/// Error of one step of the true map, and of the states of a walk of 25 steps, in double precision.
const EXACT: f64 = 1e-12;
const WALK: f64 = 1e-9;
/// Error of a learned map in single precision, as a part of its largest number.
const LEARNED: f64 = 1e-5;
/// Relative error of M1 and M2.
const METRIC: f64 = 1e-4;
/// Differences of scores that single precision may turn around.
const MARGIN: f64 = 1e-6;
/// Half a unit of the sixth decimal.
const ROUNDED: f64 = 5.000_1e-7;
/// Episodes of the published arms.
const EPISODES: f64 = 10.0;

/// The sampled states of an environment and where its actions lead.
pub(super) fn oracle(file: &File<'_>, env: &str, checks: &mut Checks) -> Result<(), CaseError> {
    let task = task(env)?;
    let (_, states) = numbers(&file.arrays, &format!("{env}.states"))?;
    let sample = Sample::draw(task, &file.sample).map_err(engine)?;
    checks.close("states", &sample.states, &states, WALK);
    let name = format!("{env}.oracle_pred");
    let (found, expected) = predicted(file, (task, &task), &name, &Device::cpu_f64())?;
    checks.close("oracle_pred", &found.values, &expected, EXACT);
    checks.remark("in double precision on the CPU".into());
    Ok(())
}

/// Predictions as many as a tensor `[states, actions, state]` has, and that tensor.
fn predicted(
    file: &File<'_>,
    (task, dynamics): (ControlTask, &dyn crate::models::Dynamics),
    name: &str,
    device: &Device,
) -> Result<(Predictions, Vec<f64>), CaseError> {
    let (_, states) = numbers(&file.arrays, &format!("{}.states", task.name()))?;
    let (shape, expected) = numbers(&file.arrays, name)?;
    let &[count, _, width] = &shape[..] else {
        let reason = format!("{name}: expected [states, actions, state], found {shape:?}");
        return Err(CaseError::Engine(reason));
    };
    let first = states.get(..count.saturating_mul(width)).ok_or_else(|| {
        CaseError::Engine(format!(
            "{name}: expected at most as many states as there are, found {count}"
        ))
    })?;
    let found = one_step(dynamics, (task, first), 1, device).map_err(engine)?;
    Ok((found, expected))
}

/// Where the actions lead by a learned map.
pub(super) fn predictions(
    file: &File<'_>,
    cell: &Node<'_>,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    const KNOWN: [&str; 12] = [
        "key",
        "env",
        "arch",
        "fit_steps",
        "fit_loss",
        "row",
        "committed_gap",
        "measured_cpg",
        "mcnemar",
        "newcombe",
        "episodes",
        "plan_calls",
    ];
    for (name, _) in cell.entries() {
        if !KNOWN.contains(&name) {
            unknown(name, checks);
        }
    }
    let (task, adapter) = adapter(file, cell)?;
    let name = format!("{}.pred", cell.text("key")?);
    let (found, expected) = predicted(file, (task, &adapter), &name, &file.device)?;
    checks.close_to_scale("pred", &found.values, &expected, LEARNED);
    Ok(())
}

/// The row of a cell.
pub(super) fn row(file: &File<'_>, cell: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let (task, adapter) = adapter(file, cell)?;
    let row = cell.get("row")?;
    let (_, states) = numbers(&file.arrays, &format!("{}.states", task.name()))?;
    let mut sample = Sample::draw(task, &file.sample).map_err(engine)?;
    sample.states = states;
    let metrics = measure(&adapter, &sample, 1, &file.device).map_err(engine)?;
    for (key, expected) in row.entries() {
        match key {
            "env" => checks.equal(key, &[task.name()], &[expected.as_text()?]),
            "m1_l2_onestep" => near(key, metrics.one_step, &expected, checks)?,
            "m2_l2_kstep" => near(key, metrics.k_step, &expected, checks)?,
            "m3_action_agreement" => {
                let turned = turned(file, (task, &adapter), &sample)?;
                agreement(metrics.agreement, &expected, turned, checks)?;
            }
            "gap" => {
                let committed = cell.number("committed_gap")?;
                checks.close(key, &[committed], &[expected.as_number()?], 0.0);
            }
            "model_size" | "seed" | "verdict" => {}
            "context" => context(&row, &expected, (task, &sample), checks)?,
            _ => unknown(key, checks),
        }
    }
    let wanted = [
        "m1_l2_onestep",
        "m2_l2_kstep",
        "m3_action_agreement",
        "gap",
        "context",
    ];
    let missing = wanted.iter().find(|key| row.json().get(**key).is_none());
    checks.hold(missing.is_none(), || {
        format!(
            "row: expected an entry {}, found none",
            missing.unwrap_or(&"")
        )
    });
    Ok(())
}

fn near(what: &str, found: f64, expected: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let expected = expected.as_number()?;
    let tolerance = METRIC * expected.abs() + ROUNDED;
    checks.close(what, &[found], &[expected], tolerance);
    Ok(())
}

/// M3, exact but for pairs of actions that single precision may turn around.
fn agreement(
    found: Option<f64>,
    expected: &Node<'_>,
    turned: f64,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    match found {
        Some(found) => {
            let tolerance = ROUNDED + turned;
            checks.close(
                "m3_action_agreement",
                &[found],
                &[expected.as_number()?],
                tolerance,
            );
        }
        None => checks.hold(expected.json().is_null(), || {
            format!(
                "m3_action_agreement: expected {}, found null",
                expected.json()
            )
        }),
    }
    Ok(())
}

/// How far M3 may move if all pairs of learned scores that are closer than [`MARGIN`] were turned around.
fn turned(
    file: &File<'_>,
    (task, adapter): (ControlTask, &dyn crate::models::Dynamics),
    sample: &Sample,
) -> Result<f64, CaseError> {
    let found = one_step(adapter, (task, &sample.states), 1, &file.device).map_err(engine)?;
    let states = found.values.chunks_exact(found.width.max(1));
    let scores: Vec<f64> = states.map(|state| task.score().of(state)).collect();
    // Refuses what has no order before pairs are counted.
    action_agreement(&scores, &scores, found.actions).map_err(engine)?;
    let actions = found.actions;
    let close = |scores: &[f64]| {
        let pairs = (0..actions).flat_map(|i| (0..i).map(move |j| (i, j)));
        let near = pairs.filter(|(i, j)| match (scores.get(*i), scores.get(*j)) {
            (Some(a), Some(b)) => (a - b).abs() < MARGIN,
            _ => false,
        });
        near.count()
    };
    let count: usize = scores.chunks_exact(actions.max(1)).map(close).sum();
    let pairs = (actions * actions.saturating_sub(1) / 2).max(1) as f64;
    Ok(2.0 * count as f64 / pairs / sample.count().max(1) as f64)
}

/// The published cell that a row was paired with.
fn context(
    row: &Node<'_>,
    context: &Node<'_>,
    (task, sample): (ControlTask, &Sample),
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let (size, seed) = (row.size("model_size")?, row.size("seed")?);
    let own = |entry: &&Entry| {
        let key = (entry.task, entry.model_size as usize, entry.seed as usize);
        key == (task, size, seed)
    };
    let entry = REGISTRY.iter().find(own);
    let entry = entry.ok_or_else(|| {
        let name = task.name();
        CaseError::Engine(format!(
            "row: no published cell {name} of size {size} and seed {seed}"
        ))
    })?;
    let rate = |key: &str| context.number(key);
    let rates = [rate("oracle_success_rate")?, rate("learned_success_rate")?];
    checks.close("gap", &[rates[0] - rates[1]], &[row.number("gap")?], EXACT);
    let successes = rates.map(|rate| (rate * EPISODES).round() as usize);
    let episodes = [EPISODES as usize; 2];
    let gap = crate::analysis::planning_gap::Gap::of_counts(successes, episodes).map_err(engine)?;
    checks.equal("verdict", &[gap.verdict().name()], &[row.text("verdict")?]);
    for (key, expected) in context.entries() {
        match key {
            "downstream_json" => checks.equal(key, &[&entry.file()[..]], &[expected.as_text()?]),
            "oracle_success_rate" => {
                checks.close(key, &[gap.oracle_success_rate], &[rates[0]], EXACT)
            }
            "learned_success_rate" => {
                checks.close(key, &[gap.learned_success_rate], &[rates[1]], EXACT);
            }
            "training_steps" => {
                checks.equal(
                    key,
                    &[entry.training_steps() as usize],
                    &[expected.as_size()?],
                );
            }
            "n_states" => checks.equal(key, &[sample.count()], &[expected.as_size()?]),
            "k_steps" => checks.equal(key, &[sample.sequence.len()], &[expected.as_size()?]),
            _ => unknown(key, checks),
        }
    }
    Ok(())
}
