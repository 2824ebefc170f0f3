//! The decimal logarithm in f32 as NumPy computes it.

/// `log10` of f32 bit for bit as NumPy has it on x86-64 with AVX-512, where tables were published from:
/// the argument is `2^e * m` with `m` in `[3/4, 3/2)`, and
/// `e * log10(2) + r (c1 + r (c2 + r (c3 + r c4)))` with `r = m - 1` is summed with fused multiplications.
/// Each sixteenth of the mantissas has its own quartic; the coefficients are those of Intel's Short Vector
/// Math Library (`log10f`, low accuracy; BSD-3-Clause), which NumPy ships. Its error is up to 2.6 units in the last place, so that a
/// correctly rounded logarithm would give other thresholds in the last digit.
pub(super) fn log10_f32(x: f32) -> f32 {
    if !x.is_finite() || x < f32::MIN_POSITIVE {
        // Never met here: drifts are finite and held above 1e-12.
        return x.log10();
    }
    let bits = x.to_bits();
    let fraction = bits & 0x007f_ffff;
    // Mantissas of 3/2 and more are halved, so that those about 1 are approximated on both sides of it.
    let halved = fraction >= 0x0040_0000;
    let exponent = (bits >> 23) as i32 - 127 + i32::from(halved);
    let mantissa = f32::from_bits(fraction | if halved { 0x3f00_0000 } else { 0x3f80_0000 });
    let interval = (fraction >> 19) as usize & 15;
    let rest = mantissa - 1.0;
    let [first, second, third, fourth] =
        COEFFICIENTS.map(|column| f32::from_bits(column[interval]));
    let sum = fourth.mul_add(rest, third);
    let sum = sum.mul_add(rest, second);
    let sum = sum.mul_add(rest, first);
    sum.mul_add(rest, exponent as f32 * f32::from_bits(LOG10_2))
}

const LOG10_2: u32 = 0x3e9a_209b;

/// Bits of the coefficients of `r`, `r^2`, `r^3` and `r^4`, by sixteenths of the mantissa from 1.
const COEFFICIENTS: [[u32; 16]; 4] = [
    [
        0x3ede_5bd8,
        0x3ede_5b45,
        0x3ede_57d8,
        0x3ede_4eb1,
        0x3ede_3d37,
        0x3ede_2166,
        0x3edd_f9d9,
        0x3edd_c5bb,
        0x3ede_08ed,
        0x3ede_32e7,
        0x3ede_4967,
        0x3ede_5490,
        0x3ede_597f,
        0x3ede_5b50,
        0x3ede_5bca,
        0x3ede_5bd9,
    ],
    [
        0xbe5e_5a9b,
        0xbe5e_2677,
        0xbe5d_83f5,
        0xbe5c_6016,
        0xbe5a_bd0b,
        0xbe58_a6fd,
        0xbe56_2e02,
        0xbe53_62f8,
        0xbe68_e27c,
        0xbe64_6747,
        0xbe61_9a73,
        0xbe5f_f05a,
        0xbe5f_0570,
        0xbe5e_92d0,
        0xbe5e_662b,
        0xbe5e_5c08,
    ],
    [
        0x3e13_d888,
        0x3e10_a87c,
        0x3e0b_95c3,
        0x3e05_7f0b,
        0x3dfd_e038,
        0x3df0_80d9,
        0x3de3_4c1e,
        0x3dd6_8333,
        0x3dac_6e8e,
        0x3dd5_4a51,
        0x3df3_0f40,
        0x3e04_235d,
        0x3e0b_7033,
        0x3e10_2c90,
        0x3e12_ebad,
        0x3e14_1ff8,
    ],
    [
        0xbdc9_ae9b,
        0xbda6_fcf4,
        0xbd8b_ac76,
        0xbd6b_ca30,
        0xbd48_a99b,
        0xbd2c_0a9f,
        0xbd14_80db,
        0xbd00_faf2,
        0xbe82_3aa9,
        0xbe65_6348,
        0xbe4a_fbb9,
        0xbe34_6895,
        0xbe20_ffff,
        0xbe10_3a0b,
        0xbe01_a91c,
        0xbde9_e84e,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_true_logarithm_everywhere() {
        for index in 0..200_000 {
            let x = (f64::from(index) * 4e-4 - 40.0).exp() as f32;
            let exact = f64::from(x).log10();
            let error = (f64::from(log10_f32(x)) - exact).abs();
            assert!(
                error <= 4e-7 * exact.abs() + 2e-7 * f64::from(x - 1.0).abs().min(0.1),
                "{x}: {error}"
            );
        }
        assert_eq!(log10_f32(1.0), 0.0);
    }

    #[test]
    fn values_printed_by_numpy() {
        let known = [
            (0x2b8cbccc, 0xc1400001),
            (0x3f000000, 0xbe9a209b),
            (0x3f3d70a4, 0xbe05e81f),
            (0x3f400000, 0xbdffdfe2),
            (0x3f666666, 0xbd3b6c38),
            (0x3f7d70a4, 0xbb8f069c),
            (0x3f8147ae, 0x3b8d9a47),
            (0x3f99999a, 0x3da229c9),
            (0x3fbeb852, 0x3e3157be),
            (0x3fc00000, 0x3e345145),
            (0x3ffeb852, 0x3e990346),
            (0x40000000, 0x3e9a209b),
            (0x406ccccd, 0x3f1175ac),
            (0x41200000, 0x3f800000),
            (0x41da9f93, 0x3fb7e2ba),
            (0x42c7cccd, 0x3ffff1c5),
            (0x501502f9, 0x41200001),
        ];
        for (x, bits) in known {
            assert_eq!(log10_f32(f32::from_bits(x)).to_bits(), bits, "{x:x}");
        }
    }
}
