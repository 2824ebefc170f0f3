//! Random numbers as NumPy's `random.RandomState(seed)` draws them, for start states that were published
//! with it.

use rand_mt::Mt;

/// The Mersenne Twister MT19937 (Matsumoto, Nishimura 1998), seeded and read out as NumPy's legacy
/// generator does, normal numbers by the polar method (Marsaglia 1964).
///
/// Runs of our own take the counter-based [`Philox`](attractor_kernels::philox::Philox).
#[derive(Debug, Clone)]
pub struct NumpyRandom {
    generator: Mt,
    /// The other number of a pair of normal ones.
    kept: Option<f64>,
}

impl NumpyRandom {
    /// The generator of a seed.
    pub fn new(seed: u32) -> Self {
        Self {
            generator: Mt::new(seed),
            kept: None,
        }
    }

    /// `random_sample()`: uniform on `[0, 1)` with 53 bits.
    pub fn unit(&mut self) -> f64 {
        let high = f64::from(self.generator.next_u32() >> 5);
        let low = f64::from(self.generator.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// `uniform(low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// `randn()`: a standard normal number.
    pub fn normal(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.kept = Some(factor * x);
                return factor * y;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_what_numpy_draws() {
        let mut random = NumpyRandom::new(0);
        for expected in [0.548_813_503_927_324_8, 0.715_189_366_372_419_5] {
            assert_eq!(random.unit(), expected);
        }
        let mut random = NumpyRandom::new(0);
        let normal = [
            1.764_052_345_967_664,
            0.400_157_208_367_223_3,
            0.978_737_984_105_739_2,
            2.240_893_199_201_458,
            1.867_557_990_149_967_5,
        ];
        for expected in normal {
            assert!((random.normal() - expected).abs() < 1e-15);
        }
    }
}
