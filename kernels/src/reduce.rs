//! Sums, means and extremes along one dimension.

use crate::addressing::{reach, require_positive};
use crate::lanes::{LANES, tree};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, SOFTWARE_ITERATIONS,
    element_count, for_each_weighted_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

#[cfg(test)]
mod tests;

/// What a reduction computes, as a word that the shader branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct Reduction(u32);

impl Reduction {
    /// Compensated sum.
    pub const SUM: Self = Self(0);
    /// Compensated sum over the length.
    pub const MEAN: Self = Self(1);
    /// Largest element.
    pub const MAX: Self = Self(2);
    /// Smallest element.
    pub const MIN: Self = Self(3);

    /// The word itself.
    pub(crate) fn word(self) -> u32 {
        self.0
    }
}

/// Reduces the middle dimension of `x`, `[outer, length, inner]`, to `y`, `[outer, inner]`; both are
/// contiguous.
///
/// Sums and means carry the rounding error of every addition along and add it at the end (Neumaier 1974;
/// the error by Knuth's branch-free TwoSum). NaN among the elements gives NaN, in extremes too; the sign
/// of an extreme that is zero is not defined.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Reduce {
    /// Outer dimension.
    pub outer: u32,
    /// Reduced dimension.
    pub length: u32,
    /// Inner dimension.
    pub inner: u32,
    /// First element of x.
    pub x_offset: u32,
    /// First element of y.
    pub y_offset: u32,
    /// What to compute.
    pub operation: Reduction,
}

impl Reduce {
    /// Reduction of `x`, `[outer, length, inner]`, from its first element on.
    pub fn middle(operation: Reduction, outer: u32, length: u32, inner: u32) -> Self {
        Self {
            outer,
            length,
            inner,
            x_offset: 0,
            y_offset: 0,
            operation,
        }
    }
}

/// Entry points of a reduction.
pub(crate) const ENTRY_POINTS: &[&str] = &["direct", "wide"];

/// Length under which a software driver surely lets one invocation reduce a row.
const LONGEST_ALONE: u64 = SOFTWARE_ITERATIONS - 64;

/// Loop iterations of an invocation on a software adapter; see [`Kernel::software_iterations`].
pub(crate) fn iterations([_, length, _]: [u32; 3]) -> u64 {
    let length = u64::from(length);
    if length < LONGEST_ALONE {
        length
    } else {
        length / 256 + 16
    }
}

/// Launch of a reduction of `[outer, length, inner]`. The choice depends on the reduced row alone, so that
/// an example's result is the same in any batch.
pub(crate) fn launch([outer, length, inner]: [u32; 3], capabilities: &Capabilities) -> Launch {
    let outputs = element_count(&[outer, inner]);
    // With many inner columns, neighbours read neighbouring elements; short rows are not worth sharing;
    // software drivers emulate workgroup memory slowly, and abandon an invocation that loops for long.
    let apart = capabilities.software && u64::from(length) < LONGEST_ALONE;
    if apart || (!capabilities.software && inner >= 32) || length < 64 {
        Launch {
            entry_point: "direct",
            workgroups: linear_workgroups(outputs, 64),
        }
    } else {
        Launch {
            entry_point: "wide",
            workgroups: linear_workgroups(outputs, 1),
        }
    }
}

impl Kernel for Reduce {
    const NAME: &'static str = "reduce";
    const SHADER: &'static str = include_str!("../../shaders/reduce.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = ENTRY_POINTS;
    const OPERANDS: &'static [Operand] = &[Operand::input("x"), Operand::output("y")];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("outer", self.outer),
                ("length", self.length),
                ("inner", self.inner),
            ],
        )?;
        if self.operation.0 > Reduction::MIN.0 {
            return Err(KernelError::parameter(
                Self::NAME,
                "operation",
                "0..=3",
                self.operation.0,
            ));
        }
        Ok(())
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
        // A TwoSum is six additions, and one more gathers its error; an extreme is one comparison.
        let flops = match self.operation {
            Reduction::SUM => elements.saturating_mul(7).saturating_add(outputs),
            Reduction::MEAN => elements
                .saturating_mul(7)
                .saturating_add(outputs.saturating_mul(2)),
            _ => elements,
        };
        Cost {
            flops,
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
        let y = &mut operands.float_mut(1)?[start..start + outputs];
        let divisor = match self.operation {
            Reduction::MEAN => T::from_f64(length as f64),
            _ => T::ONE,
        };
        match self.operation {
            Reduction::MAX => fold(
                x,
                y,
                length,
                inner,
                operands.parallel,
                Extreme::<T, true>::new,
            ),
            Reduction::MIN => fold(
                x,
                y,
                length,
                inner,
                operands.parallel,
                Extreme::<T, false>::new,
            ),
            _ => fold(x, y, length, inner, operands.parallel, || {
                Sums::new(divisor)
            }),
        }
        Ok(())
    }
}

/// Extents of x, `[outer, length, inner]`, and y, `[outer, inner]`.
pub(crate) fn extents([outer, length, inner]: [u32; 3], x: u32, y: u32) -> Vec<usize> {
    let contiguous = |offset: u32, count: usize| {
        let first = reach(offset as usize, &[]) - 1;
        first.saturating_add(count)
    };
    vec![
        contiguous(x, element_count(&[outer, length, inner])),
        contiguous(y, element_count(&[outer, inner])),
    ]
}

/// Lanes of running results.
pub(crate) trait Lanes<T> {
    /// Adds one element to each of the first `line.len()` lanes.
    #[inline(always)]
    fn add(&mut self, line: &[T]) {
        // A full line has a length that the compiler knows, and its loop needs no remainder.
        match <&[T; LANES]>::try_from(line) {
            Ok(full) => self.add_line(full),
            Err(_) => self.add_line(line),
        }
    }
    /// What `add` does, for a line of any length.
    fn add_line(&mut self, line: &[T]);
    /// Result of every lane.
    fn results(self) -> [T; LANES];
    /// Result of all lanes together.
    fn total(self) -> T;
}

/// Fills y: the lanes are neighbouring columns, or the interleaved parts of a row where there is one column.
#[inline(always)]
fn fold<T: Real, L: Lanes<T>>(
    x: &[T],
    y: &mut [T],
    length: usize,
    inner: usize,
    parallel: bool,
    lanes: impl Fn() -> L + Send + Sync,
) {
    if inner == 1 {
        for_each_weighted_row(
            parallel,
            y,
            1,
            length,
            #[inline(always)]
            |row, out| {
                let mut state = lanes();
                for line in x[row * length..][..length].chunks(LANES) {
                    state.add(line);
                }
                out.fill(state.total());
            },
        );
        return;
    }
    for_each_weighted_row(
        parallel,
        y,
        LANES,
        length,
        #[inline(always)]
        |block, out| {
            let mut position = block * LANES;
            let mut rest = out;
            while !rest.is_empty() {
                let (example, column) = (position / inner, position % inner);
                let (columns, tail) = rest.split_at_mut((inner - column).min(rest.len()));
                let mut state = lanes();
                let first = example * length * inner + column;
                for i in 0..length {
                    state.add(&x[first + i * inner..][..columns.len()]);
                }
                columns.copy_from_slice(&state.results()[..columns.len()]);
                position += columns.len();
                rest = tail;
            }
        },
    );
}

/// Compensated sums: value and gathered error of every lane.
pub(crate) struct Sums<T> {
    sums: [T; LANES],
    errors: [T; LANES],
    divisor: T,
}

/// a + b and its rounding error, exactly (Knuth, TAOCP 2, 4.2.2, theorem B).
#[inline(always)]
fn two_sum<T: Real>(a: T, b: T) -> (T, T) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

impl<T: Real> Sums<T> {
    #[inline(always)]
    pub(crate) fn new(divisor: T) -> Self {
        Self {
            sums: [T::ZERO; LANES],
            errors: [T::ZERO; LANES],
            divisor,
        }
    }

    #[inline(always)]
    fn finish(sum: T, error: T, divisor: T) -> T {
        // An infinite sum has an undefined error; the sum itself is right.
        let total = if error.is_finite() { sum + error } else { sum };
        total / divisor
    }
}

impl<T: Real> Lanes<T> for Sums<T> {
    #[inline(always)]
    fn add_line(&mut self, line: &[T]) {
        let lanes = self.sums.iter_mut().zip(&mut self.errors);
        for ((sum, gathered), v) in lanes.zip(line) {
            let (next, error) = two_sum(*sum, *v);
            *sum = next;
            *gathered += error;
        }
    }

    #[inline(always)]
    fn results(self) -> [T; LANES] {
        std::array::from_fn(|l| Self::finish(self.sums[l], self.errors[l], self.divisor))
    }

    #[inline(always)]
    fn total(self) -> T {
        let lanes: [(T, T); LANES] = std::array::from_fn(|l| (self.sums[l], self.errors[l]));
        let (sum, error) = tree(lanes, |a, b| {
            let (sum, error) = two_sum(a.0, b.0);
            (sum, a.1 + b.1 + error)
        });
        Self::finish(sum, error, self.divisor)
    }
}

/// Largest (`MAX`) or smallest elements; NaN stays once met.
struct Extreme<T, const MAX: bool>([T; LANES]);

impl<T: Real, const MAX: bool> Extreme<T, MAX> {
    #[inline(always)]
    fn new() -> Self {
        Self([if MAX { T::NEG_INFINITY } else { T::INFINITY }; LANES])
    }

    #[inline(always)]
    fn keep(kept: T, new: T) -> T {
        let better = if MAX { new > kept } else { new < kept };
        if better | new.is_nan() { new } else { kept }
    }
}

impl<T: Real, const MAX: bool> Lanes<T> for Extreme<T, MAX> {
    #[inline(always)]
    fn add_line(&mut self, line: &[T]) {
        for (kept, v) in self.0.iter_mut().zip(line) {
            *kept = Self::keep(*kept, *v);
        }
    }

    #[inline(always)]
    fn results(self) -> [T; LANES] {
        self.0
    }

    #[inline(always)]
    fn total(self) -> T {
        tree(self.0, Self::keep)
    }
}

/// Largest element of a row, NaN if there is one.
#[inline(always)]
pub(crate) fn largest<T: Real>(row: &[T]) -> T {
    let mut state = Extreme::<T, true>::new();
    for line in row.chunks(LANES) {
        state.add(line);
    }
    state.total()
}
