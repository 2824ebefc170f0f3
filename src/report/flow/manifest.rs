//! The manifest: which runs a report is about. Untrusted, like all input.

use super::{FlowReportError, Link, Verdict};
use crate::formats::{Limits, read_file};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::{Path, PathBuf};

/// Most bytes of a manifest or of a file of fields.
const MOST_BYTES: u64 = 64 << 20;

/// A list of runs under a title.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Title of the page.
    pub title: String,
    /// The runs, in the order of the page.
    pub runs: Vec<ManifestRun>,
}

/// A run as the manifest tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRun {
    /// Name, distinct from the others.
    pub name: String,
    /// A prediction table, relative to the manifest.
    #[serde(default)]
    pub predictions: Option<PathBuf>,
    /// A JSON list of [`super::FieldView`], relative to the manifest.
    #[serde(default)]
    pub fields: Option<PathBuf>,
    /// Where to read more.
    #[serde(default)]
    pub link: Option<Link>,
    /// A few words each.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(default)]
    pub notes: String,
    /// The text `baseline`, `positive`, `null` or `negative`; absent for none.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Further numbers in the order of the file; one named like a computed metric replaces it.
    #[serde(default, deserialize_with = "in_order")]
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

impl Manifest {
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
