//! How often a recursive reasoner's tangents are made orthonormal.

use serde::{Deserialize, Serialize};

/// Where in a reasoner's step the QR events lie. Sums of logs over a window are the same for all, given
/// the same first basis; exponents differ by the number of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// After every level call: `H (L + 1)` a step.
    Sub,
    /// After every L call, the H call together with the L call before it: `H L` a step.
    Lstep,
    /// Once a step.
    Step,
}

impl Granularity {
    /// All of them, finest first.
    pub const ALL: [Self; 3] = [Self::Sub, Self::Lstep, Self::Step];

    /// Name, as on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sub => "sub",
            Self::Lstep => "lstep",
            Self::Step => "step",
        }
    }

    /// Level calls before each event of a step of `h_cycles` times (`l_cycles` L calls and an H call).
    /// Cycles must be at least 1; what exceeds a word is cut.
    pub fn calls(self, h_cycles: u32, l_cycles: u32) -> Vec<usize> {
        let (h, l) = (h_cycles.max(1) as usize, l_cycles.max(1) as usize);
        match self {
            Self::Sub => vec![1; h.saturating_mul(l + 1)],
            Self::Lstep => {
                let mut cycle = vec![1; l];
                if let Some(last) = cycle.last_mut() {
                    *last = 2;
                }
                cycle.repeat(h)
            }
            Self::Step => vec![h.saturating_mul(l + 1)],
        }
    }

    /// Events of a step.
    pub fn events(self, h_cycles: u32, l_cycles: u32) -> usize {
        let (h, l) = (h_cycles.max(1) as usize, l_cycles.max(1) as usize);
        match self {
            Self::Sub => h.saturating_mul(l + 1),
            Self::Lstep => h.saturating_mul(l),
            Self::Step => 1,
        }
    }

    /// The factor that takes an exponent per event of this granularity to one per event of `other`.
    pub fn factor_to(self, other: Self, h_cycles: u32, l_cycles: u32) -> f64 {
        self.events(h_cycles, l_cycles) as f64 / other.events(h_cycles, l_cycles) as f64
    }
}

impl std::str::FromStr for Granularity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or_else(|| format!("expected sub, lstep or step, found {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_as_published() {
        // (cycles, events in 16 steps)
        for (h, l, counts) in [(2, 2, [96, 64, 16]), (3, 6, [336, 288, 16])] {
            for (kind, count) in Granularity::ALL.into_iter().zip(counts) {
                assert_eq!(16 * kind.events(h, l), count);
                assert_eq!(kind.calls(h, l).len(), kind.events(h, l));
                let calls: usize = kind.calls(h, l).iter().sum();
                assert_eq!(calls, Granularity::Sub.events(h, l));
                assert_eq!(kind.name().parse(), Ok(kind));
            }
        }
        assert_eq!(Granularity::Lstep.calls(2, 2), [1, 2, 1, 2]);
        assert_eq!(Granularity::Sub.factor_to(Granularity::Step, 2, 2), 6.0);
        assert!("substep".parse::<Granularity>().is_err());
    }
}
