//! The compiled graph, for people and as JSON.

use super::PlanArguments;
use super::output::Format;
use crate::cli::output::{note, pretty, print};
use attractor::formats::write_atomic;
use attractor::graph::{Graph, MemoryPlan, Plan, PlanSummary};
use serde::Serialize;

/// A compiled graph as it is written to a file.
#[derive(Serialize)]
struct Dump<'a> {
    batch: usize,
    summary: PlanSummary,
    memory: &'a MemoryPlan,
    graph: &'a Graph,
}

/// Prints and writes what is asked for, before anything runs.
pub fn write(
    arguments: &PlanArguments,
    plan: &Plan,
    steps: u32,
    batch: usize,
) -> anyhow::Result<()> {
    if arguments.explain {
        let text = format!(
            "graph for {batch} observations at once\n{}",
            plan.explain(steps)
        );
        // Results that a program reads must stay alone on standard output.
        match arguments.format {
            Some(Format::Json | Format::Jsonl) => note(text.trim_end()),
            _ => print(&text)?,
        }
    }
    if let Some(path) = &arguments.graph {
        let dump = Dump {
            batch,
            summary: plan.summary(steps),
            memory: plan.memory(),
            graph: plan.graph(),
        };
        write_atomic(path, pretty(&dump)?.as_bytes())?;
    }
    Ok(())
}
