//! What the tangents of layer norm and RMS norm share. With n = (x - c) f the normed row, c its centre
//! and f the reciprocal root,
//!
//! `dn = f (dx - m - n mean(n (dx - m)))`, m = mean(dx) for layer norm and 0 for RMS norm,
//!
//! and with a = n weight + bias, `dy = dn weight (1 + scale) + a dscale + dshift`.

mod definition;

pub(crate) use definition::row_norm_tangent;

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
