//! Networks of TD-MPC2: every `io.*` tensor of a file, the names and number of its weights.
//!
//! Tensors `w.*` are weights under the names of a state dictionary, `plan*` belong to the planner's cases.

mod graph;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::device::Device;
use crate::formats::ArrayMap;
use crate::models::tdmpc2::{Tdmpc2, Tdmpc2Config, state_dict};
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node, numbers};

/// Errors of networks' outputs, absolute.
const NETWORK: f64 = 5e-6;
/// Errors of decoded rewards and values, absolute.
const VALUE: f64 = 2e-5;
/// Errors of log_std: half its range of 12 times that of a hyperbolic tangent of a network's output.
const LOG_STD: f64 = 6.0 * NETWORK;
/// Errors of entropies, over 1 + 1 / (1 - action^2) summed over actions: the logarithm of what is left of a
/// saturated action knows that only as well as the action.
const ENTROPY: f64 = 1e-5;
/// Errors of weights of bins: a place among a hundred bins has lost seven of 24 bits.
const BIN: f64 = 3e-5;

fn engine(error: impl std::fmt::Display) -> CaseError {
    CaseError::Engine(error.to_string())
}

/// One file: its tensors, and which have been looked at.
struct NetworkCase<'a> {
    arrays: &'a ArrayMap,
    seen: std::cell::RefCell<BTreeSet<String>>,
}

impl NetworkCase<'_> {
    /// Shape and numbers of `io.NAME`.
    fn tensor(&self, name: &str) -> Result<(Vec<usize>, Vec<f64>), CaseError> {
        let full = format!("io.{name}");
        let found = numbers(self.arrays, &full)?;
        self.seen.borrow_mut().insert(full);
        Ok(found)
    }

    /// The numbers of `io.NAME` in a shape that must fit.
    fn shaped(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, CaseError> {
        let (found, values) = self.tensor(name)?;
        match found == shape {
            true => Ok(values),
            false => Err(engine(format!(
                "io.{name}: expected {shape:?}, found {found:?}"
            ))),
        }
    }

    /// Tensors that nothing was compared with.
    fn left(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        let own = self.arrays.names().filter(|name| {
            let known = name.starts_with("w.") || name.starts_with("plan");
            !known && !seen.contains(*name)
        });
        own.map(str::to_string).collect()
    }
}

/// The weights of a file, under their names in a state dictionary.
pub(super) fn weights(arrays: &ArrayMap) -> Result<ArrayMap, CaseError> {
    let mut map = ArrayMap::new(arrays.file());
    for (name, array) in arrays.iter() {
        if let Some(name) = name.strip_prefix("w.") {
            map.insert(name, array.clone())?;
        }
    }
    Ok(map)
}

pub(super) fn run(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    cases.run(stem, "networks", |checks| {
        let arrays = folder.arrays(&format!("{stem}.safetensors"))?;
        let index = folder.index();
        let config =
            Tdmpc2Config::from_json(&format!("{stem}.json"), index.json()).map_err(engine)?;
        let weights = weights(&arrays)?;
        check_index(&index, &config, &weights, checks)?;
        let model = Tdmpc2::read(&weights, &config, None).map_err(engine)?;
        let case = NetworkCase {
            arrays: &arrays,
            seen: Default::default(),
        };
        let ranges = graph::check(&case, &model, device, checks)?;
        check_ranges(&index, &ranges, checks)?;
        match case.left().first() {
            None => Ok(()),
            Some(tensor) => Err(CaseError::Unsupported(format!(
                "tensor {tensor} is not known"
            ))),
        }
    });
}

/// Numbers and names that the index states.
fn check_index(
    index: &Node<'_>,
    config: &Tdmpc2Config,
    weights: &ArrayMap,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let known = [
        "config",
        "obs_dim",
        "discount",
        "note",
        "state_dict_names",
        "total_params",
        "stats",
        // Of the planner's cases.
        "plan_variants",
        "elite_boundary_gap_per_iteration",
    ];
    for (key, _) in index.entries() {
        checks.hold(known.contains(&key), || {
            format!("entry {key} of the index is not known")
        });
    }
    if let Some(bin_size) = index.get("config")?.find("bin_size") {
        let stated = bin_size.as_number()?;
        checks.close("config.bin_size", &[config.bin_size()], &[stated], 1e-12);
    }
    if let Some(discount) = index.find("discount") {
        let stated = discount.as_number()?;
        checks.close("discount", &[config.discount()], &[stated], 1e-12);
    }
    let counted = weights.iter().filter(|(name, _)| {
        let copies = ["_target_", "_detach_", "log_std_"];
        !copies.iter().any(|prefix| name.starts_with(prefix))
    });
    let counted: usize = counted.map(|(_, array)| array.len()).sum();
    let stated = index.size("total_params")? as u64;
    checks.equal("total_params", &[config.parameters()], &[stated]);
    checks.equal("numbers of the weights", &[counted as u64], &[stated]);
    check_names(index, config, checks)
}

/// Names, shapes and types of the state dictionary, bookkeeping included.
fn check_names(
    index: &Node<'_>,
    config: &Tdmpc2Config,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let whole = |key: &str| -> Result<bool, CaseError> {
        Ok(match index.get("config")?.find(key) {
            Some(value) => value.json().is_i64() || value.json().is_u64(),
            None => true,
        })
    };
    let (least, largest) = (whole("log_std_min")?, whole("log_std_max")?);
    let mut expected = Vec::new();
    let mut container: Option<String> = None;
    let members = config.num_q;
    let close = |container: &Option<String>, expected: &mut Vec<[String; 3]>| {
        if let Some(name) = container {
            let size = format!("torch.Size([{members}])");
            expected.push([format!("{name}.__batch_size"), "none".into(), size]);
            expected.push([format!("{name}.__device"), "none".into(), "None".into()]);
        }
    };
    for (name, shape) in state_dict(config) {
        let of = ["_Qs.params", "_detach_Qs_params", "_target_Qs_params"];
        let own = of.into_iter().find(|prefix| name.starts_with(prefix));
        let own = own.map(str::to_string);
        if own != container {
            close(&container, &mut expected);
            container = own;
        }
        let integer = match name.as_str() {
            "log_std_min" => least,
            "log_std_dif" => least && largest,
            _ => false,
        };
        let kind = if integer {
            "torch.int64"
        } else {
            "torch.float32"
        };
        expected.push([name, format!("{shape:?}"), kind.into()]);
    }
    close(&container, &mut expected);
    let mut stated = Vec::new();
    for entry in index.get("state_dict_names")?.elements()? {
        let parts = entry.elements()?;
        let [name, shape, kind] = &parts[..] else {
            return Err(entry.wrong("a name, a shape and a type"));
        };
        let shape = match shape.json() {
            Value::Null => "none".to_string(),
            _ => format!("{:?}", shape.integers()?),
        };
        stated.push([name.as_text()?.into(), shape, kind.as_text()?.into()]);
    }
    let lines =
        |all: &[[String; 3]]| -> Vec<String> { all.iter().map(|entry| entry.join(" ")).collect() };
    checks.equal("state_dict_names", &lines(&expected), &lines(&stated));
    Ok(())
}

/// Least and largest of some outputs.
fn check_ranges(
    index: &Node<'_>,
    ranges: &[(&str, Vec<f64>)],
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let Some(stats) = index.find("stats") else {
        return Ok(());
    };
    for (key, stated) in stats.entries() {
        let found = ranges.iter().find(|(name, _)| *name == key);
        let Some((_, values)) = found else {
            checks.fail(format!("stats.{key}: a quantity that is not known"));
            continue;
        };
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let what = format!("stats.{key}");
        checks.close(&what, &[least, largest], &stated.numbers()?, VALUE);
    }
    Ok(())
}
