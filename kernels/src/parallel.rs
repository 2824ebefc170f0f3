use rayon::prelude::*;

/// Runs `body` with the widest vector instructions of this machine: the compiler vectorises plain
/// loops inside it for AVX-512, AVX2 or NEON, whichever is there.
#[inline(always)]
pub fn simd<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// Elements under which a loop is not worth waking another thread for.
pub(crate) const SERIAL_ELEMENTS: usize = 16 * 1024;

/// Calls `body(row, slice)` for every row of `output`, cut into rows of `row_length`, over the thread
/// pool if `parallel` allows and the work is large enough. Rows are independent, so the result does
/// not depend on the number of threads.
pub fn for_each_row<T: Send>(
    parallel: bool,
    output: &mut [T],
    row_length: usize,
    body: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    for_each_weighted_row(parallel, output, row_length, 1, body);
}

/// [`for_each_row`] for outputs that cost as much as `weight` plain elements each, such as sums.
#[inline(always)]
pub fn for_each_weighted_row<T: Send>(
    parallel: bool,
    output: &mut [T],
    row_length: usize,
    weight: usize,
    body: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    if row_length == 0 || output.is_empty() {
        return;
    }
    let threads = rayon::current_num_threads();
    if !parallel || threads == 1 || output.len().saturating_mul(weight) < SERIAL_ELEMENTS {
        simd(
            #[inline(always)]
            || {
                for (row, slice) in output.chunks_mut(row_length).enumerate() {
                    body(row, slice);
                }
            },
        );
        return;
    }
    let rows = output.len().div_ceil(row_length);
    let block = rows.div_ceil(threads * 4).max(1);
    output
        .par_chunks_mut(block * row_length)
        .enumerate()
        .for_each(|(index, chunk)| {
            simd(
                #[inline(always)]
                || {
                    for (row, slice) in chunk.chunks_mut(row_length).enumerate() {
                        body(index * block + row, slice);
                    }
                },
            );
        });
}
