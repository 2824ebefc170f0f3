//! A rectangular map over a borrowed slice, with checked access.

use super::WorldError;

/// A cell of a map: row from the top, column from the left, both from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// Row, 0 at the top.
    pub row: usize,
    /// Column, 0 at the left.
    pub col: usize,
}

impl Cell {
    /// The cell `(rows down, columns right)` away; `None` above or left of the map.
    pub fn offset(self, (down, right): (isize, isize)) -> Option<Cell> {
        Some(Cell {
            row: self.row.checked_add_signed(down)?,
            col: self.col.checked_add_signed(right)?,
        })
    }
}

/// A row-major view `[rows, cols]` of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a, T> {
    cells: &'a [T],
    rows: usize,
    cols: usize,
}

impl<'a, T: Copy> Grid<'a, T> {
    /// Views `cells` as `[rows, cols]`.
    ///
    /// # Errors
    /// [`WorldError::Length`] when the slice has another number of elements.
    pub fn new(cells: &'a [T], rows: usize, cols: usize) -> Result<Self, WorldError> {
        let expected = rows.saturating_mul(cols);
        if cells.len() != expected {
            return Err(WorldError::Length {
                what: "map",
                expected,
                found: cells.len(),
            });
        }
        Ok(Self { cells, rows, cols })
    }

    /// A view of a slice that is known to have `rows * cols` elements.
    pub(super) fn trusted(cells: &'a [T], rows: usize, cols: usize) -> Self {
        debug_assert_eq!(cells.len(), rows * cols);
        Self { cells, rows, cols }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The underlying row-major slice.
    pub fn cells(&self) -> &'a [T] {
        self.cells
    }

    /// The value at a cell, `None` outside.
    pub fn get(&self, cell: Cell) -> Option<T> {
        if cell.col >= self.cols {
            return None;
        }
        let index = cell.row.checked_mul(self.cols)?.checked_add(cell.col)?;
        self.cells.get(index).copied()
    }

    /// The neighbour `(rows down, columns right)` away, `None` outside.
    pub fn neighbour(&self, cell: Cell, offset: (isize, isize)) -> Option<Cell> {
        cell.offset(offset)
            .filter(|next| next.row < self.rows && next.col < self.cols)
    }

    /// The first cell in row-major order whose value satisfies `wanted`.
    pub fn find(&self, wanted: impl Fn(T) -> bool) -> Option<Cell> {
        let index = self.cells.iter().position(|&value| wanted(value))?;
        Some(Cell {
            row: index / self.cols,
            col: index % self.cols,
        })
    }
}
