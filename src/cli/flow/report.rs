//! `attractor flow report`: runs side by side on one page.

use crate::cli::exit::Outcome;
use crate::cli::output::{check_free, print};
use anyhow::Result;
use attractor::formats::write_atomic;
use attractor::report::flow::FlowReport;
use std::path::PathBuf;

/// Arguments of `attractor flow report`.
#[derive(Debug, clap::Args)]
pub struct ReportArguments {
    /// JSON: {title, runs: [{name, predictions, fields, link, tags, notes, verdict, metrics}]}
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
    /// Page to write
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
    /// Write over an existing file
    #[arg(long)]
    force: bool,
}

/// Builds the page and says where it is.
pub fn run(arguments: &ReportArguments) -> Result<Outcome> {
    check_free(&arguments.out, arguments.force)?;
    let report = FlowReport::from_manifest(&arguments.manifest)?;
    let page = report.render();
    write_atomic(&arguments.out, page.as_bytes())?;
    print(&format!(
        "{}: {} runs, {} drives, {} bytes\n",
        arguments.out.display(),
        report.runs.len(),
        report.overlays.len(),
        page.len()
    ))?;
    Ok(Outcome::Good)
}
