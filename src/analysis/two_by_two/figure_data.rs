//! What the figures plot.

use super::analysis::Analysis;
use super::numpy_random::Pcg64;

/// Edges of the histograms of late drift.
const EDGES: usize = 60;
/// Greatest distance of a point from the middle of its cell.
const JITTER: f64 = 0.18;

/// Late drifts of right and wrong answers, counted over the same equal bins between the least and the
/// largest of all.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftHistogram {
    /// Edges, one more than there are bins.
    pub edges: Vec<f64>,
    /// Right answers by bin.
    pub correct: Vec<usize>,
    /// Wrong answers by bin.
    pub wrong: Vec<usize>,
}

/// The histograms of late drift.
pub fn drift_histogram(analysis: &Analysis) -> DriftHistogram {
    let drifts = &analysis.late_drift;
    let least = drifts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = drifts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let step = (most - least) / (EDGES - 1) as f64;
    let mut edges: Vec<f64> = (0..EDGES).map(|at| at as f64 * step + least).collect();
    if let Some(last) = edges.last_mut() {
        *last = most;
    }
    let count = |label: i64| {
        let mut bins = vec![0; EDGES - 1];
        for (drift, found) in drifts.iter().zip(&analysis.correct) {
            let above = edges.partition_point(|edge| edge <= drift);
            // The last bin is closed.
            let bin = above.min(EDGES - 1).saturating_sub(1);
            if let Some(count) = bins.get_mut(bin).filter(|_| *found == label) {
                *count += 1;
            }
        }
        bins
    };
    DriftHistogram {
        correct: count(1),
        wrong: count(0),
        edges,
    }
}

/// Distances of points from the middle of their cell: uniform on `[-0.18, 0.18)`, from NumPy's generator of
/// seed 0, anew for each cell.
pub fn jitter(count: usize) -> Vec<f64> {
    let mut generator = Pcg64::new(0);
    (0..count)
        .map(|_| generator.uniform(-JITTER, JITTER))
        .collect()
}

/// Fewest members of a cell whose spectrum is plotted.
pub const SPECTRUM_MEMBERS: usize = 3;
