//! Finding golden folders and telling their families apart.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checks::Cases;
use super::error::VerifyError;
use super::folder::{Folder, read_index};
use super::report::Report;
use super::{flow, ftle, remdm, worldmodel};
use crate::device::Device;

/// Folders below the one given that are looked into.
const DEPTH: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Remdm,
    Flow,
    Ftle,
    WorldModel,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Remdm => "remdm",
            Self::Flow => "flow",
            Self::Ftle => "ftle",
            Self::WorldModel => "worldmodel",
        }
    }
}

pub(super) fn run(folder: &Path, device: &Device) -> Result<Report, VerifyError> {
    let mut cases = Cases::default();
    if !walk(folder, "", device, &mut cases, DEPTH)? {
        return Err(VerifyError::NotGolden {
            path: folder.display().to_string(),
        });
    }
    Ok(Report {
        folder: folder.display().to_string(),
        device: device.info().summary(),
        cases: cases.done,
    })
}

/// Whether there was a golden folder.
fn walk(
    folder: &Path,
    prefix: &str,
    device: &Device,
    cases: &mut Cases,
    depth: usize,
) -> Result<bool, VerifyError> {
    let (files, folders) = list(folder)?;
    cases.prefix = prefix.to_owned();
    let index = folder.join("index.json");
    if files.contains(&index) {
        let index = read_index(&index)?;
        match family_of_index(&index) {
            Some(Family::Remdm) => remdm::run(&Folder::new(folder, index), device, cases),
            Some(Family::Flow) => flow::run(&Folder::new(folder, index), device, cases),
            Some(family) => list_index(&index, family, cases),
            // Some other project's index is no golden.
            None => return Ok(false),
        }
        return Ok(true);
    }
    let mut found = false;
    if let Some(family) = family_of_files(&files).or_else(|| family_of_contents(&files)) {
        match family {
            Family::Ftle => ftle::run(folder, &files, device, cases),
            Family::WorldModel => worldmodel::run(folder, &files, device, cases),
            family => list_files(&files, family, cases),
        }
        found = true;
    }
    if depth > 0 {
        for inner in folders {
            let name = inner.file_name().unwrap_or_default().to_string_lossy();
            let prefix = format!("{prefix}{name}/");
            found |= walk(&inner, &prefix, device, cases, depth - 1)?;
        }
    }
    Ok(found)
}

fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), VerifyError> {
    let failed = |error: std::io::Error| VerifyError::Read {
        path: folder.display().to_string(),
        message: error.to_string(),
    };
    let entries: Result<Vec<_>, _> = std::fs::read_dir(folder).map_err(failed)?.collect();
    let mut paths: Vec<PathBuf> = entries
        .map_err(failed)?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    // A link to a folder may lead in a circle.
    let is_folder = |path: &PathBuf| path.is_dir() && !path.is_symlink();
    Ok(paths
        .into_iter()
        .filter(|path| path.is_file() || is_folder(path))
        .partition(|path| path.is_file()))
}

/// The family with the most of its keys in the index. Cases of flow matching are also told by their
/// layout: their names are free.
fn family_of_index(index: &Value) -> Option<Family> {
    let count = |keys: &[&str]| keys.iter().filter(|key| index.get(**key).is_some()).count();
    let planner = count(&[
        "conventions",
        "model",
        "forward",
        "procedural_check",
        "schedules",
        "train",
        "traces",
        "env",
    ]);
    let named = count(&[
        "decoder_base",
        "decoder_slot",
        "trajectories",
        "decoder_full",
        "flow_time",
        "transform",
        "lds",
        "training",
        "readouts",
        "ranker",
        "regression",
        "evaluation",
        "benchmark",
    ]);
    let entries = index.as_object().into_iter().flatten();
    let laid_out = entries.filter(|(_, entry)| flow::is_case(entry)).count();
    match (planner, named.max(laid_out)) {
        (0, 0) => None,
        (planner, flow) if planner >= flow => Some(Family::Remdm),
        _ => Some(Family::Flow),
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|found| found == wanted)
}

/// The family of a folder without an index, from the names of its files.
fn family_of_files(files: &[PathBuf]) -> Option<Family> {
    let families = [
        (
            Family::Ftle,
            &["maps", "qr", "hrm_", "trm_", "manifest"][..],
        ),
        (
            Family::WorldModel,
            &[
                "tdmpc2_",
                "maze_",
                "stage2_",
                "dmc_oracles",
                "stats_primitives",
                "correlate_",
                "within_env",
                "python_random",
            ][..],
        ),
    ];
    let described = files.iter().filter(|path| has_extension(path, "json"));
    let stems: Vec<String> = described.map(|path| stem(path)).collect();
    families.into_iter().find_map(|(family, starts)| {
        let fits = |stem: &String| starts.iter().any(|start| stem.starts_with(start));
        stems.iter().any(fits).then_some(family)
    })
}

/// The family of a folder whose files have names of their own, from what their JSON holds.
fn family_of_contents(files: &[PathBuf]) -> Option<Family> {
    let described = files.iter().filter(|path| has_extension(path, "json"));
    let mut indices = described.filter_map(|path| read_index(path).ok());
    indices
        .any(|index| worldmodel::tells(&index))
        .then_some(Family::WorldModel)
}

/// One line a case kind of a family that is not there yet.
fn list_index(index: &Value, family: Family, cases: &mut Cases) {
    let reason = format!("the engine has no {} cases yet", family.name());
    for (key, value) in index.as_object().into_iter().flatten() {
        if value.is_object() || value.is_array() {
            cases.unsupported(key, family.name(), &reason);
        }
    }
}

/// One line a file of a family that is not there yet; tensors belong to the JSON beside them.
fn list_files(files: &[PathBuf], family: Family, cases: &mut Cases) {
    let reason = format!("the engine has no {} cases yet", family.name());
    for file in files.iter().filter(|path| has_extension(path, "json")) {
        cases.unsupported(&stem(file), family.name(), &reason);
    }
}
