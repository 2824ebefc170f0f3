//! The maze as something that is acted in.

use super::{Action, Layout, Position};

/// An agent in a maze.
#[derive(Debug, Clone)]
pub struct MazeEnvironment<'a> {
    layout: &'a Layout,
    at: Position,
    last_move: [i32; 2],
}

impl<'a> MazeEnvironment<'a> {
    /// An agent at the start.
    pub fn new(layout: &'a Layout) -> Self {
        Self {
            layout,
            at: layout.start(),
            last_move: [0, 0],
        }
    }

    /// Back to the start; nothing is remembered.
    pub fn reset(&mut self) -> Position {
        *self = Self::new(self.layout);
        self.at
    }

    /// Where the agent is.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Whether it is at the goal.
    pub fn succeeded(&self) -> bool {
        self.at == self.layout.goal()
    }

    /// Moves; a blocked move leaves the memory of the last that succeeded.
    pub fn step(&mut self, action: Action) -> Position {
        let next = self.layout.step(self.at, action);
        if next != self.at {
            self.last_move = [next.x - self.at.x, next.y - self.at.y];
            self.at = next;
        }
        self.at
    }

    /// A disturbance: undoes the displacement of the last move that succeeded, from wherever the agent is
    /// now, if the cell is free. The memory stays, so that a second one may go on.
    pub fn perturb(&mut self) -> Position {
        let [dx, dy] = self.last_move;
        let target = self.at.moved([-dx, -dy]);
        if self.layout.is_free(target) {
            self.at = target;
        }
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbance_undoes_the_last_move_that_succeeded() {
        let layout = Layout::parse("test", "...\nS.G").unwrap();
        let mut maze = MazeEnvironment::new(&layout);
        // Nothing to undo yet.
        assert_eq!(maze.perturb(), Position::new(0, 0));
        maze.step(Action::Right);
        maze.step(Action::Right);
        assert!(maze.succeeded());
        // Blocked: the memory is still the move to the right.
        maze.step(Action::Right);
        assert_eq!(maze.perturb(), Position::new(1, 0));
        assert!(!maze.succeeded());
        assert_eq!(maze.perturb(), Position::new(0, 0));
        // Off the grid: nothing happens.
        assert_eq!(maze.perturb(), Position::new(0, 0));
        maze.step(Action::Up);
        assert_eq!(maze.reset(), layout.start());
        assert_eq!(maze.perturb(), layout.start());
    }
}
