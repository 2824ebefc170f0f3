//! Exponents of recursive reasoners against the multiply-add ceiling, and what a tangent costs beside the
//! forward pass.

use super::{BenchError, Effort, Roofline, Spread};
use crate::device::{Device, DeviceKind};
use crate::formats::{Array, ArrayMap, FormatError};
use crate::models::recursive::{Granularity, PuzzleRows, RecursiveSettings};
use crate::samplers::recursive::{
    ExponentSettings, Exponents, Reasoner, ReasonerError, SolveRequest,
};
use attractor_kernels::philox::philox4x32;
use serde::Serialize;
use serde_json::json;
use std::time::Instant;

/// Tangents of every workload.
const COLUMNS: usize = 8;
/// Second word of the generator's key of the stand-in weights.
const KEY: u32 = 0xE4B0;

/// What was measured of a reasoner with its tangents.
#[derive(Debug, Clone, Serialize)]
pub struct ExponentsRecord {
    /// "exponents".
    pub name: &'static str,
    /// Which model and size.
    pub workload: &'static str,
    /// Examples.
    pub examples: usize,
    /// Numbers of one example's joint latents.
    pub dimension: usize,
    /// Tangent vectors k.
    pub tangents: usize,
    /// ACT steps of a run.
    pub steps: usize,
    /// Level calls of a run.
    pub level_calls: usize,
    /// Seconds of a run.
    pub seconds: Spread,
    /// Seconds of a level call with its tangents and QR, at the median.
    pub seconds_a_call: f64,
    /// 1e9 operations a second at the median.
    pub gflops: f64,
    /// Share of the multiply-add ceiling at the median.
    pub roofline_share: f64,
    /// Operations with tangents and QR, over those of the forward pass alone.
    pub flops_over_forward: f64,
    /// Bytes of working memory of a run.
    pub working_bytes: u64,
    /// Launches of a run.
    pub dispatches: u64,
    /// Whether runs agree bit for bit, all logarithms are finite and no tangent was lost.
    pub correct: bool,
}

/// A model of a shape, by formula.
struct Workload {
    name: &'static str,
    width: usize,
    heads: usize,
    /// Cells and rows before them.
    rows: [usize; 2],
    vocabulary: usize,
    mixer: bool,
    examples: usize,
    steps: usize,
}

const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "trm width 64",
        width: 64,
        heads: 4,
        rows: [16, 4],
        vocabulary: 6,
        mixer: false,
        examples: 16,
        steps: 16,
    },
    Workload {
        name: "trm published, attention",
        width: 512,
        heads: 8,
        rows: [81, 16],
        vocabulary: 11,
        mixer: false,
        examples: 1,
        steps: 1,
    },
    Workload {
        name: "trm published, mixer",
        width: 512,
        heads: 8,
        rows: [81, 16],
        vocabulary: 11,
        mixer: true,
        examples: 1,
        steps: 1,
    },
];

/// Inner width of a SwiGLU of expansion 4.
fn inner(width: usize) -> usize {
    let wanted = (8.0 * width as f64 / 3.0).round_ties_even() as usize;
    256 * wanted.div_ceil(256)
}

impl Workload {
    fn settings(&self) -> Result<RecursiveSettings, ReasonerError> {
        let text = json!({
            "arch": "trm",
            "hidden_size": self.width,
            "num_heads": self.heads,
            "expansion": 4.0,
            "H_layers": 0,
            "L_layers": 2,
            "H_cycles": 3,
            "L_cycles": 6,
            "mlp_t": self.mixer,
            "pos_encodings": if self.mixer { "none" } else { "rope" },
            "puzzle_emb_ndim": self.width,
            "puzzle_emb_len": self.rows[1],
            "num_puzzle_identifiers": 1,
            "vocab_size": self.vocabulary,
            "seq_len": self.rows[0],
            "halt_max_steps": 16,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
        });
        Ok(RecursiveSettings::parse(self.name, &text.to_string())?)
    }

    /// Names and shapes as in a checkpoint.
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (d, length) = (self.width, self.rows[0] + self.rows[1]);
        let mut shapes = vec![
            (
                "embed_tokens.embedding_weight".into(),
                vec![self.vocabulary, d],
            ),
            ("puzzle_emb.weights".into(), vec![1, d]),
            ("lm_head.weight".into(), vec![self.vocabulary, d]),
            ("q_head.weight".into(), vec![2, d]),
            ("q_head.bias".into(), vec![2]),
            ("H_init".into(), vec![d]),
            ("L_init".into(), vec![d]),
        ];
        for layer in 0..2 {
            let mut add = |name: &str, shape: [usize; 2]| {
                shapes.push((
                    format!("L_level.layers.{layer}.{name}.weight"),
                    shape.to_vec(),
                ));
            };
            let (wide, long) = (inner(d), inner(length));
            if self.mixer {
                add("mlp_t.gate_up_proj", [2 * long, length]);
                add("mlp_t.down_proj", [length, long]);
            } else {
                add("self_attn.qkv_proj", [3 * d, d]);
                add("self_attn.o_proj", [d, d]);
            }
            add("mlp.gate_up_proj", [2 * wide, d]);
            add("mlp.down_proj", [d, wide]);
        }
        shapes
    }

    /// Uniform numbers that keep activations at their size.
    fn weights(&self) -> Result<ArrayMap, FormatError> {
        let mut map = ArrayMap::new("weights by formula");
        for (number, (name, shape)) in (0u32..).zip(self.shapes()) {
            let inputs = shape.last().copied().unwrap_or(1) as f32;
            // A uniform number in +-sqrt(3) has deviation 1.
            let bound = 3.0_f32.sqrt()
                * if shape.len() == 1 {
                    1.0
                } else {
                    inputs.powf(-0.5)
                };
            let count: usize = shape.iter().product();
            let values = (0..count as u32).map(|at| {
                let words = philox4x32([at / 4, number, 0, 0], [0, KEY]);
                let word = words[(at % 4) as usize];
                bound * (2.0 * (word >> 8) as f32 / 16_777_216.0 - 1.0)
            });
            let array = Array::new(&shape, values.collect::<Vec<f32>>());
            let array = array.map_err(|source| map.array_error(&name, source))?;
            map.insert(name, array)?;
        }
        Ok(map)
    }

    fn reasoner(&self, device: &Device) -> Result<Reasoner, BenchError> {
        let weights = self.weights()?;
        let config = self.settings()?.complete(self.name, &weights);
        let config = config.map_err(ReasonerError::from)?;
        Ok(Reasoner::new(config, &weights, PuzzleRows::Exact, device)?)
    }

    fn measure(
        &self,
        device: &Device,
        roofline: &Roofline,
        effort: &Effort,
        (examples, steps): (usize, usize),
    ) -> Result<ExponentsRecord, BenchError> {
        let mut reasoner = self.reasoner(device)?;
        let cells = examples * self.rows[0];
        let token =
            |at: usize| 1 + (at * 7 + at / self.rows[0]) as u32 % (self.vocabulary as u32 - 1);
        let tokens: Vec<u32> = (0..cells).map(token).collect();
        let request = SolveRequest {
            steps,
            ..SolveRequest::new(&tokens, reasoner.config())
        };
        let settings = ExponentSettings::new(COLUMNS, Granularity::Sub, 0);
        let first = reasoner.exponents(&request, &settings)?;
        let mut correct = is_sound(&first);
        let (begin, mut samples) = (Instant::now(), Vec::new());
        while !effort.is_enough(samples.len(), begin.elapsed().as_secs_f64()) {
            let next = reasoner.exponents(&request, &settings)?;
            samples.push(next.solutions.report.seconds);
            correct &= next.log_r == first.log_r;
        }
        let seconds = Spread::of(&samples);
        let (summary, _) = reasoner.exponents_summary(&request, &settings)?;
        let forward = reasoner.plan(&request)?;
        let runs = first.solutions.report.runs as f64;
        let flops = summary.cost.flops as f64 * runs;
        // The forward plan may be cut otherwise: an example's share of either is the same.
        let batch = forward.graph().tensors().first().map_or(1, |t| t.shape[0]);
        let alone = forward.summary(steps as u32).cost.flops as f64 / batch as f64;
        let level_calls = reasoner.config().calls() * steps;
        let median = seconds.median.max(1e-12);
        Ok(ExponentsRecord {
            name: "exponents",
            workload: self.name,
            examples,
            dimension: reasoner.config().dimension(),
            tangents: COLUMNS,
            steps,
            level_calls,
            seconds,
            seconds_a_call: median / level_calls as f64,
            gflops: flops * 1e-9 / median,
            roofline_share: flops * 1e-9 / median / roofline.gflops.max(1e-9),
            flops_over_forward: flops / (alone * examples as f64).max(1.0),
            working_bytes: first.solutions.report.working_bytes,
            dispatches: (summary.dispatches as f64 * runs) as u64,
            correct,
        })
    }
}

fn is_sound(found: &Exponents) -> bool {
    let finite = found.log_r.iter().all(|log| log.is_finite());
    finite && found.invalid.is_empty() && found.restarts.iter().all(|&count| count == 0)
}

/// Names of what [`measure_exponents`] measures.
pub fn exponent_workloads() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.name)
}

/// Measures the workloads whose names `wanted` lets through, with weights by formula: speed does not
/// depend on what was learned.
///
/// # Errors
/// [`BenchError`] if a run fails.
pub fn measure_exponents(
    device: &Device,
    roofline: &Roofline,
    effort: &Effort,
    quick: bool,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<ExponentsRecord>, BenchError> {
    let chosen = WORKLOADS.iter().filter(|workload| wanted(workload.name));
    chosen
        .map(|workload| {
            let size = match (device.info().kind, quick) {
                // A software driver takes minutes for what a GPU does in a second.
                (DeviceKind::SoftwareGpu, _) => (workload.examples.min(2), 1),
                (_, true) => (workload.examples.min(4), workload.steps.min(2)),
                (_, false) => (workload.examples, workload.steps),
            };
            workload.measure(device, roofline, effort, size)
        })
        .collect()
}
