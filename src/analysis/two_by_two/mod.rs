//! The two-by-two analysis: has the latent settled, and is the answer right?
//!
//! Examples are cut by their late drift (Otsu's threshold on its logarithm) and by their correctness into
//! four cells, and the exponents of the cells are compared. All numbers are those of the published script.

mod analysis;
mod diagnostics;
mod evolution;
mod figure_data;
mod intervals;
mod json;
mod log10;
mod number;
mod numpy_random;
mod otsu;
mod results;
mod series;
mod statistics;
mod sweep;
mod table;

pub use analysis::{Analysis, Areas, CELL_NAMES, Cell, CellSummary, Contrasts};
pub use diagnostics::Diagnostics;
pub use evolution::{EvolutionRow, evolution, evolution_csv};
pub use figure_data::{DriftHistogram, SPECTRUM_MEMBERS, drift_histogram, jitter};
pub use intervals::{Bootstrap, Interval, Intervals, intervals_markdown};
pub use otsu::OtsuRule;
pub use results::{results_markdown, sweep_csv};
pub use series::{PUBLISHED_TAGS, published_steps, series_file, series_files, tag_of};
pub use sweep::{SweepRow, sweep};
pub use table::{Floats, Table};

use crate::formats::FormatError;
use std::path::PathBuf;
use thiserror::Error;

/// An analysis could not be made.
#[derive(Debug, Error)]
pub enum TwoByTwoError {
    /// A file could not be read or written, or an array is not as required.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Nothing can be cut in two.
    #[error("{}: array 'exact_correct': expected 2 examples or more, found {found}", file.display())]
    TooFew {
        /// The file.
        file: PathBuf,
        /// Examples in it.
        found: usize,
    },
    /// All late drifts are alike, so that no threshold parts them.
    #[error("{}: array 'drift_zH': degenerate: expected late drifts that differ, found {found} for all {examples} examples", file.display())]
    Degenerate {
        /// The file.
        file: PathBuf,
        /// The late drift's decimal logarithm.
        found: f64,
        /// Examples in the file.
        examples: usize,
    },
}
