//! The planner's folders: one case after another, in the order of the index.

use super::checks::{CaseError, Cases, Checks};
use super::folder::{Folder, Node};
use super::models;
use super::procedural::{self, Procedure};
use super::{environment, losses, schedules, traces};
use crate::device::Device;

pub(super) fn run(folder: &Folder, device: &Device, cases: &mut Cases) {
    let index = folder.index();
    for (key, entry) in index.entries() {
        match key {
            // Words for the reader.
            "what" | "torch" | "conventions" | "tolerances" | "provenance" => {}
            "procedural_check" => {
                let models = procedures(&index);
                let body = |checks: &mut Checks| procedural::check(&entry, &models?, checks);
                cases.run(key, "procedural", body);
            }
            "losses" => losses::run(folder, &entry, cases),
            "schedules" => schedules::run(folder, &entry, cases),
            "env" => environment::run(folder, &entry, cases),
            "traces" => traces::run(folder, &entry, device, cases),
            "train" => training(&entry, cases),
            _ => models::run(folder, key, &entry, device, cases),
        }
    }
}

/// Models of the index whose weights follow from rules.
fn procedures<'a>(index: &Node<'a>) -> Result<Vec<(String, Procedure<'a>)>, CaseError> {
    let entries = index.entries().into_iter();
    entries
        .filter(|(_, entry)| entry.find("rules").is_some())
        .map(|(key, entry)| Ok((key.to_owned(), Procedure::read(&entry)?)))
        .collect()
}

fn training(entry: &Node<'_>, cases: &mut Cases) {
    let entries = match entry.elements() {
        Ok(entries) => entries,
        Err(error) => return cases.run("train", "training", |_| Err(error)),
    };
    for (at, entry) in entries.iter().enumerate() {
        let file = entry.text("file").map(str::to_owned);
        let name = file.unwrap_or_else(|_| format!("train.{at}"));
        let reason = "gradients of the model and training steps need reverse mode";
        cases.unsupported(&name, "training", reason);
    }
}
