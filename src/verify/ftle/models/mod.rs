//! Cases of one file of `models` goldens: a recursive reasoner, its run, its exponents.
//!
//! A file is one case. What comes of the model and nothing here compares gets a line of its own that says
//! so: tensors, and entries of the JSON alike.

mod case;
mod forward;
mod jacobians;
mod spectra;

use super::super::checks::Cases;
use super::super::folder::Folder;
use crate::device::Device;
use case::Case;

/// Verifies the case of one file; the tensors are in `STEM.safetensors` beside it.
pub(super) fn run(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    // Only training has a learning rate.
    if folder.index().find("lr").is_some() {
        return cases.unsupported(stem, "training", "training steps need reverse mode");
    }
    let case = match Case::read(folder, stem, device) {
        Ok(case) => case,
        Err(error) => return cases.run(stem, "model", |_| Err(error)),
    };
    let mut finished = false;
    cases.run(stem, "model", |checks| {
        forward::check(&case, checks)?;
        spectra::check(&case, checks)?;
        jacobians::check(&case, checks)?;
        finished = true;
        Ok(())
    });
    if finished {
        leftovers(&case, cases);
    }
}

/// Lines for what the case holds and nothing compared.
fn leftovers(case: &Case<'_>, cases: &mut Cases) {
    for name in case.left() {
        let title = format!("{}.{name}", case.name);
        cases.unsupported(&title, "model", "unknown output, not compared");
    }
}
