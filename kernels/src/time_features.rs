//! Sinusoidal features of flow times.

use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_weighted_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;
use std::f64::consts::TAU;

/// Features of the flow time of each row, as the network that reads them sees them:
/// [`flow_time_features`] of `s = time[r]`, or of `s = time[r] + numerator / denominator step_size[r]`
/// under [`TimeFeatures::STAGE`], and of one less that under [`TimeFeatures::REVERSED`].
///
/// Operands: `time` `[rows]`; `step_size` `[rows]`, of which only the first flag makes use;
/// `frequencies`, the words of [`TimeFeatures::frequencies`]; `features` `[rows, width]`. Times and step
/// sizes lie in `[0, 1]`; `s` is clamped to it.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct TimeFeatures {
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
}

/// Fraction bits of a frequency in turns.
const FREQUENCY_BITS: i32 = 48;

/// Distance from the ends of the unit interval that the logit keeps: 2^-23 in every precision.
pub(crate) const MARGIN: f64 = f32::EPSILON as f64;

/// Frequency `i` of `half`, in radians for a unit of time: `1000 * 10000^(-i / max(half - 1, 1))`.
fn frequency(index: usize, half: usize) -> f64 {
    let part = index as f64 / half.saturating_sub(1).max(1) as f64;
    1000.0 * (-(10_000f64.ln()) * part).exp()
}

/// The entries 0 and `half`: the time, and a quarter of its logit.
fn ends(time: f64) -> (f64, f64) {
    let held = time.clamp(MARGIN, 1.0 - MARGIN);
    (time, 0.25 * (held.ln() - (1.0 - held).ln()))
}

/// Features of a flow time `t` in `[0, 1]`, `width` of them, an even number (an odd one is rounded down):
/// with `half = width / 2` and `w_i = 10000^(-i / max(half - 1, 1))`, entry `i` is `sin(1000 t w_i)` and
/// entry `half + i` is `cos(1000 t w_i)`, but entry 0 is `t` and entry `half` is
/// `logit(clamp(t, e, 1 - e)) / 4` with `e = 2^-23`.
pub fn flow_time_features(t: f64, width: u32) -> Vec<f64> {
    let half = width as usize / 2;
    let angles = (0..half).map(|i| frequency(i, half) * t);
    let (mut sines, mut cosines): (Vec<_>, Vec<_>) = angles.map(f64::sin_cos).unzip();
    if let (Some(sine), Some(cosine)) = (sines.first_mut(), cosines.first_mut()) {
        (*sine, *cosine) = ends(t);
    }
    sines.append(&mut cosines);
    sines
}

/// Frequencies in turns for a unit of time, from the words of [`TimeFeatures::frequencies`].
pub(crate) fn turns_of_words(words: &[u32], width: u32) -> Vec<f64> {
    let unit = f64::powi(2.0, -FREQUENCY_BITS);
    words[..2 * (width as usize / 2)]
        .chunks(2)
        .map(|word| (f64::from(word[1]) * 4_294_967_296.0 + f64::from(word[0])) * unit)
        .collect()
}

impl TimeFeatures {
    /// Flag: the time is that of a stage, a part of the row's step later.
    pub const STAGE: u32 = 1;
    /// Flag: one less the time, for networks whose time 1 is noise.
    pub const REVERSED: u32 = 2;

    /// Features of the rows' own times.
    pub fn new(rows: u32, width: u32) -> Self {
        Self {
            rows,
            width,
            numerator: 0,
            denominator: 1,
            flags: 0,
        }
    }

    /// The same at the stage of a step whose node is this ratio, in `[0, 1]`.
    #[must_use]
    pub fn at_stage(mut self, node: crate::runge_kutta::Rational) -> Self {
        let word = |part: i32| u32::try_from(part).unwrap_or(u32::MAX);
        (self.numerator, self.denominator) = (word(node.0), word(node.1));
        self.flags |= Self::STAGE;
        self
    }

    /// The same with time running the other way.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.flags |= Self::REVERSED;
        self
    }

    /// Contents of the operand `frequencies` for a width: low and high word of each frequency in turns
    /// for a unit of time, times 2^48.
    pub fn frequencies(width: u32) -> Vec<u32> {
        let half = width as usize / 2;
        let turns = (0..half).map(|i| frequency(i, half) / TAU);
        turns
            .map(|turns| (turns * f64::powi(2.0, FREQUENCY_BITS)).round() as u64)
            .flat_map(|word| [word as u32, (word >> 32) as u32])
            .collect()
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn half(&self) -> usize {
        self.width as usize / 2
    }

    /// [`Kernel::check`], for the kernel of a name that takes these parameters.
    pub(crate) fn check_as(&self, kernel: &'static str) -> Result<(), KernelError> {
        let even = self.width > 0 && self.width.is_multiple_of(2);
        let elements = element_count(&[self.rows, self.width]);
        let whole = elements <= u32::MAX as usize;
        let node = self.numerator <= self.denominator;
        let part = (1..1 << 15).contains(&self.denominator);
        for (parameter, fits, expected, found) in [
            ("rows", self.rows > 0, "at least 1", self.rows),
            ("width", even, "an even number, at least 2", self.width),
            (
                "width",
                whole,
                "at most 2^32 - 1 elements in all",
                self.width,
            ),
            ("denominator", part, "1..=32767", self.denominator),
            ("numerator", node, "at most the denominator", self.numerator),
            ("flags", self.flags <= 3, "0..=3", self.flags),
        ] {
            if !fits {
                return Err(KernelError::parameter(kernel, parameter, expected, found));
            }
        }
        Ok(())
    }
}

impl Kernel for TimeFeatures {
    const NAME: &'static str = "time_features";
    const SHADER: &'static str = include_str!("../../shaders/time_features.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("time"),
        Operand::input("step_size").optional(),
        Operand::input("frequencies").words(),
        Operand::output("features"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        self.check_as(Self::NAME)
    }

    fn extents(&self) -> Vec<usize> {
        let stage = self.has(Self::STAGE);
        vec![
            self.rows as usize,
            if stage { self.rows as usize } else { 0 },
            self.half().saturating_mul(2),
            element_count(&[self.rows, self.width]),
        ]
    }

    fn cost(&self) -> Cost {
        let read: usize = self.extents().iter().take(3).sum();
        let features = element_count(&[self.rows, self.width]) as u64;
        Cost {
            flops: features.saturating_mul(10),
            bytes: features.saturating_add(read as u64).saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let items = (self.rows as usize).saturating_mul(self.half());
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(items, 64),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let times = operands.float(0)?;
        let sizes = operands.float_or_empty(1)?;
        let words = operands.words(2)?;
        let parallel = operands.parallel;
        let features = operands.float_mut(3)?;
        let features = &mut features[..element_count(&[self.rows, self.width])];
        let turns = turns_of_words(words, self.width);
        let node = f64::from(self.numerator) / f64::from(self.denominator);
        // Double precision also for single results: an angle of 1000 leaves f32 no bits to spare.
        for_each_weighted_row(parallel, features, self.width as usize, 32, |row, out| {
            let mut time = times[row].to_f64();
            if self.has(Self::STAGE) {
                time += node * sizes[row].to_f64();
            }
            if self.has(Self::REVERSED) {
                time = 1.0 - time;
            }
            let time = time.clamp(0.0, 1.0);
            let (sines, cosines) = out.split_at_mut(turns.len());
            for ((sine, cosine), turns) in sines.iter_mut().zip(cosines.iter_mut()).zip(&turns) {
                let phase = turns * time;
                let (s, c) = ((phase - phase.floor()) * TAU).sin_cos();
                (*sine, *cosine) = (T::from_f64(s), T::from_f64(c));
            }
            let (first, middle) = ends(time);
            (sines[0], cosines[0]) = (T::from_f64(first), T::from_f64(middle));
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::View;
    use crate::test_support::{assert_refuses, run};

    fn features<T: crate::Scalar>(kernel: TimeFeatures, times: &[T], sizes: &[T]) -> Vec<T> {
        let words = TimeFeatures::frequencies(kernel.width);
        let mut out = vec![T::ZERO; kernel.extents()[3]];
        let sizes = match sizes.is_empty() {
            true => View::Absent,
            false => View::Float(sizes),
        };
        let views = vec![
            View::Float(times),
            sizes,
            View::Word(&words),
            View::FloatMut(&mut out),
        ];
        run(kernel, views).unwrap();
        out
    }

    /// The definition, one number at a time.
    fn exact(t: f64, width: usize, entry: usize) -> f64 {
        let half = width / 2;
        if entry == 0 {
            return t;
        }
        if entry == half {
            let e = 2f64.powi(-23);
            let t = t.max(e).min(1.0 - e);
            return (t / (1.0 - t)).ln() / 4.0;
        }
        let power = (entry % half) as f64 / (half.max(2) - 1) as f64;
        let angle = 1000.0 * t / 10_000f64.powf(power);
        if entry < half {
            angle.sin()
        } else {
            angle.cos()
        }
    }

    fn grid() -> Vec<f32> {
        let inner = (0..=64u32).map(|i| i as f32 / 64.0);
        let odd = (0..200u32).map(|i| (i.wrapping_mul(0x9E37_79B1) >> 8) as f32 / 16_777_216.0);
        inner.chain(odd).chain([1e-7, 1.0 - 6e-8]).collect()
    }

    #[test]
    fn both_precisions_follow_the_definition() {
        let single = grid();
        let double: Vec<f64> = single.iter().map(|t| f64::from(*t)).collect();
        for width in [2u32, 4, 6, 64, 254] {
            let kernel = TimeFeatures::new(single.len() as u32, width);
            let found = features::<f32>(kernel, &single, &[]);
            let wide = features::<f64>(kernel, &double, &[]);
            for (row, t) in double.iter().enumerate() {
                let host = flow_time_features(*t, width);
                for (entry, host) in host.iter().enumerate() {
                    let expected = exact(*t, width as usize, entry);
                    let at = row * width as usize + entry;
                    let what = format!("t = {t}, entry {entry} of {width}");
                    assert!((host - expected).abs() < 1e-11, "{what}");
                    assert!((wide[at] - expected).abs() < 1e-11, "{what}");
                    assert!((f64::from(found[at]) - expected).abs() < 3e-7, "{what}");
                }
            }
        }
    }

    #[test]
    fn stages_and_reversed_time() {
        let kernel = TimeFeatures::new(3, 10);
        let (times, sizes) = ([0.0, 0.25, 0.9], [0.5, 0.125, 0.4]);
        for (numerator, denominator) in [(0, 1), (3, 10), (8, 9), (1, 1)] {
            let node = f64::from(numerator) / f64::from(denominator);
            let stage = kernel.at_stage((numerator, denominator));
            for reversed in [false, true] {
                let kernel = if reversed { stage.reversed() } else { stage };
                let found = features::<f64>(kernel, &times, &sizes);
                for row in 0..3 {
                    // The last row's stage may lie past the end, where time is held.
                    let time = (times[row] + node * sizes[row]).min(1.0);
                    let time = if reversed { 1.0 - time } else { time };
                    for entry in 0..10 {
                        let expected = exact(time, 10, entry);
                        assert!((found[row * 10 + entry] - expected).abs() < 1e-9);
                    }
                }
            }
        }
    }

    #[test]
    fn frequencies_keep_every_bit_that_matters() {
        let words = TimeFeatures::frequencies(64);
        for (index, pair) in words.chunks(2).enumerate() {
            let word = u64::from(pair[1]) << 32 | u64::from(pair[0]);
            let radians = word as f64 / 2f64.powi(48) * TAU;
            let expected = 1000.0 / 10_000f64.powf(index as f64 / 31.0);
            assert!((radians - expected).abs() < 1e-12 * (1.0 + expected));
        }
    }

    #[test]
    fn refuses_what_it_is_not_defined_for() {
        let good = TimeFeatures::new(2, 6).at_stage((4, 5));
        assert!(good.check().is_ok());
        assert_refuses(TimeFeatures { rows: 0, ..good }, "rows");
        assert_refuses(TimeFeatures { width: 0, ..good }, "width");
        assert_refuses(TimeFeatures { width: 7, ..good }, "width");
        let rows = u32::MAX;
        assert_refuses(TimeFeatures { rows, ..good }, "width");
        assert_refuses(TimeFeatures { flags: 4, ..good }, "flags");
        assert_refuses(good.at_stage((6, 5)), "numerator");
        assert_refuses(good.at_stage((-1, 5)), "numerator");
        assert_refuses(good.at_stage((0, 0)), "denominator");
        assert_refuses(good.at_stage((1, 32_768)), "denominator");
    }
}
