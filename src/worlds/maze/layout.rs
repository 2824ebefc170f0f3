//! Layouts: walls, start, goal, and the moves between cells.

use super::MazeError;
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;

/// A cell of the grid, or a place beside it: `x` to the right, `y` upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Column, from the left.
    pub x: i32,
    /// Row, from the bottom.
    pub y: i32,
}

impl Position {
    /// The position `(x, y)`.
    pub fn new(x: i32, y: i32) -> Self {
        Self { x, y }
    }

    /// `|dx| + |dy|`.
    pub fn manhattan(self, other: Self) -> u32 {
        let axis = |a: i32, b: i32| a.abs_diff(b);
        axis(self.x, other.x).saturating_add(axis(self.y, other.y))
    }

    /// This position moved by `(dx, dy)`.
    #[must_use]
    pub fn moved(self, [dx, dy]: [i32; 2]) -> Self {
        Self::new(self.x.saturating_add(dx), self.y.saturating_add(dy))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.x, self.y)
    }
}

/// A move; the order of the variants is that of the indices 0 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// `y` grows.
    Up,
    /// `y` falls.
    Down,
    /// `x` falls.
    Left,
    /// `x` grows.
    Right,
}

impl Action {
    /// All of them by index.
    pub const ALL: [Self; 4] = [Self::Up, Self::Down, Self::Left, Self::Right];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The action of an index.
    ///
    /// # Errors
    /// [`MazeError::Action`] for an index that none has.
    pub fn of_index(index: usize) -> Result<Self, MazeError> {
        let action = Self::ALL.get(index).copied();
        action.ok_or_else(|| MazeError::Action {
            found: index.to_string(),
        })
    }

    /// Its index.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    /// `(dx, dy)` where nothing is in the way.
    pub fn delta(self) -> [i32; 2] {
        match self {
            Self::Up => [0, 1],
            Self::Down => [0, -1],
            Self::Left => [-1, 0],
            Self::Right => [1, 0],
        }
    }
}

impl std::str::FromStr for Action {
    type Err = MazeError;

    fn from_str(text: &str) -> Result<Self, MazeError> {
        let named = Self::ALL.into_iter().find(|action| action.name() == text);
        named.ok_or_else(|| MazeError::Action {
            found: format!("{text:?}"),
        })
    }
}

/// A state, an action, and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// State.
    pub state: Position,
    /// Action.
    pub action: Action,
    /// Next state.
    pub next: Position,
}

/// A maze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    rows: Vec<String>,
    width: usize,
    /// Whether a cell is a wall, `[width, height]`.
    walls: Vec<bool>,
    start: Position,
    goal: Position,
}

/// Rows of the maze of the published study, the highest first.
const PUBLISHED: [&str; 7] = [
    "#######", "#S#...#", "#.#.#.#", "#.#.#.#", "#...#.#", "#.###G#", "#######",
];

/// Cells along each side at most.
const LARGEST: usize = 512;

impl Layout {
    /// The maze of the published study, 7 x 7.
    ///
    /// # Errors
    /// None; the type is that of every layout.
    pub fn published() -> Result<Self, MazeError> {
        Self::parse("the published layout", &PUBLISHED.join("\n"))
    }

    /// Reads rows of equal width, the highest `y` first: `#` wall, `S` start, `G` goal, `.` free.
    ///
    /// # Errors
    /// [`MazeError::Layout`] naming `file` and the row that is wrong; [`MazeError::Unreachable`] where no
    /// way leads from start to goal.
    pub fn parse(file: &str, text: &str) -> Result<Self, MazeError> {
        let wrong = |what: String, expected: &str, found: String| MazeError::Layout {
            file: file.to_string(),
            what,
            expected: expected.to_string(),
            found,
        };
        let rows: Vec<String> = text.lines().map(|row| row.trim_end().to_string()).collect();
        let width = rows.first().map_or(0, |row| row.chars().count());
        let height = rows.len();
        if width == 0 || width > LARGEST || height > LARGEST {
            let expected = format!("1 to {LARGEST} rows and columns");
            let found = format!("{height} rows of {width} columns");
            return Err(wrong("size".into(), &expected, found));
        }
        let mut walls = vec![false; width * height];
        let (mut start, mut goal) = (None, None);
        for (index, row) in rows.iter().enumerate() {
            let found = row.chars().count();
            if found != width {
                let expected = format!("{width} columns, as in row 1");
                return Err(wrong(
                    format!("row {}", index + 1),
                    &expected,
                    found.to_string(),
                ));
            }
            let y = height - 1 - index;
            for (x, cell) in row.chars().enumerate() {
                let here = Position::new(x as i32, y as i32);
                let mark = match cell {
                    '#' => {
                        if let Some(wall) = walls.get_mut(x * height + y) {
                            *wall = true;
                        }
                        continue;
                    }
                    '.' => continue,
                    'S' => &mut start,
                    'G' => &mut goal,
                    other => {
                        let what = format!("row {}, column {}", index + 1, x + 1);
                        return Err(wrong(what, "one of # S G .", format!("{other:?}")));
                    }
                };
                if let Some(first) = mark.replace(here) {
                    let found = format!("another at {first} and {here}");
                    return Err(wrong(format!("{cell}"), "exactly one", found));
                }
            }
        }
        let (Some(start), Some(goal)) = (start, goal) else {
            let missing = if start.is_none() { "S" } else { "G" };
            return Err(wrong(missing.into(), "exactly one", "none".into()));
        };
        let layout = Self {
            rows,
            width,
            walls,
            start,
            goal,
        };
        if layout
            .distances()
            .get(layout.index(start))
            .is_none_or(Option::is_none)
        {
            return Err(MazeError::Unreachable {
                file: file.to_string(),
                start,
                goal,
            });
        }
        Ok(layout)
    }

    /// Rows as they were read.
    pub fn rows(&self) -> &[String] {
        &self.rows
    }

    /// Columns W.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows H.
    pub fn height(&self) -> usize {
        self.rows.len()
    }

    /// Where episodes begin.
    pub fn start(&self) -> Position {
        self.start
    }

    /// Where they succeed.
    pub fn goal(&self) -> Position {
        self.goal
    }

    fn index(&self, at: Position) -> usize {
        at.x as usize * self.height() + at.y as usize
    }

    /// Whether a position is a cell of the grid and no wall.
    pub fn is_free(&self, at: Position) -> bool {
        let inside = |value: i32, size: usize| value >= 0 && (value as usize) < size;
        inside(at.x, self.width)
            && inside(at.y, self.height())
            && self.walls.get(self.index(at)) == Some(&false)
    }

    /// The pure transition `T(s, a)`: one cell on, or `s` itself where a wall or the edge is in the way.
    /// Whether `s` is a free cell is not asked.
    pub fn step(&self, from: Position, action: Action) -> Position {
        let candidate = from.moved(action.delta());
        if self.is_free(candidate) {
            candidate
        } else {
            from
        }
    }

    fn cells(&self) -> impl Iterator<Item = Position> + '_ {
        let columns = 0..self.width as i32;
        columns.flat_map(|x| (0..self.height() as i32).map(move |y| Position::new(x, y)))
    }

    /// Walls, sorted by x, then y.
    pub fn walls(&self) -> Vec<Position> {
        self.cells().filter(|at| !self.is_free(*at)).collect()
    }

    /// Free cells, sorted by x, then y.
    pub fn free(&self) -> Vec<Position> {
        self.cells().filter(|at| self.is_free(*at)).collect()
    }

    /// Every move from every free cell: cells as in [`Layout::free`], then actions by index.
    pub fn transitions(&self) -> Vec<Transition> {
        let of_state = |state: Position| {
            Action::ALL.map(|action| Transition {
                state,
                action,
                next: self.step(state, action),
            })
        };
        self.free().into_iter().flat_map(of_state).collect()
    }

    /// Fewest moves to the goal from each cell `[width, height]`; none from walls and cells without a way.
    fn distances(&self) -> Vec<Option<u32>> {
        let mut distances = vec![None; self.walls.len()];
        let mut ahead = VecDeque::from([(self.goal, 0)]);
        while let Some((at, moves)) = ahead.pop_front() {
            let Some(place) = distances.get_mut(self.index(at)) else {
                continue;
            };
            if place.is_some() {
                continue;
            }
            *place = Some(moves);
            // Moves go both ways, so the way from the goal is a way to it.
            let neighbours = Action::ALL.map(|action| self.step(at, action));
            ahead.extend(neighbours.into_iter().map(|next| (next, moves + 1)));
        }
        distances
    }

    /// Fewest moves from each free cell to the goal; none where there is no way.
    pub fn distances_to_goal(&self) -> Vec<(Position, Option<u32>)> {
        let distances = self.distances();
        let of = |at| distances.get(self.index(at)).copied().flatten();
        self.free().into_iter().map(|at| (at, of(at))).collect()
    }

    /// A shortest way from the start to the goal: at every cell the first action that comes nearer.
    pub fn shortest_path(&self) -> Vec<Action> {
        let distances = self.distances();
        let of = |at| distances.get(self.index(at)).copied().flatten();
        let mut path = Vec::new();
        let mut at = self.start;
        while let Some(moves) = of(at).filter(|moves| *moves > 0) {
            let nearer = |action: &Action| of(self.step(at, *action)).is_some_and(|d| d < moves);
            let Some(action) = Action::ALL.into_iter().find(nearer) else {
                break;
            };
            path.push(action);
            at = self.step(at, action);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rows: &[&str]) -> Result<Layout, MazeError> {
        Layout::parse("test", &rows.join("\n"))
    }

    #[test]
    fn the_published_maze() {
        let maze = Layout::published().unwrap();
        assert_eq!((maze.width(), maze.height()), (7, 7));
        assert_eq!(maze.start(), Position::new(1, 5));
        assert_eq!(maze.goal(), Position::new(5, 1));
        assert_eq!((maze.free().len(), maze.transitions().len()), (16, 64));
        let path = maze.shortest_path();
        assert_eq!(path.len(), 14);
        let end = path.iter().fold(maze.start(), |at, a| maze.step(at, *a));
        assert_eq!(end, maze.goal());
    }

    #[test]
    fn moves_stop_at_walls_and_edges_from_anywhere() {
        let maze = parse(&["S.", ".G"]).unwrap();
        let at = |x, y| Position::new(x, y);
        assert_eq!(maze.step(at(0, 1), Action::Up), at(0, 1));
        assert_eq!(maze.step(at(0, 1), Action::Right), at(1, 1));
        // Not a cell at all, but next to one.
        assert_eq!(maze.step(at(-1, 0), Action::Right), at(0, 0));
        assert_eq!(maze.step(at(-1, 0), Action::Left), at(-1, 0));
        let far = at(i32::MAX, i32::MIN);
        assert_eq!(maze.step(far, Action::Right), far);
        assert_eq!(far.manhattan(at(i32::MIN, i32::MAX)), u32::MAX);
    }

    #[test]
    fn broken_layouts_name_what_is_wrong() {
        for (rows, said) in [
            (
                &[][..],
                "test: size: expected 1 to 512 rows and columns, found 0 rows",
            ),
            (
                &["SG", "."],
                "row 2: expected 2 columns, as in row 1, found 1",
            ),
            (
                &["S?G"],
                "row 1, column 2: expected one of # S G ., found '?'",
            ),
            (&["S.."], "G: expected exactly one, found none"),
            (&["..G"], "S: expected exactly one, found none"),
            (
                &["SSG"],
                "S: expected exactly one, found another at (0, 0) and (1, 0)",
            ),
            (
                &["S#G"],
                "expected a way from S at (0, 0) to G at (2, 0), found none",
            ),
        ] {
            let error = parse(rows).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(
            "jump"
                .parse::<Action>()
                .unwrap_err()
                .to_string()
                .contains("\"jump\"")
        );
        assert_eq!(Action::of_index(2).unwrap(), Action::Left);
        assert!(Action::of_index(4).is_err());
    }
}
