//! Blocks of trajectories, copied out of the operands and back.

use super::TangentEnsemble;

/// Some trajectories, number after number.
pub(super) struct Block<T> {
    pub trajectories: usize,
    /// `[dimension, trajectories]`.
    pub state: Vec<T>,
    /// `[parameters, trajectories]`, or one number each.
    pub parameters: Vec<Vec<T>>,
    /// `[tangents * dimension, trajectories]`.
    pub tangent: Vec<T>,
    /// `[4 * tangents, trajectories]`.
    pub sums: Vec<T>,
    /// `[records * tangents, trajectories]`, those of this launch.
    pub logs: Vec<T>,
    /// `[states * dimension, trajectories]`, those of this launch.
    pub states: Vec<T>,
    /// `[3, trajectories]`.
    pub status: Vec<u32>,
}

/// Rows `rows` of an operand whose rows hold one number of each of `total` trajectories.
pub(super) fn gathered<E: Copy>(
    from: &[E],
    rows: usize,
    total: usize,
    first: usize,
    count: usize,
) -> Vec<E> {
    let parts = from.chunks(total.max(1)).take(rows);
    parts
        .flat_map(|row| row.iter().skip(first).take(count).copied())
        .collect()
}

/// Writes rows back; the first of them is row `start` of the operand.
pub(super) fn scattered<E: Copy>(
    to: &mut [E],
    start: usize,
    total: usize,
    first: usize,
    part: &[E],
    count: usize,
) {
    let rows = to.chunks_mut(total.max(1)).skip(start);
    for (row, part) in rows.zip(part.chunks(count.max(1))) {
        for (place, value) in row.iter_mut().skip(first).zip(part) {
            *place = *value;
        }
    }
}

/// Element of component `row % dimension` of tangent, or state, `row / dimension`.
pub(super) fn element(p: &TangentEnsemble, row: usize, trajectory: usize) -> usize {
    let dimension = p.system.dimension() as usize;
    (row / dimension) * p.tangent_stride as usize
        + (row % dimension) * p.component_stride as usize
        + trajectory * p.example_stride as usize
}

pub(super) fn strided<T: Copy>(
    p: &TangentEnsemble,
    from: &[T],
    rows: usize,
    range: std::ops::Range<usize>,
) -> Vec<T> {
    let places = (0..rows).flat_map(|row| range.clone().map(move |i| element(p, row, i)));
    places
        .filter_map(|place| from.get(place).copied())
        .collect()
}

pub(super) fn put_strided<T: Copy>(
    p: &TangentEnsemble,
    to: &mut [T],
    part: &[T],
    first: usize,
    count: usize,
) {
    for (row, values) in part.chunks(count.max(1)).enumerate() {
        for (i, value) in values.iter().enumerate() {
            if let Some(place) = to.get_mut(element(p, row, first + i)) {
                *place = *value;
            }
        }
    }
}
