//! A recorded dungeon with what a plan does in it, for a terminal and as a picture.

use super::html::escape;
use super::{Ink, Style};
use crate::worlds::minihack::{Cell, Grid};
use std::fmt::Write;

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Dungeon<'a> {
    /// Characters of the map.
    pub chars: Grid<'a, u8>,
    /// Staircase, if it is seen.
    pub stairs: Option<Cell>,
    /// Cells of the walk, the agent's own first.
    pub path: &'a [Cell],
    /// Cells of a shortest path, both ends included; empty if none is known.
    pub shortest: &'a [Cell],
}

/// Rows and columns that are drawn, ends excluded.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    top: usize,
    bottom: usize,
    left: usize,
    right: usize,
}

/// Side of a cell of a picture in its own units.
const CELL: usize = 10;

impl Dungeon<'_> {
    /// The smallest part of the map that holds everything, with nothing but blanks outside.
    fn bounds(&self) -> Bounds {
        let (rows, cols) = (self.chars.rows(), self.chars.cols());
        let all = (0..rows).flat_map(|row| (0..cols).map(move |col| Cell { row, col }));
        let seen = all.filter(|&cell| self.chars.get(cell).is_some_and(|c| c != b' '));
        let of_interest = seen.chain(self.path.iter().copied()).chain(self.stairs);
        let none = Bounds {
            top: rows,
            bottom: 0,
            left: cols,
            right: 0,
        };
        of_interest.fold(none, |b, cell| Bounds {
            top: b.top.min(cell.row),
            bottom: b.bottom.max(cell.row + 1),
            left: b.left.min(cell.col),
            right: b.right.max(cell.col + 1),
        })
    }

    /// Columns that are drawn.
    pub fn columns(&self) -> usize {
        let bounds = self.bounds();
        bounds.right.saturating_sub(bounds.left)
    }

    /// Lines for a terminal: the map, the walk over it, the agent `@` and the staircase `>`.
    pub fn to_text(&self, style: Style) -> String {
        let bounds = self.bounds();
        let mut text = String::new();
        for row in bounds.top..bounds.bottom {
            for col in bounds.left..bounds.right {
                text.push_str(&self.symbol(Cell { row, col }, style));
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    fn symbol(&self, cell: Cell, style: Style) -> String {
        let character = self.chars.get(cell).unwrap_or(b' ');
        if self.stairs == Some(cell) {
            return style.paint(Ink::Goal, ">");
        }
        if self.path.first() == Some(&cell) {
            return style.paint(Ink::Agent, "@");
        }
        if self.path.contains(&cell) {
            return style.paint(Ink::Plan, if style.unicode { "•" } else { "*" });
        }
        match character {
            b'-' | b'|' => style.paint(Ink::Wall, &char::from(character).to_string()),
            b'.' if style.unicode => style.paint(Ink::Wall, "·"),
            c if c.is_ascii_graphic() => char::from(c).to_string(),
            _ => " ".into(),
        }
    }

    /// A picture whose colours follow the page's (`--wall`, `--floor`, `--plan`, `--goal`, `--agent`,
    /// `--other`). `label` is read out in its place.
    pub fn to_svg(&self, label: &str) -> String {
        let bounds = self.bounds();
        let height = bounds.bottom.saturating_sub(bounds.top) * CELL;
        let width = bounds.right.saturating_sub(bounds.left) * CELL;
        // The whole picture is at least this wide, so that small rooms are not blown up.
        let room = 16 * CELL;
        let margin = room.saturating_sub(width) / 2;
        let mut svg = String::new();
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            svg,
            r#"<svg viewBox="-{margin} 0 {} {height}" role="img" aria-label="{}">"#,
            width + 2 * margin,
            escape(label)
        );
        self.draw_ground(&mut svg, bounds);
        let line = |cells: &[Cell]| -> String {
            let points: Vec<String> = cells
                .iter()
                .map(|&cell| {
                    let (x, y) = centre(bounds, cell);
                    format!("{x},{y}")
                })
                .collect();
            points.join(" ")
        };
        if self.shortest.len() > 1 {
            let _ = write!(
                svg,
                r#"<polyline points="{}" fill="none" stroke="var(--other)" stroke-width="1.2" stroke-dasharray="2 2"/>"#,
                line(self.shortest)
            );
        }
        if self.path.len() > 1 {
            let _ = write!(
                svg,
                r#"<polyline points="{}" fill="none" stroke="var(--plan)" stroke-width="2.2" stroke-linejoin="round" stroke-linecap="round"/>"#,
                line(self.path)
            );
        }
        self.draw_ends(&mut svg, bounds);
        svg.push_str("</svg>");
        svg
    }

    /// Walls and floor, cells of one kind side by side as one rectangle.
    fn draw_ground(&self, svg: &mut String, bounds: Bounds) {
        // Without it neighbouring rectangles show seams.
        svg.push_str(r#"<g shape-rendering="crispEdges">"#);
        for row in bounds.top..bounds.bottom {
            let y = (row - bounds.top) * CELL;
            let mut col = bounds.left;
            while col < bounds.right {
                let fill = self.fill(Cell { row, col });
                let same = (col..bounds.right)
                    .take_while(|&col| self.fill(Cell { row, col }) == fill)
                    .count();
                if let Some(fill) = fill {
                    let (x, width) = ((col - bounds.left) * CELL, same * CELL);
                    let _ = write!(
                        svg,
                        r#"<rect x="{x}" y="{y}" width="{width}" height="{CELL}" fill="var({fill})"/>"#
                    );
                }
                col += same;
            }
        }
        svg.push_str("</g>");
        self.draw_letters(svg, bounds);
    }

    /// Letters for what else is there: doors, things, creatures.
    fn draw_letters(&self, svg: &mut String, bounds: Bounds) {
        for row in bounds.top..bounds.bottom {
            let y = (row - bounds.top) * CELL;
            for col in bounds.left..bounds.right {
                let character = self.chars.get(Cell { row, col }).unwrap_or(b' ');
                if character.is_ascii_graphic() && !b".-|@>#".contains(&character) {
                    let _ = write!(
                        svg,
                        r#"<text x="{}" y="{}" font-size="7" text-anchor="middle" fill="currentColor" opacity=".6">{}</text>"#,
                        (col - bounds.left) * CELL + CELL / 2,
                        y + 8,
                        escape(&char::from(character).to_string())
                    );
                }
            }
        }
    }

    /// The colour of a cell; none for what was not seen.
    fn fill(&self, cell: Cell) -> Option<&'static str> {
        match self.chars.get(cell)? {
            b' ' => None,
            b'-' | b'|' => Some("--wall"),
            _ => Some("--floor"),
        }
    }

    fn draw_ends(&self, svg: &mut String, bounds: Bounds) {
        if let Some(stairs) = self.stairs {
            let (x, y) = centre(bounds, stairs);
            let _ = write!(
                svg,
                r#"<path d="M{} {}l4 3-4 3" fill="none" stroke="var(--goal)" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>"#,
                x - 2,
                y - 3
            );
        }
        if let Some(&agent) = self.path.first() {
            let (x, y) = centre(bounds, agent);
            let _ = write!(
                svg,
                r#"<circle cx="{x}" cy="{y}" r="3.2" fill="var(--agent)"/>"#
            );
        }
    }
}

/// Middle of a cell in the units of the picture.
fn centre(bounds: Bounds, cell: Cell) -> (usize, usize) {
    let middle = |index: usize, first: usize| index.saturating_sub(first) * CELL + CELL / 2;
    (middle(cell.col, bounds.left), middle(cell.row, bounds.top))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &[u8] = b"         -----    |@.>|    -----    ";

    fn room<'a>(path: &'a [Cell], shortest: &'a [Cell]) -> Dungeon<'a> {
        Dungeon {
            chars: Grid::new(MAP, 4, 9).unwrap(),
            stairs: Some(Cell { row: 2, col: 3 }),
            path,
            shortest,
        }
    }

    #[test]
    fn text_shows_the_room_alone() {
        let path = [Cell { row: 2, col: 1 }, Cell { row: 2, col: 2 }];
        let text = room(&path, &[]).to_text(Style::PLAIN);
        assert_eq!(text, "-----\n|@*>|\n-----\n");
        let colourful = Style {
            colour: true,
            unicode: true,
        };
        assert!(room(&path, &[]).to_text(colourful).contains("\x1b[36m•"));
    }

    #[test]
    fn pictures_are_cropped_and_hold_both_paths() {
        let path = [Cell { row: 2, col: 1 }, Cell { row: 2, col: 2 }];
        let svg = room(&path, &path).to_svg("a <room>");
        assert!(svg.contains("a &lt;room&gt;") && svg.matches("polyline").count() == 2);
        assert!(svg.contains("0 160 30\""), "{svg}");
        assert_eq!(
            svg.matches("<rect").count(),
            5,
            "two walls, wall floor wall"
        );
    }

    #[test]
    fn an_empty_map_is_an_empty_picture() {
        let nothing = Dungeon {
            chars: Grid::new(b"    ", 2, 2).unwrap(),
            stairs: None,
            path: &[],
            shortest: &[],
        };
        assert_eq!(nothing.to_text(Style::PLAIN), "");
        assert!(nothing.to_svg("nothing").ends_with("</svg>"));
    }
}
