//! Scalars from distributions over bins: the read-out of TD-MPC2's reward and value.

use crate::addressing::{reach, require_finite, require_positive};
use crate::lanes::{LANES, ROW_ENTRY_POINTS, lane_max, row_launch, tree};
use crate::softmax::{divisor_of, shift_of};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_weighted_row,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `y = base + weight * alive * aggregate of v over members`, row by row, where `v` is the number that
/// logits `x`, `[members, rows, bins]`, stand for: the expectation under their softmax of `bins` values
/// spaced evenly from `low` to `high`, taken back from the symmetric logarithmic scale (Hafner et al. 2023),
/// `symexp(s) = sign(s) (e^|s| - 1)`.
///
/// 0 bins stand for the number itself, 1 for its symmetric logarithm; both have one logit. The aggregate is
/// the mean, or the least under [`TwoHot::LEAST`]. `base` and `alive`, `[rows]`, are there if their flag is
/// set. `y` is contiguous, `[rows]`. NaN among a row's logits gives NaN.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct TwoHot {
    /// Rows.
    pub rows: u32,
    /// Bins.
    pub bins: u32,
    /// Logits that are decoded for one row and aggregated.
    pub members: u32,
    /// First logit.
    pub x_offset: u32,
    /// Elements between members.
    pub x_member_stride: u32,
    /// Elements between rows.
    pub x_row_stride: u32,
    /// First element of y.
    pub y_offset: u32,
    /// Value of the first bin, on the symmetric logarithmic scale.
    pub low: f32,
    /// Value of the last bin.
    pub high: f32,
    /// Factor on the decoded number.
    pub weight: f32,
    /// Bit set of [`TwoHot::BASE`], [`TwoHot::ALIVE`] and [`TwoHot::LEAST`].
    pub flags: u32,
}

impl TwoHot {
    /// Flag: the result is added to `base`.
    pub const BASE: u32 = 1;
    /// Flag: the decoded number is multiplied by `alive`.
    pub const ALIVE: u32 = 2;
    /// Flag: of several members the least counts, not their mean.
    pub const LEAST: u32 = 4;

    /// Plain numbers of contiguous logits `[rows, max(bins, 1)]`.
    pub fn decode(rows: u32, bins: u32, low: f32, high: f32) -> Self {
        Self {
            rows,
            bins,
            members: 1,
            x_offset: 0,
            x_member_stride: 0,
            x_row_stride: bins.max(1),
            y_offset: 0,
            low,
            high,
            weight: 1.0,
            flags: 0,
        }
    }

    /// The same of contiguous logits `[members, rows, max(bins, 1)]`.
    #[must_use]
    pub fn of_members(self, members: u32) -> Self {
        Self {
            members,
            x_member_stride: self.rows.saturating_mul(self.width()),
            ..self
        }
    }

    fn width(&self) -> u32 {
        self.bins.max(1)
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The mean or the least of a row's numbers, one a member. A method, not a closure: what is called inside
    /// a loop is only vectorised with it if it is inlined.
    #[inline(always)]
    fn aggregate<T: Real>(&self, x: &[T], values: &[T], row: usize) -> T {
        let width = self.width() as usize;
        let start = self.x_offset as usize + row * self.x_row_stride as usize;
        let mut total = T::ZERO;
        for member in 0..self.members as usize {
            let first = start + member * self.x_member_stride as usize;
            let own = self.value(&x[first..first + width], values);
            total = match (member, self.has(Self::LEAST)) {
                (0, _) => own,
                (_, false) => total + own,
                // NaN is less than any number.
                (_, true) if total.is_nan() || total < own => total,
                (_, true) => own,
            };
        }
        match self.has(Self::LEAST) {
            true => total,
            false => total / T::from_f64(f64::from(self.members)),
        }
    }

    /// The number that a row of logits stands for.
    #[inline(always)]
    fn value<T: Real>(&self, logits: &[T], values: &[T]) -> T {
        let first = logits.first().copied().unwrap_or(T::ZERO);
        match self.bins {
            0 => first,
            1 => symexp(first),
            _ => {
                let shift = shift_of(lane_max(logits));
                let (mut sums, mut moments) = ([T::ZERO; LANES], [T::ZERO; LANES]);
                for (logits, values) in logits.chunks(LANES).zip(values.chunks(LANES)) {
                    let lanes = sums.iter_mut().zip(&mut moments);
                    for ((sum, moment), (x, value)) in lanes.zip(logits.iter().zip(values)) {
                        let power = (*x - shift).exp();
                        *sum += power;
                        *moment += power * *value;
                    }
                }
                let divisor = divisor_of(tree(sums, |a, b| a + b));
                symexp(tree(moments, |a, b| a + b) / divisor)
            }
        }
    }
}

/// `sign(s) (e^|s| - 1)`.
#[inline(always)]
pub(crate) fn symexp<T: Real>(s: T) -> T {
    let magnitude = s.abs().exp() - T::ONE;
    if s < T::ZERO { -magnitude } else { magnitude }
}

/// `sign(x) ln(1 + |x|)`.
#[inline(always)]
pub(crate) fn symlog<T: Real>(x: T) -> T {
    let magnitude = x.abs().ln_1p();
    if x < T::ZERO { -magnitude } else { magnitude }
}

/// Checks what decoding and encoding have alike.
pub(crate) fn check_bins(
    kernel: &'static str,
    bins: u32,
    low: f32,
    high: f32,
) -> Result<(), KernelError> {
    require_finite(kernel, "low", low)?;
    require_finite(kernel, "high", high)?;
    // e^88 is the largest power that single precision holds.
    if bins > 1 && !(high > low && low >= -88.0 && high <= 88.0) {
        let expected = format!("a number above low = {low}, both within -88 and 88");
        return Err(KernelError::parameter(kernel, "high", expected, high));
    }
    Ok(())
}

/// Values of the bins.
pub(crate) fn bin_values<T: Real>(bins: u32, low: f32, high: f32) -> Vec<T> {
    let (low, high) = (T::from_f32(low), T::from_f32(high));
    let width = (high - low) / T::from_f64(f64::from(bins.max(2) - 1));
    (0..bins)
        .map(|bin| low + T::from_f64(f64::from(bin)) * width)
        .collect()
}

impl Kernel for TwoHot {
    const NAME: &'static str = "two_hot";
    const SHADER: &'static str = include_str!("../../shaders/two_hot.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = ROW_ENTRY_POINTS;
    const OPERANDS: &'static [Operand] = &[
        Operand::input("x"),
        Operand::input("base").optional(),
        Operand::input("alive").optional(),
        Operand::output("y"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[("rows", self.rows), ("members", self.members)],
        )?;
        check_bins(Self::NAME, self.bins, self.low, self.high)?;
        require_finite(Self::NAME, "weight", self.weight)?;
        if self.flags > 7 {
            return Err(KernelError::parameter(
                Self::NAME,
                "flags",
                "0..=7",
                self.flags,
            ));
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let rows = self.rows as usize;
        let optional = |flag| if self.has(flag) { rows } else { 0 };
        let logits = [
            (self.members, self.x_member_stride),
            (self.rows, self.x_row_stride),
            (self.width(), 1),
        ];
        vec![
            reach(self.x_offset as usize, &logits),
            optional(Self::BASE),
            optional(Self::ALIVE),
            (self.y_offset as usize).saturating_add(rows),
        ]
    }

    fn cost(&self) -> Cost {
        let decoded = u64::from(self.rows).saturating_mul(u64::from(self.members));
        let logits = decoded.saturating_mul(u64::from(self.width()));
        let extra = u64::from(self.has(Self::BASE)) + u64::from(self.has(Self::ALIVE));
        let moved = logits.saturating_add(u64::from(self.rows).saturating_mul(1 + extra));
        Cost {
            // A logit: maximum, difference, exponential, its sum, product with its bin and their sum. A
            // number: division, exponential, difference, aggregate. A row: weight and what else there is.
            flops: (6 * logits)
                .saturating_add(4 * decoded)
                .saturating_add(u64::from(self.rows) * (1 + extra)),
            bytes: moved.saturating_mul(4),
        }
    }

    fn launch(&self, capabilities: &Capabilities) -> Launch {
        row_launch(self.rows as usize, capabilities)
    }

    fn software_iterations(&self) -> u64 {
        let width = u64::from(self.width());
        // A block of 128 counts as one more, and so does the end of its loop.
        u64::from(self.members).saturating_mul(2 * width + 3 * width.div_ceil(128) + 8)
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let base = operands.float_or_empty(1)?;
        let alive = operands.float_or_empty(2)?;
        let start = self.y_offset as usize;
        let y = &mut operands.float_mut(3)?[start..start + self.rows as usize];
        let terms = element_count(&[self.members, self.width()]);
        let values: Vec<T> = bin_values(self.bins, self.low, self.high);
        let weight = T::from_f32(self.weight);
        for_each_weighted_row(
            operands.parallel,
            y,
            1,
            terms.saturating_mul(16),
            #[inline(always)]
            |row, out| {
                let total = self.aggregate(x, &values, row);
                let mut term = weight * total;
                if self.has(Self::ALIVE) {
                    term *= alive[row];
                }
                if self.has(Self::BASE) {
                    term = base[row] + term;
                }
                out.fill(term);
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::TwoHot;
    use crate::test_support::{assert_close, assert_refuses, numbers, run, widen};
    use crate::{Kernel, Scalar, View};

    fn decode<T: Scalar>(kernel: TwoHot, x: &[T], base: &[T], alive: &[T]) -> Vec<T> {
        let mut y = vec![T::from_f64(7.0); kernel.extents()[3]];
        let optional = |data, flag| match kernel.flags & flag {
            0 => View::Absent,
            _ => View::Float(data),
        };
        let views = vec![
            View::Float(x),
            optional(base, TwoHot::BASE),
            optional(alive, TwoHot::ALIVE),
            View::FloatMut(&mut y),
        ];
        run(kernel, views).unwrap();
        y
    }

    fn number(logits: &[f32], bins: usize) -> f64 {
        let s = match bins {
            0 => return f64::from(logits[0]),
            1 => f64::from(logits[0]),
            _ => {
                let powers: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
                let total: f64 = powers.iter().sum();
                let step = 14.0 / (bins - 1) as f64;
                let pairs = powers.iter().enumerate();
                pairs
                    .map(|(i, p)| p / total * (-6.0 + i as f64 * step))
                    .sum()
            }
        };
        s.signum() * s.abs().exp_m1()
    }

    #[test]
    fn matches_the_formula() {
        for (rows, bins, members) in [(1, 0, 1), (5, 1, 3), (3, 2, 1), (7, 101, 2), (2, 33, 5)] {
            for flags in 0..8 {
                let width = bins.max(1) as usize;
                let kernel = TwoHot {
                    x_offset: 3,
                    x_row_stride: bins + 2,
                    x_member_stride: rows * (bins + 2) + 1,
                    y_offset: 1,
                    weight: 0.75,
                    members,
                    flags,
                    ..TwoHot::decode(rows, bins, -6.0, 8.0)
                };
                let x: Vec<f32> = numbers(kernel.extents()[0], 4)
                    .iter()
                    .map(|v| 3.0 * v)
                    .collect();
                let (base, alive) = (numbers(rows as usize, 5), numbers(rows as usize, 6));
                let found = decode(kernel, &x, &base, &alive);
                let wide = decode(kernel, &widen(&x), &widen(&base), &widen(&alive));
                let mut expected = vec![7.0];
                for row in 0..rows as usize {
                    let all = (0..members as usize).map(|member| {
                        let first = 3
                            + member * (rows as usize * (bins as usize + 2) + 1)
                            + row * (bins as usize + 2);
                        number(&x[first..first + width], bins as usize)
                    });
                    let mut value = match flags & TwoHot::LEAST {
                        0 => all.sum::<f64>() / f64::from(members),
                        _ => all.fold(f64::INFINITY, f64::min),
                    };
                    value *= 0.75;
                    if flags & TwoHot::ALIVE != 0 {
                        value *= f64::from(alive[row]);
                    }
                    if flags & TwoHot::BASE != 0 {
                        value += f64::from(base[row]);
                    }
                    expected.push(value);
                }
                assert_close(&found, &expected, 4e-6, "two_hot");
                for (wide, expected) in wide.iter().zip(&expected) {
                    assert!((wide - expected).abs() <= 1e-12 * (1.0 + expected.abs()));
                }
            }
        }
    }

    #[test]
    fn logits_without_weight_and_not_a_number() {
        let low = f32::NEG_INFINITY;
        let kernel = TwoHot::decode(3, 3, -1.0, 1.0);
        let x = [low, low, 2.0, f32::NAN, 0.0, 0.0, low, 0.0, low];
        let y = decode(kernel, &x, &[], &[]);
        assert!((f64::from(y[0]) - 1f64.exp_m1()).abs() < 1e-6);
        assert!(y[1].is_nan());
        assert_eq!(y[2], 0.0);
        let least = TwoHot {
            flags: TwoHot::LEAST,
            ..TwoHot::decode(1, 0, -1.0, 1.0).of_members(3)
        };
        for x in [
            [1.0, f32::NAN, 2.0],
            [f32::NAN, 1.0, 2.0],
            [2.0, 1.0, f32::NAN],
        ] {
            assert!(decode(least, &x, &[], &[])[0].is_nan(), "{x:?}");
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_batch() {
        let x = numbers(600 * 51, 5);
        let all = decode(TwoHot::decode(600, 51, -10.0, 10.0), &x, &[], &[]);
        for (x, y) in x.chunks(51).zip(all) {
            let alone = decode(TwoHot::decode(1, 51, -10.0, 10.0), x, &[], &[]);
            assert_eq!(alone, [y]);
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = TwoHot::decode(2, 3, -1.0, 1.0);
        good.check().unwrap();
        assert_refuses(TwoHot { rows: 0, ..good }, "rows");
        assert_refuses(TwoHot { members: 0, ..good }, "members");
        assert_refuses(TwoHot { high: -1.0, ..good }, "high");
        assert_refuses(TwoHot { high: 89.0, ..good }, "high");
        assert_refuses(
            TwoHot {
                low: f32::NAN,
                ..good
            },
            "low",
        );
        assert_refuses(
            TwoHot {
                weight: f32::INFINITY,
                ..good
            },
            "weight",
        );
        assert_refuses(TwoHot { flags: 8, ..good }, "flags");
        let cost = good.of_members(2).cost();
        assert_eq!((cost.flops, cost.bytes), (6 * 12 + 4 * 4 + 2, 4 * (12 + 2)));
    }
}
