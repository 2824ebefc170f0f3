//! What the kernels of training are measured on: many small perceptrons at once.

use super::{Case, Fill, unit};
use attractor_kernels::KernelId;
use attractor_kernels::adam::{Adam, AdamSettings};
use attractor_kernels::mean_squared_error::MeanSquaredError;

/// Parameters of a model.
const PARAMETERS: u32 = 1346;
/// Numbers that a model is asked for.
const TARGETS: u32 = 128;
/// Models that an example of the planner's cases stands for.
const MODELS: u32 = 30;

/// The cases of a kernel.
pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let models = MODELS * batch;
    let case = match id {
        KernelId::Adam => {
            let count = models * PARAMETERS;
            let kernel = Adam::new(count, AdamSettings::new(0.01));
            // The second moment is no less than zero.
            let squares = (0..count as usize).map(|i| 0.1 + unit(i, 4)).collect();
            let name = format!("{models} models of {PARAMETERS} parameters");
            Case::new(name, 1, kernel).fill(3, Fill::Exactly(squares))
        }
        KernelId::MeanSquaredError => {
            let kernel = MeanSquaredError {
                target_stride: 0,
                flags: 7,
                ..MeanSquaredError::losses(models, TARGETS)
            };
            let name = format!("{models} models, {TARGETS} numbers, loss and gradient");
            Case::new(name, TARGETS, kernel)
        }
        _ => return Vec::new(),
    };
    vec![case]
}
