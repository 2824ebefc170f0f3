//! Plans as an npz file, a table, JSON or JSON Lines.

use super::{PlanArguments, Results};
use crate::cli::output::{pretty, print};
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::formats::{Array, ArrayData, ArrayMap, npz};
use attractor::report::Table;
use serde::Serialize;
use std::path::Path;

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned text
    Table,
    /// One JSON object
    Json,
    /// One JSON object a line and plan
    Jsonl,
}

/// One plan as JSON.
#[derive(Debug, Serialize)]
struct PlanRecord<'a> {
    example: usize,
    plan: &'a [i32],
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<[f32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a RunRecord>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    run: &'a RunRecord,
    plans: Vec<PlanRecord<'a>>,
}

impl Results {
    fn records<'a>(
        &'a self,
        run: Option<&'a RunRecord>,
    ) -> impl Iterator<Item = PlanRecord<'a>> + 'a {
        let rows = self.tokens.chunks_exact(self.length.max(1)).enumerate();
        rows.map(move |(row, plan)| PlanRecord {
            example: self.first + row,
            plan,
            goal: self.goal.as_ref().and_then(|goal| goal.get(row).copied()),
            run,
        })
    }
}

/// Writes the file that is asked for, and prints what is asked for.
pub fn write(arguments: &PlanArguments, run: &RunRecord, results: &Results) -> Result<()> {
    if let Some(path) = &arguments.out {
        npz::save(path, &arrays(path, run, results)?)?;
    }
    let format = match (arguments.format, &arguments.out) {
        (Some(format), _) => format,
        (None, None) => Format::Table,
        (None, Some(_)) => return Ok(()),
    };
    print(&match format {
        Format::Table => table(results).to_text(),
        Format::Json => pretty(&Document {
            run,
            plans: results.records(None).collect(),
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

/// `plans` i8 [N, seq_len] (i32 where an action has a larger id), `goal` f32 [N, 2] where the network
/// predicts one, `example` i64 [N], and `run`, the record of the run as JSON text.
fn arrays(path: &Path, run: &RunRecord, results: &Results) -> Result<ArrayMap> {
    let count = results.tokens.len() / results.length.max(1);
    let narrow: Result<Vec<i8>, _> = results.tokens.iter().map(|&t| i8::try_from(t)).collect();
    let tokens = match narrow {
        Ok(tokens) => ArrayData::from(tokens),
        Err(_) => ArrayData::from(results.tokens.clone()),
    };
    let mut map = ArrayMap::new(path);
    let mut put = |name: &str, shape: &[usize], data: ArrayData| -> Result<()> {
        Ok(map.insert(name, Array::new(shape, data)?)?)
    };
    put("plans", &[count, results.length], tokens)?;
    if let Some(goal) = &results.goal {
        put("goal", &[count, 2], goal.as_flattened().to_vec().into())?;
    }
    let examples: Vec<i64> = (results.first..results.first + count)
        .map(|example| example as i64)
        .collect();
    put("example", &[count], examples.into())?;
    put("run", &[], vec![serde_json::to_string(run)?].into())?;
    Ok(map)
}

fn table(results: &Results) -> Table {
    let goals = results.goal.is_some();
    let mut titles = vec!["example"];
    titles.extend(goals.then_some("goal row, column"));
    titles.push("plan");
    let mut table = Table::new(titles);
    for record in results.records(None) {
        let mut cells = vec![record.example.to_string()];
        cells.extend(record.goal.map(|[row, col]| format!("{row:.3}, {col:.3}")));
        let actions: Vec<String> = record
            .plan
            .iter()
            .map(|action| action.to_string())
            .collect();
        cells.push(actions.join(" "));
        table.row(cells);
    }
    table
}
