//! The action-feedback rollout on drives of the benchmark.

use super::benchmark::{Benchmark, history_is_zero};
use crate::cli::exit::Usage;
use crate::cli::flow::drawing::{BATCH_FRAMES, Drawer};
use crate::cli::flow::source::Source;
use crate::cli::progress;
use anyhow::Result;
use attractor::analysis::flow::{
    Chunks, DrivingHistory, FlowDataError, Readout, Rollout, RolloutBatch, RolloutConfig,
    RolloutInput, roll_out,
};

/// What a policy can fail with inside a rollout.
#[derive(Debug)]
struct Failure(anyhow::Error);

impl From<FlowDataError> for Failure {
    fn from(error: FlowDataError) -> Self {
        Self(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

/// Refuses rows that no chain can be made of.
pub fn check(benchmark: Option<&Benchmark>, source: &Source) -> Result<()> {
    let refuse = |expected: &str, found: &str| {
        let message = format!("--rollout: expected {expected}, found {found}");
        Err(Usage(message).into())
    };
    let Some(benchmark) = benchmark else {
        return refuse(
            "drives of DriveChunk-1, whose conditions are known to hold past actions",
            &source.name,
        );
    };
    if history_is_zero(&source.conditions) {
        return refuse("conditions with the action history", "it set to zero");
    }
    let length = RolloutConfig::new(0).chain_length();
    let runs = benchmark.unbroken_runs();
    let longest = runs.chunk_by(|a, b| a == b).map(<[u32]>::len).max();
    match longest {
        Some(longest) if longest >= length => Ok(()),
        _ => refuse(
            &format!("{length} samples of a drive in a row (--frame-stride 1)"),
            &format!("{} at most", longest.unwrap_or(0)),
        ),
    }
}

/// Rolls the policy out, all chains side by side.
pub fn feed_back(
    drawer: &mut Drawer,
    readout: Readout,
    source: &Source,
    (truth, benchmark): (Chunks, &Benchmark),
) -> Result<Rollout> {
    let size = source.tokens * source.width;
    let (channels, steering) = (truth.channels(), drawer.rule().channel);
    let chunk = truth.horizon() * channels;
    let config = RolloutConfig::new(steering);
    let input = RolloutInput {
        conditions: &source.conditions,
        condition_size: size,
        truth,
        drives: &benchmark.unbroken_runs(),
    };
    // Every frame of a chain is asked about twice, with its own history and with the policy's.
    let bar = progress::bar(2 * source.len());
    let predict = |batch: RolloutBatch| -> Result<Vec<f32>, Failure> {
        let mut first_actions = Vec::new();
        let parts = batch.conditions.chunks(BATCH_FRAMES * size.max(1));
        for (conditions, rows) in parts.zip(batch.frames.chunks(BATCH_FRAMES)) {
            let row_number = |&row: &usize| source.rows.get(row).copied().unwrap_or(row);
            let numbers: Vec<usize> = rows.iter().map(row_number).collect();
            let drawn = drawer.draw(conditions, &numbers)?;
            let chunks = drawer.read_out(readout, &drawn)?;
            let first = chunks.chunks_exact(chunk.max(1));
            first_actions.extend(first.flat_map(|chunk| chunk.iter().take(channels)));
            bar.inc(rows.len() as u64);
        }
        Ok(first_actions)
    };
    let rollout = roll_out(&input, &DrivingHistory, &config, predict);
    bar.finish_and_clear();
    rollout.map_err(|Failure(error)| error)
}
