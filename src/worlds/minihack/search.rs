//! Breadth-first search with a fixed neighbour order, shared by distance, oracle and walks.

use std::collections::VecDeque;

use super::{COMPASS, Cell, Grid};

/// A cell the search reached.
pub(super) struct Reached {
    pub cell: Cell,
    /// Moves from the start.
    pub depth: u32,
    /// Position in the order of the cell it was reached from; the start points at itself.
    pub parent: usize,
    /// Compass index of the first move of the path; `None` for the start.
    pub first_move: Option<usize>,
}

/// The cells in the order in which the queue released them, and whether the last one is the goal.
pub(super) struct Search {
    pub order: Vec<Reached>,
    pub found: bool,
}

impl Search {
    /// The goal, when the search met one.
    pub fn goal(&self) -> Option<&Reached> {
        self.order.last().filter(|_| self.found)
    }

    /// The cells from the start to the goal, both included.
    pub fn path(&self) -> Option<Vec<Cell>> {
        let mut at = self.goal()?;
        let mut cells = vec![at.cell];
        while at.depth > 0 {
            at = self.order.get(at.parent)?;
            cells.push(at.cell);
        }
        cells.reverse();
        Some(cells)
    }
}

/// Searches from `start` with the first `moves` compass moves, tried in order at every cell, until
/// the queue releases a goal. First discovery wins.
pub(super) fn breadth_first<T: Copy>(
    grid: &Grid<'_, T>,
    start: Cell,
    moves: usize,
    enterable: impl Fn(Cell, Cell) -> bool,
    is_goal: impl Fn(Cell) -> bool,
) -> Search {
    let mut seen = vec![false; grid.cells().len()];
    let mut order = Vec::new();
    let mut queue = VecDeque::new();
    let mut discover = |cell: Cell| {
        let index = cell.row * grid.cols() + cell.col;
        seen.get_mut(index)
            .is_some_and(|flag| !std::mem::replace(flag, true))
    };
    if grid.get(start).is_some() && discover(start) {
        queue.push_back(Reached {
            cell: start,
            depth: 0,
            parent: 0,
            first_move: None,
        });
    }
    while let Some(reached) = queue.pop_front() {
        let Reached {
            cell,
            depth,
            first_move,
            ..
        } = reached;
        let parent = order.len();
        order.push(reached);
        if is_goal(cell) {
            return Search { order, found: true };
        }
        for (index, &offset) in COMPASS.iter().enumerate().take(moves) {
            let next = grid
                .neighbour(cell, offset)
                .filter(|&next| enterable(cell, next));
            if let Some(next) = next.filter(|&next| discover(next)) {
                queue.push_back(Reached {
                    cell: next,
                    depth: depth + 1,
                    parent,
                    first_move: first_move.or(Some(index)),
                });
            }
        }
    }
    Search {
        order,
        found: false,
    }
}
