//! Latent dynamics of world models: exponents of roll-outs under recorded actions.

use super::MeasureArguments;
use super::graph_run::GraphRun;
use super::maps::columns;
use super::measured::{FtleSettings, Measured};
use crate::cli::exit::Usage;
use crate::cli::model::load_weights;
use crate::cli::output::note;
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::device::Selection;
use attractor::formats::{ArrayMap, load_arrays};
use attractor::models::dynamics::LatentDynamics;
use attractor::models::tdmpc2::single_task;
use attractor::orbit::lyapunov::Settings;
use serde_json::json;
use std::time::Instant;

/// Elements of a group of SimNorm, as published.
const GROUP: usize = 8;
const COLUMNS: usize = 8;

/// Measures the states that are asked for, each under its own actions.
pub fn measure(arguments: &MeasureArguments, selection: &Selection) -> Result<Measured> {
    let data = &arguments.data;
    let learned = &arguments.learned;
    let weights = load_weights(learned.weights()?, learned.weights_key.as_deref())?;
    let own = single_task(&weights, data.task)?;
    let dynamics = LatentDynamics::tdmpc2(&own, data.simnorm_group.unwrap_or(GROUP))?;
    let path = data.data.as_ref();
    let path =
        path.ok_or_else(|| Usage("expected --data with z0 and actions, found none".into()))?;
    let arrays = load_arrays(path)?;
    let (n, a) = (dynamics.latent(), dynamics.action());
    let (count, z0) = table(&arrays, "z0", &[n])?;
    let (rows, actions) = table(&arrays, "actions", &[a])?;
    let recorded_steps = rows / count.max(1);
    if rows != recorded_steps * count || recorded_steps == 0 {
        return Err(Usage(format!(
            "{}: actions: expected [{count}, steps, {a}], found {rows} rows of {a}",
            path.display()
        ))
        .into());
    }
    let range = data.range(count)?;
    let steps = arguments.steps.unwrap_or(u32::try_from(recorded_steps)?);
    if steps as usize > recorded_steps {
        let message =
            format!("--steps: expected at most {recorded_steps}, the actions of the data");
        return Err(Usage(format!("{message}, found {steps}")).into());
    }
    let actions: Vec<f64> = range
        .clone()
        .flat_map(|example| {
            let first = example * recorded_steps * a;
            &actions[first..first + steps as usize * a]
        })
        .copied()
        .collect();
    let state = &z0[range.start * n..range.end * n];
    let map = dynamics.map(range.len(), steps as usize, &actions)?;
    let settings = Settings {
        columns: columns(arguments.k.or(Some(COLUMNS.min(n))), n)?,
        every: arguments.every,
        factors: arguments.covariant,
        ..Settings::by_step(&map, 1)
    };
    let recorded = FtleSettings {
        map: "latent dynamics".into(),
        dimension: n,
        k: settings.columns,
        steps,
        transient: 0,
        granularity: format!("{} steps", arguments.every),
        parameters: json!({"data": path, "action": a, "task": data.task}),
    };
    let (device, file) = (&selection.device, learned.file());
    let hash = weights.content_hash();
    let run = RunRecord::new(device, arguments.seed, (&file, &hash), &recorded);
    note(run.head(&selection.reason).trim_end());
    let started = Instant::now();
    let graph_run = GraphRun {
        map: &map,
        settings: &settings,
        state,
        tangents: None,
        steps,
        seed: arguments.seed,
        first: range.start,
        events_a_row: |_| 1,
    };
    let (examples, bytes) = graph_run.carry_out(device)?;
    Ok(Measured {
        run,
        event_time: f64::from(arguments.every),
        unit: "step",
        examples,
        sum_rule: None,
        literature: None,
        working_bytes: bytes,
        seconds: started.elapsed().as_secs_f64(),
        arrays: None,
    })
}

/// An array that ends in these dimensions: how many rows it has, and its numbers.
fn table(arrays: &ArrayMap, name: &str, tail: &[usize]) -> Result<(usize, Vec<f64>)> {
    let array = arrays.get(name)?;
    let shape = array.shape();
    let leading = shape.len().checked_sub(tail.len());
    let (first, last) = shape.split_at(leading.unwrap_or(0));
    let values = array.to_f64()?;
    if leading.is_none() || last != tail || values.iter().any(|value| !value.is_finite()) {
        let file = arrays.file().display().to_string();
        let expected = format!("finite numbers of a shape that ends in {tail:?}");
        return Err(Usage(format!(
            "{file}: {name}: expected {expected}, found {shape:?}"
        ))
        .into());
    }
    Ok((first.iter().product(), values))
}
