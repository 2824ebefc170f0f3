//! Walking a plan on a recorded map.

use super::search::breadth_first;
use super::{COMPASS, Cell, GlyphId, Grid, WorldError, resolve_action};

/// Glyphs of an open door seen edge-on; their characters look like walls.
const OPEN_DOORS: [i32; 2] = [2372, 2373];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    Blocked,
    Free,
    /// Enterable and leavable along rows and columns only.
    OpenDoor,
}

/// Where one can walk on a recorded observation.
///
/// Blank cells block, since the record does not show what is there; so do walls `-` `|`, water and
/// lava `}`, and closed doors `+` (the record does not say whether they are locked). All else is
/// free, doorways without a door included. Diagonal moves are free between free cells, also past
/// two corners, as for a lightly loaded hero, but not into or out of an open door. What moves or
/// is pushed (monsters, boulders) counts as free floor.
#[derive(Debug, Clone)]
pub struct WalkMap {
    ground: Vec<Ground>,
    rows: usize,
    cols: usize,
}

/// What came of walking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Whether the walk ended on the staircase.
    pub reached: bool,
    /// Actions performed, blocked ones included; the walk stops on the staircase.
    pub steps: usize,
    /// Actions that did not move the agent: into an obstacle, or not a move at all.
    pub blocked: usize,
    /// The start and every cell moved to, in order.
    pub path: Vec<Cell>,
}

impl WalkMap {
    /// Reads a map from characters alone; open doors look like walls then.
    pub fn from_chars(chars: &Grid<'_, u8>) -> Self {
        let ground = |&character: &u8| match character {
            b' ' | b'-' | b'|' | b'}' | b'+' => Ground::Blocked,
            _ => Ground::Free,
        };
        Self {
            ground: chars.cells().iter().map(ground).collect(),
            rows: chars.rows(),
            cols: chars.cols(),
        }
    }

    /// Reads a map from characters and glyphs, which tell open doors from walls.
    ///
    /// # Errors
    /// [`WorldError::Shape`] when the two differ in shape.
    pub fn from_observation<G: GlyphId>(
        chars: &Grid<'_, u8>,
        glyphs: &Grid<'_, G>,
    ) -> Result<Self, WorldError> {
        let expected = (chars.rows(), chars.cols());
        let found = (glyphs.rows(), glyphs.cols());
        if expected != found {
            return Err(WorldError::Shape {
                what: "glyphs beside characters",
                expected,
                found,
            });
        }
        let mut map = Self::from_chars(chars);
        for (ground, glyph) in map.ground.iter_mut().zip(glyphs.cells()) {
            if OPEN_DOORS.contains(&glyph.id()) {
                *ground = Ground::OpenDoor;
            }
        }
        Ok(map)
    }

    fn view(&self) -> Grid<'_, Ground> {
        Grid::trusted(&self.ground, self.rows, self.cols)
    }

    /// The cell a compass move leads to, `None` when something is in the way.
    fn enter(&self, from: Cell, offset: (isize, isize)) -> Option<Cell> {
        let next = self.view().neighbour(from, offset)?;
        self.allows(from, next).then_some(next)
    }

    fn allows(&self, from: Cell, next: Cell) -> bool {
        let map = self.view();
        let diagonal = from.row != next.row && from.col != next.col;
        let through_door = [from, next]
            .into_iter()
            .any(|cell| map.get(cell) == Some(Ground::OpenDoor));
        let free = map
            .get(next)
            .is_some_and(|ground| ground != Ground::Blocked);
        free && !(diagonal && through_door)
    }

    /// Performs `actions` (ids wrap at `action_count`; ids from 8 on are not moves) from `start`
    /// until they run out or the agent stands on `stairs`.
    ///
    /// # Errors
    /// [`WorldError::Action`] for a negative id or an environment without actions.
    pub fn walk(
        &self,
        start: Cell,
        stairs: Option<Cell>,
        actions: impl IntoIterator<Item = i32>,
        action_count: usize,
    ) -> Result<Walk, WorldError> {
        let resolved: Result<Vec<usize>, WorldError> = actions
            .into_iter()
            .map(|action| resolve_action(action, action_count))
            .collect();
        Ok(self.perform(start, stairs, resolved?))
    }

    fn perform(
        &self,
        start: Cell,
        stairs: Option<Cell>,
        actions: impl IntoIterator<Item = usize>,
    ) -> Walk {
        let mut walk = Walk {
            reached: stairs == Some(start),
            steps: 0,
            blocked: 0,
            path: vec![start],
        };
        let mut cell = start;
        let mut actions = actions.into_iter();
        while !walk.reached {
            let Some(action) = actions.next() else {
                break;
            };
            let target = COMPASS
                .get(action)
                .and_then(|&offset| self.enter(cell, offset));
            walk.steps += 1;
            match target {
                Some(target) => {
                    cell = target;
                    walk.path.push(target);
                    walk.reached = stairs == Some(target);
                }
                None => walk.blocked += 1,
            }
        }
        walk
    }

    /// A walk of at most `limit` uniform compass moves under the same rules. `next` gives uniform
    /// 32-bit numbers, of which the top three bits are the move.
    pub fn random_walk(
        &self,
        start: Cell,
        stairs: Option<Cell>,
        limit: usize,
        mut next: impl FnMut() -> u32,
    ) -> Walk {
        let moves = std::iter::repeat_with(|| (next() >> 29) as usize).take(limit);
        self.perform(start, stairs, moves)
    }

    /// The cells of a shortest path under the same rules, both ends included; its length in moves is
    /// one less. `None` when the map shows no way.
    pub fn shortest_path(&self, start: Cell, stairs: Cell) -> Option<Vec<Cell>> {
        let allowed = |from, next| self.allows(from, next);
        let search = breadth_first(&self.view(), start, COMPASS.len(), allowed, |cell| {
            cell == stairs
        });
        search.path()
    }
}
