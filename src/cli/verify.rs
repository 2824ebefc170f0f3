//! `attractor verify`: golden folders against the engine.

use super::exit::Outcome;
use super::output::{note, pretty, print};
use attractor::device::Selection;
use attractor::verify::{Report, Verdict, run as verify};
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `attractor verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArguments {
    /// Folder of goldens, or a folder of such folders
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The report and its counts.
#[derive(Debug, Serialize)]
struct Record<'a> {
    version: &'static str,
    passed: usize,
    failed: usize,
    unsupported: usize,
    #[serde(flatten)]
    report: &'a Report,
}

/// Verifies, prints one line a case and the counts; a failed case is a failed check.
pub fn run(arguments: &VerifyArguments, selector: &str) -> anyhow::Result<Outcome> {
    let Selection { device, reason } = Selection::by_name(selector)?;
    let report = verify(&arguments.folder, &device)?;
    note(&format!("device   {reason}"));
    if arguments.json {
        print(&pretty(&Record {
            version: env!("CARGO_PKG_VERSION"),
            passed: report.count(Verdict::Pass),
            failed: report.count(Verdict::Fail),
            unsupported: report.count(Verdict::Unsupported),
            report: &report,
        })?)?;
    } else {
        print(&(report.lines().join("\n") + "\n"))?;
    }
    Ok(if report.good() {
        Outcome::Good
    } else {
        Outcome::CheckFailed
    })
}
