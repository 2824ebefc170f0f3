//! The cells over the checkpoints of a training run.

use super::TwoByTwoError;
use super::analysis::{cells_at, late_drift, pick};
use super::diagnostics::Checkpoint;
use super::number::shortest;
use super::otsu::{OtsuRule, Precision, threshold};
use super::statistics::{mean, median};
use super::table::Floats;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A cell of fewer members has no median in a series.
const LEAST_MEMBERS: usize = 3;

/// The cells at one checkpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvolutionRow {
    /// Training step.
    pub step: u64,
    /// Share of right answers.
    pub accuracy: f64,
    /// Threshold of the late drift's decimal logarithm, computed in the precision of the file.
    pub tau: f64,
    /// Shares of examples in cells A to D.
    pub fractions: [f64; 4],
    /// Medians of the largest exponent in cells A to D; NaN for cells of two members or fewer.
    pub lam1_medians: [f64; 4],
}

impl EvolutionRow {
    /// The cells of one file. Late drifts are averaged, taken the logarithm of, cut and compared in the
    /// precision of the file.
    ///
    /// # Errors
    /// As [`super::Diagnostics::read`] for the arrays `drift_zH`, `lyap_spec` and `exact_correct`, and
    /// [`TwoByTwoError::Degenerate`].
    pub fn read(path: &Path, step: u64, rule: OtsuRule) -> Result<Self, TwoByTwoError> {
        let checkpoint = Checkpoint::read(path)?;
        let columns = checkpoint.drift_zh.columns;
        let cut = match &checkpoint.drift_zh.values {
            Floats::F32(values) => cut(&(columns, values.clone()), &checkpoint, rule),
            Floats::F64(values) => cut(&(columns, values.clone()), &checkpoint, rule),
        };
        let (tau, cells) = cut.map_err(|found| TwoByTwoError::Degenerate {
            file: path.to_path_buf(),
            found,
            examples: checkpoint.exact_correct.len(),
        })?;
        let correct = &checkpoint.exact_correct;
        let lam1 = checkpoint.lyap_spec.column(0);
        let labels: Vec<f64> = correct.iter().map(|label| *label as f64).collect();
        Ok(Self {
            step,
            accuracy: mean(&labels),
            tau,
            fractions: cells
                .each_ref()
                .map(|members| members.len() as f64 / correct.len() as f64),
            lam1_medians: cells.map(|members| {
                if members.len() < LEAST_MEMBERS {
                    f64::NAN
                } else {
                    median(&pick(&lam1, &members))
                }
            }),
        })
    }
}

/// Threshold and cells; the common drift where there is no threshold.
fn cut<T: Precision>(
    drifts: &(usize, Vec<T>),
    checkpoint: &Checkpoint,
    rule: OtsuRule,
) -> Result<(f64, [Vec<usize>; 4]), f64> {
    let late = late_drift(drifts);
    let tau = threshold(&late, rule)
        .ok_or_else(|| late.first().map_or(f64::NAN, |value| (*value).into()))?;
    Ok((tau.into(), cells_at(&late, &checkpoint.exact_correct, tau)))
}

/// The rows of a series: one for every file that exists, in the order given.
///
/// # Errors
/// As [`EvolutionRow::read`].
pub fn evolution(
    files: &[(u64, PathBuf)],
    rule: OtsuRule,
) -> Result<Vec<EvolutionRow>, TwoByTwoError> {
    let existing = files.iter().filter(|(_, path)| path.exists());
    existing
        .map(|(step, path)| EvolutionRow::read(path, *step, rule))
        .collect()
}

/// The text of `evolution_<name>.csv`.
pub fn evolution_csv(rows: &[EvolutionRow]) -> String {
    let mut text = String::from("step,acc,tau,fA,fB,fC,fD,l1A,l1B,l1C,l1D\n");
    for row in rows {
        let single = [row.accuracy, row.tau];
        let numbers = single.iter().chain(&row.fractions).chain(&row.lam1_medians);
        let numbers: Vec<String> = numbers.map(|value| shortest(*value)).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{},{}", row.step, numbers.join(","));
    }
    text
}
