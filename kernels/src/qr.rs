//! Orthonormal bases of many matrices.

mod factors;
mod gram;
mod householder;
mod lines;
mod many;
mod pieces;
mod rows;
mod tall;
#[cfg(test)]
mod tests;
mod twin;

use crate::addressing::{distinct, reach, require_positive};
use crate::philox::{Philox, RandomKind};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// The reduced factorisation `W = Q R` of `batch` matrices `[rows, columns]`, `Q` with orthonormal columns
/// in the place of `W`, `R` upper triangular with no negative number on its diagonal.
///
/// Operands:
/// - `w` in place: element (b, i, j) at `offset + b batch_stride + i row_stride + j column_stride`;
/// - `r` `[batch, columns, columns]`, row after row, with [`Qr::R`];
/// - `log_r` `[batch, columns]` at `log_offset + n log_step_stride` for the n-th factorisation of an orbit,
///   with [`Qr::LOG`]: natural logarithms of the diagonal of `R`, computed before `R` is rounded;
/// - `status` words `[batch, 2]`, with [`Qr::STATUS`], in place: columns replaced so far, and flags, of
///   which [`Qr::NON_FINITE`] is the only one.
///
/// A column that depends on those before it, `|R_jj| <= tolerance |w_j|` with 1e-6 in the shader, and in
/// the twin 2e-7 for single and 1e-14 for double precision, has a random direction put in its place: normal numbers of Philox with counter
/// `(j ceil(rows / 4) + i / 4, step, first_example + b, stream)`, made orthogonal to the columns before.
/// `R_jj` is then 0, and `log_r` the logarithm of the length that was found, at least `ln 1e-30`. Lengths
/// are compared with the column's own, so that columns of very different sizes are none of them lost.
/// A matrix with an infinite or NaN element gives NaN throughout and the flag; the others are unaffected.
///
/// The shader reflects (Householder; Golub and Van Loan, "Matrix Computations", 5.1 and 5.2), in single
/// precision, after columns are scaled by powers of two: orthogonal to working precision whatever the
/// matrix, and `|R_jj|` off by a few units in the last place of `|w_j|`. The twin computes in double precision
/// throughout, so that its single-precision results are but rounded: by reflections, of matrices of up to 256
/// numbers side by side in the lanes of the vector registers; of larger ones with twice as many rows as columns
/// through the Cholesky factor of `W' W`, once or in double precision twice, unless the inverse of R with
/// columns of length one is larger than 1000. A matrix's result depends on nothing but its shape and
/// elements.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Qr {
    /// Matrices.
    pub batch: u32,
    /// Rows of one matrix.
    pub rows: u32,
    /// Columns of one matrix, 1 to 64 and at most `rows`.
    pub columns: u32,
    /// First element.
    pub offset: u32,
    /// Elements between two matrices.
    pub batch_stride: u32,
    /// Elements between two rows.
    pub row_stride: u32,
    /// Elements between two columns.
    pub column_stride: u32,
    /// First element of `log_r`.
    pub log_offset: u32,
    /// Elements between the logarithms of two factorisations of an orbit; 0 overwrites them.
    pub log_step_stride: u32,
    /// Steps of an orbit from one factorisation to the next: it takes place at the last of so many.
    pub every: u32,
    /// Iteration; set by [`Kernel::at_step`].
    pub step: u32,
    /// Example number of the first matrix, for a part of a larger batch.
    pub first_example: u32,
    /// Which of several independent draws of one step the replaced columns take.
    pub stream: u32,
    /// Lower half of the seed.
    pub seed_low: u32,
    /// Upper half of the seed.
    pub seed_high: u32,
    /// Bit set of [`Qr::R`], [`Qr::LOG`] and [`Qr::STATUS`].
    pub flags: u32,
}

/// Numbers of a matrix that one invocation holds for itself.
const TINY: usize = 64;
/// Numbers of a matrix that fit into workgroup memory beside the partial sums.
const COMPACT: usize = 2816;
/// Rows that an invocation takes in one turn of the shader's loops.
const UNROLLED: u64 = 8;

impl Qr {
    /// Flag: write `r`.
    pub const R: u32 = 1;
    /// Flag: write `log_r`.
    pub const LOG: u32 = 2;
    /// Flag: keep `status`.
    pub const STATUS: u32 = 4;
    /// Bit of a matrix's second status word: an element was infinite or NaN.
    pub const NON_FINITE: u32 = 1;
    /// Most columns.
    pub const MOST_COLUMNS: u32 = 64;

    /// Matrices `[batch, rows, columns]`, row after row, with all outputs.
    pub fn contiguous(batch: u32, rows: u32, columns: u32) -> Self {
        Self {
            batch,
            rows,
            columns,
            offset: 0,
            batch_stride: rows.saturating_mul(columns),
            row_stride: columns,
            column_stride: 1,
            log_offset: 0,
            log_step_stride: 0,
            every: 1,
            step: 0,
            first_example: 0,
            stream: 0,
            seed_low: 0,
            seed_high: 0,
            flags: Self::R | Self::LOG | Self::STATUS,
        }
    }

    /// Tangents `[columns, batch, rows]` of a state `[batch, rows]`, with logarithms and status.
    pub fn tangents(batch: u32, rows: u32, columns: u32) -> Self {
        Self {
            batch_stride: rows,
            row_stride: 1,
            column_stride: batch.saturating_mul(rows),
            flags: Self::LOG | Self::STATUS,
            ..Self::contiguous(batch, rows, columns)
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether the step that is set ends a stretch of `every`.
    fn is_due(&self) -> bool {
        self.step % self.every.max(1) == self.every.max(1) - 1
    }

    /// Elements of one matrix.
    fn elements(&self) -> usize {
        element_count(&[self.rows, self.columns])
    }

    /// First element of this step's logarithms; saturates.
    fn log_start(&self) -> usize {
        let record = (self.step / self.every.max(1)) as usize;
        record
            .saturating_mul(self.log_step_stride as usize)
            .saturating_add(self.log_offset as usize)
    }

    /// The random numbers of replaced columns.
    fn philox(&self) -> Philox {
        Philox {
            rows: self.batch,
            length: self.rows,
            first_example: self.first_example,
            step: self.step,
            stream: self.stream,
            seed_low: self.seed_low,
            seed_high: self.seed_high,
            kind: RandomKind::NORMAL,
        }
    }

    fn require(
        &self,
        holds: bool,
        parameter: &'static str,
        expected: &str,
        found: u32,
    ) -> Result<(), KernelError> {
        if holds {
            return Ok(());
        }
        Err(KernelError::parameter(
            Self::NAME,
            parameter,
            expected,
            found,
        ))
    }
}

impl Kernel for Qr {
    const NAME: &'static str = "qr";
    const SHADER: &'static str = include_str!("../../shaders/qr.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = &["tiny", "compact", "streaming"];
    const OPERANDS: &'static [Operand] = &[
        Operand::output("w").in_place(),
        Operand::output("r").optional(),
        Operand::output("log_r").optional(),
        Operand::output("status").words().in_place().optional(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let counts = [
            ("batch", self.batch),
            ("rows", self.rows),
            ("columns", self.columns),
            ("every", self.every),
        ];
        require_positive(Self::NAME, &counts)?;
        let columns = self.columns;
        self.require(columns <= Self::MOST_COLUMNS, "columns", "1..=64", columns)?;
        self.require(columns <= self.rows, "columns", "at most rows", columns)?;
        self.require(self.flags <= 7, "flags", "0..=7", self.flags)?;
        let dimensions = [
            (self.batch, self.batch_stride),
            (self.rows, self.row_stride),
            (columns, self.column_stride),
        ];
        let apart = "strides that keep all elements apart";
        self.require(
            distinct(&dimensions),
            "batch_stride",
            apart,
            dimensions[0].1,
        )?;
        let most = u32::MAX as usize;
        let within = "at most 2^32 - 1 elements in an operand";
        let fits = self.extents().iter().all(|extent| *extent <= most);
        self.require(fits, "batch", within, self.batch)
    }

    fn extents(&self) -> Vec<usize> {
        let dimensions = [
            (self.batch, self.batch_stride),
            (self.rows, self.row_stride),
            (self.columns, self.column_stride),
        ];
        let given = |flag, count| if self.has(flag) { count } else { 0 };
        let logs = element_count(&[self.batch, self.columns]);
        vec![
            reach(self.offset as usize, &dimensions),
            given(
                Self::R,
                element_count(&[self.batch, self.columns, self.columns]),
            ),
            given(Self::LOG, self.log_start().saturating_add(logs)),
            given(Self::STATUS, element_count(&[self.batch, 2])),
        ]
    }

    fn cost(&self) -> Cost {
        // Reflections and their product: 4 n k^2 - 4/3 k^3.
        let (n, k) = (u64::from(self.rows), u64::from(self.columns));
        let one = (4 * k * k).saturating_mul(n) - 4 * k * k * k / 3;
        let outputs: usize = self.extents().iter().skip(1).sum();
        let elements = element_count(&[self.batch, self.rows, self.columns]) as u64;
        Cost {
            flops: one.saturating_mul(u64::from(self.batch)),
            bytes: elements
                .saturating_mul(8)
                .saturating_add((outputs as u64).saturating_mul(4)),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let (entry_point, size) = if self.elements() <= TINY {
            ("tiny", 64)
        } else if self.elements() <= COMPACT {
            ("compact", 1)
        } else {
            ("streaming", 1)
        };
        Launch {
            entry_point,
            workgroups: linear_workgroups(self.batch as usize, size),
        }
    }

    fn software_iterations(&self) -> u64 {
        let (n, k) = (u64::from(self.rows), u64::from(self.columns));
        if self.elements() <= TINY {
            // Sums and updates of every pair of columns, twice, and as often again when all are replaced.
            return 8 * k * (k + 1) * n + 64 * k;
        }
        let (width, tree) = if self.elements() <= COMPACT {
            (64, 6)
        } else {
            (256, 8)
        };
        let turns = n.div_ceil(width * UNROLLED) + 1;
        // Four columns at a time, in both sweeps; then one column after another where all are replaced.
        let groups: u64 = (0..k).map(|rest| rest.div_ceil(4) + 1).sum();
        let swept = 2 * groups * (2 * turns + tree + 1) + k * (5 * turns + 3 * tree + k);
        let replaced = k * (k + 1) / 2 * (2 * turns + tree + 1) + k * (2 * turns + tree + 10);
        swept.saturating_add(replaced)
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn with_seed(&self, seed: u64, first_example: u32) -> Self {
        Self {
            seed_low: seed as u32,
            seed_high: (seed >> 32) as u32,
            first_example,
            ..*self
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        if !self.is_due() {
            return Ok(());
        }
        let parallel = operands.parallel;
        let w = operands.float_mut(0)?;
        let mut outputs = factors::Outputs {
            r: &mut [],
            log_r: &mut [],
            status: &mut [],
        };
        if self.has(Self::R) {
            outputs.r = operands.float_mut(1)?;
        }
        if self.has(Self::LOG) {
            let history = operands.float_mut(2)?;
            outputs.log_r = history.get_mut(self.log_start()..).unwrap_or_default();
        }
        if self.has(Self::STATUS) {
            outputs.status = operands.words_mut(3)?;
        }
        let w = w.get_mut(self.offset as usize..).unwrap_or_default();
        twin::factor(self, w, outputs, parallel);
        Ok(())
    }
}
