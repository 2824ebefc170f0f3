//! What exponents are measured of: one step of a map, and where in it the state moves on.

use crate::graph::{Graph, TensorId};

/// One step `x <- F(x)` of a map over a batch, as a graph whose nodes update the state in place.
///
/// Nodes of [`Phase::Once`](crate::graph::Phase::Once) make what does not depend on the state, those of
/// [`Phase::Step`](crate::graph::Phase::Step) are one step.
#[derive(Debug, Clone)]
pub struct IteratedMap {
    /// The map.
    pub graph: Graph,
    /// The state, a [`State`](crate::graph::TensorKind::State) tensor of `batch * dimension` numbers,
    /// example after example.
    pub state: TensorId,
    /// Examples.
    pub batch: usize,
    /// Numbers of one example's state.
    pub dimension: usize,
    /// After how many nodes of the graph, counted from its first, an update of the state is complete;
    /// ascending. A map without inner updates has one, at the graph's last node.
    pub updates: Vec<usize>,
}
