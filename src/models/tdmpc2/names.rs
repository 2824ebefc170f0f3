//! State dictionaries of TD-MPC2, old and new, with one task or many, brought to one form: that of the
//! newest single-task checkpoints, without bookkeeping and without copies that are never read.

use super::Tdmpc2Error;
use crate::formats::{Array, ArrayMap};

/// What the value functions' parameters may be named under, and what they are named here.
const ENSEMBLES: [(&str, &str); 3] = [
    ("_Qs.params.", ONLINE),
    ("_target_Qs_params.", TARGET),
    ("_target_Qs.params.", TARGET),
];
/// Prefix of the value functions' parameters.
pub(super) const ONLINE: &str = "_Qs.params.";
/// Prefix of their slowly moving averages.
pub(super) const TARGET: &str = "_target_Qs_params.";
/// Copies of the value functions that the original keeps to block gradients.
const COPIES: [&str; 2] = ["_detach_Qs_params.", "_detach_Qs.params."];
/// Bookkeeping of the container that held the parameters.
const BOOKKEEPING: [&str; 2] = ["__batch_size", "__device"];
/// Tensors of a layer in the order that old files number them.
const OF_A_LAYER: [&str; 4] = ["weight", "bias", "ln.weight", "ln.bias"];

/// Embeddings of tasks, `[tasks, numbers]`.
const TASKS: &str = "_task_emb.weight";
/// Which actions a task has, `[tasks, action_dim]`.
pub(super) const MASKS: &str = "_action_masks";

/// The name a tensor has in the newest checkpoints; `None` for what is not read.
fn canonical(name: &str) -> Option<String> {
    let last = name.rsplit('.').next().unwrap_or(name);
    if BOOKKEEPING.contains(&last) || COPIES.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    for (prefix, newest) in ENSEMBLES {
        let Some(rest) = name.strip_prefix(prefix) else {
            continue;
        };
        // Old files number the parameters through: four to a layer.
        if let Ok(index) = rest.parse::<usize>() {
            let part = OF_A_LAYER.get(index % OF_A_LAYER.len()).copied()?;
            return Some(format!("{newest}{}.{part}", index / OF_A_LAYER.len()));
        }
        return Some(format!("{newest}{rest}"));
    }
    Some(name.to_string())
}

/// The tensors under the newest names, without bookkeeping and copies; those under the key `model` where
/// a container without nesting wrote that before all names.
///
/// # Errors
/// [`Tdmpc2Error::Format`] if old and new names of one tensor are both there.
pub(super) fn newest(map: &ArrayMap) -> Result<ArrayMap, Tdmpc2Error> {
    let nested = !map.is_empty() && map.names().all(|name| name.starts_with("model."));
    let mut out = ArrayMap::new(map.file());
    for (name, array) in map.iter() {
        let name = match nested {
            true => name.strip_prefix("model.").unwrap_or(name),
            false => name,
        };
        if let Some(name) = canonical(name) {
            out.insert(name, array.clone())?;
        }
    }
    Ok(out)
}

/// Whether the checkpoint is of many tasks; how many.
///
/// # Errors
/// [`Tdmpc2Error::Misfit`] if the embeddings are not a matrix.
pub(super) fn tasks(map: &ArrayMap) -> Result<Option<usize>, Tdmpc2Error> {
    let Some(array) = map.find(TASKS) else {
        return Ok(None);
    };
    match array.shape() {
        &[tasks, width] if tasks > 0 && width > 0 => Ok(Some(tasks)),
        shape => Err(Tdmpc2Error::misfit(
            map,
            TASKS,
            "embeddings of at least one task",
            format!("shape {shape:?}"),
        )),
    }
}

/// The checkpoint of one of its tasks. A task's embedding follows observation or latent in every input,
/// and it is the same in all, so its part of a first layer is a part of that layer's bias.
///
/// # Errors
/// [`Tdmpc2Error`] if the task is not there, or none was chosen of several, or a tensor does not fit.
pub(super) fn of_task(map: ArrayMap, task: Option<usize>) -> Result<ArrayMap, Tdmpc2Error> {
    let file = map.file().display().to_string();
    let chosen = match (tasks(&map)?, task) {
        (None, None) => return Ok(map),
        (Some(tasks), Some(task)) if task < tasks => (tasks, task),
        (tasks, task) => {
            return Err(Tdmpc2Error::Task {
                file,
                tasks: tasks.unwrap_or(0),
                task,
            });
        }
    };
    let (tasks, task) = chosen;
    let shape = map.get(TASKS)?.shape().to_vec();
    let width = shape.get(1).copied().unwrap_or(0);
    let all = map.expect_finite_f32(TASKS, &shape)?;
    let embedding = limited(
        all.get(task * width..(task + 1) * width)
            .unwrap_or_default(),
    );
    let mut out = ArrayMap::new(map.file());
    for (name, array) in map.iter() {
        if name == TASKS {
            continue;
        }
        if name == MASKS {
            out.insert(name, row(&map, tasks, task)?)?;
            continue;
        }
        out.insert(name, array.clone())?;
    }
    let actions = actions(&map)?;
    for (layer, after) in FIRST_LAYERS {
        if map.contains(&format!("{layer}.weight")) {
            let after = if after { actions } else { 0 };
            fold(&mut out, layer, &embedding, after)?;
        }
    }
    Ok(out)
}

/// Numbers of an action: columns of the masks, or half the outputs of the policy.
fn actions(map: &ArrayMap) -> Result<usize, Tdmpc2Error> {
    if let Some(masks) = map.find(MASKS) {
        return Ok(masks.shape().last().copied().unwrap_or(0));
    }
    let policy = map.get("_pi.2.weight")?;
    Ok(policy.shape().first().copied().unwrap_or(0) / 2)
}

/// Layers that an input with an embedding goes into, and whether an action follows it.
const FIRST_LAYERS: [(&str, bool); 7] = [
    ("_encoder.state.0", false),
    ("_dynamics.0", true),
    ("_reward.0", true),
    ("_pi.0", false),
    ("_termination.0", false),
    ("_Qs.params.0", true),
    ("_target_Qs_params.0", true),
];

/// The embedding as its table gives it out: shortened to length 1 where it is longer (PyTorch's
/// `max_norm`, with its guard against division by zero).
fn limited(row: &[f32]) -> Vec<f64> {
    let row: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    let factor = match length > 1.0 {
        true => 1.0 / (length + 1e-7),
        false => 1.0,
    };
    row.iter().map(|value| value * factor).collect()
}

/// The row of the action masks that belongs to a task.
fn row(map: &ArrayMap, tasks: usize, task: usize) -> Result<Array, Tdmpc2Error> {
    let shape = map.get(MASKS)?.shape().to_vec();
    let &[rows, width] = &shape[..] else {
        let found = format!("shape {shape:?}");
        return Err(Tdmpc2Error::misfit(map, MASKS, "two dimensions", found));
    };
    if rows != tasks {
        let expected = format!("{tasks} rows, one a task");
        let found = format!("shape {shape:?}");
        return Err(Tdmpc2Error::misfit(map, MASKS, expected, found));
    }
    let values = map.expect_finite_f32(MASKS, &shape)?;
    let own: Vec<f32> = values
        .chunks(width.max(1))
        .nth(task)
        .unwrap_or_default()
        .to_vec();
    Array::new(&[width], own).map_err(|source| map.array_error(MASKS, source).into())
}

/// Moves the embedding's part of a layer `[.., out, in]` into its bias `[.., out]`; `after` inputs follow it.
fn fold(
    map: &mut ArrayMap,
    layer: &str,
    embedding: &[f64],
    after: usize,
) -> Result<(), Tdmpc2Error> {
    let (weight, bias) = (format!("{layer}.weight"), format!("{layer}.bias"));
    let shape = map.get(&weight)?.shape().to_vec();
    let inputs = shape.last().copied().unwrap_or(0);
    let Some(before) = inputs
        .checked_sub(embedding.len() + after)
        .filter(|before| *before > 0 && shape.len() >= 2)
    else {
        let expected = format!(
            "rows of more than {} numbers, an embedding and actions among them",
            embedding.len() + after
        );
        let found = format!("shape {shape:?}");
        return Err(Tdmpc2Error::misfit(map, &weight, expected, found));
    };
    let outer = shape.get(..shape.len() - 1).unwrap_or_default().to_vec();
    let values = map.expect_finite_f32(&weight, &shape)?;
    let mut biases = map.expect_finite_f32(&bias, &outer)?;
    let mut kept = Vec::with_capacity(values.len());
    for (row, bias) in values.chunks(inputs).zip(&mut biases) {
        let (own, rest) = row.split_at(before);
        let (task, rest) = rest.split_at(embedding.len());
        let products = task.iter().zip(embedding);
        let sum: f64 = products
            .map(|(weight, value)| f64::from(*weight) * value)
            .sum();
        *bias = (f64::from(*bias) + sum) as f32;
        kept.extend_from_slice(own);
        kept.extend_from_slice(rest);
    }
    let mut narrow = outer.clone();
    narrow.push(before + after);
    for (name, shape, values) in [(weight, narrow, kept), (bias, outer, biases)] {
        let array = Array::new(&shape, values).map_err(|source| map.array_error(&name, source))?;
        map.take(&name)?;
        map.insert(name, array)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_ages() {
        let newest = |name: &str| canonical(name).unwrap_or_default();
        assert_eq!(newest("_Qs.params.0"), "_Qs.params.0.weight");
        assert_eq!(newest("_Qs.params.7"), "_Qs.params.1.ln.bias");
        assert_eq!(newest("_Qs.params.9"), "_Qs.params.2.bias");
        assert_eq!(newest("_target_Qs.params.5"), "_target_Qs_params.1.bias");
        assert_eq!(
            newest("_target_Qs_params.1.bias"),
            "_target_Qs_params.1.bias"
        );
        assert_eq!(newest("_Qs.params.2.weight"), "_Qs.params.2.weight");
        assert_eq!(newest("_pi.0.ln.bias"), "_pi.0.ln.bias");
        for name in [
            "_detach_Qs_params.0.weight",
            "_Qs.params.__batch_size",
            "_Qs.params.__device",
        ] {
            assert_eq!(canonical(name), None, "{name}");
        }
    }

    #[test]
    fn embeddings_are_no_longer_than_one() {
        assert_eq!(limited(&[0.3, 0.4]), [f64::from(0.3f32), f64::from(0.4f32)]);
        let long = limited(&[3.0, 4.0]);
        assert!((long[0] - 0.6).abs() < 1e-7 && (long[1] - 0.8).abs() < 1e-7);
    }
}
