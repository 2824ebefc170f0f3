//! Golden folders against the engine: every case below a folder, one line each.
//!
//! A folder's family is read from its index or its files. Cases of the planner (`remdm`) and of flow
//! matching (`flow`) are computed and compared; those of families that the engine does not have yet are
//! reported as unsupported, and so is any kind of case that is not known here. Nothing that was not
//! compared passes.

mod checks;
mod environment;
mod error;
mod flow;
mod folder;
mod ftle;
mod imitation;
mod losses;
mod models;
mod procedural;
mod remdm;
mod report;
mod schedules;
mod traces;
mod walk;
mod worldmodel;

pub use error::VerifyError;
pub use report::{Case, Report, Verdict};

use std::path::Path;

use crate::device::Device;

/// Verifies every golden at or below `folder`.
///
/// # Errors
/// [`VerifyError`] when the folder cannot be read or holds no goldens; whatever is wrong with a case
/// is that case's failure.
pub fn run(folder: &Path, device: &Device) -> Result<Report, VerifyError> {
    walk::run(folder, device)
}
