//! What the planner sees: the egocentric crop, the whole map, the staircase, nearby hazards.

use super::{COMPASS, Cell, Grid, WorldError};

/// Rows of a NetHack map.
pub const MAP_ROWS: usize = 21;
/// Columns of a NetHack map.
pub const MAP_COLS: usize = 79;
/// Value of crop cells outside the map (the PAD token's id, though as a glyph it is a monster).
pub const CROP_PAD: i16 = 13;
/// Number of glyph ids of NetHack 3.6; valid ids are below it.
pub const GLYPH_COUNT: i32 = 5976;

/// Glyph of the staircase down.
const STAIRS_DOWN: i32 = 2383;
/// The glyphs the original code calls a staircase: a monster, an object and a T-shaped wall, and
/// the staircase.
const ORIGINAL_STAIRCASE: [i32; 4] = [62, 2310, 2368, STAIRS_DOWN];
/// The glyphs the physics-aware option calls a hazard: blank, vertical wall, sink, fountain.
const HAZARD_GLYPHS: [i32; 4] = [2359, 2360, 2389, 2390];
/// The character codes it compares with glyph ids as well, where they mean monsters.
const HAZARD_CHARACTERS: [i32; 5] = [
    b'|' as i32,
    b'-' as i32,
    b'+' as i32,
    b'L' as i32,
    b'W' as i32,
];

/// Integer types in which glyph ids are stored.
pub trait GlyphId: Copy {
    /// The id itself.
    fn id(self) -> i32;
}

impl GlyphId for i16 {
    fn id(self) -> i32 {
        i32::from(self)
    }
}

impl GlyphId for i32 {
    fn id(self) -> i32 {
        self
    }
}

/// The agent: the first `@` in row-major order of the characters.
pub fn agent_cell(chars: &Grid<'_, u8>) -> Option<Cell> {
    chars.find(|character| character == b'@')
}

/// The `size` by `size` window of glyphs centred on `centre`, row-major, with `pad` outside the
/// map; all `pad` when there is no centre. The planner uses size 9 and [`CROP_PAD`].
pub fn local_crop<G: Copy>(
    glyphs: &Grid<'_, G>,
    centre: Option<Cell>,
    size: usize,
    pad: G,
) -> Vec<G> {
    let half = (size / 2) as isize;
    let at = |index: usize| {
        let down = (index / size) as isize - half;
        let right = (index % size) as isize - half;
        glyphs.get(centre?.offset((down, right))?)
    };
    (0..size * size)
        .map(|index| at(index).unwrap_or(pad))
        .collect()
}

/// The whole map as 16-bit ids, checked to lie within the embedding's range.
///
/// # Errors
/// [`WorldError::Glyph`] naming the first cell with an id outside `0..GLYPH_COUNT`.
pub fn global_map<G: GlyphId>(glyphs: &Grid<'_, G>) -> Result<Vec<i16>, WorldError> {
    let narrow = |(index, &glyph): (usize, &G)| {
        let id = glyph.id();
        i16::try_from(id)
            .ok()
            .filter(|_| (0..GLYPH_COUNT).contains(&id))
            .ok_or(WorldError::Glyph {
                row: index / glyphs.cols(),
                col: index % glyphs.cols(),
                max: GLYPH_COUNT - 1,
                found: id,
            })
    };
    glyphs.cells().iter().enumerate().map(narrow).collect()
}

/// Which glyphs count as the staircase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StaircaseGlyphs {
    /// Only the staircase down, 2383.
    #[default]
    Staircase,
    /// The original set {62, 2310, 2368, 2383}, which also holds a monster, an object and a wall.
    Original,
}

impl StaircaseGlyphs {
    /// Whether a glyph id belongs to the set.
    pub fn contains(self, id: i32) -> bool {
        match self {
            Self::Staircase => id == STAIRS_DOWN,
            Self::Original => ORIGINAL_STAIRCASE.contains(&id),
        }
    }
}

/// The first cell in row-major order that counts as the staircase.
pub fn staircase_cell<G: GlyphId>(glyphs: &Grid<'_, G>, set: StaircaseGlyphs) -> Option<Cell> {
    glyphs.find(|glyph| set.contains(glyph.id()))
}

/// The goal head's target: `(row / (rows - 1), column / (cols - 1))` of the staircase, both in
/// 0..=1; `None` when no staircase is visible.
pub fn staircase_target<G: GlyphId>(
    glyphs: &Grid<'_, G>,
    set: StaircaseGlyphs,
) -> Option<[f32; 2]> {
    let cell = staircase_cell(glyphs, set)?;
    let share = |index: usize, count: usize| index as f32 / count.saturating_sub(1).max(1) as f32;
    Some([
        share(cell.row, glyphs.rows()),
        share(cell.col, glyphs.cols()),
    ])
}

/// Whether moving N, E, S, W from the centre of a crop meets what the physics-aware sampler of the
/// original calls a hazard; a neighbour outside the crop is one.
pub fn hazards<G: GlyphId>(crop: &Grid<'_, G>) -> [bool; 4] {
    let centre = Cell {
        row: crop.rows() / 2,
        col: crop.cols() / 2,
    };
    let hazardous = |offset| {
        let glyph = crop
            .neighbour(centre, offset)
            .and_then(|cell| crop.get(cell));
        glyph.is_none_or(|glyph| {
            HAZARD_GLYPHS.contains(&glyph.id()) || HAZARD_CHARACTERS.contains(&glyph.id())
        })
    };
    let [north, east, south, west, ..] = COMPASS;
    [north, east, south, west].map(hazardous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crop_pads_outside_and_without_agent() {
        let glyphs: Vec<i16> = (0..6).collect();
        let map = Grid::new(&glyphs, 2, 3).unwrap();
        let corner = Some(Cell { row: 0, col: 0 });
        assert_eq!(
            local_crop(&map, corner, 3, -1),
            [-1, -1, -1, -1, 0, 1, -1, 3, 4]
        );
        assert_eq!(local_crop(&map, None, 3, -1), [-1; 9]);
    }

    #[test]
    fn map_refuses_ids_beyond_the_embedding() {
        let glyphs = [0, 5975, 5976, -1];
        let map = Grid::new(&glyphs[..2], 1, 2).unwrap();
        assert_eq!(global_map(&map), Ok(vec![0, 5975]));
        let map = Grid::new(&glyphs, 2, 2).unwrap();
        let error = global_map(&map).unwrap_err();
        assert_eq!(
            error,
            WorldError::Glyph {
                row: 1,
                col: 0,
                max: 5975,
                found: 5976
            }
        );
    }

    #[test]
    fn hazards_follow_the_compass_and_count_the_outside() {
        let mut crop = [2378_i16; 81];
        let open = |crop: &[i16]| hazards(&Grid::new(crop, 9, 9).unwrap());
        assert_eq!(open(&crop), [false; 4]);
        crop[3 * 9 + 4] = 2360;
        assert_eq!(open(&crop), [true, false, false, false]);
        crop[4 * 9 + 5] = 45;
        crop[5 * 9 + 4] = 2361;
        assert_eq!(open(&crop), [true, true, false, false]);
        crop[4 * 9 + 3] = CROP_PAD;
        assert_eq!(open(&crop), [true, true, false, false]);
        assert_eq!(hazards(&Grid::new(&[2378_i16], 1, 1).unwrap()), [true; 4]);
    }

    #[test]
    fn only_the_original_set_takes_a_wall_for_the_staircase() {
        let glyphs = [2378, 2368, 2383_i32];
        let map = Grid::new(&glyphs, 1, 3).unwrap();
        let column = |set| staircase_cell(&map, set).map(|cell| cell.col);
        assert_eq!(column(StaircaseGlyphs::Staircase), Some(2));
        assert_eq!(column(StaircaseGlyphs::Original), Some(1));
        assert_eq!(
            staircase_target(&map, StaircaseGlyphs::Staircase),
            Some([0.0, 1.0])
        );
    }
}
