//! The manifest: which runs a report is about. Untrusted, like all input.

use super::{FlowReportError, Link, Verdict};
use crate::formats::{Limits, read_file, write_atomic};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};

/// Most bytes of a manifest or of a file of fields.
const MOST_BYTES: u64 = 64 << 20;

/// A list of runs under a title.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Title of the page.
    pub title: String,
    /// The runs, in the order of the page.
    pub runs: Vec<ManifestRun>,
}

/// A run as the manifest tells it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRun {
    /// Name, distinct from the others.
    pub name: String,
    /// A prediction table, relative to the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<PathBuf>,
    /// A JSON list of [`super::FieldView`], relative to the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<PathBuf>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// A few words each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// The text `baseline`, `positive`, `null` or `negative`; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Further numbers in the order of the file; one named like a computed metric replaces it.
    #[serde(
        default,
        deserialize_with = "in_order",
        serialize_with = "as_object",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub metrics: Vec<(String, Option<f64>)>,
}

/// An object as a list of its entries, in the order of the file.
fn in_order<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, Option<f64>)>, D::Error> {
    struct InOrder;
    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<(String, Option<f64>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of numbers by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Self::Value::new();
            while let Some((name, value)) = map.next_entry::<String, Option<f64>>()? {
                if entries.iter().any(|(known, _)| *known == name) {
                    return Err(serde::de::Error::custom(format!("metric '{name}' twice")));
                }
                entries.push((name, value));
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(InOrder)
}

/// Entries as an object, in their order; a number that is not finite becomes null.
fn as_object<S: Serializer>(
    entries: &[(String, Option<f64>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(name, value)| (name, value)))
}

impl Manifest {
    /// Puts a run in the place of the one of its name, or at the end.
    pub fn put(&mut self, run: ManifestRun) {
        match self.runs.iter_mut().find(|other| other.name == run.name) {
            Some(other) => *other = run,
            None => self.runs.push(run),
        }
    }

    /// Writes the manifest atomically.
    ///
    /// # Errors
    /// [`FlowReportError::Format`] when the file cannot be written, [`FlowReportError::Json`] for a path that
    /// is no text.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FlowReportError> {
        let path = path.as_ref();
        let text = serde_json::to_string_pretty(self).map_err(|error| FlowReportError::Json {
            file: path.to_path_buf(),
            what: "a manifest of runs",
            found: error.to_string(),
        })?;
        Ok(write_atomic(path, (text + "\n").as_bytes())?)
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`FlowReportError::Format`], [`FlowReportError::Json`] for anything but the fields above, and
    /// [`FlowReportError::Manifest`] for no runs, runs without a name or of one name.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FlowReportError> {
        let path = path.as_ref();
        let manifest: Self = read_json(path, "a manifest of runs")?;
        let wrong = |what: String, expected: &str, found: &str| FlowReportError::Manifest {
            file: path.to_path_buf(),
            what,
            expected: expected.into(),
            found: found.into(),
        };
        if manifest.runs.is_empty() {
            return Err(wrong("runs".into(), "at least one", "none"));
        }
        for (index, run) in manifest.runs.iter().enumerate() {
            if run.name.trim().is_empty() {
                return Err(wrong(format!("runs[{index}].name"), "a name", "blank"));
            }
            let mut earlier = manifest.runs.iter().take(index);
            if earlier.any(|other| other.name == run.name) {
                let what = format!("run '{}'", run.name);
                return Err(wrong(what, "a name of its own", "an earlier run's"));
            }
        }
        Ok(manifest)
    }
}

/// Reads a bounded JSON file.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    what: &'static str,
) -> Result<T, FlowReportError> {
    let limits = Limits {
        file_bytes: MOST_BYTES,
        ..Limits::default()
    };
    let bytes = read_file(path, &limits)?;
    serde_json::from_slice(&bytes).map_err(|error| FlowReportError::Json {
        file: path.to_path_buf(),
        what,
        found: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, metrics: &[(&str, Option<f64>)]) -> ManifestRun {
        let metrics = metrics.iter();
        ManifestRun {
            name: name.into(),
            metrics: metrics.map(|&(name, value)| (name.into(), value)).collect(),
            ..ManifestRun::default()
        }
    }

    #[test]
    fn a_run_replaces_the_one_of_its_name_and_keeps_the_others() {
        let mut manifest = Manifest {
            title: "t".into(),
            runs: vec![run("a", &[("z", Some(1.0))]), run("b", &[])],
        };
        manifest.put(run("a", &[("z", Some(2.0)), ("c", None)]));
        manifest.put(ManifestRun {
            verdict: Some(Verdict::Null),
            predictions: Some("c/p.npz".into()),
            ..run("c", &[])
        });
        let names: Vec<&str> = manifest.runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let text = serde_json::to_string(&manifest).unwrap();
        assert!(text.contains(r#"{"z":2.0,"c":null}"#), "{text}");
        assert!(text.contains(r#""verdict":"null""#), "{text}");
        let back: Manifest = serde_json::from_str(&text).unwrap();
        assert_eq!(back, manifest);
    }
}
