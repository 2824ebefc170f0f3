//! Reductions over one row in a fixed order: element i belongs to lane i mod [`LANES`], a lane adds its
//! elements in ascending order, and the lanes are combined as a balanced tree. The order depends on the
//! row's length alone, so a row's result is the same in any batch, on one thread or many; the GPU's
//! cooperative variants (`shaders/common/row_reduce.wgsl`) use the same order.

use crate::{Capabilities, Launch, Real, linear_workgroups};

/// Lanes of a row.
pub(crate) const LANES: usize = 32;

/// Entry points of a kernel that works row by row.
pub(crate) const ROW_ENTRY_POINTS: &[&str] = &["direct", "lanes"];

/// Launch of a kernel that works row by row. Software drivers emulate workgroup memory and barriers
/// slowly: there, one invocation has a row to itself.
pub(crate) fn row_launch(rows: usize, capabilities: &Capabilities) -> Launch {
    let (entry_point, rows_a_workgroup) = if capabilities.software {
        ("direct", 64)
    } else {
        ("lanes", 4)
    };
    Launch {
        entry_point,
        workgroups: linear_workgroups(rows, rows_a_workgroup),
    }
}

/// Combines lanes l and l + 16, then l + 8, ... into one.
#[inline(always)]
pub(crate) fn tree<S: Copy>(mut lanes: [S; LANES], combine: impl Fn(S, S) -> S) -> S {
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] = combine(lanes[l], lanes[l + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Sum of `f(x_i)`.
#[inline(always)]
pub(crate) fn lane_sum<T: Real>(x: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += f(*v);
        }
    }
    for (lane, v) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += f(*v);
    }
    tree(lanes, |a, b| a + b)
}

/// Sum of `x_i y_i`.
#[inline(always)]
pub(crate) fn lane_dot<T: Real>(x: &[T], y: &[T]) -> T {
    let mut lanes = [T::ZERO; LANES];
    for (x, y) in x.chunks(LANES).zip(y.chunks(LANES)) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += *x * *y;
        }
    }
    tree(lanes, |a, b| a + b)
}

/// Largest element; NaN is passed over, and a row of nothing else gives negative infinity.
#[inline(always)]
pub(crate) fn lane_max<T: Real>(x: &[T]) -> T {
    #[inline(always)]
    fn larger<T: Real>(kept: T, new: T) -> T {
        if new > kept { new } else { kept }
    }
    let mut lanes = [T::NEG_INFINITY; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *v);
        }
    }
    for (lane, v) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = larger(*lane, *v);
    }
    tree(lanes, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_counts_once() {
        for length in [1usize, 2, 31, 32, 33, 97, 128] {
            let x: Vec<f64> = (1..=length).map(|i| i as f64).collect();
            assert_eq!(lane_sum(&x, |v| v), (length * (length + 1) / 2) as f64);
            assert_eq!(lane_max(&x), length as f64);
            let squares = length * (length + 1) * (2 * length + 1) / 6;
            assert_eq!(lane_dot(&x, &x), squares as f64);
        }
        assert_eq!(lane_max(&[f32::NAN, -3.0]), -3.0);
    }
}
