//! M1, M2 and M3 of a learned map.

use super::error::refuse;
use super::exponents::{self, Divergence};
use super::sample::actions_of;
use super::{Sample, Stage2Error};
use crate::analysis::correlation::{CorrelationError, Method};
use crate::device::Device;
use crate::models::Dynamics;
use crate::models::control::ControlTask;
use crate::samplers::shooting::rollout::rollout;

/// Predictions from every state under every action, `[states, actions, state]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The numbers.
    pub values: Vec<f64>,
    /// Actions.
    pub actions: usize,
    /// Numbers of a state.
    pub width: usize,
}

impl Predictions {
    fn scores(&self, task: ControlTask) -> Vec<f64> {
        let states = self.values.chunks_exact(self.width.max(1));
        states.map(|state| task.score().of(state)).collect()
    }
}

/// Metrics of a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// M1.
    pub one_step: f64,
    /// M2.
    pub k_step: f64,
    /// M3; none where no state tells actions apart.
    pub agreement: Option<f64>,
    /// M3 of actions that are held for K steps.
    pub held_agreement: Option<f64>,
    /// M4; none where no state has exponents.
    pub divergence: Option<Divergence>,
}

/// Where every action leads that is held for `hold` steps, from every state `[n, state]`.
///
/// # Errors
/// [`Stage2Error`]: no states, a device that fails, predictions that are not finite.
pub fn one_step(
    dynamics: &dyn Dynamics,
    (task, states): (ControlTask, &[f64]),
    hold: usize,
    device: &Device,
) -> Result<Predictions, Stage2Error> {
    let (width, choices) = (dynamics.state(), task.actions().len());
    if width != task.state() || dynamics.action() != task.action() {
        let expected = format!("{} and {} numbers", task.state(), task.action());
        let found = format!("{width} and {}", dynamics.action());
        return Err(refuse(
            "observations and actions of the model",
            expected,
            found,
        ));
    }
    if states.is_empty() || !states.len().is_multiple_of(width) || hold == 0 {
        let expected = format!("observations of {width} numbers, and steps");
        let found = format!("{} numbers, {hold} steps", states.len());
        return Err(refuse("states", expected, found));
    }
    let count = states.len() / width;
    let repeated: Vec<f64> = states
        .chunks_exact(width)
        .flat_map(|state| std::iter::repeat_n(state, choices).flatten())
        .copied()
        .collect();
    let order: Vec<usize> = (0..count * hold).flat_map(|_| 0..choices).collect();
    let all = rollout(dynamics, &repeated, &actions_of(task, &order), device)?;
    let last = all.len().saturating_sub(repeated.len());
    let values = all.get(last..).unwrap_or(&[]).to_vec();
    finite("next observation", &values, width * choices)?;
    Ok(Predictions {
        values,
        actions: choices,
        width,
    })
}

fn finite(what: &'static str, values: &[f64], a_state: usize) -> Result<(), Stage2Error> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Stage2Error::NotFinite {
            what,
            state: at / a_state.max(1),
        }),
    }
}

/// Euclidean distances of vectors of `width` numbers, one by one.
///
/// # Errors
/// [`Stage2Error::Request`] if they are not as many.
pub fn distances(a: &[f64], b: &[f64], width: usize) -> Result<Vec<f64>, Stage2Error> {
    if a.len() != b.len() || width == 0 || !a.len().is_multiple_of(width) {
        let expected = format!("{} numbers in vectors of {width}", a.len());
        return Err(refuse("vectors to compare", expected, b.len()));
    }
    let pairs = a.chunks_exact(width).zip(b.chunks_exact(width));
    let distance = |(a, b): (&[f64], &[f64])| {
        let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f64>().sqrt()
    };
    Ok(pairs.map(distance).collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Mean over the states of Kendall's tau-b between the scores of the actions in `truth` and in `learned`,
/// both `[states, actions]`. States where either ranks no action before another are left out; none where
/// none remains.
///
/// # Errors
/// [`Stage2Error::Request`] for a single action or tables of unequal size, [`Stage2Error::Correlation`] for
/// scores that are not finite.
pub fn action_agreement(
    truth: &[f64],
    learned: &[f64],
    actions: usize,
) -> Result<Option<f64>, Stage2Error> {
    if actions < 2 {
        return Err(refuse("actions to rank", "at least 2", actions));
    }
    if truth.len() != learned.len() || truth.is_empty() || !truth.len().is_multiple_of(actions) {
        let expected = format!("{} scores, {actions} a state", truth.len());
        return Err(refuse("scores", expected, learned.len()));
    }
    let mut taus = Vec::new();
    for (truth, learned) in truth
        .chunks_exact(actions)
        .zip(learned.chunks_exact(actions))
    {
        match Method::Kendall.of(truth, learned) {
            Ok(tau) => taus.push(tau),
            Err(CorrelationError::Constant) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((!taus.is_empty()).then(|| mean(&taus)))
}

/// All metrics of a learned map on a sample. The truth is computed in double precision on the CPU, the
/// learned map on `device`; its M4 has `columns` tangents.
///
/// # Errors
/// [`Stage2Error`]: a model of other widths, predictions that are not finite, a device that fails.
pub fn measure(
    learned: &dyn Dynamics,
    sample: &Sample,
    columns: usize,
    device: &Device,
) -> Result<Metrics, Stage2Error> {
    let task = sample.task;
    let exact = Device::cpu_f64();
    let at = (task, &sample.states[..]);
    let width = task.state();
    let hold = sample.sequence.len();
    let pair = |steps: usize| -> Result<[Predictions; 2], Stage2Error> {
        Ok([
            one_step(&task, at, steps, &exact)?,
            one_step(learned, at, steps, device)?,
        ])
    };
    let agreement = |[truth, learned]: &[Predictions; 2]| {
        action_agreement(&truth.scores(task), &learned.scores(task), truth.actions)
    };
    let single = pair(1)?;
    let held = pair(hold)?;
    let errors = distances(&single[0].values, &single[1].values, width)?;
    let ends = distances(
        &end_of(&task, sample, &exact)?,
        &end_of(learned, sample, device)?,
        width,
    )?;
    Ok(Metrics {
        one_step: mean(&errors),
        k_step: mean(&ends),
        agreement: agreement(&single)?,
        held_agreement: agreement(&held)?,
        divergence: exponents::divergence(learned, sample, columns, device)?,
    })
}

/// Ends of the roll-outs of the sample's sequence, `[states, state]`.
fn end_of(
    dynamics: &dyn Dynamics,
    sample: &Sample,
    device: &Device,
) -> Result<Vec<f64>, Stage2Error> {
    let all = trajectories(dynamics, sample, device)?;
    let last = all.len().saturating_sub(sample.states.len());
    Ok(all.get(last..).unwrap_or(&[]).to_vec())
}

/// States after each of the sample's actions, `[K, states, state]`.
pub(super) fn trajectories(
    dynamics: &dyn Dynamics,
    sample: &Sample,
    device: &Device,
) -> Result<Vec<f64>, Stage2Error> {
    let actions = repeated_sequence(sample);
    let all = rollout(dynamics, &sample.states, &actions, device)?;
    let width = dynamics.state();
    if let Some(at) = all.iter().position(|value| !value.is_finite()) {
        return Err(Stage2Error::NotFinite {
            what: "roll-out",
            state: at / width.max(1) % sample.count().max(1),
        });
    }
    Ok(all)
}

/// The sequence for every state, `[K, states, action]`.
pub(super) fn repeated_sequence(sample: &Sample) -> Vec<f64> {
    let count = sample.count();
    let each = sample.sequence.iter();
    let indices: Vec<usize> = each
        .flat_map(|index| std::iter::repeat_n(*index, count))
        .collect();
    actions_of(sample.task, &indices)
}
