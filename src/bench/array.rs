//! Contents of an operand.

/// Values of one operand of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Real numbers.
    Float(Vec<f32>),
    /// Words.
    Word(Vec<u32>),
    /// Left out.
    Absent,
}

impl Array {
    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Word(values) => values.len(),
            Self::Absent => 0,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A well-mixed word of `index` under `salt`: deterministic contents for any size.
pub(super) fn mixed(index: usize, salt: u64) -> u32 {
    let mut h = (index as u64)
        .wrapping_add(salt.wrapping_mul(0xD1B5_4A32_D192_ED03))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    h ^= h >> 29;
    h = h.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (h >> 32) as u32
}

/// A number in [0, 1) of 24 bits.
pub(super) fn unit(index: usize, salt: u64) -> f32 {
    (mixed(index, salt) >> 8) as f32 / 16_777_216.0
}
