//! What the tangent kernels share: `k` tangents of a view are `k` copies of its whole layout, a stride
//! apart, which is the view with the tangents as its examples.

use crate::parallel::SERIAL_ELEMENTS;
use crate::rows::Rows;
use crate::simd;
use rayon::prelude::*;
use std::ops::Range;

/// Elements of a row that are worked on together, one tangent after the other: short enough that what is
/// computed once for all tangents stays in the nearest cache.
pub(crate) const BLOCK: usize = 1024;

/// The tangents of the `rows` by `width` view at `offset` with this row stride.
pub(crate) fn of_rows(
    [rows, width]: [u32; 2],
    [offset, row_stride]: [u32; 2],
    [tangents, tangent_stride]: [u32; 2],
) -> Rows {
    Rows {
        offset,
        batch: tangents,
        batch_stride: tangent_stride,
        rows,
        row_stride,
        width,
    }
}

/// The tangents of `count` contiguous elements, each a row of its own.
pub(crate) fn of_elements(count: u32, offset: u32, tangents: [u32; 2]) -> Rows {
    of_rows([count, 1], [offset, 1], tangents)
}

/// Calls `body(rows, pieces)` for blocks of successive rows of an output of [`of_rows`], over the thread
/// pool if `parallel` allows and the work is large enough; `pieces[j]` starts at the block's first row of
/// tangent j. `weight` is what an element costs, in plain ones. The output must pass [`Rows::check`].
#[inline(always)]
pub(crate) fn for_each_block<T: Send>(
    output: &Rows,
    (parallel, weight): (bool, usize),
    data: &mut [T],
    body: impl Fn(Range<usize>, &mut [&mut [T]]) + Send + Sync,
) {
    let rows = output.rows as usize;
    let elements = (output.batch as usize)
        .saturating_mul(rows)
        .saturating_mul(output.width as usize);
    let threads = if parallel && elements.saturating_mul(weight) >= SERIAL_ELEMENTS {
        rayon::current_num_threads()
    } else {
        1
    };
    let block = match threads {
        1 => rows,
        _ => rows.div_ceil(4 * threads).max(1),
    };
    let mut blocks: Vec<Vec<&mut [T]>> = Vec::new();
    blocks.resize_with(rows.div_ceil(block), Vec::new);
    for (_, first, piece) in output.split(data, block) {
        if let Some(pieces) = blocks.get_mut(first / block) {
            pieces.push(piece);
        }
    }
    let work = |index: usize, mut pieces: Vec<&mut [T]>| {
        let first = index * block;
        simd(
            #[inline(always)]
            || body(first..rows.min(first + block), &mut pieces),
        );
    };
    if threads == 1 {
        let each = blocks.into_iter().enumerate();
        each.for_each(|(index, pieces)| work(index, pieces));
    } else {
        let each = blocks.into_par_iter().enumerate();
        each.for_each(|(index, pieces)| work(index, pieces));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_every_tangent_is_met_once() {
        for (rows, parallel) in [(1u32, true), (7, false), (5003, true)] {
            let output = of_rows([rows, 3], [2, 4], [5, 4 * rows + 1]);
            let mut data = vec![0usize; output.reach()];
            for_each_block(&output, (parallel, 1), &mut data, |block, pieces| {
                assert_eq!(pieces.len(), 5);
                for (j, piece) in pieces.iter_mut().enumerate() {
                    for row in block.clone() {
                        let own = &mut piece[4 * (row - block.start)..][..3];
                        own.iter_mut().for_each(|v| *v += 1 + row + 10_000 * j);
                    }
                }
            });
            let mut expected = vec![0usize; data.len()];
            for j in 0..5 {
                for row in 0..rows as usize {
                    let at = 2 + j * (4 * rows as usize + 1) + 4 * row;
                    expected[at..at + 3].fill(1 + row + 10_000 * j);
                }
            }
            assert!(data == expected, "{rows}");
        }
    }
}
