//! Evaluations of flow-matching policies: tables of one run, and runs side by side on one web page in one
//! file that loads nothing.
//!
//! [`FlowReport::from_manifest`] builds it from a manifest and the prediction tables that it names; adding
//! a run to the manifest and building again keeps the others.

mod assemble;
mod chart;
mod curve;
mod error;
mod field;
mod field_picture;
mod looks;
mod manifest;
mod metrics;
mod scores;
mod sections;
mod tables;

pub use error::FlowReportError;
pub use field::{FieldView, HeatMap, Quiver, Space};
pub use manifest::{Manifest, ManifestRun};
pub use tables::{
    TitledTable, calibration_table, panel_tables, ranking_table, rollout_tables, route_table,
};

use serde::{Deserialize, Serialize};

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What the others are compared with.
    Baseline,
    /// Better than the baseline.
    Positive,
    /// Neither better nor worse.
    Null,
    /// Worse than the baseline.
    Negative,
}

impl Verdict {
    /// The word on the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Positive => "positive",
            Self::Null => "null",
            Self::Negative => "negative",
        }
    }
}

/// An address that a page may link to: `http` or `https`, never a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Link(String);

impl Link {
    /// Checks an address.
    ///
    /// # Errors
    /// [`FlowReportError::Link`] for any other scheme, for no host, and for blanks or control characters.
    pub fn new(address: impl Into<String>) -> Result<Self, FlowReportError> {
        let address = address.into();
        let lower = address.to_ascii_lowercase();
        let rest = ["https://", "http://"]
            .iter()
            .find_map(|scheme| lower.strip_prefix(scheme));
        let host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']));
        if host && !address.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Ok(Self(address));
        }
        Err(FlowReportError::Link {
            found: address.chars().take(200).collect(),
        })
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Link {
    type Error = FlowReportError;

    fn try_from(address: String) -> Result<Self, FlowReportError> {
        Self::new(address)
    }
}

impl From<Link> for String {
    fn from(link: Link) -> Self {
        link.0
    }
}

/// A number of a run, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Title of its column.
    pub name: String,
    /// Its value; not finite is shown as a dash.
    pub value: f64,
}

/// One run: its card and its row of the table of metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// Name, distinct from the others.
    pub name: String,
    /// Where to read more.
    pub link: Option<Link>,
    /// A few words each.
    pub tags: Vec<String>,
    /// Free text.
    pub notes: String,
    /// What came of it.
    pub verdict: Option<Verdict>,
    /// Its numbers, in the order of their columns.
    pub metrics: Vec<Metric>,
    /// Frames behind the numbers.
    pub frames: usize,
    /// Frames left out because a value was not finite.
    pub dropped: usize,
}

/// The predictions of one run over the frames of an [`Overlay`].
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Index of the run in [`FlowReport::runs`].
    pub run: usize,
    /// One value a frame; NaN leaves a gap.
    pub values: Vec<f32>,
}

/// The first predicted step of runs against the truth, over one drive or a part of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overlay {
    /// Name of the drive.
    pub drive: String,
    /// Frame numbers, ascending.
    pub frames: Vec<i32>,
    /// The truth at each frame; NaN leaves a gap.
    pub truth: Vec<f32>,
    /// The runs that know this drive.
    pub curves: Vec<Curve>,
}

/// The frames around a spike.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Zoom {
    /// The frame of the spike.
    pub spike: i32,
    /// The curves around it.
    pub overlay: Overlay,
}

/// Everything on the page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowReport {
    /// Title of the page.
    pub title: String,
    /// The runs, in order.
    pub runs: Vec<Run>,
    /// One chart a drive.
    pub overlays: Vec<Overlay>,
    /// Small charts of spikes.
    pub zooms: Vec<Zoom>,
    /// Views of velocity fields.
    pub fields: Vec<FieldView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_web_only() {
        for good in ["https://a.example/b?c=1#d", "HTTP://x"] {
            assert_eq!(Link::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "javascript:alert(1)",
            "JaVaScRiPt://x",
            "data:text/html,x",
            "//a.example",
            "https://",
            "https:///x",
            " https://a",
            "https://a b",
            "https://a\n",
            "file:///etc/passwd",
            "",
        ] {
            assert!(Link::new(bad).is_err(), "{bad:?}");
        }
    }
}
