//! Small matrix products in register tiles.
//!
//! A tile is a few rows by one or two registers of columns. It stays in registers over the whole depth,
//! of one product or of the sum of two, so every element is one chain of fused multiply-adds in ascending
//! order: the same bits whatever tile it falls into.

use super::scratch::Matrix;
use crate::Real;
use pulp::{Simd, WithSimd};

/// Elements of the depth that are staged at a time.
const STAGE: usize = 16;

/// One product: `left [rows, depth]` times `right [depth, columns]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term<'a, T> {
    /// Factor on the left.
    pub left: &'a [T],
    /// Elements between its rows, which are contiguous; under `BY_COLUMNS` between its columns, which are.
    pub stride: usize,
    /// Factor on the right.
    pub right: &'a Matrix<T>,
}

/// Extents of a sum of products.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extents {
    pub rows: usize,
    pub depth: usize,
    pub columns: usize,
}

/// Where a sum of products goes: row r from `r * stride` on.
#[derive(Debug)]
pub(crate) struct Target<'a, T> {
    pub data: &'a mut [T],
    pub stride: usize,
}

/// The sum of one or two products of the same extents. Left factors are row-major, or column-major under
/// `BY_COLUMNS`.
pub(crate) fn multiply<T: Real, const BY_COLUMNS: bool>(
    terms: [Option<Term<'_, T>>; 2],
    extents: Extents,
    target: Target<'_, T>,
) {
    pulp::Arch::new().dispatch(Sum::<'_, '_, T, BY_COLUMNS> {
        terms,
        extents,
        target,
    });
}

struct Sum<'a, 'c, T, const BY_COLUMNS: bool> {
    terms: [Option<Term<'a, T>>; 2],
    extents: Extents,
    target: Target<'c, T>,
}

impl<T: Real, const BY_COLUMNS: bool> WithSimd for Sum<'_, '_, T, BY_COLUMNS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = T::lanes::<S>();
        let mut column = 0;
        while column < self.extents.columns {
            if self.extents.columns - column > lanes {
                self.rows::<S, 2>(simd, column);
                column += 2 * lanes;
            } else {
                self.rows::<S, 1>(simd, column);
                column += lanes;
            }
        }
    }
}

impl<T: Real, const BY_COLUMNS: bool> Sum<'_, '_, T, BY_COLUMNS> {
    /// All rows of `VECTORS` registers of columns. The last tile of a size overlaps the one before it
    /// rather than fall back to a slower size: a row computed twice has the same bits.
    #[inline(always)]
    fn rows<S: Simd, const VECTORS: usize>(&mut self, simd: S, column: usize) {
        let count = self.extents.rows;
        // Twelve rows by two registers need more registers than AVX2 has.
        let many = S::REGISTER_COUNT > 16 || VECTORS == 1;
        let mut row = 0;
        while row < count {
            let left = count - row;
            if many && left > 8 && count >= 12 {
                self.tile::<S, VECTORS, 12>(simd, row.min(count - 12), column);
                row += 12;
            } else if many && left > 6 && count >= 8 {
                self.tile::<S, VECTORS, 8>(simd, row.min(count - 8), column);
                row += 8;
            } else if left > 4 && count >= 6 {
                self.tile::<S, VECTORS, 6>(simd, row.min(count - 6), column);
                row += 6;
            } else if left > 1 && count >= 4 {
                self.tile::<S, VECTORS, 4>(simd, row.min(count - 4), column);
                row += 4;
            } else {
                self.tile::<S, VECTORS, 1>(simd, row, column);
                row += 1;
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
    ) {
        let mut sums = [[T::splat(simd, T::ZERO); VECTORS]; ROWS];
        for term in self.terms.iter().flatten() {
            if BY_COLUMNS {
                self.by_columns(simd, term, (row, column), &mut sums);
            } else {
                self.by_rows(simd, term, (row, column), &mut sums);
            }
        }
        let width = VECTORS * T::lanes::<S>();
        let wanted = width.min(self.extents.columns - column);
        for (index, sums) in sums.iter().enumerate() {
            let start = (row + index) * self.target.stride + column;
            if wanted == width {
                let line = &mut self.target.data[start..start + width];
                for (place, sum) in T::vectors_mut::<S>(line).iter_mut().zip(sums) {
                    *place = *sum;
                }
            } else {
                let mut line = [T::ZERO; 2 * WIDEST];
                for (place, sum) in T::vectors_mut::<S>(&mut line).iter_mut().zip(sums) {
                    *place = *sum;
                }
                self.target.data[start..start + wanted].copy_from_slice(&line[..wanted]);
            }
        }
    }

    /// Adds a product whose left factor is row-major. Its elements are staged in a small array of fixed
    /// size, which the inner loop addresses with one register and without bounds checks.
    #[inline(always)]
    fn by_rows<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &self,
        simd: S,
        term: &Term<'_, T>,
        (row, column): (usize, usize),
        sums: &mut [[T::Vector<S>; VECTORS]; ROWS],
    ) {
        let lanes = T::lanes::<S>();
        let depth = self.extents.depth;
        let lines = &T::vectors::<S>(term.right.rows())[..depth * term.right.stride / lanes];
        let first = column / lanes;
        let mut stage = [[T::ZERO; STAGE]; ROWS];
        let chunks = lines.chunks(STAGE * term.right.stride / lanes);
        for (index, lines) in chunks.enumerate() {
            let start = index * STAGE;
            let here = STAGE.min(depth - start);
            for (index, stage) in stage.iter_mut().enumerate() {
                let from = &term.left[(row + index) * term.stride + start..];
                if here == STAGE {
                    stage.copy_from_slice(&from[..STAGE]);
                } else {
                    stage[..here].copy_from_slice(&from[..here]);
                }
            }
            let lines = lines.chunks_exact(term.right.stride / lanes);
            for (place, line) in lines.enumerate().take(STAGE) {
                let line = &line[first..first + VECTORS];
                for (sums, stage) in sums.iter_mut().zip(&stage) {
                    let factor = T::splat(simd, stage[place]);
                    for (sum, value) in sums.iter_mut().zip(line) {
                        *sum = T::multiply_add(simd, factor, *value, *sum);
                    }
                }
            }
        }
    }

    /// Adds a product whose left factor is column-major.
    #[inline(always)]
    fn by_columns<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &self,
        simd: S,
        term: &Term<'_, T>,
        (row, column): (usize, usize),
        sums: &mut [[T::Vector<S>; VECTORS]; ROWS],
    ) {
        let lanes = T::lanes::<S>();
        let first = column / lanes;
        let lines = T::vectors::<S>(term.right.rows()).chunks_exact(term.right.stride / lanes);
        let columns = term.left.chunks_exact(term.stride);
        for (line, factors) in lines.zip(columns).take(self.extents.depth) {
            let line = &line[first..first + VECTORS];
            let factors = &factors[row..row + ROWS];
            for (sums, factor) in sums.iter_mut().zip(factors) {
                let factor = T::splat(simd, *factor);
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum = T::multiply_add(simd, factor, *value, *sum);
                }
            }
        }
    }
}

/// Numbers in the widest register.
const WIDEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::numbers;

    #[test]
    fn sums_of_products_of_all_sizes() {
        for (rows, depth, columns) in [(1, 1, 1), (3, 5, 16), (13, 33, 17), (25, 16, 47)] {
            let (a, b) = (numbers(rows * depth, 1), numbers(depth * columns, 2));
            let (c, d) = (numbers(rows * depth, 3), numbers(depth * columns, 4));
            let mut right = [Matrix::new(depth, columns), Matrix::new(depth, columns)];
            right[0].copy(&b, (depth, columns), columns);
            right[1].copy(&d, (depth, columns), columns);
            let mut left = [Matrix::new(depth, rows), Matrix::new(depth, rows)];
            left[0].transpose(&a, (rows, depth), depth);
            left[1].transpose(&c, (rows, depth), depth);
            let extents = Extents {
                rows,
                depth,
                columns,
            };
            let mut by_rows = vec![0.0f32; rows * columns];
            let mut by_columns = by_rows.clone();
            let plain = [(a.as_slice(), 0), (c.as_slice(), 1)].map(|(left, index)| {
                Some(Term {
                    left,
                    stride: depth,
                    right: &right[index],
                })
            });
            let turned = [0, 1].map(|index| {
                Some(Term {
                    left: left[index].rows(),
                    stride: left[index].stride,
                    right: &right[index],
                })
            });
            let target = Target {
                data: by_rows.as_mut_slice(),
                stride: columns,
            };
            multiply::<f32, false>(plain, extents, target);
            let target = Target {
                data: by_columns.as_mut_slice(),
                stride: columns,
            };
            multiply::<f32, true>(turned, extents, target);
            assert_eq!(by_rows, by_columns);
            for (place, found) in by_rows.iter().enumerate() {
                let (r, column) = (place / columns, place % columns);
                let mut exact = 0.0;
                for i in 0..depth {
                    let product = |x: &[f32], y: &[f32]| {
                        f64::from(x[r * depth + i]) * f64::from(y[i * columns + column])
                    };
                    exact += product(&a, &b) + product(&c, &d);
                }
                assert!((f64::from(*found) - exact).abs() < 2e-5, "{place}");
            }
        }
    }
}
