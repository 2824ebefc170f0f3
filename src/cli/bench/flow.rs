//! Flags of the flow sampler's rows, and measuring them.

use super::BenchArguments;
use crate::cli::exit::Usage;
use crate::cli::model::load_weights;
use crate::cli::output::print;
use anyhow::{Result, anyhow};
use attractor::bench::{
    FlowBench, FlowInputs, FlowRecord, FlowRow, Roofline, flow_table, slowest_lines,
    stand_in_decoder,
};
use attractor::device::Device;
use attractor::formats::{Array, ArrayMap, Limits, check_writable, load_arrays, npz, read_file};
use attractor::models::flow::DecoderConfig;
use attractor::samplers::flow::{Method, Solver};
use std::path::PathBuf;
use std::str::FromStr;

/// Key of the weights by formula.
const WEIGHTS_KEY: u32 = 7;

/// A method and its steps, such as heun/32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    method: Method,
    steps: usize,
}

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (method, steps) = text
            .split_once('/')
            .ok_or_else(|| format!("expected METHOD/STEPS such as heun/32, found {text:?}"))?;
        let method = method.parse()?;
        let steps = steps
            .parse()
            .map_err(|_| format!("expected a number of steps, found {steps:?}"))?;
        let solver = Solver::Fixed { method, steps };
        solver.check().map_err(|error| error.to_string())?;
        Ok(Self { method, steps })
    }
}

/// Flags of the flow sampler.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Flow sampler")]
pub(super) struct FlowFlags {
    /// Solvers and their steps [default: heun/32; with --quick heun/4]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    solvers: Vec<Steps>,
    /// Frames to draw for at once [default: 1,64; with --quick 1,2]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    frames: Vec<usize>,
    /// Draws of each frame [default: 32; with --quick 4]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    draws: Vec<usize>,
    /// Weights of the decoder [default: by a formula, at the original's size]
    #[arg(long, value_name = "FILE")]
    flow_weights: Option<PathBuf>,
    /// Configuration of the decoder [default: the original's size, and what the weights' shapes say]
    #[arg(long, value_name = "FILE")]
    flow_config: Option<PathBuf>,
    /// Arrays conditions [N, S, Dc] and, if not seeded, noise [frames, draws, H, A] to draw from
    #[arg(long, value_name = "FILE")]
    flow_inputs: Option<PathBuf>,
    /// Write the draws of each row there (npz)
    #[arg(long, value_name = "FILE")]
    flow_out: Option<PathBuf>,
}

/// What is measured of the flow sampler.
#[derive(Debug)]
pub(super) struct FlowWork {
    rows: Vec<FlowRow>,
    config: DecoderConfig,
    weights: ArrayMap,
    inputs: FlowInputs,
}

impl FlowFlags {
    /// Solvers that are measured.
    fn solvers(&self, quick: bool) -> Vec<Steps> {
        if self.solvers.is_empty() {
            return vec![Steps {
                method: Method::Heun,
                steps: if quick { 4 } else { 32 },
            }];
        }
        self.solvers.clone()
    }

    /// What the filter is held against.
    pub(super) fn names(&self, quick: bool) -> Vec<String> {
        let solvers = self.solvers(quick);
        solvers.iter().map(|s| solver_name(s.method)).collect()
    }

    /// Refuses numbers out of range.
    pub(super) fn check(&self) -> Result<()> {
        const MOST: usize = 1 << 16;
        for (flag, values) in [("--frames", &self.frames), ("--draws", &self.draws)] {
            if let Some(bad) = values.iter().find(|&&v| v == 0 || v > MOST) {
                return Err(Usage(format!("{flag}: expected 1 to {MOST}, found {bad}")).into());
            }
        }
        if let Some(out) = &self.flow_out {
            check_writable(out)?;
        }
        Ok(())
    }

    /// The rows that the filter lets through, with weights and inputs if there are any.
    pub(super) fn work(&self, bench: &BenchArguments) -> Result<Option<FlowWork>> {
        let chosen = |given: &[usize], quick: &[usize], usual: &[usize]| match (given, bench.quick)
        {
            ([], true) => quick.to_vec(),
            ([], false) => usual.to_vec(),
            (given, _) => given.to_vec(),
        };
        let frames = chosen(&self.frames, &[1, 2], &[1, 64]);
        let draws = chosen(&self.draws, &[4], &[32]);
        let mut rows = Vec::new();
        for Steps { method, steps } in self.solvers(bench.quick) {
            if !bench.wants(&solver_name(method)) {
                continue;
            }
            for &frames in &frames {
                rows.extend(draws.iter().map(|&draws| FlowRow {
                    method,
                    steps,
                    frames,
                    draws,
                }));
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let (config, weights) = self.model()?;
        let inputs = match &self.flow_inputs {
            Some(file) => FlowInputs::from_arrays(&config, &load_arrays(file)?)?,
            None => FlowInputs::stand_in(&config, frames.iter().copied().max().unwrap_or(1)),
        };
        Ok(Some(FlowWork {
            rows,
            config,
            weights,
            inputs,
        }))
    }

    fn model(&self) -> Result<(DecoderConfig, ArrayMap)> {
        let known = match &self.flow_config {
            Some(file) => {
                let bytes = read_file(file, &Limits::default())?;
                let name = file.display().to_string();
                let text = String::from_utf8(bytes)
                    .map_err(|_| Usage(format!("{name}: expected JSON text, found other bytes")))?;
                DecoderConfig::from_json(&name, &text)?
            }
            None => DecoderConfig::default(),
        };
        let Some(file) = &self.flow_weights else {
            let weights = stand_in_decoder(&known, WEIGHTS_KEY)?;
            return Ok((known, weights));
        };
        let weights = load_weights(file, None)?;
        let config = match self.flow_config {
            Some(_) => known,
            None => DecoderConfig::infer(&weights, &known),
        };
        Ok((config, weights))
    }
}

impl FlowWork {
    /// Measures the rows, prints and writes them.
    pub(super) fn measure(
        &self,
        bench: &BenchArguments,
        device: &Device,
        roofline: &Roofline,
    ) -> Result<Vec<FlowRecord>> {
        let flow = FlowBench {
            device,
            config: &self.config,
            weights: &self.weights,
            inputs: &self.inputs,
            rows: &self.rows,
            effort: bench.effort(7, 3, 20.0),
            checked: if bench.quick { (1, 2) } else { (2, 4) },
        };
        let measured = flow.measure(roofline)?;
        if let Some(file) = &bench.flow.flow_out {
            npz::save(file, &self.draws(&measured)?)?;
        }
        let records: Vec<FlowRecord> = measured.into_iter().map(|(record, _)| record).collect();
        if !bench.json {
            print(&text(&records))?;
        }
        Ok(records)
    }

    /// Draws of every row, `[frames, K, H, A]`, by the row's name.
    fn draws(&self, measured: &[(FlowRecord, Vec<f32>)]) -> Result<ArrayMap> {
        let mut map = ArrayMap::new("draws");
        for (r, values) in measured {
            let shape = [
                r.frames,
                r.draws,
                self.config.horizon,
                self.config.action_dim,
            ];
            let name = format!("{}.{}.{}x{}", r.method, r.steps, r.frames, r.draws);
            let array = Array::new(&shape, values.clone());
            map.insert(
                name.clone(),
                array.map_err(|error| anyhow!("{name}: {error}"))?,
            )?;
        }
        Ok(map)
    }
}

/// What the filter is held against for a solver.
fn solver_name(method: Method) -> String {
    format!("flow {method}")
}

/// The table, and below it where each row spends its time.
fn text(records: &[FlowRecord]) -> String {
    let mut text = flow_table(records).to_text();
    for r in records {
        let slowest = slowest_lines(&r.kernels);
        text += &format!(
            "{}/{} at {}x{}: {slowest}\n",
            r.method, r.steps, r.frames, r.draws
        );
    }
    text + "\n"
}
