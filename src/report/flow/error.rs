//! What can be wrong with the input of a report.

use crate::formats::FormatError;
use crate::formats::predictions::PredictionError;
use std::path::PathBuf;

/// Why a report could not be built.
#[derive(Debug, thiserror::Error)]
pub enum FlowReportError {
    /// The manifest or a file of fields could not be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A prediction table could not be read.
    #[error("run '{run}': {source}")]
    Predictions {
        /// The run that names the table.
        run: String,
        /// What is wrong with it.
        source: Box<PredictionError>,
    },
    /// JSON that is not what it should be.
    #[error("{}: {what}: {found}", file.display())]
    Json {
        /// The file concerned.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What the parser says.
        found: String,
    },
    /// An address that is not `http` or `https`.
    #[error("link: expected an http or https address, found {found:?}")]
    Link {
        /// The address.
        found: String,
    },
    /// The manifest is well-formed but cannot be followed.
    #[error("{}: {what}: expected {expected}, found {found}", file.display())]
    Manifest {
        /// The file concerned.
        file: PathBuf,
        /// The run or entry.
        what: String,
        /// What a manifest has there.
        expected: String,
        /// What this one has there.
        found: String,
    },
    /// Two runs disagree on what happened, so they are not about the same frames.
    #[error(
        "run '{run}': drive '{drive}', frame {frame}: expected the truth of run '{other}', {expected}, found {found}"
    )]
    Truth {
        /// The run.
        run: String,
        /// An earlier run.
        other: String,
        /// The drive.
        drive: String,
        /// The first such frame.
        frame: i32,
        /// Truth of the earlier run.
        expected: f32,
        /// Truth of this run.
        found: f32,
    },
    /// One frame twice in a table.
    #[error("run '{run}': drive '{drive}', frame {frame}: expected once, found twice")]
    Frame {
        /// The run.
        run: String,
        /// The drive.
        drive: String,
        /// The frame.
        frame: i32,
    },
    /// A part of a view of a field does not fit the others.
    #[error("field view: {what}: expected {expected}, found {found}")]
    Field {
        /// The part.
        what: &'static str,
        /// What fits.
        expected: String,
        /// What there is.
        found: String,
    },
}
