//! The two-by-two analysis: diagnostics in, the expected files out.

mod figures;
mod texts;

use std::path::{Path, PathBuf};

use super::super::checks::{CaseError, Cases, Checks};
use super::super::folder::{Folder, Node};
use crate::analysis::two_by_two::{
    Analysis, Diagnostics, OtsuRule, TwoByTwoError, evolution, evolution_csv, results_markdown,
    series_file, sweep, sweep_csv,
};
use crate::formats::{FormatError, Limits, read_file};
use texts::{compare, without_date};

/// Stands for the folder of the diagnostics in what is expected.
const PLACE: &str = "FLOSS";
/// Expected files are text of a few kilobytes.
const MOST_BYTES: u64 = 64 << 20;

/// Verifies the cases of one manifest; diagnostics are below `npz`, what is expected below `expected`.
pub(super) fn run(folder: &Folder, _stem: &str, cases: &mut Cases) {
    let manifest = Manifest { folder };
    let expected = folder.path().join("expected");
    let names = match list(&expected) {
        Ok(names) => names,
        Err(error) => return cases.run("expected", KIND, |_| Err(error)),
    };
    for (tag, _) in manifest.tags() {
        if !names.contains(&format!("results_{tag}.json")) {
            let reason = format!("expected/results_{tag}.json: expected for the tag, found none");
            cases.run(tag, KIND, |checks| {
                checks.fail(reason);
                Ok(())
            });
        }
    }
    for name in &names {
        let path = expected.join(name);
        cases.run(name, KIND, |checks| manifest.check(name, &path, checks));
    }
}

const KIND: &str = "two_by_two";

/// The text files below a folder; pictures are for the eye.
fn list(folder: &Path) -> Result<Vec<String>, CaseError> {
    let failed = |source: std::io::Error| FormatError::Io {
        file: folder.to_path_buf(),
        action: "list",
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default();
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Which diagnostics belong to which tag and series.
struct Manifest<'a> {
    folder: &'a Folder,
}

impl<'a> Manifest<'a> {
    fn tags(&self) -> Vec<(&'a str, Node<'a>)> {
        let tags = self.folder.index().find("tags");
        tags.map(|tags| tags.entries()).unwrap_or_default()
    }

    /// One expected file against the engine; told by the name that its tag or series gives it.
    fn check(&self, name: &str, path: &Path, checks: &mut Checks) -> Result<(), CaseError> {
        let text = || -> Result<String, CaseError> {
            let limits = Limits {
                file_bytes: MOST_BYTES,
                ..Limits::default()
            };
            let bytes = read_file(path, &limits)?;
            String::from_utf8(bytes).map_err(|error| CaseError::Engine(format!("{name}: {error}")))
        };
        let part = |prefix: &str, suffix: &str| {
            let rest = name.strip_prefix(prefix)?;
            rest.strip_suffix(suffix)
        };
        if let Some(tag) = part("results_", ".json") {
            let found = self.analysis(tag)?.to_json(false);
            compare(checks, &found, &text()?, true);
        } else if let Some(tag) = part("cells_", ".csv") {
            let found = self.analysis(tag)?.cells_csv();
            compare(checks, &found, &text()?, false);
        } else if let Some(tag) = part("sweep_", ".csv") {
            let found = sweep_csv(&sweep(&self.analysis(tag)?));
            compare(checks, &found, &text()?, true);
        } else if let Some(series) = part("evolution_", ".csv") {
            let found = self.evolution(series)?;
            compare(checks, &found, &text()?, true);
        } else if name == "results.md" {
            let expected = text()?;
            let found = self.markdown(&expected)?;
            compare(
                checks,
                &without_date(&found)?,
                &without_date(&expected)?,
                false,
            );
        } else if name == "figdata.json" {
            figures::check(checks, &text()?, |tag| self.analysis(tag))?;
        } else {
            let reason = "an expected file of a kind that is not known";
            return Err(CaseError::Unsupported(reason.into()));
        }
        Ok(())
    }

    fn analysis(&self, tag: &str) -> Result<Analysis, CaseError> {
        let tags = self.folder.index().get("tags")?;
        let file = tags.text(tag)?;
        let arrays = self.folder.arrays(&format!("npz/{file}"))?;
        let diagnostics = Diagnostics::from_arrays(arrays).map_err(engine)?;
        let npz = format!("{PLACE}/{file}");
        Analysis::of(&diagnostics, &npz, OtsuRule::default()).map_err(engine)
    }

    fn evolution(&self, series: &str) -> Result<String, CaseError> {
        let steps = self.folder.index().get("evolution")?.get(series)?;
        let folder = self.folder.path().join("npz");
        let steps = steps.elements()?;
        let steps: Result<Vec<usize>, CaseError> = steps.iter().map(Node::as_size).collect();
        let files: Vec<(u64, PathBuf)> = steps?
            .into_iter()
            .filter_map(|step| {
                let step = step as u64;
                Some((step, series_file(&folder, series, step)?))
            })
            .collect();
        let rows = evolution(&files, OtsuRule::default()).map_err(engine)?;
        Ok(evolution_csv(&rows))
    }

    /// The tables of the tags that the expected text has, in its order.
    fn markdown(&self, expected: &str) -> Result<String, CaseError> {
        let tags = expected.lines().filter_map(|line| line.strip_prefix("## "));
        let analyses: Result<Vec<(String, Analysis)>, CaseError> = tags
            .map(|tag| Ok((tag.to_owned(), self.analysis(tag)?)))
            .collect();
        Ok(results_markdown(&analyses?, "0000-00-00"))
    }
}

fn engine(error: TwoByTwoError) -> CaseError {
    CaseError::Engine(error.to_string())
}
