//! Adapters on disk: a PyTorch checkpoint, or safetensors with a JSON file beside it.

use super::{Adapter, AdapterArch, AdapterError};
use crate::formats::pickle::PickleValue;
use crate::formats::torch::{Checkpoint, StateDict};
use crate::formats::{FileKind, Limits, read_file, safetensors, sniff};
use serde_json::{Map, Value};
use std::path::Path;

/// The key of the weights in a checkpoint.
const WEIGHTS: &str = "model_state";
/// What a checkpoint holds beside its weights.
const ENTRIES: [&str; 4] = ["arch", "action_levels", "action_set", "meta"];
/// Deepest nesting of what is kept of a checkpoint's free entries.
const DEPTH: usize = 16;

/// An adapter with what its file says of it.
#[derive(Debug, Clone)]
pub struct AdapterFile {
    /// The networks.
    pub adapter: Adapter,
    /// Free entries of training, or null.
    pub meta: Value,
    /// Hash of the weights' contents.
    pub weights_hash: String,
}

impl AdapterFile {
    /// Reads an adapter: a dictionary of `model_state`, `arch`, `action_levels` (numbers, actions of one
    /// dimension) or `action_set` (lists of numbers), and perhaps `meta`, as a PyTorch zip checkpoint; or
    /// the weights as safetensors and the rest as `NAME.json` beside `NAME.safetensors`.
    ///
    /// # Errors
    /// [`AdapterError`] naming the file and the entry or tensor that does not fit.
    pub fn load(path: &Path) -> Result<Self, AdapterError> {
        let limits = Limits::default();
        let bytes = read_file(path, &limits)?;
        let (map, entries, file) = match sniff(path, &bytes)? {
            FileKind::Torch => {
                let checkpoint = Checkpoint::parse(path, &bytes, &limits)?;
                let choice = StateDict {
                    key: Some(WEIGHTS.into()),
                    strip_prefixes: true,
                };
                let map = checkpoint.state_dict(&choice)?;
                (map, entries_of(&checkpoint), path.to_path_buf())
            }
            FileKind::Safetensors => {
                let beside = path.with_extension("json");
                let text = read_file(&beside, &limits)?;
                let entries = parse(&beside, &text)?;
                (safetensors::parse(path, &bytes, &limits)?, entries, beside)
            }
            FileKind::Npz => {
                let expected = "a PyTorch checkpoint, or safetensors with JSON beside it";
                return Err(wrong(path, "file", expected, "npz"));
            }
        };
        let arch = entries.get("arch").cloned().unwrap_or(Value::Null);
        let arch: AdapterArch = serde_json::from_value(arch)
            .map_err(|error| wrong(&file, "arch", "the sizes of the networks", error))?;
        let actions = actions(&file, &entries, arch.action_dim)?;
        Ok(Self {
            adapter: Adapter::new(&map, arch, actions)?,
            meta: entries.get("meta").cloned().unwrap_or(Value::Null),
            weights_hash: map.content_hash(),
        })
    }
}

fn wrong(file: &Path, entry: &str, expected: impl ToString, found: impl ToString) -> AdapterError {
    AdapterError::Entry {
        file: file.display().to_string(),
        entry: entry.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

fn parse(file: &Path, text: &[u8]) -> Result<Map<String, Value>, AdapterError> {
    let expected = "an object of arch, actions and meta";
    match serde_json::from_slice(text) {
        Ok(Value::Object(entries)) => Ok(entries),
        Ok(other) => {
            let found: String = other.to_string().chars().take(60).collect();
            Err(wrong(file, "JSON", expected, found))
        }
        Err(error) => Err(wrong(file, "JSON", expected, error)),
    }
}

fn entries_of(checkpoint: &Checkpoint<'_>) -> Map<String, Value> {
    let found = ENTRIES.iter().filter_map(|key| {
        let value = checkpoint.root().get(key)?;
        Some(((*key).to_string(), json(value, 0)))
    });
    found.collect()
}

/// A pickled value as JSON; what has no place in JSON is told in words.
fn json(value: &PickleValue, depth: usize) -> Value {
    match value {
        _ if depth > DEPTH => Value::String("...".into()),
        PickleValue::None => Value::Null,
        PickleValue::Bool(value) => Value::Bool(*value),
        PickleValue::Int(value) => Value::from(*value),
        PickleValue::Float(value) => Value::from(*value),
        PickleValue::Str(value) => Value::String(value.to_string()),
        PickleValue::List(items) | PickleValue::Tuple(items) => {
            items.iter().map(|item| json(item, depth + 1)).collect()
        }
        PickleValue::Dict(entries) => {
            let named = entries.iter().filter_map(|(key, value)| {
                Some((key.as_str()?.to_string(), json(value, depth + 1)))
            });
            Value::Object(named.collect())
        }
        other => Value::String(other.describe()),
    }
}

/// The actions as rows of `width` numbers.
fn actions(
    file: &Path,
    entries: &Map<String, Value>,
    width: usize,
) -> Result<Vec<f64>, AdapterError> {
    let given = |key: &str| entries.get(key).filter(|value| !value.is_null());
    let (key, value) = match (given("action_levels"), given("action_set")) {
        (Some(levels), None) => ("action_levels", levels),
        (None, Some(set)) => ("action_set", set),
        (levels, _) => {
            let found = if levels.is_some() { "both" } else { "neither" };
            let expected = "either of the two";
            return Err(wrong(file, "action_levels, action_set", expected, found));
        }
    };
    let number = |value: &Value| {
        value
            .as_f64()
            .ok_or_else(|| wrong(file, key, "numbers", value))
    };
    let rows = value
        .as_array()
        .ok_or_else(|| wrong(file, key, "a list", value))?;
    let mut actions = Vec::with_capacity(rows.len());
    for row in rows {
        match row.as_array() {
            Some(row) if key == "action_set" && row.len() == width => {
                for value in row {
                    actions.push(number(value)?);
                }
            }
            None if key == "action_levels" && width == 1 => actions.push(number(row)?),
            _ => {
                let expected = format!("actions of action_dim = {width} numbers");
                return Err(wrong(file, key, expected, row));
            }
        }
    }
    Ok(actions)
}
