//! The published cells: which file holds the gap, which checkpoint belongs to it.

use super::Downstream;
use crate::analysis::correlation::without_bare_tokens;
use crate::formats::{Limits, read_file};
use crate::models::control::ControlTask;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A published cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its task.
    pub task: ControlTask,
    /// Millions of parameters, as models of this kind are called.
    pub model_size: u32,
    /// Seed of training and of the planner.
    pub seed: u32,
    /// What tells it from the others of its task, in the names of its files.
    suffix: &'static str,
}

const fn entry(task: ControlTask, model_size: u32, seed: u32, suffix: &'static str) -> Entry {
    Entry {
        task,
        model_size,
        seed,
        suffix,
    }
}

/// The ten cells in their order.
pub const REGISTRY: [Entry; 10] = [
    entry(ControlTask::Reacher, 1, 0, ""),
    entry(ControlTask::Reacher, 1, 1, "_seed1"),
    entry(ControlTask::Reacher, 1, 2, "_seed2"),
    entry(ControlTask::Cartpole, 1, 0, ""),
    entry(ControlTask::Cartpole, 1, 1, "_seed1"),
    entry(ControlTask::Cartpole, 1, 2, "_seed2"),
    entry(ControlTask::Cartpole, 5, 0, "_size5_seed0"),
    entry(ControlTask::Cartpole, 5, 1, "_size5_seed1"),
    entry(ControlTask::Cartpole, 5, 2, "_size5_seed2"),
    entry(ControlTask::Acrobot, 1, 0, ""),
];

impl Entry {
    /// Name of the file of the gap.
    pub fn file(&self) -> String {
        format!("tdmpc2_cpg{}.json", self.suffix)
    }

    /// Name of the checkpoint, without its ending.
    pub fn checkpoint(&self) -> String {
        format!("tdmpc2_{}{}", self.task.short_name(), self.suffix)
    }

    /// Steps that the published model was trained for.
    pub fn training_steps(&self) -> u64 {
        match self.task {
            ControlTask::Cartpole => 1_000_000,
            _ => 500_000,
        }
    }

    /// `ENV/FILE`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.task.name(), self.file())
    }

    /// `ENV/FILE` of the gap over all seeds of this model; none where it has one seed.
    pub fn pooled_name(&self) -> Option<String> {
        let same = |other: &&Self| (other.task, other.model_size) == (self.task, self.model_size);
        if REGISTRY.iter().filter(same).count() < 2 {
            return None;
        }
        let size = match self.model_size {
            1 => String::new(),
            size => format!("_size{size}"),
        };
        Some(format!("{}/tdmpc2_cpg{size}_pooled.json", self.task.name()))
    }

    /// The checkpoint in a folder: PyTorch's, or safetensors.
    pub fn find_checkpoint(&self, folder: &Path) -> Result<PathBuf, PathBuf> {
        let name = self.checkpoint();
        let wanted = folder.join(format!("{name}.pt"));
        let other = folder.join(format!("{name}.safetensors"));
        let found = [&wanted, &other].into_iter().find(|path| path.is_file());
        found.cloned().ok_or(wanted)
    }
}

/// A cell that was left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Skipped {
    /// `ENV/FILE`.
    pub cell: String,
    /// Why.
    pub reason: String,
    /// Environment.
    pub env: String,
    /// Name of the file of the gap.
    pub file: String,
    /// The published gap, where its file was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
    /// The file that is missing or cannot be used.
    pub path: String,
}

/// Where gaps are read from: a folder of results, or one file with a list of cells.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// `DIR/ENV/FILE`, one file a cell.
    Folder(PathBuf),
    /// `cells[]` whose `file` ends with `ENV/FILE`.
    List(PathBuf, Vec<Value>),
}

impl Source {
    /// The source at a path. A folder need not exist: its cells are missing then.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub fn open(path: &Path) -> Result<Self, String> {
        if !path.is_file() {
            return Ok(Self::Folder(path.to_path_buf()));
        }
        let value = read(path)?;
        match value.get("cells").and_then(Value::as_array) {
            Some(cells) => Ok(Self::List(path.to_path_buf(), cells.clone())),
            None => Err(format!(
                "{}: cells: expected a list, found none",
                path.display()
            )),
        }
    }

    /// The gap of a cell, or the path that is missing.
    ///
    /// # Errors
    /// Where it was looked for, and what is wrong there.
    pub fn find(&self, entry: &Entry) -> Result<Downstream, (PathBuf, String)> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(entry.task.name()).join(entry.file());
                if !path.is_file() {
                    return Err((path, "missing result JSON".into()));
                }
                let value = read(&path).map_err(|reason| (path.clone(), reason))?;
                downstream(&value).map_err(|reason| (path, reason))
            }
            Self::List(path, cells) => {
                let name = entry.name();
                let ends = |cell: &&Value| {
                    let file = cell.get("file").and_then(Value::as_str);
                    file.is_some_and(|file| file == name || file.ends_with(&format!("/{name}")))
                };
                let mut found = cells.iter().filter(ends);
                let cell = found.next();
                let cell = cell.ok_or_else(|| (path.clone(), format!("missing result {name}")))?;
                if found.next().is_some() {
                    let reason = format!("result {name}: expected once, found twice");
                    return Err((path.clone(), reason));
                }
                downstream(cell).map_err(|reason| (path.clone(), reason))
            }
        }
    }
}

fn read(path: &Path) -> Result<Value, String> {
    let limits = Limits {
        file_bytes: 64 << 20,
        ..Limits::default()
    };
    let bytes = read_file(path, &limits).map_err(|error| error.to_string())?;
    let refuse = |error: String| format!("{}: not JSON: {error}", path.display());
    let text = String::from_utf8(bytes).map_err(|error| refuse(error.to_string()))?;
    // Python writes numbers that are not finite as they are; one cell's must not cost the others theirs.
    let (text, _) = without_bare_tokens(&text);
    serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))
}

/// Deepest nesting of a result that is searched.
const DEPTH: usize = 8;

/// The first value of a key, outermost first.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let mut level = vec![value];
    for _ in 0..DEPTH {
        let own = level.iter().find_map(|value| value.get(key));
        if own.is_some_and(|own| !own.is_null()) {
            return own;
        }
        let objects = level.iter().filter_map(|value| value.as_object());
        level = objects.flat_map(|object| object.values()).collect();
    }
    None
}

/// What a result says of a cell; its entries may lie in objects of it.
///
/// # Errors
/// Which entry is missing or not as it must be.
pub fn downstream(result: &Value) -> Result<Downstream, String> {
    let number = |key: &str| {
        let value = find(result, key).and_then(Value::as_f64);
        let value = value.filter(|value| value.is_finite());
        value.ok_or_else(|| match find(result, key) {
            Some(found) => format!("{key}: expected a finite number, found {found}"),
            None => format!("{key}: expected a finite number, found none"),
        })
    };
    let verdict = find(result, "verdict").and_then(Value::as_str);
    Ok(Downstream {
        verdict: verdict
            .ok_or("verdict: expected text, found none")?
            .to_owned(),
        gap: number("gap")?,
        oracle_success_rate: number("oracle_success_rate")?,
        learned_success_rate: number("learned_success_rate")?,
        training_steps: find(result, "training_steps").and_then(Value::as_u64),
    })
}
