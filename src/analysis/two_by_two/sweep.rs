//! The cells at other thresholds than Otsu's.

use super::analysis::{Analysis, cells_at, pick};
use super::statistics::{median, percentile_of_sorted};

/// The cells at one threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SweepRow {
    /// Which percentile of the late drifts the threshold is.
    pub percent: u32,
    /// The threshold.
    pub tau: f64,
    /// Examples in cells A to D.
    pub counts: [usize; 4],
    /// Median of the largest exponent in cell B; NaN if it is empty.
    pub lam1_median_b: f64,
    /// Median of the largest exponent in cell D; NaN if it is empty.
    pub lam1_median_d: f64,
}

/// The cells at every fifth percentile of the late drifts, from 5 to 95.
pub fn sweep(analysis: &Analysis) -> Vec<SweepRow> {
    let mut sorted = analysis.late_drift.clone();
    sorted.sort_by(f64::total_cmp);
    let rows = (5..=95).step_by(5).map(|percent| {
        let tau = percentile_of_sorted(&sorted, f64::from(percent));
        let cells = cells_at(&analysis.late_drift, &analysis.correct, tau);
        let [_, b, _, d] = &cells;
        let middle = |members: &[usize]| median(&pick(&analysis.lam1, members));
        SweepRow {
            percent,
            tau,
            lam1_median_b: middle(b),
            lam1_median_d: middle(d),
            counts: cells.each_ref().map(Vec::len),
        }
    });
    rows.collect()
}
