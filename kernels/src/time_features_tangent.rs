//! Tangents of the sinusoidal features of flow times.

use crate::addressing::{reach, require_positive};
use crate::rows::Rows;
use crate::tangents::{for_each_block, of_rows};
use crate::time_features::{MARGIN, TimeFeatures, turns_of_words};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;
use std::f64::consts::TAU;

/// The tangents of [`TimeFeatures`]: the derivative of each feature by the flow time s, times
/// `ds = dtime[j] + numerator / denominator dstep_size[j]`, or less that under
/// [`TimeFeatures::REVERSED`], for each of `tangents` tangents.
///
/// By s the features have slopes `w cos(w s)` and `-w sin(w s)`, but the time itself 1 and a quarter of
/// its logit `1 / (4 s (1 - s))`, which is 0 nearer to an end than 2^-23. Where s lies outside `[0, 1]`
/// by more than rounding (2^-20) it is held, and all slopes are 0; where it is not finite they are NaN.
///
/// Operands: time, step_size and frequencies as in the primal; dtime and, under [`TimeFeatures::STAGE`],
/// dstep_size, `[tangents, rows]`, tangents a stride apart, each left out, with a tangent stride of 0,
/// where the operand is constant; dfeatures `[tangents, rows, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct TimeFeaturesTangent {
    /// Rows.
    pub rows: u32,
    /// Features of a row, even.
    pub width: u32,
    /// Numerator of the stage's node, at most the denominator.
    pub numerator: u32,
    /// Denominator of the stage's node, 1 to 32,767.
    pub denominator: u32,
    /// Bit set of [`TimeFeatures::STAGE`] and [`TimeFeatures::REVERSED`].
    pub flags: u32,
    /// Tangents.
    pub tangents: u32,
    /// Elements between tangents of time; 0 where it is constant.
    pub time_tangent_stride: u32,
    /// Elements between tangents of step_size; 0 where it is constant, as it is without
    /// [`TimeFeatures::STAGE`].
    pub step_size_tangent_stride: u32,
    /// Elements between tangents of features.
    pub features_tangent_stride: u32,
}

/// How far outside `[0, 1]` rounding may take a time that ends at an end.
const ROUNDING: f64 = 1.0 / 1_048_576.0;

impl TimeFeaturesTangent {
    /// The tangents of `primal`, those of time, step size and features as far apart as told, in
    /// elements; 0 where time or step size is constant.
    pub fn new(
        primal: TimeFeatures,
        tangents: u32,
        time_tangent_stride: u32,
        step_size_tangent_stride: u32,
        features_tangent_stride: u32,
    ) -> Self {
        Self {
            rows: primal.rows,
            width: primal.width,
            numerator: primal.numerator,
            denominator: primal.denominator,
            flags: primal.flags,
            tangents,
            time_tangent_stride,
            step_size_tangent_stride,
            features_tangent_stride,
        }
    }

    fn primal(&self) -> TimeFeatures {
        TimeFeatures {
            rows: self.rows,
            width: self.width,
            numerator: self.numerator,
            denominator: self.denominator,
            flags: self.flags,
        }
    }

    fn dfeatures(&self) -> Rows {
        let tangents = [self.tangents, self.features_tangent_stride];
        of_rows([self.rows, self.width], [0, self.width], tangents)
    }

    fn node(&self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// Slopes of a row of features by the flow time, where that is `time`, before it is held.
    fn slopes(&self, time: f64, turns: &[f64], slopes: &mut [f64]) {
        let inside = (-ROUNDING..=1.0 + ROUNDING).contains(&time);
        if !inside {
            slopes.fill(if time.is_finite() { 0.0 } else { f64::NAN });
            return;
        }
        let time = time.clamp(0.0, 1.0);
        let (sines, cosines) = slopes.split_at_mut(turns.len());
        for ((sine, cosine), turns) in sines.iter_mut().zip(cosines.iter_mut()).zip(turns) {
            let phase = turns * time;
            let (s, c) = ((phase - phase.floor()) * TAU).sin_cos();
            let frequency = turns * TAU;
            (*sine, *cosine) = (frequency * c, -frequency * s);
        }
        if let (Some(own), Some(logit)) = (sines.first_mut(), cosines.first_mut()) {
            *own = 1.0;
            let bends = (MARGIN..=1.0 - MARGIN).contains(&time);
            *logit = if bends {
                0.25 / (time * (1.0 - time))
            } else {
                0.0
            };
        }
    }
}

impl Kernel for TimeFeaturesTangent {
    const NAME: &'static str = "time_features_tangent";
    const SHADER: &'static str = include_str!("../../shaders/time_features_tangent.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("time"),
        Operand::input("step_size").optional(),
        Operand::input("frequencies").words(),
        Operand::input("dtime").optional(),
        Operand::input("dstep_size").optional(),
        Operand::output("dfeatures"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        self.primal().check_as(Self::NAME)?;
        require_positive(Self::NAME, &[("tangents", self.tangents)])?;
        let staged = self.primal().has(TimeFeatures::STAGE);
        let refuse = |parameter, expected: &str, found: u32| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        if !staged && self.step_size_tangent_stride != 0 {
            let found = self.step_size_tangent_stride;
            return refuse("step_size_tangent_stride", "0 without a stage", found);
        }
        if self.time_tangent_stride == 0 && self.step_size_tangent_stride == 0 {
            let expected = "at least 1 where the step size is constant";
            return refuse("time_tangent_stride", expected, 0);
        }
        self.dfeatures()
            .check(Self::NAME, ("width", "features_tangent_stride"))
    }

    fn extents(&self) -> Vec<usize> {
        let tangent = |stride: u32| match stride {
            0 => 0,
            _ => reach(0, &[(self.rows, 1), (self.tangents, stride)]),
        };
        let mut extents = self.primal().extents();
        extents.pop();
        extents.push(tangent(self.time_tangent_stride));
        extents.push(tangent(self.step_size_tangent_stride));
        extents.push(self.dfeatures().reach());
        extents
    }

    fn cost(&self) -> Cost {
        let features = element_count(&[self.rows, self.width]) as u64;
        let (rows, tangents) = (u64::from(self.rows), u64::from(self.tangents));
        let active = [self.time_tangent_stride, self.step_size_tangent_stride];
        let active = active.iter().filter(|stride| **stride != 0).count() as u64;
        let read: usize = self.primal().extents().iter().take(3).sum();
        let moved = features.saturating_mul(tangents);
        Cost {
            flops: features.saturating_mul(11 + tangents),
            bytes: moved
                .saturating_add(rows.saturating_mul(active * tangents))
                .saturating_add(read as u64)
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let items = (self.rows as usize).saturating_mul(self.width as usize / 2);
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(items, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.tangents) + 1
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let times = operands.float(0)?;
        let sizes = operands.float_or_empty(1)?;
        let turns = turns_of_words(operands.words(2)?, self.width);
        let dtimes = operands.float_or_empty(3)?;
        let dsizes = operands.float_or_empty(4)?;
        let dfeatures = operands.float_mut(5)?;
        let (primal, width) = (self.primal(), self.width as usize);
        let node = self.node();
        let reversed = primal.has(TimeFeatures::REVERSED);
        let sign = if reversed { -1.0 } else { 1.0 };
        let strides = [self.time_tangent_stride, self.step_size_tangent_stride];
        let tangent_of = |operand: usize, data: &[T], j: usize, row: usize| match strides[operand] {
            0 => 0.0,
            stride => data[j * stride as usize + row].to_f64(),
        };
        for_each_block(
            &self.dfeatures(),
            (operands.parallel, 16),
            dfeatures,
            |block, pieces| {
                let mut slopes = vec![0.0; width];
                for row in block.clone() {
                    let mut time = times[row].to_f64();
                    if primal.has(TimeFeatures::STAGE) {
                        time += node * sizes[row].to_f64();
                    }
                    if reversed {
                        time = 1.0 - time;
                    }
                    self.slopes(time, &turns, &mut slopes);
                    for (j, piece) in pieces.iter_mut().enumerate() {
                        let own = tangent_of(0, dtimes, j, row);
                        let ds = sign * (own + node * tangent_of(1, dsizes, j, row));
                        let out = piece[(row - block.start) * width..].iter_mut();
                        for (out, slope) in out.zip(&slopes) {
                            *out = T::from_f64(slope * ds);
                        }
                    }
                }
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::View;
    use crate::test_support::{assert_refuses, central_difference, numbers, run};

    struct Inputs {
        times: Vec<f64>,
        sizes: Vec<f64>,
        dtimes: Vec<f64>,
        dsizes: Vec<f64>,
    }

    fn optional<T>(data: &[T], present: bool) -> View<'_, T> {
        match present {
            true => View::Float(data),
            false => View::Absent,
        }
    }

    fn tangents<T: crate::Scalar>(kernel: TimeFeaturesTangent, inputs: &Inputs) -> Vec<T> {
        let of = |data: &[f64]| -> Vec<T> { data.iter().map(|v| T::from_f64(*v)).collect() };
        let (times, sizes) = (of(&inputs.times), of(&inputs.sizes));
        let (dtimes, dsizes) = (of(&inputs.dtimes), of(&inputs.dsizes));
        let words = TimeFeatures::frequencies(kernel.width);
        let mut out = vec![T::from_f64(5.0); kernel.extents()[5]];
        let views = vec![
            View::Float(&times),
            optional(&sizes, kernel.primal().has(TimeFeatures::STAGE)),
            View::Word(&words),
            optional(&dtimes, kernel.time_tangent_stride != 0),
            optional(&dsizes, kernel.step_size_tangent_stride != 0),
            View::FloatMut(&mut out),
        ];
        run(kernel, views).unwrap();
        out
    }

    fn features(primal: TimeFeatures, times: &[f64], sizes: &[f64]) -> Vec<f64> {
        let words = TimeFeatures::frequencies(primal.width);
        let mut out = vec![0.0; primal.extents()[3]];
        let views = vec![
            View::Float(times),
            optional(sizes, primal.has(TimeFeatures::STAGE)),
            View::Word(&words),
            View::FloatMut(&mut out),
        ];
        run(primal, views).unwrap();
        out
    }

    /// Derivative of entry `entry` by the time.
    fn slope(s: f64, width: usize, entry: usize) -> f64 {
        let half = width / 2;
        if entry == 0 {
            return 1.0;
        }
        if entry == half {
            return (1.0 / s + 1.0 / (1.0 - s)) / 4.0;
        }
        let power = (entry % half) as f64 / (half.max(2) - 1) as f64;
        let frequency = 1000.0 / 10_000f64.powf(power);
        match entry < half {
            true => frequency * (frequency * s).cos(),
            false => -frequency * (frequency * s).sin(),
        }
    }

    const ROWS: usize = 41;
    const TANGENTS: usize = 3;

    fn inputs() -> Inputs {
        let unit = |count, seed| -> Vec<f64> {
            let numbers = numbers(count, seed).into_iter();
            numbers.map(|v| 0.5 + 0.45 * f64::from(v)).collect()
        };
        Inputs {
            times: unit(ROWS, 1)
                .iter()
                .map(|t| f64::from((0.7 * t) as f32))
                .collect(),
            sizes: unit(ROWS, 2)
                .iter()
                .map(|t| f64::from((0.3 * t) as f32))
                .collect(),
            dtimes: unit(TANGENTS * (ROWS + 2), 3),
            dsizes: unit(TANGENTS * (ROWS + 4), 4),
        }
    }

    fn hold(primal: TimeFeatures, active: [bool; 2]) {
        let (rows, width) = (ROWS as u32, primal.width as usize);
        let strides = [(active[0], rows + 2), (active[1], rows + 4)];
        let strides = strides.map(|(active, stride)| if active { stride } else { 0 });
        let apart = primal.width * rows + 1;
        let kernel = TimeFeaturesTangent::new(primal, 3, strides[0], strides[1], apart);
        let inputs = inputs();
        let wide: Vec<f64> = tangents(kernel, &inputs);
        let single: Vec<f32> = tangents(kernel, &inputs);
        let node = if primal.has(TimeFeatures::STAGE) {
            kernel.node()
        } else {
            0.0
        };
        let reversed = primal.has(TimeFeatures::REVERSED);
        for j in 0..TANGENTS {
            let of = |data: &[f64], stride: u32| match stride {
                0 => vec![0.0; ROWS],
                stride => data[j * stride as usize..][..ROWS].to_vec(),
            };
            let (dt, dh) = (
                of(&inputs.dtimes, strides[0]),
                of(&inputs.dsizes, strides[1]),
            );
            let both = |x: &[f64], y: &[f64]| [x, y].concat();
            let values = |x: &[f64]| features(primal, &x[..ROWS], &x[ROWS..]);
            let x = both(&inputs.times, &inputs.sizes);
            let differences = central_difference(values, &x, &both(&dt, &dh));
            for row in 0..ROWS {
                let later = inputs.times[row] + node * inputs.sizes[row];
                let (s, sign) = if reversed {
                    (1.0 - later, -1.0)
                } else {
                    (later, 1.0)
                };
                let ds = sign * (dt[row] + node * dh[row]);
                for entry in 0..width {
                    let at = row * width + entry;
                    let found = wide[j * apart as usize + at];
                    let exact = slope(s, width, entry) * ds;
                    let what = format!("{primal:?}: {found} against {exact}");
                    assert!((found - exact).abs() < 1e-8, "{what}");
                    // A difference of sines is off by the cube of the frequency times h^2 / 6.
                    let index = (entry % (width / 2)) as f64;
                    let steps = (width as f64 / 2.0 - 1.0).max(1.0);
                    let frequency = 1000.0 / 10_000f64.powf(index / steps);
                    let scale = 1.0 + exact.abs();
                    let bound = 1e-7 * scale + frequency.powi(3) * 2e-13;
                    assert!((found - differences[at]).abs() < bound, "{what}");
                    let rounded = f64::from(single[j * apart as usize + at]);
                    assert!((rounded - found).abs() < 1e-6 * scale, "{what}");
                }
            }
        }
    }

    #[test]
    fn follows_the_derivative_and_differences() {
        for width in [2u32, 8, 64] {
            let plain = TimeFeatures::new(ROWS as u32, width);
            for primal in [plain, plain.reversed()] {
                hold(primal, [true, false]);
                for active in [[true, true], [true, false], [false, true]] {
                    hold(primal.at_stage((3, 10)), active);
                }
            }
        }
    }

    fn at(times: &[f64]) -> Vec<f64> {
        let rows = times.len() as u32;
        let kernel = TimeFeaturesTangent::new(TimeFeatures::new(rows, 4), 1, rows, 0, 4 * rows);
        let inputs = Inputs {
            times: times.to_vec(),
            sizes: Vec::new(),
            dtimes: vec![1.0; times.len()],
            dsizes: Vec::new(),
        };
        tangents(kernel, &inputs)
    }

    #[test]
    fn ends_and_what_lies_outside() {
        let ends = at(&[0.0, 1.0, 1.0 + 1e-7]);
        let frequency = 1000.0 / 10_000.0;
        for (row, s) in ends.chunks(4).zip([0.0f64, 1.0, 1.0]) {
            assert_eq!((row[0], row[2]), (1.0, 0.0));
            assert!((row[1] - frequency * (frequency * s).cos()).abs() < 1e-9);
            assert!((row[3] + frequency * (frequency * s).sin()).abs() < 1e-9);
        }
        assert_eq!(at(&[-0.5, 1.5]), [0.0; 8]);
        let bad = at(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        assert!(bad.iter().all(|v| v.is_nan()), "{bad:?}");
    }

    #[test]
    fn a_row_does_not_depend_on_its_batch_nor_a_tangent_on_the_others() {
        let kernel = |rows: u32, tangents| {
            TimeFeaturesTangent::new(TimeFeatures::new(rows, 64), tangents, rows, 0, 64 * rows)
        };
        let all = inputs();
        let together: Vec<f32> = tangents(kernel(ROWS as u32, 3), &all);
        for j in 0..TANGENTS {
            for row in 0..ROWS {
                let one = Inputs {
                    times: vec![all.times[row]],
                    sizes: Vec::new(),
                    dtimes: vec![all.dtimes[j * ROWS + row]],
                    dsizes: Vec::new(),
                };
                let alone: Vec<f32> = tangents(kernel(1, 1), &one);
                assert_eq!(alone, together[(j * ROWS + row) * 64..][..64]);
            }
        }
    }

    #[test]
    fn refuses_what_it_is_not_defined_for() {
        let primal = TimeFeatures::new(2, 6).at_stage((4, 5));
        let good = TimeFeaturesTangent::new(primal, 3, 2, 2, 12);
        good.check().unwrap();
        assert_eq!(good.extents(), [2, 2, 6, 6, 6, 36]);
        assert_refuses(TimeFeaturesTangent { rows: 0, ..good }, "rows");
        assert_refuses(TimeFeaturesTangent { width: 7, ..good }, "width");
        let denominator = 0;
        assert_refuses(
            TimeFeaturesTangent {
                denominator,
                ..good
            },
            "denominator",
        );
        let tangents = 0;
        assert_refuses(TimeFeaturesTangent { tangents, ..good }, "tangents");
        let flags = TimeFeatures::REVERSED;
        let name = "step_size_tangent_stride";
        assert_refuses(TimeFeaturesTangent { flags, ..good }, name);
        let constant = TimeFeaturesTangent {
            time_tangent_stride: 0,
            step_size_tangent_stride: 0,
            ..good
        };
        assert_refuses(constant, "time_tangent_stride");
        let overlapping = TimeFeaturesTangent {
            features_tangent_stride: 11,
            ..good
        };
        assert_refuses(overlapping, "features_tangent_stride");
    }
}
