//! Uniform numbers as `numpy.random.default_rng(seed).uniform` draws them.

/// PCG64 (M. E. O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for
/// random number generation", 2014): a 128-bit linear congruential generator whose output is the
/// exclusive-or of its halves, rotated by its top six bits.
#[derive(Debug, Clone)]
pub(super) struct Pcg64 {
    state: u128,
    increment: u128,
}

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

impl Pcg64 {
    /// The generator of a seed, spread by [`seed_sequence`].
    pub fn new(seed: u32) -> Self {
        let [a, b, c, d] = seed_sequence(seed);
        let wide = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let mut generator = Self {
            state: 0,
            increment: wide(c, d) << 1 | 1,
        };
        generator.step();
        generator.state = generator.state.wrapping_add(wide(a, b));
        generator.step();
        generator
    }

    fn step(&mut self) {
        let product = self.state.wrapping_mul(MULTIPLIER);
        self.state = product.wrapping_add(self.increment);
    }

    fn next(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// Uniform on `[low, high)` with 53 random bits.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        let share = (self.next() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0);
        low + (high - low) * share
    }
}

/// Hashes a running constant into a word.
fn hashed(mut word: u32, constant: &mut u32, multiplier: u32) -> u32 {
    word ^= *constant;
    *constant = constant.wrapping_mul(multiplier);
    word = word.wrapping_mul(*constant);
    word ^ word >> 16
}

/// NumPy's `SeedSequence` for one word of entropy: a pool of four words, each stirred into the others,
/// from which four 64-bit words are drawn.
fn seed_sequence(seed: u32) -> [u64; 4] {
    let mut constant = 0x43b0_d7e5;
    let mut stir = |word| hashed(word, &mut constant, 0x931e_8875);
    let mut pool = [seed, 0, 0, 0].map(&mut stir);
    for source in 0..4 {
        for target in (0..4).filter(|target| *target != source) {
            let word = stir(pool[source]);
            let mixed = pool[target]
                .wrapping_mul(0xca01_f9dd)
                .wrapping_sub(word.wrapping_mul(0x4973_f715));
            pool[target] = mixed ^ mixed >> 16;
        }
    }
    let mut constant = 0x8b51_f9dd;
    let mut draw = |at: usize| u64::from(hashed(pool[at & 3], &mut constant, 0x58f3_8ded));
    std::array::from_fn(|at| {
        let low = draw(2 * at);
        draw(2 * at + 1) << 32 | low
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_of_numpy() {
        let mut generator = Pcg64::new(0);
        for expected in [0.6369616873214543, 0.2697867137638703, 0.04097352393619469] {
            assert_eq!(generator.uniform(0.0, 1.0), expected);
        }
        let mut generator = Pcg64::new(12345);
        for expected in [0.22733602246716966, 0.31675833970975287] {
            assert_eq!(generator.uniform(0.0, 1.0), expected);
        }
    }
}
