//! The seven navigation tasks of the planner: actions, limits, evaluation seeds.

use super::WorldError;

/// Offsets `(rows down, columns right)` of the compass actions 0 to 7: N, E, S, W, NE, SE, SW, NW.
pub const COMPASS: [(isize, isize); 8] = [
    (-1, 0),
    (0, 1),
    (1, 0),
    (0, -1),
    (-1, 1),
    (1, 1),
    (1, -1),
    (-1, -1),
];

/// Steps after which the planner's rollouts are cut, whatever the task allows.
pub const PLANNER_STEP_LIMIT: u32 = 500;

/// One task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Environment {
    /// Registered name.
    pub id: &'static str,
    /// Actions: 8 compass moves, and in corridors 8 open, 9 kick, 10 search.
    pub actions: usize,
    /// Steps after which the task itself truncates an episode.
    pub step_limit: u32,
    /// Whether the planner is trained on it (in distribution).
    pub in_distribution: bool,
}

const fn task(id: &'static str, actions: usize, step_limit: u32, trained: bool) -> Environment {
    Environment {
        id,
        actions,
        step_limit,
        in_distribution: trained,
    }
}

/// The tasks in the order of the published tables: four in distribution, then three outside it.
pub const ENVIRONMENTS: [Environment; 7] = [
    task("MiniHack-Room-Random-5x5-v0", 8, 100, true),
    task("MiniHack-Room-Random-15x15-v0", 8, 300, true),
    task("MiniHack-Corridor-R2-v0", 11, 1000, true),
    task("MiniHack-MazeWalk-9x9-v0", 8, 200, true),
    task("MiniHack-Room-Dark-15x15-v0", 8, 300, false),
    task("MiniHack-Corridor-R5-v0", 11, 1000, false),
    task("MiniHack-MazeWalk-45x19-v0", 8, 1000, false),
];

/// Looks a task up by its registered name.
pub fn environment(id: &str) -> Option<&'static Environment> {
    ENVIRONMENTS.iter().find(|known| known.id == id)
}

/// The action an environment with `actions` actions performs when given a planner's id: ids beyond
/// the last action wrap around, so 11 is North in a corridor and West in a room.
///
/// # Errors
/// [`WorldError::Action`] for a negative id or an environment without actions.
pub fn resolve_action(action: i32, actions: usize) -> Result<usize, WorldError> {
    usize::try_from(action)
        .ok()
        .and_then(|id| id.checked_rem(actions))
        .ok_or(WorldError::Action { action, actions })
}

/// CRC-32 of the IEEE 802.3 polynomial, reflected (the `zlib` checksum).
pub fn crc32(bytes: &[u8]) -> u32 {
    let divide =
        |remainder: u32, _| (remainder >> 1) ^ (0xEDB8_8320 & (remainder & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |remainder, &byte| {
        (0..8).fold(remainder ^ u32::from(byte), divide)
    })
}

/// Seed of one evaluation episode: `(42 + crc32("{id}:{episode}")) mod 2^31`, the second recipe's
/// rule. The first recipe salted its seeds by process, so they cannot be reproduced.
pub fn evaluation_seed(id: &str, episode: u32) -> u32 {
    let label = format!("{id}:{episode}");
    let sum = 42 + u64::from(crc32(label.as_bytes()));
    (sum % (1 << 31)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_matches_the_catalogue_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn ids_beyond_the_last_action_wrap() {
        assert_eq!(resolve_action(11, 11), Ok(0));
        assert_eq!(resolve_action(11, 8), Ok(3));
        assert_eq!(resolve_action(7, 8), Ok(7));
        assert!(resolve_action(-1, 8).is_err());
        assert!(resolve_action(1, 0).is_err());
    }

    #[test]
    fn opposite_compass_actions_cancel() {
        for (forth, back) in [(0, 2), (1, 3), (4, 6), (5, 7)] {
            assert_eq!(COMPASS[forth].0, -COMPASS[back].0);
            assert_eq!(COMPASS[forth].1, -COMPASS[back].1);
        }
    }
}
