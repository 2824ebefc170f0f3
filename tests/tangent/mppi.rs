//! The kernels of MPPI. Which candidates count depends on values: they have no derivative.

use crate::support::Case;
use crate::words::Refusal;
use attractor::graph::TensorKind;
use attractor_kernels::mppi_choose::MppiChoose;
use attractor_kernels::mppi_return::MppiReturn;
use attractor_kernels::mppi_sample::MppiSample;
use attractor_kernels::mppi_update::MppiUpdate;

pub fn sampled() -> Refusal {
    let mut case = Case::new("candidates that are clipped");
    let (policy, mean) = (case.given(&[1, 3]), case.seed(&[3]));
    let (deviation, noise, out) = (case.given(&[3]), case.given(&[3]), case.out(&[2, 3]));
    let kernel = MppiSample {
        environments: 1,
        candidates: 2,
        policies: 1,
        length: 3,
    };
    case.node(kernel, &[policy, mean, deviation, noise, out]);
    (case, vec!["n0 mppi_sample"])
}

pub fn returned() -> Refusal {
    let mut case = Case::new("values of candidates");
    let (reward, q) = (case.seed(&[2, 3]), case.seed(&[2, 3]));
    let (pairs, out) = (case.words(vec![1, 0], TensorKind::Input), case.out(&[3]));
    let kernel = MppiReturn {
        rows: 3,
        horizon: 2,
        members: 2,
        step: 0,
        discount: 0.9,
        flags: 0,
    };
    let operands = [Some(reward), None, Some(q), Some(pairs), Some(out)];
    case.push(kernel, &operands);
    (case, vec!["n0 mppi_return"])
}

pub fn updated() -> Refusal {
    let mut case = Case::new("a distribution by values");
    let (value, actions) = (case.seed(&[4]), case.seed(&[4, 3]));
    let (mean, deviation, score) = (case.out(&[3]), case.out(&[3]), case.out(&[2]));
    let elite = case.words(vec![0; 2], TensorKind::State);
    let kernel = MppiUpdate {
        environments: 1,
        candidates: 4,
        elites: 2,
        length: 3,
        temperature: 0.5,
        least: 0.05,
        most: 2.0,
    };
    case.node(kernel, &[value, actions, mean, deviation, elite, score]);
    (case, vec!["n0 mppi_update"])
}

pub fn chosen() -> Refusal {
    let mut case = Case::new("an action by scores");
    let (score, exponential) = (case.given(&[2]), case.given(&[2]));
    let (actions, out) = (case.seed(&[4, 3]), case.out(&[1]));
    let elite = case.words(vec![3, 1], TensorKind::Input);
    let chosen = case.middle_words(1);
    let kernel = MppiChoose {
        environments: 1,
        candidates: 4,
        elites: 2,
        length: 3,
        width: 1,
        flags: 0,
    };
    let inputs = [score, exponential, elite, actions].map(Some);
    let outputs = [None, None, Some(out), Some(chosen)];
    case.push(kernel, &[inputs, outputs].concat());
    (case, vec!["n0 mppi_choose"])
}
