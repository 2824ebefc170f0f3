//! Strided matrices cut into parts that threads may write at the same time.

/// Where the elements of a block of matrices, or of rows of one, lie.
pub(super) struct Piece<'a, T> {
    /// One part with all columns, or one for every column.
    parts: Vec<&'a mut [T]>,
    columns: usize,
    column_stride: usize,
}

/// A dimension along which a piece is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Items.
    pub count: usize,
    /// Elements between two items.
    pub stride: usize,
    /// Elements from the first to the last of one column of one item, both counted.
    pub span: usize,
}

impl<'a, T> Piece<'a, T> {
    pub fn new(whole: &'a mut [T], columns: usize, column_stride: usize) -> Self {
        Self {
            parts: vec![whole],
            columns,
            column_stride,
        }
    }

    /// Elements from the first of column `j` on.
    #[inline(always)]
    pub fn column(&self, j: usize) -> &[T] {
        if self.parts.len() > 1 {
            self.parts.get(j).map_or(&[], |part| part)
        } else {
            let part = self.parts.first();
            part.and_then(|part| part.get(j * self.column_stride..))
                .unwrap_or_default()
        }
    }

    /// The same, to write.
    #[inline(always)]
    pub fn column_mut(&mut self, j: usize) -> &mut [T] {
        if self.parts.len() > 1 {
            self.parts.get_mut(j).map_or(&mut [], |part| part)
        } else {
            let part = self.parts.first_mut();
            part.and_then(|part| part.get_mut(j * self.column_stride..))
                .unwrap_or_default()
        }
    }

    /// Cuts along an axis, `each` items a piece; a single piece if columns and items are so interlaced
    /// that no slice holds one without the other.
    pub fn split(self, axis: Axis, each: usize) -> Vec<Self> {
        let (columns, column_stride) = (self.columns, self.column_stride);
        let pieces = axis.count.div_ceil(each.max(1));
        let length = axis.stride.saturating_mul(each);
        let together = self.parts.len() == 1;
        let apart = axis.stride >= axis.span;
        let wide = (columns - 1)
            .saturating_mul(column_stride)
            .saturating_add(axis.span);
        if together && axis.stride >= wide && length > 0 {
            let slices = self
                .parts
                .into_iter()
                .flat_map(|part| part.chunks_mut(length));
            let piece = |part| Self::new(part, columns, column_stride);
            return slices.take(pieces).map(piece).collect();
        }
        let long = (axis.count - 1)
            .saturating_mul(axis.stride)
            .saturating_add(axis.span);
        if pieces < 2 || length == 0 || !apart || (together && column_stride < long) {
            return vec![self];
        }
        let by_column: Vec<&'a mut [T]> = if together {
            let slices = self.parts.into_iter();
            slices
                .flat_map(|part| part.chunks_mut(column_stride))
                .take(columns)
                .collect()
        } else {
            self.parts
        };
        let mut cut: Vec<Self> = Vec::with_capacity(pieces);
        for part in by_column {
            for (index, slice) in part.chunks_mut(length).take(pieces).enumerate() {
                match cut.get_mut(index) {
                    Some(piece) => piece.parts.push(slice),
                    None => cut.push(Self::new(slice, columns, column_stride)),
                }
            }
        }
        cut
    }

    /// The same piece from an element of every column on, for a shorter time.
    pub fn reborrow_from(&mut self, first: usize) -> Piece<'_, T> {
        let parts = self.parts.iter_mut();
        Piece {
            parts: parts
                .map(|part| part.get_mut(first..).unwrap_or_default())
                .collect(),
            columns: self.columns,
            column_stride: self.column_stride,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the number of the piece into every element of it and gives the result.
    fn painted(length: usize, columns: usize, column_stride: usize, axis: Axis) -> Vec<usize> {
        let mut data = vec![usize::MAX; length];
        let pieces = Piece::new(&mut data, columns, column_stride).split(axis, 2);
        assert_eq!(pieces.len(), axis.count.div_ceil(2));
        for (number, mut piece) in pieces.into_iter().enumerate() {
            for item in 0..(axis.count - number * 2).min(2) {
                for j in 0..columns {
                    assert_eq!(piece.column(j)[item * axis.stride], usize::MAX);
                    piece.column_mut(j)[item * axis.stride] = 2 * number + item;
                }
            }
        }
        data
    }

    #[test]
    fn items_before_and_behind_columns_are_cut_alike() {
        let rows = Axis {
            count: 5,
            stride: 3,
            span: 1,
        };
        let expected: Vec<usize> = (0..15).map(|i| i / 3).collect();
        assert_eq!(painted(15, 3, 1, rows), expected);
        let rows = Axis { stride: 1, ..rows };
        let expected: Vec<usize> = (0..15).map(|i| i % 5).collect();
        assert_eq!(painted(15, 3, 5, rows), expected);
    }

    #[test]
    fn pieces_of_columns_are_cut_again() {
        let mut data: Vec<usize> = (0..24).collect();
        // Two columns of three examples of four rows.
        let examples = Axis {
            count: 3,
            stride: 4,
            span: 4,
        };
        let pieces = Piece::new(&mut data, 2, 12).split(examples, 1);
        let second = pieces.into_iter().nth(1).unwrap();
        let rows = Axis {
            count: 4,
            stride: 1,
            span: 1,
        };
        let halves = second.split(rows, 2);
        assert_eq!(halves.len(), 2);
        assert_eq!(halves[1].column(0), [6, 7]);
        assert_eq!(halves[1].column(1), [18, 19]);
    }

    #[test]
    fn interlaced_ones_stay_whole() {
        let mut data = vec![0; 100];
        let odd = Axis {
            count: 3,
            stride: 2,
            span: 5,
        };
        assert_eq!(Piece::new(&mut data, 2, 1).split(odd, 1).len(), 1);
    }
}
