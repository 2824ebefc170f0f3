//! Names of the independent random streams of a run.

/// A stream of the counter-based generator: draws of different streams never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Choice of a category at every position.
    Categorical = 0,
    /// Whether a masked position is committed.
    Unmask = 1,
    /// Whether a committed position is masked again.
    Remask = 2,
    /// A random walk, for comparison.
    Walk = 3,
    /// First tangent vectors.
    Tangent = 4,
    /// Action sequences of candidate plans.
    Plan = 8,
    /// The policy's sequences among the candidates of MPPI.
    MppiPolicy = 16,
    /// The other candidates.
    MppiSamples = 17,
    /// The policy's actions behind the horizon.
    MppiValue = 18,
    /// The choice among the elites.
    MppiChoice = 19,
    /// The disturbance of the chosen action.
    MppiAction = 20,
    /// Pairs of value functions.
    MppiPairs = 21,
    /// Keys of planning calls.
    MppiCall = 22,
}

impl Stream {
    /// The stream's number.
    pub fn index(self) -> u32 {
        self as u32
    }
}
