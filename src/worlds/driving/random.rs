//! The random words of the benchmark: Philox4x32-10 under a counter of its own layout.

use attractor_kernels::philox::philox4x32;

/// First word of every key, the letters FLOW; the second is the number of the drive.
const KEY: u32 = 0x464C_4F57;
/// `2^-32`.
const INVERSE_32: f64 = 1.0 / 4_294_967_296.0;

/// What a random word is used for: the second counter word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Constants of a drive.
    Drive = 0,
    /// Which event follows, and its size.
    Event = 1,
    /// Stretches of cruise between events.
    Cruise = 2,
    /// How a turn is driven.
    Turn = 3,
    /// Whether to go or to wait at a junction.
    Decide = 4,
    /// The side on which an obstacle is passed.
    Obstacle = 5,
    /// Whether to brake behind a lead.
    Brake = 6,
    /// Steering jitter.
    Jitter = 7,
    /// Longitudinal noise.
    Longitudinal = 8,
    /// Noise on the cue of a decision.
    Cue = 9,
}

/// The four words of `(stream, index, sub)` of a drive: counter `(index, stream, sub, 0)`, key
/// `(0x464C4F57, drive)`.
pub fn words(drive: u32, stream: Stream, index: u32, sub: u32) -> [u32; 4] {
    philox4x32([index, stream as u32, sub, 0], [KEY, drive])
}

/// A word as a number on `[0, 1)`: `w 2^-32`, exact.
pub fn unit(word: u32) -> f64 {
    f64::from(word) * INVERSE_32
}

/// A nearly normal number of mean 0 and variance 1: twelve words of subs 0, 1 and 2, summed exactly.
pub fn sum_of_twelve(drive: u32, stream: Stream, index: u32) -> f64 {
    let sum: i64 = (0..3)
        .flat_map(|sub| words(drive, stream, index, sub))
        .map(i64::from)
        .sum();
    // Six times 2^32 is the mean up to half a unit a word, which the added six restores.
    let centred = sum - 6 * (1_i64 << 32) + 6;
    centred as f64 * INVERSE_32
}
