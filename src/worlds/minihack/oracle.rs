//! The breadth-first distance of the reward, and the scripted oracle the planner imitates.

use super::search::{Search, breadth_first};
use super::{COMPASS, Cell, Grid, agent_cell};

/// What the oracle answers to a door beside it. The original calls it a kick, but the id wraps to
/// North in corridors and to West in rooms (see [`resolve_action`](super::resolve_action)).
const DOOR_ACTION: u8 = 11;
const CARDINAL_MOVES: usize = 4;

/// A decision of the oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OracleMove {
    /// This action id.
    Action(u8),
    /// The rule falls through: one of the four cardinal moves, for the caller to draw.
    RandomCardinal,
}

fn blocked(character: u8) -> bool {
    matches!(character, b' ' | b'-' | b'|' | b'}')
}

/// Moves from the first `@` to the first `>` (both in row-major order) with the four cardinal moves,
/// where blanks, walls and `}` block and closed doors do not. `None` when either is not visible
/// (standing on the staircase hides it) or there is no such path.
pub fn bfs_distance(chars: &Grid<'_, u8>) -> Option<u32> {
    let stairs = chars.find(|character| character == b'>')?;
    let enterable = |next| chars.get(next).is_some_and(|character| !blocked(character));
    let search = breadth_first(
        chars,
        agent_cell(chars)?,
        CARDINAL_MOVES,
        |_, next| enterable(next),
        |cell| cell == stairs,
    );
    search.goal().map(|goal| goal.depth)
}

/// The original's scripted expert, a function of the visible characters alone:
/// a door beside the agent, else the first move towards a reachable `>`, else towards the nearest
/// cell beside a blank, else towards the farthest reachable cell, else random. Neighbours are tried
/// N, E, S, W; ties go to the cell discovered first.
pub fn oracle_move(chars: &Grid<'_, u8>) -> OracleMove {
    let Some(start) = agent_cell(chars) else {
        return OracleMove::RandomCardinal;
    };
    if has_neighbour(chars, start, b'+') {
        return OracleMove::Action(DOOR_ACTION);
    }
    let search = breadth_first(
        chars,
        start,
        CARDINAL_MOVES,
        |_, next| {
            chars
                .get(next)
                .is_some_and(|character| !blocked(character) && character != b'+')
        },
        |cell| chars.get(cell) == Some(b'>'),
    );
    match first_move(chars, &search) {
        Some(index) => OracleMove::Action(index as u8),
        None => OracleMove::RandomCardinal,
    }
}

fn first_move(chars: &Grid<'_, u8>, search: &Search) -> Option<usize> {
    if let Some(goal) = search.goal() {
        return goal.first_move;
    }
    let mut beyond_start = search.order.iter().skip(1);
    let frontier = beyond_start.find(|reached| has_neighbour(chars, reached.cell, b' '));
    if let Some(frontier) = frontier {
        return frontier.first_move;
    }
    let deepest = search.order.last()?.depth;
    let farthest = search.order.iter().find(|reached| reached.depth == deepest);
    farthest?.first_move
}

fn has_neighbour(chars: &Grid<'_, u8>, cell: Cell, wanted: u8) -> bool {
    COMPASS.iter().take(CARDINAL_MOVES).any(|&offset| {
        let neighbour = chars.neighbour(cell, offset);
        neighbour.and_then(|next| chars.get(next)) == Some(wanted)
    })
}
