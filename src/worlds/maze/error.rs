use super::Position;
use crate::formats::FormatError;
use crate::graph::GraphError;
use crate::models::mlp::MlpError;
use crate::samplers::tabular::TabularError;
use crate::training::TrainingError;
use thiserror::Error;

/// What can be wrong with a maze, its learned dynamics, or planning in it.
#[derive(Debug, Error)]
pub enum MazeError {
    /// Not a layout.
    #[error("{file}: {what}: expected {expected}, found {found}")]
    Layout {
        /// File, or what stands for one.
        file: String,
        /// The part that is wrong.
        what: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// No way leads from the start to the goal.
    #[error("{file}: expected a way from S at {start} to G at {goal}, found none")]
    Unreachable {
        /// File.
        file: String,
        /// Start.
        start: Position,
        /// Goal.
        goal: Position,
    },
    /// An action that the maze does not have.
    #[error("action: expected up, down, left or right, or their index 0 to 3, found {found}")]
    Action {
        /// What was given.
        found: String,
    },
    /// A prediction that is no displacement.
    #[error(
        "{model}: expected a displacement of at most {limit}, found {found} at {at}, action {action}"
    )]
    Displacement {
        /// Model.
        model: String,
        /// State.
        at: Position,
        /// Action.
        action: &'static str,
        /// The number.
        found: f64,
        /// Largest displacement.
        limit: f64,
    },
    /// A model that walks out of the largest window there can be.
    #[error(
        "{model}: expected imagined states within {limit} cells of the maze, found one farther off"
    )]
    Window {
        /// Model.
        model: String,
        /// Cells around the maze.
        limit: i32,
    },
    /// A setting out of its range.
    #[error("{what}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The planner.
    #[error(transparent)]
    Planner(#[from] TabularError),
    /// Weights of a model.
    #[error(transparent)]
    Model(#[from] MlpError),
    /// Parameters of a model, or training.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// A file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The graph or the device.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl MazeError {
    pub(crate) fn setting(
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Setting {
            what,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
