//! Counter-based random numbers.

use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// What [`Philox`] makes of the random bits, as a word that the shader branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct RandomKind(u32);

impl RandomKind {
    /// Uniform on `[0, 1)`: the upper 24 bits of a word, times 2^-24.
    pub const UNIFORM: Self = Self(0);
    /// Two floats `(high, low)` an element whose exact sum is uniform on `[0, 1)` with 48 bits:
    /// 24 bits of one word times 2^-24, and 24 bits of the next times 2^-48.
    pub const UNIFORM_PAIR: Self = Self(1);
    /// Standard normal by the Box-Muller transform of successive word pairs.
    pub const NORMAL: Self = Self(2);
    /// Exponential of rate one: `-ln u` for `u = (n + 1/2) 2^-23` and n the upper 23 bits of a word, so that
    /// neither zero nor infinity occurs.
    pub const EXPONENTIAL: Self = Self(3);

    /// Floats written for one element.
    pub fn floats(self) -> u32 {
        if self == Self::UNIFORM_PAIR { 2 } else { 1 }
    }
}

/// Fills `out` with random numbers of Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
/// numbers: as easy as 1, 2, 3", SC 2011).
///
/// `out` is `[rows, length]`, or `[rows, length, 2]` for [`RandomKind::UNIFORM_PAIR`]. The floats of a
/// row come in blocks of four, one call each, with key `(seed_low, seed_high)` and counter
/// `(block, step, first_example + row, stream)`. What an example draws at a step therefore depends on
/// neither the batch it is in nor the steps before, and streams never overlap.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Philox {
    /// Examples.
    pub rows: u32,
    /// Elements of one example.
    pub length: u32,
    /// Example number of the first row, for a part of a larger batch.
    pub first_example: u32,
    /// Iteration; set by [`Kernel::at_step`].
    pub step: u32,
    /// Which of several independent draws of one step this is.
    pub stream: u32,
    /// Lower half of the seed.
    pub seed_low: u32,
    /// Upper half of the seed.
    pub seed_high: u32,
    /// Distribution.
    pub kind: RandomKind,
}

impl Philox {
    /// A fill of `[rows, length]` at step 0 for examples from 0.
    pub fn new(kind: RandomKind, rows: u32, length: u32, seed: u64, stream: u32) -> Self {
        Self {
            rows,
            length,
            first_example: 0,
            step: 0,
            stream,
            seed_low: seed as u32,
            seed_high: (seed >> 32) as u32,
            kind,
        }
    }

    /// Floats of one row.
    fn width(&self) -> usize {
        element_count(&[self.length, self.kind.floats()])
    }

    /// The four floats of one block of one row.
    pub(crate) fn block<T: Real>(&self, row: u32, block: u32) -> [T; 4] {
        let counter = [
            block,
            self.step,
            self.first_example.wrapping_add(row),
            self.stream,
        ];
        let bits = philox4x32(counter, [self.seed_low, self.seed_high]);
        if self.kind == RandomKind::NORMAL {
            let [a, b] = normals(bits[0], bits[1]);
            let [c, d] = normals(bits[2], bits[3]);
            return [a, b, c, d];
        }
        if self.kind == RandomKind::EXPONENTIAL {
            return bits.map(|word| -T::from_f64((f64::from(word >> 9) + 0.5) * INVERSE_23).ln());
        }
        let mut values = bits.map(|word| T::from_f64(f64::from(word >> 8) * INVERSE_24));
        if self.kind == RandomKind::UNIFORM_PAIR {
            let low = T::from_f64(INVERSE_24);
            values[1] *= low;
            values[3] *= low;
        }
        values
    }
}

const INVERSE_24: f64 = 1.0 / 16_777_216.0;
const INVERSE_23: f64 = 1.0 / 8_388_608.0;

/// Ten rounds of Philox4x32 over a counter under a key: 128 random bits.
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [
            key[0].wrapping_add(0x9E37_79B9),
            key[1].wrapping_add(0xBB67_AE85),
        ];
    }
    counter
}

/// Box-Muller: two normals from two words. The nearest quarter turn is taken off the angle exactly,
/// so that sine and cosine see at most an eighth of a turn, as in the shader.
fn normals<T: Real>(a: u32, b: u32) -> [T; 2] {
    let uniform = T::from_f64(f64::from((a >> 8) + 1) * INVERSE_24);
    let radius = (T::from_f64(-2.0) * uniform.ln()).maximum(T::ZERO).sqrt();
    let turn = f64::from(b >> 8) * INVERSE_24;
    let quarter = (turn * 4.0 + 0.5).floor();
    let angle = T::from_f64(turn - quarter * 0.25) * T::from_f64(std::f64::consts::TAU);
    let (cosine, sine) = (radius * angle.cos(), radius * angle.sin());
    match quarter as u32 & 3 {
        1 => [-sine, cosine],
        2 => [-cosine, -sine],
        3 => [sine, -cosine],
        _ => [cosine, sine],
    }
}

impl Kernel for Philox {
    const NAME: &'static str = "philox";
    const SHADER: &'static str = include_str!("../../shaders/philox.wgsl");
    const OPERANDS: &'static [Operand] = &[Operand::output("out")];

    fn check(&self) -> Result<(), KernelError> {
        for (parameter, value) in [("rows", self.rows), ("length", self.length)] {
            if value == 0 {
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    "at least 1",
                    0,
                ));
            }
        }
        if self.kind.0 > RandomKind::EXPONENTIAL.0 {
            return Err(KernelError::parameter(
                Self::NAME,
                "kind",
                "0 (uniform), 1 (uniform pair), 2 (normal) or 3 (exponential)",
                self.kind.0,
            ));
        }
        let floats = element_count(&[self.rows, self.length, self.kind.floats()]);
        if floats > u32::MAX as usize {
            return Err(KernelError::parameter(
                Self::NAME,
                "length",
                "at most 2^32 - 1 floats in all",
                format!("{} for {} rows", self.length, self.rows),
            ));
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        vec![element_count(&[self.rows, self.length, self.kind.floats()])]
    }

    fn cost(&self) -> Cost {
        let floats = element_count(&[self.rows, self.length, self.kind.floats()]) as u64;
        let per_float = match self.kind {
            RandomKind::NORMAL => 30,
            RandomKind::EXPONENTIAL => 20,
            _ => 1,
        };
        Cost {
            flops: floats.saturating_mul(per_float),
            bytes: floats.saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let blocks = self.width().div_ceil(4).saturating_mul(self.rows as usize);
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(blocks, 64),
        }
    }

    fn with_seed(&self, seed: u64, first_example: u32) -> Self {
        Self {
            seed_low: seed as u32,
            seed_high: (seed >> 32) as u32,
            first_example,
            ..*self
        }
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let width = self.width();
        let parallel = operands.parallel;
        let out = operands.float_mut(0)?;
        let used = width.saturating_mul(self.rows as usize).min(out.len());
        let out = out.get_mut(..used).unwrap_or_default();
        for_each_row(parallel, out, width, |row, floats| {
            for (block, quad) in floats.chunks_mut(4).enumerate() {
                let values = self.block::<T>(row as u32, block as u32);
                for (place, value) in quad.iter_mut().zip(values) {
                    *place = value;
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyKernel, View};

    fn fill<T: crate::Scalar>(kernel: Philox) -> Vec<T> {
        let mut out = vec![T::ZERO; kernel.extents()[0]];
        let views = vec![View::FloatMut(&mut out)];
        let mut operands = Operands::new(Philox::NAME, Philox::OPERANDS, views, true);
        AnyKernel::from(kernel).twin(&mut operands).unwrap();
        out
    }

    #[test]
    fn known_answers_of_random123() {
        assert_eq!(
            philox4x32([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn counters_and_keys_are_where_the_contract_says() {
        let kernel = Philox {
            first_example: 40,
            ..Philox::new(RandomKind::UNIFORM, 3, 7, 0x1234_5678_9abc_def0, 9)
        }
        .at_step(5);
        let out = fill::<f32>(kernel);
        for row in 0..3u32 {
            for element in 0..7u32 {
                let bits = philox4x32([element / 4, 5, 40 + row, 9], [0x9abc_def0, 0x1234_5678]);
                let word = bits[(element % 4) as usize] >> 8;
                let found = out[(row * 7 + element) as usize];
                assert_eq!((found * 16_777_216.0) as u32, word);
                assert!((0.0..1.0).contains(&found));
            }
        }
    }

    #[test]
    fn a_chunk_draws_what_the_whole_batch_would() {
        for kind in [
            RandomKind::UNIFORM,
            RandomKind::UNIFORM_PAIR,
            RandomKind::NORMAL,
            RandomKind::EXPONENTIAL,
        ] {
            let whole = fill::<f32>(Philox::new(kind, 11, 13, 77, 2));
            let part = Philox {
                first_example: 4,
                ..Philox::new(kind, 3, 13, 77, 2)
            };
            let width = 13 * kind.floats() as usize;
            let expected = &whole[4 * width..7 * width];
            assert_eq!(
                bytemuck::cast_slice::<f32, u32>(&fill(part)),
                bytemuck::cast_slice::<f32, u32>(expected)
            );
        }
    }

    #[test]
    fn pairs_carry_forty_eight_bits_in_both_precisions() {
        let kernel = Philox::new(RandomKind::UNIFORM_PAIR, 5, 9, 3, 1);
        let (single, double) = (fill::<f32>(kernel), fill::<f64>(kernel));
        for (s, d) in single.chunks(2).zip(double.chunks(2)) {
            let sum = f64::from(s[0]) + f64::from(s[1]);
            assert_eq!(sum, d[0] + d[1]);
            let scaled = sum * 2f64.powi(48);
            assert_eq!(scaled, scaled.trunc());
            assert!(s[1] < 1.0 / 16_777_216.0 && sum < 1.0);
        }
    }

    #[test]
    fn normals_have_the_moments_and_agree_across_precisions() {
        let kernel = Philox::new(RandomKind::NORMAL, 100, 10_001, 11, 0);
        let (single, double) = (fill::<f32>(kernel), fill::<f64>(kernel));
        let mut moments = [0.0f64; 4];
        for (s, d) in single.iter().zip(&double) {
            assert!(
                (f64::from(*s) - d).abs() < 1e-6 * (1.0 + d.abs()),
                "{s} {d}"
            );
            for (power, moment) in moments.iter_mut().enumerate() {
                *moment += d.powi(power as i32 + 1) / double.len() as f64;
            }
        }
        for (found, (exact, deviation)) in
            moments
                .iter()
                .zip([(0.0, 1.0), (1.0, 2.0), (0.0, 15.0), (3.0, 96.0f64)])
        {
            let allowed = 4.5 * f64::sqrt(deviation / double.len() as f64);
            assert!((found - exact).abs() < allowed, "{moments:?}");
        }
        // Successive normals of a pair share their radius but not their value.
        let product: f64 = double.windows(2).map(|w| w[0] * w[1]).sum();
        assert!(product.abs() < 4.5 * f64::sqrt(double.len() as f64));
    }

    #[test]
    fn exponentials_have_the_moments_and_are_never_zero() {
        let kernel = Philox::new(RandomKind::EXPONENTIAL, 100, 10_001, 12, 0);
        let (single, double) = (fill::<f32>(kernel), fill::<f64>(kernel));
        let mut moments = [0.0f64; 2];
        for (s, d) in single.iter().zip(&double) {
            assert!((f64::from(*s) - d).abs() < 1e-6 * (1.0 + d), "{s} {d}");
            assert!(*s > 0.0 && s.is_finite());
            moments[0] += d / double.len() as f64;
            moments[1] += d * d / double.len() as f64;
        }
        // E x = 1, E x^2 = 2, with variances 1 and 20.
        for (found, (exact, variance)) in moments.iter().zip([(1.0, 1.0), (2.0, 20.0f64)]) {
            let allowed = 4.5 * f64::sqrt(variance / double.len() as f64);
            assert!((found - exact).abs() < allowed, "{moments:?}");
        }
    }

    #[test]
    fn uniforms_fill_the_interval_evenly() {
        let out = fill::<f32>(Philox::new(RandomKind::UNIFORM, 64, 4096, 5, 6));
        let mut counts = [0f64; 256];
        for u in &out {
            counts[(u * 256.0) as usize] += 1.0;
        }
        let expected = out.len() as f64 / 256.0;
        let chi: f64 = counts
            .iter()
            .map(|c| (c - expected).powi(2) / expected)
            .sum();
        // 255 degrees of freedom: mean 255, standard deviation 22.6.
        assert!((chi - 255.0).abs() < 4.5 * 22.6, "{chi}");
    }

    #[test]
    fn refuses_what_it_is_not_defined_for() {
        let good = Philox::new(RandomKind::NORMAL, 1, 1, 0, 0);
        assert!(good.check().is_ok());
        assert!(Philox { rows: 0, ..good }.check().is_err());
        assert!(Philox { length: 0, ..good }.check().is_err());
        let kind = RandomKind(4);
        assert!(Philox { kind, ..good }.check().is_err());
        let huge = Philox {
            rows: u32::MAX,
            length: u32::MAX,
            ..good
        };
        assert!(huge.check().is_err());
    }
}
