//! The maze: a grid of integer positions with walls, four moves, a start and a goal.
//!
//! A [`Layout`] is the true dynamics; a [`LearnedMaze`] is what a small perceptron makes of it. Either is
//! laid out as a [`TransitionTable`] over a [`Window`] of states, which planners roll out on the device;
//! an [`Atlas`] of tables that turns out too small is made again, larger. [`Episodes`] runs planners in mazes.

mod atlas;
mod environment;
mod episodes;
mod error;
mod layout;
mod learned;
mod window;

pub use atlas::{Atlas, MazeModel};
pub use environment::MazeEnvironment;
pub use episodes::{Episode, EpisodeSettings, Episodes, Lane, PlanCall};
pub use error::MazeError;
pub use layout::{Action, Layout, Position, Transition};
pub use learned::{INPUTS, LearnedMaze, OUTPUTS, training_batch};
pub use window::{TransitionTable, Window};
