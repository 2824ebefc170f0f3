//! Walks on recorded maps.

mod goldens;

use attractor::worlds::minihack::{
    Cell, Grid, MAP_COLS, MAP_ROWS, OracleMove, WalkMap, agent_cell, oracle_move,
};
use goldens::Goldens;

const MAP: usize = MAP_ROWS * MAP_COLS;

fn map<T: Copy>(cells: &[T]) -> Grid<'_, T> {
    Grid::new(cells, MAP_ROWS, MAP_COLS).unwrap()
}

#[test]
fn agents_stand_only_where_walks_may_go() {
    let goldens = Goldens::open("env_oracle.safetensors");
    let (chars, glyphs) = (goldens.u8("real.chars"), goldens.i16("real.glyphs"));
    let env = goldens.i32("real.env");
    let mut entered = 0;
    for index in 1..env.len() {
        if env[index] != env[index - 1] {
            continue;
        }
        let before = (index - 1) * MAP..index * MAP;
        let (old, old_glyphs) = (map(&chars[before.clone()]), map(&glyphs[before]));
        let now = agent_cell(&map(&chars[index * MAP..(index + 1) * MAP])).unwrap();
        // Unseen ground and other episodes' maps say nothing about the rule.
        if matches!(old.get(now), None | Some(b' ' | b'@')) {
            continue;
        }
        let walk_map = WalkMap::from_observation(&old, &old_glyphs).unwrap();
        let start = agent_cell(&old).unwrap();
        let path = walk_map.shortest_path(start, now);
        assert!(
            path.is_some(),
            "observation {index}: the recorded agent got there"
        );
        entered += 1;
    }
    assert!(entered > 40, "{entered}");
}

#[test]
fn oracle_walks_of_lit_rooms_take_the_breadth_first_distance() {
    let goldens = Goldens::open("env_oracle.safetensors");
    let chars = goldens.u8("real.chars");
    let distances = goldens.i32("real.bfs_dist");
    let mut walked = 0;
    for (chars, &distance) in chars.chunks(MAP).zip(&distances) {
        if distance < 1 {
            continue;
        }
        let chars = map(chars);
        let stairs = chars.find(|character| character == b'>');
        let start = agent_cell(&chars).unwrap();
        let walk_map = WalkMap::from_chars(&chars);
        // Redraw the map after each of the oracle's decisions and let it decide again.
        let mut drawn = chars.cells().to_vec();
        let mut cell = start;
        let mut plan = Vec::new();
        while Some(cell) != stairs && plan.len() < 100 {
            let OracleMove::Action(action) = oracle_move(&map(&drawn)) else {
                panic!("the staircase is in sight");
            };
            plan.push(i32::from(action));
            drawn[cell.row * MAP_COLS + cell.col] = b'.';
            let step = walk_map.walk(cell, stairs, [i32::from(action)], 8).unwrap();
            cell = *step.path.last().unwrap();
            drawn[cell.row * MAP_COLS + cell.col] = b'@';
        }
        let walk = walk_map.walk(start, stairs, plan, 8).unwrap();
        assert!(walk.reached && walk.blocked == 0);
        assert_eq!(walk.steps as i32, distance);
        let shortest = walk_map.shortest_path(start, stairs.unwrap()).unwrap();
        let goal = stairs.unwrap();
        let (rows, cols) = (start.row.abs_diff(goal.row), start.col.abs_diff(goal.col));
        assert!(shortest.len() > rows.max(cols) && shortest.len() <= walk.steps + 1);
        walked += 1;
    }
    assert!(walked > 20, "{walked}");
}

#[test]
fn walks_meet_walls_doors_and_the_edge() {
    // Row 1: a closed door at column 3; row 2: an open door (drawn as a wall) at column 3.
    let chars = b"-------|@.+.>||..|..|-------";
    let mut glyphs = [2378_i16; 28];
    let door = 2 * 7 + 3;
    glyphs[door] = 2372;
    let chars = Grid::new(&chars[..], 4, 7).unwrap();
    let glyph_map = Grid::new(&glyphs[..], 4, 7).unwrap();
    let start = agent_cell(&chars).unwrap();
    let stairs = chars.find(|character| character == b'>').unwrap();
    let blind = WalkMap::from_chars(&chars);
    assert_eq!(blind.shortest_path(start, stairs), None);
    let seeing = WalkMap::from_observation(&chars, &glyph_map).unwrap();
    let path = seeing.shortest_path(start, stairs).unwrap();
    let at = |row, col| Cell { row, col };
    assert_eq!(path, [at(1, 1), at(2, 2), at(2, 3), at(2, 4), at(1, 5)]);

    // North and west are walls, 10 is no move, south-east of the second cell is the open door.
    let walk = seeing.walk(
        start,
        Some(stairs),
        [0, 3, 10, 1, 5, 2, 1, 4, 1, 4, 6, 6],
        11,
    );
    let walk = walk.unwrap();
    assert_eq!((walk.reached, walk.steps, walk.blocked), (true, 10, 5));
    let cells = [at(1, 1), at(1, 2), at(2, 2), at(2, 3), at(2, 4), at(1, 5)];
    assert_eq!(walk.path, cells);

    let there = seeing.walk(stairs, Some(stairs), [0, 1], 8).unwrap();
    assert_eq!((there.reached, there.steps), (true, 0));
    assert!(seeing.walk(start, None, [-1], 8).is_err());
    assert!(WalkMap::from_observation(&chars, &Grid::new(&glyphs[..27], 3, 9).unwrap()).is_err());
}

#[test]
fn random_walks_are_uniform_and_stay_on_the_map() {
    let chars = [b'.'; 25];
    let room = WalkMap::from_chars(&Grid::new(&chars, 5, 5).unwrap());
    let centre = Cell { row: 2, col: 2 };
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 32) as u32
    };
    let mut counts = [0_usize; 9];
    for _ in 0..8000 {
        let walk = room.random_walk(centre, None, 1, &mut next);
        let to = *walk.path.last().unwrap();
        counts[(to.row - 1) * 3 + to.col - 1] += 1;
    }
    assert_eq!(counts[4], 0);
    // Seven degrees of freedom: 24.3 is the 0.1 % point.
    let square: f64 = (counts.iter().enumerate())
        .filter(|&(cell, _)| cell != 4)
        .map(|(_, &count)| (count as f64 - 1000.0).powi(2) / 1000.0)
        .sum();
    assert!(square < 24.3, "{counts:?}");
    let walk = room.random_walk(centre, Some(Cell { row: 0, col: 0 }), 10_000, &mut next);
    assert!(walk.reached && walk.path.len() == walk.steps - walk.blocked + 1);
    assert_eq!(room.random_walk(centre, None, 300, &mut next).steps, 300);
}
