//! Cells, contrasts and areas of one file of diagnostics.

use super::TwoByTwoError;
use super::diagnostics::{Diagnostics, LATE};
use super::otsu::{OtsuRule, Precision, threshold};
use super::statistics::{
    area_under_curve, mean, median, median_f32, median_of_sorted, pearson, percentile_of_sorted,
};
use super::table::{Floats, Table};

/// The cells: has it settled, is it right?
pub const CELL_NAMES: [&str; 4] = [
    "A_conv_correct",
    "B_conv_wrong",
    "C_nonconv_correct",
    "D_nonconv_wrong",
];

/// What the examples of one cell have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct CellSummary {
    /// Median of the largest exponent.
    pub lam1_median: f64,
    /// Its mean.
    pub lam1_mean: f64,
    /// Its quartiles.
    pub lam1_iqr: [f64; 2],
    /// Median of the last exponent.
    pub lam8_median: f64,
    /// Median of every exponent, largest first.
    pub spectrum_median: Vec<f64>,
    /// Median share of right tokens.
    pub token_acc_median: f64,
    /// Median step of halting.
    pub halted_at_median: f64,
}

/// One of the four cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its examples, ascending.
    pub members: Vec<usize>,
    /// Its numbers; none for an empty cell.
    pub summary: Option<CellSummary>,
    /// Median of the last logit of halting, averaged in the file's precision; NaN for an empty cell.
    pub q_halt_final_median: f64,
}

/// Differences of the median of the largest exponent; NaN where a side is empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrasts {
    /// Right less wrong answers.
    pub correct_minus_wrong_overall: f64,
    /// A less B.
    pub within_converged: f64,
    /// C less D.
    pub within_nonconverged: f64,
    /// B less D.
    pub wrong_conv_minus_wrong_nonconv: f64,
}

/// Areas under curves; NaN where a class is empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Areas {
    /// A low largest exponent tells right answers.
    pub neg_lam1_predicts_correct_overall: f64,
    /// The same among the settled.
    pub neg_lam1_predicts_correct_within_conv: f64,
    /// The same among the others.
    pub neg_lam1_predicts_correct_within_nonconv: f64,
    /// A low late drift tells right answers.
    pub neg_logdrift_predicts_correct: f64,
    /// A low largest exponent tells the settled.
    pub neg_lam1_predicts_converged: f64,
}

/// The two-by-two analysis of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// The file, as it was named.
    pub npz: String,
    /// Decimal logarithm of the late drift, by example.
    pub late_drift: Vec<f64>,
    /// Largest exponent, by example.
    pub lam1: Vec<f64>,
    /// 1 for right, 0 for wrong, by example.
    pub correct: Vec<i64>,
    /// Mean of `correct`.
    pub exact_acc: f64,
    /// Threshold of the late drift.
    pub tau: f64,
    /// Share of examples below it.
    pub frac_converged: f64,
    /// Cells A to D.
    pub cells: [Cell; 4],
    /// Share of the wrong that settled.
    pub wrong_that_converged: f64,
    /// Share of the right that did not.
    pub correct_that_nonconverged: f64,
    /// Differences between cells.
    pub contrasts: Contrasts,
    /// Areas under curves.
    pub areas: Areas,
    /// Pearson's correlation of the late drifts of both latents.
    pub late_drift_zl_correlation: f64,
}

impl Analysis {
    /// Analyses diagnostics; `npz` is the name of the file in the results. All arithmetic is in f64.
    ///
    /// # Errors
    /// [`TwoByTwoError::Degenerate`] where all late drifts are alike.
    pub fn of(diagnostics: &Diagnostics, npz: &str, rule: OtsuRule) -> Result<Self, TwoByTwoError> {
        let late_drift = late_drift(&wide(&diagnostics.drift_zh));
        let late_drift_low = late_drift_f64(&diagnostics.drift_zl);
        let examples = diagnostics.examples();
        let tau = threshold(&late_drift, rule).ok_or_else(|| TwoByTwoError::Degenerate {
            file: diagnostics.file.clone(),
            found: late_drift.first().copied().unwrap_or(f64::NAN),
            examples,
        })?;
        let correct = diagnostics.exact_correct.clone();
        let members = cells_at(&late_drift, &correct, tau);
        let lam1 = diagnostics.lyap_spec.column(0);
        let settled: Vec<i64> = late_drift.iter().map(|x| i64::from(*x < tau)).collect();
        let converged = settled.iter().sum::<i64>() as f64;
        let wrong = correct.iter().filter(|label| **label == 0).count();
        let right = correct.iter().filter(|label| **label == 1).count();
        let share = |cell: &[usize], of: usize| cell.len() as f64 / of.max(1) as f64;
        let [_, b, c, _] = &members;
        let labels: Vec<f64> = correct.iter().map(|label| *label as f64).collect();
        Ok(Self {
            npz: npz.to_owned(),
            exact_acc: mean(&labels),
            tau,
            frac_converged: converged / examples as f64,
            wrong_that_converged: share(b, wrong),
            correct_that_nonconverged: share(c, right),
            contrasts: contrasts(&lam1, &correct, &members),
            areas: areas(&lam1, &late_drift, &correct, &settled),
            late_drift_zl_correlation: pearson(&late_drift, &late_drift_low),
            cells: members.map(|members| cell(diagnostics, members)),
            late_drift,
            lam1,
            correct,
        })
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.correct.len()
    }
}

/// Drifts of a table in a given precision, with the number of columns.
pub(super) fn wide(table: &Table) -> (usize, Vec<f64>) {
    (table.columns, table.values.to_f64())
}

fn late_drift_f64(table: &Table) -> Vec<f64> {
    late_drift(&wide(table))
}

/// Decimal logarithm of the mean of the last columns of every row, held above 1e-12.
pub(super) fn late_drift<T: Precision>((columns, values): &(usize, Vec<T>)) -> Vec<T> {
    let rows = values.chunks_exact((*columns).max(1));
    let late = rows.map(|row| {
        let last = row.iter().skip(columns.saturating_sub(LATE));
        let sum = last.copied().reduce(|sum, value| sum + value);
        sum.unwrap_or(T::of(0.0)) / T::of((*columns).clamp(1, LATE) as f32)
    });
    late.map(T::log10_above_floor).collect()
}

/// The examples of the four cells at a threshold; labels other than 0 and 1 are in none.
pub(super) fn cells_at<T: Precision>(drifts: &[T], correct: &[i64], tau: T) -> [Vec<usize>; 4] {
    let mut cells: [Vec<usize>; 4] = Default::default();
    let [a, b, c, d] = &mut cells;
    for (example, (drift, label)) in drifts.iter().zip(correct).enumerate() {
        match (*drift < tau, label) {
            (true, 1) => a.push(example),
            (true, 0) => b.push(example),
            (false, 1) => c.push(example),
            (false, 0) => d.push(example),
            _ => {}
        }
    }
    cells
}

/// The values of some examples.
pub(super) fn pick<T: Copy>(values: &[T], members: &[usize]) -> Vec<T> {
    let found = members.iter().filter_map(|member| values.get(*member));
    found.copied().collect()
}

fn cell(diagnostics: &Diagnostics, members: Vec<usize>) -> Cell {
    let last = diagnostics.q_halt.columns.saturating_sub(1);
    let q_halt = pick(&diagnostics.q_halt.column(last), &members);
    let q_halt_final_median = match diagnostics.q_halt.values {
        // Each of these is the image of an f32, so that narrowing them is exact.
        Floats::F32(_) => median_f32(&q_halt.iter().map(|q| *q as f32).collect::<Vec<_>>()),
        Floats::F64(_) => median(&q_halt),
    };
    let summary = (!members.is_empty()).then(|| summary(diagnostics, &members));
    Cell {
        members,
        summary,
        q_halt_final_median,
    }
}

fn summary(diagnostics: &Diagnostics, members: &[usize]) -> CellSummary {
    let exponents = &diagnostics.lyap_spec;
    let lam1 = pick(&exponents.column(0), members);
    let mut sorted = lam1.clone();
    sorted.sort_by(f64::total_cmp);
    let spectrum_median: Vec<f64> = (0..exponents.columns)
        .map(|column| median(&pick(&exponents.column(column), members)))
        .collect();
    let halted_at = pick(&diagnostics.halted_at, members);
    let halted_at: Vec<f64> = halted_at.iter().map(|step| *step as f64).collect();
    CellSummary {
        lam1_median: median_of_sorted(&sorted),
        lam1_mean: mean(&lam1),
        lam1_iqr: [25.0, 75.0].map(|percent| percentile_of_sorted(&sorted, percent)),
        lam8_median: spectrum_median.last().copied().unwrap_or(f64::NAN),
        spectrum_median,
        token_acc_median: median(&pick(&diagnostics.token_acc.to_f64(), members)),
        halted_at_median: median(&halted_at),
    }
}

/// The examples of a label.
pub(super) fn labelled(labels: &[i64], wanted: i64) -> Vec<usize> {
    let found = labels.iter().enumerate();
    found
        .filter(|(_, label)| **label == wanted)
        .map(|(example, _)| example)
        .collect()
}

fn contrasts(lam1: &[f64], correct: &[i64], cells: &[Vec<usize>; 4]) -> Contrasts {
    // The median of nothing is NaN, and so is a difference from it.
    let middle = |members: &[usize]| median(&pick(lam1, members));
    let [a, b, c, d] = cells.each_ref().map(|members| middle(members));
    Contrasts {
        correct_minus_wrong_overall: middle(&labelled(correct, 1)) - middle(&labelled(correct, 0)),
        within_converged: a - b,
        within_nonconverged: c - d,
        wrong_conv_minus_wrong_nonconv: b - d,
    }
}

fn areas(lam1: &[f64], late_drift: &[f64], correct: &[i64], settled: &[i64]) -> Areas {
    let low_lam1: Vec<f64> = lam1.iter().map(|value| -value).collect();
    let low_drift: Vec<f64> = late_drift.iter().map(|value| -value).collect();
    let within = |state: i64| {
        let members = labelled(settled, state);
        area_under_curve(&pick(&low_lam1, &members), &pick(correct, &members))
    };
    Areas {
        neg_lam1_predicts_correct_overall: area_under_curve(&low_lam1, correct),
        neg_lam1_predicts_correct_within_conv: within(1),
        neg_lam1_predicts_correct_within_nonconv: within(0),
        neg_logdrift_predicts_correct: area_under_curve(&low_drift, correct),
        neg_lam1_predicts_converged: area_under_curve(&low_lam1, settled),
    }
}
