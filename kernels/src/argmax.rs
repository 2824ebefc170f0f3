//! Position of the largest element along one dimension.

use crate::addressing::require_positive;
use crate::lanes::LANES;
use crate::reduce::{ENTRY_POINTS, extents, iterations, largest, launch};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_weighted_row,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// Index along the middle dimension of `x`, `[outer, length, inner]`, of its largest element, as words
/// `[outer, inner]`; both are contiguous.
///
/// Of equal elements the one of lowest index wins. NaN counts as larger than any number, and the first
/// one wins. (This is what PyTorch's `argmax` does for NaN; it promises nothing on ties.)
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct ArgMax {
    /// Outer dimension.
    pub outer: u32,
    /// Searched dimension.
    pub length: u32,
    /// Inner dimension.
    pub inner: u32,
    /// First element of x.
    pub x_offset: u32,
    /// First element of y.
    pub y_offset: u32,
}

impl ArgMax {
    /// Search of `x`, `[outer, length, inner]`, from its first element on.
    pub fn middle(outer: u32, length: u32, inner: u32) -> Self {
        Self {
            outer,
            length,
            inner,
            x_offset: 0,
            y_offset: 0,
        }
    }
}

impl Kernel for ArgMax {
    const NAME: &'static str = "argmax";
    const SHADER: &'static str = include_str!("../../shaders/argmax.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = ENTRY_POINTS;
    const OPERANDS: &'static [Operand] = &[Operand::input("x"), Operand::output("y").words()];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("outer", self.outer),
                ("length", self.length),
                ("inner", self.inner),
            ],
        )
    }

    fn extents(&self) -> Vec<usize> {
        extents(
            [self.outer, self.length, self.inner],
            self.x_offset,
            self.y_offset,
        )
    }

    fn cost(&self) -> Cost {
        let outputs = element_count(&[self.outer, self.inner]) as u64;
        let elements = element_count(&[self.outer, self.length, self.inner]) as u64;
        Cost {
            flops: elements,
            bytes: elements.saturating_add(outputs).saturating_mul(4),
        }
    }

    fn launch(&self, capabilities: &Capabilities) -> Launch {
        launch([self.outer, self.length, self.inner], capabilities)
    }

    fn software_iterations(&self) -> u64 {
        iterations([self.outer, self.length, self.inner])
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = &operands.float(0)?[self.x_offset as usize..];
        let (length, inner) = (self.length as usize, self.inner as usize);
        let start = self.y_offset as usize;
        let outputs = element_count(&[self.outer, self.inner]);
        let y = &mut operands.words_mut(1)?[start..start + outputs];
        if inner == 1 {
            for_each_weighted_row(
                operands.parallel,
                y,
                1,
                length,
                #[inline(always)]
                |row, out| out.fill(first_largest(&x[row * length..][..length])),
            );
            return Ok(());
        }
        for_each_weighted_row(
            operands.parallel,
            y,
            inner,
            length,
            #[inline(always)]
            |example, out| {
                for (block, out) in out.chunks_mut(LANES).enumerate() {
                    let first = example * length * inner + block * LANES;
                    columns(&x[first..], length, inner, out);
                }
            },
        );
        Ok(())
    }
}

/// Two passes that both vectorise: the largest value, then its first position.
#[inline(always)]
fn first_largest<T: Real>(row: &[T]) -> u32 {
    let top = largest(row);
    let found = if top.is_nan() {
        row.iter().position(|v| v.is_nan())
    } else {
        row.iter().position(|v| *v == top)
    };
    found.unwrap_or(0) as u32
}

/// Neighbouring columns side by side.
#[inline(always)]
fn columns<T: Real>(x: &[T], length: usize, inner: usize, out: &mut [u32]) {
    let mut best = [T::ZERO; LANES];
    best[..out.len()].copy_from_slice(&x[..out.len()]);
    out.fill(0);
    for i in 1..length {
        let line = &x[i * inner..][..out.len()];
        for ((best, at), v) in best.iter_mut().zip(out.iter_mut()).zip(line) {
            let larger = (*v > *best) | (v.is_nan() & !best.is_nan());
            *best = if larger { *v } else { *best };
            *at = if larger { i as u32 } else { *at };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ArgMax;
    use crate::test_support::{assert_refuses, numbers, run};
    use crate::{Kernel, View};

    fn argmax(kernel: ArgMax, x: &[f32]) -> Vec<u32> {
        let mut y = vec![77u32; kernel.extents()[1]];
        run(kernel, vec![View::Float(x), View::WordMut(&mut y)]).unwrap();
        y
    }

    fn reference(values: impl Iterator<Item = f32>) -> u32 {
        let values: Vec<f32> = values.collect();
        if let Some(at) = values.iter().position(|v| v.is_nan()) {
            return at as u32;
        }
        let mut best = 0;
        for (i, v) in values.iter().enumerate() {
            if *v > values[best] {
                best = i;
            }
        }
        best as u32
    }

    #[test]
    fn finds_the_first_of_the_largest() {
        for (outer, length, inner) in [(1, 1, 1), (5, 33, 1), (3, 129, 1), (2, 7, 3), (3, 20, 45)] {
            // Few distinct values, so that ties abound; one run has NaN among them.
            for with_nan in [false, true] {
                let kernel = ArgMax {
                    x_offset: 1,
                    y_offset: 2,
                    ..ArgMax::middle(outer, length, inner)
                };
                let mut x: Vec<f32> = numbers(kernel.extents()[0], 3)
                    .iter()
                    .map(|v| (v * 4.0).round())
                    .collect();
                if with_nan {
                    x.iter_mut().skip(5).step_by(7).for_each(|v| *v = f32::NAN);
                }
                let y = argmax(kernel, &x);
                let (l, n) = (length as usize, inner as usize);
                let mut expected = vec![77, 77];
                for o in 0..outer as usize {
                    for i in 0..n {
                        expected.push(reference((0..l).map(|k| x[1 + (o * l + k) * n + i])));
                    }
                }
                assert_eq!(y, expected, "{outer} {length} {inner}");
            }
        }
    }

    #[test]
    fn infinities_and_signed_zeros() {
        let low = f32::NEG_INFINITY;
        assert_eq!(argmax(ArgMax::middle(1, 3, 1), &[low; 3]), [0]);
        assert_eq!(argmax(ArgMax::middle(1, 3, 1), &[low, -0.0, 0.0]), [1]);
        assert_eq!(
            argmax(ArgMax::middle(1, 2, 2), &[low, -0.0, low, 0.0]),
            [0, 0]
        );
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = ArgMax::middle(2, 5, 3);
        good.check().unwrap();
        assert_eq!((good.cost().flops, good.cost().bytes), (30, 36 * 4));
        assert_refuses(ArgMax { outer: 0, ..good }, "outer");
        assert_refuses(ArgMax { length: 0, ..good }, "length");
        assert_refuses(ArgMax { inner: 0, ..good }, "inner");
    }
}
