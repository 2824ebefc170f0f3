//! What can be wrong with a model's tensors.

use super::Tdmpc2ConfigError;
use crate::formats::{ArrayMap, FormatError};
use crate::models::dynamics::DynamicsError;
use crate::models::mlp::MlpError;
use attractor_kernels::KernelError;
use thiserror::Error;

/// What can be wrong with a model.
#[derive(Debug, Error)]
pub enum Tdmpc2Error {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] Tdmpc2ConfigError),
    /// A tensor is missing, misshapen or not finite.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A network.
    #[error(transparent)]
    Mlp(#[from] MlpError),
    /// The dynamics.
    #[error(transparent)]
    Dynamics(#[from] DynamicsError),
    /// A draw of random weights.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A tensor does not fit the others.
    #[error("{file}: {tensor}: expected {expected}, found {found}")]
    Misfit {
        /// File.
        file: String,
        /// Tensor.
        tensor: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The task that was asked for.
    #[error("{file}: task: {}", task_text(*tasks, *task))]
    Task {
        /// File.
        file: String,
        /// Tasks that the checkpoint has; 0 for one without embeddings.
        tasks: usize,
        /// The task asked for.
        task: Option<usize>,
    },
}

fn task_text(tasks: usize, task: Option<usize>) -> String {
    match (tasks, task) {
        (0, Some(task)) => format!("expected none for a checkpoint of one task, found {task}"),
        (tasks, Some(task)) => format!("expected 0 to {}, found {task}", tasks.saturating_sub(1)),
        (tasks, None) => format!("expected one of the checkpoint's {tasks}, found none"),
    }
}

impl Tdmpc2Error {
    pub(super) fn misfit(
        map: &ArrayMap,
        tensor: &str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Misfit {
            file: map.file().display().to_string(),
            tensor: tensor.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
