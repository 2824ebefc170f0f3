//! Puzzles that recursive reasoners solve: Sudoku of any size and mazes, as text, tables and data sets.

mod board;
mod dataset;
mod text;

pub use board::{Board, PuzzleKind};

use crate::formats::FormatError;
use thiserror::Error;

/// Label of a cell that nothing is asked of.
pub const IGNORED: i32 = -100;

/// What can be wrong with puzzles.
#[derive(Debug, Error)]
pub enum PuzzleError {
    /// A file or an array cannot be read, or is not as required.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A line of text is no puzzle.
    #[error("{file}: line {line}: expected {expected}, found {found}")]
    Line {
        /// File.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Parts of a data set do not belong together.
    #[error("{file}: {what}: expected {expected}, found {found}")]
    Data {
        /// File or folder.
        file: String,
        /// Which part.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// Puzzles of one size as tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PuzzleSet {
    /// Cells S of a puzzle.
    pub seq_len: usize,
    /// Tokens V of the data, where they tell.
    pub vocab_size: Option<usize>,
    /// Puzzles with an identifier of their own, where the data tell.
    pub num_puzzle_identifiers: Option<usize>,
    /// Tokens `[N, S]`.
    pub inputs: Vec<u32>,
    /// Answers `[N, S]`, [`IGNORED`] where nothing is asked; none where they are not known.
    pub labels: Option<Vec<i32>>,
    /// Identifier of the puzzle that each example is of `[N]`.
    pub puzzles: Vec<u32>,
    /// How the cells are drawn, where it is known.
    pub board: Option<Board>,
}

impl PuzzleSet {
    /// Examples N.
    pub fn count(&self) -> usize {
        self.puzzles.len()
    }

    /// Examples of a range, which is cut at the end.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let end = range.end.min(self.count());
        let range = range.start.min(end)..end;
        let cells = range.start * self.seq_len..range.end * self.seq_len;
        let of = |labels: &Vec<i32>| labels.get(cells.clone()).unwrap_or_default().to_vec();
        Self {
            inputs: self.inputs.get(cells.clone()).unwrap_or_default().to_vec(),
            labels: self.labels.as_ref().map(of),
            puzzles: self.puzzles.get(range).unwrap_or_default().to_vec(),
            ..self.clone()
        }
    }
}
