//! Answers as boards, a table, JSON, JSON Lines, CSV, Markdown or an npz file.

use super::{RecurseArguments, RecurseSettings, Results};
use crate::cli::output::{pretty, print};
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::formats::{Array, ArrayData, ArrayMap, npz};
use attractor::report::Table;
use attractor::samplers::recursive::{Score, SolveReport};
use serde::Serialize;
use std::path::Path;

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned text; of one puzzle its board and every step
    Table,
    /// One JSON object
    Json,
    /// One JSON object a line and puzzle
    Jsonl,
    /// Comma-separated values, one line a puzzle
    Csv,
    /// A Markdown table
    Md,
}

/// One answer as JSON.
#[derive(Debug, Serialize)]
struct AnswerRecord<'a> {
    example: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    puzzle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    tokens: &'a [u32],
    halted_at: u32,
    q_halt: &'a [f64],
    q_continue: &'a [f64],
    #[serde(rename = "drift_zH")]
    drift_h: &'a [f64],
    #[serde(rename = "drift_zL")]
    drift_l: &'a [f64],
    #[serde(flatten)]
    score: Option<Score>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a RunRecord<RecurseSettings>>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    run: &'a RunRecord<RecurseSettings>,
    report: &'a SolveReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    exact_acc: Option<f64>,
    answers: Vec<AnswerRecord<'a>>,
}

impl Results {
    fn records<'a>(
        &'a self,
        run: Option<&'a RunRecord<RecurseSettings>>,
    ) -> impl Iterator<Item = AnswerRecord<'a>> + 'a {
        let found = &self.solutions;
        let cells = self.set.seq_len.max(1);
        let answers = found.predictions.chunks_exact(cells);
        let puzzles = self.set.inputs.chunks_exact(cells);
        answers
            .zip(puzzles)
            .enumerate()
            .map(move |(row, (answer, puzzle))| {
                let steps = row * found.steps..(row + 1) * found.steps;
                let series = |all: &'a [f64]| all.get(steps.clone()).unwrap_or_default();
                let line = |tokens| self.set.board.map(|board| board.line(tokens));
                AnswerRecord {
                    example: self.range.start + row,
                    puzzle: line(puzzle),
                    answer: line(answer),
                    tokens: answer,
                    halted_at: found.halted_at.get(row).copied().unwrap_or(0),
                    q_halt: series(&found.q_halt),
                    q_continue: series(&found.q_continue),
                    drift_h: series(&found.drift_h),
                    drift_l: series(&found.drift_l),
                    score: self
                        .scores
                        .as_ref()
                        .and_then(|scores| scores.get(row).copied()),
                    run,
                }
            })
    }

    /// Share of puzzles that are right in every cell, where answers are known.
    fn exact_acc(&self) -> Option<f64> {
        let scores = self.scores.as_ref().filter(|scores| !scores.is_empty())?;
        let exact = scores.iter().filter(|score| score.exact_correct).count();
        Some(exact as f64 / scores.len() as f64)
    }
}

/// Writes the file that is asked for, and prints what is asked for.
pub fn write(
    arguments: &RecurseArguments,
    run: &RunRecord<RecurseSettings>,
    results: &Results,
) -> Result<()> {
    if let Some(path) = &arguments.out {
        npz::save(path, &arrays(path, run, results)?)?;
    }
    let format = match (arguments.format, &arguments.out) {
        (Some(format), _) => format,
        (None, None) => Format::Table,
        (None, Some(_)) => return Ok(()),
    };
    print(&match format {
        Format::Table if results.set.count() == 1 => one(results),
        Format::Table => format!("{}{}", table(results).to_text(), summary(results)),
        Format::Md => table(results).to_markdown(),
        Format::Csv => csv(results),
        Format::Json => pretty(&Document {
            run,
            report: &results.solutions.report,
            exact_acc: results.exact_acc(),
            answers: results.records(None).collect(),
        })?,
        Format::Jsonl => {
            let mut lines = String::new();
            for record in results.records(Some(run)) {
                lines.push_str(&serde_json::to_string(&record)?);
                lines.push('\n');
            }
            lines
        }
    })?;
    Ok(())
}

/// `idx` i64 [N]; `preds` i32 [N, S]; `q_halt`, `q_continue`, `drift_zH`, `drift_zL` f32 [N, T]; `halted_at` i64
/// [N]; where answers are known `token_acc` f32 [N] and `exact_correct` bool [N]; `run`, the record of the run
/// as JSON text.
fn arrays(path: &Path, run: &RunRecord<RecurseSettings>, results: &Results) -> Result<ArrayMap> {
    let found = &results.solutions;
    let (count, steps) = (results.set.count(), found.steps);
    let mut map = ArrayMap::new(path);
    let mut put = |name: &str, shape: &[usize], data: ArrayData| -> Result<()> {
        Ok(map.insert(name, Array::new(shape, data)?)?)
    };
    let single = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let numbers: Vec<i64> = results
        .range
        .clone()
        .map(|example| example as i64)
        .collect();
    put("idx", &[count], numbers.into())?;
    let tokens: Vec<i32> = found
        .predictions
        .iter()
        .map(|&token| token as i32)
        .collect();
    put("preds", &[count, results.set.seq_len], tokens.into())?;
    for (name, values) in [
        ("q_halt", &found.q_halt),
        ("q_continue", &found.q_continue),
        ("drift_zH", &found.drift_h),
        ("drift_zL", &found.drift_l),
    ] {
        put(name, &[count, steps], single(values).into())?;
    }
    let halted: Vec<i64> = found
        .halted_at
        .iter()
        .map(|&step| i64::from(step))
        .collect();
    put("halted_at", &[count], halted.into())?;
    if let Some(scores) = &results.scores {
        let accuracy: Vec<f64> = scores.iter().map(|score| score.token_acc).collect();
        put("token_acc", &[count], single(&accuracy).into())?;
        let exact: Vec<bool> = scores.iter().map(|score| score.exact_correct).collect();
        put("exact_correct", &[count], exact.into())?;
    }
    put("run", &[], vec![serde_json::to_string(run)?].into())?;
    Ok(map)
}

/// The board of one puzzle before and after, and every step.
fn one(results: &Results) -> String {
    let (set, found) = (&results.set, &results.solutions);
    let mut text = match set.board {
        Some(board) => {
            let (before, after) = (board.draw(&set.inputs), board.draw(&found.predictions));
            format!("puzzle\n{before}\nanswer\n{after}\n")
        }
        None => {
            let words: Vec<String> = found.predictions.iter().map(u32::to_string).collect();
            format!("answer\n{}\n\n", words.join(" "))
        }
    };
    let mut table = Table::new(["step", "q_halt", "q_continue", "drift zH", "drift zL", ""]);
    for step in 0..found.steps {
        let at = |values: &[f64]| values.get(step).copied().unwrap_or(f64::NAN);
        let halts = found
            .halted_at
            .first()
            .is_some_and(|halt| *halt as usize == step + 1);
        table.row([
            (step + 1).to_string(),
            format!("{:.4}", at(&found.q_halt)),
            format!("{:.4}", at(&found.q_continue)),
            format!("{:.4e}", at(&found.drift_h)),
            format!("{:.4e}", at(&found.drift_l)),
            if halts { "halted_at" } else { "" }.to_string(),
        ]);
    }
    text.push_str(&table.to_text());
    text + &summary(results)
}

/// Columns that are there, and one row an answer.
fn rows(results: &Results) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let mut titles = vec![
        "example",
        "halted_at",
        "q_halt",
        "q_continue",
        "drift_zH",
        "drift_zL",
    ];
    if results.scores.is_some() {
        titles.extend(["token_acc", "exact_correct"]);
    }
    titles.push("answer");
    let rows = results.records(None).map(|record| {
        let last = |values: &[f64]| values.last().map_or(String::new(), f64::to_string);
        let mut cells = vec![record.example.to_string(), record.halted_at.to_string()];
        let series = [
            record.q_halt,
            record.q_continue,
            record.drift_h,
            record.drift_l,
        ];
        cells.extend(series.map(last));
        if let Some(score) = record.score {
            cells.extend([
                score.token_acc.to_string(),
                u8::from(score.exact_correct).to_string(),
            ]);
        }
        let words = || {
            record
                .tokens
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        cells.push(record.answer.unwrap_or_else(words));
        cells
    });
    (titles, rows.collect())
}

fn table(results: &Results) -> Table {
    let (titles, rows) = rows(results);
    let mut table = Table::new(titles);
    for row in rows {
        table.row(row.into_iter().map(|cell| shorter(&cell)));
    }
    table
}

/// Six significant digits of a number; other text as it is.
fn shorter(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(number) if cell.contains('.') && cell.len() > 9 => format!("{number:.6}"),
        _ => cell.to_string(),
    }
}

fn csv(results: &Results) -> String {
    let (titles, rows) = rows(results);
    let mut text = titles.join(",") + "\n";
    for row in rows {
        text.push_str(&row.join(","));
        text.push('\n');
    }
    text
}

fn summary(results: &Results) -> String {
    let (count, report) = (results.set.count(), &results.solutions.report);
    let exact = results.exact_acc().map_or(String::new(), |share| {
        format!("; {:.4} exactly right", share)
    });
    format!(
        "{count} puzzles, {} steps{exact}; {:.3} s in {} runs, {} bytes of working memory\n",
        results.solutions.steps, report.seconds, report.runs, report.working_bytes
    )
}
