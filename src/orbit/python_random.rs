//! Random numbers as Python's `random.Random(seed)` draws them, for results that were published with it.

use rand_mt::Mt;

/// The Mersenne Twister MT19937 (Matsumoto, Nishimura 1998), seeded by words and read out as Python does.
///
/// Runs of our own take the counter-based [`Philox`](attractor_kernels::philox::Philox); this stream is
/// sequential and there for draws that must agree with published ones.
#[derive(Debug, Clone)]
pub struct PythonRandom {
    generator: Mt,
}

impl PythonRandom {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        let [low, high] = [seed as u32, (seed >> 32) as u32];
        let generator = match high {
            0 => Mt::new_with_key([low]),
            high => Mt::new_with_key([low, high]),
        };
        Self { generator }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.generator.next_u32()
    }

    /// `randrange(n)`: an integer below `n`, by rejection of too large ones; also the index of
    /// `choice` among `n`. Zero has nothing below it, and gives 0 without a draw.
    pub fn below(&mut self, n: u32) -> u32 {
        let shift = n.leading_zeros();
        if shift == u32::BITS {
            return 0;
        }
        loop {
            let value = self.next_u32() >> shift;
            if value < n {
                return value;
            }
        }
    }

    /// `random()`: uniform on `[0, 1)` with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// Index that `choices` takes for weights whose running sums are `cumulative`: how many of them,
    /// the last left out, are at most a uniform part of the last.
    pub fn weighted(&mut self, cumulative: &[f64]) -> usize {
        let Some((total, sums)) = cumulative.split_last() else {
            return 0;
        };
        let mark = self.uniform() * total;
        sums.partition_point(|sum| *sum <= mark)
    }
}
