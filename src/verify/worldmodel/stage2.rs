//! Adapters of world models against the true dynamics.
//!
//! What a file says of the training of its cells (`fit_steps`, `fit_loss`, `note`) is provenance; nothing
//! here could compute it.

mod arms;
mod calls;
mod gaps;
mod rows;

pub(super) use arms::oracle_arms;

use super::statistics::{engine, unknown};
use crate::analysis::stage2::SampleSettings;
use crate::analysis::stage2::arms::Protocol;
use crate::device::{Device, Precision};
use crate::formats::ArrayMap;
use crate::models::adapter::{Adapter, AdapterArch};
use crate::models::control::ControlTask;
use crate::samplers::shooting::ShootingSettings;
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node};

const KIND: &str = "stage2";

/// What a file of cells holds beside them.
struct File<'a> {
    index: Node<'a>,
    arrays: ArrayMap,
    protocol: Protocol,
    sample: SampleSettings,
    /// Where learned maps run: published ones are in single precision.
    device: Device,
}

/// One case for the tensors of the file, several an environment and a cell.
pub(super) fn run(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    let file = match open(folder, stem, device) {
        Ok(file) => file,
        Err(error) => return cases.run(stem, KIND, |_| Err(error)),
    };
    cases.run(stem, KIND, |checks| inventory(&file, checks));
    for (env, oracle) in file.index.find("oracle").iter().flat_map(Node::entries) {
        let name = format!("{stem}.{env}");
        cases.run(&format!("{name}.oracle"), KIND, |checks| {
            rows::oracle(&file, env, checks)
        });
        cases.run(&format!("{name}.arm"), KIND, |checks| {
            let task = task(env)?;
            for (key, _) in oracle.entries() {
                if !["episodes", "plan_calls", "actions"].contains(&key) {
                    unknown(key, checks);
                }
            }
            checks.remark("in double precision on the CPU".into());
            let exact = Device::cpu_f64();
            arms::compare(&file, (task, &task), &oracle, &exact, checks)
        });
        cases.run(&format!("{name}.plans"), KIND, |checks| {
            let task = task(env)?;
            checks.remark("in double precision on the CPU".into());
            calls::compare(&file, (task, &task), &oracle, &Device::cpu_f64(), checks)
        });
    }
    for cell in cells(&file).unwrap_or_default() {
        let name = cell.text("key").unwrap_or("cell");
        let name = format!("{stem}.{name}");
        cases.run(&format!("{name}.predictions"), KIND, |checks| {
            rows::predictions(&file, &cell, checks)
        });
        cases.run(&format!("{name}.row"), KIND, |checks| {
            rows::row(&file, &cell, checks)
        });
        cases.run(&format!("{name}.arm"), KIND, |checks| {
            let (task, adapter) = adapter(&file, &cell)?;
            arms::compare(&file, (task, &adapter), &cell, &file.device, checks)
        });
        cases.run(&format!("{name}.plans"), KIND, |checks| {
            let (task, adapter) = adapter(&file, &cell)?;
            calls::compare(&file, (task, &adapter), &cell, &file.device, checks)
        });
        cases.run(&format!("{name}.gap"), KIND, |checks| {
            gaps::of_cell(&file, &cell, checks)
        });
    }
    cases.run(&format!("{stem}.within_env"), KIND, |checks| {
        gaps::within(&file, checks)
    });
}

fn open<'a>(folder: &'a Folder, stem: &str, device: &Device) -> Result<File<'a>, CaseError> {
    let index = folder.index();
    let protocol = index.get("protocol")?;
    let settings = ShootingSettings::random(
        protocol.size("num_candidates")?,
        protocol.size("plan_horizon")?,
    );
    if !protocol.get("varied_init")?.as_bool()? {
        let reason = "episodes that all begin in one state";
        return Err(CaseError::Unsupported(reason.into()));
    }
    let device = match device.precision() {
        Precision::F64 => Device::cpu(),
        Precision::F32 => device.clone(),
    };
    Ok(File {
        arrays: folder.arrays(&format!("{stem}.safetensors"))?,
        protocol: Protocol {
            planner: settings,
            horizon: protocol.size("horizon")?,
            episodes: protocol.size("episodes")?,
            seed: protocol.size("planner_seed")? as u32,
        },
        sample: SampleSettings {
            n_states: protocol.size("n_states")?,
            k_steps: protocol.size("k_steps")?,
            state_sample_seed: protocol.size("state_sample_seed")? as u64,
        },
        index,
        device,
    })
}

fn cells<'a>(file: &File<'a>) -> Result<Vec<Node<'a>>, CaseError> {
    file.index.get("cells")?.elements()
}

fn task(env: &str) -> Result<ControlTask, CaseError> {
    ControlTask::parse(env).map_err(|error| CaseError::Unsupported(error.to_string()))
}

/// The networks of a cell.
fn adapter(file: &File<'_>, cell: &Node<'_>) -> Result<(ControlTask, Adapter), CaseError> {
    let task = task(cell.text("env")?)?;
    let prefix = format!("{}.w.", cell.text("key")?);
    let mut map = ArrayMap::new(file.arrays.file());
    for (name, array) in file.arrays.iter() {
        if let Some(own) = name.strip_prefix(&prefix) {
            map.insert(own, array.clone())?;
        }
    }
    let arch: AdapterArch =
        serde_json::from_value(cell.get("arch")?.json().clone()).map_err(engine)?;
    let actions = crate::analysis::stage2::arms::action_table(task);
    Ok((task, Adapter::new(&map, arch, actions).map_err(engine)?))
}

/// Every entry and tensor is one that a case reads.
fn inventory(file: &File<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    const ENTRIES: [&str; 6] = [
        "note",
        "protocol",
        "cells",
        "oracle",
        "within_env_correlation_vs_committed_gap",
        "within_env_correlation_vs_measured_gap",
    ];
    const PROTOCOL: [&str; 8] = [
        "num_candidates",
        "plan_horizon",
        "episodes",
        "horizon",
        "planner_seed",
        "varied_init",
        "n_states",
        "k_steps",
    ];
    for (name, _) in file.index.entries() {
        if !ENTRIES.contains(&name) {
            unknown(name, checks);
        }
    }
    for (name, _) in file.index.get("protocol")?.entries() {
        if !PROTOCOL.contains(&name) && name != "state_sample_seed" {
            unknown(name, checks);
        }
    }
    let mut known = Vec::new();
    let oracles = file.index.find("oracle");
    for (env, _) in oracles.iter().flat_map(Node::entries) {
        known.push(format!("{env}.states"));
        known.push(format!("{env}.oracle_pred"));
    }
    let mut weights = Vec::new();
    for cell in cells(file)? {
        let key = cell.text("key")?;
        checks.hold(!known.contains(&format!("{key}.pred")), || {
            format!("cells: {key}: expected once, found twice")
        });
        known.push(format!("{key}.pred"));
        weights.push(format!("{key}.w."));
        let env = cell.text("env")?;
        checks.hold(known.contains(&format!("{env}.states")), || {
            format!("oracle: expected an entry {env} for cell {key}, found none")
        });
    }
    for name in file.arrays.names() {
        let is_weight = weights.iter().any(|prefix| name.starts_with(prefix));
        if !is_weight && !known.iter().any(|known| known == name) {
            unknown(name, checks);
        }
    }
    Ok(())
}
