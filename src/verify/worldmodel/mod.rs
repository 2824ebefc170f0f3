//! Goldens of world models: the maze study, its statistics, control tasks, TD-MPC2 and its planner.
//!
//! A folder of this family has no index: every JSON file describes cases whose tensors lie beside it, in
//! the safetensors file of the same name. What a file holds is read from its entries, not its name.

mod correlate;
mod maze;
mod networks;
mod oracles;
mod planning;
mod published;
mod random;
mod stage2;
mod statistics;
mod training;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checks::{CaseError, Cases};
use super::folder::{Folder, read_index};
use crate::device::Device;

/// What the JSON file of a golden describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    Random,
    Statistics,
    Correlate,
    WithinEnvironment,
    MazeEnvironments,
    MazeTraces,
    MazeCells,
    MazeReference,
    Oracles,
    Stage2,
    Tdmpc2,
    Published,
}

/// Tells the contents by their entries.
fn contents(index: &Value) -> Option<Contents> {
    let has = |keys: &[&str]| keys.iter().all(|key| index.get(*key).is_some());
    let elements = index.as_array().into_iter().flatten();
    let values = index.as_object().into_iter().flat_map(|map| map.values());
    let each = |mut items: Box<dyn Iterator<Item = &Value> + '_>, keys: &[&str]| {
        items.any(|item| keys.iter().all(|key| item.get(*key).is_some()))
    };
    let list: Vec<&Value> = elements.collect();
    let entries: Vec<&Value> = values.collect();
    let any_element = |keys: &[&str]| each(Box::new(list.iter().copied()), keys);
    let any_entry = |keys: &[&str]| each(Box::new(entries.iter().copied()), keys);
    let cells_by_name = index.get("cells").is_some_and(Value::is_object);
    Some(if any_element(&["seed", "u32"]) {
        Contents::Random
    } else if any_element(&["cells", "result"]) {
        Contents::Correlate
    } else if has(&["correlations"]) {
        Contents::Statistics
    } else if has(&["rows", "within_env_correlation"]) {
        Contents::WithinEnvironment
    } else if has(&["envs"]) {
        Contents::MazeEnvironments
    } else if has(&["traces", "layouts"]) {
        Contents::MazeTraces
    } else if has(&["layout", "meta", "cells"]) {
        Contents::MazeCells
    } else if cells_by_name {
        Contents::MazeReference
    } else if has(&["protocol", "cells", "oracle"]) {
        Contents::Stage2
    } else if has(&["config", "state_dict_names"]) {
        Contents::Tdmpc2
    } else if any_entry(&["constants", "actions"]) {
        Contents::Oracles
    } else if has(&["metric"]) || has(&["cells"]) {
        Contents::Published
    } else {
        return None;
    })
}

/// Whether a file is one of this family, whatever its name. What other families may hold too counts only beside
/// one of its own.
pub(super) fn tells(index: &Value) -> bool {
    let cells = index.get("cells").and_then(Value::as_array);
    let mut arms = cells.into_iter().flatten();
    match contents(index) {
        Some(Contents::Published) => {
            arms.any(|cell| cell.get("gap").is_some() && cell.get("oracle_success_rate").is_some())
        }
        Some(Contents::MazeReference | Contents::MazeEnvironments) | None => false,
        Some(_) => true,
    }
}

/// Verifies every described file of one folder.
pub(super) fn run(path: &Path, files: &[PathBuf], device: &Device, cases: &mut Cases) {
    let json = |file: &&PathBuf| file.extension().is_some_and(|found| found == "json");
    for file in files.iter().filter(json) {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let index = match read_index(file) {
            Ok(index) => index,
            Err(error) => {
                let reason = error.to_string();
                cases.run(&stem, "worldmodel", |_| Err(CaseError::Engine(reason)));
                continue;
            }
        };
        let kind = contents(&index);
        let folder = Folder::new(path, index);
        match kind {
            Some(Contents::Random) => random::run(&folder, &stem, cases),
            Some(Contents::Statistics) => statistics::run(&folder, &stem, cases),
            Some(Contents::Correlate) => correlate::run(&folder, &stem, cases),
            Some(Contents::WithinEnvironment) => correlate::within(&folder, &stem, cases),
            Some(Contents::MazeEnvironments) => maze::environments(&folder, &stem, cases),
            Some(Contents::MazeTraces) => maze::traces(&folder, &stem, device, cases),
            Some(Contents::MazeCells) => {
                maze::cells(&folder, &stem, device, cases);
                training::run(&folder, &stem, device, cases);
            }
            Some(Contents::MazeReference) => maze::reference(&folder, &stem, device, cases),
            Some(Contents::Oracles) => oracles::run(&folder, &stem, device, cases),
            Some(Contents::Stage2) => stage2::run(&folder, &stem, device, cases),
            Some(Contents::Tdmpc2) => {
                networks::run(&folder, &stem, device, cases);
                planning::run(&folder, &stem, device, cases);
            }
            Some(Contents::Published) => {
                published::run(&folder, &stem, device, cases);
                stage2::oracle_arms(&folder, &stem, cases);
            }
            None => cases.unsupported(&stem, "worldmodel", "a file of a kind that is not known"),
        }
    }
}
