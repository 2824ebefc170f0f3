//! Cases of kernels that choose words, that draw, and that have no tangents.

use crate::support::Case;
use attractor::graph::{TensorId, TensorKind};
use attractor_kernels::Kernel;
use attractor_kernels::adaptive_step::AdaptiveStep;
use attractor_kernels::argmax::ArgMax;
use attractor_kernels::categorical::Categorical;
use attractor_kernels::compensated_sum::CompensatedSum;
use attractor_kernels::copy::{CopyFloats, CopyWords};
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::embedding::Embedding;
use attractor_kernels::gaussian_policy::GaussianPolicy;
use attractor_kernels::maze_rollout::MazeRollout;
use attractor_kernels::maze_select::MazeSelect;
use attractor_kernels::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod};
use attractor_kernels::philox::{Philox, RandomKind};
use attractor_kernels::physics_override::PhysicsOverride;
use attractor_kernels::qr::Qr;
use attractor_kernels::remask_bernoulli::RemaskBernoulli;
use attractor_kernels::roofline_fma::RooflineFma;
use attractor_kernels::two_hot::TwoHot;
use attractor_kernels::two_hot_encode::TwoHotEncode;
use attractor_kernels::unmask_top::UnmaskTop;

pub type Refusal = (Case, Vec<&'static str>);

/// Numbers that words are chosen by must not be NaN, even in the run that only fills the memory.
pub fn of_words(name: &str) -> Case {
    let mut case = Case::new(name);
    case.poison = 777.0;
    case
}

/// The rows of a table that `tokens` name, beside the seed: `out` `[2, rows, 3]` is one then the other, so
/// that half of its tangents must be zero. What the rows are multiplied by moves.
pub fn looked_up(case: &mut Case, tokens: TensorId, rows: usize, seed: TensorId, vocabulary: u32) {
    let table = case.constant(&[vocabulary as usize, 3]);
    let both = case.middle(&[2, rows, 3]);
    let looked = Embedding::lookup(1, rows as u32, 3, vocabulary);
    case.push(
        looked,
        &[Some(tokens), Some(table), None, None, None, Some(both)],
    );
    let count = 3 * rows as u32;
    let copied = CopyFloats {
        dst_offset: count,
        ..CopyFloats::contiguous(count)
    };
    case.node(copied, &[seed, both]);
    let out = case.out(&[rows, 3]);
    let product = Elementwise {
        b_offset: count,
        ..Elementwise::contiguous(Operation::MULTIPLY, count)
    };
    case.node(product, &[both, both, out]);
}

pub fn arg_max() -> Vec<Case> {
    let mut all = Vec::new();
    for rows in [1usize, 5] {
        let mut case = of_words(&format!("choice among 7 by {rows} rows"));
        let x = case.seed(&[rows, 7]);
        let tokens = case.middle_words(rows);
        case.node(ArgMax::middle(rows as u32, 7, 1), &[x, tokens]);
        looked_up(&mut case, tokens, rows, x, 7);
        all.push(case);
    }
    all
}

pub fn categorical() -> Vec<Case> {
    let mut case = of_words("greedy tokens");
    let x = case.seed(&[5, 7]);
    let tokens = case.middle_words(5);
    let confidence = case.middle(&[5]);
    let operands = [Some(x), None, Some(tokens), Some(confidence), None];
    case.push(Categorical::greedy(5, 7), &operands);
    looked_up(&mut case, tokens, 5, x, 7);
    vec![case]
}

pub fn kept_confidence() -> Refusal {
    let mut case = of_words("confidence of greedy tokens");
    let x = case.seed(&[5, 7]);
    let (tokens, confidence) = (case.middle_words(5), case.out(&[5]));
    let operands = [Some(x), None, Some(tokens), Some(confidence), None];
    case.push(Categorical::greedy(5, 7), &operands);
    (case, vec!["n0 categorical", "operand confidence = t2"])
}

pub fn copy_words() -> Vec<Case> {
    let mut case = of_words("copied tokens");
    let x = case.seed(&[5, 7]);
    let (tokens, copied) = (case.middle_words(5), case.middle_words(5));
    case.node(ArgMax::middle(5, 7, 1), &[x, tokens]);
    case.node(CopyWords::contiguous(5), &[tokens, copied]);
    looked_up(&mut case, copied, 5, x, 7);
    vec![case]
}

/// Five plans of three steps, the first choices among 7, through a ring of seven states.
fn rolled(case: &mut Case, x: TensorId) -> (TensorId, TensorId, TensorId) {
    let plans = case.middle_words(15);
    case.node(ArgMax::middle(15, 7, 1), &[x, plans]);
    let ring = (0..7).flat_map(|state| (0..7).map(move |action| (state + action) % 7));
    let table = case.words(ring.collect(), TensorKind::Input);
    let distance = case.words((0..7).collect(), TensorKind::Input);
    let rows = case.words(vec![0, 3, 3, 0, 0, 0, 0, 0], TensorKind::Input);
    let outcome = case.middle_words(10);
    let kernel = MazeRollout {
        batch: 1,
        tables: 1,
        states: 7,
        actions: 7,
        candidates: 5,
        horizon: 3,
        step: 0,
        flags: 0,
    };
    let operands = [table, distance, rows, plans, outcome].map(Some);
    let [table, distance, rows, own, out] = operands;
    case.push(kernel, &[table, distance, rows, None, own, out]);
    (plans, rows.unwrap_or(plans), outcome)
}

pub fn maze_rollout() -> Vec<Case> {
    let mut case = of_words("scores of plans");
    let x = case.seed(&[15, 7]);
    let (_, _, outcome) = rolled(&mut case, x);
    let seed = case.seed(&[10, 3]);
    looked_up(&mut case, outcome, 10, seed, 7);
    vec![case]
}

pub fn maze_select() -> Vec<Case> {
    let mut case = of_words("the best of plans");
    let x = case.seed(&[15, 7]);
    let (plans, rows, outcome) = rolled(&mut case, x);
    let best = case.middle_words(6);
    let operands = [outcome, plans, rows, best].map(Some);
    let [outcome, plans, rows, best_plan] = operands;
    case.push(
        MazeSelect::best(1, 5, 3, 7),
        &[outcome, plans, rows, best_plan, None],
    );
    let seed = case.seed(&[6, 3]);
    looked_up(&mut case, best, 6, seed, 7);
    vec![case]
}

pub fn noise() -> Vec<Case> {
    let mut case = Case::new("noise beside and under a seed");
    let x = case.seed(&[7]);
    let noise = case.middle(&[7]);
    let out = case.out(&[7]);
    case.steps = 2;
    case.node(Philox::new(RandomKind::NORMAL, 1, 7, 0, 3), &[noise]);
    case.node(
        Elementwise::contiguous(Operation::MULTIPLY, 7),
        &[x, noise, out],
    );
    // Written over by noise, then in part by what moves: the rest of the tangents must be zero.
    let reused = case.out(&[11]);
    case.node(Philox::new(RandomKind::UNIFORM, 1, 11, 0, 4), &[reused]);
    case.node(CopyFloats::contiguous(5), &[out, reused]);
    vec![case]
}

pub fn roofline_fma() -> Vec<Case> {
    let mut case = Case::new("numbers of the roofline times a seed");
    let x = case.seed(&[5]);
    let (made, out) = (case.middle(&[5]), case.out(&[5]));
    case.node(RooflineFma::new(5, 3), &[made]);
    case.node(
        Elementwise::contiguous(Operation::MULTIPLY, 5),
        &[x, made, out],
    );
    vec![case]
}

pub fn embeddings() -> Vec<Case> {
    let mut all = Vec::new();
    for bits in 1..8u32 {
        for (spare, flags) in [(0, 3), (2, 3), (0, 1), (1, 2)] {
            if flags != 3 && bits != 1 {
                continue;
            }
            let mut case = of_words(&format!(
                "look-up {bits:03b} under {flags}, {spare} to spare"
            ));
            let kernel = Embedding {
                time_rows: 4,
                time_step_stride: 2,
                time_batch_stride: 1,
                flags,
                ..Embedding::lookup(2, 5, 3, 7)
            };
            case.steps = 2;
            let ids = case.words((0..10).map(|i| i * 3 % 7).collect(), TensorKind::Input);
            let mut table = |rows: usize, bit: u32| match bits >> bit & 1 {
                1 => case.seed(&[rows * 3 + spare]),
                _ => case.given(&[rows * 3 + spare]),
            };
            let (tokens, times, places) = (table(7, 0), table(4, 1), table(5, 2));
            let time_ids = case.words(vec![3, 1, 0, 2], TensorKind::Input);
            let out = case.seed(&[30 + spare]);
            let has = |flag, id| kernel.has(flag).then_some(id);
            let operands = [
                Some(ids),
                Some(tokens),
                has(Embedding::TIME, time_ids),
                has(Embedding::TIME, times),
                has(Embedding::POSITION, places),
                Some(out),
            ];
            case.push(kernel, &operands);
            all.push(case);
        }
    }
    all
}

pub fn physics_override() -> Vec<Case> {
    let mut all = Vec::new();
    for (batch, spare) in [(1usize, 0), (3, 0), (2, 5)] {
        let mut case = of_words(&format!("moves into hazards, {batch}, {spare} to spare"));
        let confidence = case.seed(&[batch * 11 + spare]);
        let moves = (0..batch as u32 * 11).map(|i| i * 5 % 6).collect();
        let moves = case.words(moves, TensorKind::Input);
        let hazards = (0..batch as u32 * 4).map(|i| i * 7 % 3 % 2).collect();
        let hazards = case.words(hazards, TensorKind::Input);
        let kernel = PhysicsOverride::minihack(batch as u32, 11);
        case.node(kernel, &[moves, hazards, confidence]);
        all.push(case);
    }
    all
}

/// Tokens of three positions whose confidence moves, and what else the kernel takes.
fn unmasked(name: &str, kernel: UnmaskTop) -> (Case, TensorId, Vec<Option<TensorId>>) {
    let mut case = of_words(name);
    let confidence = case.seed(&[3]);
    let tokens = case.words(vec![6, 6, 2], TensorKind::State);
    let predicted = case.words(vec![1, 4, 5], TensorKind::Input);
    let schedule = case.constant(&[1, 2]);
    let uniforms = kernel.check().is_ok().then(|| case.given(&[3]));
    let uniforms = uniforms.filter(|_| kernel.flags & UnmaskTop::REMASK != 0);
    let operands = vec![
        Some(tokens),
        Some(predicted),
        Some(confidence),
        Some(schedule),
        uniforms,
        None,
        None,
        None,
    ];
    (case, confidence, operands)
}

pub fn unmask_top() -> Vec<Case> {
    let kernel = UnmaskTop::greedy(1, 3, 6, 1);
    let (mut case, confidence, operands) = unmasked("tokens by confidence", kernel);
    case.push(kernel, &operands);
    let copied = case.middle_words(3);
    let tokens = operands[0].expect("tokens");
    case.node(CopyWords::contiguous(3), &[tokens, copied]);
    let table = case.constant(&[7, 1]);
    let rows = case.middle(&[3]);
    let look_up = Embedding::lookup(1, 3, 1, 7);
    case.push(
        look_up,
        &[Some(copied), Some(table), None, None, None, Some(rows)],
    );
    let out = case.out(&[3]);
    case.node(
        Elementwise::contiguous(Operation::MULTIPLY, 3),
        &[rows, confidence, out],
    );
    vec![case]
}

pub fn kept_probability() -> Refusal {
    use attractor_kernels::unmask_top::RemaskStrategy;
    let mut kernel = UnmaskTop::greedy(1, 3, 6, 1).with_remasking(RemaskStrategy::CONFIDENCE);
    kernel.flags |= UnmaskTop::REMASK_PROBABILITY;
    let (mut case, _, mut operands) = unmasked("probabilities by confidence", kernel);
    operands[7] = Some(case.out(&[3]));
    case.push(kernel, &operands);
    (case, vec!["n0 unmask_top", "operand remask_probability"])
}

pub fn remask_bernoulli() -> Refusal {
    use attractor_kernels::remask_bernoulli::RemaskStrategy;
    let mut case = of_words("probabilities that are kept");
    let sure = case.seed(&[3]);
    let tokens = case.words(vec![6, 6, 2], TensorKind::State);
    let psi = case.seed(&[3]);
    let predicted = case.words(vec![1, 4, 5], TensorKind::Input);
    let (uniforms, schedule) = (case.given(&[6]), case.constant(&[1, 3]));
    let kernel = RemaskBernoulli::new(1, 3, 6, 1, RemaskStrategy::CONSTANT);
    let operands = [tokens, psi, predicted, sure, uniforms, schedule].map(Some);
    let operands: Vec<_> = operands.into_iter().chain([None, None]).collect();
    case.push(kernel, &operands);
    (case, vec!["n0 remask_bernoulli", "operand psi"])
}

pub fn gaussian_policy() -> Refusal {
    let mut case = of_words("actions of a policy");
    let (x, eps, action) = (case.seed(&[6]), case.given(&[3]), case.out(&[3]));
    let kernel = GaussianPolicy::sample(1, 3);
    let operands = [Some(x), Some(eps), None, Some(action), None, None, None];
    case.push(kernel, &operands);
    (case, vec!["n0 gaussian_policy", "operand action = t2"])
}

pub fn two_hot() -> Refusal {
    let mut case = of_words("numbers of distributions");
    let (x, y) = (case.seed(&[15]), case.out(&[3]));
    let operands = [Some(x), None, None, Some(y)];
    case.push(TwoHot::decode(3, 5, -1.0, 1.0), &operands);
    (case, vec!["n0 two_hot", "operand y = t1"])
}

pub fn two_hot_encode() -> Refusal {
    let mut case = of_words("distributions of numbers");
    let (x, y) = (case.seed(&[3]), case.out(&[15]));
    case.node(TwoHotEncode::new(3, 5, -1.0, 1.0), &[x, y]);
    (case, vec!["n0 two_hot_encode", "operand y = t1"])
}

pub fn adaptive_step() -> Refusal {
    let mut case = of_words("steps by error");
    let kernel = AdaptiveStep::dormand_prince(1, 3, 1e-3, 1e-3);
    let (x, candidate, k) = (case.seed(&[3]), case.given(&[3]), case.seed(&[21]));
    let (time, step_size) = (case.seed(&[1]), case.seed(&[1]));
    let status = case.words(vec![0; 4], TensorKind::State);
    case.node(kernel, &[x, candidate, k, time, step_size, status]);
    (case, vec!["n0 adaptive_step", "operand x = t0"])
}

pub fn ode_ensemble() -> Refusal {
    let mut case = Case::new("trajectories under step control");
    let kernel = OdeEnsemble::adaptive(OdeField::LORENZ63, 2, 1.0, 0.1, 10);
    let (state, parameters) = (case.seed(&[6]), case.given(&[3]));
    let control = case.seed(&[6]);
    let status = case.words(vec![0; 6], TensorKind::State);
    let operands = [
        Some(state),
        Some(parameters),
        None,
        Some(control),
        Some(status),
    ];
    case.push(kernel, &operands);
    (case, vec!["n0 ode_ensemble", "operand control = t2"])
}

pub fn ensembles() -> Vec<Case> {
    let mut all = Vec::new();
    let methods = [
        OdeMethod::EULER,
        OdeMethod::MIDPOINT,
        OdeMethod::HEUN,
        OdeMethod::RK4,
    ];
    for (trajectories, spare) in [(1usize, 0), (5, 0), (3, 4)] {
        for method in methods {
            for (field, dimension) in [(OdeField::LORENZ63, 3), (OdeField::OSCILLATOR, 2)] {
                let mut case = Case::new(format!(
                    "{trajectories} of {} by {}",
                    field.name(),
                    method.name()
                ));
                case.steps = 2;
                let mut kernel = OdeEnsemble::fixed(field, method, trajectories as u32, 0.05, 3);
                kernel.total_steps = 6;
                let state = case.seed(&[dimension * trajectories + spare]);
                let parameters = case.given(&[field.parameters().len()]);
                case.push(kernel, &[Some(state), Some(parameters), None, None, None]);
                all.push(case);
            }
        }
    }
    all
}

pub fn sums() -> Vec<Case> {
    let mut all = Vec::new();
    for (count, spare, stride) in [(1usize, 0, 0), (13, 0, 0), (7, 2, 0), (5, 1, 6)] {
        let mut case = Case::new(format!("sums of {count}, {spare} to spare, {stride} apart"));
        case.steps = 3;
        let x = case.seed(&[count + spare + 2 * stride]);
        let (sum, error) = (case.seed(&[count + spare]), case.seed(&[count + spare]));
        let kernel = CompensatedSum {
            x_offset: spare as u32,
            x_step_stride: stride as u32,
            ..CompensatedSum::new(count as u32)
        };
        case.node(kernel, &[x, sum, error]);
        all.push(case);
    }
    all
}

pub fn sums_with_gaps() -> Refusal {
    let mut case = Case::new("sums of every second step");
    let (x, sum, error) = (case.seed(&[9]), case.seed(&[3]), case.seed(&[3]));
    let kernel = CompensatedSum {
        every: 2,
        x_step_stride: 3,
        ..CompensatedSum::new(3)
    };
    case.node(kernel, &[x, sum, error]);
    (case, vec!["n0 compensated_sum", "operand x = t0"])
}

pub fn factors() -> Refusal {
    let mut case = Case::new("orthonormal columns");
    let w = case.seed(&[5, 2]);
    let kernel = Qr {
        flags: 0,
        ..Qr::contiguous(1, 5, 2)
    };
    case.push(kernel, &[Some(w), None, None, None]);
    (case, vec!["n0 qr", "operand w = t0"])
}
