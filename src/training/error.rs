use crate::formats::FormatError;
use crate::graph::GraphError;
use thiserror::Error;

/// Why a training cannot begin, or go on.
#[derive(Debug, Error)]
pub enum TrainingError {
    /// Models, data or settings do not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Misfit {
        /// What does not fit.
        what: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A loss, or a parameter that it depends on, is infinite or no number.
    #[error("model {model}, epoch {epoch}: expected a finite loss, found {loss}")]
    NotFinite {
        /// Number of the model, from 0.
        model: usize,
        /// Epoch, from 0, before whose step the loss is taken.
        epoch: usize,
        /// The loss, or the parameter.
        loss: f64,
    },
    /// A file of parameters is wrong.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The graph or the device.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl TrainingError {
    /// The same where models are counted from `first`.
    pub(super) fn of_model_from(self, first: usize) -> Self {
        match self {
            Self::NotFinite { model, epoch, loss } => Self::NotFinite {
                model: model + first,
                epoch,
                loss,
            },
            other => other,
        }
    }

    pub(crate) fn misfit(
        what: impl ToString,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Misfit {
            what: what.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
