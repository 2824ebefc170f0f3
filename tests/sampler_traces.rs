//! Replays recorded sampler runs of the original planner: from the recorded logits and uniforms, every
//! choice, probability, commitment and remasking of every step must come out again.

mod common;
mod goldens;

use attractor::device::Device;
use attractor::samplers::schedule::{NoiseSchedule, Recipe};
use attractor::worlds::minihack::{Grid, hazards};
use attractor_kernels::AnyKernel;
use attractor_kernels::categorical::{Categorical, TokenMode};
use attractor_kernels::physics_override::PhysicsOverride;
use attractor_kernels::remask_bernoulli::RemaskBernoulli;
use attractor_kernels::unmask_top::{RemaskStrategy, UnmaskTop};
use common::{Array, assert_close, gpu, run, run_at};
use goldens::{Goldens, index, integers};
use serde_json::Value;

const TOLERANCE: f32 = 1e-6;

/// One recorded run and what it was made with.
struct Replay<'a> {
    device: &'a Device,
    file: Goldens,
    trace: &'a Value,
    batch: u32,
    length: u32,
    vocabulary: u32,
    steps: u32,
}

impl<'a> Replay<'a> {
    fn open(device: &'a Device, trace: &'a Value, path: &str) -> Self {
        let whole = |value: &Value| value.as_u64().unwrap() as u32;
        let steps = if trace["sampler"] == "greedy" {
            "K"
        } else {
            "steps"
        };
        Self {
            device,
            file: Goldens::open(path),
            trace,
            batch: whole(&trace["batch"]),
            length: whole(&trace["cfg"]["seq_len"]),
            vocabulary: whole(&trace["cfg"]["action_dim"]),
            steps: whole(&trace[steps]),
        }
    }

    fn mask(&self) -> u32 {
        self.vocabulary
    }

    fn setting(&self, name: &str) -> f64 {
        self.trace["cfg"][name].as_f64().unwrap()
    }

    fn strategy(&self) -> RemaskStrategy {
        match self.trace["cfg"]["remask_strategy"].as_str() {
            Some("conf") => RemaskStrategy::CONFIDENCE,
            _ => RemaskStrategy::CONSTANT,
        }
    }

    /// Remask scale from the largest one: the strategies' definitions.
    fn scale(&self, largest: f64) -> f64 {
        let eta = self.setting("eta");
        match self.trace["cfg"]["remask_strategy"].as_str() {
            Some("cap") => eta.min(largest),
            _ => eta * largest,
        }
    }

    fn alpha(&self, recipe: Recipe, t: f64) -> f64 {
        let name = self.trace["cfg"]["noise_schedule"].as_str().unwrap();
        let schedule = NoiseSchedule::from_name(recipe, name).unwrap();
        f64::from(schedule.alpha_f32(t as f32))
    }

    /// How many positions a step of the greedy and first-recipe samplers commits.
    fn count(&self, k: u32) -> u32 {
        let share = f64::from(self.length) * (f64::from(k) / f64::from(self.steps));
        (share as u32).max(1)
    }

    fn name(&self, step: u32, what: &str) -> String {
        format!("step{step}.{what}")
    }

    fn floats(&self, step: u32, what: &str) -> Vec<f32> {
        self.file.f32(&self.name(step, what))
    }

    fn words(&self, name: &str) -> Vec<u32> {
        self.file.i32(name).into_iter().map(|x| x as u32).collect()
    }

    fn assert_words(&self, found: &[u32], step: u32, what: &str) {
        let name = self.name(step, what);
        assert_eq!(found, self.words(&name), "{} {name}", self.trace["file"]);
    }

    fn assert_floats(&self, found: &[f32], step: u32, what: &str) {
        let label = format!("{} step {step} {what}", self.trace["file"]);
        assert_close(&label, found, &self.floats(step, what), TOLERANCE);
    }

    /// Positions chosen by `bit`, against a recorded 0/1 mask.
    fn assert_mask(&self, found: impl Iterator<Item = bool>, step: u32, what: &str) {
        let found: Vec<u8> = found.map(u8::from).collect();
        let name = self.name(step, what);
        assert_eq!(found, self.file.u8(&name), "{} {name}", self.trace["file"]);
    }

    /// Chooses the tokens of a step; compares them, the probabilities and the confidence.
    fn choose(&self, step: u32, mode: TokenMode) -> (Vec<u32>, Vec<f32>) {
        let rows = self.batch * self.length;
        let greedy = mode == TokenMode::GREEDY;
        let mut kernel = Categorical::sample(rows, self.vocabulary, 1.0, mode);
        if !greedy {
            kernel.temperature = self.setting("temperature") as f32;
            kernel.flags = Categorical::PROBABILITIES;
        }
        if mode == TokenMode::SAMPLE_FILTERED_CONFIDENCE {
            kernel.top_k = self.setting("top_k") as u32;
        } else if mode == TokenMode::SAMPLE_RAW_CONFIDENCE {
            kernel.top_p = self.setting("top_p") as f32;
        }
        let mut uniforms = Array::Absent;
        let mut probabilities = Array::Absent;
        if !greedy {
            let drawn = self.floats(step, "u_cat").into_iter();
            uniforms = Array::Float(drawn.flat_map(|u| [u, 0.0]).collect());
            probabilities = Array::Float(vec![0.0; (rows * self.vocabulary) as usize]);
        }
        let operands = [
            Array::Float(self.floats(step, "logits")),
            uniforms,
            Array::Word(vec![0; rows as usize]),
            Array::Float(vec![0.0; rows as usize]),
            probabilities,
        ];
        let found = run(self.device, kernel, &operands);
        self.assert_words(found[2].words(), step, "preds");
        if !greedy {
            self.assert_floats(found[4].floats(), step, "probs");
        }
        (found[2].words().to_vec(), found[3].floats().to_vec())
    }

    /// The physics-aware option, where the run had it on.
    fn distrust(&self, prediction: &[u32], confidence: Vec<f32>) -> Vec<f32> {
        if self.trace["physics_aware"] != true {
            return confidence;
        }
        let crops = self.file.i32("in.local_obs");
        let flags = crops.chunks(81).flat_map(|crop| {
            let crop = Grid::new(crop, 9, 9).unwrap();
            hazards(&crop).map(u32::from)
        });
        let operands = [
            Array::Word(prediction.to_vec()),
            Array::Word(flags.collect()),
            Array::Float(confidence),
        ];
        let kernel = PhysicsOverride::minihack(self.batch, self.length);
        run(self.device, kernel, &operands)[2].floats().to_vec()
    }

    fn run_step(&self, kernel: impl Into<AnyKernel>, operands: &[Array], step: u32) -> Vec<Array> {
        run_at(self.device, kernel, operands, step, Default::default())
    }

    fn greedy(&self) {
        let mut tokens = self.words("step0.seq_in");
        let kernel = UnmaskTop::greedy(self.batch, self.length, self.mask(), self.steps);
        let counts = (1..=self.steps).map(|k| UnmaskTop::schedule_row(self.count(k), 0.0));
        let schedule: Vec<f32> = counts.flatten().collect();
        for step in 0..self.steps {
            self.assert_words(&tokens, step, "seq_in");
            let (prediction, confidence) = self.choose(step, TokenMode::GREEDY);
            self.assert_floats(&confidence, step, "confidence");
            let mut operands = vec![
                Array::Word(tokens),
                Array::Word(prediction),
                Array::Float(confidence),
                Array::Float(schedule.clone()),
            ];
            operands.resize(8, Array::Absent);
            tokens = self.run_step(kernel, &operands, step)[0].words().to_vec();
        }
        assert_eq!(tokens, self.words("out.seq"));
    }

    fn first_recipe_schedule(&self) -> Vec<f32> {
        let least = (self.length / 10).max(1);
        let row = |k: u32| {
            if k == self.steps {
                return UnmaskTop::schedule_row(self.length, 0.0);
            }
            let r = f64::from(k) / f64::from(self.steps);
            let largest = 1.0 - self.alpha(Recipe::R1, r);
            UnmaskTop::schedule_row(self.count(k).max(least), self.scale(largest))
        };
        (1..=self.steps).flat_map(row).collect()
    }

    fn first_recipe(&self) {
        let count = (self.batch * self.length) as usize;
        let mut tokens = self.words("step0.seq_in");
        let schedule = self.first_recipe_schedule();
        let kernel = UnmaskTop::greedy(self.batch, self.length, self.mask(), self.steps)
            .with_remasking(self.strategy());
        let kernel = UnmaskTop {
            flags: kernel.flags | UnmaskTop::DECISION | UnmaskTop::REMASK_PROBABILITY,
            ..kernel
        };
        for step in 0..self.steps {
            self.assert_words(&tokens, step, "seq_in");
            let mode = TokenMode::SAMPLE_FILTERED_CONFIDENCE;
            let (prediction, confidence) = self.choose(step, mode);
            let confidence = self.distrust(&prediction, confidence);
            // The last step has no remasking to record; a uniform of zero would show any.
            let last = step + 1 == self.steps;
            let uniforms = if last {
                vec![0.0; count]
            } else {
                self.floats(step, "u_remask")
            };
            let operands = [
                Array::Word(tokens),
                Array::Word(prediction),
                Array::Float(confidence.clone()),
                Array::Float(schedule.clone()),
                Array::Float(uniforms),
                Array::Absent,
                Array::Word(vec![0; count]),
                Array::Float(vec![0.0; count]),
            ];
            let found = self.run_step(kernel, &operands, step);
            tokens = found[0].words().to_vec();
            if !last {
                self.assert_floats(&confidence, step, "confidence");
                let decision = found[6].words();
                self.assert_mask(decision.iter().map(|d| d & 1 != 0), step, "unmask_mask");
                self.assert_mask(decision.iter().map(|d| d & 2 != 0), step, "do_remask");
                let between: Vec<u32> = decision.iter().map(|d| d >> 8).collect();
                self.assert_words(&between, step, "seq_after_unmask");
                self.assert_floats(found[7].floats(), step, "remask_prob");
            }
            self.assert_words(&tokens, step, "seq_out");
        }
        assert_eq!(tokens, self.words("out.seq"));
    }

    fn second_recipe_schedule(&self) -> Vec<f32> {
        let alpha = |i: u32| {
            let t = f64::from(self.steps - i) / f64::from(self.steps);
            self.alpha(Recipe::R2, t)
        };
        let row = |i: u32| {
            let (alpha_t, alpha_s) = (alpha(i), alpha(i + 1));
            let sigma = self.scale(RemaskBernoulli::largest_sigma(alpha_t, alpha_s));
            RemaskBernoulli::schedule_row(alpha_t, alpha_s, sigma)
        };
        (0..self.steps).flat_map(row).collect()
    }

    fn second_recipe(&self) {
        let count = (self.batch * self.length) as usize;
        let mut tokens = self.words("step0.seq_in");
        let mut psi = vec![f32::INFINITY; count];
        let schedule = self.second_recipe_schedule();
        let strategy = self.strategy();
        let (batch, length) = (self.batch, self.length);
        let mut kernel = RemaskBernoulli::new(batch, length, self.mask(), self.steps, strategy);
        kernel.flags = RemaskBernoulli::TRACE;
        let mut locked = Array::Absent;
        if self.trace["hist_len"].is_array() {
            kernel.flags |= RemaskBernoulli::LOCKED;
            let prefixes = integers(&self.trace["hist_len"]);
            locked = Array::Word(prefixes.into_iter().map(|l| l as u32).collect());
        }
        for step in 0..self.steps {
            self.assert_words(&tokens, step, "seq_in");
            self.assert_floats(&psi, step, "psi_in");
            let (prediction, sure) = self.choose(step, TokenMode::SAMPLE_RAW_CONFIDENCE);
            let sure = self.distrust(&prediction, sure);
            self.assert_floats(&sure, step, "decode_prob");
            let (unmask, remask) = (self.floats(step, "u_unmask"), self.floats(step, "u_remask"));
            let rows = unmask
                .chunks(length as usize)
                .zip(remask.chunks(length as usize));
            let operands = [
                Array::Word(tokens),
                Array::Float(psi),
                Array::Word(prediction),
                Array::Float(sure),
                Array::Float(rows.flat_map(|(a, b)| [a, b].concat()).collect()),
                Array::Float(schedule.clone()),
                locked.clone(),
                Array::Float(vec![0.0; 3 * count]),
            ];
            let found = self.run_step(kernel, &operands, step);
            tokens = found[0].words().to_vec();
            psi = found[1].floats().to_vec();
            let trace = found[7].floats();
            self.assert_floats(&trace[..count], step, "sigma");
            self.assert_floats(&trace[count..2 * count], step, "p_unmask");
            let decisions = || trace[2 * count..].iter();
            self.assert_mask(decisions().map(|&d| d == 1.0), step, "do_unmask");
            self.assert_mask(decisions().map(|&d| d == 2.0), step, "do_remask");
            self.assert_words(&tokens, step, "seq_out");
        }
        assert_eq!(tokens, self.words("out.seq"));
    }

    fn replay(&self) {
        match (
            self.trace["sampler"].as_str(),
            self.trace["recipe"].as_str(),
        ) {
            (Some("greedy"), _) => self.greedy(),
            (_, Some("R1")) => self.first_recipe(),
            _ => self.second_recipe(),
        }
    }
}

/// Replays the traces of the index that `chosen` names a file for; returns how many.
fn replay(device: &Device, chosen: impl Fn(&str) -> Option<String>) -> usize {
    let index = index();
    let traces = index["traces"].as_array().unwrap().iter();
    let mut replayed = 0;
    for trace in traces {
        if let Some(path) = chosen(trace["file"].as_str().unwrap()) {
            Replay::open(device, trace, &path).replay();
            replayed += 1;
        }
    }
    replayed
}

/// The two traces that come with the sources: strong remasking by confidence in the first recipe, and
/// locked prefixes with remasking by confidence in the second.
fn shipped(file: &str) -> Option<String> {
    let names = ["trace_r1_remdm_conf_strong", "trace_r2_remdm_conf_hist"];
    let found = names.iter().any(|name| file.starts_with(name));
    found.then(|| file.to_string())
}

#[test]
fn the_twins_replay_the_recorded_runs() {
    assert_eq!(replay(&Device::cpu(), shipped), 2);
    assert_eq!(replay(&Device::cpu_f64(), shipped), 2);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn the_shaders_replay_the_recorded_runs() {
    assert_eq!(replay(&gpu(), shipped), 2);
}

#[test]
#[ignore = "needs the whole set of traces: set ATTRACTOR_GOLDENS to the folder that holds remdm/"]
fn every_recorded_run_replays() {
    let folder = std::env::var("ATTRACTOR_GOLDENS").expect("ATTRACTOR_GOLDENS is not set");
    let all = |file: &str| Some(format!("{folder}/remdm/{file}"));
    assert_eq!(replay(&Device::cpu(), all), 13);
    if cfg!(gpu_adapter) {
        assert_eq!(replay(&gpu(), all), 13);
    }
}
