//! A square board: what its cells are written as, and how it is drawn.

use serde::{Deserialize, Serialize};

/// Kinds of puzzle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PuzzleKind {
    /// Sudoku: token 1 is a blank, digit k is token k + 1.
    Sudoku,
    /// A maze: tokens 1 to 5 are wall, floor, start, goal and path.
    Maze,
}

/// What cells of a maze are written as, from token 1 on.
const MAZE: &str = "# SGo";
/// Digits of a Sudoku, from token 2 on.
const DIGITS: &str = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Token 0, which pads sequences, and tokens beyond the vocabulary.
const OTHER: char = '?';

/// A square board of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Board {
    /// Kind.
    pub kind: PuzzleKind,
    /// Rows and columns.
    pub side: usize,
}

impl Board {
    /// The board of so many cells; none where they are no square, or a Sudoku of more digits than there are
    /// signs for.
    pub fn of_cells(kind: PuzzleKind, cells: usize) -> Option<Self> {
        let side = cells.isqrt();
        let signs = kind == PuzzleKind::Maze || side <= DIGITS.len();
        (side > 0 && side * side == cells && signs).then_some(Self { kind, side })
    }

    /// The board that a vocabulary and a number of cells tell: a Sudoku has two tokens more than digits.
    pub fn of_tokens(vocab_size: usize, cells: usize) -> Option<Self> {
        let sudoku = Self::of_cells(PuzzleKind::Sudoku, cells);
        sudoku
            .filter(|board| board.vocab_size() == vocab_size)
            .or_else(|| Self::of_cells(PuzzleKind::Maze, cells))
            .filter(|board| board.vocab_size() == vocab_size)
    }

    /// The kind that text is of: only mazes have walls and floors.
    pub fn kind_of_text(text: &str) -> PuzzleKind {
        match text.contains(['#', ' ']) {
            true => PuzzleKind::Maze,
            false => PuzzleKind::Sudoku,
        }
    }

    /// Tokens, the padding counted.
    pub fn vocab_size(&self) -> usize {
        match self.kind {
            PuzzleKind::Sudoku => self.side + 2,
            PuzzleKind::Maze => MAZE.len() + 1,
        }
    }

    /// The token that a character stands for.
    pub fn token(&self, c: char) -> Option<u32> {
        let place = |signs: &str| signs.chars().position(|sign| sign == c);
        let token = match self.kind {
            PuzzleKind::Maze => place(MAZE)? + 1,
            PuzzleKind::Sudoku if matches!(c, '.' | '0') => 1,
            PuzzleKind::Sudoku => place(DIGITS).filter(|digit| *digit < self.side)? + 2,
        };
        u32::try_from(token).ok()
    }

    /// The character that a token is written as.
    pub fn symbol(&self, token: u32) -> char {
        let token = token as usize;
        let of = |signs: &str, first: usize| signs.chars().nth(token.checked_sub(first)?);
        let known = match self.kind {
            PuzzleKind::Maze => of(MAZE, 1),
            PuzzleKind::Sudoku if token == 1 => Some('.'),
            PuzzleKind::Sudoku => of(DIGITS, 2).filter(|_| token < self.vocab_size()),
        };
        known.unwrap_or(OTHER)
    }

    /// All cells in one line.
    pub fn line(&self, tokens: &[u32]) -> String {
        tokens.iter().map(|&token| self.symbol(token)).collect()
    }

    /// What a cell must be, in words.
    pub(super) fn signs(&self) -> String {
        match self.kind {
            PuzzleKind::Maze => format!("one of \"{MAZE}\""),
            PuzzleKind::Sudoku => {
                let last = DIGITS.chars().nth(self.side.saturating_sub(1));
                format!(". or 0 or one of 1..={}", last.unwrap_or(OTHER))
            }
        }
    }

    /// Rows and columns of a box of a Sudoku: 3 x 3 for nine digits, 2 x 3 for six.
    fn boxes(&self) -> (usize, usize) {
        let most = self.side.isqrt().max(1);
        let rows = (1..=most)
            .rev()
            .find(|rows| self.side.is_multiple_of(*rows));
        let rows = rows.unwrap_or(1);
        (rows, self.side / rows)
    }

    /// The board as lines of text, a Sudoku with its boxes.
    pub fn draw(&self, tokens: &[u32]) -> String {
        let (rows, columns) = match self.kind {
            PuzzleKind::Sudoku => self.boxes(),
            PuzzleKind::Maze => (self.side, self.side),
        };
        let mut text = String::new();
        for (row, cells) in tokens.chunks(self.side.max(1)).enumerate() {
            let signs: Vec<char> = cells.iter().map(|&token| self.symbol(token)).collect();
            if self.kind == PuzzleKind::Maze {
                text.extend(signs);
            } else {
                let parts = signs.chunks(columns);
                let spaced = |part: &[char]| part.iter().map(char::to_string).collect::<Vec<_>>();
                let parts: Vec<String> = parts.map(|part| spaced(part).join(" ")).collect();
                if row > 0 && row % rows == 0 {
                    let rule = "-".repeat(2 * columns);
                    let rules = vec![rule; self.side / columns];
                    text.push_str(&rules.join("+-"));
                    text.push('\n');
                }
                text.push_str(&parts.join(" | "));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_signs_are_each_others_inverse() {
        let nine = Board::of_cells(PuzzleKind::Sudoku, 81).unwrap();
        let maze = Board::of_cells(PuzzleKind::Maze, 900).unwrap();
        assert_eq!((nine.vocab_size(), maze.vocab_size()), (11, 6));
        for board in [
            nine,
            maze,
            Board::of_cells(PuzzleKind::Sudoku, 256).unwrap(),
        ] {
            for token in 1..board.vocab_size() as u32 {
                assert_eq!(board.token(board.symbol(token)), Some(token));
            }
            assert_eq!(board.symbol(0), '?');
            assert_eq!(board.symbol(board.vocab_size() as u32), '?');
        }
        assert_eq!(
            (nine.token('0'), nine.token('.'), nine.token('9')),
            (Some(1), Some(1), Some(10))
        );
        assert_eq!((nine.token('A'), maze.token('x')), (None, None));
        assert_eq!(maze.line(&[1, 2, 3, 4, 5]), "# SGo");
    }

    #[test]
    fn vocabularies_tell_boards_apart() {
        let kind = |v, s| Board::of_tokens(v, s).map(|board| (board.kind, board.side));
        assert_eq!(kind(11, 81), Some((PuzzleKind::Sudoku, 9)));
        assert_eq!(kind(6, 16), Some((PuzzleKind::Sudoku, 4)));
        assert_eq!(kind(6, 900), Some((PuzzleKind::Maze, 30)));
        assert_eq!(kind(7, 9), None);
        assert_eq!(kind(11, 80), None);
    }

    #[test]
    fn boxes_are_drawn() {
        let four = Board::of_cells(PuzzleKind::Sudoku, 16).unwrap();
        let drawn = four.draw(&[2, 3, 4, 5, 1, 1, 1, 1, 3, 2, 5, 4, 5, 4, 3, 2]);
        assert_eq!(
            drawn,
            "1 2 | 3 4\n. . | . .\n----+-----\n2 1 | 4 3\n4 3 | 2 1\n"
        );
        assert_eq!(
            Board::of_cells(PuzzleKind::Sudoku, 36).unwrap().boxes(),
            (2, 3)
        );
        let maze = Board::of_cells(PuzzleKind::Maze, 4).unwrap();
        assert_eq!(maze.draw(&[1, 2, 3, 4]), "# \nSG\n");
    }
}
