//! Puzzles as text: one on the command line, one a line, or the tables of the original data sets.

use super::{Board, PuzzleError, PuzzleKind, PuzzleSet};

/// A row of a table: its line, its puzzle, its answer.
struct Row {
    line: usize,
    puzzle: String,
    answer: Option<String>,
}

impl PuzzleSet {
    /// One puzzle; line breaks, and blanks of a Sudoku, do not count.
    ///
    /// # Errors
    /// [`PuzzleError::Line`] naming what is no cell.
    pub fn from_puzzle(text: &str, kind: Option<PuzzleKind>) -> Result<Self, PuzzleError> {
        let kind = kind.unwrap_or_else(|| match text.contains('#') {
            true => PuzzleKind::Maze,
            false => PuzzleKind::Sudoku,
        });
        let belongs = |c: &char| match kind {
            PuzzleKind::Sudoku => !c.is_whitespace(),
            PuzzleKind::Maze => !matches!(c, '\n' | '\r'),
        };
        let row = Row {
            line: 1,
            puzzle: text.chars().filter(belongs).collect(),
            answer: None,
        };
        read("the puzzle", &[row], Some(kind))
    }

    /// Puzzles of a file: a table with the columns `question` and, where known, `answer`, or a line
    /// `PUZZLE` or `PUZZLE,ANSWER` each.
    ///
    /// # Errors
    /// [`PuzzleError::Line`] naming `file` and the first line that is no puzzle like the others.
    pub fn from_text(
        file: &str,
        text: &str,
        kind: Option<PuzzleKind>,
    ) -> Result<Self, PuzzleError> {
        let text = text.trim_start_matches('\u{feff}');
        let mut lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.is_empty());
        let head = lines.clone().next().map(|(_, line)| fields(line));
        let column = |name: &str| {
            let names = head.as_ref()?;
            names.iter().position(|field| field.trim() == name)
        };
        let (puzzles, answers) = match column("question") {
            Some(puzzles) => {
                lines.next();
                (puzzles, column("answer"))
            }
            None => (0, Some(1)),
        };
        let rows: Result<Vec<Row>, PuzzleError> = lines
            .map(|(index, line)| {
                let mut fields = fields(line);
                let count = fields.len();
                let answer = answers
                    .and_then(|at| fields.get_mut(at))
                    .map(std::mem::take);
                let puzzle = fields.get_mut(puzzles).map(std::mem::take);
                let row = |puzzle| Row {
                    line: index + 1,
                    puzzle,
                    answer: answer.filter(|text| !text.is_empty()),
                };
                puzzle.map(row).ok_or_else(|| PuzzleError::Line {
                    file: file.to_string(),
                    line: index + 1,
                    expected: format!("at least {} fields", puzzles + 1),
                    found: count.to_string(),
                })
            })
            .collect();
        read(file, &rows?, kind)
    }
}

/// The fields of a line of comma-separated values; quoted ones may hold commas (RFC 4180).
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = characters.next() {
        let Some(field) = fields.last_mut() else {
            break;
        };
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    fields
}

fn read(file: &str, rows: &[Row], kind: Option<PuzzleKind>) -> Result<PuzzleSet, PuzzleError> {
    let wrong = |line: usize, expected: String, found: String| PuzzleError::Line {
        file: file.to_string(),
        line,
        expected,
        found,
    };
    let Some(first) = rows.first() else {
        return Err(wrong(1, "a puzzle".into(), "none".into()));
    };
    let kind = kind.unwrap_or_else(|| Board::kind_of_text(&first.puzzle));
    let cells = first.puzzle.chars().count();
    let board = Board::of_cells(kind, cells).ok_or_else(|| {
        let expected = "a square of cells, such as 81 or 900 of them".to_string();
        wrong(first.line, expected, format!("{cells} characters"))
    })?;
    let mut set = PuzzleSet {
        seq_len: cells,
        vocab_size: Some(board.vocab_size()),
        board: Some(board),
        puzzles: vec![0; rows.len()],
        ..PuzzleSet::default()
    };
    let labelled = rows.iter().filter(|row| row.answer.is_some()).count();
    if let Some(row) = rows.iter().find(|row| labelled > 0 && row.answer.is_none()) {
        return Err(wrong(
            row.line,
            "an answer, as in other lines".into(),
            "none".into(),
        ));
    }
    let tokens = |what: &str, line: usize, text: &str| -> Result<Vec<u32>, PuzzleError> {
        let found = text.chars().count();
        if found != cells {
            let expected = format!("{what} of {cells} cells");
            return Err(wrong(line, expected, format!("{found} characters")));
        }
        let cell = |(at, c): (usize, char)| {
            board.token(c).ok_or_else(|| {
                let expected = format!("{what} whose cells are {}", board.signs());
                wrong(line, expected, format!("{c:?} at cell {at}"))
            })
        };
        text.chars().enumerate().map(cell).collect()
    };
    let mut labels = Vec::new();
    for row in rows {
        set.inputs
            .extend(tokens("a puzzle", row.line, &row.puzzle)?);
        let Some(answer) = &row.answer else { continue };
        let answer = tokens("an answer", row.line, answer)?;
        let blank = answer.iter().position(|&token| token == 1);
        if let Some(at) = blank.filter(|_| kind == PuzzleKind::Sudoku) {
            let expected = "an answer without blanks".to_string();
            return Err(wrong(row.line, expected, format!("a blank at cell {at}")));
        }
        labels.extend(answer.into_iter().map(|token| token as i32));
    }
    set.labels = (labelled > 0).then_some(labels);
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lines_say_the_same() {
        let table = "source,question,answer,rating\n\"a,\"\"b\",12..34..,1\n";
        // A row of eight cells is no square.
        assert!(PuzzleSet::from_text("t.csv", table, None).is_err());
        let table =
            "source,question,answer,rating\n\"a,\"\"b\",1..4............,1234341221434321,3\n";
        let lines = "1004000000000000,1234341221434321\n";
        let from_table = PuzzleSet::from_text("t.csv", table, None).unwrap();
        assert_eq!(
            PuzzleSet::from_text("t.txt", lines, None).unwrap(),
            from_table
        );
        assert_eq!((from_table.count(), from_table.seq_len), (1, 16));
        assert_eq!(from_table.inputs[..4], [2, 1, 1, 5]);
        assert_eq!(from_table.labels.as_ref().unwrap()[..4], [2, 3, 4, 5]);
        let one = PuzzleSet::from_puzzle("1..4\n....\n....\n....", None).unwrap();
        assert_eq!((one.inputs, one.labels), (from_table.inputs, None));
    }

    #[test]
    fn mazes_keep_their_floors() {
        let one = PuzzleSet::from_puzzle("###\nS G\n###\n", None).unwrap();
        assert_eq!(one.inputs, [1, 1, 1, 3, 2, 4, 1, 1, 1]);
        let lines = PuzzleSet::from_text("m.csv", "question,answer\n###S G###,###SoG###\n", None);
        assert_eq!(lines.unwrap().labels.unwrap(), [1, 1, 1, 3, 5, 4, 1, 1, 1]);
    }

    #[test]
    fn what_is_no_puzzle_is_named_by_line() {
        for (text, line, words) in [
            ("", 1, "a puzzle"),
            ("12345\n", 1, "a square of cells"),
            (
                "1..4............\n1..4\n",
                2,
                "16 cells, found 4 characters",
            ),
            ("1..4............\n1..5............\n", 2, "'5' at cell 3"),
            (
                "1..4............,1234341221434321\n1..4............\n",
                2,
                "an answer, as in other",
            ),
            (
                "1..4............,123434122143432.\n",
                1,
                "a blank at cell 15",
            ),
            ("1..4............,12343\n", 1, "an answer of 16 cells"),
            ("source,question\na\n", 2, "at least 2 fields"),
        ] {
            let error = PuzzleSet::from_text("p.txt", text, None)
                .unwrap_err()
                .to_string();
            let start = format!("p.txt: line {line}: ");
            assert!(
                error.starts_with(&start) && error.contains(words),
                "{error}"
            );
        }
        let error = PuzzleSet::from_puzzle("1x", Some(PuzzleKind::Maze)).unwrap_err();
        assert!(error.to_string().contains("square"));
    }
}
