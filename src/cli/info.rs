//! `attractor info`: what there is to compute on.

use super::exit::Outcome;
use super::output::{pretty, print};
use attractor::device::{
    AdapterReport, Device, DeviceError, DeviceInfo, SelfTest, adapters, self_test,
};
use serde::Serialize;
use std::fmt::Write;

/// Arguments of `attractor info`.
#[derive(Debug, clap::Args)]
pub struct InfoArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of trying a device.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Trial {
    /// It was opened and tested.
    Tested(SelfTest),
    /// It could not be opened, or could not run the test.
    Failed { passed: bool, error: String },
    /// The engine cannot use it.
    Unusable,
}

impl Trial {
    fn of(device: Result<Device, DeviceError>) -> Self {
        match device.and_then(|device| self_test(&device)) {
            Ok(test) => Self::Tested(test),
            Err(error) => Self::Failed {
                passed: false,
                error: error.to_string(),
            },
        }
    }

    fn good(&self) -> bool {
        match self {
            Self::Tested(test) => test.passed,
            Self::Failed { passed, .. } => *passed,
            Self::Unusable => true,
        }
    }
}

#[derive(Debug, Serialize)]
struct Entry {
    #[serde(flatten)]
    info: DeviceInfo,
    usable: bool,
    self_test: Trial,
}

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    auto: String,
    devices: Vec<Entry>,
}

impl Entry {
    fn of_adapter(report: AdapterReport) -> Self {
        let self_test = if report.usable {
            Trial::of(Device::wgpu(&report.info.name))
        } else {
            Trial::Unusable
        };
        Self {
            info: report.info,
            usable: report.usable,
            self_test,
        }
    }

    fn of_cpu() -> Self {
        Self {
            info: DeviceInfo::cpu(),
            usable: true,
            self_test: Trial::of(Ok(Device::cpu())),
        }
    }
}

/// Lists the devices and tests each; fails when one computes wrongly.
///
/// # Errors
/// `DeviceError::NotFound` where the selector names none of them.
pub fn run(arguments: &InfoArguments, selector: &str) -> anyhow::Result<Outcome> {
    let found = adapters();
    check_selector(selector, &found)?;
    // By kind and not by opening it: this command reports a GPU that does not open, too.
    let auto = found
        .iter()
        .find(|a| a.usable && a.info.kind.is_hardware_gpu())
        .map_or_else(
            || format!("{}; no hardware GPU found", DeviceInfo::cpu().summary()),
            |a| a.info.summary(),
        );
    let mut devices: Vec<Entry> = found.into_iter().map(Entry::of_adapter).collect();
    devices.push(Entry::of_cpu());
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        auto,
        devices,
    };
    print(&if arguments.json {
        pretty(&report)?
    } else {
        text(&report)
    })?;
    Ok(if report.devices.iter().all(|e| e.self_test.good()) {
        Outcome::Good
    } else {
        Outcome::CheckFailed
    })
}

/// All devices are listed whichever is selected, but a name that fits none is a mistake.
fn check_selector(selector: &str, found: &[AdapterReport]) -> Result<(), DeviceError> {
    let name = selector.trim().to_lowercase();
    let usual = ["", "auto", "cpu", "cpu-f64", "gpu"].contains(&name.as_str());
    if usual
        || found
            .iter()
            .any(|a| a.info.name.to_lowercase().contains(&name))
    {
        return Ok(());
    }
    Device::wgpu(&name).map(|_| ())
}

fn text(report: &Report) -> String {
    let mut out = format!(
        "attractor {}\nauto takes  {}\n",
        report.version, report.auto
    );
    for entry in &report.devices {
        let _ = writeln!(out, "\n{}", entry.info.summary());
        describe(&mut out, &entry.info);
        let line = match &entry.self_test {
            Trial::Tested(test) => format!(
                "{}  {}: largest error {:.1e}, allowed {:.1e}",
                if test.passed { "PASS" } else { "FAIL" },
                test.what,
                test.largest_error,
                test.tolerance
            ),
            Trial::Failed { error, .. } => format!("FAIL  {error}"),
            Trial::Unusable => "not usable: lacks 128 bytes of immediates".into(),
        };
        let _ = writeln!(out, "  self-test   {line}");
    }
    out
}

/// Features and limits, a line each; writing to a `String` cannot fail.
fn describe(out: &mut String, info: &DeviceInfo) {
    if let Some(f) = &info.features {
        let flag = |name, there| format!("{name} {}", if there { "yes" } else { "no" });
        let shapes: Vec<String> = f
            .cooperative_matrices
            .iter()
            .map(|c| format!("{}x{}x{} {}->{}", c.m, c.n, c.k, c.operands, c.accumulator))
            .collect();
        let shapes = if shapes.is_empty() {
            "none".into()
        } else {
            shapes.join(", ")
        };
        let _ = writeln!(
            out,
            "  features    {}, {}, {} (sizes {} to {}), {}, {}\n  cooperative {shapes}",
            flag("f16", f.f16),
            flag("f64", f.f64),
            flag("subgroups", f.subgroup),
            f.subgroup_sizes[0],
            f.subgroup_sizes[1],
            flag("timestamps", f.timestamps),
            flag("immediates", f.immediates),
        );
    }
    if let Some(l) = &info.limits {
        let _ = writeln!(
            out,
            "  limits      buffer {} bytes, binding {} bytes (aligned to {}), {} storage buffers a stage, \
             {} bytes of immediates, workgroup memory {} bytes, {} invocations a workgroup, {} workgroups a dimension",
            l.buffer_bytes,
            l.binding_bytes,
            l.binding_alignment,
            l.storage_buffers,
            l.immediate_bytes,
            l.workgroup_memory_bytes,
            l.workgroup_invocations,
            l.workgroups_per_dimension
        );
    }
}
