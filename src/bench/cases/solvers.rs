//! The kernels of ODE solvers, on 32 action chunks of a flow-matching policy an example.

use super::{Case, Fill, unit};
use attractor_kernels::KernelId;
use attractor_kernels::adaptive_step::AdaptiveStep;
use attractor_kernels::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod};
use attractor_kernels::runge_kutta::{DORMAND_PRINCE, RungeKutta};
use attractor_kernels::tangent_ensemble::{DynamicalSystem, TangentEnsemble};
use attractor_kernels::time_features::TimeFeatures;

/// Numbers of a chunk: six steps of two channels.
const CHUNK: u32 = 12;
/// Features of a flow time.
const FEATURES: u32 = 256;

/// The cases of a solver's kernel.
pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let rows = 32 * batch;
    let chunks = format!("{rows} rows of {CHUNK}");
    // Steps of 1/32 from times that leave room for them.
    let times = Fill::Exactly((0..rows as usize).map(|r| 0.96 * unit(r, 1)).collect());
    let steps = Fill::Exactly(vec![0.03125; rows as usize]);
    match id {
        KernelId::AdaptiveStep => {
            // An end so far away that rows still run after millions of launches in place.
            let kernel = AdaptiveStep {
                end_time: 1e5,
                minimum_step: 0.01,
                maximum_step: 0.03125,
                ..AdaptiveStep::dormand_prince(rows, CHUNK, 1.0, 1.0)
            };
            let case = Case::new(format!("{chunks}, every row accepted"), CHUNK, kernel);
            vec![case.fill(3, times).fill(4, steps)]
        }
        KernelId::OdeEnsemble => {
            // Fixed steps alone: a run under step control stops, and then takes no time.
            let trajectories = 512 * batch;
            let lorenz =
                OdeEnsemble::fixed(OdeField::LORENZ63, OdeMethod::RK4, trajectories, 0.01, 32);
            let parameters = Fill::Exactly(vec![10.0, 28.0, 8.0 / 3.0]);
            let steps = Case::new(format!("{trajectories} of lorenz63, 32 of rk4"), 32, lorenz);
            vec![steps.fill(1, parameters)]
        }
        KernelId::RungeKutta => {
            let kernel = RungeKutta::combination(rows, CHUNK, DORMAND_PRINCE.weights, 32);
            vec![Case::new(format!("{chunks}, 5 of 7 stages"), 7, kernel)]
        }
        KernelId::TangentEnsemble => {
            let count = 512 * batch;
            let system = DynamicalSystem::LORENZ63;
            let lorenz = TangentEnsemble::of_flow(system, OdeMethod::RK4, (count, 3), 0.01, 32);
            let parameters = Fill::Exactly(vec![10.0, 28.0, 8.0 / 3.0]);
            let words = Fill::Words(vec![0; 3 * count as usize]);
            // The axes: random tangents are nearly dependent here and there.
            let axis = |at: u32| at / count / 3 == at / count % 3;
            let axes = (0..9 * count).map(|at| f32::from(u8::from(axis(at))));
            let name = format!("{count} of lorenz63, 3 tangents, 32 of rk4 and QR");
            vec![
                // Sums of eight in each of four stages of every step.
                Case::new(name, 32 * 4 * 8, lorenz)
                    .fill(1, parameters)
                    .fill(2, Fill::Exactly(axes.collect()))
                    .fill(6, words),
            ]
        }
        KernelId::TimeFeatures => {
            let kernel = TimeFeatures::new(rows, FEATURES).at_stage((4, 5));
            let case = Case::new(format!("{rows} rows of {FEATURES}"), 1, kernel).weights(&[2]);
            let words = Fill::Words(TimeFeatures::frequencies(FEATURES));
            vec![case.fill(0, times).fill(1, steps).fill(2, words)]
        }
        _ => Vec::new(),
    }
}
