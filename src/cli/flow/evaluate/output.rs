//! The folder of an evaluation: panel and predictions of the run, manifest and page of all runs.

use super::measure::Measures;
use super::{EvaluateArguments, Settings};
use crate::cli::exit::Usage;
use crate::cli::flow::model::Policy;
use crate::cli::flow::source::Source;
use crate::cli::flow::table::prediction_table;
use crate::cli::output::{note, pretty, print};
use crate::cli::record::RunRecord;
use anyhow::{Context, Result};
use attractor::formats::{check_writable, write_atomic};
use attractor::report::flow::{FieldView, FlowReport, Link, Manifest, ManifestRun, Verdict};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Longest name of a run, characters: it names a folder.
const LONGEST_NAME: usize = 100;

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned text
    Table,
    /// One JSON object, that of panel.json
    Json,
}

/// `--verdict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum VerdictName {
    /// What the others are compared with
    Baseline,
    /// Better than the baseline
    Positive,
    /// Neither better nor worse
    Null,
    /// Worse than the baseline
    Negative,
}

impl From<VerdictName> for Verdict {
    fn from(name: VerdictName) -> Self {
        match name {
            VerdictName::Baseline => Self::Baseline,
            VerdictName::Positive => Self::Positive,
            VerdictName::Null => Self::Null,
            VerdictName::Negative => Self::Negative,
        }
    }
}

/// Parses `--link`.
pub fn link(text: &str) -> Result<Link, String> {
    Link::new(text).map_err(|error| error.to_string())
}

/// What panel.json holds.
#[derive(Serialize)]
struct Document<'a> {
    run: &'a RunRecord<Settings>,
    #[serde(flatten)]
    measures: &'a Measures,
}

/// What came out of an evaluation.
#[derive(Debug)]
pub struct Results<'a> {
    /// How it was made.
    pub record: &'a RunRecord<Settings>,
    /// The same in a line for the page.
    pub made: &'a str,
    /// Every number.
    pub measures: &'a Measures,
    /// Views of the velocity field, where asked for.
    pub fields: Option<&'a [FieldView]>,
}

/// The folder, checked before the work.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// Name of the run.
    name: String,
    /// With the runs before.
    manifest: Manifest,
}

impl Folder {
    /// Makes the folder of the run and reads the manifest that may be there.
    pub fn prepare(arguments: &EvaluateArguments, policy: &Policy) -> Result<Self> {
        let stem = Path::new(&policy.file).file_stem().unwrap_or_default();
        let name = match &arguments.run.name {
            Some(name) => name.clone(),
            None => stem.to_string_lossy().into_owned(),
        };
        check_name(&name)?;
        let root = arguments.out.clone();
        let file = root.join("manifest.json");
        let manifest = if file.exists() {
            // A folder whose page cannot be made any more is refused before the work.
            FlowReport::from_manifest(&file)?;
            Manifest::load(&file)?
        } else {
            Manifest {
                title: arguments.run.title.clone(),
                runs: Vec::new(),
            }
        };
        let folder = Self {
            root,
            name,
            manifest,
        };
        let own = folder.root.join(folder.own());
        std::fs::create_dir_all(&own)
            .with_context(|| format!("{}: cannot make the folder", own.display()))?;
        for file in [
            file,
            folder.root.join("report.html"),
            own.join("panel.json"),
        ] {
            check_writable(file)?;
        }
        Ok(folder)
    }

    /// Name of the run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Folder of the run, below the root.
    fn own(&self) -> PathBuf {
        Path::new("runs").join(&self.name)
    }

    /// Writes everything and prints what was measured.
    pub fn write(
        mut self,
        arguments: &EvaluateArguments,
        results: &Results,
        source: &Source,
        (chunks, shape): (&[f32], (usize, &[String])),
    ) -> Result<()> {
        let (own, measures) = (self.own(), results.measures);
        let document = Document {
            run: results.record,
            measures,
        };
        let text = pretty(&document)?;
        write_atomic(self.root.join(&own).join("panel.json"), text.as_bytes())?;
        // Before anything else can fail: these numbers took the time.
        match arguments.format {
            Format::Json => print(&text)?,
            Format::Table => {
                let keys: Vec<&str> = shape.1.iter().map(String::as_str).collect();
                let tables = measures.tables(&keys).into_iter();
                let texts: Vec<String> = tables
                    .map(|(title, table)| format!("{title}\n{}", table.to_text()))
                    .collect();
                print(&texts.join("\n"))?;
            }
        }
        let predictions = own.join("predictions.npz");
        prediction_table(source, chunks, shape)?.save(self.root.join(&predictions))?;
        let fields = results.fields.map(|views| (views, own.join("fields.json")));
        if let Some((views, file)) = &fields {
            write_atomic(self.root.join(file), pretty(views)?.as_bytes())?;
        }
        let run = &arguments.run;
        self.manifest.put(ManifestRun {
            name: self.name.clone(),
            predictions: Some(predictions),
            fields: fields.map(|(_, file)| file),
            link: run.link.clone(),
            tags: run.tags.clone(),
            notes: [run.notes.as_str(), results.made]
                .iter()
                .filter(|words| !words.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join(" \u{2014} "),
            verdict: run.verdict.map(Into::into),
            metrics: metrics(measures),
        });
        let file = self.root.join("manifest.json");
        self.manifest.save(&file)?;
        let report = FlowReport::from_manifest(&file)?;
        let page = self.root.join("report.html");
        write_atomic(&page, report.render().as_bytes())?;
        note(&format!(
            "wrote    {}: {} runs; {}",
            page.display(),
            report.runs.len(),
            self.root.join(own).display()
        ));
        Ok(())
    }
}

/// A name that is one folder on every system.
fn check_name(name: &str) -> Result<()> {
    let legal = |c: char| c.is_alphanumeric() || "-_.+=, ()".contains(c);
    let edges = name.trim_matches([' ', '.']) == name;
    if name.is_empty() || name.chars().count() > LONGEST_NAME || !edges || !name.chars().all(legal)
    {
        let message = format!(
            "--name: expected 1 to {LONGEST_NAME} letters, digits, blanks and -_.+=,() with no blank or dot at \
             either end, found {name:?}"
        );
        return Err(Usage(message).into());
    }
    Ok(())
}

/// Numbers of the page beside those of the predictions.
fn metrics(measures: &Measures) -> Vec<(String, Option<f64>)> {
    let panel = &measures.panel;
    let spike = &panel.decomposition_spike;
    let mut metrics: Vec<(String, Option<f64>)> = [
        ("spike frames, single", spike.single),
        ("spike frames, meanK", spike.meank),
        ("spike frames, mode", spike.mode),
        ("spike frames, oracle mode", spike.oracle_mode),
        ("spike frames, best draw", spike.best_draw),
        ("flat frames, single", panel.decomposition_flat.single),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(ranking) = &measures.ranking {
        metrics.push(("spike frames, ranker".to_owned(), ranking.ranker.spike));
    }
    if let Some(calibration) = &measures.calibration {
        let error = calibration.junction.error;
        metrics.push(("calibration error, junctions".to_owned(), error));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_folder() {
        for good in ["a", "LDS, alpha=0.5 (seed 2)", "no-lds_3+x"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "", " ", ".", "..", "a/b", "a\\b", "../a", "a.", " a", "a\n", "c:x",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name(&"a".repeat(101)).is_err());
    }
}
