//! The kernels of planners: words that are chosen carry no tangents, values of plans are refused.

use crate::support::Case;
use crate::words::{Refusal, looked_up, of_words};
use attractor::graph::TensorKind;
use attractor_kernels::plan_draw::PlanDraw;
use attractor_kernels::plan_refit::PlanRefit;
use attractor_kernels::plan_select::PlanSelect;
use attractor_kernels::plan_track::{PlanScore, PlanTrack};

pub fn drawn() -> Vec<Case> {
    let mut case = of_words("rows by drawn actions");
    let seed = case.seed(&[15]);
    let identity = case.words(vec![3, 1], TensorKind::Input);
    let sequences = case.middle_words(5);
    let kernel = PlanDraw::uniform([1, 5, 1], 4, 0);
    case.push(kernel, &[Some(identity), None, Some(sequences)]);
    looked_up(&mut case, sequences, 5, seed, 4);
    vec![case]
}

pub fn refitted() -> Vec<Case> {
    let mut case = of_words("rows by counts of actions");
    let value = case.seed(&[15]);
    let sequences = case.words(vec![0, 1, 1, 2, 0], TensorKind::Input);
    let counts = case.middle_words(3);
    let kernel = PlanRefit {
        environments: 1,
        candidates: 5,
        horizon: 1,
        actions: 3,
        elites: 2,
    };
    case.node(kernel, &[value, sequences, counts]);
    looked_up(&mut case, counts, 3, value, 3);
    vec![case]
}

pub fn tracked() -> Refusal {
    let mut case = of_words("value of plans");
    let state = case.seed(&[5, 3]);
    let value = case.out(&[5]);
    let cut = case.words(vec![0; 10], TensorKind::State);
    let kernel = PlanTrack::new(5, 5, 3, (PlanScore::NORM, 0b101));
    case.push(kernel, &[Some(state), None, Some(value), Some(cut), None]);
    (case, vec!["n0 plan_track", "operand value"])
}

pub fn selected() -> Refusal {
    let mut case = of_words("value of the best plan");
    let value = case.seed(&[5]);
    let cut = case.words(vec![1; 10], TensorKind::Input);
    let sequences = case.words(vec![0; 10], TensorKind::Input);
    let best_value = case.out(&[1]);
    let best = case.words(vec![0; 4], TensorKind::State);
    let kernel = PlanSelect::new(1, 5, 2);
    case.node(kernel, &[value, cut, sequences, best_value, best]);
    (case, vec!["n0 plan_select", "operand best_value"])
}
