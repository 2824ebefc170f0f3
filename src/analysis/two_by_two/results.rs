//! Results as files: JSON, CSV and Markdown, in the wording of the published script.

use super::analysis::{Analysis, CELL_NAMES, Cell};
use super::json::Json;
use super::number::{fixed, shortest, signed};
use super::sweep::SweepRow;
use std::fmt::Write;

/// How the late drift is defined, as the results say.
const LATE_DRIFT: &str = "mean(drift_zH[:, -4:])";

impl Analysis {
    /// The text of `results_<tag>.json`: keys in the published order, indented by 2, numbers as Python
    /// prints them; NaN is the bare token, or null when `strict`.
    pub fn to_json(&self, strict: bool) -> String {
        let number = Json::Number;
        let object = Json::Object;
        let cells = CELL_NAMES.into_iter().zip(&self.cells);
        let q_halt = CELL_NAMES.into_iter().zip(&self.cells);
        let (contrasts, areas) = (&self.contrasts, &self.areas);
        object(vec![
            ("npz", Json::Text(self.npz.clone())),
            ("n", Json::Count(self.examples())),
            ("exact_acc", number(self.exact_acc)),
            ("late_drift_def", Json::Text(LATE_DRIFT.into())),
            ("otsu_tau_log10", number(self.tau)),
            ("frac_converged", number(self.frac_converged)),
            (
                "cells",
                object(cells.map(|(name, cell)| (name, cell.to_json())).collect()),
            ),
            (
                "mixture",
                object(vec![
                    ("wrong_that_converged", number(self.wrong_that_converged)),
                    (
                        "correct_that_nonconverged",
                        number(self.correct_that_nonconverged),
                    ),
                ]),
            ),
            ("contrasts", named(&contrasts.named())),
            ("auc", named(&areas.named())),
            (
                "aux",
                object(vec![
                    (
                        "late_drift_zL_corr_with_zH_log",
                        number(self.late_drift_zl_correlation),
                    ),
                    (
                        "q_halt_final_median_by_cell",
                        object(
                            q_halt
                                .map(|(name, cell)| (name, number(cell.q_halt_final_median)))
                                .collect(),
                        ),
                    ),
                ]),
            ),
        ])
        .write(strict)
    }

    /// The text of `cells_<tag>.csv`.
    pub fn cells_csv(&self) -> String {
        let mut text = String::from(
            "cell,n,lam1_median,lam1_mean,lam1_q25,lam1_q75,lam8_median,token_acc_median,halted_at_median\n",
        );
        for (name, cell) in CELL_NAMES.into_iter().zip(&self.cells) {
            let Some(summary) = &cell.summary else {
                text.push_str(&format!("{name},0,,,,,,,\n"));
                continue;
            };
            let [q25, q75] = summary.lam1_iqr;
            let exponents = [
                summary.lam1_median,
                summary.lam1_mean,
                q25,
                q75,
                summary.lam8_median,
            ];
            let exponents = exponents.map(|value| fixed(value, 6)).join(",");
            let tokens = fixed(summary.token_acc_median, 4);
            let halted = fixed(summary.halted_at_median, 1);
            let n = cell.members.len();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name},{n},{exponents},{tokens},{halted}");
        }
        text
    }

    /// The lines of `results.md` about this file, under a heading `tag`.
    fn markdown(&self, tag: &str, lines: &mut Vec<String>) {
        lines.push(format!("## {tag}"));
        lines.push(format!(
            "- npz: `{}`, n={}, exact_acc={}",
            self.npz,
            self.examples(),
            fixed(self.exact_acc, 3)
        ));
        lines.push(format!(
            "- late-drift def: {LATE_DRIFT}, Otsu tau(log10)={}, frac_converged={}",
            fixed(self.tau, 3),
            fixed(self.frac_converged, 3)
        ));
        lines.push(String::new());
        lines.push("| cell | n | lam1 median | lam1 IQR | token_acc med |".into());
        lines.push("|---|---|---|---|---|".into());
        for (name, cell) in CELL_NAMES.into_iter().zip(&self.cells) {
            lines.push(cell.markdown(name));
        }
        lines.push(String::new());
        self.markdown_comparisons(lines);
        lines.push(String::new());
    }

    fn markdown_comparisons(&self, lines: &mut Vec<String>) {
        let (contrasts, areas) = (&self.contrasts, &self.areas);
        lines.push(format!(
            "- mixture: wrong-that-converged = {}; correct-that-nonconverged = {}",
            fixed(self.wrong_that_converged, 3),
            fixed(self.correct_that_nonconverged, 3)
        ));
        lines.push(format!(
            "- dlam1(correct-wrong): overall {}; within-conv {}; within-nonconv {}",
            signed(contrasts.correct_minus_wrong_overall, 4),
            signed(contrasts.within_converged, 4),
            signed(contrasts.within_nonconverged, 4)
        ));
        lines.push(format!(
            "- dlam1(wrong: conv - nonconv) = {}",
            signed(contrasts.wrong_conv_minus_wrong_nonconv, 4)
        ));
        lines.push(format!(
            "- AUC(-lam1 -> correct): overall {}; within-conv {}; within-nonconv {}",
            fixed(areas.neg_lam1_predicts_correct_overall, 3),
            fixed(areas.neg_lam1_predicts_correct_within_conv, 3),
            fixed(areas.neg_lam1_predicts_correct_within_nonconv, 3)
        ));
        lines.push(format!(
            "- AUC(-log d_late -> correct) = {}; AUC(-lam1 -> converged) = {}",
            fixed(areas.neg_logdrift_predicts_correct, 3),
            fixed(areas.neg_lam1_predicts_converged, 3)
        ));
    }
}

impl super::analysis::Contrasts {
    /// The differences under their names in the results.
    pub fn named(&self) -> [(&'static str, f64); 4] {
        [
            (
                "dlam1_correct_minus_wrong_overall",
                self.correct_minus_wrong_overall,
            ),
            ("dlam1_within_converged", self.within_converged),
            ("dlam1_within_nonconverged", self.within_nonconverged),
            (
                "dlam1_wrong_conv_minus_wrong_nonconv",
                self.wrong_conv_minus_wrong_nonconv,
            ),
        ]
    }
}

impl super::analysis::Areas {
    /// The areas under their names in the results.
    pub fn named(&self) -> [(&'static str, f64); 5] {
        [
            (
                "neg_lam1_predicts_correct_overall",
                self.neg_lam1_predicts_correct_overall,
            ),
            (
                "neg_lam1_predicts_correct_within_conv",
                self.neg_lam1_predicts_correct_within_conv,
            ),
            (
                "neg_lam1_predicts_correct_within_nonconv",
                self.neg_lam1_predicts_correct_within_nonconv,
            ),
            (
                "neg_logdrift_predicts_correct",
                self.neg_logdrift_predicts_correct,
            ),
            (
                "neg_lam1_predicts_converged",
                self.neg_lam1_predicts_converged,
            ),
        ]
    }
}

fn named(entries: &[(&'static str, f64)]) -> Json {
    let entries = entries
        .iter()
        .map(|(name, value)| (*name, Json::Number(*value)));
    Json::Object(entries.collect())
}

impl Cell {
    fn to_json(&self) -> Json {
        let mut entries = vec![("n", Json::Count(self.members.len()))];
        if let Some(summary) = &self.summary {
            let number = Json::Number;
            entries.extend([
                ("lam1_median", number(summary.lam1_median)),
                ("lam1_mean", number(summary.lam1_mean)),
                ("lam1_iqr", Json::numbers(&summary.lam1_iqr)),
                ("lam8_median", number(summary.lam8_median)),
                ("spectrum_median", Json::numbers(&summary.spectrum_median)),
                ("token_acc_median", number(summary.token_acc_median)),
                ("halted_at_median", number(summary.halted_at_median)),
            ]);
        }
        Json::Object(entries)
    }

    fn markdown(&self, name: &str) -> String {
        let Some(summary) = &self.summary else {
            return format!("| {name} | 0 | - | - | - |");
        };
        let [q25, q75] = summary.lam1_iqr;
        format!(
            "| {name} | {} | {} | [{}, {}] | {} |",
            self.members.len(),
            signed(summary.lam1_median, 4),
            signed(q25, 4),
            signed(q75, 4),
            fixed(summary.token_acc_median, 3)
        )
    }
}

/// The text of `results.md` over analyses under their tags; `date` is `YYYY-MM-DD`.
pub fn results_markdown(analyses: &[(String, Analysis)], date: &str) -> String {
    let title = "# 2x2 analysis (convergence x correctness) \u{2014} generated ";
    let mut lines = vec![format!("{title}{date}"), String::new()];
    for (tag, analysis) in analyses {
        analysis.markdown(tag, &mut lines);
    }
    lines.join("\n")
}

/// The text of `sweep_<tag>.csv`.
pub fn sweep_csv(rows: &[SweepRow]) -> String {
    let mut text = String::from("pct,tau,nA,nB,nC,nD,lam1_med_B,lam1_med_D\n");
    for row in rows {
        let counts = row.counts.map(|count| count.to_string()).join(",");
        let numbers = [row.lam1_median_b, row.lam1_median_d]
            .map(shortest)
            .join(",");
        let (percent, tau) = (row.percent, shortest(row.tau));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{percent},{tau},{counts},{numbers}");
    }
    text
}
