//! What the tangents of layer norm and RMS norm share. With n = (x - c) f the normed row, c its centre
//! and f the reciprocal root,
//!
//! `dn = f (dx - m - n mean(n (dx - m)))`, m = mean(dx) for layer norm and 0 for RMS norm,
//!
//! and with a = n weight + bias, `dy = dn weight (1 + scale) + a dscale + dshift`.

use crate::lanes::lane_sum;
use crate::row_norm::{BIAS, MODULATION, RowNorm, Vectors, WEIGHT};
use crate::tangent_views::Tangents;
use crate::{Cost, KernelError, Operand, Operands, Real, for_each_weighted_row};

/// Operands of both norms' tangents. The shift itself has no part in them.
pub(crate) const OPERANDS: &[Operand] = &[
    Operand::input("x"),
    Operand::input("weight").optional(),
    Operand::input("bias").optional(),
    Operand::input("scale").optional(),
    Operand::input("dx"),
    Operand::input("dscale").optional(),
    Operand::input("dshift").optional(),
    Operand::output("dy"),
];

/// Flag: the scale has tangents.
pub(crate) const SCALE_TANGENT: u32 = 8;
/// Flag: the shift has tangents.
pub(crate) const SHIFT_TANGENT: u32 = 16;

/// A norm's tangent, whichever norm it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowNormTangent {
    /// The primal norm, with its own flags only.
    pub primal: RowNorm,
    /// All flags.
    pub flags: u32,
    pub tangents: u32,
    pub x_stride: u32,
    pub scale_stride: u32,
    pub shift_stride: u32,
    pub y_stride: u32,
    /// Whether the mean of dx is taken out, as layer norm does.
    pub centred: bool,
}

impl RowNormTangent {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn dx(&self) -> Tangents {
        Tangents {
            rows: self.primal.x,
            count: self.tangents,
            stride: self.x_stride,
        }
    }

    fn dy(&self) -> Tangents {
        Tangents {
            rows: self.primal.y,
            count: self.tangents,
            stride: self.y_stride,
        }
    }

    fn modulation(&self, vectors: &Vectors, stride: u32) -> Tangents {
        Tangents {
            rows: vectors.rows,
            count: self.tangents,
            stride,
        }
    }

    pub fn check(&self) -> Result<(), KernelError> {
        let kernel = self.primal.kernel;
        if self.flags > 31 {
            return Err(KernelError::parameter(
                kernel, "flags", "0..=31", self.flags,
            ));
        }
        if !self.has(MODULATION) && self.has(SCALE_TANGENT | SHIFT_TANGENT) {
            return Err(KernelError::parameter(
                kernel,
                "flags",
                "a modulation under the tangents of its scale or shift",
                self.flags,
            ));
        }
        crate::addressing::require_positive(kernel, &[("tangents", self.tangents)])?;
        self.primal.check()?;
        self.dy().check(kernel, "y_tangent_stride")
    }

    pub fn extents(&self) -> Vec<usize> {
        let optional = |flag, extent| if self.has(flag) { extent } else { 0 };
        let width = self.primal.x.width as usize;
        let (scale, shift) = (&self.primal.scale, &self.primal.shift);
        let dscale = self.modulation(scale, self.scale_stride).reach();
        let dshift = self.modulation(shift, self.shift_stride).reach();
        let bias = if self.has(SCALE_TANGENT) {
            optional(BIAS, width)
        } else {
            0
        };
        vec![
            self.primal.x.reach(),
            optional(WEIGHT, width),
            bias,
            optional(MODULATION, scale.start.saturating_add(scale.rows.reach())),
            self.dx().reach(),
            optional(SCALE_TANGENT, scale.start.saturating_add(dscale)),
            optional(SHIFT_TANGENT, shift.start.saturating_add(dshift)),
            self.dy().reach(),
        ]
    }

    /// Work, given what the statistics of one row cost beside its elements, and of one element.
    pub fn cost(&self, flops_a_row: u64, flops_an_element: u64) -> Cost {
        let width = u64::from(self.primal.x.width);
        let rows = u64::from(self.primal.x.batch).saturating_mul(u64::from(self.primal.x.rows));
        let (elements, tangents) = (rows.saturating_mul(width), u64::from(self.tangents));
        let (scales, shifts) = (self.primal.scale.count(), self.primal.shift.count());
        // Product with n and sum; n times the mean, difference, factor; and the mean taken out of dx.
        let mut per_tangent = 5 + 2 * u64::from(self.centred);
        let mut once = elements.saturating_mul(flops_an_element);
        let mut moved = elements.saturating_add(elements.saturating_mul(2 * tangents));
        if self.has(WEIGHT) {
            per_tangent += 1;
            moved = moved.saturating_add(width);
        }
        if self.has(MODULATION) {
            per_tangent += 1;
            once = once.saturating_add(scales);
            moved = moved.saturating_add(scales);
        }
        if self.has(SCALE_TANGENT) {
            per_tangent += 2;
            let affine = u64::from(self.has(WEIGHT)) + u64::from(self.has(BIAS));
            once = once.saturating_add(elements.saturating_mul(affine));
            moved = moved.saturating_add(scales.saturating_mul(tangents));
            moved = moved.saturating_add(width * u64::from(self.has(BIAS)));
        }
        if self.has(SHIFT_TANGENT) {
            per_tangent += 1;
            moved = moved.saturating_add(shifts.saturating_mul(tangents));
        }
        Cost {
            flops: elements
                .saturating_mul(per_tangent.saturating_mul(tangents))
                .saturating_add(once)
                .saturating_add(rows.saturating_mul(flops_a_row)),
            bytes: moved.saturating_mul(4),
        }
    }

    /// Runs the twin; `statistics` gives (c, f) of a row of x.
    #[inline(always)]
    pub fn apply<T: Real>(
        &self,
        operands: &mut Operands<'_, T>,
        statistics: impl Fn(&[T], T) -> (T, T) + Send + Sync,
    ) -> Result<(), KernelError> {
        let inputs = Inputs {
            kernel: self,
            x: operands.float(0)?,
            weight: operands.float_or_empty(1)?,
            bias: operands.float_or_empty(2)?,
            scale: operands.float_or_empty(3)?,
            dx: operands.float(4)?,
            dscale: operands.float_or_empty(5)?,
            dshift: operands.float_or_empty(6)?,
        };
        let dy = operands.float_mut(7)?;
        let (parallel, x) = (operands.parallel, self.primal.x);
        let epsilon = T::from_f32(self.primal.epsilon);
        let rows = x.rows as usize;
        // (c, f) of every row, once for all tangents.
        let mut known = vec![[T::ZERO; 2]; x.batch as usize * rows];
        for_each_weighted_row(
            parallel,
            &mut known,
            1,
            x.width as usize,
            #[inline(always)]
            |index, known| {
                let row = x.row(inputs.x, index / rows, index % rows);
                let (centre, factor) = statistics(row, epsilon);
                known.iter_mut().for_each(|k| *k = [centre, factor]);
            },
        );
        let examples = x.batch as usize;
        if let Some(all) = self.dy().merged() {
            all.for_each(
                parallel,
                dy,
                #[inline(always)]
                |index, row, out| {
                    let place = (index / examples, index % examples, row);
                    inputs.row(place, known[place.1 * rows + row], out);
                },
            );
            return Ok(());
        }
        let own = crate::rows::Rows {
            offset: 0,
            ..self.primal.y
        };
        for (tangent, part) in self.dy().split(dy).enumerate() {
            own.for_each(
                parallel,
                part,
                #[inline(always)]
                |example, row, out| {
                    inputs.row((tangent, example, row), known[example * rows + row], out);
                },
            );
        }
        Ok(())
    }
}

/// What a row of dy is made of; absent inputs are empty.
struct Inputs<'a, T> {
    kernel: &'a RowNormTangent,
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    scale: &'a [T],
    dx: &'a [T],
    dscale: &'a [T],
    dshift: &'a [T],
}

impl<T: Real> Inputs<'_, T> {
    /// One row of one tangent.
    #[inline(always)]
    fn row(
        &self,
        (tangent, example, row): (usize, usize, usize),
        [centre, factor]: [T; 2],
        out: &mut [T],
    ) {
        let p = self.kernel;
        let x = p.primal.x.row(self.x, example, row);
        let dx = p.primal.x.row(p.dx().of(self.dx, tangent), example, row);
        let count = T::from_f64(x.len() as f64);
        let mean = match p.centred {
            true => lane_sum(dx, |v| v) / count,
            false => T::ZERO,
        };
        for ((dy, x), dx) in out.iter_mut().zip(x).zip(dx) {
            *dy = (*x - centre) * factor * (*dx - mean);
        }
        let along = lane_sum(out, |v| v) / count;
        for ((dy, x), dx) in out.iter_mut().zip(x).zip(dx) {
            *dy = factor * ((*dx - mean) - (*x - centre) * factor * along);
        }
        if p.has(WEIGHT) {
            out.iter_mut()
                .zip(self.weight)
                .for_each(|(dy, w)| *dy *= *w);
        }
        if p.has(MODULATION) {
            let scale = p.modulation(&p.primal.scale, 0);
            let scale = scale
                .rows
                .row(&self.scale[p.primal.scale.start..], example, row);
            out.iter_mut()
                .zip(scale)
                .for_each(|(dy, s)| *dy *= T::ONE + *s);
        }
        if p.has(SCALE_TANGENT) {
            let dscale = p.modulation(&p.primal.scale, p.scale_stride);
            let part = dscale.of(&self.dscale[p.primal.scale.start..], tangent);
            let dscale = dscale.rows.row(part, example, row);
            for (column, ((dy, x), ds)) in out.iter_mut().zip(x).zip(dscale).enumerate() {
                let mut affine = (*x - centre) * factor;
                if p.has(WEIGHT) {
                    affine *= self.weight[column];
                }
                if p.has(BIAS) {
                    affine += self.bias[column];
                }
                *dy += affine * *ds;
            }
        }
        if p.has(SHIFT_TANGENT) {
            let dshift = p.modulation(&p.primal.shift, p.shift_stride);
            let part = dshift.of(&self.dshift[p.primal.shift.start..], tangent);
            let dshift = dshift.rows.row(part, example, row);
            out.iter_mut().zip(dshift).for_each(|(dy, d)| *dy += *d);
        }
    }
}

/// Defines the tangent of a norm: its parameter block, which both norms have alike, and its kernel.
macro_rules! row_norm_tangent {
    (
        $(#[$doc:meta])* $name:ident of $primal:ident, $kernel:literal, $shader:literal,
        centred: $centred:literal, cost: ($row:literal, $element:literal), statistics: $statistics:path
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
                "::BIAS`], [`", stringify!($name), "::MODULATION`], [`", stringify!($name),
                "::SCALE_TANGENT`], [`", stringify!($name), "::SHIFT_TANGENT`]."
            )]
            pub flags: u32,
            /// Added to the mean square under the root.
            pub epsilon: f32,
            /// Tangents.
            pub tangents: u32,
            /// Elements between tangents of x.
            pub x_tangent_stride: u32,
            /// Elements between tangents of the scale.
            pub scale_tangent_stride: u32,
            /// Elements between tangents of the shift.
            pub shift_tangent_stride: u32,
            /// Elements between tangents of y.
            pub y_tangent_stride: u32,
        }

        impl $name {
            /// Flag: there is a weight, `[width]`.
            pub const WEIGHT: u32 = $crate::row_norm::WEIGHT;
            /// Flag: there is a bias, `[width]`.
            pub const BIAS: u32 = $crate::row_norm::BIAS;
            /// Flag: there are a scale and a shift.
            pub const MODULATION: u32 = $crate::row_norm::MODULATION;
            /// Flag: the scale has tangents.
            pub const SCALE_TANGENT: u32 = $crate::row_norm_tangent::SCALE_TANGENT;
            /// Flag: the shift has tangents.
            pub const SHIFT_TANGENT: u32 = $crate::row_norm_tangent::SHIFT_TANGENT;

            /// The tangents of a norm. `x` and `y` are the elements between one tangent and the next of
            /// its input and output, `scale` and `shift` those of its modulation, `None` for one that
            /// is constant.
            pub fn new(
                primal: $primal,
                tangents: u32,
                x: u32,
                [scale, shift]: [Option<u32>; 2],
                y: u32,
            ) -> Self {
                let flag = |stride: Option<u32>, flag| stride.map_or(0, |_| flag);
                Self {
                    batch: primal.batch,
                    rows: primal.rows,
                    width: primal.width,
                    x_offset: primal.x_offset,
                    x_batch_stride: primal.x_batch_stride,
                    x_row_stride: primal.x_row_stride,
                    y_offset: primal.y_offset,
                    y_batch_stride: primal.y_batch_stride,
                    y_row_stride: primal.y_row_stride,
                    scale_offset: primal.scale_offset,
                    scale_batch_stride: primal.scale_batch_stride,
                    scale_row_stride: primal.scale_row_stride,
                    scale_step_stride: primal.scale_step_stride,
                    shift_offset: primal.shift_offset,
                    shift_batch_stride: primal.shift_batch_stride,
                    shift_row_stride: primal.shift_row_stride,
                    shift_step_stride: primal.shift_step_stride,
                    step: primal.step,
                    flags: primal.flags
                        | flag(scale, Self::SCALE_TANGENT)
                        | flag(shift, Self::SHIFT_TANGENT),
                    epsilon: primal.epsilon,
                    tangents,
                    x_tangent_stride: x,
                    scale_tangent_stride: scale.unwrap_or(0),
                    shift_tangent_stride: shift.unwrap_or(0),
                    y_tangent_stride: y,
                }
            }

            /// The norm that this is the tangent of.
            pub fn primal(&self) -> $primal {
                $primal {
                    batch: self.batch,
                    rows: self.rows,
                    width: self.width,
                    x_offset: self.x_offset,
                    x_batch_stride: self.x_batch_stride,
                    x_row_stride: self.x_row_stride,
                    y_offset: self.y_offset,
                    y_batch_stride: self.y_batch_stride,
                    y_row_stride: self.y_row_stride,
                    scale_offset: self.scale_offset,
                    scale_batch_stride: self.scale_batch_stride,
                    scale_row_stride: self.scale_row_stride,
                    scale_step_stride: self.scale_step_stride,
                    shift_offset: self.shift_offset,
                    shift_batch_stride: self.shift_batch_stride,
                    shift_row_stride: self.shift_row_stride,
                    shift_step_stride: self.shift_step_stride,
                    step: self.step,
                    flags: self.flags & 7,
                    epsilon: self.epsilon,
                }
            }

            fn norm(&self) -> $crate::row_norm_tangent::RowNormTangent {
                $crate::row_norm_tangent::RowNormTangent {
                    primal: $crate::row_norm::RowNorm {
                        kernel: $kernel,
                        ..self.primal().norm()
                    },
                    flags: self.flags,
                    tangents: self.tangents,
                    x_stride: self.x_tangent_stride,
                    scale_stride: self.scale_tangent_stride,
                    shift_stride: self.shift_tangent_stride,
                    y_stride: self.y_tangent_stride,
                    centred: $centred,
                }
            }
        }

        impl $crate::Kernel for $name {
            const NAME: &'static str = $kernel;
            const SHADER: &'static str = include_str!($shader);
            const ENTRY_POINTS: &'static [&'static str] = $crate::lanes::ROW_ENTRY_POINTS;
            const OPERANDS: &'static [$crate::Operand] = $crate::row_norm_tangent::OPERANDS;

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
                // The statistics and the two means go four elements at a time.
                let width = u64::from(self.width);
                (width / 2 + 16)
                    .saturating_add(u64::from(self.tangents).saturating_mul(3 * width / 2 + 16))
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
pub(crate) use row_norm_tangent;
