//! Goldens of tangents and exponents: QR, maps, recursive reasoners, the two-by-two analysis.
//!
//! A folder of this family has no index: every JSON file describes cases whose tensors lie beside it, in
//! the safetensors file of the same name. What a file holds is read from its entries, not its name.

mod maps;
mod models;
mod qr;
mod two_by_two;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checks::{CaseError, Cases};
use super::folder::{Folder, read_index};
use crate::device::Device;

/// What the JSON file of a golden describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    Qr,
    Maps,
    Model,
    TwoByTwo,
}

/// Tells the contents by their entries.
fn contents(index: &Value) -> Option<Contents> {
    let entries = index.as_object()?;
    let has = |key: &str| entries.contains_key(key);
    let any = |keys: &[&str]| {
        let inner = |entry: &Value| keys.iter().all(|key| entry.get(*key).is_some());
        entries.values().any(inner)
    };
    if has("tags") {
        Some(Contents::TwoByTwo)
    } else if has("arch") && has("config") {
        Some(Contents::Model)
    } else if any(&["batch", "m", "n"]) || any(&["true_rank"]) {
        Some(Contents::Qr)
    } else if entries.values().any(Value::is_object) {
        Some(Contents::Maps)
    } else {
        None
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
                cases.run(&stem, "ftle", |_| Err(CaseError::Engine(reason)));
                continue;
            }
        };
        let kind = contents(&index);
        let folder = Folder::new(path, index);
        match kind {
            Some(Contents::Qr) => qr::run(&folder, &stem, device, cases),
            Some(Contents::Maps) => maps::run(&folder, &stem, device, cases),
            Some(Contents::Model) => models::run(&folder, &stem, device, cases),
            Some(Contents::TwoByTwo) => two_by_two::run(&folder, &stem, cases),
            None => cases.unsupported(&stem, "ftle", "a file of a kind that is not known"),
        }
    }
}
