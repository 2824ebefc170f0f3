//! Sum of table rows: token, time and position embeddings.

use crate::rows::Rows;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups, simd,
};
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;
use serde::Serialize;

/// `out[b, r, :] = table[ids[b, r]]`, plus `time_table[t]` with
/// `t = time_ids[step * time_step_stride + b * time_batch_stride]` under [`Embedding::TIME`], plus
/// `position_table[r]` under [`Embedding::POSITION`], added in this order.
///
/// `ids` is `[batch, rows]`, `table` `[table_rows, width]`, `time_table` `[time_rows, width]`,
/// `position_table` `[rows, width]`, all contiguous. `out` is addressed by offset and strides, with
/// contiguous columns.
///
/// The twin refuses an id that is not below its table's rows; the shader takes the last row instead.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Embedding {
    /// Examples.
    pub batch: u32,
    /// Tokens of an example.
    pub rows: u32,
    /// Numbers of an embedding.
    pub width: u32,
    /// First element of the output.
    pub out_offset: u32,
    /// Elements between examples of the output.
    pub out_batch_stride: u32,
    /// Elements between rows of the output.
    pub out_row_stride: u32,
    /// Rows of the token table.
    pub table_rows: u32,
    /// Rows of the time table.
    pub time_rows: u32,
    /// Words between the time ids of successive steps; 0 keeps one for all steps.
    pub time_step_stride: u32,
    /// Words between the time ids of successive examples; 0 shares one among them.
    pub time_batch_stride: u32,
    /// Step of the orbit; set by [`Kernel::at_step`].
    pub step: u32,
    /// Bit set of [`Embedding::TIME`] and [`Embedding::POSITION`].
    pub flags: u32,
}

impl Embedding {
    /// Flag: add a row of the time table.
    pub const TIME: u32 = 1;
    /// Flag: add the row's own row of the position table.
    pub const POSITION: u32 = 2;

    /// Plain look-up of `ids` `[batch, rows]` into a contiguous `[batch, rows, width]`.
    pub fn lookup(batch: u32, rows: u32, width: u32, table_rows: u32) -> Self {
        Self {
            batch,
            rows,
            width,
            out_offset: 0,
            out_batch_stride: rows.saturating_mul(width),
            out_row_stride: width,
            table_rows,
            time_rows: 0,
            time_step_stride: 0,
            time_batch_stride: 0,
            step: 0,
            flags: 0,
        }
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn output(&self) -> Rows {
        Rows {
            offset: self.out_offset,
            batch: self.batch,
            batch_stride: self.out_batch_stride,
            rows: self.rows,
            row_stride: self.out_row_stride,
            width: self.width,
        }
    }

    /// Place of an example's time id.
    fn time_place(&self, example: u32) -> usize {
        let step = u64::from(self.step) * u64::from(self.time_step_stride);
        let within = u64::from(example) * u64::from(self.time_batch_stride);
        usize::try_from(step.saturating_add(within)).unwrap_or(usize::MAX)
    }
}

/// Refuses an id beyond its table.
fn check_ids(operand: &str, ids: &[u32], rows: u32) -> Result<(), KernelError> {
    match ids.iter().position(|id| *id >= rows) {
        None => Ok(()),
        Some(place) => Err(KernelError::Operand {
            kernel: Embedding::NAME,
            operand: operand.to_string(),
            expected: format!("ids below the table's {rows} rows"),
            found: format!("id {} at {place}", ids[place]),
        }),
    }
}

impl Kernel for Embedding {
    const NAME: &'static str = "embedding";
    const SHADER: &'static str = include_str!("../../shaders/embedding.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("ids").words(),
        Operand::input("table"),
        Operand::input("time_ids").words().optional(),
        Operand::input("time_table").optional(),
        Operand::input("position_table").optional(),
        Operand::output("out"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let mut sizes = vec![
            ("batch", self.batch),
            ("rows", self.rows),
            ("width", self.width),
            ("table_rows", self.table_rows),
        ];
        if self.has(Self::TIME) {
            sizes.push(("time_rows", self.time_rows));
        }
        for (parameter, value) in sizes {
            if value == 0 {
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    "at least 1",
                    0,
                ));
            }
        }
        if self.flags > 3 {
            return Err(KernelError::parameter(
                Self::NAME,
                "flags",
                "0..=3",
                self.flags,
            ));
        }
        self.output()
            .check(Self::NAME, ("out_row_stride", "out_batch_stride"))
    }

    fn extents(&self) -> Vec<usize> {
        let optional = |flag, extent| if self.has(flag) { extent } else { 0 };
        let time_ids = self
            .time_place(self.batch.saturating_sub(1))
            .saturating_add(1);
        vec![
            element_count(&[self.batch, self.rows]),
            element_count(&[self.table_rows, self.width]),
            optional(Self::TIME, time_ids),
            optional(Self::TIME, element_count(&[self.time_rows, self.width])),
            optional(Self::POSITION, element_count(&[self.rows, self.width])),
            self.output().reach(),
        ]
    }

    fn cost(&self) -> Cost {
        let outputs = element_count(&[self.batch, self.rows, self.width]) as u64;
        let terms = 1 + u64::from(self.has(Self::TIME)) + u64::from(self.has(Self::POSITION));
        let tokens = element_count(&[self.batch, self.rows]) as u64;
        let row_reads = |rows: u64| rows.saturating_mul(u64::from(self.width));
        let mut elements = tokens.saturating_add(outputs);
        // A table is read where it is looked up, at most all of it.
        elements = elements.saturating_add(row_reads(tokens.min(self.table_rows.into())));
        if self.has(Self::TIME) {
            elements = elements.saturating_add(row_reads(self.batch.min(self.time_rows).into()));
        }
        if self.has(Self::POSITION) {
            elements = elements.saturating_add(row_reads(self.rows.into()));
        }
        Cost {
            flops: outputs.saturating_mul(terms - 1),
            bytes: elements.saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let items = element_count(&[self.batch, self.rows, self.width]);
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(items, 64),
        }
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let ids = operands.words(0)?;
        let table = operands.float(1)?;
        let time_ids = operands.words_or_empty(2)?;
        let time_table = operands.float_or_empty(3)?;
        let position_table = operands.float_or_empty(4)?;
        let parallel = operands.parallel;
        let out = operands.float_mut(5)?;
        let (rows, width) = (self.rows as usize, self.width as usize);
        check_ids("ids", &ids[..self.batch as usize * rows], self.table_rows)?;
        if self.has(Self::TIME) {
            for example in 0..self.batch {
                let place = self.time_place(example);
                check_ids("time_ids", &time_ids[place..=place], self.time_rows)?;
            }
        }
        let run = |(example, _, out): (usize, usize, &mut [T])| {
            simd(
                #[inline(always)]
                || {
                    for row in 0..rows {
                        let at = |id: usize| id * width..(id + 1) * width;
                        let start = row * self.out_row_stride as usize;
                        let out = &mut out[start..start + width];
                        out.copy_from_slice(&table[at(ids[example * rows + row] as usize)]);
                        if self.has(Self::TIME) {
                            let id = time_ids[self.time_place(example as u32)] as usize;
                            add(out, &time_table[at(id)]);
                        }
                        if self.has(Self::POSITION) {
                            add(out, &position_table[at(row)]);
                        }
                    }
                },
            );
        };
        let tasks = self.output().split(out, rows);
        if parallel && element_count(&[self.batch, self.rows, self.width]) > 64 * 1024 {
            tasks.into_par_iter().for_each(run);
        } else {
            tasks.into_iter().for_each(run);
        }
        Ok(())
    }
}

#[inline(always)]
fn add<T: Real>(out: &mut [T], term: &[T]) {
    for (value, term) in out.iter_mut().zip(term) {
        *value += *term;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyKernel, View};

    fn run(
        kernel: Embedding,
        ids: &[u32],
        time_ids: &[u32],
        parallel: bool,
    ) -> Result<Vec<f64>, KernelError> {
        let extents = kernel.extents();
        let data = |index: usize| -> Vec<f64> {
            let salt = index * 1000;
            (0..extents[index]).map(|i| (salt + i) as f64).collect()
        };
        let (table, time, position) = (data(1), data(3), data(4));
        let mut out = vec![-1.0; extents[5] + 3];
        let float = |x| match <[f64]>::is_empty(x) {
            true => View::Absent,
            false => View::Float(x),
        };
        let views = vec![
            View::Word(ids),
            View::Float(&table),
            if time_ids.is_empty() {
                View::Absent
            } else {
                View::Word(time_ids)
            },
            float(&time),
            float(&position),
            View::FloatMut(&mut out),
        ];
        let mut operands = Operands::new(Embedding::NAME, Embedding::OPERANDS, views, parallel);
        AnyKernel::from(kernel).twin(&mut operands)?;
        Ok(out)
    }

    #[test]
    fn looks_up_and_adds() {
        for flags in 0..4 {
            for (batch, rows, width) in [(1u32, 1u32, 1u32), (3, 5, 7), (40, 41, 65)] {
                let kernel = Embedding {
                    out_offset: 2,
                    out_batch_stride: rows * (width + 3) + 5,
                    out_row_stride: width + 3,
                    time_rows: 11,
                    time_step_stride: batch,
                    time_batch_stride: 1,
                    flags,
                    ..Embedding::lookup(batch, rows, width, 13)
                }
                .at_step(2);
                let ids: Vec<u32> = (0..batch * rows).map(|i| i * 5 % 13).collect();
                let times: Vec<u32> = (0..3 * batch).map(|i| i * 7 % 11).collect();
                let timed = flags & Embedding::TIME != 0;
                let out = run(kernel, &ids, if timed { &times } else { &[] }, true).unwrap();
                let mut expected = vec![-1.0; out.len()];
                for b in 0..batch {
                    for r in 0..rows {
                        for c in 0..width {
                            let mut value = 1000 + ids[(b * rows + r) as usize] * width + c;
                            if timed {
                                value += 3000 + times[(2 * batch + b) as usize] * width + c;
                            }
                            if flags & Embedding::POSITION != 0 {
                                value += 4000 + r * width + c;
                            }
                            let place = 2 + b * kernel.out_batch_stride + r * (width + 3) + c;
                            expected[place as usize] = f64::from(value);
                        }
                    }
                }
                assert_eq!(out, expected, "{kernel:?}");
            }
        }
    }

    #[test]
    fn refuses_ids_beyond_the_table() {
        let kernel = Embedding::lookup(1, 3, 2, 4);
        let error = run(kernel, &[0, 4, 1], &[], false).unwrap_err().to_string();
        assert!(
            error.contains("id 4 at 1") && error.contains("4 rows"),
            "{error}"
        );
        let timed = Embedding {
            time_rows: 2,
            flags: Embedding::TIME,
            ..kernel
        };
        let error = run(timed, &[0, 1, 2], &[2], false).unwrap_err().to_string();
        assert!(
            error.contains("time_ids") && error.contains("id 2"),
            "{error}"
        );
        let later = Embedding {
            time_step_stride: 1,
            ..timed
        }
        .at_step(1);
        assert!(
            run(later, &[0, 1, 2], &[0], false).is_err(),
            "a step without time ids"
        );
    }

    #[test]
    fn refuses_bad_parameters() {
        let good = Embedding::lookup(2, 3, 4, 5);
        assert!(good.check().is_ok());
        for bad in [
            Embedding { batch: 0, ..good },
            Embedding { width: 0, ..good },
            Embedding {
                table_rows: 0,
                ..good
            },
            Embedding { flags: 4, ..good },
            Embedding {
                flags: Embedding::TIME,
                ..good
            },
            Embedding {
                out_row_stride: 3,
                ..good
            },
            Embedding {
                out_batch_stride: 11,
                ..good
            },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
