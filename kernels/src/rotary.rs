//! Rotary position embedding.

use crate::addressing::{distinct_count, require_positive};
use crate::rows::Rows;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

#[cfg(test)]
mod tests;

/// Which elements of a head are turned together, as a word that the shader branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct RotaryPairs(u32);

impl RotaryPairs {
    /// Pair j is elements (2j, 2j + 1), as in the paper.
    pub const INTERLEAVED: Self = Self(0);
    /// Pair j is elements (j, j + head_dim / 2), as in GPT-NeoX and Llama checkpoints.
    pub const HALVES: Self = Self(1);
}

/// Rotary position embedding (Su et al. 2021), in place: every pair (a, b) of every head of
/// `x`, `[batch, rows, heads, head_dim]`, becomes `(a cos - b sin, a sin + b cos)`.
///
/// The tables `cosine` and `sine` are contiguous `[positions, head_dim / 2]`; row r of each example takes
/// their row `first_position + r`, and pair j its column j. Heads of a row are contiguous; queries and keys
/// that are neighbours in a fused projection are turned as one x of twice the heads.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Rotary {
    /// Examples.
    pub batch: u32,
    /// Rows of an example.
    pub rows: u32,
    /// Heads of a row.
    pub heads: u32,
    /// Elements of a head; even.
    pub head_dim: u32,
    /// First element of x.
    pub x_offset: u32,
    /// Elements between examples of x.
    pub x_batch_stride: u32,
    /// Elements between rows of x.
    pub x_row_stride: u32,
    /// Row of the tables for the first row of every example.
    pub first_position: u32,
    /// Which elements are a pair.
    pub pairs: RotaryPairs,
}

impl Rotary {
    /// Contiguous `x`, `[batch, rows, heads, head_dim]`, from position 0 on.
    pub fn contiguous(
        batch: u32,
        rows: u32,
        heads: u32,
        head_dim: u32,
        pairs: RotaryPairs,
    ) -> Self {
        let row_stride = heads.saturating_mul(head_dim);
        Self {
            batch,
            rows,
            heads,
            head_dim,
            x_offset: 0,
            x_batch_stride: rows.saturating_mul(row_stride),
            x_row_stride: row_stride,
            first_position: 0,
            pairs,
        }
    }

    /// Queries and keys of a fused projection `[batch, rows, 3, heads, head_dim]`, from position 0 on; the
    /// values stay as they are. What [`crate::attention::Attention::fused`] reads.
    pub fn fused(batch: u32, rows: u32, heads: u32, head_dim: u32, pairs: RotaryPairs) -> Self {
        let row_stride = heads.saturating_mul(head_dim).saturating_mul(3);
        Self {
            x_batch_stride: rows.saturating_mul(row_stride),
            x_row_stride: row_stride,
            ..Self::contiguous(batch, rows, heads.saturating_mul(2), head_dim, pairs)
        }
    }

    fn x(&self) -> Rows {
        Rows {
            offset: self.x_offset,
            batch: self.batch,
            batch_stride: self.x_batch_stride,
            rows: self.rows,
            row_stride: self.x_row_stride,
            width: self.heads.saturating_mul(self.head_dim),
        }
    }

    /// Elements of a table before a row of it.
    fn position(&self, row: usize) -> usize {
        row.saturating_add(self.first_position as usize)
            .saturating_mul(self.head_dim as usize / 2)
    }

    #[inline(always)]
    fn turn<T: Real>(&self, head: &mut [T], cosine: &[T], sine: &[T]) {
        if self.pairs == RotaryPairs::HALVES {
            let (first, second) = head.split_at_mut(cosine.len());
            let pairs = first.iter_mut().zip(second).zip(cosine.iter().zip(sine));
            for ((a, b), (cos, sin)) in pairs {
                (*a, *b) = turned(*a, *b, *cos, *sin);
            }
        } else {
            let pairs = head.chunks_exact_mut(2).zip(cosine.iter().zip(sine));
            for (pair, (cos, sin)) in pairs {
                (pair[0], pair[1]) = turned(pair[0], pair[1], *cos, *sin);
            }
        }
    }
}

#[inline(always)]
fn turned<T: Real>(a: T, b: T, cos: T, sin: T) -> (T, T) {
    (a * cos - b * sin, a * sin + b * cos)
}

impl Kernel for Rotary {
    const NAME: &'static str = "rotary";
    const SHADER: &'static str = include_str!("../../shaders/rotary.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::output("x").in_place(),
        Operand::input("cosine"),
        Operand::input("sine"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("batch", self.batch),
                ("rows", self.rows),
                ("heads", self.heads),
                ("head_dim", self.head_dim),
            ],
        )?;
        let refuse = |parameter, expected: &str, found: String| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        if !self.head_dim.is_multiple_of(2) {
            return refuse("head_dim", "an even number", self.head_dim.to_string());
        }
        if self.heads.checked_mul(self.head_dim).is_none() {
            return refuse(
                "heads",
                "heads * head_dim within 32 bits",
                self.heads.to_string(),
            );
        }
        if !self.x().distinct() {
            return refuse(
                "x_row_stride",
                "strides of x under which no two rows share an element",
                format!("{} and {}", self.x_batch_stride, self.x_row_stride),
            );
        }
        if self.pairs.0 > 1 {
            return refuse("pairs", "0..=1", self.pairs.0.to_string());
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let table = self.position(self.rows as usize);
        vec![self.x().reach(), table, table]
    }

    fn cost(&self) -> Cost {
        let row = u64::from(self.heads).saturating_mul(u64::from(self.head_dim));
        let rows = distinct_count(&[(self.batch, 1), (self.rows, 1)]);
        let elements = rows.saturating_mul(row);
        let tables = u64::from(self.rows).saturating_mul(u64::from(self.head_dim));
        Cost {
            // Four products, a sum and a difference a pair.
            flops: elements.saturating_mul(3),
            bytes: elements
                .saturating_mul(2)
                .saturating_add(tables)
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let pairs = element_count(&[self.batch, self.rows, self.heads, self.head_dim / 2]);
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(pairs, 256),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float_mut(0)?;
        let cosine = operands.float(1)?;
        let sine = operands.float(2)?;
        self.x().for_each(
            operands.parallel,
            x,
            #[inline(always)]
            |_, row, heads| {
                let of_row = self.position(row)..self.position(row + 1);
                let (cosine, sine) = (&cosine[of_row.clone()], &sine[of_row]);
                for head in heads.chunks_exact_mut(self.head_dim as usize) {
                    self.turn(head, cosine, sine);
                }
            },
        );
        Ok(())
    }
}
