//! The draw ranker: scores, its softmax readout, and its loss.

use super::super::checks::{CaseError, Checks};
use super::case::{Case, engine, number};
use crate::analysis::flow::{Draws, ModeRule, Readout, read_out};
use crate::models::flow::ranker::Ranker;
use crate::training::ranker_loss::{TAU, ranker_loss};

/// Relative to the largest expected number; scores are f32 on every device.
const TOLERANCE: f64 = 1e-5;

pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let ranker = Ranker::from_arrays(&case.weights()?).map_err(engine)?;
    check_sizes(case, &ranker, checks)?;
    let [frames, draws] = case.shape::<2>("out.scores")?;
    let sizes = ranker.config();
    let (_, conditions) = case.rows("in.cond", &[])?;
    let (_, chunks) = case.rows("in.draws", &[])?;
    let expected = (frames * sizes.condition, frames * draws * sizes.chunk);
    if (conditions.len(), chunks.len()) != expected {
        return Err(engine(format!(
            "in.cond and in.draws: expected {} and {} numbers, found {} and {}",
            expected.0,
            expected.1,
            conditions.len(),
            chunks.len()
        )));
    }
    let compiled = ranker.compile(case.device, draws, frames.min(512));
    let mut compiled = compiled.map_err(engine)?;
    let scores = compiled.scores(&conditions, &chunks).map_err(engine)?;
    let wide: Vec<f64> = scores.iter().map(|&score| f64::from(score)).collect();
    case.compare("out.scores", &wide, TOLERANCE, checks)?;
    check_readouts(case, &scores, draws, checks)?;
    check_losses(case, &wide, draws, checks)
}

/// The sizes of the configuration are those of the weights.
fn check_sizes(case: &Case<'_>, ranker: &Ranker, checks: &mut Checks) -> Result<(), CaseError> {
    let product = |keys: [&str; 2]| -> Result<Option<usize>, CaseError> {
        let [Some(a), Some(b)] = keys.map(|key| case.config.find(key)) else {
            return Ok(None);
        };
        Ok(a.as_size()?.checked_mul(b.as_size()?))
    };
    let width = case.config.find("width");
    let width = width.map(|width| width.as_size()).transpose()?;
    let sizes = ranker.config();
    for (what, found, expected) in [
        ("width", sizes.width, width),
        (
            "tokens x cond_dim",
            sizes.condition,
            product(["tokens", "cond_dim"])?,
        ),
        (
            "horizon x action_dim",
            sizes.chunk,
            product(["horizon", "action_dim"])?,
        ),
    ] {
        if let Some(expected) = expected {
            checks.equal(what, &[found], &[expected]);
        }
    }
    Ok(())
}

/// `readout.t4`: the mean of the raw draws under softmax(score / 4).
fn check_readouts(
    case: &Case<'_>,
    scores: &[f32],
    draws: usize,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    for (name, text) in case.outputs("readout.t") {
        let Some(temperature) = number(text) else {
            continue;
        };
        let (_, raw) = case.rows("in.raw_draws", &[])?;
        let frames = scores.len() / draws.max(1);
        if frames == 0 || !raw.len().is_multiple_of(scores.len()) || raw.is_empty() {
            return Err(engine("in.raw_draws: expected one chunk for every score"));
        }
        // A readout of this kind sums channel by channel, so slots and channels may count as one.
        let raw_draws = Draws::new(&raw, frames, draws, 1, raw.len() / scores.len());
        let raw_draws = raw_draws.map_err(engine)?;
        let readout = Readout::Ranker { temperature };
        let rule = ModeRule::on_channel(0);
        let found = read_out(readout, &raw_draws, Some(scores), &rule).map_err(engine)?;
        case.compare(name, &found, TOLERANCE, checks)?;
    }
    Ok(())
}

/// `loss` at the temperature `tau`, `loss_tau_X` at another one, and `loss_flat`, whose frames weigh the
/// same.
fn check_losses(
    case: &Case<'_>,
    scores: &[f64],
    draws: usize,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let tau = case.config.find("tau");
    let tau = tau.map_or(Ok(TAU), |tau| tau.as_number())?;
    let losses = case.config.entries();
    for (key, expected) in losses.iter().filter(|(key, _)| key.starts_with("loss")) {
        let (_, errors) = case.rows_f64("in.l1", &[draws])?;
        let found = match (*key, key.strip_prefix("loss_tau_").and_then(number)) {
            ("loss", _) => ranker_loss(scores, &errors, draws, tau)?,
            (_, Some(tau)) => ranker_loss(scores, &errors, draws, tau)?,
            // A batch of one frame has no spread to weigh it by.
            ("loss_flat", _) => {
                let frames = scores.chunks(draws).zip(errors.chunks(draws));
                let losses = frames.map(|(s, e)| ranker_loss(s, e, draws, tau));
                let losses = losses.collect::<Result<Vec<f64>, _>>()?;
                losses.iter().sum::<f64>() / losses.len() as f64
            }
            _ => {
                case.leave((*key).to_owned());
                continue;
            }
        };
        case.compare_number(expected, key, found, TOLERANCE, checks)?;
    }
    Ok(())
}
