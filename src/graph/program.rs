//! A graph with the places of its tensors: what an execution carries out, on whatever device.

use super::{Graph, MemoryPlan};

/// A checked graph and its memory plan.
#[derive(Debug)]
pub(super) struct Program {
    pub graph: Graph,
    pub memory: MemoryPlan,
}
