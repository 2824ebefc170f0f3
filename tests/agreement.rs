//! GPU and CPU plan alike: over all recorded observations at least 99.9 % of the tokens are the same,
//! and where a plan parts, it parts at a tie within the float contract.

mod common;

use attractor::device::Device;
use attractor::orbit::Stream;
use attractor::samplers::{Observations, PlanRequest, Plans, SamplerKind, SamplerSettings, Trace};
use attractor_kernels::philox::philox4x32;
use common::trained::{observations, planner, settings};

const ACTIONS: usize = 12;
const MASK: f64 = 12.0;
/// Contract of one evaluation of the network.
const FORWARD_TOLERANCE: f64 = 1e-4;

/// Words of the generator for one element of a row.
fn words(seed: u64, stream: Stream, step: usize, example: usize, element: usize) -> [u32; 4] {
    let counter = [
        element as u32 / 4,
        step as u32,
        example as u32,
        stream.index(),
    ];
    philox4x32(counter, [seed as u32, (seed >> 32) as u32])
}

fn upper_bits(word: u32) -> f64 {
    f64::from(word >> 8) / 16_777_216.0
}

/// The uniform of a position's categorical choice, from its pair of halves.
fn categorical_draw(seed: u64, step: usize, example: usize, position: usize) -> f64 {
    let element = 2 * position;
    let bits = words(seed, Stream::Categorical, step, example, element);
    let lane = element % 4;
    upper_bits(bits[lane]) + upper_bits(bits[lane + 1]) / 16_777_216.0
}

/// The uniforms of a step: `element` of unmasking, `length + element` of remasking.
fn step_draw(seed: u64, step: usize, example: usize, element: usize) -> f64 {
    upper_bits(words(seed, Stream::Unmask, step, example, element)[element % 4])
}

/// How near a categorical choice came to another one.
#[derive(Debug, Clone, Copy)]
struct Choice {
    token: usize,
    /// Distance of u to the nearest step of the cumulative distribution.
    to_step: f64,
    /// Distance of the nucleus' edge to the next cumulative sum.
    to_edge: f64,
    /// Difference of the logits on both sides of the edge, over the temperature.
    at_edge: f64,
}

impl Choice {
    fn margin(&self) -> f64 {
        self.to_step.min(self.to_edge).min(self.at_edge / 4.0)
    }
}

/// The choice of one row of logits in double precision.
fn choose(logits: &[f64], settings: &SamplerSettings, u: f64) -> Choice {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let temperature = f64::from(settings.temperature);
    let mut weights: Vec<f64> = logits
        .iter()
        .map(|x| ((x - largest) / temperature).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let (mut before, mut to_edge, mut at_edge) = (0.0, f64::INFINITY, f64::INFINITY);
    let mut last_kept = order[0];
    let top_p = f64::from(settings.top_p);
    for &index in &order {
        let own = weights[index];
        to_edge = f64::min(to_edge, (before / total - top_p).abs());
        if before / total >= top_p {
            at_edge = f64::min(at_edge, (logits[last_kept] - logits[index]) / temperature);
            weights[index] = 0.0;
        } else {
            last_kept = index;
        }
        before += own;
    }
    let kept: f64 = weights.iter().sum();
    let (mut running, mut to_step, mut token) = (0.0, f64::INFINITY, None);
    for (index, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        running += weight / kept;
        if running < 1.0 - 1e-12 {
            to_step = f64::min(to_step, (running - u).abs());
        }
        if token.is_none() && running > u {
            token = Some(index);
        }
    }
    Choice {
        token: token.unwrap_or(last_kept),
        to_step,
        to_edge,
        at_edge,
    }
}

/// A run on two devices.
struct Pair<'a> {
    first: &'a Trace,
    second: &'a Trace,
    length: usize,
    seed: u64,
    settings: &'a SamplerSettings,
}

/// What a comparison found.
#[derive(Debug, Default)]
struct Verdict {
    /// Plans that part.
    parted: usize,
    /// Positions that part where there is no tie, in words.
    no_ties: Vec<String>,
    /// Largest difference of logits that saw the same tokens.
    difference: f64,
    /// Smallest distance of any choice of the first device to another one.
    nearest: f64,
}

impl Pair<'_> {
    /// Values of one example at one step, `width` a position.
    fn row<'a>(
        &self,
        trace: &'a Trace,
        name: &str,
        step: usize,
        example: usize,
        width: usize,
    ) -> &'a [f64] {
        let size = self.length * width;
        &trace[name].step(step)[example * size..(example + 1) * size]
    }

    /// Largest difference of an example's logits at a step, relative to max(1, |logit|).
    fn logit_difference(&self, step: usize, example: usize) -> f64 {
        let of = |trace| self.row(trace, "logits", step, example, ACTIONS);
        of(self.first)
            .iter()
            .zip(of(self.second))
            .map(|(a, b)| (a - b).abs() / a.abs().max(1.0))
            .fold(0.0, f64::max)
    }

    /// First step after which an example's tokens differ.
    fn parting(&self, example: usize) -> Option<usize> {
        (0..self.settings.steps as usize).find(|&step| {
            let of = |trace| self.row(trace, "tokens_out", step, example, 1);
            of(self.first) != of(self.second)
        })
    }

    /// The choice of the first device at a position, in double precision.
    fn choice(&self, step: usize, example: usize, position: usize) -> Choice {
        let u = categorical_draw(self.seed, step, example, position);
        let row = self.row(self.first, "logits", step, example, ACTIONS);
        let logits = &row[position * ACTIONS..(position + 1) * ACTIONS];
        choose(logits, self.settings, u)
    }

    /// Margin of a position that parted at `step`, and what logits that moved by `moved` of
    /// max(1, |logit|) may move it.
    fn margin(&self, step: usize, example: usize, position: usize, moved: f64) -> (f64, f64) {
        let one = |name| self.row(self.first, name, step, example, 1)[position];
        let other = |name| self.row(self.second, name, step, example, 1)[position];
        if one("decision") != other("decision") {
            let (name, element) = if one("tokens_in") == MASK {
                ("unmask_probability", position)
            } else {
                ("sigma", self.length + position)
            };
            let (p, q) = (one(name), other(name));
            let u = step_draw(self.seed, step, example, element);
            // A softmax of stored confidences, which are softmaxes of logits themselves.
            let allowed = p.max(q) * (4.0 * moved + 1e-5);
            return ((u - p).abs().max((p - q).abs()), allowed);
        }
        let row = self.row(self.first, "logits", step, example, ACTIONS);
        let logits = &row[position * ACTIONS..(position + 1) * ACTIONS];
        let scale = logits.iter().fold(1.0f64, |m, x| m.max(x.abs()));
        // A cumulative probability moves by at most half of what the exponents move.
        let allowed = scale * moved / f64::from(self.settings.temperature) + 1e-6;
        (self.choice(step, example, position).margin(), allowed)
    }

    /// Compares all examples up to the step where they part, if they do.
    fn compare(&self, count: usize) -> Verdict {
        let mut verdict = Verdict {
            nearest: f64::INFINITY,
            ..Verdict::default()
        };
        for example in 0..count {
            let parting = self.parting(example);
            // Up to the parting both devices saw the same tokens.
            let mut moved = 0.0f64;
            for step in 0..=parting.unwrap_or(self.settings.steps as usize - 1) {
                moved = moved.max(self.logit_difference(step, example));
                for position in 0..self.length {
                    let margin = self.choice(step, example, position).margin();
                    verdict.nearest = verdict.nearest.min(margin);
                }
            }
            verdict.difference = verdict.difference.max(moved);
            let Some(step) = parting else { continue };
            verdict.parted += 1;
            let of = |trace, name| self.row(trace, name, step, example, 1);
            assert_eq!(of(self.first, "tokens_in"), of(self.second, "tokens_in"));
            for position in 0..self.length {
                if of(self.first, "tokens_out")[position] == of(self.second, "tokens_out")[position]
                {
                    continue;
                }
                let (margin, allowed) = self.margin(step, example, position, moved);
                let line = format!(
                    "example {example}, step {step}, position {position}: margin {margin:.3e}, \
                     rounding may move {allowed:.3e}"
                );
                println!("{line}");
                if margin > allowed {
                    verdict.no_ties.push(line);
                }
            }
        }
        verdict
    }

    /// The recomputed draws and choices are those of the run: else margins would mean nothing.
    fn check_draws(&self, examples: usize) {
        let mut same = 0;
        for example in 0..examples {
            let logits = self.row(self.first, "logits", 0, example, ACTIONS);
            let prediction = self.row(self.first, "prediction", 0, example, 1);
            let decision = self.row(self.first, "decision", 0, example, 1);
            let chance = self.row(self.first, "unmask_probability", 0, example, 1);
            for position in 0..self.length {
                let row = &logits[position * ACTIONS..(position + 1) * ACTIONS];
                let u = categorical_draw(self.seed, 0, example, position);
                let token = choose(row, self.settings, u).token;
                let commits = step_draw(self.seed, 0, example, position) < chance[position];
                let agrees =
                    token as f64 == prediction[position] && commits == (decision[position] == 1.0);
                same += usize::from(agrees);
            }
        }
        let all = examples * self.length;
        assert!(
            same * 1000 >= all * 999,
            "{same} of {all} choices recomputed"
        );
    }
}

fn run(device: &Device, settings: &SamplerSettings, job: &Observations, seed: u64) -> Plans {
    let request = PlanRequest {
        record: true,
        ..PlanRequest::new(job, seed)
    };
    planner(device).plan(settings, &request).expect("plans")
}

fn pair<'a>(
    first: &'a Plans,
    second: &'a Plans,
    seed: u64,
    settings: &'a SamplerSettings,
) -> Pair<'a> {
    Pair {
        first: first.trace.as_ref().expect("a trace"),
        second: second.trace.as_ref().expect("a trace"),
        length: first.length,
        seed,
        settings,
    }
}

/// Plans alike on two devices but for ties.
fn check(devices: [Device; 2], job: &Observations, seed: u64) {
    let settings = settings(SamplerKind::RemdmBernoulli, 10);
    assert_eq!(settings.temperature, 0.5);
    let [first, second] = devices.map(|device| run(&device, &settings, job, seed));
    let pair = pair(&first, &second, seed, &settings);
    pair.check_draws(50);
    let verdict = pair.compare(job.count);
    let same = first.tokens.iter().zip(&second.tokens);
    let (same, all) = (same.filter(|(a, b)| a == b).count(), first.tokens.len());
    println!(
        "{same} of {all} tokens agree; {} of {} plans part; logits differ by at most {:.3e}; \
         the nearest choice was {:.3e} from another; {:.1} s and {:.1} s",
        verdict.parted,
        job.count,
        verdict.difference,
        verdict.nearest,
        first.report.seconds,
        second.report.seconds
    );
    assert!(verdict.difference <= FORWARD_TOLERANCE, "{verdict:?}");
    assert!(verdict.no_ties.is_empty(), "{:#?}", verdict.no_ties);
    assert!(same * 1000 >= all * 999, "{same} of {all} tokens agree");
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn plans_of_gpu_and_cpu_agree_but_for_ties() {
    let job = observations();
    assert_eq!(job.count, 350);
    check([Device::cpu(), common::gpu()], &job, 2026);
}

#[test]
fn plans_in_single_and_double_precision_agree_but_for_ties() {
    check(
        [Device::cpu(), Device::cpu_f64()],
        &observations(),
        0xfeed_0000_0001,
    );
}

/// The comparison itself: plans of another temperature part where there is no tie, and are told.
#[test]
fn partings_that_are_no_ties_are_found() {
    let job = observations().slice(0..60);
    let cold = settings(SamplerKind::RemdmBernoulli, 10);
    let warm = SamplerSettings {
        temperature: 0.7,
        ..cold.clone()
    };
    let first = run(&Device::cpu(), &cold, &job, 5);
    let second = run(&Device::cpu(), &warm, &job, 5);
    let verdict = pair(&first, &second, 5, &cold).compare(job.count);
    assert!(verdict.parted > 0, "{verdict:?}");
    assert!(verdict.no_ties.len() >= verdict.parted, "{verdict:?}");
    // The first step saw the same tokens at both temperatures.
    assert_eq!(verdict.difference, 0.0);
}
