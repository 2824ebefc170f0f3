//! Index patterns shared by the kernels: offsets and strides, in elements.

use crate::KernelError;

/// One past the last element that a pattern of (count, stride) dimensions reaches; saturates.
pub(crate) fn reach(offset: usize, dimensions: &[(u32, u32)]) -> usize {
    dimensions
        .iter()
        .fold(offset.saturating_add(1), |end, &(count, stride)| {
            let last = (count as usize).saturating_sub(1);
            end.saturating_add(last.saturating_mul(stride as usize))
        })
}

/// Whether a pattern surely meets no element twice: each dimension steps over all that the
/// dimensions of smaller stride reach.
pub(crate) fn distinct(dimensions: &[(u32, u32)]) -> bool {
    let mut used: Vec<_> = dimensions.iter().filter(|(count, _)| *count > 1).collect();
    used.sort_by_key(|(_, stride)| *stride);
    let mut span = 1usize;
    for &&(count, stride) in &used {
        if (stride as usize) < span {
            return false;
        }
        span = span.saturating_add((count as usize - 1).saturating_mul(stride as usize));
    }
    true
}

/// Distinct elements that an operand with zero strides along some dimensions holds.
pub(crate) fn distinct_count(dimensions: &[(u32, u32)]) -> u64 {
    dimensions
        .iter()
        .filter(|(_, stride)| *stride != 0)
        .fold(1u64, |product, &(count, _)| {
            product.saturating_mul(u64::from(count))
        })
}

/// Refuses the first of some counts that is zero.
pub(crate) fn require_positive(
    kernel: &'static str,
    counts: &[(&'static str, u32)],
) -> Result<(), KernelError> {
    match counts.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(KernelError::parameter(kernel, name, "at least 1", 0)),
        None => Ok(()),
    }
}

/// Refuses a number that is infinite or NaN.
pub(crate) fn require_finite(
    kernel: &'static str,
    parameter: &'static str,
    value: f32,
) -> Result<(), KernelError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(KernelError::parameter(
        kernel,
        parameter,
        "a finite number",
        value,
    ))
}

/// Up to four dimensions and the strides of `N` operands along them, innermost last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid<const N: usize> {
    pub shape: [usize; 4],
    pub strides: [[usize; 4]; N],
}

impl<const N: usize> Grid<N> {
    /// Drops dimensions of one element and merges neighbours that every operand crosses in even
    /// steps, so that inner runs are as long as they can be.
    pub fn coalesced(shape: [u32; 4], strides: [[u32; 4]; N]) -> Self {
        let mut grid = Self {
            shape: [1; 4],
            strides: [[0; 4]; N],
        };
        let mut first = 4;
        for d in (0..4).rev() {
            let count = shape[d] as usize;
            if count == 1 {
                continue;
            }
            let merges = first < 4
                && (0..N)
                    .all(|n| strides[n][d] as usize == grid.strides[n][first] * grid.shape[first]);
            if merges {
                grid.shape[first] *= count;
                continue;
            }
            first -= 1;
            grid.shape[first] = count;
            for (own, strides) in grid.strides.iter_mut().zip(&strides) {
                own[first] = strides[d] as usize;
            }
        }
        grid
    }

    /// Where element `position` of the grid, in order, is in every operand, and how many elements are
    /// left of its innermost run from there on.
    #[inline(always)]
    pub fn run_at(&self, position: usize) -> ([usize; N], usize) {
        let [_, s1, s2, s3] = self.shape;
        let (i3, row) = (position % s3, position / s3);
        let index = [row / s2 / s1, row / s2 % s1, row % s2, i3];
        let starts = self.strides.map(|strides| {
            let terms = index.iter().zip(&strides).map(|(i, s)| i * s);
            terms.sum::<usize>()
        });
        (starts, s3 - i3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_counts_the_last_element_and_saturates() {
        assert_eq!(reach(3, &[(2, 10), (4, 1)]), 3 + 10 + 3 + 1);
        let huge = [(u32::MAX, u32::MAX); 3];
        assert_eq!(reach(0, &huge), usize::MAX);
    }

    #[test]
    fn overlapping_patterns_are_not_distinct() {
        assert!(distinct(&[(3, 8), (2, 4), (4, 1)]));
        assert!(distinct(&[(3, 1), (5, 3)]));
        assert!(!distinct(&[(3, 3), (4, 1)]));
        assert!(!distinct(&[(2, 0)]));
        assert!(distinct(&[(1, 0), (7, 1)]));
    }

    #[test]
    fn contiguous_dimensions_merge() {
        let grid = Grid::coalesced([2, 3, 1, 4], [[12, 4, 99, 1], [0, 4, 7, 1]]);
        assert_eq!(grid.shape, [1, 1, 2, 12]);
        assert_eq!(grid.strides, [[0, 0, 12, 1], [0, 0, 0, 1]]);
        assert_eq!(grid.run_at(17), ([17, 5], 7));
    }
}
