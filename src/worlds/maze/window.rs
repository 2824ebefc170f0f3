//! Dynamics as tables over a window of states.

use super::{Action, Layout, Position};
use attractor_kernels::maze_rollout::NOWHERE;

/// A rectangle of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Lower left corner.
    pub low: Position,
    /// Positions from left to right.
    pub width: usize,
    /// Positions from bottom to top.
    pub height: usize,
}

impl Window {
    /// The grid of a layout with `margin` positions on every side.
    pub fn around(layout: &Layout, margin: i32) -> Self {
        let margin = margin.max(0);
        let both = 2 * margin as usize;
        Self {
            low: Position::new(-margin, -margin),
            width: layout.width() + both,
            height: layout.height() + both,
        }
    }

    /// Positions.
    pub fn len(&self) -> usize {
        self.width * self.height
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Place of a position in tables `[width, height]`; none outside.
    pub fn index(&self, at: Position) -> Option<usize> {
        let axis = |value: i32, low: i32, size: usize| {
            let offset = usize::try_from(i64::from(value) - i64::from(low)).ok();
            offset.filter(|offset| *offset < size)
        };
        let x = axis(at.x, self.low.x, self.width)?;
        let y = axis(at.y, self.low.y, self.height)?;
        Some(x * self.height + y)
    }

    /// All positions in the order of their places.
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        let from = |low: i32, count: usize| (0..count).map(move |i| low + i as i32);
        let columns = from(self.low.x, self.width);
        columns.flat_map(move |x| from(self.low.y, self.height).map(move |y| Position::new(x, y)))
    }
}

/// Where every action leads from every position of a window.
#[derive(Debug, Clone, PartialEq)]
pub struct TransitionTable {
    window: Window,
    /// Displacements `[width, height, actions]`.
    moves: Vec<[i32; 2]>,
}

impl TransitionTable {
    /// A table of displacements `[width, height, actions]`; those that are missing are zero.
    pub fn new(window: Window, mut moves: Vec<[i32; 2]>) -> Self {
        moves.resize(window.len() * Action::COUNT, [0, 0]);
        Self { window, moves }
    }

    /// The true dynamics.
    pub fn of_layout(layout: &Layout, window: Window) -> Self {
        let of = |at: Position| {
            Action::ALL.map(|action| {
                let next = layout.step(at, action);
                [next.x - at.x, next.y - at.y]
            })
        };
        Self {
            window,
            moves: window.positions().flat_map(of).collect(),
        }
    }

    /// The window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Where an action leads, which may be outside the window; none from outside it.
    pub fn step(&self, from: Position, action: Action) -> Option<Position> {
        let place = self.window.index(from)? * Action::COUNT + action.index();
        self.moves.get(place).map(|delta| from.moved(*delta))
    }

    /// Where a sequence of actions leads; none if it leaves the window before its last step.
    pub fn roll(&self, from: Position, actions: &[Action]) -> Option<Position> {
        let mut actions = actions.iter();
        actions.try_fold(from, |at, action| self.step(at, *action))
    }

    /// Next places `[width, height, actions]` as planners take them; [`NOWHERE`] outside the window.
    pub fn next_places(&self) -> Vec<u32> {
        let positions = self.window.positions();
        let moves = self.moves.chunks(Action::COUNT);
        let next = |at: Position, delta: &[i32; 2]| {
            let place = self.window.index(at.moved(*delta));
            place.map_or(NOWHERE, |place| place as u32)
        };
        let of = positions.zip(moves);
        of.flat_map(|(at, moves)| moves.iter().map(move |delta| next(at, delta)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_positions_agree() {
        let layout = Layout::parse("test", "S.#\n..G").unwrap();
        let window = Window::around(&layout, 2);
        assert_eq!((window.width, window.height), (7, 6));
        for (place, at) in window.positions().enumerate() {
            assert_eq!(window.index(at), Some(place));
        }
        for outside in [(-3, 0), (0, 4), (5, 0), (i32::MIN, i32::MAX)] {
            assert_eq!(window.index(Position::new(outside.0, outside.1)), None);
        }
        let table = TransitionTable::of_layout(&layout, window);
        let next = table.next_places();
        for at in window.positions() {
            for action in Action::ALL {
                let expected = layout.step(at, action);
                assert_eq!(table.step(at, action), Some(expected));
                let place = window.index(at).unwrap() * 4 + action.index();
                assert_eq!(next[place] as usize, window.index(expected).unwrap());
            }
        }
    }

    #[test]
    fn what_leaves_the_window_is_told() {
        let layout = Layout::parse("test", "SG").unwrap();
        let window = Window::around(&layout, 0);
        let table = TransitionTable::new(window, vec![[0, 1]; 8]);
        let start = layout.start();
        assert_eq!(table.roll(start, &[Action::Up]), Some(Position::new(0, 1)));
        assert_eq!(table.roll(start, &[Action::Up; 2]), None);
        assert_eq!(table.next_places(), [NOWHERE; 8]);
    }
}
