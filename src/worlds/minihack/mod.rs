//! MiniHack navigation as pure functions of characters and glyphs.
//!
//! Everything a planner needs around NetHack without NetHack itself: the egocentric crop, the
//! staircase target, the breadth-first distance and oracle, reward shaping, episode limits and
//! evaluation seeds, the replay buffer and curriculum of the imitation loop, and walks on a
//! recorded map.

mod buffer;
mod curriculum;
mod environment;
mod grid;
mod observation;
mod oracle;
mod reward;
mod search;
mod trace;
mod walk;

pub use buffer::{ReplayBuffer, Trajectory, Window};
pub use curriculum::{Curriculum, CurriculumRule, MISSING_ORACLE_STEPS, keep_oracle_trajectory};
pub use environment::{
    COMPASS, ENVIRONMENTS, Environment, PLANNER_STEP_LIMIT, crc32, environment, evaluation_seed,
    resolve_action,
};
pub use grid::{Cell, Grid};
pub use observation::{
    CROP_PAD, GLYPH_COUNT, GlyphId, MAP_COLS, MAP_ROWS, StaircaseGlyphs, agent_cell, global_map,
    hazards, local_crop, staircase_cell, staircase_target,
};
pub use oracle::{OracleMove, bfs_distance, oracle_move};
pub use reward::{
    DistanceAfter, InnerReward, RewardMismatch, RewardShaper, RewardTerms, ShapedReward, Standing,
    explain_reward,
};
pub use trace::{
    OpenFloorReplay, RewardTrace, TraceError, TraceReport, replay_on_open_floor,
    replay_reward_trace,
};
pub use walk::{Walk, WalkMap};

/// What is wrong with an observation or a recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// A slice does not have the number of elements that its shape needs.
    #[error("{what}: expected {expected} elements, found {found}")]
    Length {
        /// Which input.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// Two maps that describe the same place differ in shape.
    #[error("{what}: expected {expected:?} rows and columns, found {found:?}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// Rows and columns needed.
        expected: (usize, usize),
        /// Rows and columns given.
        found: (usize, usize),
    },
    /// A glyph id outside the range of NetHack 3.6.
    #[error("glyph at row {row}, column {col}: expected 0 to {max}, found {found}")]
    Glyph {
        /// Row of the offending cell.
        row: usize,
        /// Column of the offending cell.
        col: usize,
        /// Largest valid id.
        max: i32,
        /// The id found.
        found: i32,
    },
    /// An action id that is negative, or an environment without actions.
    #[error("action {action} cannot be taken modulo {actions} actions")]
    Action {
        /// The action id.
        action: i32,
        /// Number of actions of the environment.
        actions: usize,
    },
}
