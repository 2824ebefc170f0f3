//! Flow-matching policies: exponents of the flow from noise to action, along its solver.

use super::MeasureArguments;
use super::graph_run::GraphRun;
use super::maps::columns;
use super::measured::{FtleSettings, Measured};
use crate::cli::exit::Usage;
use crate::cli::flow::{self, Policy, Source, SourceArguments};
use crate::cli::output::note;
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::device::Selection;
use attractor::models::flow::{DecoderWeights, FlowBatch};
use attractor::orbit::lyapunov::Settings;
use attractor::samplers::flow::{Method, decoder_map, fill_noise};
use attractor::worlds::driving::{CHANNELS, FRAMES};
use serde_json::json;
use std::time::Instant;

/// Steps and tangents where none are asked for.
const STEPS: u32 = 32;
const COLUMNS: usize = 8;
/// Stream of the noise, as in sampling.
const STREAM: u32 = 0;

/// Measures the frames that are asked for, one example a draw.
pub fn measure(arguments: &MeasureArguments, selection: &Selection) -> Result<Measured> {
    let data = &arguments.data;
    let learned = &arguments.learned;
    let mut policy = Policy::load(&flow::ModelArguments {
        weights: Some(learned.weights()?.to_path_buf()),
        weights_key: learned.weights_key.clone(),
        config: learned.config.clone(),
        heads: learned.heads,
        ..flow::ModelArguments::default()
    })?;
    let path = data.data.clone();
    let path = path.ok_or_else(|| Usage("expected --data with conditions, found none".into()))?;
    let source = Source::load(&SourceArguments {
        data: Some(path),
        drives: None,
        frames: FRAMES,
        history_zeroed: false,
        frame_stride: 1,
        action_keys: CHANNELS.map(String::from).to_vec(),
    })?;
    policy.accept(&source)?;
    let method: Method = match &data.solver {
        Some(name) => name.parse().map_err(Usage)?,
        None => Method::Heun,
    };
    let range = data.range(source.len())?;
    let draws = data.draws.unwrap_or(1);
    if draws == 0 {
        return Err(Usage("--draws: expected at least 1, found 0".into()).into());
    }
    let batch = FlowBatch {
        frames: range.len(),
        draws,
    };
    let (device, config) = (&selection.device, policy.config.clone());
    let weights = DecoderWeights::velocity(&config, &policy.weights)?;
    let steps = arguments.steps.unwrap_or(STEPS);
    let conditions = source.conditions_of(range.clone());
    let map = decoder_map(&config, &weights, batch, conditions, method, steps as usize)?;
    let settings = Settings {
        columns: columns(
            arguments.k.or(Some(COLUMNS.min(map.dimension))),
            map.dimension,
        )?,
        every: arguments.every,
        factors: arguments.covariant,
        ..Settings::by_step(&map, 1)
    };
    let recorded = FtleSettings {
        map: format!("flow by {method}"),
        dimension: map.dimension,
        k: settings.columns,
        steps,
        transient: 0,
        granularity: format!("{} solver steps", arguments.every),
        parameters: json!({"data": source.name, "draws": draws, "model": config}),
    };
    let hash = policy.weights.content_hash();
    let run = RunRecord::new(device, arguments.seed, (&policy.file, &hash), &recorded);
    note(run.head(&selection.reason).trim_end());
    let started = Instant::now();
    let chunk = map.dimension;
    let mut state = vec![0.0_f32; map.batch * chunk];
    for (row, start) in state.chunks_exact_mut(chunk).enumerate() {
        let frame = u32::try_from(range.start + row / draws)?;
        let place = (frame, u32::try_from(row % draws)?);
        fill_noise(start, (arguments.seed, STREAM), place, 1.0);
    }
    let state: Vec<f64> = state.into_iter().map(f64::from).collect();
    let graph_run = GraphRun {
        map: &map,
        settings: &settings,
        state: &state,
        tangents: None,
        steps,
        seed: arguments.seed,
        first: range.start * draws,
        events_a_row: |_| 1,
    };
    let (examples, bytes) = graph_run.carry_out(device)?;
    Ok(Measured {
        run,
        event_time: f64::from(arguments.every) / f64::from(steps),
        unit: "flow time",
        examples,
        sum_rule: None,
        literature: None,
        working_bytes: bytes,
        seconds: started.elapsed().as_secs_f64(),
        arrays: None,
    })
}
