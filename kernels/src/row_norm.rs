//! What layer norm and RMS norm share: parameters, addressing, the affine and modulation stages.

use crate::addressing::distinct_count;
use crate::rows::Rows;
use crate::{Activation, KernelError, Operand, Operands, Real};

/// Operands of both norms.
pub(crate) const OPERANDS: &[Operand] = &[
    Operand::input("x"),
    Operand::input("weight").optional(),
    Operand::input("bias").optional(),
    Operand::input("scale").optional(),
    Operand::input("shift").optional(),
    Operand::output("y"),
];

/// Flag: there is a weight.
pub(crate) const WEIGHT: u32 = 1;
/// Flag: there is a bias.
pub(crate) const BIAS: u32 = 2;
/// Flag: there is a modulation.
pub(crate) const MODULATION: u32 = 4;

/// The modulation's scales or shifts: one vector a row, an example, a step, or for all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vectors {
    /// First element at this step; may lie beyond what 32 bits hold, and is then refused by its extent.
    pub start: usize,
    /// The vectors from there on.
    pub rows: Rows,
}

impl Vectors {
    fn reach(&self) -> usize {
        self.start.saturating_add(self.rows.reach())
    }

    /// Elements that differ from each other.
    pub fn count(&self) -> u64 {
        distinct_count(&[
            (self.rows.batch, self.rows.batch_stride),
            (self.rows.rows, self.rows.row_stride),
            (self.rows.width, 1),
        ])
    }
}

/// A norm's parameters, whichever norm it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowNorm {
    pub kernel: &'static str,
    pub x: Rows,
    pub y: Rows,
    pub scale: Vectors,
    pub shift: Vectors,
    pub flags: u32,
    pub epsilon: f32,
    pub activation: Activation,
}

impl RowNorm {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub fn check(&self) -> Result<(), KernelError> {
        crate::addressing::require_positive(
            self.kernel,
            &[
                ("batch", self.x.batch),
                ("rows", self.x.rows),
                ("width", self.x.width),
            ],
        )?;
        if !self.y.distinct() {
            return Err(KernelError::parameter(
                self.kernel,
                "y_row_stride",
                "strides of y under which no two rows share an element",
                format!("{} and {}", self.y.batch_stride, self.y.row_stride),
            ));
        }
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return Err(KernelError::parameter(
                self.kernel,
                "epsilon",
                "a finite number, 0 or more",
                self.epsilon,
            ));
        }
        if self.flags > 7 {
            return Err(KernelError::parameter(
                self.kernel,
                "flags",
                "0..=7",
                self.flags,
            ));
        }
        self.activation.check(self.kernel)
    }

    pub fn extents(&self) -> Vec<usize> {
        let optional = |flag, extent| if self.has(flag) { extent } else { 0 };
        let width = self.x.width as usize;
        vec![
            self.x.reach(),
            optional(WEIGHT, width),
            optional(BIAS, width),
            optional(MODULATION, self.scale.reach()),
            optional(MODULATION, self.shift.reach()),
            self.y.reach(),
        ]
    }

    /// Work, given what the statistics of one row cost beside its elements, and of one element.
    pub fn cost(&self, flops_a_row: u64, flops_an_element: u64) -> crate::Cost {
        let width = u64::from(self.x.width);
        let rows = u64::from(self.x.batch).saturating_mul(u64::from(self.x.rows));
        let elements = rows.saturating_mul(width);
        let mut per_element = flops_an_element + self.activation.flops();
        let mut moved = elements.saturating_mul(2);
        let mut once = 0;
        for flag in [WEIGHT, BIAS] {
            if self.has(flag) {
                per_element += 1;
                moved = moved.saturating_add(width);
            }
        }
        if self.has(MODULATION) {
            per_element += 2;
            let (scales, shifts) = (self.scale.count(), self.shift.count());
            moved = moved.saturating_add(scales).saturating_add(shifts);
            // 1 + scale, once for each scale.
            once = scales;
        }
        crate::Cost {
            flops: elements
                .saturating_mul(per_element)
                .saturating_add(rows.saturating_mul(flops_a_row))
                .saturating_add(once),
            bytes: moved.saturating_mul(4),
        }
    }

    /// y = (x - centre) * factor, then weight, bias, modulation and activation; `statistics` gives (centre, factor).
    #[inline(always)]
    pub fn apply<T: Real>(
        &self,
        operands: &mut Operands<'_, T>,
        statistics: impl Fn(&[T], T) -> (T, T) + Send + Sync,
    ) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let weight = operands.float_or_empty(1)?;
        let bias = operands.float_or_empty(2)?;
        let scale = operands.float_or_empty(3)?;
        let shift = operands.float_or_empty(4)?;
        let y = operands.float_mut(5)?;
        let (scale, shift) = if self.has(MODULATION) {
            (&scale[self.scale.start..], &shift[self.shift.start..])
        } else {
            (scale, shift)
        };
        let epsilon = T::from_f32(self.epsilon);
        self.y.for_each(
            operands.parallel,
            y,
            #[inline(always)]
            |example, row, out| {
                let input = self.x.row(x, example, row);
                let (centre, factor) = statistics(input, epsilon);
                for (y, x) in out.iter_mut().zip(input) {
                    *y = (*x - centre) * factor;
                }
                if self.has(WEIGHT) {
                    out.iter_mut().zip(weight).for_each(|(y, w)| *y *= *w);
                }
                if self.has(BIAS) {
                    out.iter_mut().zip(bias).for_each(|(y, b)| *y += *b);
                }
                if self.has(MODULATION) {
                    let scale = self.scale.rows.row(scale, example, row);
                    let shift = self.shift.rows.row(shift, example, row);
                    for ((y, scale), shift) in out.iter_mut().zip(scale).zip(shift) {
                        *y = *y * (T::ONE + *scale) + *shift;
                    }
                }
                self.activation.apply_slice(out);
            },
        );
        Ok(())
    }
}

/// Defines a norm: its parameter block, which both norms have alike, and its kernel.
macro_rules! row_norm {
    (
        $(#[$doc:meta])* $name:ident, $kernel:literal, $shader:literal,
        cost: ($row:literal, $element:literal), statistics: $statistics:path
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable, serde::Serialize)]
        #[repr(C)]
        pub struct $name {
            /// Examples.
            pub batch: u32,
            /// Rows of an example.
            pub rows: u32,
            /// Elements of a row.
            pub width: u32,
            /// First element of x.
            pub x_offset: u32,
            /// Elements between examples of x.
            pub x_batch_stride: u32,
            /// Elements between rows of x.
            pub x_row_stride: u32,
            /// First element of y.
            pub y_offset: u32,
            /// Elements between examples of y.
            pub y_batch_stride: u32,
            /// Elements between rows of y.
            pub y_row_stride: u32,
            /// First element of the modulation's scale at step 0.
            pub scale_offset: u32,
            /// Elements between the scales of successive examples; 0 shares one vector.
            pub scale_batch_stride: u32,
            /// Elements between the scales of successive rows of an example; 0 shares one vector.
            pub scale_row_stride: u32,
            /// Elements between the scales of successive steps of an orbit.
            pub scale_step_stride: u32,
            /// First element of the modulation's shift at step 0.
            pub shift_offset: u32,
            /// Elements between the shifts of successive examples; 0 shares one vector.
            pub shift_batch_stride: u32,
            /// Elements between the shifts of successive rows of an example; 0 shares one vector.
            pub shift_row_stride: u32,
            /// Elements between the shifts of successive steps of an orbit.
            pub shift_step_stride: u32,
            /// Step of the orbit; set by [`Kernel::at_step`](crate::Kernel::at_step).
            pub step: u32,
            #[doc = concat!(
                "Bit set of [`", stringify!($name), "::WEIGHT`], [`", stringify!($name),
                "::BIAS`], [`", stringify!($name), "::MODULATION`]."
            )]
            pub flags: u32,
            /// Added to the mean square under the root.
            pub epsilon: f32,
            /// Applied to the result.
            pub activation: $crate::Activation,
        }

        impl $name {
            /// Flag: there is a weight, `[width]`.
            pub const WEIGHT: u32 = $crate::row_norm::WEIGHT;
            /// Flag: there is a bias, `[width]`.
            pub const BIAS: u32 = $crate::row_norm::BIAS;
            /// Flag: there are a scale and a shift, one vector a row, an example or for all.
            pub const MODULATION: u32 = $crate::row_norm::MODULATION;

            /// Contiguous x and y, `[batch, rows, width]`; scale and shift, if flagged, contiguous
            /// `[batch, width]`, the same at every step.
            pub fn contiguous(batch: u32, rows: u32, width: u32, epsilon: f32, flags: u32) -> Self {
                let batch_stride = rows.saturating_mul(width);
                Self {
                    batch,
                    rows,
                    width,
                    x_offset: 0,
                    x_batch_stride: batch_stride,
                    x_row_stride: width,
                    y_offset: 0,
                    y_batch_stride: batch_stride,
                    y_row_stride: width,
                    scale_offset: 0,
                    scale_batch_stride: width,
                    scale_row_stride: 0,
                    scale_step_stride: 0,
                    shift_offset: 0,
                    shift_batch_stride: width,
                    shift_row_stride: 0,
                    shift_step_stride: 0,
                    step: 0,
                    flags,
                    epsilon,
                    activation: $crate::Activation::IDENTITY,
                }
            }

            pub(crate) fn norm(&self) -> $crate::row_norm::RowNorm {
                let view = |offset, batch_stride, row_stride| $crate::rows::Rows {
                    batch: self.batch,
                    rows: self.rows,
                    width: self.width,
                    offset,
                    batch_stride,
                    row_stride,
                };
                let vectors = |offset: u32, step_stride: u32, rows| {
                    let moved = (self.step as usize).saturating_mul(step_stride as usize);
                    let start = moved.saturating_add(offset as usize);
                    $crate::row_norm::Vectors { start, rows }
                };
                let scales = view(0, self.scale_batch_stride, self.scale_row_stride);
                let shifts = view(0, self.shift_batch_stride, self.shift_row_stride);
                $crate::row_norm::RowNorm {
                    kernel: $kernel,
                    x: view(self.x_offset, self.x_batch_stride, self.x_row_stride),
                    y: view(self.y_offset, self.y_batch_stride, self.y_row_stride),
                    scale: vectors(self.scale_offset, self.scale_step_stride, scales),
                    shift: vectors(self.shift_offset, self.shift_step_stride, shifts),
                    flags: self.flags,
                    epsilon: self.epsilon,
                    activation: self.activation,
                }
            }
        }

        impl $crate::Kernel for $name {
            const NAME: &'static str = $kernel;
            const SHADER: &'static str = include_str!($shader);
            const ENTRY_POINTS: &'static [&'static str] = $crate::lanes::ROW_ENTRY_POINTS;
            const OPERANDS: &'static [$crate::Operand] = $crate::row_norm::OPERANDS;

            fn check(&self) -> Result<(), $crate::KernelError> {
                self.norm().check()
            }

            fn extents(&self) -> Vec<usize> {
                self.norm().extents()
            }

            fn cost(&self) -> $crate::Cost {
                self.norm().cost($row, $element)
            }

            fn launch(&self, capabilities: &$crate::Capabilities) -> $crate::Launch {
                let rows = $crate::element_count(&[self.batch, self.rows]);
                $crate::lanes::row_launch(rows, capabilities)
            }

            fn at_step(&self, step: u32) -> Self {
                Self { step, ..*self }
            }

            fn software_iterations(&self) -> u64 {
                // The statistics go four elements at a time.
                3 * u64::from(self.width) / 2 + 16
            }

            fn twin<T: $crate::Real>(
                &self,
                operands: &mut $crate::Operands<'_, T>,
            ) -> Result<(), $crate::KernelError> {
                self.norm().apply(
                    operands,
                    #[inline(always)]
                    |row, epsilon| $statistics(row, epsilon),
                )
            }
        }
    };
}
pub(crate) use row_norm;
