//! The model itself: latents at every step, logits, halting, answers.

use super::super::super::checks::{CaseError, Checks};
use super::super::super::folder::integers;
use super::case::{Case, engine};
use crate::models::recursive::{Positions, RecursiveConfig};
use crate::samplers::recursive::{Reasoner, Score, Solutions, SolveRequest};

/// Times the error of another program in single precision. Products summed in another order alone move
/// that error by a factor of 40 where these maps amplify rounding (5e-5 to 2e-3 after 16 steps of one
/// network, in PyTorch), so that the 10 of the specification would tell one order from another.
const MARGIN: f64 = 40.0;
/// Where the file tells no measured error: that of a step, and what it grows by with each. Latents are of
/// size one, and trained maps stretch by less than this.
const FIRST_ERROR: f64 = 2e-6;
const GROWTH: f64 = 1.4;
/// What is asked for where everything is computed in double precision, and the share of the errors of single
/// precision, where they are large: parameters such as the epsilon of a norm stay single.
const DOUBLE: f64 = 1e-9;
const DOUBLE_SHARE: f64 = 1e-4;

/// Largest errors that are allowed, for every step.
struct Tolerances {
    latent: Vec<f64>,
    /// Numbers of one latent.
    size: usize,
    single: bool,
}

impl Tolerances {
    fn read(case: &Case<'_>, config: &RecursiveConfig, steps: usize) -> Result<Self, CaseError> {
        let size = config.dimension() / 2;
        // The factor on the scores is single precision everywhere; rotation makes up for it.
        let heads = config.hidden_size / config.num_heads.max(1);
        let scale = 1.0 / (heads as f64).sqrt();
        let exact = config.mlp_t
            || config.pos_encodings == Positions::Rope
            || f64::from(scale as f32) == scale;
        let measured = match case.entry.find("f32_zH_maxabs_err_by_step") {
            Some(entry) => entry
                .elements()?
                .iter()
                .map(|error| error.as_number())
                .collect::<Result<Vec<f64>, CaseError>>()?,
            None => (0..steps as i32)
                .map(|step| FIRST_ERROR * GROWTH.powi(step))
                .collect(),
        };
        if measured.len() != steps {
            let found = measured.len();
            let reason =
                format!("f32_zH_maxabs_err_by_step: expected {steps} numbers, found {found}");
            return Err(CaseError::Engine(reason));
        }
        let single = !(case.is_double() && exact);
        // Errors grow on the whole, and those of another order of summation a step sooner or later.
        let until = |step: usize| measured.iter().take(step + 2);
        let latent = (0..steps).map(|step| {
            let worst = until(step).fold(FIRST_ERROR, |worst, &error| worst.max(error));
            match single {
                true => MARGIN * worst,
                false => DOUBLE.max(DOUBLE_SHARE * worst),
            }
        });
        Ok(Self {
            latent: latent.collect(),
            size,
            single,
        })
    }

    /// Of a sum of latents with these weights: independent errors add by their squares.
    fn of_sum(&self, step: usize, weights: &[f32], width: usize) -> f64 {
        let norm = |row: &[f32]| {
            row.iter()
                .map(|&w| f64::from(w).powi(2))
                .sum::<f64>()
                .sqrt()
        };
        let largest = weights.chunks(width.max(1)).map(norm).fold(1.0, f64::max);
        self.at(step) * largest
    }

    /// Of the length of a move: two latents, each at worst off along the move.
    fn of_move(&self, step: usize) -> f64 {
        // The largest of many errors is a few times their root mean square.
        let share = if self.single { 0.25 } else { 2.0 };
        share * self.at(step) * (self.size as f64).sqrt()
    }

    fn at(&self, step: usize) -> f64 {
        self.latent.get(step).copied().unwrap_or(0.0)
    }
}

/// Everything that a case holds of the run itself.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let mut reasoner = case.reasoner()?;
    let (tokens, steps) = (case.words("inputs")?, case.steps()?);
    let puzzles = case.puzzles()?;
    let request = SolveRequest {
        puzzles: &puzzles,
        steps,
        record: true,
        ..SolveRequest::new(&tokens, reasoner.config())
    };
    let found = reasoner.solve(&request).map_err(engine)?;
    let config = reasoner.config();
    case.compare_size("state_len", config.length(), checks)?;
    case.compare_size("hidden", config.hidden_size, checks)?;
    case.compare_size("n_joint", config.dimension(), checks)?;
    let tolerances = Tolerances::read(case, config, steps)?;
    check_latents(case, &reasoner, &found, &tolerances, checks)?;
    check_readouts(case, &reasoner, &found, &tolerances, checks)?;
    check_answers(case, config, &found, checks)
}

/// `z_H` and `z_L` `[B, T, L, D]`, and `states` `[T + 1, n]` of one example from its start on.
fn check_latents(
    case: &Case<'_>,
    reasoner: &Reasoner,
    found: &Solutions,
    tolerances: &Tolerances,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let config = reasoner.config();
    let (length, d, dimension) = (config.length(), config.hidden_size, config.dimension());
    let states = found
        .trajectories
        .as_ref()
        .map(|kept| kept.states.as_slice());
    let states = states.unwrap_or_default();
    let half = dimension / 2;
    for (name, first) in [("z_H", 0), ("z_L", half)] {
        let shape = [found.count, found.steps, length, d];
        let Some(expected) = case.expected(name, &shape)? else {
            continue;
        };
        let pairs = states
            .chunks_exact(dimension)
            .zip(expected.chunks_exact(half));
        for (row, (state, expected)) in pairs.enumerate() {
            let (example, step) = (row / found.steps, row % found.steps);
            let latent = state.get(first..first + half).unwrap_or_default();
            let what = format!("{name}[{example}, {step}]");
            checks.close(
                &what,
                latent,
                expected,
                latent_tolerance(case, name, tolerances, step, expected),
            );
        }
    }
    let Some(expected) = case.expected("states", &[found.steps + 1, dimension])? else {
        return Ok(());
    };
    let start: Vec<f64> = reasoner
        .model()
        .start(1)
        .iter()
        .map(|&v| f64::from(v))
        .collect();
    let found = start
        .chunks_exact(dimension)
        .chain(states.chunks_exact(dimension));
    let mut rows = 0;
    for (row, (state, expected)) in found.zip(expected.chunks_exact(dimension)).enumerate() {
        // The start is given, and exact.
        let tolerance = match row.checked_sub(1) {
            Some(step) => latent_tolerance(case, "states", tolerances, step, expected),
            None => case.stored_precision("states"),
        };
        checks.close(&format!("states[{row}]"), state, expected, tolerance);
        rows += 1;
    }
    let wanted = expected.len() / dimension;
    checks.hold(rows == wanted, || {
        format!("states: expected {wanted} states, found {rows}")
    });
    Ok(())
}

fn latent_tolerance(
    case: &Case<'_>,
    name: &str,
    tolerances: &Tolerances,
    step: usize,
    expected: &[f64],
) -> f64 {
    let largest = expected
        .iter()
        .fold(1.0f64, |most, value| most.max(value.abs()));
    tolerances
        .at(step)
        .max(case.stored_precision(name) * largest)
}

/// `logits` `[B, stored, S, V]`, and halting and drift `[B, T]`.
fn check_readouts(
    case: &Case<'_>,
    reasoner: &Reasoner,
    found: &Solutions,
    tolerances: &Tolerances,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let (config, weights) = (reasoner.config(), reasoner.model().weights);
    let (count, steps, d) = (found.count, found.steps, config.hidden_size);
    if case.arrays.contains("logits") {
        let stored = case.entry.get("logits_steps_stored")?.integers()?;
        let shape = [count, stored.len(), config.seq_len, config.vocab_size];
        let width = config.seq_len * config.vocab_size;
        let expected = case.expected("logits", &shape)?.unwrap_or_default();
        let all = found
            .trajectories
            .as_ref()
            .map(|kept| kept.logits.as_slice());
        for (row, expected) in expected.chunks_exact(width).enumerate() {
            let (example, place) = (row / stored.len(), row % stored.len());
            let step = stored
                .get(place)
                .and_then(|&step| usize::try_from(step - 1).ok());
            let Some(step) = step.filter(|step| *step < steps) else {
                return Err(case
                    .entry
                    .get("logits_steps_stored")?
                    .wrong("steps of the run"));
            };
            let first = (example * steps + step) * width;
            let logits = all.and_then(|all| all.get(first..first + width));
            let tolerance = tolerances.of_sum(step, &weights.lm_head.values, d);
            let what = format!("logits[{example}, {place}]");
            checks.close(&what, logits.unwrap_or_default(), expected, tolerance);
        }
    }
    for (name, found, is_move) in [
        ("q_halt", &found.q_halt, false),
        ("q_continue", &found.q_continue, false),
        ("drift_zH", &found.drift_h, true),
        ("drift_zL", &found.drift_l, true),
    ] {
        let Some(expected) = case.expected(name, &[count, steps])? else {
            continue;
        };
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let (example, step) = (at / steps, at % steps);
            let what = format!("{name}[{example}, {step}]");
            let tolerance = if is_move {
                tolerances.of_move(step)
            } else {
                tolerances.of_sum(step, &weights.q_head.weight.values, d)
            };
            let stored = case.stored_precision(name) * expected.abs();
            checks.close(&what, &[*found], &[*expected], tolerance.max(stored));
        }
    }
    Ok(())
}

/// Answers, how they compare with the labels, and when the model would have halted.
fn check_answers(
    case: &Case<'_>,
    config: &RecursiveConfig,
    found: &Solutions,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let (count, cells) = (found.count, config.seq_len);
    let wide = |words: &[u32]| {
        words
            .iter()
            .map(|&word| f64::from(word))
            .collect::<Vec<f64>>()
    };
    if let Some(expected) = case.expected("preds", &[count, cells])? {
        checks.equal("preds", &wide(&found.predictions), &expected);
    }
    if let Some(expected) = case.expected("halted_at", &[count])? {
        checks.equal("halted_at", &wide(&found.halted_at), &expected);
    }
    if !case.arrays.contains("labels") {
        return Ok(());
    }
    let (_, labels) = integers(&case.arrays, "labels")?;
    let pairs = found
        .predictions
        .chunks_exact(cells)
        .zip(labels.chunks_exact(cells));
    let scores: Vec<Score> = pairs
        .map(|(answer, labels)| Score::of(answer, labels))
        .collect();
    if let Some(expected) = case.expected("token_acc", &[count])? {
        let accuracy: Vec<f64> = scores.iter().map(|score| score.token_acc).collect();
        // A quotient of two counts, whatever it was stored in.
        checks.close(
            "token_acc",
            &accuracy,
            &expected,
            1e-12_f64.max(case.stored_precision("token_acc")),
        );
    }
    if let Some(expected) = case.expected("exact_correct", &[count])? {
        let exact: Vec<f64> = scores
            .iter()
            .map(|score| f64::from(u8::from(score.exact_correct)))
            .collect();
        checks.equal("exact_correct", &exact, &expected);
    }
    Ok(())
}
