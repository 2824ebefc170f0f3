//! Models of a folder (stored and procedural) and their forward passes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::checks::{CaseError, Cases, Checks};
use super::folder::{Folder, Node, integers, numbers};
use super::procedural::Procedure;
use crate::device::{Device, Precision};
use crate::formats::ArrayMap;
use crate::models::remdm::DenoiserConfig;
use crate::samplers::{Activation, ForwardRequest, Observations, Planner, PlannerError};

/// Absolute, on logits and intermediates: f32 and f64 differ by at most 1e-5 in the reference.
const TOLERANCE: f64 = 1e-4;
/// Absolute, where both sides compute in f64. The sigmoid of the gate is a constant in f32 here, which
/// shows as 1e-8 in the logits.
const TOLERANCE_F64: f64 = 1e-7;

impl From<PlannerError> for CaseError {
    fn from(error: PlannerError) -> Self {
        Self::Engine(error.to_string())
    }
}

/// A model or a forward pass; anything else is not known.
pub(super) fn run(
    folder: &Folder,
    key: &str,
    entry: &Node<'_>,
    device: &Device,
    cases: &mut Cases,
) {
    if entry.find("state_dict").is_some() {
        cases.run(key, "model", |checks| stored(folder, entry, device, checks));
    } else if entry.find("tensors").is_some() {
        if entry.find("rules").is_some() {
            let name = format!("{key}.weights");
            cases.run(&name, "procedural", |checks| {
                Procedure::read(entry)?.check(entry, checks)
            });
        }
        cases.run(key, "forward", |checks| {
            forward(folder, entry, device, checks)
        });
    } else {
        cases.unsupported(key, "unknown", "unknown kind of case");
    }
}

/// The stored model whose file is `file`; without a name, the index's `model`.
pub(super) fn planner(
    folder: &Folder,
    file: Option<&str>,
    device: &Device,
) -> Result<Planner, CaseError> {
    let index = folder.index();
    let named = |entry: &Node<'_>| match file {
        Some(file) => {
            entry.find("state_dict").is_some() && entry.text("file").is_ok_and(|f| f == file)
        }
        None => false,
    };
    let other = index.entries().into_iter().find(|(_, entry)| named(entry));
    let entry = match (file, other) {
        (_, Some((_, entry))) => entry,
        (None, None) => index.get("model")?,
        (Some(file), None) => {
            let reason = format!("the index describes no model with the file {file:?}");
            return Err(CaseError::Engine(reason));
        }
    };
    stored_planner(folder, &entry, device).map(|(planner, _)| planner)
}

fn stored_planner(
    folder: &Folder,
    entry: &Node<'_>,
    device: &Device,
) -> Result<(Planner, ArrayMap), CaseError> {
    let weights = folder.arrays(entry.text("file")?)?;
    let config = config(entry, |name| weights.contains(name), None)?;
    Ok((Planner::new(config, &weights, device)?, weights))
}

/// The weights are those that the index lists, and the engine takes them.
fn stored(
    folder: &Folder,
    entry: &Node<'_>,
    device: &Device,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let (_, weights) = stored_planner(folder, entry, device)?;
    let listed = entry.get("state_dict")?.entries();
    checks.equal("tensors", &[weights.len()], &[listed.len()]);
    let mut parameters = 0;
    for (name, shape) in listed {
        let array = weights.get(name)?;
        let found: Vec<i64> = array.shape().iter().map(|&size| size as i64).collect();
        checks.equal(&format!("shape of {name}"), &found, &shape.integers()?);
        parameters += array.len();
    }
    if let Some(expected) = entry.find("params") {
        checks.equal("params", &[parameters], &[expected.as_size()?]);
    }
    Ok(())
}

/// The configuration of an entry. What it leaves out follows from the others, from the tensors there
/// are, and from the shapes of the observations in `forward`.
fn config(
    entry: &Node<'_>,
    has: impl Fn(&str) -> bool,
    forward: Option<&ArrayMap>,
) -> Result<DenoiserConfig, CaseError> {
    let given = entry.get("config")?;
    let given = given
        .json()
        .as_object()
        .ok_or_else(|| given.wrong("an object"))?;
    let mut flat: Map<String, Value> = given.clone();
    let mut default = |key: &str, value: Value| {
        flat.entry(key).or_insert(value);
    };
    if let Some(actions) = given.get("action_dim").and_then(Value::as_u64) {
        default("mask_token", Value::from(actions));
        default("pad_token", Value::from(actions.saturating_add(1)));
    }
    default("use_global_stream", Value::from(has("global_gate")));
    let shape = |name: &str| {
        let array = forward.and_then(|arrays| arrays.find(name))?;
        <[usize; 3]>::try_from(array.shape()).ok()
    };
    if let Some([_, side, _]) = shape("in.local_obs") {
        default("crop_size", Value::from(side));
    }
    if let Some([_, rows, cols]) = shape("in.global_obs") {
        default("map_h", Value::from(rows));
        default("map_w", Value::from(cols));
    }
    DenoiserConfig::from_json("index.json", &Value::Object(flat).to_string())
        .map_err(|error| CaseError::Engine(error.to_string()))
}

fn forward(
    folder: &Folder,
    entry: &Node<'_>,
    device: &Device,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let file = entry.text("file")?;
    let arrays = folder.arrays(file)?;
    let planner = if entry.find("rules").is_some() {
        let procedure = Procedure::read(entry)?;
        let config = config(entry, |name| procedure.has(name), Some(&arrays))?;
        Planner::new(config, &procedure.weights(file)?, device)?
    } else {
        let model = entry.find("model");
        let model = model.as_ref().map(Node::as_text).transpose()?;
        self::planner(folder, model, device)?
    };
    let observations = observations(&planner, &arrays)?;
    let (_, tokens) = integers(&arrays, "in.action_seq")?;
    let (_, times) = integers(&arrays, "in.t_discrete")?;
    let found = planner.forward(&ForwardRequest {
        observations: &observations,
        tokens: &tokens,
        times: &times,
    })?;
    for (name, _) in entry.get("tensors")?.entries() {
        arrays.get(name)?;
    }
    let f64_device = device.precision() == Precision::F64;
    let mut outputs = 0;
    for name in arrays.names() {
        let (ours, tolerance) = if let Some(output) = name.strip_prefix("out_f64.") {
            let tolerance = if f64_device { TOLERANCE_F64 } else { TOLERANCE };
            (format!("out.{output}"), tolerance)
        } else if name.starts_with("act.") || name.starts_with("out.") {
            (name.to_owned(), TOLERANCE)
        } else {
            continue;
        };
        let (shape, expected) = numbers(&arrays, name)?;
        let Some(activation) = activation(&found, &ours) else {
            checks.fail(format!("{name}: the engine gives no such tensor"));
            continue;
        };
        outputs += usize::from(ours.starts_with("out."));
        compare(name, &activation, &shape, &expected, tolerance, checks);
    }
    checks.hold(outputs > 0, || "the file holds no outputs".into());
    Ok(())
}

/// An intermediate by the original's name. The local token goes straight to its place in the
/// transformer's input, as the first of its rows.
fn activation<'a>(
    found: &'a BTreeMap<String, Activation>,
    name: &str,
) -> Option<Cow<'a, Activation>> {
    if let Some(activation) = found.get(name) {
        return Some(Cow::Borrowed(activation));
    }
    let input = (name == "act.local_token").then(|| found.get("act.transformer_in"))??;
    let [examples, tokens, width] = input.shape[..] else {
        return None;
    };
    let rows = input.values.chunks((tokens * width).max(1));
    Some(Cow::Owned(Activation {
        shape: vec![examples, width],
        values: rows
            .flat_map(|row| row.iter().take(width).copied())
            .collect(),
    }))
}

/// Images are `[N, channels, rows, columns]` in the golden and `[N, rows * columns, channels]` here.
fn compare(
    name: &str,
    found: &Activation,
    shape: &[usize],
    expected: &[f64],
    tolerance: f64,
    checks: &mut Checks,
) {
    let [examples, channels, rows, cols] = shape[..] else {
        // A dimension of 1 may be spelled or left out.
        let wide = |shape: &[usize]| -> Vec<usize> {
            shape.iter().copied().filter(|&size| size != 1).collect()
        };
        checks.equal(
            &format!("shape of {name}"),
            &wide(&found.shape),
            &wide(shape),
        );
        return checks.close(name, &found.values, expected, tolerance);
    };
    let cells = rows * cols;
    let ours = [examples, cells, channels];
    checks.equal(&format!("shape of {name}"), &found.shape, &ours);
    let mut last = Vec::with_capacity(expected.len());
    for image in expected.chunks((channels * cells).max(1)) {
        for cell in 0..cells {
            last.extend(image.iter().skip(cell).step_by(cells.max(1)).take(channels));
        }
    }
    checks.close(name, &found.values, &last, tolerance);
}

/// `in.local_obs` and `in.global_obs` of a golden.
pub(super) fn observations(
    planner: &Planner,
    arrays: &ArrayMap,
) -> Result<Observations, CaseError> {
    let (_, local) = integers(arrays, "in.local_obs")?;
    let (_, global) = integers(arrays, "in.global_obs")?;
    Ok(Observations::new(planner.config(), local, global)?)
}
